"""Every metric of every command, declared and explained; `docs/metrics.md` is made from this file.

Names begin with `segmenter_`, units are seconds, records and ratios. An age is exported as the instant it dates from,
and PromQL subtracts: it keeps growing even where nothing updates it.
Labels hold names that the software or its operator chose: never a customer, an event, or an error's text. Whatever
belongs to one segmentation carries the label `segmentation`: segment ids and axes recur in others.

Every combination of label values is a time series for good, and some values come from outside (a segment's id, a
subscription's name). So each metric says how many label sets it has at most; what exceeds that is counted under
`OTHER`, still by its `lasting` labels.
"""

from __future__ import annotations

from typing import Final

from stream_app.adapters.metrics.declaration import (
    API,
    CAUSES,
    EVERY,
    LEARNED_MAX,
    PARTITIONS_MAX,
    SEGMENTATIONS_MAX,
    VIEW,
    WEBHOOKS,
    WORKER,
    Declaration,
    counter,
    gauge,
    histogram,
)

# --- every command ---------------------------------------------------------------------------------------------------

READY: Final = gauge("ready", EVERY, "1 while `/ready` answers with success, else 0.")
BUILD_INFO: Final = gauge(
    "build_info", EVERY, "1, with the version of the running software.", ("version", "python", "component"), 2, max
)
END_TO_END_LATENCY: Final = histogram(
    "end_to_end_latency_seconds",
    EVERY,
    "Time until a record's effect can be seen. Sink `kafka`: from an input record's timestamp until the transaction "
    "with its effects is committed (the oldest record of a fetch stands for all of it). Sinks `redis`, `webhook`: from "
    "the timestamp of the migration or membership record until it is written, or answered with success; `sse`: from "
    "its entry in the view until it is sent. Re-read records count with their original timestamp.",
    (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),  # 5 is the objective
    ("sink",),
    5,
)
CONSUMER_LAG: Final = gauge(
    "consumer_lag_records",
    EVERY,
    "Records of a partition whose effects are not committed yet; only for partitions that this process owns.",
    ("topic", "partition"),
    2 * PARTITIONS_MAX,
)
REDIS_ERRORS: Final = counter("redis_errors", EVERY, "Failed calls of Redis; each attempt counts.", ("operation",), 8)

# --- worker: what came in --------------------------------------------------------------------------------------------

EVENTS: Final = counter(
    "events",
    WORKER,
    "Input records by outcome: `accepted` (a valid event of this partition, duplicates included), `rejected` (written "
    "to the dead letters), `tombstone` (ignored), `forwarded` (sent on to the partition that its key belongs to, or "
    "that of the id that its customer goes by), `erased` (not folded, as its customer was erased or is suppressed).",
    ("topic", "outcome"),
    32,
)
DUPLICATE_EVENTS: Final = counter(
    "duplicate_events", WORKER, "Accepted events whose id the customer's row already held; they change nothing."
)
NOT_PROFILED_EVENTS: Final = counter(
    "not_profiled_events", WORKER, "Accepted events that were not folded, as their customers have not agreed to it."
)
LATE_EVENTS: Final = counter(
    "late_events", WORKER, "Accepted events that occurred before the watermark of their partition."
)
DEAD_LETTERS: Final = counter(
    "dead_letters",
    WORKER,
    "Records written to the dead-letter topic, by input topic and reason (a closed list).",
    ("topic", "reason"),
    40,
)
EVENT_PROCESSING: Final = histogram(
    "event_processing_seconds",
    WORKER,
    "Time to fold one event and to assess its customer: the time of a batch divided by its events.",
    (2e-6, 4e-6, 6e-6, 8e-6, 12e-6, 20e-6, 50e-6, 100e-6, 500e-6, 0.002, 0.01),
)
EVENT_AGE: Final = histogram(
    "event_age_seconds",
    WORKER,
    "How long before it was folded an event had occurred; an event out of order counts as old as the newest before it.",
    (0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0),
)

IDENTITY_STATEMENTS: Final = counter(
    "identity_statements",
    WORKER,
    "Statements on ids that were read since this process started, all from the topic's beginning on: `taken`, or "
    "`refused`. Every worker reads all of them.",
    ("outcome",),
    3,
)
IDENTITY_ALIASES: Final = gauge(
    "identity_aliases", WORKER, "Ids that are known to go by another one; every worker knows all of them."
)
IDENTITY_ROWS: Final = counter(
    "identity_rows",
    WORKER,
    "Rows of ids that turned out to go by another one: `joined` (it is in the same partition), `handed_over` (to "
    "another partition). Those that were taken over are `accepted` records of `identity-handovers`.",
    ("outcome",),
    3,
)
IDENTITY_WAITING: Final = gauge(
    "identity_waiting", WORKER, "Ids that are still to be looked at, because they go by another one than before."
)

