"""READ FIRST. The main line: events → state → columns → decisions → migrations.

A partition is a table of customers, the segmentations they are divided by, and a clock. Two functions look at it and
return what should change, without changing anything; `apply_effects` then changes the table. In between, a shell may
write the effects somewhere durable, or throw them away.

`process_events` folds a chunk of events once and then asks every segmentation who moves. Customers are assessed twice
at each of their events, at the event's instant: with the state before it (has silence moved the customer meanwhile?)
and with the state after it (does the event?). Time may pass within the chunk, too: at each of its sweeps those are
assessed who may be due, whether an event of the chunk mentions them or not.

`sweep` assesses customers because time has passed, or because a segmentation is new.

The result depends on each customer's own events and on the instants of the sweeps, and not on how events were cut into
chunks, on other customers, or on what other segmentations there are (see `stream_app.core.assessments`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream_app.core.arrays import Indices, Instants
from stream_app.core.assessments import Visits, plan_visits
from stream_app.core.chunk import FoldedChunk, fold_chunk
from stream_app.core.clock import NO_TIME
from stream_app.core.columns import CustomerColumns
from stream_app.core.events import Event, Position
from stream_app.core.migration import Migration
from stream_app.core.partition import NO_SWEEPS, Effects, Partition, Sweeps
from stream_app.core.segmentation import NEVER_MS, Held
from stream_app.core.transitions import BLOCK_ROWS, Transitions, assessed_columns, find_transitions, number_transitions


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
    """Decide who moves because time has passed up to `at_ms`, or because a segmentation is new.

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
    migrations, moved, looked_at = _decide(partition, chunk, sweeps, memberships, events, positions)
    due_at_ms = _next_due(partition, chunk, sweeps, memberships, looked_at)
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
        migrations=migrations,
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
) -> tuple[list[Migration], np.ndarray, CustomerColumns | None]:
    """Ask every segmentation who moves.

    Returns the migrations in the order of the stream, which slots moved, and the columns that were looked at last,
    which `_next_due` may need again. `memberships` are left as they are afterwards.
    """
    moved = np.zeros(len(chunk.numbers), np.bool_)
    migrations: list[list[Migration]] = []
    transitions: list[Transitions] = []
    shared: tuple[Visits, Indices, list[CustomerColumns]] | None = None
    for segmentation, membership in zip(partition.segmentations, memberships, strict=True):
        visits = plan_visits(
            chunk,
            sweeps,
            partition.clock.swept_at_ms,
            membership["assessed_at_ms"],
            weighs_sessions=segmentation.weighs_sessions,
        )
        # Most segmentations pay the same visits, and then look at the same columns.
        if shared is None or not (
            np.array_equal(shared[0].position, visits.position) and np.array_equal(shared[0].at_ms, visits.at_ms)
        ):
            shared = (visits, *assessed_columns(chunk, visits))
        _, assessments, blocks = shared
        found = find_transitions(segmentation, chunk, visits, assessments, blocks, membership)
        causes = [(events[event], positions[event]) if event >= 0 else None for event in found.event.tolist()]
        customer_ids = chunk.customer_ids(partition.table, found.slot)
        own = visits.event >= 0
        np.maximum.at(membership["assessed_at_ms"], visits.slot[own], visits.at_ms[own])
        migrations.append(number_transitions(segmentation, customer_ids, membership, found, causes, partition.context))
        transitions.append(found)
        moved[found.slot] = True
    looked_at = shared[2][0] if shared else None
    if len(migrations) == 1:
        return migrations[0], moved, looked_at
    order = np.lexsort(
        [np.concatenate([getattr(t, key) for t in transitions]) for key in ("is_own", "rank", "position")]
    )
    unordered = [migration for of_one in migrations for migration in of_one]
    return [unordered[index] for index in order.tolist()], moved, looked_at


def _next_due(
    partition: Partition,
    chunk: FoldedChunk,
    sweeps: Sweeps,
    memberships: np.ndarray,
    looked_at: CustomerColumns | None,
) -> Instants:
    """Return for each slot the instant before which silence moves it in no segmentation.

    Worked out when time passes, not at every event: most customers have several before they are looked at again.
    """
    if not len(sweeps.at_ms) or not len(chunk.numbers):
        return np.full(len(chunk.numbers), NO_TIME)
    at_ms = np.maximum(memberships["assessed_at_ms"].max(axis=0), sweeps.at_ms[-1])
    if looked_at is not None and not len(chunk.events) and np.array_equal(looked_at.at_ms, at_ms):
        customers = looked_at  # a sweep alone: everybody was looked at once, at that very instant
    else:
        customers = CustomerColumns(chunk.records.take(chunk.latest), at_ms)
    due_at_ms = np.full(len(customers), NEVER_MS)
    for segmentation, membership in zip(partition.segmentations, memberships, strict=True):
        if segmentation.moves_with_time:
            np.minimum(due_at_ms, segmentation.next_due(customers, Held.of(membership)), out=due_at_ms)
    return due_at_ms


def _entered(chunk: FoldedChunk) -> Indices:
    """Return the index of the first event of each customer that the table does not hold yet."""
    first = chunk.before < 0
    return chunk.events[first]
