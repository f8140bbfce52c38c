"""What is promised of every learned segmentation, whatever population it was learned from and whatever customers do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS, MINUTE_MS
from stream_app.core.columns import CustomerColumns
from stream_app.core.events import ENGAGEMENT, PURCHASE, REFUND, Event
from stream_app.core.migration import Migration
from stream_app.core.partition import Partition
from stream_app.core.segmentation import Held
from stream_app.segmentations.learned.decision import untrue
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.roles import KINDS
from tests.support.events import START_MS, instant
from tests.support.models import model_of, models, partition_under, successor
from tests.support.playing import Step, play

LEVELS = {f"s{kind.code}": kind.level for kind in KINDS}
PAUSES = [MINUTE_MS, DAY_MS // 2, DAY_MS, 3 * DAY_MS, 7 * DAY_MS, 20 * DAY_MS, 45 * DAY_MS, 130 * DAY_MS]


@st.composite
def lives(draw: st.DrawFn, customers: int = 3, refunds: bool = False, late: bool = False) -> list[Event]:
    """Draw what a few customers do: some come daily, some buy cheaply at times and dearly at others."""
    events: list[Event] = []
    for number in range(draw(st.integers(1, customers))):
        at_ms = START_MS + draw(st.integers(0, 60 * DAY_MS))
        usual = draw(st.sampled_from(PAUSES))
        kinds = st.sampled_from([PURCHASE] * draw(st.integers(0, 4)) + [ENGAGEMENT] * draw(st.integers(1, 4)))
        for index in range(draw(st.integers(1, 25))):
            at_ms += draw(st.sampled_from([usual, usual, *PAUSES]))
            kind = REFUND if refunds and draw(st.integers(0, 5)) == 0 else draw(kinds)
            event_ms = max(START_MS, at_ms - (draw(st.sampled_from([0, 0, 90 * DAY_MS])) if late else 0))
            if kind == ENGAGEMENT:
                events.append(Event(kind, f"c{number}", f"c{number} {index}", event_ms, "product_viewed"))
                continue
            amount_minor = draw(st.sampled_from([0, 1, 900, 5_000, 40_000, 1_000_000]))
            order_id = f"o{draw(st.integers(0, 4)) if refunds else index}"
            events.append(Event(kind, f"c{number}", f"c{number} {index}", event_ms, "order", amount_minor, order_id))
    return events if late else sorted(events, key=lambda event: event.at_ms)


def with_versions(events: Sequence[Event], model: Model, changes: Sequence[tuple[int, dict]]) -> list[Step]:
    """Return events with later models in between, each of which takes over at a sweep."""
    steps: list[Step] = list(events)
    for place, change in sorted(changes, key=lambda change: change[0], reverse=True):
        steps.insert(min(place, len(events)), change)
    done: list[Step] = []
    for step in steps:
        if not isinstance(step, dict):
            done.append(step)
            continue
        before_ms = max((each.at_ms for each in done if isinstance(each, Event)), default=START_MS)
        model = successor(model, **step)
        done += [before_ms, model, before_ms]
    return done


def false_names(partition: Partition, at_ms: int) -> list[tuple[str, str]]:
    """Return customers whose segment's name is not true of them at an instant, with it."""
    model, table = model_of(partition), partition.table
    membership = table.memberships[0]
    customers = CustomerColumns(table.activity, np.full(len(table), at_ms))
    wrong = np.flatnonzero(untrue(model, customers, Held.of(membership)))
    return [(table.customer_ids[n], model.roster.by_code[int(membership["segment"][n])].name) for n in wrong.tolist()]


def probed(partition: Partition, steps: Sequence[Step], days: int = 900) -> Iterator[tuple[Migration, ...]]:
    """Play steps and then let time pass, from one instant that is due to the next; check all names at each."""
    for step in steps:
        yield tuple(play(partition, [step]))
        at_ms = max(partition.clock)
        if isinstance(step, Event):
            yield tuple(play(partition, [at_ms]))
        assert false_names(partition, at_ms) == [], step
    last_ms = max(partition.clock) + days * DAY_MS
    while (due_ms := int(partition.table.due_at_ms.min())) <= last_ms:
        before_ms = max(due_ms - 1, max(partition.clock))
        assert false_names(partition, before_ms) == []
        yield tuple(play(partition, [due_ms]))
        assert false_names(partition, due_ms) == []


def level(segment: object) -> int | None:
    return None if segment is None else LEVELS.get(segment.id)


@given(lives(), models())
@settings(max_examples=150)
def test_every_name_is_true_of_each_member_at_every_instant(events: list[Event], model: Model) -> None:
    for _ in probed(partition_under(model), events):
        pass


@given(lives(), models())
@settings(max_examples=150)
def test_an_own_act_never_leads_down_and_silence_never_up(events: list[Event], model: Model) -> None:
    steps = [*events, instant(3_000)]
    for migration in play(partition_under(model), steps):
        before, after = level(migration.from_segment), level(migration.to_segment)
        assert after is not None
        if migration.cause.kind == "lapse":
            assert before is not None
            assert after <= before
        else:
            assert after >= 0
            assert before is None or after >= before
