"""The main line: events → state → columns → decisions → migrations.

The reference that `native/step.c` is compared with, byte by byte (`tests.native.step_equality`).

A partition is a table of customers, the segmentations they are divided by, and a clock. Two functions look at it and
return what should change, without changing anything; `apply_effects` then changes the table. In between, a shell may
write the effects somewhere durable, or throw them away.

`process_events` folds a chunk of events once and then asks every segmentation who moves. Two questions are asked at
each event of a customer: has silence moved it in the state before, since it was last looked at? Does the event, in the
state after? Time may pass within the chunk, too: whoever is due at one of its sweeps is looked at, whether an event of
the chunk mentions it or not.

`sweep` looks at customers because time has passed, or because a version of a segmentation has taken over.

Every move has one exact instant (see `stream_app.core.segmentation`). So the result depends on each customer's own
events and on when versions took over, and not on when anybody looked, on how events were cut into chunks, on other
customers, or on what other segmentations there are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream_app.core.arrays import Flags, Indices, Instants
from stream_app.core.events import Event, Position
from stream_app.core.partition import NO_SWEEPS, Sweeps
from stream_app.core.segmentation import NEVER_MS
from tests.reference.assessments import Visits, plan_visits
from tests.reference.chunk import FoldedChunk, fold_chunk
from tests.reference.partition import Effects, Partition
from tests.reference.transitions import (
    BLOCK_ROWS,
    Acts,
    Numbered,
    columns_of_acts,
    find_transitions,
    number_transitions,
)


def process_events(
    partition: Partition, events: Sequence[Event], positions: Sequence[Position], sweeps: Sweeps = NO_SWEEPS
) -> Effects:
    """Fold `events`, let time pass between them, and decide who moves.

    Parameters
    ----------
    events
        In the order of the log; instants need not ascend.
    positions
        Where each came from, same length.
    sweeps
        When time passes. All customers who may be due are looked at together: where that may be many, call `sweep`.
    """
    due = partition.table.due_by(int(sweeps.at_ms[-1])) if len(sweeps.at_ms) else np.empty(0, np.intp)
    return _examine(partition, events, positions, sweeps, due)


def sweep(partition: Partition, at_ms: int, first: int = 0, last: int | None = None) -> Effects:
    """Decide who moves because time has passed up to `at_ms`, or because a segmentation's version is new.

    Parameters
    ----------
    first, last
        Row numbers `[first, last)`; the partition's clock only counts as swept when the last row is included,
        so a shell that sweeps in parts does so in ascending order.
    """
    table, clock = partition.table, partition.clock
    at_ms = max(at_ms, clock.swept_at_ms)
    sweeps = Sweeps(np.array([at_ms]), np.zeros(1, np.intp))
    is_whole = last is None or last >= len(table)
    due = table.due_by(at_ms, first, last)
    blocks = [due[start : start + BLOCK_ROWS] for start in range(0, max(len(due), 1), BLOCK_ROWS)]
    parts = [_examine(partition, [], [], sweeps, block) for block in blocks]
    return Effects(
        customer_ids=[customer_id for part in parts for customer_id in part.customer_ids],
        numbers=np.concatenate([part.numbers for part in parts]),
        activity=parts[0].activity,
        histories=(),
        memberships=np.concatenate([part.memberships for part in parts], axis=1),
        due_at_ms=np.concatenate([part.due_at_ms for part in parts]),
        examined=np.concatenate([part.examined for part in parts]),
        examined_due_at_ms=np.concatenate([part.examined_due_at_ms for part in parts]),
        moves=np.concatenate([part.moves for part in parts]),
        migrations=[migration for part in parts for migration in part.migrations],
        clock=clock._replace(swept_at_ms=at_ms) if is_whole else clock,
        swept_at_ms=sweeps.at_ms,
        customers=np.array([len(table)]),
    )


def apply_effects(partition: Partition, effects: Effects) -> Indices:
    """Put effects into the partition's table; return the row numbers of the customers that changed.

    Effects are applied in the order in which they were computed.
    """
    table = partition.table
    numbers = effects.numbers
    fresh = np.flatnonzero(numbers < 0)
    if len(fresh):
        numbers = numbers.copy()
        numbers[fresh] = [table.insert(effects.customer_ids[slot]) for slot in fresh.tolist()]
    if len(effects.activity):
        table.store(numbers[: len(effects.activity)], effects.activity, effects.histories)
    table.store_memberships(numbers, effects.memberships)
    table.store_due(numbers, effects.due_at_ms)
    table.store_due(effects.examined, effects.examined_due_at_ms)
    partition.clock = effects.clock
    return numbers


def _examine(
    partition: Partition, events: Sequence[Event], positions: Sequence[Position], sweeps: Sweeps, due: Indices
) -> Effects:
    """Return what events and sweeps do to the customers of the events and to the rows numbered `due`."""
    chunk = fold_chunk(partition, events, sweeps, due)
    memberships = partition.table.memberships_of(chunk.numbers)
    decided, moved, due_at_ms = _decide(partition, chunk, sweeps, memberships, events, positions)
    touched = len(chunk.histories)
    moved[:touched] = True
    changed, unchanged = np.flatnonzero(moved), np.flatnonzero(~moved)
    entered = np.searchsorted(np.sort(_entered(chunk)), sweeps.before)
    return Effects(
        customer_ids=chunk.customer_ids(partition.table, changed),
        numbers=chunk.numbers[changed],
        activity=chunk.records.take(chunk.latest[:touched]),
        histories=chunk.histories,
        memberships=memberships[:, changed],
        due_at_ms=due_at_ms[changed],
        examined=chunk.numbers[unchanged],
        examined_due_at_ms=due_at_ms[unchanged],
        moves=decided.moves,
        migrations=decided.migrations,
        clock=chunk.clock,
        swept_at_ms=sweeps.at_ms,
        customers=len(partition.table) + entered,
        applied=len(events) - chunk.late - chunk.duplicates,
        late=chunk.late,
        duplicates=chunk.duplicates,
    )


def _decide(
    partition: Partition,
    chunk: FoldedChunk,
    sweeps: Sweeps,
    memberships: np.ndarray,
    events: Sequence[Event],
    positions: Sequence[Position],
) -> tuple[Numbered, Flags, Instants]:
    """Ask every segmentation who moves.

    Returns the moves in the order of the stream, which slots moved, and until when silence moves each of them in
    no segmentation. `memberships` are left as they are afterwards.
    """
    moved = np.zeros(len(chunk.numbers), np.bool_)
    due_at_ms = np.full(len(chunk.numbers), NEVER_MS)
    parts: list[Numbered] = []
    shared: tuple[Visits, Acts] | None = None
    outdated = partition.table.outdated_of(chunk.numbers)
    for index, (segmentation, membership) in enumerate(zip(partition.segmentations, memberships, strict=True)):
        revised = np.flatnonzero(outdated[index])
        assessed_at_ms = membership["assessed_at_ms"]
        assessed_at_ms[revised] = np.maximum(assessed_at_ms[revised], partition.revised_at_ms[index])
        visits = plan_visits(
            chunk,
            sweeps,
            partition.clock.swept_at_ms,
            assessed_at_ms,
            weighs_sessions=segmentation.weighs_sessions,
        )
        # Most segmentations pay the same visits, and then look at the same columns.
        if shared is None or not (
            np.array_equal(shared[0].position, visits.position) and np.array_equal(shared[0].at_ms, visits.at_ms)
        ):
            shared = (visits, columns_of_acts(chunk, visits))
        found, due = find_transitions(segmentation, chunk, sweeps, visits, shared[1], membership, revised)
        np.minimum(due_at_ms, due, out=due_at_ms)
        causes = [(events[event], positions[event]) if event >= 0 else None for event in found.event.tolist()]
        customer_ids = chunk.customer_ids(partition.table, found.slot)
        own = visits.event >= 0
        np.maximum.at(assessed_at_ms, visits.slot[own], visits.at_ms[own])
        context = partition.context if partition.describes else None
        parts.append(number_transitions(segmentation, customer_ids, membership, found, causes, context))
        parts[-1].moves["segmentation"] = index
        moved[found.slot] = True
    moves = np.concatenate([part.moves for part in parts])
    migrations = [migration for part in parts for migration in part.migrations]
    order = np.lexsort([moves[key] for key in ("is_own", "row", "position")])
    described = [migrations[index] for index in order.tolist()] if partition.describes else []
    return Numbered(moves[order], described), moved, due_at_ms


def _entered(chunk: FoldedChunk) -> Indices:
    """Return the index of the first event of each customer that the table does not hold yet."""
    first = chunk.before < 0
    return chunk.events[first]
