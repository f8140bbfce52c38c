"""The dashboard's rows: what is shown, the expressions behind it, and where trouble begins."""

from __future__ import annotations

from typing import Final

from deploy.grafana.business import BUSINESS
from deploy.grafana.parts import Panel, Query, Row, graph, quantiles, stat

DAY_SECONDS: Final = 86_400
INPUT_LAG: Final = 'segmenter_consumer_lag_records{topic!~".*segment-(migrations|memberships|models)"}'
"""Records of the input topics: view and webhooks lag on the topics that workers write, and have panels of their own."""
OBJECTIVE: Final = 0.99
"""Share of the records whose effects are to be there within 5 s."""

GLANCE: Final = Row(
    "At a glance",
    (
        stat(
            "Workers ready",
            "Workers whose `/ready` answers with success.",
            'sum(segmenter_ready{job="segmenter-worker"})',
        )._replace(limit=1, is_floor=True, alerts=("SegmenterDown", "SegmenterRecoverySlow")),
        stat("Customers", "Known by their events.", "sum(segmenter_table_entries)"),
        stat("Events", "Accepted a second.", 'sum(rate(segmenter_events_total{outcome="accepted"}[5m]))', "eps"),
        stat(
            "Lag of the input",
            "Records of the input topics whose effects are not committed yet.",
            f"sum({INPUT_LAG})",
        )._replace(limit=10_000, alerts=("SegmenterLagGrowing",)),
        stat(
            "Model",
            "Version in use by segmentation; 0 of a learned one is what is usual elsewhere.",
            "max by (segmentation, version) (segmenter_model_info)",
            legend="{{segmentation}} {{version}}",
        ),
        stat(
            "Within 5 s",
            "Share of the last hour's records; 99 % is the objective.",
            '1 - segmenter:latency_slow:ratio_rate1h{sink="kafka"}',
            "percentunit",
        )._replace(limit=OBJECTIVE, is_floor=True, alerts=("SegmenterLatencyBurnFast", "SegmenterLatencyBurnSlow")),
    ),
)

FLOW: Final = Row(
    "Flow",
    (
        graph(
            "Records by outcome",
            "What becomes of input records.",
            "sum by (topic, outcome) (rate(segmenter_events_total[5m]))",
            "{{topic}} {{outcome}}",
            "recps",
        ),
        graph(
            "Refused records by reason",
            "Share of a topic's records that break their contract and go to the dead letters.",
            "sum by (topic, reason) (rate(segmenter_dead_letters_total[5m]))"
            " / on (topic) group_left () sum by (topic) (rate(segmenter_events_total[5m]))",
            "{{topic}} {{reason}}",
            "percentunit",
            stacked=True,
        )._replace(limit=0.01, alerts=("SegmenterDeadLetterRatio",)),
        Panel(
            "Duplicates and late events",
            "Accepted events that the state already holds, or that occurred before the watermark.",
            [
                Query("sum(rate(segmenter_duplicate_events_total[5m]))", "duplicate"),
                Query("sum(rate(segmenter_late_events_total[5m]))", "late"),
            ],
            "eps",
        ),
        graph(
            "Lag of the input by partition",
            "Records of the input topics whose effects are not committed yet.",
            f"sum by (topic, partition) ({INPUT_LAG})",
            "{{topic}} {{partition}}",
        )._replace(limit=10_000, alerts=("SegmenterLagGrowing", "SegmenterPartitionStalled")),
        Panel(
            "End-to-end latency",
            "From a record's timestamp until its effect can be seen, by sink; 99 % are to take at most 5 s.",
            quantiles("segmenter_end_to_end_latency_seconds", "sink"),
            "s",
            limit=5,
            alerts=("SegmenterLatencyBurnFast", "SegmenterLatencyBurnSlow"),
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
            limit=3_600,
            alerts=("SegmenterWatermarkStale", "SegmenterPartitionStalled"),
        ),
    ),
)

MODELS: Final = Row(
    "Models",
    (
        graph(
            "Population stability by axis",
            "Of the newest model's sample against the one before: below .1 stable, above .25 changed.",
            "max by (segmentation, axis) (segmenter_model_drift_score)",
            "{{segmentation}} {{axis}}",
        )._replace(limit=0.25, alerts=("SegmenterModelDrift",)),
        graph(
            "Drift of roles",
            "Log units from each role's centre to what would fit; .69 is a doubled rate.",
            "max by (segmentation, role) (segmenter_model_role_drift)",
            "{{segmentation}} {{role}}",
        )._replace(limit=0.69, alerts=("SegmenterRoleDrift",)),
        graph(
            "Age of the newest model",
            "Of each learned segmentation, held models included.",
            "time() - max by (segmentation) (segmenter_model_last_learned_timestamp_seconds != 0)",
            "{{segmentation}}",
            "s",
        )._replace(limit=21 * DAY_SECONDS, alerts=("SegmenterModelStale",)),
        Panel(
            "Waits for ticks",
            "How long partitions stood still until it was decided which models are in force from a tick on.",
            quantiles("segmenter_tick_wait_seconds"),
            "s",
        ),
        graph(
            "Ticks passed undecided",
            "In an hour: partitions that waited for a decision in vain and continued under earlier models.",
            "sum(increase(segmenter_tick_waits_expired_total[1h]))",
            "ticks",
        )._replace(limit=0, alerts=("SegmenterTickWaitsExpired",)),
        graph(
            "Times in doubt",
            "Records whose time is far ahead of, or behind, all others of their partition.",
            "sum by (side) (segmenter_times_in_doubt)",
            "{{side}}",
        ),
    ),
)

