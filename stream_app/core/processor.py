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
from dataclasses import dataclass, field, fields
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_app.core.assignment import Codes, Flags, Indices, Instants, decide, first_instant
from stream_app.core.clock import NO_TIME
from stream_app.core.events import Event, Position
from stream_app.core.features import quantities_at
from stream_app.core.folding import SESSION_MS, fold_events
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
    clock: Clock = field(default_factory=Clock)


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
        found = _find_moves(partition, chunk, membership)
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
        effective_at_ms=instants.copy(),
        decided_at_ms=np.full(len(numbers), at_ms),
        before=records,
        before_ms=_last_event_ms(records),
        after=records,
        from_code=membership["segment"].copy(),
        previous=membership["previous"].copy(),
        since_ms=membership["since_ms"].copy(),
    )
    _date_silent_moves(partition.snapshot, found, after_ms)
    membership["previous"] = membership["segment"]
    membership["segment"] = partition.snapshot.codes[target]
    membership["assessed_at_ms"] = instants
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
        numbers[fresh] = [table.insert(effects.customer_ids[slot]) for slot in fresh.tolist()]
    if effects.rows is None or effects.activity is None:
        table.membership[numbers] = effects.membership
    else:
        table.store(numbers, effects.rows, effects.activity, effects.membership)
    partition.clock = effects.clock


# --- folding a chunk ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Chunk:
    """A folded chunk. A *slot* is a touched customer; assessed events stand in order of slot, then of the log.

    *Records* are activity as it was at some time: for each slot the state before the chunk, unless the customer is
    new, and the states that `fold_events` wrote.
    """

    customer_ids: list[str]
    numbers: Indices
    rows: list[Row]
    records: np.ndarray
    latest: Indices
    """Index of each slot's last record."""
    slots: Indices
    """Slot of each assessed event."""
    events: Indices
    """Index of each assessed event among the events given."""
    before: Indices
    """Index of the record before each assessed event; −1 for a customer's first."""
    after: Indices
    at_ms: Instants
    """The instant at which each assessed event's customer is assessed."""
    assessed_ms: Instants
    """The instant at which that customer had been assessed last before."""
    watermarks_ms: Instants
    """The watermark once each assessed event was seen."""
    clock: Clock
    late: int
    duplicates: int


def _fold(partition: Partition, events: Sequence[Event]) -> _Chunk:
    """Fold events, customer by customer, into copies of the rows they touch."""
    table = partition.table
    size = ACTIVITY.size
    slot_of, groups, slot_of_event = _group(events)
    records = bytearray((2 * len(events) + len(groups)) * size)
    stored = table.activity_bytes
    rows: list[Row] = []
    numbers: list[int] = []
    lengths: list[int] = []
    counts: list[int] = []
    assessed: list[int] = []
    after: list[int] = []
    repeated: list[int] = []
    session_ms = 0 if partition.snapshot.parameters.feature_set == "plain" else SESSION_MS
    record = start = 0
    for customer_id, group in zip(slot_of, groups, strict=True):
        number = table.find(customer_id)
        numbers.append(number)
        if number < 0:
            row = Row()
        else:
            row = table.load(number)
            records[record * size : (record + 1) * size] = stored[number * size : (number + 1) * size]
            record += 1
        row, duplicates, noted, states, written = fold_events(row, group, records, record * size, session_ms)
        rows.append(row)
        counts.append(len(noted))
        if len(group) == 1:  # half of all groups
            assessed += [start] * len(noted)
            after += [record] * len(noted)
        else:
            assessed += [start + index for index in noted]
            after += [record + state for state in states]
        repeated += [start + index for index in duplicates]
        record += written
        lengths.append(record)
        start += len(group)
    touched = np.array(numbers, np.intp)
    by_slot = np.argsort(slot_of_event, kind="stable")
    slots = np.repeat(np.arange(len(rows)), counts)
    after_records = np.array(after, np.intp)
    before_records = after_records - 1
    first_records = np.array([0, *lengths[:-1]], np.intp)
    before_records[(touched[slots] < 0) & (after_records == first_records[slots])] = -1
    chosen = by_slot[assessed] if assessed else np.empty(0, np.intp)
    event_ms = np.array([event.at_ms for event in events], np.int64)
    at_ms, assessed_ms = _customer_clocks(partition, touched, slots, event_ms[chosen])
    event_ms[by_slot[repeated]] = NO_TIME
    watermarks_ms = np.maximum.accumulate(np.maximum(event_ms, partition.clock.watermark_ms))
    return _Chunk(
        customer_ids=list(slot_of),
        numbers=touched,
        rows=rows,
        records=np.frombuffer(records, ACTIVITY_DTYPE, record),
        latest=np.array(lengths, np.intp) - 1,
        slots=slots,
        events=chosen,
        before=before_records,
        after=after_records,
        at_ms=at_ms,
        assessed_ms=assessed_ms,
        watermarks_ms=watermarks_ms[chosen],
        clock=partition.clock._replace(watermark_ms=int(watermarks_ms.max(initial=partition.clock.watermark_ms))),
        late=int(((event_ms < watermarks_ms) & (event_ms > NO_TIME)).sum()),
        duplicates=len(repeated),
    )


