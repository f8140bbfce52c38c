"""READ FIRST. The main line: events → state → features → assignment → migrations.

A partition is a table of customers, a snapshot and a clock. Two functions look at it and return what should
change, without changing anything; `apply_effects` then changes the table. In between, a shell may write the
effects somewhere durable, or throw them away.

`process_events` folds a chunk of events, then assesses each touched customer twice per event, at the event's
instant: with the state before it (has silence moved the customer meanwhile?) and with the state after it (does
the event?). Both for the whole chunk at once: customers move so rarely that assuming "nobody has moved" decides
nearly all; those who did are decided again from there on, until nothing moves.

`sweep` assesses customers because time has passed, or because the snapshot is new.

Every customer has its own clock, the last instant it was assessed at; it never runs backwards. So the result
depends on each customer's own events and on the instants of the sweeps, and not on how events were cut into
chunks or interleaved with those of others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_app.core.assignment import Codes, Flags, Indices, Instants, decide, first_instant
from stream_app.core.clock import NO_TIME
from stream_app.core.events import Event, Position
from stream_app.core.features import quantities_at
from stream_app.core.folding import fold_event
from stream_app.core.migration import (
    ENTERED,
    LAPSE,
    LAPSED,
    MODEL,
    MOVED,
    RETURNED,
    Migration,
    MigrationRules,
    Moves,
    describe_moves,
    no_return_ends_ms,
)
from stream_app.core.row import ACTIVITY, ACTIVITY_DTYPE, MEMBERSHIP_DTYPE, Row
from stream_app.core.snapshot import NO_SEGMENT, Snapshot
from stream_app.core.table import CustomerTable

BLOCK_ROWS: Final = 16_384
"""Customers a sweep evaluates at once: a dozen columns of so many numbers stay in a core's cache."""


class Clock(NamedTuple):
    """How far a partition has come: the latest event time seen, and the instant of the last whole sweep."""

    watermark_ms: int = NO_TIME
    swept_at_ms: int = NO_TIME


@dataclass
class Partition:
    """The state of one partition; only `apply_effects` and the shell that owns it change it."""

    snapshot: Snapshot
    rules: MigrationRules = field(default_factory=MigrationRules)
    table: CustomerTable = field(default_factory=CustomerTable)
    clock: Clock = Clock()


@dataclass(frozen=True)
class Effects:
    """What a chunk or a sweep does. Arrays have one entry for each customer touched.

    Attributes
    ----------
    customer_ids
        Of the touched customers.
    numbers
        Their row numbers, −1 for those the table does not hold yet.
    rows
        Their activity; None if it did not change.
    activity
        The same as records; None likewise.
    membership
        Their memberships.
    migrations
        In the order decided.
    clock
        The partition's clock afterwards.
    applied, late, duplicates
        Number of events folded in time order, folded behind the watermark, and seen before.
    """

    customer_ids: Sequence[str]
    numbers: Indices
    rows: Sequence[Row] | None
    activity: np.ndarray | None
    membership: np.ndarray
    migrations: Sequence[Migration]
    clock: Clock
    applied: int = 0
    late: int = 0
    duplicates: int = 0


