"""What is told of everybody at the end: the grid of quintiles, how segments overlap, and who is listed."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest

from stream_app.bootstrap.segmentation import create_partition
from stream_app.core.clock import DAY_MS
from stream_app.core.events import pack_events
from stream_app.core.partition import Partition
from stream_app.core.processor import process_events
from stream_app.core.rfm import NAMES, SCORES, scores
from stream_app.replay.listing import listing_document
from stream_app.replay.overlaps import PAIRS_MAX, overlaps_document
from stream_app.replay.rfm import rfm_document
from stream_app.replay.spreads import codes_of
from stream_app.settings.sections import Settings
from tests.support.events import engagement, purchase


@pytest.fixture(scope="module")
def partition() -> Partition:
    """Of 200 customers under all segmentations that are shipped; the first ten have never ordered."""
    draw = random.Random(11)
    events = [engagement(draw.uniform(0, 200), customer_id=f"c{number}") for number in range(10)]
    for number in range(10, 200):
        count = min(round(draw.paretovariate(1.2)), 30)
        events += [
            purchase(draw.uniform(0, 200), draw.randrange(500, 9_000), customer_id=f"c{number}") for _ in range(count)
        ]
    events.sort(key=lambda event: event.at_ms)
    built = create_partition(Settings())
    process_events(built, pack_events(events, range(len(events)), 0))
    return built


def test_scores_are_one_more_than_the_fifths_below() -> None:
    found, limits = scores(np.arange(100))
    assert limits == [19, 39, 59, 79]
    assert Counter(found.tolist()) == {1: 20, 2: 20, 3: 20, 4: 20, 5: 20}


def test_the_same_value_has_the_same_score() -> None:
    found, limits = scores(np.array([1] * 55 + [2] * 15 + [3] * 15 + [9] * 15))
    assert limits == [1, 1, 2, 3]
    assert Counter(found.tolist()) == {1: 55, 3: 15, 4: 15, 5: 15}


@pytest.mark.parametrize("values", [[7], [7, 8], [1, 2, 3]])
def test_few_have_scores_too(values: list[int]) -> None:
    found, limits = scores(np.array(values))
    assert len(limits) == SCORES - 1
    assert found.min() >= 1
    assert found.max() <= SCORES
    assert sorted(found.tolist()) == found.tolist()


def test_the_grid_is_everybody_who_has_ordered(partition: Partition) -> None:
    grid = rfm_document(partition)
    activity = partition.table.activity
    assert grid["without_order"] == 10
    assert sum(cell["customers"] for cell in grid["cells"]) == 190
    assert sum(cell["revenue_minor"] for cell in grid["cells"]) == activity["revenue_minor"].sum()
    assert sum(cell["orders"] for cell in grid["cells"]) == activity["purchases"].sum()


def test_a_cell_holds_whom_its_limits_say(partition: Partition) -> None:
    grid = rfm_document(partition)
    expected: Counter[tuple[int, int]] = Counter()
    at_ms = max(partition.clock)
    buyers = [row for row in partition.table.activity if row["purchases"]]
    ages = sorted(at_ms - int(row["purchased_at_ms"]) for row in buyers)
    orders = sorted(int(row["purchases"]) for row in buyers)

    def fifths(ascending: list[int], value: int) -> int:
        return sum(ascending[-(-len(ascending) * k // 5) - 1] < value for k in range(1, 5))

    for row in buyers:
        recency = 5 - fifths(ages, at_ms - int(row["purchased_at_ms"]))
        expected[recency, 1 + fifths(orders, int(row["purchases"]))] += 1
    assert {(cell["recency"], cell["frequency"]): cell["customers"] for cell in grid["cells"]} == expected
    assert grid["recency_days"] == [round(ages[-(-190 * k // 5) - 1] / DAY_MS, 1) for k in range(1, 5)]
    for cell in grid["cells"]:
        assert cell["name"] == NAMES[cell["recency"] - 1][cell["frequency"] - 1]


def test_cells_say_in_which_segments_their_customers_are(partition: Partition) -> None:
    grid = rfm_document(partition)
    for name in ("value", "lifecycle", "rfm_cells"):
        of = grid["segments"][name]
        sums: Counter[int] = Counter()
        for cell, customers in zip(of["cell"], of["customers"], strict=True):
            sums[cell] += customers
        assert [sums[place] for place in range(len(grid["cells"]))] == [cell["customers"] for cell in grid["cells"]]


def test_nobody_makes_an_empty_grid() -> None:
    assert rfm_document(create_partition(Settings()))["cells"] == []


def test_overlaps_are_those_of_a_count(partition: Partition) -> None:
    document = overlaps_document(partition)
    assert len(document) == len(partition.names) * (len(partition.names) - 1) // 2
    for pair in document:
        of, other = (partition.segmentations[partition.names.index(pair[end])] for end in ("of", "with"))
        expected = Counter(
            (of.roster.by_code[a].segment_id, other.roster.by_code[b].segment_id)
            for a, b in zip(codes_of(partition, of).tolist(), codes_of(partition, other).tolist(), strict=True)
            if a and b
        )
        found = zip(pair["segment"], pair["other"], strict=True)
        assert dict(zip(found, pair["customers"], strict=True)) == expected
        assert len(pair["customers"]) <= PAIRS_MAX


def test_everybody_is_listed_while_they_fit(partition: Partition) -> None:
    listing = listing_document(partition)
    assert sorted(listing["id"]) == sorted(partition.table.customer_ids)
    assert listing["revenue_minor"] == sorted(listing["revenue_minor"], reverse=True)
    row = partition.table.find(listing["id"][5])
    value = partition.segmentations[partition.names.index("value")]
    assert listing["segments"]["value"][5] == value.roster.by_code[codes_of(partition, value)[row]].segment_id
    assert listing["orders"][5] == partition.table.activity["purchases"][row]


def test_of_many_the_best_of_each_segment_are_listed(partition: Partition) -> None:
    whole, part = listing_document(partition), listing_document(partition, listed_max=60)
    assert 0 < len(part["id"]) <= 60
    chosen = set(part["id"])
    for name in ("value", "lifecycle"):
        by_segment: dict[Any, list[str]] = {}
        for customer_id, segment in zip(whole["id"], whole["segments"][name], strict=True):
            by_segment.setdefault(segment, []).append(customer_id)
        assert all(members[0] in chosen for members in by_segment.values()), "the best of each is among them"
    assert part["rank"] == [whole["rank"][whole["id"].index(each)] for each in part["id"]]
