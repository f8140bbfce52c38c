"""Makes `segmenter.json`, the Grafana dashboard: `python deploy/grafana/dashboard.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

TARGET: Final = Path(__file__).with_name("segmenter.json")
COLUMNS: Final = 24
"""Width of Grafana's grid."""
HEIGHT: Final = 7
DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
CHOSEN: Final = '{segmentation=~"$segmentation"}'
"""Matches the segmentations that the reader has chosen, all of them at first."""
NAMES: Final = "label_values(segmenter_model_info, segmentation)"
"""What there is to choose from."""


class Query(NamedTuple):
    """An expression, and what its series are called."""

    expr: str
    legend: str


class Panel(NamedTuple):
    """A graph; `kind` is Grafana's type of panel."""

    title: str
    explanation: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False


class Row(NamedTuple):
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


def _quantiles(metric: str, by: str = "") -> list[Query]:
    labels, legend = (f", {by}", f" {{{{{by}}}}}") if by else ("", "")
    return [
        Query(f"histogram_quantile({q}, sum by (le{labels}) (rate({metric}_bucket[5m])))", f"p{round(q * 100)}{legend}")
        for q in (0.5, 0.99)
    ]


def _stat(title: str, explanation: str, expr: str, unit: str = "short", legend: str = "") -> Panel:
    return Panel(title, explanation, [Query(expr, legend)], unit, "stat", 4)


