from __future__ import annotations

import numpy as np
import pytest

from stream_app.core.clock import DAY_MS
from stream_app.core.events import PURCHASE, Event, Position
from stream_app.core.partition import Partition
from stream_app.core.processor import apply_effects, process_events
from stream_app.learning.drawing import SampleDrawer, choose, hash_customers
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation

FIRST_MS = 1_700_000_000_000


def partition_of(*names):
    return Partition([LearnedSegmentation(Model(name)) for name in names])


@pytest.fixture(scope="module")
def partition():
    """Return thirty customers; customer i bought i days after the first one."""
    partition = partition_of("value", "service")
    events = [
        Event(PURCHASE, f"c{day}", f"e{day}", FIRST_MS + day * DAY_MS, "order_completed", 1000, f"o{day}")
        for day in range(30)
    ]
    apply_effects(partition, process_events(partition, events, [Position("purchases", 0, 0)] * 30))
    return partition


def drawn(partition, tick=0, size=10, seed=0):
    return SampleDrawer(partition, size, seed).draw(tick, FIRST_MS + 40 * DAY_MS)


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


def test_sums_are_over_all_members_drawn_or_not(partition):
    members = drawn(partition, size=3).members
    assert members == {name: partition.table.members(index) for index, name in enumerate(("value", "service"))}
    for sums in members.values():
        assert sum(each.customers for each in sums.values()) == 30
        assert sum(each.revenue_minor for each in sums.values()) == 30_000


def test_small_population_is_drawn_whole(partition):
    assert set(drawn(partition, size=100).customer_ids) == {f"c{day}" for day in range(30)}


def test_tick_and_seed_alone_decide_who_is_drawn(partition):
    first = drawn(partition).customer_ids.tolist()
    assert drawn(partition).customer_ids.tolist() == first
    assert drawn(partition, tick=1).customer_ids.tolist() != first
    assert drawn(partition, seed=1).customer_ids.tolist() != first


def test_order_of_the_sample_is_that_of_the_hashes_and_not_of_arrival():
    ids = [f"c{number}" for number in range(50)]
    forwards = choose(hash_customers(ids), ids, 20, 3, 0)
    backwards = choose(hash_customers(ids[::-1]), ids[::-1], 20, 3, 0)
    assert [ids[number] for number in forwards] == [ids[::-1][number] for number in backwards]


@pytest.mark.parametrize("size", [2, 4, 9])
def test_customers_of_one_hash_are_chosen_by_id(size):
    ids = ["d", "b", "a", "c"]
    chosen = choose(np.zeros(4, np.uint64), ids, size, 0, 0)
    assert [ids[number] for number in chosen] == ["a", "b", "c", "d"][:size]


def test_drawer_knows_customers_who_have_come_since():
    partition = partition_of("value")
    drawer = SampleDrawer(partition, 10, 0)
    assert len(drawer.draw(0, FIRST_MS)) == 0
    for number in range(3):
        event = Event(PURCHASE, f"c{number}", f"e{number}", FIRST_MS, "order_completed", 1000, f"o{number}")
        apply_effects(partition, process_events(partition, [event], [Position("purchases", 0, 0)]))
        assert len(drawer.draw(number, FIRST_MS)) == number + 1
