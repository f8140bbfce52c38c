"""One record never moves everybody's clock; several customers do, whatever the pieces in which records come."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.events import ENGAGEMENT, Event
from stream_app.core.merging import WatermarkMerge
from stream_app.core.records import Batch, Skipped, batch_of
from stream_app.core.trust import AGREEING, CERTAIN, LISTED_MAX, Trust, Verdicts, believe, ending
from tests.support.events import START_MS, instant

YEAR = 365.0
GAP_MS = 7 * DAY_MS
Told = tuple[str, float] | None
"""Customer and day of a record, None for one that is no event."""
SHOP: list[Told] = [(f"c{number % 5}", number / 2) for number in range(20)]
"""Five customers, ten days."""


def batch_at(told: Sequence[Told], first: int = 0) -> Batch:
    contents = [
        Skipped(None) if each is None else Event(ENGAGEMENT, each[0], f"e{first + n}", instant(each[1]), "search")
        for n, each in enumerate(told)
    ]
    return batch_of(contents, 0, range(first, first + len(told)), NO_TIME)


def judged(
    told: Sequence[Told], trust: Trust | None = None, clock_ms: int = NO_TIME, floor_ms: int = NO_TIME
) -> Verdicts:
    return believe(trust or Trust(), clock_ms, floor_ms, GAP_MS, batch_at(told).records)


def days_of(verdicts: Verdicts) -> list[float]:
    return [round((at_ms - START_MS) / DAY_MS, 6) for at_ms in verdicts.watermarks_ms.tolist()]


def last(verdicts: Verdicts) -> Trust:
    return verdicts.trusts[-1][1]


# --- ahead ------------------------------------------------------------------------------------------------------------


def test_clock_follows_records_that_are_near() -> None:
    verdicts = judged([*SHOP, ("c1", 9), None, ("c1", 16)])
    assert days_of(verdicts) == [*(day for _, day in filter(None, SHOP)), 9.5, 9.5, 16]
    assert last(verdicts).doubted == 0


@pytest.mark.parametrize("customer", ["c2", "new"])
def test_mistyped_year_amid_a_stream_moves_nobody(customer: str) -> None:
    clean = days_of(judged(SHOP))
    verdicts = judged([*SHOP[:9], (customer, YEAR), *SHOP[9:]])
    assert days_of(verdicts) == [*clean[:9], clean[8], *clean[9:]]
    assert (last(verdicts).ahead_in_doubt, last(verdicts).ahead) == (1, ())
    (named,) = last(verdicts).listed
    assert (named.offset, named.at_ms) == (9, instant(YEAR))


def test_wrong_years_of_many_customers_never_add_up_where_others_come_in_between() -> None:
    told = [each for n, sound in enumerate(SHOP * 3) for each in (sound, (f"w{n}", YEAR + n / 10))[: 1 + (n % 4 == 3)]]
    assert max(days_of(judged(told))) == 9.5


def test_burst_of_one_customer_ahead_waits_for_others() -> None:
    told: list[Told] = [*SHOP, *(("c1", 40 + n) for n in range(50)), ("c2", 40), ("c2", 41)]
    assert set(days_of(judged(told))[20:]) == {9.5}
    assert days_of(judged([*told, ("c3", 42)]))[-1] == 41, "the earliest of what three have come to"


def test_pause_of_a_shop_ends_with_its_third_customer() -> None:
    verdicts = judged([*SHOP, ("c1", 40), ("c9", 40.5), ("c1", 40.6), ("c2", 41), ("c1", 41.5)])
    assert days_of(verdicts)[20:] == [9.5, 9.5, 9.5, 40.5, 41.5]
    assert (last(verdicts).ahead_total, last(verdicts).ahead_in_doubt) == (4, 0)


def test_time_of_a_shop_with_an_order_a_month_passes_as_the_next_customers_come() -> None:
    assert days_of(judged([*SHOP, *((f"d{n}", 40 + 30 * n) for n in range(6))]))[20:] == [9.5, 9.5, 40, 70, 100, 130]


BUSY: list[Told] = [(f"c{number % 9}", number / 2) for number in range(80)]
"""Nine customers, forty days, a record each half day."""


def test_wrong_years_that_sorting_has_put_at_the_end_never_add_up_in_a_busy_shop() -> None:
    wrong: list[Told] = [(f"c{n}", 100.0 + 30 * n) for n in range(7)]
    verdicts = judged([*BUSY, *wrong])
    assert set(days_of(verdicts)[len(BUSY) :]) == {39.5}
    assert last(verdicts).ahead_in_doubt == len(wrong)


def test_three_customers_in_a_row_end_the_pause_of_a_busy_shop_whatever_lies_before_them() -> None:
    told = [*BUSY, ("c1", 100), ("c2", 160), ("c3", 250), ("c4", 252), ("c5", 255), ("c6", 256)]
    assert days_of(judged(told))[len(BUSY) :] == [39.5, 39.5, 39.5, 39.5, 250, 256]


def test_slow_shop_needs_no_dense_orders_however_long_it_is_known() -> None:
    slow: list[Told] = [(f"c{n % 9}", 6.0 * n) for n in range(60)]
    assert days_of(judged([*slow, ("c1", 390), ("c2", 430), ("c3", 470)]))[-1] == 390


def test_so_many_customers_ahead_are_believed_however_they_are_spread() -> None:
    ahead: list[Told] = [(f"d{n}", 100.0 + 40 * n) for n in range(CERTAIN)]
    assert days_of(judged([*BUSY, *ahead]))[-2:] == [39.5, 100]


def test_new_shop_with_one_customer_is_not_held_up() -> None:
    assert days_of(judged([("c1", 30.0 * n) for n in range(5)])) == [0, 30, 60, 90, 120]


def test_all_customers_have_to_agree_where_there_are_fewer_than_three() -> None:
    assert days_of(judged([("a", 0), ("b", 30), ("b", 31), ("a", 32)])) == [0, 0, 0, 31]


def test_customer_who_comes_back_takes_its_word_back() -> None:
    verdicts = judged([*SHOP, ("c1", YEAR), ("c1", 9.6), ("c2", YEAR), ("c3", YEAR)])
    assert days_of(verdicts)[20:] == [9.5, 9.6, 9.6, 9.6]


def test_record_that_is_still_in_doubt_at_the_end_stays_so() -> None:
    verdicts = judged([*SHOP, ("c1", YEAR)])
    assert days_of(verdicts)[-1] == 9.5
    assert last(verdicts).ahead_in_doubt == 1


def test_more_records_far_behind_than_are_named_are_counted() -> None:
    behind: list[Told] = [(f"old{number}", -20_000 + number / 10) for number in range(LISTED_MAX + 4)]
    trust = last(judged([*SHOP, *behind]))
    assert (trust.behind_in_doubt, len(trust.listed)) == (LISTED_MAX + 4, LISTED_MAX)


def test_where_three_customers_are_all_there_are_the_last_ones_are_believed_at_the_end() -> None:
    trust = last(judged([("c1", 0), ("c2", 1), ("c3", 1), ("c2", 14), ("c1", 20), ("c1", 500)]))
    reached_ms, ended = ending(trust, instant(1), GAP_MS, 3)
    assert (reached_ms, ended.ahead_in_doubt) == (instant(20), 1), "but not a year that cannot be"
    assert ending(trust, instant(1), GAP_MS, 4) == (instant(1), trust)


def test_doubt_is_settled_once_others_get_there_or_the_wall_clock_does() -> None:
    trust = last(judged([*SHOP, ("c1", 30)]))
    others = judged([(f"c{n % 5}", 10 + n) for n in range(16)], trust, instant(9.5))
    assert (days_of(others)[-1], last(others).ahead_in_doubt) == (25, 0)
    swept = judged([("c1", 26)], trust, instant(9.5), floor_ms=instant(25))
    assert (days_of(swept), last(swept).ahead_in_doubt) == ([26], 0)


# --- behind -----------------------------------------------------------------------------------------------------------


def test_record_far_behind_is_counted_and_changes_nothing() -> None:
    verdicts = judged([*SHOP, ("c1", -50 * YEAR), *SHOP])
    assert days_of(verdicts)[20:] == [9.5] * 21
    assert (last(verdicts).behind_in_doubt, len(verdicts.anew)) == (1, 0)


@pytest.mark.parametrize("wrong", [1, 2, 3, 40])
def test_time_begins_anew_behind_dates_that_stand_for_none(wrong: int) -> None:
    verdicts = judged([*((f"w{n}", -50 * YEAR) for n in range(wrong)), *SHOP])
    (anew,) = verdicts.anew
    assert anew == wrong + min(AGREEING, wrong + 1) - 1 or anew == wrong + AGREEING - 1
    assert days_of(verdicts)[-1] == 9.5
    trust = last(verdicts)
    assert (trust.behind_in_doubt, trust.ahead_in_doubt) == (wrong, 0)
    assert len(trust.listed) == min(wrong, AGREEING, LISTED_MAX)


def test_long_pause_behind_a_shops_own_time_passes() -> None:
    verdicts = judged([*SHOP, *((f"c{n}", 1_000) for n in range(3))])
    assert (list(verdicts.anew), days_of(verdicts)[-1]) == ([], 1_000)


def test_time_begins_anew_where_the_first_record_of_all_was_ahead() -> None:
    verdicts = judged([("w", YEAR), *SHOP])
    assert list(verdicts.anew) == [3]
    assert days_of(verdicts)[3:] == [day for _, day in filter(None, SHOP[2:])]
    assert (last(verdicts).ahead_in_doubt, last(verdicts).behind_in_doubt) == (1, 0)


def test_partition_of_an_earlier_release_goes_on_as_if_nothing_were_in_doubt() -> None:
    verdicts = judged([("c1", 300), ("c1", -300), ("c1", 1)], Trust(), instant(0))
    assert days_of(verdicts) == [0, 0, 1]
    assert (last(verdicts).ahead_in_doubt, last(verdicts).behind_in_doubt) == (1, 0)


# --- pieces -----------------------------------------------------------------------------------------------------------

tellings = st.lists(
    st.none()
    | st.tuples(
        st.sampled_from(["a", "b", "c", "d", "e"]),
        st.sampled_from([0.0, 1, 2, 5, 9, 12, 30, 33, 60, YEAR, YEAR + 3, -30, -50 * YEAR]),
    ),
    min_size=1,
    max_size=40,
)


@given(tellings, st.data())
def test_pieces_leave_verdicts_as_they_are(told: list[Told], data: st.DataObject) -> None:
    whole = judged(told)
    cuts = data.draw(st.sets(st.integers(0, len(told))))
    trust, clock_ms, anew = Trust(), NO_TIME, list[int]()
    for start, stop in pairwise(sorted({0, len(told), *cuts})):
        records = batch_at(told[start:stop], start).records
        verdicts = believe(trust, clock_ms, NO_TIME, GAP_MS, records)
        assert verdicts.watermarks_ms.tolist() == whole.watermarks_ms[start:stop].tolist()
        anew += [start + index for index in verdicts.anew]
        trust, clock_ms = last(verdicts), int(verdicts.watermarks_ms[-1])
        is_event = np.array([each is not None for each in told])
        assert trust == verdicts.trust_before(stop - start, is_event[start:stop])
        assert trust == whole.trust_before(stop, is_event)
    assert anew == list(whole.anew)


@given(tellings, tellings, st.data())
def test_pieces_leave_the_merge_as_it_is(one: list[Told], other: list[Told], data: st.DataObject) -> None:
    def merged(cuts: tuple[set[int], set[int]]) -> list[tuple[int, int]]:
        merge = WatermarkMerge(2)
        found: list[tuple[int, int]] = []
        parts = [list(pairwise(sorted({0, len(told), *own}))) for told, own in zip((one, other), cuts, strict=True)]
        ended: set[int] = set()
        while (source := merge.limiting(ended)) is not None:
            if parts[source]:
                start, stop = parts[source].pop(0)
                batch = batch_at((one, other)[source][start:stop], start)
                batch.records["source"] = source
                merge.add(source, batch)
            else:
                ended.add(source)
            released = merge.release(ended)
            found += zip(released.sources.tolist(), released.offsets.tolist(), strict=True)
        assert merge.held_records() == 0
        return found

    whole = merged((set(), set()))
    for source, told in enumerate((one, other)):
        assert [offset for number, offset in whole if number == source] == list(range(len(told)))
    drawn = tuple(data.draw(st.sets(st.integers(0, len(told)))) for told in (one, other))
    assert merged((drawn[0], drawn[1])) == whole


def test_wrong_date_in_one_source_holds_nothing_up_and_puts_nothing_out_of_order() -> None:
    merge = WatermarkMerge(2)
    for source, told in enumerate(([*SHOP[:9], ("c1", YEAR), *SHOP[9:]], SHOP)):
        batch = batch_at(told)
        batch.records["source"] = source
        merge.add(source, batch)
    released = merge.release(())
    times_ms = released.records["at_ms"]
    sound = times_ms[times_ms < instant(YEAR)]
    assert len(sound) == 2 * len(SHOP) - 2, "all but what lies at the limit"
    assert (np.diff(sound) >= 0).all()


def test_topic_that_seldom_brings_a_record_keeps_its_place_in_the_merge() -> None:
    often = [(f"c{n % 7}", n / 10) for n in range(1_000)]
    seldom = [(f"s{n}", 20.0 * n + 1) for n in range(5)]
    merge = WatermarkMerge(2)
    for source, told in enumerate((seldom, often)):
        batch = batch_at(told)
        batch.records["source"] = source
        merge.add(source, batch)
    assert (np.diff(merge.release((0, 1)).records["at_ms"]) >= 0).all()
