"""What becomes of customers, found the slow way: one customer, one event, one question at a time.

This is the definition of what `stream_app.core.processor` does for many at once, of segmentations that are not by
rules. It knows no chunks, no visits and no due instants, and it never looks ahead. It folds and decides by
`tests.reference`, and so apart from the library.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from stream_app.core.clock import NO_TIME, format_instant
from stream_app.core.events import Event
from stream_app.core.moves import CAUSE_KINDS, CHANGES, DEFINITION, LAPSE
from stream_app.core.segmentation import NEVER_MS, Decision, Held, Segmentation
from stream_app.core.segments import NO_SEGMENT
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from tests.reference.columns import CustomerColumns
from tests.reference.folding import fold_events
from tests.reference.row import ACTIVITY_DTYPE, Row
from tests.reference.segmentations import by_reference
from tests.support.playing import Step
from tests.support.published import Migration
from tests.support.totals import trail_for


class Told(NamedTuple):
    """What is compared of a migration."""

    customer_id: str
    segmentation: str
    sequence: int
    from_segment: str | None
    to_segment: str | None
    change: str
    cause: str
    event_id: str | None
    effective_at: str
    version: int
    next_move: tuple[str, str | None] | None

    @classmethod
    def of(cls, migration: Migration) -> Told:
        following = migration.next_move
        return cls(
            migration.customer_id,
            migration.segmentation,
            migration.sequence,
            migration.from_segment and migration.from_segment.id,
            migration.to_segment and migration.to_segment.id,
            migration.change,
            migration.cause.kind,
            migration.cause.event_id,
            migration.effective_at,
            migration.model_version,
            following and (following.at, following.to_segment and following.to_segment.id),
        )


def told(migrations: Sequence[Migration]) -> list[Told]:
    """Return what is compared, customer by customer: the order of the stream depends on when sweeps find moves."""
    return sorted(Told.of(migration) for migration in migrations)


class Customer:
    """One customer in one segmentation."""

    def __init__(self, customer_id: str) -> None:
        self.customer_id = customer_id
        self.row = Row()
        self.assessed_ms = NO_TIME
        self.closed_ms = NO_TIME
        self.revised_ms = NO_TIME
        self.since_ms = NO_TIME
        self.segment = self.previous = self.kept = NO_SEGMENT
        self.last_change = ""
        self.told: list[Told] = []

    @property
    def held(self) -> Held:
        codes = (np.array([code], np.int16) for code in (self.segment, self.previous, self.kept))
        segment, previous, kept = codes
        return Held(segment, previous, np.array([self.since_ms]), kept)

    def at(self, at_ms: int) -> CustomerColumns:
        packed = bytearray(ACTIVITY_DTYPE.itemsize)
        self.row.pack_activity_into(packed, 0)
        return CustomerColumns(np.frombuffer(packed, ACTIVITY_DTYPE), np.array([at_ms]))

    def stay_silent(self, segmentation: Segmentation, after_ms: int, by_ms: int) -> None:
        """Let time pass."""
        while after_ms < by_ms:
            due = segmentation.silence(self.at(after_ms), self.held, np.array([after_ms]), np.array([by_ms]))
            after_ms = due.at_ms.item()
            if after_ms <= by_ms:
                self.move(segmentation, due.target.item(), after_ms, LAPSE)

    def decide(
        self, segmentation: Segmentation, decision: Decision, at_ms: int, kind: int, event: Event | None
    ) -> None:
        """Move if that is the decision."""
        if decision.moves.item():
            self.move(segmentation, decision.target.item(), at_ms, kind, event)

    def move(self, segmentation: Segmentation, target: int, at_ms: int, kind: int, event: Event | None = None) -> None:
        """Be in another segment from an instant on."""
        roster = segmentation.roster
        origin, self.segment = self.segment, int(roster.codes[target])
        levels = {code: entry.level for code, entry in roster.by_code.items()}
        ordered = any(level is not None for level in levels.values())
        into_lapsed = (levels.get(self.segment) or 0) < 0 if ordered else True
        returns = (levels.get(origin) or 0) < 0 and not into_lapsed if ordered else self.last_change == "lapsed"
        if self.segment == NO_SEGMENT:
            self.last_change = "left"
        elif origin == NO_SEGMENT:
            self.last_change = "entered"
        elif kind == LAPSE and into_lapsed:
            self.last_change = "lapsed"
        elif event is not None and returns:
            self.last_change = "returned"
        else:
            self.last_change = "moved"
        assert self.last_change in CHANGES
        if not (ordered and (levels.get(origin) or 0) < 0):
            self.kept = origin
        if not (ordered and into_lapsed):
            self.kept = self.segment
        self.previous, self.since_ms = origin, at_ms
        self.assessed_ms = max(self.assessed_ms, at_ms)
        if event is None and kind != LAPSE:
            self.closed_ms = max(self.closed_ms, at_ms)
        following = segmentation.silence(self.at(at_ms), self.held, np.array([at_ms]), np.array([NEVER_MS]))
        next_move = None
        if following.at_ms.item() < NEVER_MS:
            heir = roster.references.get(int(roster.codes[following.target.item()]))
            next_move = format_instant(following.at_ms.item()), heir and heir.id
        names = [roster.references[code].id if code in roster.references else None for code in (origin, self.segment)]
        self.told.append(
            Told(
                self.customer_id,
                segmentation.name,
                len(self.told) + 1,
                *names,
                self.last_change,
                CAUSE_KINDS[kind if event is None else event.kind],
                event and event.event_id,
                format_instant(at_ms),
                segmentation.version,
                next_move,
            )
        )


class Population:
    """All customers in one segmentation, and how far time has come."""

    def __init__(self, segmentation: Segmentation) -> None:
        self.segmentation = by_reference(segmentation)
        self.customers: dict[str, Customer] = {}
        self.watermark_ms = self.swept_ms = self.revised_ms = NO_TIME

    def take(self, events: Sequence[Event]) -> None:
        """Take in events of one instant that stand next to each other."""
        acting: dict[str, tuple[int, Event | None]] = {}
        for event in events:
            customer = self.customers.setdefault(event.customer_id, Customer(event.customer_id))
            folded = fold_events(customer.row, [event], trail_for([event]), 0)
            if folded.duplicates:
                continue
            self.watermark_ms = max(self.watermark_ms, event.at_ms)
            known, acted = (row.first_at_ms != -NO_TIME for row in (customer.row, folded.row))
            if not acted:
                customer.row = folded.row
                continue
            in_session = folded.in_session[0] and not self.segmentation.weighs_sessions
            at_ms, cause = acting.get(event.customer_id, (0, None))
            if event.customer_id not in acting:
                floor_ms = max(customer.closed_ms + 1, self.swept_ms, customer.revised_ms)
                at_ms = max(event.at_ms, floor_ms)
                if known:
                    self.pass_silence(customer, at_ms - 1)
            acting[event.customer_id] = at_ms, cause if in_session else event
            customer.row = folded.row
        for customer_id, (at_ms, cause) in acting.items():
            customer = self.customers[customer_id]
            if cause is not None:
                decision = self.segmentation.acts(customer.at(at_ms), customer.held)
                customer.decide(self.segmentation, decision, at_ms, cause.kind, cause)
                customer.assessed_ms = at_ms
            customer.closed_ms = at_ms

    def pass_silence(self, customer: Customer, by_ms: int) -> None:
        """Let silence move a customer up to an instant, included."""
        customer.stay_silent(self.segmentation, max(self.swept_ms - 1, customer.assessed_ms), by_ms)

    def sweep(self, at_ms: int) -> None:
        """Let time pass up to an instant, which is not included."""
        at_ms = max(at_ms, self.swept_ms)
        for customer in self.customers.values():
            self.pass_silence(customer, at_ms - 1)
        self.swept_ms = at_ms

    def follow(self, segmentation: Segmentation) -> None:
        """Let a version take over."""
        self.segmentation = by_reference(segmentation)
        revised_ms = max(self.watermark_ms, self.swept_ms)
        for customer in self.customers.values():
            closed_ms = max(customer.closed_ms, self.swept_ms - 1)
            at_ms = revised_ms if revised_ms > closed_ms else closed_ms + 1
            customer.revised_ms = revised_ms
            if customer.row.first_at_ms == -NO_TIME:
                continue
            customer.assessed_ms = max(customer.assessed_ms, at_ms)
            decision = self.segmentation.revise(customer.at(at_ms), customer.held)
            kind = DEFINITION if customer.segment == NO_SEGMENT else self.segmentation.revised_by
            customer.decide(self.segmentation, decision, at_ms, kind, None)


def runs_of(steps: Sequence[Step]) -> Iterator[list[Event] | int | Model | Segmentation]:
    """Yield steps, events of one instant that stand next to each other as one."""
    run: list[Event] = []
    for step in steps:
        if run and not (isinstance(step, Event) and step.at_ms == run[0].at_ms):
            yield run
            run = []
        if isinstance(step, Event):
            run.append(step)
        else:
            yield step
    if run:
        yield run


def expected_migrations(segmentation: Segmentation, steps: Sequence[Step]) -> list[Told]:
    """Return what customers do in one segmentation, its later versions among the steps included."""
    population = Population(segmentation)
    for step in runs_of(steps):
        if isinstance(step, list):
            population.take(step)
        elif isinstance(step, int):
            population.sweep(step)
        else:
            population.follow(LearnedSegmentation(step) if isinstance(step, Model) else step)
    return sorted(entry for customer in population.customers.values() for entry in customer.told)
