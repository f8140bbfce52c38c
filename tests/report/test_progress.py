"""How far a run is, in lines: seldom, in the events' own time, with the rate and what remains."""

from __future__ import annotations

import pytest

from stream_app.core.clock import NO_TIME
from stream_app.report.progress import SAY_SECONDS, Progress, remaining, size_of
from tests.support.events import START_MS


class Run:
    """A run, what it has said, and a clock that stands still."""

    def __init__(self, total: int | None) -> None:
        self.said: list[str] = []
        self.now = 100.0
        self.progress = Progress(total, self.said.append, "sent", lambda: self.now)


def test_nothing_is_said_of_a_short_run() -> None:
    run = Run(100)
    run.now += SAY_SECONDS - 0.1
    run.progress.note(50, 50, START_MS)
    assert run.said == []


def test_a_line_comes_once_in_its_interval() -> None:
    run = Run(None)
    for _ in range(100):
        run.now += SAY_SECONDS / 10
        run.progress.note(1, 1, START_MS)
    assert len(run.said) == 10


def test_line_says_how_far_it_is_and_what_remains() -> None:
    run = Run(10_000)
    run.now += 10
    run.progress.note(2_500, 2_500, START_MS)
    assert run.said == ["2,500 records sent, up to 2024-01-01, 250 a second, 25% done, about 30 s to go"]


def test_what_is_not_known_is_left_out() -> None:
    run = Run(None)
    run.now += 10
    run.progress.note(0, 1_000, NO_TIME)
    assert run.said == ["1,000 records sent, 100 a second"]


@pytest.mark.parametrize(("seconds", "told"), [(0.2, "about 1 s"), (59.4, "about 59 s"), (150.0, "about 2 min")])
def test_what_remains_is_rounded(seconds: float, told: str) -> None:
    assert remaining(seconds) == f"{told} to go"


@pytest.mark.parametrize(("count", "told"), [(1_234, "1.2 kB"), (12_345_678, "12.3 MB")])
def test_size_is_rounded(count: int, told: str) -> None:
    assert size_of(count) == told
