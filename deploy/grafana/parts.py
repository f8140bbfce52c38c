"""What the dashboard's rows are made of, and how its expressions are narrowed to what the reader has chosen.

Expressions are written with bare names of metrics, and `scoped` gives every one of them the matchers of the
dashboard's variables: none can be forgotten, so two deployments on one Prometheus never add up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from stream_app.adapters.metrics.declared import DECLARED

RUNBOOK: Final = "https://docs.example.com/segmenter/runbook"
"""Stands for where an operator publishes the runbook; `docs/deployment.md` says how to replace it."""
DEPLOYMENT: Final = 'deployment=~"$deployment"'
PROCESS: Final = 'job=~"$job", instance=~"$instance"'
SEGMENTATION: Final = 'segmentation=~"$segmentation"'
SEGMENTED: Final = frozenset(
    ["segmenter:migrations:rate1h", *(each.name for each in DECLARED if "segmentation" in each.labels)]
)
"""Metrics and recorded series that belong to a segmentation."""
SELECTOR: Final = re.compile(r"\b(?P<name>segmenter[_:][a-z0-9_:]+|ALERTS)(?:\{(?P<matchers>[^}]*)\})?")
"""A metric of ours or of Prometheus's alerts, with its matchers if it has any."""


def scoped(expr: str) -> str:
    """Return an expression whose metrics are those of the chosen deployment, processes and segmentations."""

    def narrowed(found: re.Match[str]) -> str:
        name, written = found["name"], found["matchers"]
        matchers = [written] if written else []
        matchers.append(DEPLOYMENT)
        if name.startswith("segmenter_"):  # what rules record, and alerts, belong to no process
            matchers.append(PROCESS)
        if name in SEGMENTED:
            matchers.append(SEGMENTATION)
        return f"{name}{{{', '.join(matchers)}}}"

    return SELECTOR.sub(narrowed, expr)


class Query(NamedTuple):
    """An expression, and what its series are called."""

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """A graph.

    Attributes
    ----------
    unit
        One of Grafana's.
    kind
        Grafana's type of panel.
    limit
        What an alert begins at, or an objective.
    is_floor
        Whether trouble lies below the limit.
    alerts
        Whose entries in the runbook the panel leads to.
    """

    title: str
    explanation: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False
    limit: float | None = None
    is_floor: bool = False
    alerts: Sequence[str] = ()


class Row(NamedTuple):
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


def quantiles(metric: str, by: str = "") -> list[Query]:
    """Return the median and the 99th percentile of a histogram, by a label if one is named."""
    labels, legend = (f", {by}", f" {{{{{by}}}}}") if by else ("", "")
    return [
        Query(f"histogram_quantile({q}, sum by (le{labels}) (rate({metric}_bucket[5m])))", f"p{round(q * 100)}{legend}")
        for q in (0.5, 0.99)
    ]


def graph(title: str, explanation: str, expr: str, legend: str, unit: str = "short", stacked: bool = False) -> Panel:
    """Return a panel with one expression over time."""
    return Panel(title, explanation, [Query(expr, legend)], unit, stacked=stacked)


def stat(title: str, explanation: str, expr: str, unit: str = "short", legend: str = "") -> Panel:
    """Return a panel with one large figure."""
    return Panel(title, explanation, [Query(expr, legend)], unit, "stat", 4)
