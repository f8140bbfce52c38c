from __future__ import annotations

import math

import numpy as np
import pytest

from stream_app.core.clock import NO_TIME
from stream_app.segmentations.learned.cold_start import EXAMPLES, Example
from tests.support.events import engagement, instant, purchase
from tests.support.models import partition_under, rules_snapshot
from tests.support.playing import play


def features_of(example: Example, revenue: float = 0.0) -> np.ndarray:
    active = example.probability_active
    return np.array(
        [[1 - active, math.log1p(active * example.orders), revenue, math.log1p(active * example.engaged_days)]]
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
@pytest.mark.parametrize("revenue", [0.0, 12.0])
def test_example_belongs_to_its_own_segment_whatever_its_revenue(example: Example, revenue: float) -> None:
    snapshot = rules_snapshot()
    nearest = snapshot.score(features_of(example, revenue)).argmin()
    assert snapshot.segments[nearest].name == example.name


def test_rules_are_version_0_and_carry_what_they_are_given() -> None:
    snapshot = rules_snapshot(0.3, 12.0)
    assert (snapshot.version, snapshot.as_of_ms) == (0, NO_TIME)
    assert (snapshot.hysteresis, snapshot.no_return_days) == (0.3, 12.0)
    assert [segment.code for segment in snapshot.segments] == [1, 2, 3, 4, 5, 6]


def test_first_purchase_makes_a_new_customer() -> None:
    (migration,) = play(partition_under(rules_snapshot()), [purchase(0)])
    assert (migration.from_segment, migration.to_segment.name, migration.change) == (None, "New", "entered")


def test_visitors_who_buy_nothing_are_browsers() -> None:
    visits = [engagement(day) for day in range(0, 8, 2)]
    assert play(partition_under(rules_snapshot()), visits)[-1].to_segment.name == "Browsers"


def test_frequent_buyers_become_champions_and_are_lost_when_they_stay_away() -> None:
    history = [event for day in range(0, 90, 6) for event in (purchase(day), engagement(day + 0.5))]
    partition = partition_under(rules_snapshot())
    assert play(partition, history)[-1].to_segment.name == "Champions"
    assert play(partition, [instant(day) for day in range(90, 400, 7)])[-1].to_segment.name == "Lost"
