"""Every expression of the dashboard is evaluated by a real Prometheus that watches two deployments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import count

import pytest

from deploy.grafana import dashboard
from deploy.grafana.panels import ROWS
from stream_app.adapters.metrics import Distribution, Metrics, Reading
from stream_app.adapters.metrics.declaration import COMPONENTS, COUNTER, EVERY, HISTOGRAM, WORKER, Declaration
from stream_app.adapters.metrics.declared import BUILD_INFO, CONSUMER_LAG, DECLARED
from tests.deploy.monitoring import RULES, served
from tests.support.processes import wait_for
from tests.support.servers import PrometheusServer

PATIENCE_SECONDS = 180
DEPLOYMENTS = ("north", "south")
LABELS = {
    "topic": ("purchases", "segment-memberships"),
    "outcome": ("accepted", "delivered", "dead"),
    "sink": ("kafka", "redis"),
    "status": ("2xx", "5xx"),
    "cause": ("purchase",),
    "segmentation": ("value",),
}
"""Values of labels whose values matter to expressions; all others have one."""
MOVES = (("", "s1"), ("s1", "s5"), ("s5", "s1"), ("s9", "s1"), ("s1", ""))
"""A first entry, a lapse, a win-back, one out of a segment that is no longer in use, and one out of an audience."""
SEGMENTS = (("s1", "Loyal", "2"), ("s5", "At risk", "-1"), ("s6", "Lost", "-3"))
LATER = ("offset 1h", "offset 5m")
"""Of expressions about more time than passes here."""
PER_SEGMENT = 10.0


def label_sets(component: str, metric: Declaration) -> Iterator[tuple[str, ...]]:
    """Yield label sets that a metric might have."""
    if metric is CONSUMER_LAG:
        yield ("purchases" if component == WORKER else "segment-memberships", "0")
    elif metric.name == "segmenter_migrations_total":
        yield from (("value", origin, target, "purchase") for origin, target in MOVES)
    elif metric.name == "segmenter_segment_info":
        yield from (("value", *segment) for segment in SEGMENTS)
    elif metric.labels == ("segmentation", "segment"):
        yield from (("value", segment) for segment in ("s1", "s5", "s6", "s9"))
    else:
        sets: list[tuple[str, ...]] = [()]
        for label in metric.labels:
            sets = [(*each, value) for each in sets for value in LABELS.get(label, ("0",))]
        yield from sets


def everything(component: str) -> Metrics:
    """Return metrics of a process that has values for all that it may export; they grow with each scrape."""
    metrics, scrapes = Metrics(component), count(1)

    def readings() -> Iterator[Reading]:
        scrape = next(scrapes)
        for metric in DECLARED:
            if metric.component not in (EVERY, component) or metric is BUILD_INFO:
                continue
            for labels in label_sets(component, metric):
                if metric.kind == HISTOGRAM:
                    value = Distribution(metric.bounds)
                    value.observe(metric.bounds[0], 10 * scrape)
                    yield Reading(metric, labels, value)
                else:
                    value_of_gauge = 1.0 if metric.name.endswith(("_info", "_pinned")) else PER_SEGMENT
                    yield Reading(metric, labels, 10.0 * scrape if metric.kind == COUNTER else value_of_gauge)

    metrics.read_from(readings)
    return metrics


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with ExitStack() as running:
        jobs: dict[str, list[str]] = {}
        deployments: dict[str, str] = {}
        for component in COMPONENTS:
            for deployment in DEPLOYMENTS:
                address = running.enter_context(served(everything(component)))
                jobs.setdefault(f"segmenter-{component}", []).append(address)
                deployments[address] = deployment
        folder = tmp_path_factory.mktemp("prometheus")
        server = running.enter_context(PrometheusServer(folder, jobs, RULES, deployments))
        wait_for(lambda: len(server.query("up == 1")) == len(deployments), PATIENCE_SECONDS, "all targets")
        recorded = "segmenter:http_errors:ratio_rate5m > 0"
        wait_for(lambda: len(server.query(recorded)) == len(DEPLOYMENTS), PATIENCE_SECONDS, "two scrapes and the rules")
        yield server


def test_every_expression_of_the_dashboard_has_an_answer(prometheus: PrometheusServer) -> None:
    expected = dashboard.expressions(deployment="north")
    for expression in expected:
        prometheus.query(expression)  # raises where it is wrong, or a join finds duplicates
    silent = {"ALERTS"}  # none fires so early

    def empty() -> list[str]:
        now = [expr for expr in expected if not any(word in expr for word in (*LATER, *silent))]
        return [expr for expr in now if not prometheus.query(expr)]

    with suppress(TimeoutError):
        wait_for(lambda: not empty(), PATIENCE_SECONDS, "data in every panel")
    assert empty() == []


def figures(prometheus: PrometheusServer, title: str, deployment: str) -> dict[str, float]:
    """Return what a panel shows, by the legend of its series."""
    (panel,) = [panel for row in ROWS for panel in row.panels if panel.title == title]
    shown: dict[str, float] = {}
    for query in panel.queries:
        for series in prometheus.query(dashboard.filled_in(query.expr, deployment=deployment)):
            legend = query.legend
            for label, value in series["metric"].items():
                legend = legend.replace(f"{{{{{label}}}}}", value)
            shown[legend] = float(series["value"][1])
    return shown


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_two_deployments_do_not_add_up(prometheus: PrometheusServer, deployment: str) -> None:
    assert figures(prometheus, "Lag of the input", deployment) == {"": PER_SEGMENT}  # without what the view lags
    assert figures(prometheus, "In segments", deployment) == {"value": 4 * PER_SEGMENT}
    assert figures(prometheus, "In segments", "elsewhere") == {}


def test_customers_are_shown_by_name_in_segments_that_are_no_longer_in_use_too(prometheus: PrometheusServer) -> None:
    assert figures(prometheus, "Customers by segment", "north") == {
        "value Loyal (s1)": PER_SEGMENT,
        "value At risk (s5)": PER_SEGMENT,
        "value Lost (s6)": PER_SEGMENT,
        "value s9 (former) (s9)": PER_SEGMENT,
    }


def test_revenue_at_risk_and_of_the_lapsed_is_that_of_segments_of_these_levels(prometheus: PrometheusServer) -> None:
    assert figures(prometheus, "Revenue at risk", "north") == {"value": PER_SEGMENT}
    assert figures(prometheus, "Revenue of the lapsed", "north") == {"value": PER_SEGMENT}


def test_flows_are_shown_by_the_names_of_both_ends(prometheus: PrometheusServer) -> None:
    named = {
        "value: (first seen) ({{from}}) → Loyal (s1)",
        "value: Loyal (s1) → At risk (s5)",
        "value: At risk (s5) → Loyal (s1)",
        "value: s9 (s9) → Loyal (s1)",
        "value: Loyal (s1) → (left) ({{to}})",
    }
    wait_for(lambda: set(figures(prometheus, "Flows of the last hour", "north")) == named, PATIENCE_SECONDS, "flows")


def test_lapses_and_win_backs_are_told_apart_by_the_levels_of_both_ends(prometheus: PrometheusServer) -> None:
    for title in ("Lapsed in a day", "Won back in a day"):
        flows = figures(prometheus, title, "north")
        assert flows.keys() == {"value"}
        assert flows["value"] > 0
