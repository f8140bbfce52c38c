from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS, HOUR_MS, NO_TIME, WEEK_MS, next_boundary
from stream_app.core.events import ENGAGEMENT, PURCHASE, Event
from stream_app.core.local_days import following_boundary, is_boundary
from stream_app.core.partition import NO_SWEEPS, Clock, Partition, Reached, Sweeps
from stream_app.core.processor import begin_anew
from stream_app.core.records import NO_RECORDS, Batch, Skipped, batch_of, join_batches
from stream_app.core.timeline import Begin, Fold, Pace, Step, Sweep, crosses_sweep, judge, pass_time, steps
from stream_app.core.trust import Trust
from tests.segmentations.examples import BY_RULES, COLD_START
from tests.support.batches import contents_of
from tests.support.events import START_MS, instant, purchase
from tests.support.playing import play_events, play_sweep, state_of
from tests.support.published import Migration

Stop: TypeAlias = tuple[int, dict[str, bytes]]
"""A pause, and every row as it then stands."""


class Run:
    """What became of a partition: migrations in order, and how it stood at each pause."""

    def __init__(self) -> None:
        self.partition = Partition([COLD_START, BY_RULES])
        self.migrations: list[Migration] = []
        self.pauses: list[Stop] = []
        self.swept_ms: list[int] = []
        self.folded: list[list[tuple[int, int]]] = []
        self._offset = 0

    def fold(
        self, contents: Sequence[Event | Skipped], sweeps: Sweeps | None = None, reached: Reached | None = None
    ) -> None:
        events = [content for content in contents if isinstance(content, Event)]
        played = play_events(self.partition, events, sweeps or NO_SWEEPS, reached, first=self._offset)
        self._offset += len(events)
        self.swept_ms += played.outcome.swept_at_ms.tolist()
        self.migrations += played.migrations

    def sweep(self, at_ms: int, pauses: bool) -> None:
        self.migrations += play_sweep(self.partition, at_ms).migrations
        self.swept_ms.append(at_ms)
        if pauses:
            self.pauses.append((at_ms, state_of(self.partition)))

    def do(self, step: Step, batch: Batch) -> None:
        if isinstance(step, Sweep):
            self.sweep(step.at_ms, step.pauses)
        elif isinstance(step, Begin):
            begin_anew(self.partition)
        else:
            if step.stop > step.start:
                self.folded[-1].append((step.start, step.stop))
            self.fold(contents_of(batch.part(step.start, step.stop)), step.sweeps, step.reached)


def in_steps(batches: Sequence[Batch], pace: Pace, until_ms: int) -> Run:
    """Do what `steps` and `pass_time` say."""
    run = Run()
    for batch in batches:
        run.folded.append([])
        for step in steps(run.partition, batch, pace):
            run.do(step, batch)
    for step in pass_time(run.partition, until_ms, pace):
        run.do(step, NO_RECORDS)
    return run


def one_after_the_other(batches: Sequence[Batch], pace: Pace, until_ms: int) -> Run:
    """Fold instant by instant, and before each let everybody be looked at, at every boundary up to it."""
    run = Run()
    boundary_ms: int | None = None

    def pass_boundary(at_ms: int) -> int:
        run.partition.table.forget_due()
        run.sweep(at_ms, pauses=is_boundary(at_ms, pace.pause_ms, pace.timezone))
        return following_boundary(at_ms, pace.interval_ms, pace.timezone)

    verdicts = judge(run.partition, join_batches(batches), pace)
    believed_ms, is_event = verdicts.watermarks_ms, join_batches(batches).is_event
    first = 0
    for batch in batches:
        leaps = (np.flatnonzero(np.diff(believed_ms[first : first + len(batch)])) + 1).tolist()
        for start, stop in pairwise(sorted({0, *batch.instants().tolist(), *leaps, len(batch)})):
            watermark_ms = int(believed_ms[first + start])
            if first + start in verdicts.anew:
                begin_anew(run.partition)
                boundary_ms = None
            if boundary_ms is None and watermark_ms != NO_TIME:
                boundary_ms = following_boundary(watermark_ms, pace.interval_ms, pace.timezone)
            while boundary_ms is not None and boundary_ms <= watermark_ms:
                boundary_ms = pass_boundary(boundary_ms)
            own = slice(first + start, first + stop)
            run.fold(contents_of(batch.part(start, stop)), None, Reached(believed_ms[own][is_event[own]], Trust()))
        first += len(batch)
    while boundary_ms is not None and boundary_ms <= until_ms:
        boundary_ms = pass_boundary(boundary_ms)
    return run


