"""The dashboard's panels: what is shown, and the expressions behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

CHOSEN: Final = '{segmentation=~"$segmentation"}'
"""Matches the segmentations that the reader has chosen, all of them at first."""


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


def _graph(title: str, explanation: str, expr: str, legend: str, unit: str = "short", stacked: bool = False) -> Panel:
    return Panel(title, explanation, [Query(expr, legend)], unit, stacked=stacked)


def _by_name(metric: str) -> str:
    """Return a figure of segments by their names; while workers take over a model, a segment may have two."""
    return (
        f"sum by (segmentation, segment) ({metric}{CHOSEN}) * on (segmentation, segment) group_left (name)"
        f" topk by (segmentation, segment) (1, max by (segmentation, segment, name) (segmenter_segment_info{CHOSEN}))"
    )


def _stat(title: str, explanation: str, expr: str, unit: str = "short", legend: str = "") -> Panel:
    return Panel(title, explanation, [Query(expr, legend)], unit, "stat", 4)


ROWS: Final = (
    Row(
        "At a glance",
        (
            _stat(
                "Workers ready",
                "Workers whose `/ready` answers with success.",
                'sum(segmenter_ready{job="segmenter-worker"})',
            ),
            _stat("Customers", "Known by their events.", "sum(segmenter_table_entries)"),
            _stat("Events", "Accepted a second.", 'sum(rate(segmenter_events_total{outcome="accepted"}[5m]))', "reqps"),
            _stat("Lag", "Input and output records not processed yet.", "sum(segmenter_consumer_lag_records)"),
            _stat(
                "Model",
                "Version in use by segmentation; 0 of a learned one is what is usual elsewhere.",
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
            _graph(
                "Records by outcome",
                "What becomes of input records.",
                "sum by (topic, outcome) (rate(segmenter_events_total[5m]))",
                "{{topic}} {{outcome}}",
                "reqps",
            ),
            _graph(
                "Dead letters by reason",
                "Records that break their contract.",
                "sum by (topic, reason) (rate(segmenter_dead_letters_total[5m]))",
                "{{topic}} {{reason}}",
                "reqps",
                stacked=True,
            ),
            Panel(
                "Duplicates and late events",
                "Accepted events that the state already holds, or that occurred before the watermark.",
                [
                    Query("sum(rate(segmenter_duplicate_events_total[5m]))", "duplicate"),
                    Query("sum(rate(segmenter_late_events_total[5m]))", "late"),
                ],
                "reqps",
            ),
            _graph(
                "Lag by partition",
                "Records in the log whose effects are not committed.",
                "sum by (topic, partition) (segmenter_consumer_lag_records)",
                "{{topic}} {{partition}}",
            ),
            Panel(
                "End-to-end latency",
                "From a record's timestamp until its effect can be seen, by sink.",
                _quantiles("segmenter_end_to_end_latency_seconds", "sink"),
                "s",
            ),
            Panel(
                "Age of the newest event and commit",
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
            _graph(
                "Customers by segment",
                "In the segments in use, by name.",
                _by_name("segmenter_customers"),
                "{{segmentation}} {{name}}",
                stacked=True,
            ),
            _graph(
                "Revenue by segment",
                "Over their lifetime, net of refunds, of those who are in the segments in use now, by name.",
                _by_name("segmenter_segment_revenue"),
                "{{segmentation}} {{name}}",
                stacked=True,
            ),
            _graph(
                "Migrations by cause",
                "What makes customers move.",
                f"sum by (segmentation, cause) (rate(segmenter_migrations_total{CHOSEN}[5m]))",
                "{{segmentation}} {{cause}}",
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
                "Population stability by axis",
                "Of the newest model against the one before: below .1 stable, above .25 changed.",
                [
                    Query(
                        f"max by (segmentation, axis) (segmenter_model_drift_score{CHOSEN})",
                        "{{segmentation}} {{axis}}",
                    )
                ],
            ),
            Panel(
                "Drift of roles",
                "Log units from each role's centre to what would fit; .7 is a doubled rate.",
                [
                    Query(
                        f"max by (segmentation, role) (segmenter_model_role_drift{CHOSEN})",
                        "{{segmentation}} {{role}}",
                    )
                ],
            ),
            Panel(
                "Models that wait for approval",
                "The share of the customers that each is forecast to move. Where one is pinned, no other is published.",
                [
                    Query(
                        f"max by (segmentation, version) (segmenter_model_held_expected_churn{CHOSEN})",
                        "{{segmentation}} {{version}}",
                    ),
                    Query(
                        f"max by (segmentation) (segmenter_model_pinned{CHOSEN}) == 1",
                        "{{segmentation}} is pinned",
                    ),
                ],
            ),
            _graph(
                "Age of the newest model",
                "Of each learned segmentation, held models included.",
                f"time() - max by (segmentation) (segmenter_model_last_learned_timestamp_seconds{CHOSEN} != 0)",
                "{{segmentation}}",
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
            _graph(
                "Last recovery",
                "From the assignment until all state was read back.",
                "segmenter_state_recovery_seconds",
                "{{instance}}",
                "s",
            ),
            _graph(
                "Customers by partition",
                "Rows of state. One partition much larger than the others: a key that is not a customer.",
                "sum by (partition) (segmenter_table_entries)",
                "{{partition}}",
                stacked=True,
            ),
            _graph(
                "Processor",
                "Cores in use.",
                "rate(segmenter_process_cpu_seconds_total[5m])",
                "{{job}} {{instance}}",
            ),
            _graph(
                "Memory",
                "Resident.",
                "segmenter_process_resident_memory_bytes",
                "{{job}} {{instance}}",
                "bytes",
            ),
            _graph(
                "Versions",
                "Processes by what they run.",
                "sum by (component, version) (segmenter_build_info)",
                "{{component}} {{version}}",
            ),
        ),
    ),
    Row(
        "Serving",
        (
            _graph(
                "Staleness of the view",
                "How far Redis lags the memberships topic.",
                "max(segmenter_view_staleness_seconds)",
                "staleness",
                "s",
            ),
            _graph(
                "Records into the view",
                "By outcome.",
                "sum by (outcome) (rate(segmenter_view_records_total[5m]))",
                "{{outcome}}",
                "reqps",
            ),
            _graph(
                "Redis errors",
                "Failed calls.",
                "sum by (job, operation) (rate(segmenter_redis_errors_total[5m]))",
                "{{job}} {{operation}}",
                "reqps",
            ),
            _graph(
                "Requests",
                "By route and status.",
                "sum by (route, status) (rate(segmenter_http_request_duration_seconds_count[5m]))",
                "{{route}} {{status}}",
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
            _graph(
                "Webhook attempts",
                "By subscription and outcome.",
                "sum by (subscription, outcome) (rate(segmenter_webhook_deliveries_total[5m]))",
                "{{subscription}} {{outcome}}",
                "reqps",
            ),
            _graph(
                "Pending webhooks",
                "By subscription.",
                "sum by (subscription) (segmenter_webhook_pending_deliveries)",
                "{{subscription}}",
            ),
            _graph(
                "Age of the oldest pending webhook",
                "By subscription.",
                "time() - min by (subscription) (segmenter_webhook_oldest_pending_timestamp_seconds)",
                "{{subscription}}",
                "s",
            ),
        ),
    ),
)
