"""The main line: events → state → decisions → moves, one customer, one event and one question at a time.

The reference that `native/step.c`, `native/passing.c` and `native/moves.c` are compared with, byte by byte
(`tests.native.step_equality`), for segmentations that are not by rules. Those three files state the theory; here it is
put as plainly as possible. So it is for `native/holders.c`: at each record without a customer, everybody is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from stream_app.core.arrays import Indices, Instants
from stream_app.core.clock import NO_TIME
from stream_app.core.events import REFUND, Event
from stream_app.core.moves import DEFINITION, ENTERED, LAPSE, LAPSED, LEFT, MODEL, MOVED, RETURNED
from stream_app.core.partition import NO_SWEEPS, Clock, Reached, Sweeps
from stream_app.core.segmentation import NEVER_MS, Held, Segmentation
from stream_app.core.segments import NO_SEGMENT
from stream_app.native.structures import MOVE_DTYPE
from tests.reference.columns import CustomerColumns
from tests.reference.folding import fold_events, holds_order
from tests.reference.partition import Partition
from tests.reference.quantities import last_event_ms
from tests.reference.rosters import lapsed_codes_of, levels_of
from tests.reference.row import ACTIVITY_DTYPE, Row
from tests.support.totals import trail_for

_FIRST_MS: Final = -(2**62)


class Outcome(NamedTuple):
    """What came of a step, as `stream_app.core.processor.Outcome` has it."""

    moves: np.ndarray
    changed: Indices
    swept_at_ms: Instants
    customers: Indices
    applied: int
    late: int
    duplicates: int
    owners: Indices


class Visit(NamedTuple):
    """Where and when something is told that is found at an event, or at the end."""

    decided_at_ms: int
    position: int


@dataclass
class Pending:
    """A customer whose events of one instant are being taken in."""

    row: int
    at_ms: int
    before: np.ndarray | None
    event: int = -1
    assesses: bool = False
    weighed: bool = False
    """Whether one of them is more than the continuation of a session."""


def process_events(
    partition: Partition, events: Sequence[Event], sweeps: Sweeps = NO_SWEEPS, reached: Reached | None = None
) -> Outcome:
    """Fold `events`, let time pass between them, and decide who moves."""
    watermarks_ms = None if reached is None else reached.watermarks_ms.tolist()
    outcome = _Step(partition, events, sweeps, watermarks_ms).take(0, 2**62)
    if reached is not None:
        partition.trust = reached.trust
    return outcome


def sweep(partition: Partition, at_ms: int, first: int = 0, last: int | None = None) -> Outcome:
    """Decide who moves because time has passed up to `at_ms`, or because a segmentation's version is new."""
    at_ms = max(at_ms, partition.clock.swept_at_ms)
    count = len(partition.table)
    last = count if last is None else min(last, count)
    return _Step(partition, [], Sweeps(np.array([at_ms]), np.zeros(1, np.intp))).take(first, max(last, first))