WORKERS: Final = Row(
    "Workers",
    (
        Panel(
            "Time to fold an event",
            "Quantiles over events.",
            quantiles("segmenter_event_processing_seconds"),
            "s",
        ),
        Panel("Age of events", "When they are folded.", quantiles("segmenter_event_age_seconds"), "s"),
        Panel("Time of a sweep", "Of one partition.", quantiles("segmenter_sweep_seconds"), "s"),
        Panel(
            "Partitions and rebalances",
            "Partitions by worker; rebalances in 15 minutes.",
            [
                Query("segmenter_assigned_partitions", "{{instance}}"),
                Query("max(increase(segmenter_rebalances_total[15m]))", "rebalances"),
            ],
            alerts=("SegmenterRebalanceStorm",),
        ),
        graph(
            "Last recovery",
            "From the assignment until all state was read back.",
            "segmenter_state_recovery_seconds",
            "{{instance}}",
            "s",
        )._replace(limit=120, alerts=("SegmenterRecoverySlow",)),
        graph(
            "Customers by partition",
            "Rows of state. One partition much larger than the others: a key that is not a customer.",
            "sum by (partition) (segmenter_table_entries)",
            "{{partition}}",
            stacked=True,
        ),
        graph(
            "Processor",
            "Cores in use.",
            "rate(segmenter_process_cpu_seconds_total[5m])",
            "{{job}} {{instance}}",
        ),
        graph(
            "Memory",
            "Resident.",
            "segmenter_process_resident_memory_bytes",
            "{{job}} {{instance}}",
            "bytes",
        ),
        graph(
            "Versions",
            "Processes by component and version.",
            "sum by (component, version) (segmenter_build_info)",
            "{{component}} {{version}}",
        ),
    ),
)

SERVING: Final = Row(
    "Serving",
    (
        graph(
            "Staleness of the view",
            "How far Redis lags the memberships topic.",
            "max(segmenter_view_staleness_seconds)",
            "staleness",
            "s",
        )._replace(limit=60, alerts=("SegmenterViewStale",)),
        graph(
            "Records into the view",
            "By outcome.",
            "sum by (outcome) (rate(segmenter_view_records_total[5m]))",
            "{{outcome}}",
            "recps",
        ),
        graph(
            "Redis errors",
            "Failed calls a second.",
            "sum by (job, operation) (rate(segmenter_redis_errors_total[5m]))",
            "{{job}} {{operation}}",
            "ops",
        ),
        graph(
            "Requests",
            "By route and status.",
            "sum by (route, status) (rate(segmenter_http_request_duration_seconds_count[5m]))",
            "{{route}} {{status}}",
            "reqps",
        ),
        graph(
            "Share of failed requests",
            "Answered with a status of 500 or above, in 5 minutes.",
            "segmenter:http_errors:ratio_rate5m",
            "failed",
            "percentunit",
        )._replace(limit=0.05, alerts=("SegmenterApiErrors",)),
        graph(
            "Time to answer, 99th percentile",
            "By route, in 5 minutes.",
            "segmenter:http_request_duration_seconds:p99_rate5m",
            "{{route}}",
            "s",
        )._replace(limit=1, alerts=("SegmenterApiSlow",)),
        Panel(
            "Time to answer",
            "By route.",
            quantiles("segmenter_http_request_duration_seconds", "route"),
            "s",
        ),
        graph("Live streams", "Clients that follow migrations.", "sum(segmenter_stream_clients)", "clients"),
        graph(
            "Webhook attempts",
            "By subscription and outcome.",
            "sum by (subscription, outcome) (rate(segmenter_webhook_deliveries_total[5m]))",
            "{{subscription}} {{outcome}}",
            "reqps",
        ),
        graph(
            "Dead webhooks",
            "Deliveries given up in an hour, by subscription; `segmenter webhooks replay` sends them again.",
            'sum by (subscription) (increase(segmenter_webhook_deliveries_total{outcome="dead"}[1h]))',
            "{{subscription}}",
        )._replace(limit=0, alerts=("SegmenterWebhookDead",)),
        graph(
            "Privacy requests",
            "Carried out and not compacted yet, and overdue ones; `segmenter privacy status` names them.",
            "sum(segmenter_privacy_requests_open)",
            "open",
        ),
        graph(
            "Overdue privacy requests",
            "Not finished by the deadline of their jurisdiction.",
            "sum(segmenter_privacy_requests_overdue)",
            "overdue",
        )._replace(limit=0, alerts=("SegmenterErasureOverdue",)),
        graph(
            "Age of the oldest open privacy request",
            "Absent while none is open.",
            "time() - min(segmenter_privacy_oldest_open_timestamp_seconds)",
            "oldest",
            "s",
        ),
        graph(
            "Customers kept out",
            "Erased a while ago, or suppressed: their events are refused by a salted hash.",
            "sum(segmenter_privacy_marks)",
            "marks",
        ),
        graph(
            "Pending webhooks",
            "By subscription.",
            "sum by (subscription) (segmenter_webhook_pending_deliveries)",
            "{{subscription}}",
        )._replace(limit=900, alerts=("SegmenterWebhookBacklog",)),
        graph(
            "Age of the oldest pending webhook",
            "By subscription.",
            "time() - min by (subscription) (segmenter_webhook_oldest_pending_timestamp_seconds)",
            "{{subscription}}",
            "s",
        )._replace(limit=900, alerts=("SegmenterWebhookBacklog",)),
    ),
)

ROWS: Final = (GLANCE, BUSINESS, FLOW, MODELS, WORKERS, SERVING)
