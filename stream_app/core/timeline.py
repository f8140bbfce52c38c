"""How time passes for a partition.

Events are folded, everybody is assessed at every multiple of an interval, and at some of those instants the shell
pauses, to learn from the population as it stands then. The replay and the worker iterate the same steps, so they do the
same by construction. A step is taken before the next one is asked for: where the partition then stands decides what
comes next.

How far time has come with a record is what is believed of it (`stream_app.core.trust`), and not what it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np

from stream_app.core.arrays import Instants
from stream_app.core.clock import NO_TIME
from stream_app.core.local_days import UTC, boundaries, following_boundary, is_boundary
from stream_app.core.partition import NO_SWEEPS, Partition, Reached, Sweeps
from stream_app.core.records import Batch, end_between
from stream_app.core.trust import GAP_MS, Verdicts, believe


class Pace(NamedTuple):
    """How time passes.

    Attributes
    ----------
    interval_ms
        Time between two sweeps, > 0.
    pause_ms
        Time between two pauses, a multiple of `interval_ms`.
    records_max
        Records folded in one step; more where more are of one instant.
    due_max
        Where more customers than this may be due, a sweep is a step of its own, so that a shell can take it in parts.
    timezone
        Whose midnights are among the sweeps and pauses that lie whole days apart.
    gap_ms
        How far a single record may lead time, see `stream_app.core.trust`.
    """

    interval_ms: int
    pause_ms: int
    records_max: int
    due_max: int = 16_384
    timezone: str = UTC
    gap_ms: int = GAP_MS

    def sweep_after(self, at_ms: int) -> int:
        """Return the first sweep after an instant."""
        return following_boundary(at_ms, self.interval_ms, self.timezone)

    def pause_after(self, at_ms: int) -> int:
        """Return the first pause after an instant."""
        return following_boundary(at_ms, self.pause_ms, self.timezone)


class Fold(NamedTuple):
    """Fold the records `[start, stop)`; `sweeps` counts what is folded of them, and `reached` refers to that.

    Where no record is folded, they are empty.
    """

    start: int
    stop: int
    sweeps: Sweeps
    reached: Reached | None = None


class Sweep(NamedTuple):
    """Assess everybody at an instant, and pause there if it is one for that."""

    at_ms: int
    pauses: bool


class Begin(NamedTuple):
    """Let time begin again at an instant: the partition's clock is forgotten, and nothing passes in between."""

    at_ms: int


Step: TypeAlias = Fold | Sweep | Begin


def judge(partition: Partition, batch: Batch, pace: Pace) -> Verdicts:
    """Return what is believed of the times of records that come next."""
    return believe(partition.trust, *partition.clock, pace.gap_ms, batch.records, batch.rows)


def steps(partition: Partition, batch: Batch, pace: Pace, verdicts: Verdicts | None = None) -> Iterator[Step]:
    """Yield what to do with records in the order of the stream, letting time pass between them.

    Records of equal instants that stand next to each other are folded in one step.

    Parameters
    ----------
    verdicts
        What `judge` has said of them, if it has been asked.
    """
    verdicts = verdicts or judge(partition, batch, pace)
    is_event, is_folded, instants = batch.is_event, batch.is_folded, batch.instants()
    folded = np.concatenate(([0], np.cumsum(is_folded)))
    start = 0
    for end, begins in [*((index, True) for index in verdicts.anew), (len(batch), False)]:
        watermarks_ms = verdicts.watermarks_ms[:end]
        while start < end:
            stop = end_between(instants, start, start + pace.records_max, end)
            since_ms = _since(partition, watermarks_ms[start:])
            sweeps, stop = _within(partition, since_ms, watermarks_ms, start, min(stop, end), pace)
            if stop > start:
                before = folded[start + np.searchsorted(watermarks_ms[start:], sweeps)] - folded[start]
                reached = Reached(
                    verdicts.watermarks_ms[start:stop][is_folded[start:stop]], verdicts.trust_before(stop, is_event)
                )
                yield Fold(start, stop, Sweeps(sweeps, before) if len(sweeps) else NO_SWEEPS, reached)
                start = stop
            else:
                yield _towards(partition, since_ms, pace.pause_after(since_ms), pace)
        if begins:
            yield Begin(int(verdicts.watermarks_ms[end]))


def _within(
    partition: Partition, since_ms: int, watermarks_ms: Instants, start: int, stop: int, pace: Pace
) -> tuple[Instants, int]:
    """Return the sweeps among the records `[start, stop)`, and where to stop so that a shell pauses no earlier."""
    if since_ms == NO_TIME:
        return NO_SWEEPS.at_ms, stop
    pause_at_ms = pace.pause_after(since_ms)
    stop = min(stop, start + int(np.searchsorted(watermarks_ms[start:], pause_at_ms)))
    if stop == start:
        return NO_SWEEPS.at_ms, stop
    sweeps = _sweeps(since_ms, int(watermarks_ms[stop - 1]), pace)
    if len(sweeps) and _many_due(partition, int(sweeps[-1]), pace):
        return sweeps[:0], start + int(np.searchsorted(watermarks_ms[start:], sweeps[0]))
    return sweeps, stop


def crosses_sweep(partition: Partition, verdicts: Verdicts, pace: Pace) -> bool:
    """Say whether a sweep is due before the last of some records is folded, or time begins again."""
    since_ms = _since(partition, verdicts.watermarks_ms)
    reached_ms = int(verdicts.watermarks_ms.max())
    return bool(verdicts.anew) or (since_ms != NO_TIME and reached_ms >= pace.sweep_after(since_ms))


def pass_time(partition: Partition, until_ms: int, pace: Pace) -> Iterator[Step]:
    """Yield what to do as time passes up to an instant without records; the instant itself is no sweep by that."""
    while (since_ms := max(partition.clock)) != NO_TIME:
        if pace.sweep_after(since_ms) > until_ms:
            return
        yield _towards(partition, since_ms, min(pace.pause_after(since_ms), until_ms), pace)


def _towards(partition: Partition, since_ms: int, until_ms: int, pace: Pace) -> Step:
    """Return the next step that no record is folded at: sweeps up to the last but one, or one alone."""
    sweeps = _sweeps(since_ms, until_ms, pace)
    if len(sweeps) > 1 and not _many_due(partition, int(sweeps[-2]), pace):
        return Fold(0, 0, Sweeps(sweeps[:-1], np.zeros(len(sweeps) - 1, np.intp)))
    at_ms = int(sweeps[0])
    return Sweep(at_ms, is_boundary(at_ms, pace.pause_ms, pace.timezone))


def _since(partition: Partition, watermarks_ms: Instants) -> int:
    """Return how far time has come: in a new partition, the time of its first record."""
    since_ms = max(partition.clock)
    if since_ms != NO_TIME:
        return since_ms
    first = int(np.searchsorted(watermarks_ms, NO_TIME, side="right"))
    return int(watermarks_ms[first]) if first < len(watermarks_ms) else NO_TIME


def _sweeps(since_ms: int, until_ms: int, pace: Pace) -> Instants:
    """Return the instants of sweeps in `(since_ms, until_ms]`."""
    return boundaries(since_ms, until_ms, pace.interval_ms, pace.timezone)


def _many_due(partition: Partition, by_ms: int, pace: Pace) -> bool:
    return int(np.count_nonzero(partition.table.due_at_ms <= by_ms)) > pace.due_max
