from __future__ import annotations

import json

from stream_app.bootstrap.segmentation import create_partition
from stream_app.core.clock import DAY_MS, MONTH_DAYS, WEEK_MS
from stream_app.core.events import Event, pack_events
from stream_app.core.partition import Partition
from stream_app.core.processor import process_events
from stream_app.replay.statistics import RunStatistics
from stream_app.segmentations.describing import Chunk, Describer
from tests.support.events import START_MS, engagement, instant, purchase, refund
from tests.support.one_segmentation import value_settings


def observed(events: list[Event]) -> tuple[Partition, RunStatistics]:
    partition, statistics = create_partition(value_settings()), RunStatistics(["value"])
    packed = pack_events(events, range(len(events)), 0)
    outcome = process_events(partition, packed)
    described = Describer(partition.context).describe_step(partition, outcome.moves, Chunk(packed, ["file"]))
    statistics.observe(partition, outcome, described)
    return partition, statistics


def test_nothing_observed_is_a_summary_of_zeros() -> None:
    summary = RunStatistics(["value"]).summary(create_partition(value_settings()), [], 7, interrupted=True)
    assert summary["counts"] == {"in": 0, "applied": 0, "duplicate": 0, "late_applied": 0, "rejected": 0}
    assert (summary["seed"], summary["interrupted"], summary["model_version"]) == (7, True, 0)
    assert summary["segments"] == summary["flows"] == summary["sizes"] == summary["weeks"] == summary["examples"] == []
    assert summary["migrations"]["own_moves"]["per_customer_month"] == 0.0
    assert (summary["period"], summary["as_of"]) == ({"from": None, "to": None, "days": 0}, None)
    assert summary["all_segments"]["customers"] == 0
    json.dumps(summary, allow_nan=False)


def test_records_are_counted_by_what_became_of_them() -> None:
    events = [purchase(1), purchase(3), purchase(2), purchase(3), engagement(3)]
    _, statistics = observed(events)
    statistics.rejected.update(["malformed", "wrong_type", "malformed", "no_customer", "placeholder_id", "no_customer"])
    summary = statistics.summary(create_partition(value_settings()), [], 0, interrupted=False)
    assert statistics.events == 11
    assert summary["counts"] == {"in": 11, "applied": 3, "duplicate": 1, "late_applied": 1, "rejected": 6}
    assert list(summary["rejected_by_reason"].items()) == [
        ("malformed", 2),
        ("no_customer", 2),
        ("placeholder_id", 1),
        ("wrong_type", 1),
    ]
    assert summary["without_customer"] == 3


def test_customer_days_count_from_the_first_look_on() -> None:
    partition, statistics = observed([purchase(0), purchase(0, customer_id="c2")])
    moved, _ = observed([])
    statistics.observe_sizes(moved, instant(-10))
    statistics.observe_sizes(moved, instant(0))
    statistics.observe_sizes(partition, instant(MONTH_DAYS / 2))
    months_of_both = 1.0
    own = statistics._of["value"]
    own._changes.update(moved=3)
    own._causes.update(lapse=3)
    summary = statistics.summary(partition, [], 0, interrupted=False)
    assert summary["migrations"]["own_moves"]["per_customer_month"] == 3 / months_of_both


def test_sizes_are_noted_once_a_week() -> None:
    partition, statistics = observed([purchase(0, customer_id=f"c{number}") for number in range(3)])
    monday_ms = START_MS // WEEK_MS * WEEK_MS
    for day in range(22):
        statistics.observe_sizes(partition, monday_ms + day * DAY_MS)
    sizes = statistics.summary(partition, [], 0, interrupted=False)["sizes"]
    assert len(sizes) == 4
    assert all(sum(size["customers"].values()) == 3 for size in sizes)


def test_refund_of_more_than_was_earned_leaves_finite_figures() -> None:
    partition, statistics = observed([purchase(0, 500), refund(1, 500, "order c1 0"), refund(2, 700, "order c1 0")])
    summary = statistics.summary(partition, [], 0, interrupted=False)
    (segment,) = summary["segments"]
    assert (segment["revenue"], segment["revenue_share"]) == (0.0, 0.0)
    assert (segment["orders_per_customer"], segment["average_order_value"]) == (0.0, None)
    json.dumps(summary, allow_nan=False)