ROWS: Final = (
    Row(
        "At a glance",
        (
            _stat("Workers ready", "Those that take part.", 'sum(segmenter_ready{job="segmenter-worker"})'),
            _stat("Customers", "Known by their events.", "sum(segmenter_table_entries)"),
            _stat("Events", "Accepted a second.", 'sum(rate(segmenter_events_total{outcome="accepted"}[5m]))', "reqps"),
            _stat("Lag", "Records that wait.", "sum(segmenter_consumer_lag_records)"),
            _stat(
                "Model",
                "Version in use by segmentation; 0 are a learned one's cold-start rules.",
                f"max by (segmentation, version) (segmenter_model_info{CHOSEN})",
                legend="{{segmentation}} {{version}}",
            ),
            _stat(
                "Within 5 s",
                "Share of the last hour's records; 99 % is the objective.",
                '1 - segmenter:latency_slow:ratio_rate1h{sink="kafka"}',
                "percentunit",
            ),
        ),
    ),
    Row(
        "Flow",
        (
            Panel(
                "Records by outcome",
                "What becomes of input records.",
                [Query("sum by (topic, outcome) (rate(segmenter_events_total[5m]))", "{{topic}} {{outcome}}")],
                "reqps",
            ),
            Panel(
                "Dead letters by reason",
                "Records that break their contract.",
                [Query("sum by (topic, reason) (rate(segmenter_dead_letters_total[5m]))", "{{topic}} {{reason}}")],
                "reqps",
                stacked=True,
            ),
            Panel(
                "Duplicates and latecomers",
                "Accepted events that were known already, or occurred before the watermark.",
                [
                    Query("sum(rate(segmenter_duplicate_events_total[5m]))", "duplicate"),
                    Query("sum(rate(segmenter_late_events_total[5m]))", "late"),
                ],
                "reqps",
            ),
            Panel(
                "Lag by partition",
                "Records in the log whose effects are not committed.",
                [Query("sum by (topic, partition) (segmenter_consumer_lag_records)", "{{topic}} {{partition}}")],
            ),
            Panel(
                "End-to-end latency",
                "From a record's timestamp until its effect can be seen, by sink.",
                _quantiles("segmenter_end_to_end_latency_seconds", "sink"),
                "s",
            ),
            Panel(
                "Time since",
                "How long ago the newest event occurred, and how long ago each partition committed.",
                [
                    Query("time() - max(segmenter_watermark_timestamp_seconds)", "newest event"),
                    Query(
                        "time() - max by (partition) (segmenter_last_processed_timestamp_seconds)",
                        "committed, partition {{partition}}",
                    ),
                ],
                "s",
            ),
        ),
    ),
    Row(
        "Segments",
        (
            Panel(
                "Customers by segment",
                "In the segments in use, by name.",
                [
                    Query(
                        f"sum by (segmentation, segment) (segmenter_customers{CHOSEN})"
                        " * on (segmentation, segment) group_left (name)"
                        # while workers take over a model, a segment may have two names
                        " topk by (segmentation, segment) (1, max by (segmentation, segment, name)"
                        f" (segmenter_segment_info{CHOSEN}))",
                        "{{segmentation}} {{name}}",
                    )
                ],
                stacked=True,
            ),
            Panel(
                "Migrations by cause",
                "What makes customers move.",
                [
                    Query(
                        f"sum by (segmentation, cause) (rate(segmenter_migrations_total{CHOSEN}[5m]))",
                        "{{segmentation}} {{cause}}",
                    )
                ],
                "reqps",
                stacked=True,
            ),
            Panel(
                "Flows of the last hour",
                "The ten largest, by segment id.",
                [
                    Query(
                        f"topk(10, sum by (segmentation, from, to) (increase(segmenter_migrations_total{CHOSEN}[1h])))",
                        "{{segmentation}} {{from}} → {{to}}",
                    )
                ],
                kind="bargauge",
            ),
            Panel(
                "Population stability by feature",
                "Of the newest model against the one before: below .1 stable, above .25 changed.",
                [
                    Query(
                        f"max by (segmentation, feature) (segmenter_model_drift_score{CHOSEN})",
                        "{{segmentation}} {{feature}}",
                    )
                ],
            ),
            Panel(
                "Age of the newest model",
                "Of each learned segmentation, held models included.",
                [
                    Query(
                        f"time() - max by (segmentation) (segmenter_model_last_learned_timestamp_seconds{CHOSEN} != 0)",
                        "{{segmentation}}",
                    )
                ],
                "s",
            ),
            Panel(
                "Migrations an hour against the day before",
                "Those that models and changed definitions cause left out.",
                [
                    Query(f"segmenter:migrations:rate1h{CHOSEN} * 3600", "{{segmentation}} now"),
                    Query(
                        f"avg_over_time(segmenter:migrations:rate1h{CHOSEN}[1d] offset 1h) * 3600",
                        "{{segmentation}} usual",
                    ),
                ],
            ),
        ),
    ),
    Row(
        "Workers",
        (
            Panel(
                "Time to fold an event",
                "Quantiles over events.",
                _quantiles("segmenter_event_processing_seconds"),
                "s",
            ),
            Panel("Age of events", "When they are folded.", _quantiles("segmenter_event_age_seconds"), "s"),
            Panel("Time of a sweep", "Of one partition.", _quantiles("segmenter_sweep_seconds"), "s"),
            Panel(
                "Partitions and rebalances",
                "Partitions by worker; rebalances in 15 minutes.",
                [
                    Query("segmenter_assigned_partitions", "{{instance}}"),
                    Query("max(increase(segmenter_rebalances_total[15m]))", "rebalances"),
                ],
            ),
            Panel(
                "Last recovery",
                "From the assignment until all state was read back.",
                [Query("segmenter_state_recovery_seconds", "{{instance}}")],
                "s",
            ),
            Panel(
                "Customers by partition",
                "Rows of state; a partition that is much larger has a key that is no customer.",
                [Query("sum by (partition) (segmenter_table_entries)", "{{partition}}")],
                stacked=True,
            ),
            Panel(
                "Processor",
                "Cores in use.",
                [Query("rate(segmenter_process_cpu_seconds_total[5m])", "{{job}} {{instance}}")],
            ),
            Panel(
                "Memory",
                "Resident.",
                [Query("segmenter_process_resident_memory_bytes", "{{job}} {{instance}}")],
                "bytes",
            ),
            Panel(
                "Versions",
                "Processes by what they run.",
                [Query("sum by (component, version) (segmenter_build_info)", "{{component}} {{version}}")],
            ),
        ),
    ),
    Row(
        "Serving",
        (
            Panel(
                "Staleness of the view",
                "How far Redis is behind the memberships topic.",
                [Query("max(segmenter_view_staleness_seconds)", "staleness")],
                "s",
            ),
            Panel(
                "Records into the view",
                "By outcome.",
                [Query("sum by (outcome) (rate(segmenter_view_records_total[5m]))", "{{outcome}}")],
                "reqps",
            ),
            Panel(
                "Redis errors",
                "Failed calls.",
                [Query("sum by (job, operation) (rate(segmenter_redis_errors_total[5m]))", "{{job}} {{operation}}")],
                "reqps",
            ),
            Panel(
                "Requests",
                "By route and status.",
                [
                    Query(
                        "sum by (route, status) (rate(segmenter_http_request_duration_seconds_count[5m]))",
                        "{{route}} {{status}}",
                    )
                ],
                "reqps",
            ),
            Panel(
                "Time to answer",
                "By route.",
                _quantiles("segmenter_http_request_duration_seconds", "route"),
                "s",
            ),
            Panel(
                "Live streams", "Clients that follow migrations.", [Query("sum(segmenter_stream_clients)", "clients")]
            ),
            Panel(
                "Webhook attempts",
                "By subscription and outcome.",
                [
                    Query(
                        "sum by (subscription, outcome) (rate(segmenter_webhook_deliveries_total[5m]))",
                        "{{subscription}} {{outcome}}",
                    )
                ],
                "reqps",
            ),
            Panel(
                "Webhooks that wait",
                "By subscription.",
                [Query("sum by (subscription) (segmenter_webhook_pending_deliveries)", "{{subscription}}")],
            ),
            Panel(
                "Oldest webhook that waits",
                "By subscription.",
                [
                    Query(
                        "time() - min by (subscription) (segmenter_webhook_oldest_pending_timestamp_seconds)",
                        "{{subscription}}",
                    )
                ],
                "s",
            ),
        ),
    ),
)


