"""Finding who moves within one segmentation, dating the moves that no event caused, and numbering them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from stream_app.core.arrays import Codes, Flags, Indices, Instants
from stream_app.core.assessments import Visits
from stream_app.core.chunk import FoldedChunk
from stream_app.core.columns import CustomerColumns
from stream_app.core.events import Event, Position
from stream_app.core.migration import Migration, describe_moves
from stream_app.core.moves import (
    DEFINITION,
    ENTERED,
    LAPSE,
    LAPSED,
    LEFT,
    MODEL,
    MOVED,
    RETURNED,
    MigrationContext,
    Moves,
)
from stream_app.core.quantities import last_event_ms
from stream_app.core.segmentation import Held, Segmentation
from stream_app.core.segments import NO_SEGMENT, NOWHERE

BLOCK_ROWS: Final = 16_384
"""Customers that are scored at once: a dozen columns of so many numbers stay in a core's cache."""
_UNKNOWN: Final = -1
"""Kind of a move that an event caused, before the event has been looked at."""


@dataclass
class Transitions:
    """Moves that were found, one entry each, in the order of the stream.

    Attributes
    ----------
    slot
        Whose.
    position, rank, is_own
        What the order is made of: the place in the stream, the customer's number, and whether the state after an event
        was assessed.
    event
        Index of the event that caused it, −1 for none.
    kind
        Index of `CAUSE_KINDS`; `_UNKNOWN` for an event.
    target
        Index of the roster, or `NOWHERE`.
    effective_at_ms, decided_at_ms
        When it became true, and when it was found.
    assessed_at_ms
        The instant of the assessment that found it.
    before, before_ms, after
        See `Moves`.
    from_code, previous, since_ms
        The membership that it ends.
    """

    slot: Indices
    position: Indices
    rank: Indices
    is_own: Flags
    event: Indices
    kind: npt.NDArray[np.int64]
    target: Indices
    effective_at_ms: Instants
    decided_at_ms: Instants
    assessed_at_ms: Instants
    before: np.ndarray
    before_ms: Instants
    after: np.ndarray
    from_code: Codes
    previous: Codes
    since_ms: Instants


_COLUMNS: Final = tuple(column.name for column in fields(Transitions))


