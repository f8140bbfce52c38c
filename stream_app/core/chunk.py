"""Folding a chunk of events: every state that its customers pass through, ready to be assessed all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream_app.core.assignment import Indices, Instants
from stream_app.core.clock import NO_TIME
from stream_app.core.events import Event
from stream_app.core.folding import SESSION_MS, fold_events
from stream_app.core.partition import Clock, Partition
from stream_app.core.row import ACTIVITY, ACTIVITY_DTYPE, MEMBERSHIP_DTYPE, Row


@dataclass(frozen=True)
class Chunk:
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


def fold_chunk(partition: Partition, events: Sequence[Event]) -> Chunk:
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
    return Chunk(
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


def memberships_before(partition: Partition, chunk: Chunk) -> np.ndarray:
    """Return the touched customers' memberships as they are before the chunk."""
    membership = np.zeros(len(chunk.numbers), MEMBERSHIP_DTYPE)
    known = chunk.numbers >= 0
    membership[known] = partition.table.membership[chunk.numbers[known]]
    membership["since_ms"][~known] = NO_TIME
    membership["assessed_at_ms"][~known] = NO_TIME
    return membership
