"""Folding a chunk of events: every state that its customers pass through, ready to be assessed all at once.

Time may pass within a chunk, too: it is cut by *sweeps*, instants at which customers are assessed whom no event
mentions. Only those who may be due by then take part; `CustomerTable.due_at_ms` says who.

Part of the reference that `native/step.c` is compared with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from stream_app.core.arrays import Flags, Indices, Instants
from stream_app.core.clock import NO_TIME
from stream_app.core.events import Event
from stream_app.core.partition import Clock, Sweeps
from tests.reference.customers import CustomerTable
from tests.reference.folding import REPEATED, fold_customers
from tests.reference.partition import Partition
from tests.reference.row import ACTIVITY_DTYPE, CustomerHistory


@dataclass(frozen=True)
class FoldedChunk:
    """A folded chunk. A *slot* is a customer that takes part: those with events first, then those who may be due.

    *Records* are activity as it was at some time: the state of each slot before the chunk, then the state after each
    event. The columns of *states* have an entry for each event that was not a repetition, in order of slot and then of
    the log.

    Attributes
    ----------
    touched_ids
        Of the slots with events, the customers.
    numbers
        Of each slot; −1 for a customer that the table does not hold yet.
    ranks
        The number that each slot's customer has, or will have once the chunk is applied.
    due_at_ms
        Instant before which silence moved nobody as of before the chunk; of each slot.
    histories
        Of each slot with events, after them.
    records
        See above.
    latest
        Index of the last record of each slot.
    slots, events, before, after
        Of each state: its slot, the index of its event, and the records before and after it (before is −1 for a
        customer's very first).
    in_session
        Of each state, whether its event only continued a session.
    event_ms
        Instant of every event, by its index.
    watermarks_ms
        The watermark once each event was seen, by its index.
    clock
        The partition's clock after the chunk.
    late, duplicates
        How many events came late, or were repetitions.
    """

    touched_ids: list[str]
    numbers: Indices
    ranks: Indices
    due_at_ms: Instants
    histories: list[CustomerHistory]
    records: np.ndarray
    latest: Indices
    slots: Indices
    events: Indices
    before: Indices
    after: Indices
    in_session: Flags
    event_ms: Instants
    watermarks_ms: Instants
    clock: Clock
    late: int
    duplicates: int

    def customer_ids(self, table: CustomerTable, slots: Indices) -> list[str]:
        """Return whose some slots are; the table is the one that was folded into."""
        touched, known, numbers = self.touched_ids, table.customer_ids, self.numbers
        count = len(touched)
        return [touched[slot] if slot < count else known[numbers[slot]] for slot in slots.tolist()]


def fold_chunk(partition: Partition, events: Sequence[Event], sweeps: Sweeps, due: Indices) -> FoldedChunk:
    """Fold events, customer by customer, into copies of the rows they touch, and add the rows that may be due.

    Parameters
    ----------
    due
        Numbers of those rows, ascending; whether the events touch them or not.
    """
    table, clock = partition.table, partition.clock
    customer_ids, slot_of_event = _number_slots(events)
    by_slot = np.argsort(slot_of_event, kind="stable")
    sizes = np.bincount(slot_of_event, minlength=len(customer_ids))
    numbers, activity, histories = table.load_all(customer_ids)
    due = _without(due, numbers, len(table))
    touched, record_bytes = len(numbers), ACTIVITY_DTYPE.itemsize
    slot_count = touched + len(due)
    records = np.empty(slot_count + len(events), ACTIVITY_DTYPE)
    records.put(np.arange(touched), activity)
    records.put(np.arange(touched, slot_count), table.activity.take(due))
    states = records.view(np.uint8).data
    start = slot_count * record_bytes
    folded = fold_customers(states[: touched * record_bytes], histories, _split(events, by_slot, sizes), states, start)
    after_bytes = np.array(folded.after, np.intp)
    ends = np.array([start, *folded.ends], np.intp) // record_bytes
    chosen = np.flatnonzero(after_bytes != REPEATED)
    after, state_events = after_bytes[chosen] // record_bytes, by_slot[chosen]
    slots = slot_of_event[state_events]
    everyone = np.arange(touched)
    event_ms = np.array([event.at_ms for event in events], np.int64)
    accepted_ms = event_ms.copy()
    accepted_ms[by_slot[after_bytes == REPEATED]] = NO_TIME
    watermarks_ms = np.maximum.accumulate(np.maximum(accepted_ms, clock.watermark_ms))
    fresh = numbers < 0
    return FoldedChunk(
        touched_ids=customer_ids,
        numbers=np.concatenate((numbers, due)),
        ranks=np.concatenate((np.where(fresh, len(table) + np.cumsum(fresh) - 1, numbers), due)),
        due_at_ms=np.concatenate((np.where(fresh, NO_TIME, _due_of(table, numbers)), table.due_at_ms[due])),
        histories=folded.histories,
        records=records[: ends[-1]],
        latest=np.concatenate((np.where(ends[1:] > ends[:-1], ends[1:] - 1, everyone), np.arange(touched, slot_count))),
        slots=slots,
        events=state_events,
        before=np.where(after == ends[slots], np.where(fresh, -1, everyone)[slots], after - 1),
        after=after,
        in_session=np.array(folded.in_session, np.bool_)[chosen],
        event_ms=event_ms,
        watermarks_ms=watermarks_ms,
        clock=Clock(
            int(watermarks_ms.max(initial=clock.watermark_ms)), int(sweeps.at_ms.max(initial=clock.swept_at_ms))
        ),
        late=int(((accepted_ms < watermarks_ms) & (accepted_ms > NO_TIME)).sum()),
        duplicates=len(events) - len(chosen),
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


def _without(due: Indices, touched: Indices, size: int) -> Indices:
    """Return those numbers of rows that events do not touch."""
    if not len(due) or not len(touched):
        return due
    is_touched = np.zeros(size + 1, np.bool_)
    is_touched[touched] = True  # −1, for a new customer, is the entry behind the last
    return due[~is_touched[due]]


def _due_of(table: CustomerTable, numbers: Indices) -> Instants:
    return table.due_at_ms.take(numbers, mode="clip") if len(table) else np.full(len(numbers), NO_TIME)
