"""READ FIRST. The main line: events → state → decisions → moves.

A partition is a table of customers, the segmentations they are divided by, and a clock. Two functions let something
happen to it, in place, and return what came of it. What they do at each event is in `native/step.c`, which is the
page to read next: the table, the folding and the questions to segmentations are compiled.

`process_events` takes a chunk of events in, in the order of the log. At each, every segmentation is asked two
questions: has silence moved the customer in the state before, since it was last assessed? Does the event, in the state
after? Time may pass within the chunk, too: customers who are due at one of its sweeps are looked at, whether an event
of the chunk mentions it or not.

`sweep` looks at customers because time has passed, or because a version of a segmentation has taken over. A sweep does
not include its own instant, as events of that instant may still come.

Events of equal instants that stand next to each other are one instant for a customer, and what comes late counts right
after what was last published about the customer: so a customer makes one move at most in a segmentation at an instant.
Shells cut chunks between instants (`stream_app.core.timeline`).

Every move has one exact instant (see `stream_app.core.segmentation`). So the result depends on each customer's own
events and on when versions took over, and not on when anybody looked, on how events were cut into chunks, on other
customers, or on what other segmentations there are.

The table leads what is durable: a shell that cannot write what came of a step throws the partition away.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from xxhash import xxh3_64_intdigest

from stream_app.core.arrays import Indices, Instants
from stream_app.core.clock import NO_TIME
from stream_app.core.events import NO_EVENTS, Events
from stream_app.core.partition import NO_SWEEPS, Clock, Partition, Reached, Sweeps
from stream_app.native.library import NO_MEMORY, address, function
from stream_app.native.output_structures import NOTICE_DTYPE
from stream_app.native.structures import EVENT, FACT_DTYPE, MOVE_DTYPE, SKIPPED, UNNAMED, Step
from stream_app.native.structures import Clock as NativeClock

BLOCK_ROWS: Final = 65_536
"""Rows that a sweep looks at in one step, so that the memory of a step does not grow with the table."""
_EVERY_ROW: Final = 2**62
NO_ROWS: Final[Indices] = np.empty(0, np.intp)
_ERASED_MS: Final = -NO_TIME + 3
"""`SEG_ERASED_MS`."""


class Outcome(NamedTuple):
    """What came of a chunk or a sweep.

    Attributes
    ----------
    moves
        `MOVE_DTYPE`, in the order in which they are published.
    facts
        `FACT_DTYPE`: conditions that have changed, which moves by rules name.
    notices
        `NOTICE_DTYPE`, in order, too: notices of moves that time alone will make.
    changed
        Numbers of the rows that changed.
    swept_at_ms, customers
        Of each sweep, its instant and how many customers there were.
    applied, late, duplicates
        Number of events folded at the watermark or ahead of it, folded after it had passed, and seen before.
    too_old
        Of the last, statements about orders whose ids alone are left.
    owners
        Of each event without a customer, the number of the row that has its order; −1 where none has, or several:
        nothing has come of it then.
    swept_before
        Of each sweep, the index of the event before which it came.
    unwanted
        Indices of the events that were not folded, as their customers have not agreed to it; not counted elsewhere.
    erased
        Of the rows that changed, those that are to be removed (`Partition.forget`) once this has been written.
    """

    moves: np.ndarray
    facts: np.ndarray
    notices: np.ndarray
    changed: Indices
    swept_at_ms: Instants
    customers: Indices
    applied: int
    late: int
    duplicates: int
    too_old: int
    owners: Indices
    swept_before: Indices
    unwanted: Indices = NO_ROWS
    erased: Indices = NO_ROWS

    @property
    def not_profiled(self) -> int:
        """Number of the unwanted events."""
        return len(self.unwanted)


def process_events(
    partition: Partition, events: Events, sweeps: Sweeps = NO_SWEEPS, reached: Reached | None = None
) -> Outcome:
    """Fold `events`, let time pass between them, and decide who moves.

    Parameters
    ----------
    events
        In the order of the log; instants need not ascend. A refund or cancellation without a customer is that of the
        one who has its order.
    sweeps
        When time passes. All customers who may be due are looked at together: where that may be many, call `sweep`.
    reached
        How far time has come with each event; with None each is taken at its word.

    Raises
    ------
    MemoryError
        If there is not enough; the partition is to be thrown away then.
    """
    outcome = _take_step(partition, events, sweeps, 0, _EVERY_ROW, None if reached is None else reached.watermarks_ms)
    if reached is not None:
        partition.trust = reached.trust
    return outcome


def named(partition: Partition, events: Events, owners: Indices) -> Events:
    """Return the events of a chunk, those without a customer as that of the row that they were folded into.

    Texts stay as they are: what is nobody's keeps its status, and what is somebody's has the customer's hash.
    """
    if not len(owners):
        return events
    records = events.records.copy()
    places = np.flatnonzero(records["status"] == UNNAMED)[owners >= 0]
    ids = partition.table.customer_ids.of(owners[owners >= 0])
    records["customer_hash"][places] = np.array([xxh3_64_intdigest(each.encode()) for each in ids], np.uint64)
    records["status"][places] = EVENT
    return Events(records, events.texts)


def wanted(events: Events, outcome: Outcome) -> Events:
    """Return the events of a chunk with those marked as skipped that nothing is to be known of."""
    if not len(outcome.unwanted):
        return events
    records = events.records.copy()
    records["status"][outcome.unwanted] = SKIPPED
    return Events(records, events.texts)


def begin_anew(partition: Partition) -> None:
    """Forget how far time has come: it begins with the next event."""
    partition.clock = Clock()


def sweep(partition: Partition, at_ms: int, first: int = 0, last: int | None = None) -> Outcome:
    """Decide who moves because time has passed up to `at_ms`, or because a segmentation's version is new.

    Parameters
    ----------
    first, last
        Row numbers `[first, last)`; the partition's clock only counts as swept when the last row is included,
        so a shell that sweeps in parts does so in ascending order.

    Raises
    ------
    MemoryError
        As `process_events`.
    """
    at_ms = max(at_ms, partition.clock.swept_at_ms)
    sweeps = Sweeps(np.array([at_ms], np.int64), np.zeros(1, np.int64))
    last = len(partition.table) if last is None else min(last, len(partition.table))
    parts = [
        _take_step(partition, NO_EVENTS, sweeps, start, min(start + BLOCK_ROWS, last))
        for start in range(first, max(last, first + 1), BLOCK_ROWS)
    ]
    return parts[0] if len(parts) == 1 else _join(parts)


def _join(parts: Sequence[Outcome]) -> Outcome:
    """Return what came of a sweep that was taken block by block."""
    moves, facts, notices, changed = (np.concatenate([part[column] for part in parts]) for column in range(4))
    shifts = np.cumsum([0, *(len(part.facts) for part in parts[:-1])])
    moves["facts_at"] += np.repeat(shifts, [len(part.moves) for part in parts])
    return parts[-1]._replace(moves=moves, facts=facts, notices=notices, changed=changed)


def _take_step(
    partition: Partition, events: Events, sweeps: Sweeps, first: int, last: int, watermarks_ms: Instants | None = None
) -> Outcome:
    table, clock = partition.table, partition.clock
    records, texts = np.ascontiguousarray(events.records), np.ascontiguousarray(events.texts)
    sweep_at_ms = np.ascontiguousarray(sweeps.at_ms, np.int64)
    sweep_before = np.ascontiguousarray(sweeps.before, np.int64)
    watermarks_ms = None if watermarks_ms is None else np.ascontiguousarray(watermarks_ms, np.int64)
    by_column, rules = partition.by_column, partition.rules
    revised_at_ms = np.array([partition.revised_at_ms[name] for name in table.names], np.int64)
    handles = np.array([segmentation.compiled.handle for segmentation in by_column], np.uintp)
    numbers = np.array([partition.names.index(segmentation.name) for segmentation in by_column], np.int32)
    consent = partition.consent
    table.reserve(len(records))
    step = Step(
        events=address(records),
        event_count=len(records),
        texts=address(texts),
        texts_size=len(texts),
        sweep_at_ms=address(sweep_at_ms),
        sweep_before=address(sweep_before),
        sweep_count=len(sweep_at_ms),
        first_row=first,
        last_row=last,
        segmentations=address(handles),
        revised_at_ms=address(revised_at_ms),
        program=None if rules is None else rules.handle,
        rules_revised_at_ms=partition.rules_revised_at_ms,
        warnings=address(partition.warnings),
        warning_count=len(partition.warnings),
        numbers=address(numbers),
        watermarks_ms=None if watermarks_ms is None else address(watermarks_ms),
        purposes=address(consent.purposes),
        purposes_size=len(consent.purposes),
        jurisdictions=address(consent.jurisdictions),
        jurisdictions_size=len(consent.jurisdictions),
        opts_in=consent.opts_in,
        clock=NativeClock(*clock),
    )
    columns = table.columns()
    status = _take()(partition.workspace.handle, table.handle, ctypes.byref(columns), ctypes.byref(step))
    if status == NO_MEMORY:
        raise MemoryError
    if status:
        raise RuntimeError(f"a step of {len(records)} events: status {status} of the library, expected 0")
    partition.clock = Clock(step.clock.watermark_ms, step.clock.swept_at_ms)
    changed = _copy(step.changed, step.changed_count, np.dtype(np.int64))
    return Outcome(
        moves=_copy(step.moves, step.move_count, MOVE_DTYPE),
        facts=_copy(step.facts, step.fact_count, FACT_DTYPE),
        notices=_copy(step.notices, step.notice_count, NOTICE_DTYPE),
        changed=changed,
        swept_at_ms=sweep_at_ms,
        customers=_copy(step.swept_customers, len(sweep_at_ms), np.dtype(np.int64)),
        applied=step.applied,
        late=step.late,
        duplicates=step.duplicates,
        too_old=step.too_old,
        owners=_copy(step.owners, step.owner_count, np.dtype(np.int64)),
        swept_before=sweep_before,
        unwanted=_copy(step.unwanted, step.unwanted_count, np.dtype(np.int64)),
        erased=changed[table.activity["first_at_ms"][changed] == _ERASED_MS] if step.erasures else NO_ROWS,
    )


@cache
def _take() -> Any:
    pointer = ctypes.c_void_p
    return function("seg_take_step", ctypes.c_int32, pointer, pointer, pointer, pointer)


def _copy(start: int | None, count: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Return what the library has written, before its next step overwrites it."""
    if not count:
        return np.empty(0, dtype)
    assert start is not None
    return np.frombuffer(ctypes.string_at(start, count * dtype.itemsize), dtype)