def process_events(partition: Partition, events: Sequence[Event], positions: Sequence[Position]) -> Effects:
    """Fold `events` and decide who moves because of them.

    Parameters
    ----------
    events
        In the order of the log; instants need not ascend.
    positions
        Where each came from, same length.
    """
    chunk = _fold(partition, events)
    membership = _memberships(partition, chunk)
    if not len(chunk.slots):
        migrations: list[Migration] = []
    else:
        clock = chunk.clock
        found = _find_moves(partition, chunk, membership, clock)
        causes = [(events[e], positions[e]) if e >= 0 else None for e in found.event.tolist()]
        migrations = _migrate(partition, chunk.customer_ids, membership, found, causes, found.decided_at_ms)
        np.maximum.at(membership["assessed_at_ms"], chunk.slots, chunk.at_ms)
    return Effects(
        customer_ids=chunk.customer_ids,
        numbers=chunk.numbers,
        rows=chunk.rows,
        activity=chunk.records[chunk.latest],
        membership=membership,
        migrations=migrations,
        clock=chunk.clock,
        applied=chunk.applied,
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
    last = len(table) if last is None else min(last, len(table))
    moving = [
        number
        for start in range(first, last, BLOCK_ROWS)
        for number in _moving(partition, at_ms, start, min(start + BLOCK_ROWS, last)).tolist()
    ]
    numbers = np.array(moving, np.intp)
    records = table.activity[numbers]
    membership = table.membership[numbers]
    instants = np.maximum(membership["assessed_at_ms"], at_ms)
    scores = partition.snapshot.score_quantities(quantities_at(records, instants))
    target, _ = _decide(partition.snapshot, scores, membership, instants)
    after_ms = np.minimum(np.maximum(membership["assessed_at_ms"], partition.clock.swept_at_ms), instants)
    found = _Found(
        slot=np.arange(len(numbers)),
        event=np.full(len(numbers), -1),
        kind=np.full(len(numbers), LAPSE),
        target=target,
        effective_at_ms=instants,
        decided_at_ms=np.full(len(numbers), at_ms),
        before=records,
        before_ms=records["decayed_at_ms"],
        after=records,
        from_code=membership["segment"].copy(),
        previous=membership["previous"].copy(),
        since_ms=membership["since_ms"].copy(),
    )
    _date_silent_moves(partition.snapshot, found, after_ms)
    membership["previous"] = membership["segment"]
    membership["segment"] = partition.snapshot.codes[target]
    customer_ids = [table.customer_ids[number] for number in moving]
    migrations = _migrate(partition, customer_ids, membership, found, [None] * len(moving), found.decided_at_ms)
    whole = last == len(table)
    return Effects(
        customer_ids=customer_ids,
        numbers=numbers,
        rows=None,
        activity=None,
        membership=membership,
        migrations=migrations,
        clock=partition.clock._replace(swept_at_ms=at_ms) if whole else partition.clock,
    )


def apply_effects(partition: Partition, effects: Effects) -> None:
    """Put effects into the partition's table. Effects are applied in the order in which they were computed."""
    table = partition.table
    numbers = effects.numbers
    fresh = np.flatnonzero(numbers < 0)
    if len(fresh):
        numbers = numbers.copy()
        for slot in fresh.tolist():
            numbers[slot] = table.insert(effects.customer_ids[slot])
    if effects.rows is not None and effects.activity is not None:
        for number, row in zip(numbers.tolist(), effects.rows, strict=True):
            table.store_memories(number, row)
        table.activity[numbers] = effects.activity
    table.membership[numbers] = effects.membership
    partition.clock = effects.clock


# --- folding a chunk ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Chunk:
    """A folded chunk. A *slot* is a touched customer; *records* are activity as it was at some time in the chunk."""

    customer_ids: list[str]
    numbers: Indices
    rows: list[Row]
    records: np.ndarray
    latest: Indices
    """Index of each slot's last record."""
    slots: Indices
    """Slot of each applied event."""
    events: Indices
    """Index of each applied event among the events given."""
    before: Indices
    """Index of the record before each applied event; −1 for a customer's first."""
    after: Indices
    at_ms: Instants
    """The instant at which each applied event's customer is assessed."""
    clock: Clock
    watermarks_ms: Instants
    """The watermark when each applied event was decided."""
    applied: int
    late: int
    duplicates: int


def _fold(partition: Partition, events: Sequence[Event]) -> _Chunk:
    """Fold events into copies of the rows they touch, keeping a record of every state passed through."""
    table = partition.table
    size = ACTIVITY.size
    records = bytearray(2 * len(events) * size)
    stored = memoryview(table.activity.view(np.uint8))
    slot_of: dict[str, int] = {}
    rows: list[Row] = []
    numbers: list[int] = []
    latest: list[int] = []
    applied_slots, applied_events, before, after, watermarks_ms = [], [], [], [], []
    record = late = duplicates = 0
    watermark_ms = partition.clock.watermark_ms
    for index, event in enumerate(events):
        customer_id = event.customer_id
        slot = slot_of.get(customer_id, -1)
        if slot < 0:
            slot = slot_of[customer_id] = len(rows)
            number = table.find(customer_id)
            numbers.append(number)
            if number < 0:
                rows.append(Row())
                latest.append(-1)
            else:
                rows.append(table.load(number))
                records[record * size : (record + 1) * size] = stored[number * size : (number + 1) * size]
                latest.append(record)
                record += 1
        row = rows[slot]
        if not fold_event(row, event):
            duplicates += 1
            continue
        row.pack_activity_into(records, record * size)
        applied_slots.append(slot)
        applied_events.append(index)
        before.append(latest[slot])
        after.append(record)
        latest[slot] = record
        record += 1
        if event.at_ms >= watermark_ms:
            watermark_ms = event.at_ms
        else:
            late += 1
        watermarks_ms.append(watermark_ms)
    slots = np.array(applied_slots, np.intp)
    event_at_ms = np.array([events[index].at_ms for index in applied_events], np.int64)
    touched = np.array(numbers, np.intp)
    return _Chunk(
        customer_ids=list(slot_of),
        numbers=touched,
        rows=rows,
        records=np.frombuffer(records, ACTIVITY_DTYPE, record),
        latest=np.array(latest, np.intp),
        slots=slots,
        events=np.array(applied_events, np.intp),
        before=np.array(before, np.intp),
        after=np.array(after, np.intp),
        at_ms=_customer_clock(partition, touched, slots, event_at_ms),
        clock=partition.clock._replace(watermark_ms=watermark_ms),
        watermarks_ms=np.array(watermarks_ms, np.int64),
        applied=len(slots) - late,
        late=late,
        duplicates=duplicates,
    )


def _customer_clock(partition: Partition, numbers: Indices, slots: Indices, event_at_ms: Instants) -> Instants:
    """Return the instant at which each event's customer is assessed: its own, unless the customer is past it."""
    assessed = np.full(len(numbers), NO_TIME)
    known = numbers >= 0
    assessed[known] = np.maximum(
        partition.table.membership["assessed_at_ms"][numbers[known]], partition.clock.swept_at_ms
    )
    instants = np.maximum(event_at_ms, assessed[slots])
    order = np.argsort(slots, kind="stable")
    ascending = instants[order]
    same_customer = slots[order][1:] == slots[order][:-1]
    if not (same_customer & (ascending[1:] < ascending[:-1])).any():
        return instants
    latest: dict[int, int] = {}
    for index, slot in enumerate(slots.tolist()):
        latest[slot] = max(latest.get(slot, NO_TIME), int(instants[index]))
        instants[index] = latest[slot]
    return instants


def _memberships(partition: Partition, chunk: _Chunk) -> np.ndarray:
    """Return the touched customers' memberships as they are before the chunk."""
    membership = np.zeros(len(chunk.numbers), MEMBERSHIP_DTYPE)
    known = chunk.numbers >= 0
    membership[known] = partition.table.membership[chunk.numbers[known]]
    membership["since_ms"][~known] = NO_TIME
    membership["assessed_at_ms"][~known] = NO_TIME
    return membership


# --- deciding ----------------------------------------------------------------------------------------------------


@dataclass
class _Found:
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


def _decide(snapshot: Snapshot, scores: np.ndarray, membership: np.ndarray, at_ms: Instants) -> tuple[Indices, Flags]:
    return decide(snapshot, scores, membership["segment"], membership["previous"], membership["since_ms"], at_ms)


def _moving(partition: Partition, at_ms: int, start: int, stop: int) -> Indices:
    """Return the numbers of the rows in a block that move."""
    activity = partition.table.activity[start:stop]
    membership = partition.table.membership[start:stop]
    instants = np.maximum(membership["assessed_at_ms"], at_ms)
    scores = partition.snapshot.score_quantities(quantities_at(activity, instants))
    _, moves = _decide(partition.snapshot, scores, membership, instants)
    return start + np.flatnonzero(moves)


def _find_moves(partition: Partition, chunk: _Chunk, membership: np.ndarray, clock: Clock) -> _Found:
    """Find all moves in a chunk and leave `membership` as it is after them, but for instants and sequence.

    Assessment 2e is of the state before applied event e, 2e + 1 of the state after it.
    """
    count = len(chunk.slots)
    record = np.empty(2 * count, np.intp)
    record[0::2], record[1::2] = chunk.before, chunk.after
    slot = np.repeat(chunk.slots, 2)
    at_ms = np.repeat(chunk.at_ms, 2)
    pending = np.flatnonzero(record >= 0)
    scores = np.empty((2 * count, len(partition.snapshot.segments)))
    scores[pending] = partition.snapshot.score_quantities(
        quantities_at(chunk.records[record[pending]], at_ms[pending])
    )
    rounds: list[tuple[Indices, Indices, np.ndarray]] = []
    while len(pending):
        target, moves = _decide(partition.snapshot, scores[pending], membership[slot[pending]], at_ms[pending])
        moved_slots, first = np.unique(slot[pending[moves]], return_index=True)
        moved = pending[moves][first]
        rounds.append((moved, target[moves][first], membership[moved_slots]))
        membership["previous"][moved_slots] = membership["segment"][moved_slots]
        membership["segment"][moved_slots] = partition.snapshot.codes[target[moves][first]]
        membership["since_ms"][moved_slots] = at_ms[moved]
        moved_at = np.full(len(membership), 2 * count)
        moved_at[moved_slots] = moved
        pending = pending[pending > moved_at[slot[pending]]]
    assessment = np.concatenate([moved for moved, _, _ in rounds])
    target = np.concatenate([target for _, target, _ in rounds])
    origin = np.concatenate([origin for _, _, origin in rounds])
    order = np.argsort(assessment, kind="stable")
    assessment, target, origin = assessment[order], target[order], origin[order]
    applied, silent = assessment // 2, assessment % 2 == 0
    earlier = np.where(chunk.before[applied] >= 0, chunk.before[applied], chunk.after[applied])
    before = chunk.records[earlier]
    found = _Found(
        slot=slot[assessment],
        event=np.where(silent, -1, chunk.events[applied]),
        kind=np.where(silent, LAPSE, -1),
        target=target,
        effective_at_ms=at_ms[assessment],
        decided_at_ms=np.maximum(chunk.watermarks_ms[applied], clock.swept_at_ms),
        before=before,
        before_ms=np.where(silent, before["decayed_at_ms"], at_ms[assessment]),
        after=chunk.records[record[assessment]],
        from_code=origin["segment"].copy(),
        previous=origin["previous"].copy(),
        since_ms=origin["since_ms"].copy(),
    )
    _date_silent_moves(partition.snapshot, found, _assessed_before(partition, chunk, origin, applied))
    return found


def _assessed_before(partition: Partition, chunk: _Chunk, origin: np.ndarray, applied: Indices) -> Instants:
    """Return the last instant before each applied event at which its customer was assessed."""
    previous_ms = np.maximum(origin["assessed_at_ms"], partition.clock.swept_at_ms)
    for entry, event in enumerate(applied.tolist()):
        earlier = np.flatnonzero(chunk.slots[:event] == chunk.slots[event])
        if len(earlier):
            previous_ms[entry] = max(previous_ms[entry], chunk.at_ms[earlier[-1]])
    return np.minimum(previous_ms, chunk.at_ms[applied])


def _date_silent_moves(snapshot: Snapshot, found: _Found, after_ms: Instants) -> None:
    """Find the exact instant of each move that no event caused, and whether time or the model caused it.

    A move that was due already when the customer was last assessed was not due under the model of that time:
    only the model can have changed since.
    """
    silent = np.flatnonzero(found.kind == LAPSE)
    if not len(silent):
        return
    records = found.after[silent]

    def due(chosen: Indices, at_ms: Instants) -> Flags:
        rows = silent[chosen]
        scores = snapshot.score_quantities(quantities_at(found.after[rows], at_ms))
        nearest, moves = decide(
            snapshot, scores, found.from_code[rows], found.previous[rows], found.since_ms[rows], at_ms
        )
        return moves & (nearest == found.target[rows])

    everyone = np.arange(len(silent))
    start_ms, end_ms = after_ms[silent], found.effective_at_ms[silent]
    started_ms = np.maximum(start_ms, records["decayed_at_ms"])
    by_model = due(everyone, started_ms)
    found.kind[silent[by_model]] = MODEL
    by_time = everyone[~by_model]
    found.effective_at_ms[silent[by_time]] = first_instant(
        lambda at_ms: due(by_time, at_ms), started_ms[by_time], end_ms[by_time]
    )
    found.effective_at_ms[silent[by_model]] = started_ms[by_model]


def _migrate(
    partition: Partition,
    customer_ids: Sequence[str],
    membership: np.ndarray,
    found: _Found,
    causes: Sequence[tuple[Event, Position] | None],
    decided_at_ms: Instants,
) -> list[Migration]:
    """Number the moves, finish `membership` and return the migrations."""
    sequence = np.empty(len(found.slot), np.int64)
    change = np.empty(len(found.slot), np.int64)
    waited = (found.kind == LAPSE) & (found.effective_at_ms == no_return_ends_ms(found.since_ms, partition.snapshot))
    for move, slot in enumerate(found.slot.tolist()):
        entry = membership[slot]
        event_at = causes[move]
        if event_at is not None:
            found.kind[move] = event_at[0].kind
        if found.from_code[move] == NO_SEGMENT:
            change[move] = ENTERED
        elif found.kind[move] == LAPSE and not waited[move]:
            change[move] = LAPSED
        elif found.kind[move] < LAPSE and entry["change"] == LAPSED:
            change[move] = RETURNED
        else:
            change[move] = MOVED
        entry["sequence"] += 1
        entry["model_version"] = partition.snapshot.version
        entry["since_ms"] = found.effective_at_ms[move]
        entry["change"] = change[move]
        sequence[move] = entry["sequence"]
    return describe_moves(
        Moves(
            customer_ids=[customer_ids[slot] for slot in found.slot.tolist()],
            cause_kind=found.kind,
            change=change,
            from_code=found.from_code,
            target=found.target,
            sequence=sequence,
            effective_at_ms=found.effective_at_ms,
            decided_at_ms=np.maximum(decided_at_ms, found.effective_at_ms),
            before=found.before,
            before_ms=np.where(found.kind == MODEL, found.effective_at_ms, found.before_ms),
            after=found.after,
            waited=waited,
            causes=causes,
        ),
        partition.snapshot,
        partition.rules,
    )