@st.composite
def streams(draw: st.DrawFn) -> list[Batch]:
    """Draw batches of one source: late events, repetitions, records that are none, gaps of weeks."""
    batches: list[Batch] = []
    clock_ms, watermark_ms = START_MS + draw(st.sampled_from([0, 7 * HOUR_MS])), NO_TIME
    known: list[Event] = []
    for _ in range(draw(st.integers(1, 3))):
        contents: list[Event | Skipped] = []
        for _ in range(draw(st.integers(1, 10))):
            kind = draw(st.sampled_from(["event", "event", "event", "event", "again", "refused"]))
            clock_ms += draw(st.sampled_from([0, 1, HOUR_MS, DAY_MS, 2 * DAY_MS, 30 * DAY_MS]))
            if kind == "refused" or (kind == "again" and not known):
                contents.append(Skipped(None))
            elif kind == "again":
                contents.append(draw(st.sampled_from(known[-4:])))
            else:
                at_ms = clock_ms - draw(st.sampled_from([0, 0, 0, HOUR_MS, 3 * DAY_MS]))
                number = len(known)
                customer_id = f"c{draw(st.integers(1, 4))}"
                if draw(st.booleans()):
                    event = Event(PURCHASE, customer_id, f"e{number}", at_ms, "order", 2_000, f"o{number}")
                else:
                    event = Event(ENGAGEMENT, customer_id, f"e{number}", at_ms, "search")
                known.append(event)
                contents.append(event)
        batches.append(batch_of(contents, 0, range(len(contents)), watermark_ms))
        watermark_ms = int(batches[-1].watermarks_ms[-1])
    return batches


paces = st.builds(
    Pace,
    st.sampled_from([12 * HOUR_MS, DAY_MS]),
    st.sampled_from([DAY_MS, WEEK_MS]),
    st.sampled_from([1, 3, 100]),
    st.sampled_from([0, 1, 100]),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
    st.sampled_from([7 * DAY_MS, 365 * DAY_MS]),
)


@given(streams(), paces, st.sampled_from([0, 1, DAY_MS, 40 * DAY_MS]))
def test_steps_do_what_folding_and_sweeping_one_after_the_other_does(
    batches: list[Batch], pace: Pace, further_ms: int
) -> None:
    until_ms = int(batches[-1].watermarks_ms[-1]) + further_ms
    found, expected = in_steps(batches, pace, until_ms), one_after_the_other(batches, pace, until_ms)
    assert found.migrations == expected.migrations
    assert found.swept_ms == expected.swept_ms
    assert found.pauses == expected.pauses
    assert state_of(found.partition) == state_of(expected.partition)
    assert found.partition.clock == expected.partition.clock


@given(streams(), paces)
def test_every_record_is_in_one_step_and_every_instant_too_within_the_pace_or_alone(
    batches: list[Batch], pace: Pace
) -> None:
    pace = pace._replace(gap_ms=365 * DAY_MS)  # what ends a doubt may stand at an instant of its own
    run = in_steps(batches, pace, NO_TIME)
    for batch, parts in zip(batches, run.folded, strict=True):
        assert [start for start, _ in parts] == [0, *(stop for _, stop in parts[:-1])]
        assert parts[-1][1] == len(batch)
        instants = {0, *batch.instants().tolist(), len(batch)}
        assert {stop for _, stop in parts} <= instants
        for start, stop in parts:
            assert stop - start <= pace.records_max or not instants & set(range(start + 1, stop))


# --- many who are due -----------------------------------------------------------------------------------------------