def expressions(segmentation: str = ".*") -> list[str]:
    """Return every expression of the dashboard, for the segmentations that match a pattern."""
    queries = [query for row in ROWS for panel in row.panels for query in panel.queries]
    return [query.expr.replace("$segmentation", segmentation) for query in queries]


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    return {
        "uid": "stream-segmenter",
        "title": "Stream segmenter",
        "tags": ["segmenter"],
        "timezone": "utc",
        "editable": False,
        "refresh": "30s",
        "schemaVersion": 38,
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
                {
                    "name": "segmentation",
                    "label": "Segmentation",
                    "type": "query",
                    "datasource": DATASOURCE,
                    "definition": NAMES,
                    "query": {"query": NAMES, "refId": "segmentations"},
                    "refresh": 2,  # with the time range
                    "sort": 1,
                    "multi": True,
                    "includeAll": True,
                    "allValue": ".*",
                    "current": {"text": ["All"], "value": ["$__all"]},
                },
            ]
        },
        "panels": list(_laid_out()),
    }


def _laid_out() -> Iterator[dict[str, Any]]:
    """Yield rows and panels, numbered and placed from left to right and from top to bottom."""
    number, top = 1, 0
    for row in ROWS:
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        number, top, left = number + 1, top + 1, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left = top + HEIGHT, 0
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": HEIGHT})
            number, left = number + 1, left + panel.width
        top += HEIGHT


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    custom = {"fillOpacity": 10, "stacking": {"mode": "normal" if panel.stacked else "none"}}
    targets = [
        {"refId": chr(ord("A") + index), "datasource": DATASOURCE, "expr": query.expr, "legendFormat": query.legend}
        for index, query in enumerate(panel.queries)
    ]
    options = {"textMode": "name" if panel.queries[0].legend else "value"} if panel.kind == "stat" else {}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.explanation,
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0} | ({"custom": custom} if panel.kind == "timeseries" else {}),
            "overrides": [],
        },
        "options": options,
        "targets": targets,
    }


def text() -> str:
    """Return the file's content."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), "utf-8")
