from __future__ import annotations

from dataclasses import replace

import pytest

from stream_app.core.clock import DAY_MS
from stream_app.core.events import PURCHASE, Event, Position
from stream_app.core.processor import apply_effects, process_events
from stream_app.learning.drawing import draw_sample
from tests.support.models import partition_under, rules_snapshot

FIRST_MS = 1_700_000_000_000


@pytest.fixture(scope="module")
def partition():
    """Return thirty customers; customer i bought i days after the first one."""
    partition = partition_under(rules_snapshot(), replace(rules_snapshot(0.1), name="service"))
    events = [
        Event(PURCHASE, f"c{day}", f"e{day}", FIRST_MS + day * DAY_MS, "order_completed", 1000, f"o{day}")
        for day in range(30)
    ]
    apply_effects(partition, process_events(partition, events, [Position("purchases", 0, 0)] * 30))
    return partition


def drawn(partition, tick=0, size=10, seed=0):
    return draw_sample(partition, tick, FIRST_MS + 40 * DAY_MS, size, seed)


def test_customers_are_drawn_once_each_with_their_own_figures(partition):
    sample = drawn(partition)
    assert len(set(sample.customer_ids)) == len(sample) == 10
    assert sample.population_size == 30
    days = [int(customer_id.removeprefix("c")) for customer_id in sample.customer_ids]
    assert sample.quantities.tenure_days.tolist() == [40.0 - day for day in days]
    assert list(sample.memberships) == ["value", "service"]
    for held in sample.memberships.values():
        assert (held.segment > 0).all()
        assert held.since_ms.tolist() == [FIRST_MS + day * DAY_MS for day in days]


def test_small_population_is_drawn_whole(partition):
    assert set(drawn(partition, size=100).customer_ids) == {f"c{day}" for day in range(30)}


def test_tick_and_seed_alone_decide_who_is_drawn(partition):
    first = drawn(partition).customer_ids.tolist()
    assert drawn(partition).customer_ids.tolist() == first
    assert drawn(partition, tick=1).customer_ids.tolist() != first
    assert drawn(partition, seed=1).customer_ids.tolist() != first
