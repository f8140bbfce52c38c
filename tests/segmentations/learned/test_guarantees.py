"""What is promised of every learned segmentation, whatever population it was learned from and whatever customers do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS, MINUTE_MS, format_instant
from stream_app.core.columns import CustomerColumns
from stream_app.core.events import ENGAGEMENT, PURCHASE, REFUND, Event
from stream_app.core.partition import Partition
from stream_app.core.segmentation import Held
from stream_app.core.segments import SegmentReference
from stream_app.segmentations.learned.model import Frame, Model
from stream_app.segmentations.learned.rhythm import Rhythm
from stream_app.segmentations.learned.roles import KINDS
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from tests.segmentations.learned.fixed_model import MODEL
from tests.support.events import START_MS, engagement, instant, purchase, refund
from tests.support.models import (
    ACTIVE_SHOP,
    EARLIER_SEGMENTS,
    frames,
    model_of,
    models,
    partition_under,
    successor,
    thresholds,
)
from tests.support.playing import Step, play, undated
from tests.support.published import Migration

LEVELS = {f"s{kind.code}": kind.level for kind in KINDS}
NEW_SEGMENT, OCCASIONAL_SEGMENT = SegmentReference("s3", "New"), SegmentReference("s102", "Occasional")
changes = st.fixed_dictionaries({}, optional={"frame": frames(), "thresholds": thresholds})
PAUSES = [MINUTE_MS, DAY_MS // 2, DAY_MS, 3 * DAY_MS, 7 * DAY_MS, 20 * DAY_MS, 45 * DAY_MS, 130 * DAY_MS]


@st.composite
def lives(draw: st.DrawFn, customers: int = 2, refunds: bool = False, late: bool = False) -> list[Event]:
    """Draw what a few customers do: some come daily, some buy cheaply at times and dearly at others."""
    events: list[Event] = []
    for number in range(customers):
        at_ms = START_MS + draw(st.integers(0, 60 * DAY_MS))
        usual = draw(st.sampled_from(PAUSES))
        kinds = st.sampled_from([PURCHASE] * draw(st.integers(0, 4)) + [ENGAGEMENT] * draw(st.integers(1, 4)))
        for index in range(draw(st.integers(1, 14))):
            at_ms += draw(st.sampled_from([usual, usual, *PAUSES])) + 7  # never right when a silence of whole days ends
            kind = REFUND if refunds and draw(st.integers(0, 5)) == 0 else draw(kinds)
            event_ms = max(START_MS, at_ms - (draw(st.sampled_from([0, 0, 90 * DAY_MS])) if late else 0))
            if kind == ENGAGEMENT:
                events.append(Event(kind, f"c{number}", f"c{number} {index}", event_ms, "product_viewed"))
                continue
            amount_minor = draw(st.sampled_from([0, 1, 900, 5_000, 40_000, 1_000_000]))
            order_id = f"o{draw(st.integers(0, 4)) if refunds else index}"
            events.append(Event(kind, f"c{number}", f"c{number} {index}", event_ms, "order", amount_minor, order_id))
    return events if late else sorted(events, key=lambda event: event.at_ms)


def false_names(partition: Partition, at_ms: int) -> list[tuple[str, str]]:
    """Return customers whose segment's name is not true of them at an instant, with it."""
    model, table = model_of(partition), partition.table
    membership = table.memberships[0]
    customers = CustomerColumns(table.activity, np.full(len(table), at_ms))
    wrong = np.flatnonzero(LearnedSegmentation(model).untrue(customers, Held.of(membership)))
    return [(table.customer_ids[n], model.roster.by_code[int(membership["segment"][n])].name) for n in wrong.tolist()]


def let_pass(partition: Partition, until_ms: int) -> Iterator[Migration]:
    """Let time pass up to an instant, not included, from one that is due to the next.

    All names are checked right before and at each.
    """
    while len(partition.table) and (due_ms := int(partition.table.due_at_ms.min())) < until_ms:
        now_ms = max(due_ms, max(partition.clock))
        assert false_names(partition, max(now_ms - 1, max(partition.clock))) == []
        yield from play(partition, [now_ms + 1])
        assert false_names(partition, now_ms) == []
    yield from play(partition, [max(until_ms, max(partition.clock))])


def live(partition: Partition, steps: Sequence[Step], days: int = 900) -> Iterator[Migration]:
    """Play steps, let time pass between them and afterwards, and check all names whenever anything may change."""
    for step in steps:
        if isinstance(step, Event):
            if max(partition.clock) < step.at_ms:
                yield from let_pass(partition, step.at_ms)
            yield from play(partition, [step])
        else:
            model = successor(model_of(partition), **step)
            yield from play(partition, [model, max(partition.clock)])
        yield from let_pass(partition, max(partition.clock) + 1)
        assert false_names(partition, max(partition.clock)) == [], step
    yield from let_pass(partition, max(partition.clock) + days * DAY_MS)


def level(segment: SegmentReference | None) -> int | None:
    return None if segment is None else LEVELS.get(segment.id)


def check_direction(migration: Migration) -> None:
    """Check that an own act does not lead down, nor silence up."""
    before, after = level(migration.from_segment), level(migration.to_segment)
    assert after is not None
    if migration.cause.kind == "lapse":
        assert before is not None
        assert after <= before
    elif migration.cause.kind != "model":
        assert after >= 0
        second_order = migration.from_segment == NEW_SEGMENT and migration.to_segment == OCCASIONAL_SEGMENT
        # Where everybody orders so often that a second order is no habit yet, nothing better is true.
        assert before is None or after >= before or (second_order and migration.explanation.after.orders > 1)


@given(lives(), models())
@settings(max_examples=40)
def test_names_are_true_and_acts_never_lead_down_and_silence_never_up(events: list[Event], model: Model) -> None:
    for migration in live(partition_under(model), events):
        check_direction(migration)


