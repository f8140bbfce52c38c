"""When each customer of a chunk is assessed, in which state, and since when it has not been.

A *visit* is an instant at which a customer is looked at: an event of its own, or a sweep. At an event it is assessed
twice, in the state before (has silence moved it meanwhile?) and in the state after (does the event?); at a sweep once.
Assessment 2v is of the state before visit v, 2v + 1 of the state after it.

Every customer has a clock of its own, the last instant it was assessed at; it never runs backwards. A sweep moves the
clocks of all, also of those who need not be looked at, so the instants come out the same however few are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream_app.core.arrays import Indices, Instants
from stream_app.core.chunk import FoldedChunk
from stream_app.core.partition import Sweeps


@dataclass(frozen=True)
class Visits:
    """Visits of a chunk's customers, in order of slot and then of time; each column has an entry for each visit.

    Attributes
    ----------
    slot
        Whose.
    position
        Place in the stream of events and sweeps.
    event
        Index of the event; −1 for a sweep.
    before, after
        Records of the state before and after; before is −1 at a customer's first event, after is −1 at a sweep.
    at_ms
        The instant of assessment.
    last_ms
        The instant up to which the customer had been assessed.
    decided_at_ms
        The instant at which it is found, by the clock of the partition.
    """

    slot: Indices
    position: Indices
    event: Indices
    before: Indices
    after: Indices
    at_ms: Instants
    last_ms: Instants
    decided_at_ms: Instants

    def __len__(self) -> int:
        return len(self.slot)


def plan_visits(
    chunk: FoldedChunk, sweeps: Sweeps, swept_at_ms: int, assessed_at_ms: Instants, *, weighs_sessions: bool
) -> Visits:
    """Return all visits that one segmentation pays.

    Parameters
    ----------
    swept_at_ms
        The last sweep before the chunk.
    assessed_at_ms
        When each slot's customer had been assessed last, `NO_TIME` for a new one.
    weighs_sessions
        Whether events that only continue a session count as visits.
    """
    seen = slice(None) if weighs_sessions else ~chunk.in_session
    slot, event = chunk.slots[seen], chunk.events[seen]
    passed = np.searchsorted(sweeps.before, event, side="right")
    swept = np.concatenate(([swept_at_ms], sweeps.at_ms))
    last_sweep = swept[passed]
    columns = (
        slot,
        event + passed,
        event,
        chunk.before[seen],
        chunk.after[seen],
        chunk.event_ms[event],
        last_sweep,
        np.maximum(chunk.watermarks_ms[event], last_sweep),
    )
    if len(sweeps.at_ms):
        swept_columns = _sweep_visits(chunk, sweeps, swept)
        joined = tuple(np.concatenate(pair) for pair in zip(columns, swept_columns, strict=True))
        order = np.lexsort((joined[1], joined[0]))
        columns = tuple(column[order] for column in joined)  # type: ignore[assignment]
    slot, position, event, before, after, nominal_ms, last_sweep, decided_ms = columns
    at_ms, last_ms = _run_clocks(slot, nominal_ms, np.maximum(last_sweep, assessed_at_ms[slot]))
    return Visits(slot, position, event, before, after, at_ms, last_ms, decided_ms)


def _sweep_visits(chunk: FoldedChunk, sweeps: Sweeps, swept: Instants) -> tuple[np.ndarray, ...]:
    """Return the visits that sweeps pay, in the columns that `plan_visits` joins."""
    slots, number = np.divmod(np.arange(len(chunk.numbers) * len(sweeps.at_ms)), len(sweeps.at_ms))
    width = len(chunk.event_ms) + 1
    # Which of its states a slot was in: the last one whose event lies before the sweep.
    behind = np.searchsorted(chunk.slots * width + chunk.events, slots * width + sweeps.before[number])
    first = np.searchsorted(chunk.slots, np.arange(len(chunk.numbers)))[slots]
    untouched = behind == first
    known = ~untouched | (chunk.numbers[slots] >= 0)
    wanted = np.flatnonzero(known & ~(untouched & (sweeps.at_ms[number] < chunk.due_at_ms[slots])))
    slots, number, behind, untouched = slots[wanted], number[wanted], behind[wanted], untouched[wanted]
    state = np.where(untouched, slots, chunk.after[behind - 1] if len(chunk.after) else slots)
    nothing = np.full(len(wanted), -1)
    at_ms = sweeps.at_ms[number]
    return slots, sweeps.before[number] + number, nothing, state, nothing, at_ms, swept[number], at_ms


def _run_clocks(slot: Indices, nominal_ms: Instants, floor_ms: Instants) -> tuple[Instants, Instants]:
    """Return when each visit is paid, and up to when its customer had been assessed before it.

    A customer is assessed at the visit's own instant unless it is past that already.
    """
    at_ms = np.maximum(nominal_ms, floor_ms)
    same_slot = slot[1:] == slot[:-1]
    backwards = same_slot & (at_ms[1:] < at_ms[:-1])
    if backwards.any():  # events out of order: a running maximum within each of these slots
        for number in np.unique(slot[1:][backwards]).tolist():
            mine = slice(*np.searchsorted(slot, (number, number + 1)).tolist())
            at_ms[mine] = np.maximum.accumulate(at_ms[mine])
    last_ms = floor_ms.copy()
    last_ms[1:][same_slot] = np.maximum(last_ms[1:], at_ms[:-1])[same_slot]
    return at_ms, last_ms
