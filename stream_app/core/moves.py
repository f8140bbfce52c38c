"""Finding who moves, dating the moves that no event caused, and numbering them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from stream_app.core.assignment import Codes, Flags, Indices, Instants, decide, first_instant
from stream_app.core.chunk import Chunk
from stream_app.core.events import Event, Position
from stream_app.core.features import quantities_at
from stream_app.core.migration import (
    ENTERED,
    LAPSE,
    LAPSED,
    MODEL,
    MOVED,
    RETURNED,
    Migration,
    Moves,
    describe_moves,
    no_return_ends_ms,
)
from stream_app.core.partition import Partition
from stream_app.core.snapshot import NO_SEGMENT, Snapshot


@dataclass
class Found:
    """Moves that were found, one entry each; effective instants of silent moves are dated afterwards."""

    slot: Indices
    event: Indices
    kind: npt.NDArray[np.int64]
    target: Indices
    effective_at_ms: Instants
    decided_at_ms: Instants
    before: np.ndarray
    before_ms: Instants
    after: np.ndarray
    from_code: Codes
    previous: Codes
    since_ms: Instants


_COLUMNS: Final = tuple(column.name for column in fields(Found))


def last_event_ms(activity: np.ndarray) -> Instants:
    """Return the instant of each customer's last event, shape `(n,)`."""
    return np.asarray(np.maximum(activity["ordered_at_ms"], activity["engaged_at_ms"]))


def decide_rows(
    snapshot: Snapshot, scores: np.ndarray, membership: np.ndarray, at_ms: Instants
) -> tuple[Indices, Flags]:
    """`decide` for customers with these memberships."""
    return decide(snapshot, scores, membership["segment"], membership["previous"], membership["since_ms"], at_ms)


