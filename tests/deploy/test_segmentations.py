"""Two segmentations with the same segment ids and features, on a real Prometheus: each panel shows either and both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from deploy.grafana import dashboard
from stream_app.adapters.metrics import WORKER, Metrics, Reading
from stream_app.adapters.metrics.declared import EVENTS
from stream_app.segmentations.learned.document import Drift, ModelProposal
from stream_app.segmentations.learned.model import Model
from stream_app.worker.counters import PartitionCounters
from stream_app.worker.telemetry import SegmentationState
from tests.deploy.monitoring import RULES, served
from tests.support.processes import wait_for
from tests.support.servers import PrometheusServer

PATIENCE_SECONDS = 180
LEFT_OUT = ("offset", "ratio_rate1h", "ALERTS", "level=~")
"""Of expressions about more time than passes here, about alerts, and about levels that no segment here has."""
NAMES = ("value", "visits")


def worker_metrics(name_of_first: str) -> Metrics:
    """Return what a worker exports that follows two segmentations; its figures grow with each scrape."""
    metrics, scrapes = Metrics(WORKER), count(1)
    states = {
        name: SegmentationState(
            "learned",
            3,
            {"s1": f"{name_of_first} {name}", "s2": "Lost"},
            {"s1": 7, "s2": 2},
            {"s1": 700.0, "s2": 2.5},
            1_000_000,
            Drift({"silence": 0.1}, {"loyal": 0.2}),
            ModelProposal(Model(name, version=4, expected_churn=0.01), held=True),
            is_pinned=True,
            levels={"s1": 2, "s2": -1},
        )
        for name in NAMES
    }

    def readings() -> Iterator[Reading]:
        scrape = next(scrapes)
        counted = PartitionCounters()
        for name in NAMES:
            counted.moves[name, "s1", "s2", "lapse"] = 5 * scrape
        yield from counted.readings()
        yield Reading(EVENTS, ("purchases", "accepted"), 10 * scrape)
        for name, state in states.items():
            yield from state.readings(name)

    metrics.read_from(readings)
    return metrics


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """Two workers: while they take over a model, they disagree about the first segment's name."""
    with ExitStack() as running:
        targets = [running.enter_context(served(worker_metrics(name))) for name in ("Loyal", "Regulars")]
        folder: Path = tmp_path_factory.mktemp("prometheus")
        server = running.enter_context(PrometheusServer(folder, {"segmenter-worker": targets}, RULES))
        wait_for(
            lambda: len(server.query("segmenter:migrations:rate1h > 0")) == len(NAMES), PATIENCE_SECONDS, "two scrapes"
        )
        yield server


@pytest.mark.parametrize(("chosen", "shown"), [(".*", set(NAMES)), *((name, {name}) for name in NAMES)])
def test_panels_show_the_segmentations_that_are_chosen(
    prometheus: PrometheusServer, chosen: str, shown: set[str]
) -> None:
    asked = 0
    for written, expression in zip(dashboard.expressions("$segmentation"), dashboard.expressions(chosen), strict=True):
        found = prometheus.query(expression)  # raises where a join finds duplicates
        if "$segmentation" in written and not any(word in written for word in LEFT_OUT):
            asked += 1
            assert {series["metric"]["segmentation"] for series in found} == shown, expression
    assert asked > 5


@pytest.mark.parametrize(
    ("metric", "sizes"),
    [("segmenter_customers", {"s1": 14, "s2": 4}), ("segmenter_segment_revenue", {"s1": 1_400, "s2": 5})],
)
def test_what_segments_hold_is_added_up_over_workers_under_one_name(
    prometheus: PrometheusServer, metric: str, sizes: dict[str, float]
) -> None:
    (expression,) = [expr for expr in dashboard.expressions() if "(former)" in expr and f"{metric}{{" in expr]
    found = [each["metric"] | {"size": float(each["value"][1])} for each in prometheus.query(expression)]
    assert len(found) == len(NAMES) * len(sizes)
    assert {(each["segmentation"], each["segment"]): each["size"] for each in found} == {
        (name, segment): size for name in NAMES for segment, size in sizes.items()
    }
    assert len(found) == 2 * len(NAMES)


def test_alerts_name_the_segmentation(prometheus: PrometheusServer) -> None:
    def stale() -> list[Mapping[str, str]]:
        alerts = prometheus.get("alerts")["alerts"]
        return [each["labels"] for each in alerts if each["labels"]["alertname"] == "SegmenterModelStale"]

    wait_for(lambda: bool(stale()), PATIENCE_SECONDS, "the rules")
    assert sorted(labels["segmentation"] for labels in stale()) == sorted(NAMES)
    judged = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"]: rule.get("lastError", "") for rule in judged if rule["health"] != "ok"} == {}