@dataclass
class _Step:
    partition: Partition
    events: Sequence[Event]
    sweeps: Sweeps
    watermarks_ms: Sequence[int] | None = None
    """How far time has come with each event; with None each is taken at its word."""
    passed: int = 0
    """How many sweeps have passed."""
    made: list[dict[str, Any]] = field(default_factory=list)
    pending: dict[int, Pending] = field(default_factory=dict)
    touched: dict[int, np.ndarray] = field(default_factory=dict)
    """Rows that take part, with their memberships before the step."""
    with_events: set[int] = field(default_factory=set)
    moved: set[int] = field(default_factory=set)
    applied: int = 0
    late: int = 0
    duplicates: int = 0

    def __post_init__(self) -> None:
        self.table = self.partition.table
        self.swept_before_ms = self.partition.clock.swept_at_ms
        self.watermark_ms = self.partition.clock.watermark_ms
        self.customers: list[int] = []
        self.owners: list[int] = []

    # --- the step ---

    def take(self, first: int, last: int) -> Outcome:
        count_before = len(self.table)
        for index, event in enumerate(self.events):
            if index and event.at_ms != self.events[index - 1].at_ms:
                self.end_run()
            self.pass_sweeps(index)
            self.take_event(index, event)
        self.end_run()
        self.pass_sweeps(None)
        for row in list(self.touched):
            self.end_part(row)
        if len(self.sweeps.at_ms):
            until_ms = int(self.sweeps.at_ms[-1])
            for row in range(first, min(last, count_before)):
                if self.table.due_at_ms[row] < until_ms and row not in self.touched:
                    self.take_part(row)
                    self.end_part(row)
        return self.settle(last)

    def pass_sweeps(self, index: int | None) -> None:
        before = self.sweeps.before.tolist()
        while self.passed < len(before) and (index is None or before[self.passed] <= index):
            self.end_run()
            self.customers.append(len(self.table))
            self.passed += 1

    def settle(self, last: int) -> Outcome:
        changed = [row for row in self.touched if row in self.with_events or row in self.moved]
        for row, before in self.touched.items():
            if row not in changed:
                self.table.memberships["assessed_at_ms"][:, row] = before["assessed_at_ms"]
        at_ms = self.sweeps.at_ms
        swept_ms = int(at_ms[-1]) if len(at_ms) and last >= len(self.table) else self.swept_before_ms
        self.partition.clock = Clock(self.watermark_ms, swept_ms)
        self.table.forget_totals()
        keys = ("position", "row", "is_own", "segmentation")
        ordered = sorted(self.made, key=lambda move: tuple(move[key] for key in keys))
        moves = np.zeros(len(ordered), MOVE_DTYPE)
        for record, move in zip(moves, ordered, strict=True):
            for name, value in move.items():
                record[name] = value
        return Outcome(
            moves,
            np.array(changed, np.intp),
            at_ms,
            np.array(self.customers, np.intp),
            self.applied,
            self.late,
            self.duplicates,
            np.array(self.owners, np.intp),
        )

    # --- events ---

    def take_part(self, row: int) -> None:
        if row not in self.touched:
            self.touched[row] = self.table.memberships[:, row].copy()

    def take_event(self, index: int, event: Event) -> None:
        table = self.table
        is_unnamed = event.kind == REFUND and not event.customer_id
        if is_unnamed:
            holders = [row for row in range(len(table)) if holds_order(table.load(row), event.order_id)]
            row = holders[0] if len(holders) == 1 else -1
            self.owners.append(row)
            if row < 0:
                return
        else:
            row = table.find(event.customer_id)
            if row < 0:
                row = table.insert(event.customer_id)
        self.take_part(row)
        self.with_events.add(row)
        state = table.load(row)
        folded = fold_events(state, [event], trail_for([event]), 0)
        if folded.duplicates:
            self.duplicates += 1
            return
        said_ms = NO_TIME if is_unnamed else event.at_ms
        reached_ms = said_ms if self.watermarks_ms is None else self.watermarks_ms[index]
        self.watermark_ms = max(self.watermark_ms, reached_ms)
        self.late += event.at_ms < self.watermark_ms
        self.applied += event.at_ms >= self.watermark_ms
        if not _has_acted(folded.row.first_at_ms):
            table.store(np.array([row]), _activity(folded.row), [folded.row.history])
            return
        is_first = not _has_acted(state.first_at_ms)
        if row not in self.pending:
            visit = Visit(max(self.watermark_ms, self.last_sweep_ms), index + self.passed)
            self.pending[row] = self.open_instant(row, event.at_ms, visit, is_first)
        pending = self.pending[row]
        (in_session,) = folded.in_session
        if not in_session or pending.event < 0:
            pending.event = index
        pending.weighed |= not in_session
        table.store(np.array([row]), _activity(folded.row), [folded.row.history])

    def open_instant(self, row: int, at_ms: int, visit: Visit, is_first: bool) -> Pending:
        revised_ms = self.catch_up(row, visit)
        at_ms = max(at_ms, revised_ms, self.closed_ms(row) + 1)
        if not is_first:
            self.pass_silence(row, at_ms, visit)
        return Pending(row, at_ms, None if is_first else self.table.activity[row : row + 1].copy())

    def end_run(self) -> None:
        for row, pending in self.pending.items():
            for index, segmentation in enumerate(self.partition.segmentations):
                if pending.weighed or segmentation.weighs_sessions:
                    self.ask_act(row, index, segmentation, pending)
            closed = self.table.closed_at_ms
            closed[row] = max(closed[row], pending.at_ms)
        self.pending.clear()

    def ask_act(self, row: int, index: int, segmentation: Segmentation, pending: Pending) -> None:
        after = self.table.activity[row : row + 1].copy()
        decision = segmentation.acts(CustomerColumns(after, np.array([pending.at_ms])), self.held(row, index))
        membership = self.table.memberships[index]
        membership["assessed_at_ms"][row] = max(membership["assessed_at_ms"][row], pending.at_ms)
        if decision.moves.item():
            self.move(
                row,
                index,
                decision.target.item(),
                cause=self.events[pending.event].kind,
                position=pending.event + self.passed,
                event=pending.event,
                effective_at_ms=pending.at_ms,
                decided_at_ms=max(self.watermark_ms, self.last_sweep_ms),
                before_ms=pending.at_ms,
                is_own=1,
                before=after[0] if pending.before is None else pending.before[0],
                after=after[0],
            )

    # --- time ---

    @property
    def last_sweep_ms(self) -> int:
        return int(self.sweeps.at_ms[self.passed - 1]) if self.passed else self.swept_before_ms

    def closed_ms(self, row: int) -> int:
        return max(int(self.table.closed_at_ms[row]), _before(self.last_sweep_ms))

    def outdated(self, row: int) -> list[int]:
        return np.flatnonzero(self.table.outdated_of(np.array([row]))[:, 0]).tolist()

    def end_part(self, row: int) -> None:
        visit = Visit(self.last_sweep_ms, len(self.events) + len(self.sweeps.at_ms))
        self.catch_up(row, visit)
        due_ms = self.pass_silence(row, self.last_sweep_ms, visit)
        self.table.store_due(np.array([row]), np.array([due_ms]))

    def pass_silence(self, row: int, until_ms: int, visit: Visit) -> int:
        """Let time pass up to an instant, which is not included; return before when nothing more happens."""
        outdated = self.outdated(row)
        left = [index for index in range(len(self.partition.segmentations)) if index not in outdated]
        assessed = self.table.memberships["assessed_at_ms"][:, row]
        swept_ms = _before(self.swept_before_ms)
        dues = {index: self.ask(row, index, max(swept_ms, assessed[index]), until_ms) for index in left}
        while dues and min(dues.values())[0] < until_ms:
            at_ms = min(dues.values())[0]
            for index in left:
                if dues[index][0] == at_ms:
                    self.move_silently(row, index, dues[index][1], at_ms, visit)
                    dues[index] = self.ask(row, index, at_ms, until_ms)
        return min(dues.values())[0] if dues else NEVER_MS

    def ask(self, row: int, index: int, after_ms: int, until_ms: int) -> tuple[int, int]:
        """Return when silence first moves a customer, and where to."""
        customers = CustomerColumns(self.table.activity[row : row + 1].copy(), np.array([after_ms]))
        by_ms = np.array([max(_before(until_ms), after_ms)])
        segmentation = self.partition.segmentations[index]
        due = segmentation.silence(customers, self.held(row, index), np.array([after_ms]), by_ms)
        return due.at_ms.item(), due.target.item()

    def move_silently(self, row: int, index: int, target: int, at_ms: int, visit: Visit) -> None:
        state = self.table.activity[row : row + 1].copy()
        told = int(np.searchsorted(self.sweeps.at_ms, at_ms, side="right"))
        position, decided_at_ms = visit.position, visit.decided_at_ms
        if told < len(self.sweeps.at_ms) and int(self.sweeps.before[told]) + told < position:
            position, decided_at_ms = int(self.sweeps.before[told]) + told, int(self.sweeps.at_ms[told])
        self.move(
            row,
            index,
            target,
            cause=LAPSE,
            position=position,
            event=-1,
            effective_at_ms=at_ms,
            decided_at_ms=decided_at_ms,
            before_ms=min(int(last_event_ms(state)[0]), at_ms),
            is_own=0,
            before=state[0],
            after=state[0],
        )

    # --- new versions ---

    def catch_up(self, row: int, visit: Visit) -> int:
        """Let versions that have taken over assess a customer; return when the last of them did."""
        revised_ms = NO_TIME
        while outdated := self.outdated(row):
            instants = {index: self.partition.revised_at_ms[self.table.names[index]] for index in outdated}
            revised_ms = min(instants.values())
            closed_ms = max(int(self.table.closed_at_ms[row]), _before(self.swept_before_ms))
            at_ms = revised_ms if revised_ms > closed_ms else closed_ms + 1
            self.pass_silence(row, at_ms, visit)
            for index in outdated:
                if instants[index] <= revised_ms:
                    self.revise(row, index, at_ms, visit)
        return revised_ms

    def revise(self, row: int, index: int, at_ms: int, visit: Visit) -> None:
        segmentation, membership = self.partition.segmentations[index], self.table.memberships[index]
        self.table.note_assessed(row, index)
        if not _has_acted(int(self.table.activity["first_at_ms"][row])):
            return
        membership["assessed_at_ms"][row] = max(membership["assessed_at_ms"][row], at_ms)
        state = self.table.activity[row : row + 1].copy()
        decision = segmentation.revise(CustomerColumns(state, np.array([at_ms])), self.held(row, index))
        if decision.moves.item():
            is_new = membership["segment"][row] == NO_SEGMENT
            self.move(
                row,
                index,
                decision.target.item(),
                cause=DEFINITION if is_new else segmentation.revised_by,
                position=-1,
                event=-1,
                effective_at_ms=at_ms,
                decided_at_ms=visit.decided_at_ms,
                before_ms=at_ms,
                is_own=0,
                before=state[0],
                after=state[0],
            )

    # --- moves ---

    def held(self, row: int, index: int) -> Held:
        return Held.of(self.table.memberships[index][row : row + 1].copy())

    def move(self, row: int, index: int, target: int, **said: Any) -> None:
        segmentation = self.partition.segmentations[index]
        membership = self.table.memberships[index]
        at_ms = said["effective_at_ms"]
        origin, entered = int(membership["segment"][row]), int(segmentation.roster.codes[target])
        lapsed = lapsed_codes_of(segmentation.roster)
        kept = int(membership["kept"][row]) if origin in lapsed else origin
        change = _change(segmentation, origin, entered, said["cause"], int(membership["change"][row]))
        membership["kept"][row] = kept if entered in lapsed else entered
        membership["previous"][row], membership["segment"][row] = origin, entered
        membership["since_ms"][row], membership["change"][row] = at_ms, change
        membership["sequence"][row] += 1
        membership["model_version"][row] = segmentation.version
        membership["assessed_at_ms"][row] = max(membership["assessed_at_ms"][row], at_ms)
        if said["cause"] in (MODEL, DEFINITION, LAPSE):
            self.table.closed_at_ms[row] = max(int(self.table.closed_at_ms[row]), at_ms)
        after = np.array([said["after"]], ACTIVITY_DTYPE)
        following = segmentation.silence(
            CustomerColumns(after, np.array([at_ms])), self.held(row, index), np.array([at_ms]), np.array([NEVER_MS])
        )
        said["decided_at_ms"] = max(said["decided_at_ms"], at_ms)
        self.moved.add(row)
        self.made.append(
            said
            | {
                "row": row,
                "segmentation": index,
                "target": target,
                "change": change,
                "sequence": int(membership["sequence"][row]),
                "from_code": origin,
                "next_at_ms": following.at_ms.item(),
                "next_target": following.target.item(),
            }
        )


def _activity(row: Row) -> np.ndarray:
    packed = bytearray(ACTIVITY_DTYPE.itemsize)
    row.pack_activity_into(packed, 0)
    return np.frombuffer(packed, ACTIVITY_DTYPE)


def _has_acted(first_at_ms: int) -> bool:
    """Return whether anything is known of a customer but returns of orders that nobody has stated."""
    return first_at_ms != -NO_TIME


def _before(at_ms: int) -> int:
    return at_ms if at_ms == _FIRST_MS else at_ms - 1


def _change(segmentation: Segmentation, origin: int, entered: int, cause: int, last: int) -> int:
    """Return what a move means, given the customer's last change.

    In a segmentation without an order every move that silence makes is a lapse, and the next own act a return.
    """
    levels = levels_of(segmentation.roster)
    if entered == NO_SEGMENT:
        return LEFT
    if origin == NO_SEGMENT:
        return ENTERED
    lapses = levels is None or levels.get(entered, 0) < 0
    returns = last == LAPSED if levels is None else levels.get(origin, 0) < 0 and not lapses
    if cause == LAPSE and lapses:
        return LAPSED
    return RETURNED if cause < LAPSE and returns else MOVED
