"""READ FIRST. The main line: events → state → features → assignment → migrations.

A partition is a table of customers, a snapshot and a clock. Two functions look at it and return what should
change, without changing anything; `apply_effects` then changes the table. In between, a shell may write the
effects somewhere durable, or throw them away.

`process_events` folds a chunk of events, then assesses customers twice at each of their events (but not within a
session, see `fold_events`), at the event's instant: with the state before it (has silence moved the customer
meanwhile?) and with the state after it (does the event?). Both for the whole chunk at once: customers move so
rarely that assuming "nobody has moved" decides nearly all; those who did are decided again from there on, until
nothing moves.

`sweep` assesses customers because time has passed, or because the snapshot is new.

Every customer has its own clock, the last instant it was assessed at; it never runs backwards. So the result
depends on each customer's own events and on the instants of the sweeps, and not on how events were cut into
chunks or interleaved with those of others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from stream_app.core.assignment import Indices
from stream_app.core.chunk import fold_chunk, memberships_before
from stream_app.core.events import Event, Position
from stream_app.core.features import quantities_at
from stream_app.core.migration import LAPSE, Migration
from stream_app.core.moves import Found, date_silent_moves, decide_rows, find_moves, last_event_ms, migrate
from stream_app.core.partition import Effects, Partition

BLOCK_ROWS: Final = 16_384
"""Customers a sweep evaluates at once: a dozen columns of so many numbers stay in a core's cache."""


def process_events(partition: Partition, events: Sequence[Event], positions: Sequence[Position]) -> Effects:
    """Fold `events` and decide who moves because of them.

    Parameters
    ----------
    events
        In the order of the log; instants need not ascend.
    positions
        Where each came from, same length.
    """
    chunk = fold_chunk(partition, events)
    membership = memberships_before(partition, chunk)
    if not len(chunk.slots):
        migrations: list[Migration] = []
    else:
        found = find_moves(partition, chunk, membership)
        causes = [(events[e], positions[e]) if e >= 0 else None for e in found.event.tolist()]
        migrations = migrate(partition, chunk.customer_ids, membership, found, causes)
        np.maximum.at(membership["assessed_at_ms"], chunk.slots, chunk.at_ms)
    return Effects(
        customer_ids=chunk.customer_ids,
        numbers=chunk.numbers,
        activity=chunk.records.take(chunk.latest),
        memories=chunk.memories,
        membership=membership,
        migrations=migrations,
        clock=chunk.clock,
        applied=len(events) - chunk.late - chunk.duplicates,
        late=chunk.late,
        duplicates=chunk.duplicates,
    )


def sweep(partition: Partition, at_ms: int, first: int = 0, last: int | None = None) -> Effects:
    """Decide who moves because time has passed up to `at_ms`, or because the snapshot is new.

    Parameters
    ----------
    first, last
        Row numbers `[first, last)`; the partition's clock only counts as swept when the last row is included,
        so a shell that sweeps in parts does so in ascending order.
    """
    table = partition.table
    at_ms = max(at_ms, partition.clock.swept_at_ms)
    last = len(table) if last is None else min(last, len(table))
    blocks = [
        _moving(partition, at_ms, start, min(start + BLOCK_ROWS, last)) for start in range(first, last, BLOCK_ROWS)
    ]
    numbers = np.concatenate([moving for moving, _ in blocks]) if blocks else np.empty(0, np.intp)
    target = np.concatenate([nearest for _, nearest in blocks]) if blocks else np.empty(0, np.intp)
    records = table.activity.take(numbers)
    membership = table.membership.take(numbers)
    instants = np.maximum(membership["assessed_at_ms"], at_ms)
    after_ms = np.minimum(np.maximum(membership["assessed_at_ms"], partition.clock.swept_at_ms), instants)
    found = Found(
        slot=np.arange(len(numbers)),
        event=np.full(len(numbers), -1),
        kind=np.full(len(numbers), LAPSE),
        target=target,
        effective_at_ms=instants.copy(),
        decided_at_ms=np.full(len(numbers), at_ms),
        before=records,
        before_ms=last_event_ms(records),
        after=records,
        from_code=membership["segment"].copy(),
        previous=membership["previous"].copy(),
        since_ms=membership["since_ms"].copy(),
    )
    date_silent_moves(partition.snapshot, found, after_ms)
    membership["previous"] = membership["segment"]
    membership["segment"] = partition.snapshot.codes[target]
    membership["assessed_at_ms"] = instants
    customer_ids = [table.customer_ids[number] for number in numbers.tolist()]
    migrations = migrate(partition, customer_ids, membership, found, [None] * len(numbers))
    whole = last == len(table)
    return Effects(
        customer_ids=customer_ids,
        numbers=numbers,
        activity=None,
        memories=None,
        membership=membership,
        migrations=migrations,
        clock=partition.clock._replace(swept_at_ms=at_ms) if whole else partition.clock,
    )


def apply_effects(partition: Partition, effects: Effects) -> Indices:
    """Put effects into the partition's table; return the row numbers of the touched customers.

    Effects are applied in the order in which they were computed.
    """
    table = partition.table
    numbers = effects.numbers
    fresh = np.flatnonzero(numbers < 0)
    if len(fresh):
        numbers = numbers.copy()
        numbers[fresh] = [table.insert(effects.customer_ids[slot]) for slot in fresh.tolist()]
    if effects.activity is None or effects.memories is None:
        table.membership.put(numbers, effects.membership)
    else:
        table.store(numbers, effects.activity, effects.memories, effects.membership)
    partition.clock = effects.clock
    return numbers


def _moving(partition: Partition, at_ms: int, start: int, stop: int) -> tuple[Indices, Indices]:
    """Return the numbers of the rows in a block that move, and the centroid each moves to."""
    activity = partition.table.activity[start:stop]
    membership = partition.table.membership[start:stop]
    instants = np.maximum(membership["assessed_at_ms"], at_ms)
    scores = partition.snapshot.score_quantities(quantities_at(activity, instants))
    target, moves = decide_rows(partition.snapshot, scores, membership, instants)
    moving = np.flatnonzero(moves)
    return start + moving, target[moving]