PACE = Pace(DAY_MS, WEEK_MS, 100, due_max=2, gap_ms=365 * DAY_MS)


def purchase_at(at_ms: int) -> Event:
    return Event(PURCHASE, "c9", f"e{at_ms}", at_ms, "order", 2_000, f"o{at_ms}")


def events_at(*days: float) -> Batch:
    return batch_of([purchase_at(instant(day)) for day in days], 0, range(len(days)), NO_TIME)


def crowded(customers: int) -> Run:
    run = Run()
    run.fold([purchase(0.5, customer_id=f"c{number}") for number in range(customers)])
    return run


@pytest.mark.parametrize(("customers", "alone"), [(2, False), (3, True)])
def test_sweep_of_more_customers_than_may_be_due_in_a_chunk_is_a_step_of_its_own(customers: int, alone: bool) -> None:
    run = crowded(customers)  # no longer new on day 30.5
    batch = events_at(0.6, 30.8, 31.5)
    pace = PACE._replace(pause_ms=100 * WEEK_MS)
    first = next(steps(run.partition, batch, pace))
    assert isinstance(first, Fold)
    assert (first.start, first.stop) == ((0, 1) if alone else (0, 3))
    assert first.sweeps.at_ms.tolist() == ([] if alone else [instant(day) for day in range(1, 32)])
    assert first.sweeps.before.tolist() == ([] if alone else [1] * 30 + [2])
    run.fold([purchase(0.6)], first.sweeps if not alone else None)
    if alone:
        second = next(steps(run.partition, batch.part(1, 3), pace))
        assert second == Sweep(instant(1), pauses=False)


def test_gap_is_passed_in_one_step_up_to_the_last_sweep_before_a_pause() -> None:
    run = crowded(1)
    monday_ms = next_boundary(instant(0.5), WEEK_MS)
    first, second = [], []
    for step in steps(run.partition, batch_of([purchase_at(monday_ms + 10 * DAY_MS)], 0, [0], NO_TIME), PACE):
        (first if not second and isinstance(step, Fold) else second).append(step)
        run.do(step, NO_RECORDS)
        if len(second) == 1:
            break
    (fold,) = first
    assert (fold.start, fold.stop) == (0, 0)
    assert fold.sweeps.at_ms.tolist() == list(range(instant(1), monday_ms, DAY_MS))
    assert second == [Sweep(monday_ms, pauses=True)]


# --- where no time is known ------------------------------------------------------------------------------------------


def test_records_before_the_first_event_are_folded_as_they_come_and_no_time_passes() -> None:
    partition = Partition([COLD_START])
    refused = batch_of([Skipped(None)] * 5, 0, range(5), NO_TIME)
    found = list(steps(partition, refused, Pace(DAY_MS, WEEK_MS, 2)))
    assert [(step.start, step.stop) for step in found if isinstance(step, Fold)] == [(0, 5)]
    assert all(isinstance(step, Fold) and not len(step.sweeps.at_ms) for step in found)
    assert list(pass_time(partition, instant(100), PACE)) == []
    assert not crosses_sweep(partition, judge(partition, refused, PACE), PACE)


def test_time_begins_with_the_first_event() -> None:
    partition = Partition([COLD_START])
    contents = [Skipped(None), purchase_at(instant(3.5)), purchase_at(instant(4.5))]
    (step,) = steps(partition, batch_of(contents, 0, range(3), NO_TIME), Pace(DAY_MS, 100 * WEEK_MS, 9))
    assert isinstance(step, Fold)
    assert (step.start, step.stop) == (0, 3)
    assert (step.sweeps.at_ms.tolist(), step.sweeps.before.tolist()) == ([instant(4)], [1])


@pytest.mark.parametrize(("last", "crosses"), [(1.999, False), (2.0, True), (2.5, True)])
def test_records_cross_a_sweep_once_the_last_of_them_reaches_it(last: float, crosses: bool) -> None:
    partition = Partition([COLD_START], clock=Clock(instant(1.5), instant(1)))
    assert crosses_sweep(partition, judge(partition, events_at(1.6, last), PACE), PACE) == crosses
