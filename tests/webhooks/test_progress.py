from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.webhooks.progress import METADATA_CHARACTERS_MAX, Progress

OFFSETS = st.lists(st.integers(0, 400), min_size=1, max_size=60, unique=True).map(sorted)


def take_all(progress: Progress, offsets: list[int]) -> list[int]:
    return [offset for offset in offsets if progress.take(offset)]


@given(OFFSETS, st.data())
def test_restart_takes_exactly_what_was_open_and_what_is_new(offsets: list[int], data: st.DataObject) -> None:
    progress = Progress(0)
    still = offsets
    for _ in range(3):  # also what was saved by one who was itself restarted and had not read on to where that one was
        read = data.draw(st.integers(0, len(still)))
        taken = take_all(progress, [offset for offset in offsets if offset >= progress.position][:read])
        settled = data.draw(st.sets(st.sampled_from(taken))) if taken else set()
        for offset in settled:
            progress.settle(offset)
        still = [offset for offset in still if offset not in settled]
        assert all(offset >= progress.position for offset in still)
        progress = Progress(progress.position, progress.metadata())
        again = Progress(progress.position, progress.metadata())
        assert take_all(again, [offset for offset in offsets if offset >= again.position]) == still


@given(st.sets(st.integers(0, 20_000), max_size=8_000))
def test_metadata_fit_whatever_is_open_and_nothing_open_is_ever_lost(settled: set[int]) -> None:
    progress = Progress(0)
    take_all(progress, list(range(20_001)))
    for offset in settled:
        progress.settle(offset)
    metadata = progress.metadata()
    assert len(metadata) <= METADATA_CHARACTERS_MAX + 50
    again = Progress(progress.position, metadata)
    taken = take_all(again, list(range(progress.position, 20_001)))
    assert set(taken) >= set(range(20_001)) - settled


NOT_OURS = ["", "w2;9;1x0", "w1;9", "w1;9;1x0,", "w1;9;x", "someone else's", "w1;9;999999999x0"]


@pytest.mark.parametrize("metadata", NOT_OURS)
def test_metadata_that_are_not_understood_leave_everything_open(metadata: str) -> None:
    assert take_all(Progress(5, metadata), [5, 6, 9]) == [5, 6, 9]


def test_position_passes_markers_and_never_what_is_open() -> None:
    progress = Progress(10)
    assert progress.take(12)
    progress.skip_to(20)
    assert (progress.position, progress.next) == (12, 20)
    progress.settle(12)
    assert (progress.position, progress.metadata()) == (20, "")