def find_moves(partition: Partition, chunk: Chunk, membership: np.ndarray) -> Found:
    """Find all moves in a chunk and leave `membership` as it is after them, but for instants and sequence.

    Assessment 2e is of the state before assessed event e of the chunk, 2e + 1 of the state after it.
    """
    count = len(chunk.slots)
    record = np.empty(2 * count, np.intp)
    record[0::2], record[1::2] = chunk.before, chunk.after
    slot = np.repeat(chunk.slots, 2)
    at_ms = np.repeat(chunk.at_ms, 2)
    pending = np.flatnonzero(record >= 0)
    scores = np.empty((2 * count, len(partition.snapshot.segments)))
    scores[pending] = partition.snapshot.score_quantities(
        quantities_at(chunk.records.take(record[pending]), at_ms[pending])
    )
    assessments: list[Indices] = []
    rounds: list[Found] = []
    while len(pending):
        target, moves = decide_rows(partition.snapshot, scores[pending], membership.take(slot[pending]), at_ms[pending])
        moved_slots, first = np.unique(slot[pending[moves]], return_index=True)
        moved = pending[moves][first]
        # Dated at once: when a segment was entered decides when the customer may go back to the one before.
        found = _date_moves(partition, chunk, moved, target[moves][first], membership.take(moved_slots))
        assessments.append(moved)
        rounds.append(found)
        membership["previous"][moved_slots] = membership["segment"][moved_slots]
        membership["segment"][moved_slots] = partition.snapshot.codes[target[moves][first]]
        membership["since_ms"][moved_slots] = found.effective_at_ms
        moved_at = np.full(len(membership), 2 * count)
        moved_at[moved_slots] = moved
        pending = pending[pending > moved_at[slot[pending]]]
    assessment = np.concatenate(assessments)
    order = np.lexsort((assessment % 2, chunk.events[assessment // 2]))  # as the log has them
    return Found(*(np.concatenate([getattr(found, name) for found in rounds])[order] for name in _COLUMNS))


def _date_moves(partition: Partition, chunk: Chunk, assessment: Indices, target: Indices, origin: np.ndarray) -> Found:
    """Return moves found at these assessments, by customers whose memberships were `origin`."""
    event, silent = assessment // 2, assessment % 2 == 0
    at_ms = chunk.at_ms[event]
    after = chunk.records.take(np.where(silent, chunk.before[event], chunk.after[event]))
    before = chunk.records.take(np.where(chunk.before[event] >= 0, chunk.before[event], chunk.after[event]))
    found = Found(
        slot=chunk.slots[event],
        event=np.where(silent, -1, chunk.events[event]),
        kind=np.where(silent, LAPSE, -1),
        target=target,
        effective_at_ms=at_ms.copy(),
        decided_at_ms=np.maximum(chunk.watermarks_ms[event], partition.clock.swept_at_ms),
        before=before,
        before_ms=np.where(silent, last_event_ms(before), at_ms),
        after=after,
        from_code=origin["segment"].copy(),
        previous=origin["previous"].copy(),
        since_ms=origin["since_ms"].copy(),
    )
    date_silent_moves(partition.snapshot, found, np.minimum(chunk.assessed_ms[event], at_ms))
    return found


def date_silent_moves(snapshot: Snapshot, found: Found, after_ms: Instants) -> None:
    """Find the exact instant of each move that no event caused, and whether time or the model caused it.

    A move that was due already when the customer was last assessed was not due under the model of that time:
    only the model can have changed since. Unless a session went on after that, at whose events nobody is assessed
    (see `fold_events`): such a move is dated at the session's last event.
    """
    silent = np.flatnonzero(found.kind == LAPSE)
    if not len(silent):
        return
    records = found.after.take(silent)

    def due(chosen: Indices, at_ms: Instants) -> Flags:
        rows = silent[chosen]
        scores = snapshot.score_quantities(quantities_at(found.after.take(rows), at_ms))
        nearest, moves = decide(
            snapshot, scores, found.from_code[rows], found.previous[rows], found.since_ms[rows], at_ms
        )
        return np.asarray(moves & (nearest == found.target[rows]))

    everyone = np.arange(len(silent))
    start_ms, end_ms = after_ms[silent], found.effective_at_ms[silent]
    started_ms = np.minimum(np.maximum(start_ms, last_event_ms(records)), end_ms)
    due_already, in_session = due(everyone, started_ms), started_ms > start_ms
    by_model = due_already & ~in_session
    started_ms -= due_already & in_session
    found.kind[silent[by_model]] = MODEL
    by_time = everyone[~by_model]
    found.effective_at_ms[silent[by_time]] = first_instant(
        lambda chosen, at_ms: due(by_time[chosen], at_ms), started_ms[by_time], end_ms[by_time]
    )
    found.effective_at_ms[silent[by_model]] = started_ms[by_model]


def migrate(
    partition: Partition,
    customer_ids: Sequence[str],
    membership: np.ndarray,
    found: Found,
    causes: Sequence[tuple[Event, Position] | None],
) -> list[Migration]:
    """Give the moves their numbers, finish `membership` and return the migrations."""
    waited = (found.kind == LAPSE) & (found.effective_at_ms == no_return_ends_ms(found.since_ms, partition.snapshot))
    # Lists, because reading one number from an array takes five times as long. A customer may move more than once.
    slots, kinds = found.slot.tolist(), found.kind.tolist()
    sequences, changes = membership["sequence"].tolist(), membership["change"].tolist()
    sequence: list[int] = []
    change: list[int] = []
    columns = zip(slots, found.from_code.tolist(), waited.tolist(), causes, strict=True)
    for move, (slot, from_code, has_waited, event_at) in enumerate(columns):
        if event_at is not None:
            kinds[move] = event_at[0].kind
        kind = kinds[move]
        if from_code == NO_SEGMENT:
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
    membership["model_version"][found.slot] = partition.snapshot.version
    membership["since_ms"][found.slot] = found.effective_at_ms  # where a slot is repeated, the last one stays
    return describe_moves(
        Moves(
            customer_ids=[customer_ids[slot] for slot in slots],
            cause_kind=found.kind,
            change=np.array(change, np.int64),
            from_code=found.from_code,
            target=found.target,
            sequence=np.array(sequence, np.int64),
            effective_at_ms=found.effective_at_ms,
            decided_at_ms=np.maximum(found.decided_at_ms, found.effective_at_ms),
            before=found.before,
            before_ms=np.where(found.kind == MODEL, found.effective_at_ms, found.before_ms),
            after=found.after,
            waited=waited,
            causes=causes,
        ),
        partition.snapshot,
        partition.rules,
    )