# --- worker: partitions ----------------------------------------------------------------------------------------------

PRIVACY_OPEN: Final = gauge(
    "privacy_requests_open",
    WORKER,
    "Privacy requests that are carried out and whose former rows brokers may not have compacted yet.",
)
PRIVACY_OVERDUE: Final = gauge(
    "privacy_requests_overdue",
    WORKER,
    "Of these, those that should have been finished by their jurisdiction's deadline.",
)
PRIVACY_OLDEST: Final = gauge(
    "privacy_oldest_open_timestamp_seconds",
    WORKER,
    "When the oldest of these was made; absent if there is none.",
    (),
    1,
    min,
)
PRIVACY_MARKS: Final = gauge(
    "privacy_marks",
    WORKER,
    "Customers whose events are refused by a salted hash: erased ones for a while, suppressed ones.",
)
WATERMARK: Final = gauge(
    "watermark_timestamp_seconds",
    WORKER,
    "When the newest event of a partition occurred that is not in doubt; absent before the first.",
    ("partition",),
    PARTITIONS_MAX,
    min,
)
TIMES_IN_DOUBT: Final = gauge(
    "times_in_doubt",
    WORKER,
    "Records whose time is far from that of all others of their partition, `ahead` or `behind`: only their customers' "
    "segments follow it, until others get there.",
    ("side",),
    2,
)
LAST_PROCESSED: Final = gauge(
    "last_processed_timestamp_seconds",
    WORKER,
    "When a partition last committed input records, or was opened.",
    ("partition",),
    PARTITIONS_MAX,
    min,
)
TABLE_ENTRIES: Final = gauge(
    "table_entries", WORKER, "Customers in the state of a partition.", ("partition",), PARTITIONS_MAX
)
SWEEP: Final = histogram(
    "sweep_seconds",
    WORKER,
    "Processor time of one sweep of a partition.",
    (0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
TICK_WAIT: Final = histogram(
    "tick_wait_seconds",
    WORKER,
    "How long a partition stood still at a tick until it was decided which models are in force from it on.",
    (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
TICK_WAITS_EXPIRED: Final = counter(
    "tick_waits_expired",
    WORKER,
    "Ticks that a partition went past before they were decided: models take over late there.",
)
REBALANCES: Final = counter("rebalances", WORKER, "Times that the group assigned partitions to this worker.")
ASSIGNED_PARTITIONS: Final = gauge("assigned_partitions", WORKER, "Partitions that are open here.")
STATE_RECOVERY: Final = gauge(
    "state_recovery_seconds",
    WORKER,
    "How long the last opening of partitions took, from the assignment until all state was read back.",
)

# --- worker: segmentations -------------------------------------------------------------------------------------------

MIGRATIONS: Final = counter(
    "migrations",
    WORKER,
    "Migrations, by the ids of the segments left (`from`, empty at a first entry) and entered (`to`, empty where a "
    "customer leaves the segmentation, such as an audience), and by cause, such as `purchase`, `lapse` or `model`.",
    ("segmentation", "from", "to", "cause"),
    670,
    lasting=("segmentation", "cause"),
    spare_sets=SEGMENTATIONS_MAX * CAUSES + 1,
)
CUSTOMERS: Final = gauge(
    "customers",
    WORKER,
    "Customers now in a segment, in the partitions that this process owns.",
    ("segmentation", "segment"),
    160,
    lasting=("segmentation",),
    spare_sets=SEGMENTATIONS_MAX + 1,
)
SEGMENT_REVENUE: Final = gauge(
    "segment_revenue",
    WORKER,
    "Net revenue over their lifetime of the customers now in a segment, in major units of the base currency, in the "
    "partitions that this process owns.",
    ("segmentation", "segment"),
    160,
    lasting=("segmentation",),
    spare_sets=SEGMENTATIONS_MAX + 1,
)
SEGMENT_INFO: Final = gauge(
    "segment_info",
    WORKER,
    "1 for each segment in use, with its name (ids outlive models, names may change) and its level: below 0 are lapsed "
    "segments, -1 is at risk; empty where a segmentation orders nothing.",
    ("segmentation", "segment", "name", "level"),
    160,
    max,
    lasting=("segmentation",),
    spare_sets=SEGMENTATIONS_MAX + 1,
)
HOLDOUT: Final = gauge(
    "holdout_ratio",
    WORKER,
    "Share of the customers whom campaigns are to leave alone, as `holdout.percent` sets it.",
    merge=max,
)
MODEL_INFO: Final = gauge(
    "model_info",
    WORKER,
    "1, with the version of the model or definition in use, and the number of its segments; version 0 of a learned "
    "segmentation is what is usual elsewhere.",
    ("segmentation", "kind", "version", "segments"),
    2 * SEGMENTATIONS_MAX,
    max,
)
MODEL_DRIFT: Final = gauge(
    "model_drift_score",
    WORKER,
    "Population stability index of an axis, or of `silence` (days since the last act): the newest model's sample "
    "(published or held) against the sample of the model before; below .1 stable, above .25 changed.",
    ("segmentation", "axis"),
    50,
    max,
    lasting=("segmentation",),
    spare_sets=LEARNED_MAX + 1,
)
MODEL_ROLE_DRIFT: Final = gauge(
    "model_role_drift",
    WORKER,
    "How far a role's centre would move to fit the newest model's sample (published or held), in log units: .7 is a "
    "doubled rate.",
    ("segmentation", "role"),
    74,
    max,
    lasting=("segmentation",),
    spare_sets=LEARNED_MAX + 1,
)
MODEL_HELD: Final = gauge(
    "model_held_expected_churn",
    WORKER,
    "Of a model that waits for an operator: the share of the customers that it is forecast to move; absent where none "
    "waits.",
    ("segmentation", "version"),
    LEARNED_MAX,
    max,
)
MODEL_PINNED: Final = gauge(
    "model_pinned",
    WORKER,
    "1 where an operator has pinned a version of a learned segmentation, else 0; absent for other kinds.",
    ("segmentation",),
    LEARNED_MAX,
    max,
)
COUNTED_SINCE: Final = gauge(
    "counted_since_timestamp_seconds",
    WORKER,
    "From when on everything is counted that a definition's conditions look at, the latest of the partitions that this "
    "process owns: windows that reach further back are not complete. Absent where all of the past is counted.",
    ("segmentation",),
    32,
    max,
)
MODEL_LAST_LEARNED: Final = gauge(
    "model_last_learned_timestamp_seconds",
    WORKER,
    "The instant that the newest model (published or held) of a learned segmentation was learned for; 0 before the "
    "first, absent for other kinds.",
    ("segmentation",),
    LEARNED_MAX,
    min,
)

# --- view, api, webhooks ---------------------------------------------------------------------------------------------

VIEW_STALENESS: Final = gauge(
    "view_staleness_seconds",
    VIEW,
    "How far the Redis view lags the memberships topic: the age of the oldest record that is not written yet, 0 when "
    "all are.",
    merge=max,
)
VIEW_RECORDS: Final = counter(
    "view_records", VIEW, "Output records taken into Redis: `written` or `superseded`.", ("topic", "outcome"), 8
)
HTTP_REQUEST_DURATION: Final = histogram(
    "http_request_duration_seconds",
    API,
    "Time to answer a request, by the route's template (never the path itself) and the status class such as `2xx`; "
    "streams count until their first byte.",
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
    ("method", "route", "status"),
    80,
)
STREAM_CLIENTS: Final = gauge("stream_clients", API, "Clients that follow migrations live.")
WEBHOOK_DELIVERIES: Final = counter(
    "webhook_deliveries",
    WEBHOOKS,
    "Attempts to deliver a migration, by subscription: `delivered`, `retried`, `dead` (given up, and written to the "
    "dead-letter topic).",
    ("subscription", "outcome"),
    160,
)
WEBHOOK_PENDING: Final = gauge(
    "webhook_pending_deliveries",
    WEBHOOKS,
    "Migrations that are read and neither delivered nor given up.",
    ("subscription",),
    40,
)
WEBHOOK_OLDEST_PENDING: Final = gauge(
    "webhook_oldest_pending_timestamp_seconds",
    WEBHOOKS,
    "When the oldest pending migration was appended to the migrations topic; absent when nothing is pending.",
    ("subscription",),
    40,
    min,
)

DECLARED: Final[tuple[Declaration, ...]] = tuple(
    each for each in tuple(globals().values()) if isinstance(each, Declaration)
)
"""All of the above, so that none can be forgotten."""
