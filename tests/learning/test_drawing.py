from __future__ import annotations

import numpy as np
import pytest

from stream_app.core.clock import DAY_MS
from stream_app.core.events import PURCHASE, Event
from stream_app.core.partition import Partition
from stream_app.learning.drawing import SampleDrawer, choose, hash_customers, share_of
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from tests.support.playing import play_events

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
    play_events(partition, events)
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


def test_customers_of_whom_only_profiles_are_known_are_not_drawn(partition):
    before = drawn(partition)
    partition.table.insert("known by a profile")
    after = drawn(partition)
    assert after.customer_ids.tolist() == before.customer_ids.tolist()
    assert after.population_size == before.population_size


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
        play_events(partition, [event])
        assert len(drawer.draw(number, FIRST_MS)) == number + 1


@pytest.mark.parametrize(
    ("size", "population", "share"), [(10, 0, 1.0), (10, 5, 1.0), (10, 20, 1.0), (10, 25, 0.8), (10, 2_000, 0.01)]
)
def test_share_is_that_of_twice_as_many_as_are_wanted(size, population, share):
    assert share_of(size, population) == share


@pytest.mark.parametrize("population", [300, 3_000, 30_000])
def test_those_below_the_share_are_enough_for_the_sample_that_everybody_would_be_in(population):
    ids = [f"c{number}" for number in range(population)]
    hashes = hash_customers(ids)
    for tick in range(20):
        below = choose(hashes, ids, population, tick, 0, share_of(100, population))
        assert 120 < len(below) <= 300
        assert choose(hashes, ids, 100, tick, 0, share_of(100, population)).tolist() == below[:100].tolist()
        assert choose(hashes, ids, 100, tick, 0).tolist() == below[:100].tolist()
