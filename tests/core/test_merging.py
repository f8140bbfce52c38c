"""The merge depends on what the sources hold, and not on when or in what pieces they are read."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.clock import NO_TIME
from stream_app.core.events import ENGAGEMENT, Event
from stream_app.core.merging import WatermarkMerge, interleave
from stream_app.core.records import NO_RECORDS, Batch, Content, Skipped, batch_of
from tests.support.batches import contents_of

Source = list[int | None]
"""Event times, None for a record that is no event."""


def content_at(at_ms: int | None) -> Content:
    return Skipped(None) if at_ms is None else Event(ENGAGEMENT, "c1", "e1", at_ms, "search")


def places(batch: Batch) -> list[tuple[int, int]]:
    return list(zip(batch.sources.tolist(), batch.offsets.tolist(), strict=True))


def watermarks_ms(source: Source) -> list[int]:
    return list(accumulate((NO_TIME if at_ms is None else at_ms for at_ms in source), max))


def ordered(sources: list[Source]) -> list[tuple[int, int]]:
    """Return source and offset of all records in the order that the definition gives."""
    keyed = [
        (watermark_ms, number, offset)
        for number, source in enumerate(sources)
        for offset, watermark_ms in enumerate(watermarks_ms(source))
    ]
    return [(number, offset) for _, number, offset in sorted(keyed)]


sources_of_few_times = st.lists(st.lists(st.none() | st.integers(0, 6), max_size=8), min_size=1, max_size=4)


@given(sources_of_few_times, st.data())
def test_pieces_and_the_order_of_reading_leave_the_merge_as_it_is(sources: list[Source], data: st.DataObject) -> None:
    merge = WatermarkMerge(len(sources))
    read = [0] * len(sources)
    found: list[tuple[int, int]] = []
    while unread := [number for number, source in enumerate(sources) if read[number] < len(source)]:
        number = data.draw(st.sampled_from(unread))
        start = read[number]
        read[number] = data.draw(st.integers(start + 1, len(sources[number])))
        contents = [content_at(at_ms) for at_ms in sources[number][start : read[number]]]
        merge.add(number, batch_of(contents, number, range(start, read[number]), merge.watermark_ms(number)))
        held = sum(read) - len(found)
        assert merge.held_records() == held
        ended = {number for number, source in enumerate(sources) if read[number] == len(source)}
        released = merge.release(data.draw(st.sets(st.sampled_from(sorted(ended)))) if ended else set())
        assert (np.diff(released.watermarks_ms) >= 0).all()
        found += places(released)
        assert sum(merge.held_records(number) for number in range(len(sources))) == sum(read) - len(found)
    found += places(merge.release(range(len(sources))))
    assert found == ordered(sources)


@given(sources_of_few_times)
def test_what_lies_at_the_limit_waits_for_what_may_still_come_of_that_instant(sources: list[Source]) -> None:
    merge = WatermarkMerge(len(sources), watermark_ms=-1)
    for number, source in enumerate(sources):
        if source:
            merge.add(number, batch_of([content_at(at_ms) for at_ms in source], number, range(len(source)), NO_TIME))
    limit = min(watermarks_ms(source)[-1] if source else NO_TIME for source in sources)
    due = [(watermarks_ms(sources[number])[offset], number, offset) for number, offset in ordered(sources)]
    expected = [(number, offset) for at_ms, number, offset in due if at_ms < limit]
    assert places(merge.release(())) == expected


def test_a_source_that_is_full_of_one_instant_does_not_wait() -> None:
    merge = WatermarkMerge(2, held_max=3, watermark_ms=-1)
    merge.add(1, batch_of([content_at(6)], 1, [0], NO_TIME))
    merge.add(0, batch_of([content_at(5)] * 2, 0, range(2), NO_TIME))
    assert merge.release(()) is NO_RECORDS
    merge.add(0, batch_of([content_at(5)], 0, [2], 5))
    assert places(merge.release(())) == [(0, 0), (0, 1), (0, 2)]


def test_nothing_comes_out_of_sources_that_have_shown_nothing() -> None:
    assert WatermarkMerge(2).release(()) is NO_RECORDS
    assert WatermarkMerge(0).release(()) is NO_RECORDS


@given(st.lists(st.none() | st.integers(0, 6), max_size=8), st.integers(0, 6))
def test_watermarks_begin_where_the_batch_before_ended(source: Source, before_ms: int) -> None:
    batch = batch_of([content_at(at_ms) for at_ms in source], 3, range(len(source)), before_ms)
    assert batch.watermarks_ms.tolist() == watermarks_ms([before_ms, *source])[1:]
    assert batch.sources.tolist() == [3] * len(source)


def test_records_of_one_instant_keep_the_order_of_their_sources() -> None:
    parts = [batch_of([content_at(5)] * 2, number, [7, 8], NO_TIME) for number in (1, 0)]
    assert places(interleave(parts)) == [(1, 7), (1, 8), (0, 7), (0, 8)]


@given(sources_of_few_times, st.data())
def test_what_became_of_a_record_goes_with_it_through_merges(sources: list[Source], data: st.DataObject) -> None:
    parts, expected = [], {}
    for number, source in enumerate(sources):
        contents = [
            Skipped(offset) if at_ms is None else Event(ENGAGEMENT, f"c{number}", f"e{offset}", at_ms, "search")
            for offset, at_ms in enumerate(source)
        ]
        expected |= {(number, offset): content for offset, content in enumerate(contents)}
        batch, cut = batch_of(contents, number, range(len(source)), NO_TIME), data.draw(st.integers(0, len(source)))
        parts += [batch.part(0, cut), batch.part(cut, len(source))]
    merged = interleave(parts)
    halves = [merged.part(0, len(merged) // 2), merged.part(len(merged) // 2, len(merged))]
    for batch in (merged, interleave(halves)):
        assert dict(zip(places(batch), contents_of(batch), strict=True)) == expected