def _group(events: Sequence[Event]) -> tuple[dict[str, int], list[list[Event]], list[int]]:
    """Return the slot of each customer, in order of appearance, the events of each slot, and the slot of each event."""
    slot_of: dict[str, int] = {}
    groups: list[list[Event]] = []
    slot_of_event: list[int] = []
    for event in events:
        customer_id = event.customer_id
        slot = slot_of.get(customer_id, -1)
        if slot < 0:
            slot = slot_of[customer_id] = len(groups)
            groups.append([event])
        else:
            groups[slot].append(event)
        slot_of_event.append(slot)
    return slot_of, groups, slot_of_event


def _customer_clocks(
    partition: Partition, numbers: Indices, slots: Indices, event_ms: Instants
) -> tuple[Instants, Instants]:
    """Return when each assessed event's customer is assessed, and when it had been last before.

    A customer is assessed at its event's instant, unless it is past that already.
    """
    known = numbers >= 0
    # Whoever comes after a sweep was assessed by it, new or not: a customer's second event may be another chunk's.
    assessed = np.full(len(numbers), partition.clock.swept_at_ms)
    assessed[known] = np.maximum(assessed[known], partition.table.membership["assessed_at_ms"][numbers[known]])
    at_ms = np.maximum(event_ms, assessed[slots])
    same_slot = slots[1:] == slots[:-1]
    backwards = same_slot & (at_ms[1:] < at_ms[:-1])
    if backwards.any():  # events out of order: a running maximum within each of these slots
        for slot in np.unique(slots[1:][backwards]).tolist():
            mine = slice(*np.searchsorted(slots, (slot, slot + 1)).tolist())
            at_ms[mine] = np.maximum.accumulate(at_ms[mine])
    assessed_ms = assessed[slots]
    assessed_ms[1:][same_slot] = at_ms[:-1][same_slot]
    return at_ms, assessed_ms


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


_FOUND_COLUMNS: Final = tuple(column.name for column in fields(_Found))


def _last_event_ms(activity: np.ndarray) -> Instants:
    return np.asarray(np.maximum(activity["ordered_at_ms"], activity["engaged_at_ms"]))


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


def _find_moves(partition: Partition, chunk: _Chunk, membership: np.ndarray) -> _Found:
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
    scores[pending] = partition.snapshot.score_quantities(quantities_at(chunk.records[record[pending]], at_ms[pending]))
    assessments: list[Indices] = []
    rounds: list[_Found] = []
    while len(pending):
        target, moves = _decide(partition.snapshot, scores[pending], membership[slot[pending]], at_ms[pending])
        moved_slots, first = np.unique(slot[pending[moves]], return_index=True)
        moved = pending[moves][first]
        # Dated at once: when a segment was entered decides when the customer may go back to the one before.
        found = _date_moves(partition, chunk, moved, target[moves][first], membership[moved_slots])
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
    return _Found(*(np.concatenate([getattr(found, name) for found in rounds])[order] for name in _FOUND_COLUMNS))


def _date_moves(
    partition: Partition, chunk: _Chunk, assessment: Indices, target: Indices, origin: np.ndarray
) -> _Found:
    """Return moves found at these assessments, by customers whose memberships were `origin`."""
    applied, silent = assessment // 2, assessment % 2 == 0
    at_ms = chunk.at_ms[applied]
    after = chunk.records[np.where(silent, chunk.before[applied], chunk.after[applied])]
    before = chunk.records[np.where(chunk.before[applied] >= 0, chunk.before[applied], chunk.after[applied])]
    found = _Found(
        slot=chunk.slots[applied],
        event=np.where(silent, -1, chunk.events[applied]),
        kind=np.where(silent, LAPSE, -1),
        target=target,
        effective_at_ms=at_ms.copy(),
        decided_at_ms=np.maximum(chunk.watermarks_ms[applied], partition.clock.swept_at_ms),
        before=before,
        before_ms=np.where(silent, _last_event_ms(before), at_ms),
        after=after,
        from_code=origin["segment"].copy(),
        previous=origin["previous"].copy(),
        since_ms=origin["since_ms"].copy(),
    )
    _date_silent_moves(partition.snapshot, found, np.minimum(chunk.assessed_ms[applied], at_ms))
    return found


def _date_silent_moves(snapshot: Snapshot, found: _Found, after_ms: Instants) -> None:
    """Find the exact instant of each move that no event caused, and whether time or the model caused it.

    A move that was due already when the customer was last assessed was not due under the model of that time:
    only the model can have changed since. Unless a session went on after that, at whose events nobody is assessed
    (see `fold_events`): such a move is dated at the session's last event.
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
        return np.asarray(moves & (nearest == found.target[rows]))

    everyone = np.arange(len(silent))
    start_ms, end_ms = after_ms[silent], found.effective_at_ms[silent]
    started_ms = np.minimum(np.maximum(start_ms, _last_event_ms(records)), end_ms)
    due_already, in_session = due(everyone, started_ms), started_ms > start_ms
    by_model = due_already & ~in_session
    started_ms -= due_already & in_session
    found.kind[silent[by_model]] = MODEL
    by_time = everyone[~by_model]
    found.effective_at_ms[silent[by_time]] = first_instant(
        lambda chosen, at_ms: due(by_time[chosen], at_ms), started_ms[by_time], end_ms[by_time]
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
    """Give the moves their numbers, finish `membership` and return the migrations."""
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
