"""Every metric of every command, declared and explained; `docs/metrics.md` is made from this file.

Names begin with `segmenter_`, units are seconds, records and ratios. An age is exported as the instant it dates from,
and PromQL subtracts: it keeps growing even where nothing updates it any more.
Labels hold names that the software or its operator chose: never a customer, an event, or an error's text. Whatever
belongs to one segmentation carries the label `segmentation`: segment ids and axes recur in others.

Every combination of label values is a time series for ever, and some values come from outside (a segment's id, a
subscription's name). So each metric says how many label sets it has at most; what exceeds that is counted under
`OTHER`, still by its `lasting` labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

PREFIX: Final = "segmenter_"
SERIES_MAX: Final = 2_000
"""Most time series of one process."""
PROCESS_SERIES: Final = 6
"""Series that prometheus-client adds about the process."""
PARTITIONS_MAX: Final = 64
"""So many partitions of a replica have series of their own; the rest share one."""
SEGMENTATIONS_MAX: Final = 16
"""So many segmentations keep their names, also where a metric has used up its label sets: all that can be configured,
and as many that have ended."""
CAUSES: Final = 10
"""Kinds of causes of a migration."""
OTHER: Final = "other"
"""Label value of everything beyond a metric's budget."""
LABEL_CHARACTERS_MAX: Final = 100
"""Longer label values are cut: they are names, not messages."""
HISTOGRAM_EXTRA_SERIES: Final = 3
"""A histogram's series beside its bounds: the bucket without bound, the sum, the count."""

WORKER: Final = "worker"
VIEW: Final = "view"
API: Final = "api"
WEBHOOKS: Final = "webhooks"
COMPONENTS: Final = (WORKER, VIEW, API, WEBHOOKS)
EVERY: Final = ""
"""Component of a metric that all commands export."""

COUNTER: Final = "counter"
GAUGE: Final = "gauge"
HISTOGRAM: Final = "histogram"

Merge = Callable[[Iterable[float]], float]


@dataclass(frozen=True, eq=False)
class Declaration:
    """All there is to know of a metric but its values.

    Parameters
    ----------
    name
        As Prometheus shows it.
    kind
        `counter`, `gauge` or `histogram`.
    component
        The command that exports it; `EVERY` if all do.
    documentation
        What it counts or measures.
    labels
        Their names.
    sets_max
        Most label sets of one process, those under `OTHER` included.
    bounds
        Of a histogram: ascending upper bounds of its buckets.
    merge
        Of a gauge: makes one value of those that share a label set.
    lasting
        Labels that keep their values beyond the budget.
    spare_sets
        How many of `sets_max` are for what is beyond the budget.
    """

    name: str
    kind: str
    component: str
    documentation: str
    labels: tuple[str, ...] = ()
    sets_max: int = 1
    bounds: tuple[float, ...] = ()
    merge: Merge = sum
    lasting: tuple[str, ...] = ()
    spare_sets: int = 0

    @property
    def series_max(self) -> int:
        """Most time series of one process."""
        return self.sets_max * (len(self.bounds) + HISTOGRAM_EXTRA_SERIES if self.kind == HISTOGRAM else 1)


def _counter(
    name: str,
    component: str,
    documentation: str,
    labels: tuple[str, ...] = (),
    sets_max: int = 1,
    *,
    lasting: tuple[str, ...] = (),
    spare_sets: int = 1,
) -> Declaration:
    return Declaration(
        name=f"{PREFIX}{name}_total",
        kind=COUNTER,
        component=component,
        documentation=documentation,
        labels=labels,
        sets_max=sets_max,
        lasting=lasting,
        spare_sets=spare_sets if labels else 0,
    )


def _gauge(
    name: str,
    component: str,
    documentation: str,
    labels: tuple[str, ...] = (),
    sets_max: int = 1,
    merge: Merge = sum,
    *,
    lasting: tuple[str, ...] = (),
    spare_sets: int = 1,
) -> Declaration:
    return Declaration(
        name=PREFIX + name,
        kind=GAUGE,
        component=component,
        documentation=documentation,
        labels=labels,
        sets_max=sets_max,
        merge=merge,
        lasting=lasting,
        spare_sets=spare_sets if labels else 0,
    )


def _histogram(
    name: str,
    component: str,
    documentation: str,
    bounds: tuple[float, ...],
    labels: tuple[str, ...] = (),
    sets_max: int = 1,
) -> Declaration:
    return Declaration(
        name=PREFIX + name,
        kind=HISTOGRAM,
        component=component,
        documentation=documentation,
        labels=labels,
        sets_max=sets_max,
        bounds=bounds,
        spare_sets=1 if labels else 0,
    )