@given(lives(), models(), st.lists(st.tuples(st.integers(0, 30), changes), min_size=1, max_size=3))
@settings(max_examples=30)
def test_names_stay_true_under_a_succession_of_models(
    events: list[Event], model: Model, versions: list[tuple[int, dict[str, Any]]]
) -> None:
    steps: list[Any] = list(events)
    for place, change in versions:
        steps.insert(min(place + 1, len(steps)), change)
    partition = partition_under(model)
    migrations = list(live(partition, steps))
    for migration in migrations:
        check_direction(migration)
    for customer_id in partition.table.customer_ids:
        own = [migration.effective_at for migration in migrations if migration.customer_id == customer_id]
        assert own == sorted(own)


@given(lives(refunds=True, late=True), models())
@settings(max_examples=30)
def test_names_stay_true_whatever_is_refunded_or_heard_of_late(events: list[Event], model: Model) -> None:
    for migration in live(partition_under(model), events):
        if migration.cause.kind == "lapse":
            check_direction(migration)
            continue
        # Whether these lead up or down is not promised: a refund takes back what led up, and late news may be of long
        # ago. But none of them leads somebody active into a lapsed segment.
        before, after = level(migration.from_segment), level(migration.to_segment)
        assert after is not None
        assert before is None or before < 0 or after >= 0


def test_silence_and_not_the_event_moves_whom_a_late_event_shows_to_be_overdue() -> None:
    partition = partition_under(MODEL)
    play(partition, [*(purchase(day) for day in (0, 20, 40, 60)), instant(90)])
    # The customer turns out to have come every five days, so that a month without it is telling.
    assert play(partition, [purchase(day) for day in (5, 10, 15, 25, 30, 35, 45, 50, 55)]) == []
    assert play(partition, [instant(90)]) == []
    (lapse,) = play(partition, [instant(90) + 10])
    assert (lapse.cause.kind, lapse.change, lapse.to_segment.name) == ("lapse", "lapsed", "At risk")
    # Each of the late events counted 1 ms after the one before.
    assert lapse.effective_at == format_instant(instant(90) + 9)


@given(lives(customers=1), models(), st.integers(0, 20))
@settings(max_examples=40)
def test_identical_customers_are_in_one_segment(events: list[Event], model: Model, place: int) -> None:
    twins = [
        Event(each.kind, customer_id, each.event_id, each.at_ms, each.type, each.amount_minor, each.order_id)
        for each in events
        for customer_id in ("a", "b")
    ]
    partition = partition_under(model)
    for steps in (twins[: 2 * place], twins[2 * place :], [instant(2_000)]):
        migrations = play(partition, steps)
        one, other = (
            [
                (m.sequence, m.to_segment, m.effective_at, m.next_move)
                for m in migrations
                if m.customer_id == customer_id
            ]
            for customer_id in ("a", "b")
        )
        assert one == other


@given(lives(), models())
@settings(max_examples=40)
def test_nobody_stays_in_a_segment_of_an_earlier_release(events: list[Event], model: Model) -> None:
    partition = partition_under(model)
    play(partition, events)
    held = partition.table.memberships[0]["segment"]
    codes = [segment.code for segment in EARLIER_SEGMENTS]
    held[:] = np.resize(codes, len(held))
    partition.follow(LearnedSegmentation(successor(model, retired_segments=EARLIER_SEGMENTS)))
    moved = play(partition, [max(partition.clock)])
    assert len(moved) == len(partition.table)
    assert {migration.cause.kind for migration in moved} == {"model"}
    assert not np.isin(partition.table.memberships[0]["segment"], codes).any()
    assert false_names(partition, max(partition.clock)) == []


# --- at the edges of what numbers can be -----------------------------------------------------------------------------

EDGES = {
    "nothing but engagement": [engagement(day) for day in range(0, 800, 3)],
    "one visit": [engagement(0)],
    "worthless orders": [purchase(day, 0) for day in range(0, 400, 7)],
    "all refunded": [
        event
        for day in range(0, 90, 9)
        for event in (purchase(day, 900, order_id=f"o{day}"), refund(day + 2, 900, f"o{day}"))
    ],
    "nothing but refunds": [refund(day, 500, f"o{day}") for day in range(0, 60, 20)],
    "once a year": [purchase(day) for day in (0, 366, 732, 1_098)],
    "beyond what is remembered": [purchase(day) for day in (0, 400, 1_200)],
    "daily for years": [engagement(day / 2) if day % 4 else purchase(day / 2) for day in range(1_600)],
    "huge orders": [purchase(day, 10**15) for day in range(0, 300, 10)],
    "before 1970": [purchase(day - 20_000) for day in range(0, 100, 10)],
}
BOUNDS = Frame(centres=np.clip(Frame().centres * 4, -20, 20), order_value_minor=1e-9, new_days=1e-3)
WIDE = Frame(Rhythm(5.0, 9.0, 50.0, 1e-9, 1e-6), 1e12, 1.0, 3_000.0, Frame().centres * 0.01)


@pytest.mark.parametrize("events", EDGES.values(), ids=EDGES)
@pytest.mark.parametrize("frame", [Frame(), ACTIVE_SHOP, BOUNDS, WIDE], ids=["prior", "shop", "bounds", "wide"])
def test_names_are_true_at_the_edges_of_what_customers_do(events: list[Event], frame: Frame) -> None:
    model = Model("value", 1, 0, frame)
    for migration in live(partition_under(model), events[:40] + events[-3:], days=4_000):
        assert migration.explanation.sentence.endswith(".")
    together, apart = partition_under(model), partition_under(model)
    assert undated(play(together, events)) == undated(play(apart, events, range(0, len(events), 97)))
