"""When each customer of a chunk is assessed, in which state, and since when it has not been.

A *visit* is an instant at which a customer is looked at: an event of its own, or the end of the chunk. At an event two
questions are asked: has silence moved the customer in the state before, since the last visit? Does the event move it,
in the state after? At the end only the first one is. Question 2v is about the span before visit v, 2v + 1 about its
event.

Every customer has a clock of its own, the last instant it was assessed at; it never runs backwards. A sweep moves the
clocks of all, but nobody need be looked at then: a move that silence makes is found at the next visit, for the instant
at which it became true, and is told as found by the first sweep after that (`told_at`).

Part of the reference that `native/step.c` is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream_app.core.arrays import Flags, Indices, Instants
from stream_app.core.partition import Sweeps
from tests.reference.chunk import FoldedChunk


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
        Index of the event; −1 for the end.
    before, after
        Records of the state before and after; before is −1 at a customer's first event, after is −1 at the end.
    is_calm
        Where nothing need be asked about the span before: the table knows that silence moves nobody in it.
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
    is_calm: Flags
    at_ms: Instants
    last_ms: Instants
    decided_at_ms: Instants


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
    everyone = np.arange(len(chunk.numbers))
    nothing, end = np.full(len(everyone), -1), np.full(len(everyone), swept[-1])
    events_and_sweeps = len(chunk.event_ms) + len(sweeps.at_ms)
    columns = (
        np.concatenate((slot, everyone)),
        np.concatenate((event + passed, np.full(len(everyone), events_and_sweeps))),
        np.concatenate((event, nothing)),
        np.concatenate((chunk.before[seen], chunk.latest)),
        np.concatenate((chunk.after[seen], nothing)),
        np.concatenate((chunk.event_ms[event], end)),
        np.concatenate((last_sweep, end)),
        np.concatenate((np.maximum(chunk.watermarks_ms[event], last_sweep), end)),
    )
    order = np.argsort(columns[0], kind="stable")
    slot, position, event, before, after, nominal_ms, last_sweep, decided_ms = (column[order] for column in columns)
    at_ms = _run_clocks(slot, event >= 0, np.maximum(nominal_ms, np.maximum(last_sweep, assessed_at_ms[slot])))
    is_first = np.concatenate((np.ones(min(len(slot), 1), np.bool_), slot[1:] != slot[:-1]))
    last_ms = np.where(is_first, np.maximum(swept_at_ms, assessed_at_ms[slot]), np.roll(at_ms, 1))
    is_calm = is_first & (at_ms < chunk.due_at_ms[slot]) & (event >= 0)
    return Visits(slot, position, event, before, after, is_calm, at_ms, last_ms, decided_ms)


def told_at(visits: Visits, visit: Indices, found_ms: Instants, sweeps: Sweeps) -> tuple[Indices, Instants]:
    """Return where in the stream, and when, moves are told that silence made and visits found.

    Parameters
    ----------
    visit
        Of each move, the visit at which it was found.
    found_ms
        When it became true.
    """
    position, decided_ms = visits.position[visit].copy(), visits.decided_at_ms[visit].copy()
    sweep = np.searchsorted(sweeps.at_ms, found_ms)
    swept = np.flatnonzero(sweep < len(sweeps.at_ms))
    place = sweeps.before[sweep[swept]] + sweep[swept]
    earlier = place < position[swept]
    swept, place = swept[earlier], place[earlier]
    position[swept], decided_ms[swept] = place, sweeps.at_ms[sweep[swept]]
    return position, decided_ms


def _run_clocks(slot: Indices, is_event: Flags, at_ms: Instants) -> Instants:
    """Return when each visit is paid: at its own instant unless its customer is past that already."""
    same_slot = slot[1:] == slot[:-1]
    backwards = same_slot & is_event[1:] & (at_ms[1:] < at_ms[:-1])
    if backwards.any():  # events out of order: a running maximum within each of these slots
        for number in np.unique(slot[1:][backwards]).tolist():
            mine = slice(*np.searchsorted(slot, (number, number + 1)).tolist())
            at_ms[mine] = np.maximum.accumulate(at_ms[mine])
    ends = 1 + np.flatnonzero(same_slot & ~is_event[1:])
    at_ms[ends] = np.maximum(at_ms[ends], at_ms[ends - 1])
    return at_ms