# --- every command ---------------------------------------------------------------------------------------------------

READY: Final = _gauge("ready", EVERY, "1 while `/ready` answers with success, else 0.")
BUILD_INFO: Final = _gauge(
    "build_info", EVERY, "1, with the version of the running software.", ("version", "python", "component"), 2, max
)
END_TO_END_LATENCY: Final = _histogram(
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
CONSUMER_LAG: Final = _gauge(
    "consumer_lag_records",
    EVERY,
    "Records of a partition whose effects are not committed yet; only for partitions that this process owns.",
    ("topic", "partition"),
    2 * PARTITIONS_MAX,
)
REDIS_ERRORS: Final = _counter("redis_errors", EVERY, "Failed calls of Redis; each attempt counts.", ("operation",), 8)

# --- worker: what came in --------------------------------------------------------------------------------------------

EVENTS: Final = _counter(
    "events",
    WORKER,
    "Input records by outcome: `accepted` (a valid event of this partition, duplicates included), `rejected` (written "
    "to the dead letters), `tombstone` (ignored), `forwarded` (sent on to the partition that its key belongs to).",
    ("topic", "outcome"),
    16,
)
DUPLICATE_EVENTS: Final = _counter(
    "duplicate_events", WORKER, "Accepted events whose id the customer's row already held; they change nothing."
)
LATE_EVENTS: Final = _counter(
    "late_events", WORKER, "Accepted events that occurred before the watermark of their partition."
)
DEAD_LETTERS: Final = _counter(
    "dead_letters",
    WORKER,
    "Records written to the dead-letter topic, by input topic and reason (a closed list).",
    ("topic", "reason"),
    40,
)
EVENT_PROCESSING: Final = _histogram(
    "event_processing_seconds",
    WORKER,
    "Time to fold one event and to assess its customer: the time of a batch divided by its events.",
    (2e-6, 4e-6, 6e-6, 8e-6, 12e-6, 20e-6, 50e-6, 100e-6, 500e-6, 0.002, 0.01),
)
EVENT_AGE: Final = _histogram(
    "event_age_seconds",
    WORKER,
    "How long before it was folded an event had occurred; an event out of order counts as old as the newest before it.",
    (0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0),
)

# --- worker: partitions ----------------------------------------------------------------------------------------------

WATERMARK: Final = _gauge(
    "watermark_timestamp_seconds",
    WORKER,
    "When the newest event of a partition occurred; absent before the first.",
    ("partition",),
    PARTITIONS_MAX,
    min,
)
LAST_PROCESSED: Final = _gauge(
    "last_processed_timestamp_seconds",
    WORKER,
    "When a partition last committed input records, or was opened.",
    ("partition",),
    PARTITIONS_MAX,
    min,
)
TABLE_ENTRIES: Final = _gauge(
    "table_entries", WORKER, "Customers in the state of a partition.", ("partition",), PARTITIONS_MAX
)
SWEEP: Final = _histogram(
    "sweep_seconds",
    WORKER,
    "Processor time of one sweep of a partition.",
    (0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
TICK_WAIT: Final = _histogram(
    "tick_wait_seconds",
    WORKER,
    "How long a partition stood still at a tick until it was decided which models are in force from it on.",
    (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
TICK_WAITS_EXPIRED: Final = _counter(
    "tick_waits_expired",
    WORKER,
    "Ticks that a partition went past before they were decided: models take over late there.",
)
REBALANCES: Final = _counter("rebalances", WORKER, "Times that the group assigned partitions to this worker.")
ASSIGNED_PARTITIONS: Final = _gauge("assigned_partitions", WORKER, "Partitions that are open here.")
STATE_RECOVERY: Final = _gauge(
    "state_recovery_seconds",
    WORKER,
    "How long the last opening of partitions took, from the assignment until all state was read back.",
)

# --- worker: segmentations -------------------------------------------------------------------------------------------

MIGRATIONS: Final = _counter(
    "migrations",
    WORKER,
    "Migrations, by the ids of the segments left (`from`, empty at a first entry) and entered (`to`, empty where a "
    "customer leaves the segmentation), and by cause, such as `purchase`, `lapse` or `model`.",
    ("segmentation", "from", "to", "cause"),
    780,
    lasting=("segmentation", "cause"),
    spare_sets=SEGMENTATIONS_MAX * CAUSES + 1,
)
CUSTOMERS: Final = _gauge(
    "customers",
    WORKER,
    "Customers now in a segment, in the partitions that this process owns.",
    ("segmentation", "segment"),
    160,
    lasting=("segmentation",),
    spare_sets=SEGMENTATIONS_MAX + 1,
)
SEGMENT_REVENUE: Final = _gauge(
    "segment_revenue",
    WORKER,
    "Net revenue over their lifetime of the customers now in a segment, in major units of the base currency, in the "
    "partitions that this process owns.",
    ("segmentation", "segment"),
    160,
    lasting=("segmentation",),
    spare_sets=SEGMENTATIONS_MAX + 1,
)
SEGMENT_INFO: Final = _gauge(
    "segment_info",
    WORKER,
    "1 for each segment in use, with its name: ids outlive models, names may change.",
    ("segmentation", "segment", "name"),
    160,
    max,
    lasting=("segmentation",),
    spare_sets=SEGMENTATIONS_MAX + 1,
)
MODEL_INFO: Final = _gauge(
    "model_info",
    WORKER,
    "1, with the version of the model or definition in use, and the number of its segments; version 0 of a learned "
    "segmentation is what is usual elsewhere.",
    ("segmentation", "kind", "version", "segments"),
    SEGMENTATIONS_MAX,
    max,
)
MODEL_DRIFT: Final = _gauge(
    "model_drift_score",
    WORKER,
    "Population stability index of an axis, or of `silence` (days since the last act): the newest model's sample "
    "(published or held) against the sample of the model before; below .1 stable, above .25 changed.",
    ("segmentation", "axis"),
    50,
    max,
    lasting=("segmentation",),
    spare_sets=SEGMENTATIONS_MAX + 1,
)
MODEL_ROLE_DRIFT: Final = _gauge(
    "model_role_drift",
    WORKER,
    "How far a role's centre would move to fit the newest model's sample (published or held), in log units: .7 is a "
    "doubled rate.",
    ("segmentation", "role"),
    74,
    max,
    lasting=("segmentation",),
    spare_sets=SEGMENTATIONS_MAX + 1,
)
MODEL_HELD: Final = _gauge(
    "model_held_expected_churn",
    WORKER,
    "Of a model that waits for an operator: the share of the customers that it is forecast to move; absent where none "
    "waits.",
    ("segmentation", "version"),
    SEGMENTATIONS_MAX,
    max,
)
MODEL_PINNED: Final = _gauge(
    "model_pinned",
    WORKER,
    "1 where an operator has pinned a version of a learned segmentation, else 0; absent for other kinds.",
    ("segmentation",),
    SEGMENTATIONS_MAX,
    max,
)
MODEL_LAST_LEARNED: Final = _gauge(
    "model_last_learned_timestamp_seconds",
    WORKER,
    "The instant that the newest model (published or held) of a learned segmentation was learned for; 0 before the "
    "first, absent for other kinds.",
    ("segmentation",),
    SEGMENTATIONS_MAX,
    min,
)

# --- view, api, webhooks ---------------------------------------------------------------------------------------------

VIEW_STALENESS: Final = _gauge(
    "view_staleness_seconds",
    VIEW,
    "How far the Redis view lags the memberships topic: the age of the oldest record that is not written yet, 0 when "
    "all are.",
    merge=max,
)
VIEW_RECORDS: Final = _counter(
    "view_records", VIEW, "Output records taken into Redis: `written` or `superseded`.", ("topic", "outcome"), 8
)
HTTP_REQUEST_DURATION: Final = _histogram(
    "http_request_duration_seconds",
    API,
    "Time to answer a request, by the route's template (never the path itself) and the status class such as `2xx`; "
    "streams count until their first byte.",
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
    ("method", "route", "status"),
    30,
)
STREAM_CLIENTS: Final = _gauge("stream_clients", API, "Clients that follow migrations live.")
WEBHOOK_DELIVERIES: Final = _counter(
    "webhook_deliveries",
    WEBHOOKS,
    "Attempts to deliver a migration, by subscription: `delivered`, `retried`, `dead` (given up, and written to the "
    "dead-letter topic).",
    ("subscription", "outcome"),
    160,
)
WEBHOOK_PENDING: Final = _gauge(
    "webhook_pending_deliveries",
    WEBHOOKS,
    "Migrations that are read and neither delivered nor given up.",
    ("subscription",),
    40,
)
WEBHOOK_OLDEST_PENDING: Final = _gauge(
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