def assessed_columns(chunk: FoldedChunk, visits: Visits) -> tuple[Indices, list[CustomerColumns]]:
    """Return the assessments that there are, ascending, and block by block the customers in their states then."""
    record = np.empty(2 * len(visits), np.intp)
    record[0::2], record[1::2] = visits.before, visits.after
    assessments = np.flatnonzero(record >= 0)
    record, at_ms = record[assessments], visits.at_ms[assessments // 2]
    return assessments, [
        CustomerColumns(chunk.records.take(record[start : start + BLOCK_ROWS]), at_ms[start : start + BLOCK_ROWS])
        for start in range(0, max(len(record), 1), BLOCK_ROWS)
    ]


def find_transitions(
    segmentation: Segmentation,
    chunk: FoldedChunk,
    visits: Visits,
    assessments: Indices,
    blocks: Sequence[CustomerColumns],
    membership: np.ndarray,
) -> Transitions:
    """Find all moves and leave `membership`, an entry a slot, as it is after them, but for instants and sequence.

    Customers move so rarely that assuming "nobody has moved" decides nearly all assessments at once; those who did are
    decided again from there on, until nobody moves.
    """
    pending = np.arange(len(assessments))
    scores = np.concatenate([segmentation.score(columns) for columns in blocks])
    slots, at_ms = visits.slot[assessments // 2], visits.at_ms[assessments // 2]
    rounds: list[Transitions] = []
    while True:
        held = Held.of(membership.take(slots[pending]))
        target, moves = segmentation.decide(scores[pending], held, at_ms[pending])
        moved_slots, first = np.unique(slots[pending[moves]], return_index=True)
        moved, target = pending[moves][first], target[moves][first]
        # Dated at once: when a segment was entered decides when the customer may go back to the one before.
        found = _transitions(segmentation, chunk, visits, assessments[moved], target, membership.take(moved_slots))
        rounds.append(found)
        if not len(moved):
            break
        membership["previous"][moved_slots] = membership["segment"][moved_slots]
        membership["segment"][moved_slots] = segmentation.roster.codes[target]
        membership["since_ms"][moved_slots] = found.effective_at_ms
        moved_at = np.full(len(membership), len(assessments))
        moved_at[moved_slots] = moved
        pending = pending[pending > moved_at[slots[pending]]]
        if not len(pending):
            break
    if len(rounds) == 1:
        found = rounds[0]
    else:
        found = Transitions(*(np.concatenate([getattr(found, name) for found in rounds]) for name in _COLUMNS))
    order = np.lexsort((found.is_own, found.rank, found.position))
    return Transitions(*(getattr(found, name)[order] for name in _COLUMNS))


def _transitions(
    segmentation: Segmentation,
    chunk: FoldedChunk,
    visits: Visits,
    assessment: Indices,
    target: Indices,
    origin: np.ndarray,
) -> Transitions:
    """Return moves found at these assessments, by customers whose memberships were `origin`."""
    visit, is_own = assessment // 2, assessment % 2 == 1
    slot, at_ms = visits.slot[visit], visits.at_ms[visit]
    before, after = visits.before[visit], visits.after[visit]
    compared = chunk.records.take(np.where(before >= 0, before, after))
    found = Transitions(
        slot=slot,
        position=visits.position[visit],
        rank=chunk.ranks[slot],
        is_own=is_own,
        event=np.where(is_own, visits.event[visit], -1),
        kind=np.where(is_own, _UNKNOWN, LAPSE),
        target=target,
        effective_at_ms=at_ms.copy(),
        decided_at_ms=visits.decided_at_ms[visit],
        assessed_at_ms=at_ms,
        before=compared,
        before_ms=np.where(is_own, at_ms, last_event_ms(compared)),
        after=chunk.records.take(np.where(is_own, after, before)),
        from_code=origin["segment"],
        previous=origin["previous"],
        since_ms=origin["since_ms"],
    )
    _date_silent_moves(segmentation, found, np.minimum(visits.last_ms[visit], at_ms))
    return found


def _date_silent_moves(segmentation: Segmentation, found: Transitions, after_ms: Instants) -> None:
    """Find the exact instant of each move that no event caused, and whether time or a new version caused it.

    A move that was due already when the customer was last assessed was not due under the version of that time: only the
    segmentation can have changed since. Unless a session continued after that, at whose events nobody was assessed:
    such a move is dated at the session's last event. Whoever is in no segment of this version moves because of it, even
    if silence has changed where to.
    """
    silent = np.flatnonzero(found.kind == LAPSE)
    if not len(silent):
        return
    records, target = found.after.take(silent), found.target[silent]
    held = Held(found.from_code[silent], found.previous[silent], found.since_ms[silent])
    start_ms, end_ms = after_ms[silent], found.effective_at_ms[silent]
    started_ms = np.minimum(np.maximum(start_ms, last_event_ms(records)), end_ms)
    customers = CustomerColumns(records, started_ms)
    decision = segmentation.decide(segmentation.score(customers), held, started_ms)
    due_already = decision.moves & (decision.target == target)
    is_known = segmentation.roster.index_of_code[held.segment] != NOWHERE
    in_session = (started_ms > start_ms) & is_known & ~np.bool_(segmentation.weighs_sessions)
    by_version = due_already & ~in_session
    started_ms = started_ms - (due_already & in_session)
    kinds = np.where(by_version | ~is_known, segmentation.revised_by, LAPSE)
    kinds[held.segment == NO_SEGMENT] = DEFINITION
    found.kind[silent] = kinds
    found.effective_at_ms[silent[by_version]] = started_ms[by_version]
    by_time = np.flatnonzero(~by_version)
    found.effective_at_ms[silent[by_time]] = segmentation.first_due(
        customers.at(by_time, started_ms[by_time]),
        held.at(by_time),
        target[by_time],
        started_ms[by_time],
        end_ms[by_time],
    )


def number_transitions(
    segmentation: Segmentation,
    customer_ids: Sequence[str],
    membership: np.ndarray,
    found: Transitions,
    causes: Sequence[tuple[Event, Position] | None],
    context: MigrationContext,
) -> list[Migration]:
    """Give the moves their numbers, finish `membership` and return the migrations."""
    if not len(found.slot):
        return []
    held = Held(found.from_code, found.previous, found.since_ms)
    waited = (found.kind == LAPSE) & segmentation.ends_wait(held, found.effective_at_ms)
    # Lists, because reading one number from an array takes five times as long. A customer may move more than once.
    slots, kinds = found.slot.tolist(), found.kind.tolist()
    sequences, changes = membership["sequence"].tolist(), membership["change"].tolist()
    sequence: list[int] = []
    change: list[int] = []
    columns = zip(slots, found.from_code.tolist(), found.target.tolist(), waited.tolist(), causes, strict=True)
    for move, (slot, from_code, target, has_waited, event_at) in enumerate(columns):
        if event_at is not None:
            kinds[move] = event_at[0].kind
        kind = kinds[move]
        if target == NOWHERE:
            changes[slot] = LEFT
        elif from_code == NO_SEGMENT:
            changes[slot] = ENTERED
        elif kind == LAPSE and not has_waited:
            changes[slot] = LAPSED
        elif kind < LAPSE and changes[slot] == LAPSED:
            changes[slot] = RETURNED
        else:
            changes[slot] = MOVED
        sequences[slot] += 1
        change.append(changes[slot])
        sequence.append(sequences[slot])
    found.kind[:] = kinds
    membership["sequence"], membership["change"] = sequences, changes
    membership["model_version"][found.slot] = segmentation.version
    membership["since_ms"][found.slot] = found.effective_at_ms  # where a slot is repeated, the last one stays
    np.maximum.at(membership["assessed_at_ms"], found.slot, found.assessed_at_ms)
    by_version = (found.kind == MODEL) | (found.kind == DEFINITION)
    return describe_moves(
        Moves(
            customer_ids=customer_ids,
            cause_kind=found.kind,
            change=np.array(change, np.int64),
            from_code=found.from_code,
            target=found.target,
            sequence=np.array(sequence, np.int64),
            effective_at_ms=found.effective_at_ms,
            decided_at_ms=np.maximum(found.decided_at_ms, found.effective_at_ms),
            before=found.before,
            before_ms=np.where(by_version, found.effective_at_ms, found.before_ms),
            after=found.after,
            waited=waited,
            causes=causes,
        ),
        segmentation,
        context,
    )
