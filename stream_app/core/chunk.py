"""Folding a chunk of events: every state that its customers pass through, ready to be assessed all at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from stream_app.core.assignment import Indices, Instants
from stream_app.core.clock import NO_TIME
from stream_app.core.events import Event
from stream_app.core.folding import REPEATED, SESSION_MS, fold_customers
from stream_app.core.partition import Clock, Partition
from stream_app.core.row import ACTIVITY_DTYPE, MEMBERSHIP_DTYPE, Memories


@dataclass(frozen=True)
class Chunk:
    """A folded chunk. A *slot* is a touched customer; assessed events stand in order of slot, then of the log.

    *Records* are activity as it was at some time: the state of each slot before the chunk, then the states that
    `fold_customers` wrote.
    """

    customer_ids: list[str]
    numbers: Indices
    memories: list[Memories]
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
    customer_ids, slot_of_event = _number_slots(events)
    by_slot = np.argsort(slot_of_event, kind="stable")
    sizes = np.bincount(slot_of_event, minlength=len(customer_ids))
    numbers, activity, memories = partition.table.load_all(customer_ids)
    slot_count, record_bytes = len(numbers), ACTIVITY_DTYPE.itemsize
    records = np.empty(slot_count + 2 * len(events), ACTIVITY_DTYPE)
    records.put(np.arange(slot_count), activity)
    session_ms = 0 if partition.snapshot.parameters.feature_set == "plain" else SESSION_MS
    trail = records.view(np.uint8).data
    start = slot_count * record_bytes
    folded = fold_customers(trail[:start], memories, _split(events, by_slot, sizes), trail, start, session_ms)
    after_bytes, ends = np.array(folded.after, np.intp), np.array([start, *folded.ends], np.intp) // record_bytes
    assessed = np.flatnonzero(after_bytes >= 0)
    chosen, after = by_slot[assessed], after_bytes[assessed] // record_bytes
    slots = slot_of_event[chosen]
    everyone = np.arange(slot_count)
    stored = np.where(numbers < 0, -1, everyone)
    event_ms = np.array([event.at_ms for event in events], np.int64)
    at_ms, assessed_ms = _customer_clocks(partition, numbers, slots, event_ms[chosen])
    repeated = by_slot[after_bytes == REPEATED]
    event_ms[repeated] = NO_TIME
    watermarks_ms = np.maximum.accumulate(np.maximum(event_ms, partition.clock.watermark_ms))
    return Chunk(
        customer_ids=customer_ids,
        numbers=numbers,
        memories=folded.memories,
        records=records[: ends[-1]],
        latest=np.where(ends[1:] > ends[:-1], ends[1:] - 1, everyone),
        slots=slots,
        events=chosen,
        before=np.where(after == ends[slots], stored[slots], after - 1),
        after=after,
        at_ms=at_ms,
        assessed_ms=assessed_ms,
        watermarks_ms=watermarks_ms[chosen],
        clock=partition.clock._replace(watermark_ms=int(watermarks_ms.max(initial=partition.clock.watermark_ms))),
        late=int(((event_ms < watermarks_ms) & (event_ms > NO_TIME)).sum()),
        duplicates=len(repeated),
    )


def _number_slots(events: Sequence[Event]) -> tuple[list[str], Indices]:
    """Return the customers, in order of appearance, and the slot of each event."""
    slot_of: defaultdict[str, int] = defaultdict(count().__next__)
    slots = np.array([slot_of[event.customer_id] for event in events], np.intp)
    return list(slot_of), slots


def _split(events: Sequence[Event], by_slot: Indices, sizes: Indices) -> Iterator[list[Event]]:
    """Yield the events of each slot."""
    ordered = [events[index] for index in by_slot.tolist()]
    start = 0
    for size in sizes.tolist():
        yield ordered[start : start + size]
        start += size


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
    known, new = np.flatnonzero(chunk.numbers >= 0), chunk.numbers < 0
    membership.put(known, partition.table.membership.take(chunk.numbers[known]))
    membership["since_ms"][new] = NO_TIME
    membership["assessed_at_ms"][new] = NO_TIME
    return membership
