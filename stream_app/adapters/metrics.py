"""Every metric of every command, declared and explained; `docs/metrics.md` is made from this file.

Names begin with `segmenter_`, units are seconds, records and ratios. What has an age is exported as the instant it
dates from, and PromQL subtracts: so an age goes on growing where nothing updates it any more.
Labels hold names that the software or its operator chose: never a customer, an event, or an error's text.

Each process has a `Metrics` of its own, with a registry of its own, so that two can live in one process.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NamedTuple

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from stream_app.adapters.metric_families import (
    HISTOGRAM_EXTRA_SERIES,
    Histogram,
    LabelledCounter,
    LabelledGauge,
    LabelledHistogram,
)

PREFIX: Final = "segmenter_"
DISTRIBUTION: Final = "stream-segmenter"
"""Name of the installed package."""
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
SERIES_MAX: Final = 2_000
"""Most time series of one process."""
PROCESS_SERIES: Final = 6
"""What prometheus-client says about the process."""
PARTITIONS_MAX: Final = 64
"""So many partitions of a replica have series of their own; the rest share one."""

WORKER: Final = "worker"
VIEW: Final = "view"
API: Final = "api"
WEBHOOKS: Final = "webhooks"
COMPONENTS: Final = (WORKER, VIEW, API, WEBHOOKS)

LATENCY_BOUNDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds; 5 is the objective."""
AGE_BOUNDS: Final = (0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0)
PER_EVENT_BOUNDS: Final = (2e-6, 4e-6, 6e-6, 8e-6, 12e-6, 20e-6, 50e-6, 100e-6, 500e-6, 0.002, 0.01)
SWEEP_BOUNDS: Final = (0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
HTTP_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Declaration(NamedTuple):
    """What there is to know of a metric beside its values.

    Attributes
    ----------
    name
        As Prometheus shows it.
    kind
        `counter`, `gauge` or `histogram`.
    labels
        Their names.
    component
        The command that exports it; empty if all do.
    series_max
        Most time series of one process.
    documentation
        What it counts or measures.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    component: str
    series_max: int
    documentation: str


class Metrics:
    """All metrics of a process.

    Use: `metrics.events.labels(topic=…, outcome=…).inc()`, `metrics.ready.set(1)`,
    `metrics.end_to_end_latency_seconds.labels(sink="redis").observe(seconds)`,
    `with metrics.sweep_seconds.time(): …`. Attributes are named as the metrics are, without prefix and `_total`.

    Parameters
    ----------
    component
        Which command this is: its metrics and those of all are exported, the others exist and are not. Everything is
        exported if not given.
    """

    def __init__(self, component: str = "") -> None:
        disable_created_metrics()  # a second series for each counter, of no use to an alert
        self.registry = CollectorRegistry()
        self.declarations: list[Declaration] = []
        self._component = component
        ProcessCollector(namespace="segmenter", registry=self.registry)
        self._declare_inputs()
        self._declare_time()
        self._declare_outputs()
        self._declare_model()
        self._declare_group()
        self._declare_serving()

    def exposition(self) -> bytes:
        """Return everything in the text format that Prometheus reads, of type `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    def _declare_inputs(self) -> None:
        self.events = self._counters(
            "events",
            ("topic", "outcome"),
            16,
            WORKER,
            "Input records by what became of them: `accepted` (a valid event of this partition, duplicates included), "
            "`rejected` (a dead letter was written), `tombstone` (ignored), `forwarded` (sent on to the partition that "
            "its key belongs to).",
        )
        self.duplicate_events = self._counter(
            "duplicate_events", WORKER, "Accepted events whose id the customer's row knew already; they change nothing."
        )
        self.late_events = self._counter(
            "late_events", WORKER, "Accepted events that occurred before the watermark of their partition."
        )
        self.dead_letters = self._counters(
            "dead_letters",
            ("topic", "reason"),
            40,
            WORKER,
            "Records written to the dead-letter topic, by input topic and reason (a closed list).",
        )
        self.event_processing_seconds = self._histogram(
            "event_processing_seconds",
            PER_EVENT_BOUNDS,
            WORKER,
            "Time to fold one event and to assess its customer: that of the events folded at once, divided by their "
            "number.",
        )
        self.event_age_seconds = self._histogram(
            "event_age_seconds",
            AGE_BOUNDS,
            WORKER,
            "How long ago an event had occurred when it was folded; one that came out of order counts as old as the "
            "newest before it.",
        )
        self.end_to_end_latency_seconds = self._histograms(
            "end_to_end_latency_seconds",
            ("sink",),
            5,
            LATENCY_BOUNDS,
            "",
            "Time until a record's effect can be seen. Sink `kafka`: from an input record's timestamp until the "
            "transaction with its effects is committed (the oldest record of a fetch stands for all of it). Sinks "
            "`redis`, `webhook`: from the timestamp of the migration or membership record until it is written, or "
            "answered with success; `sse`: from its entry in the view until it is sent. What is read again counts at "
            "its full age.",
        )

    def _declare_time(self) -> None:
        self.consumer_lag_records = self._gauges(
            "consumer_lag_records",
            ("topic", "partition"),
            2 * PARTITIONS_MAX,
            "",
            "Records of a partition that are in the log and whose effects are not committed yet; only of partitions "
            "that this process owns.",
        )
        self.watermark_timestamp_seconds = self._gauges(
            "watermark_timestamp_seconds",
            ("partition",),
            PARTITIONS_MAX,
            WORKER,
            "When the newest event of a partition occurred; absent before the first.",
        )
        self.last_processed_timestamp_seconds = self._gauges(
            "last_processed_timestamp_seconds",
            ("partition",),
            PARTITIONS_MAX,
            WORKER,
            "When a partition last committed input records, or was opened.",
        )
        self.table_entries = self._gauges(
            "table_entries", ("partition",), PARTITIONS_MAX, WORKER, "Customers in the state of a partition."
        )
        self.sweep_seconds = self._histogram(
            "sweep_seconds", SWEEP_BOUNDS, WORKER, "Processor time of assessing all customers of a partition once."
        )

    def _declare_outputs(self) -> None:
        self.migrations = self._counters(
            "migrations",
            ("segmentation", "from", "to", "cause"),
            400,
            WORKER,
            "Migrations decided, by segment ids (`from` is empty at a first entry) and by cause: `purchase`, `refund`, "
            "`engagement`, `lapse` or `model`.",
        )
        self.customers = self._gauges(
            "customers",
            ("segmentation", "segment"),
            80,
            WORKER,
            "Customers now in a segment, in the partitions that this process owns.",
        )
        self.segment_info = self._gauges(
            "segment_info",
            ("segmentation", "segment", "name"),
            80,
            WORKER,
            "1 for each segment of the model in use, with its name: ids outlive models, names may change.",
        )

    def _declare_model(self) -> None:
        self.model_info = self._gauges(
            "model_info",
            ("segmentation", "version", "feature_set", "segments"),
            2,
            WORKER,
            "1, with the version of the model in use; version 0 are the cold-start rules.",
        )
        self.model_drift_score = self._gauges(
            "model_drift_score",
            ("feature",),
            16,
            WORKER,
            "Population stability index of a feature, the newest model's sample (published or held) against that of "
            "the one before: below .1 stable, above .25 changed.",
        )
        self.model_last_learned_timestamp_seconds = self._gauge(
            "model_last_learned_timestamp_seconds",
            WORKER,
            "The instant that the newest model (published or held) was learned for; 0 before the first.",
        )

    def _declare_group(self) -> None:
        self.rebalances = self._counter(
            "rebalances", WORKER, "Times that the group assigned partitions to this worker."
        )
        self.assigned_partitions = self._gauge("assigned_partitions", WORKER, "Partitions that are open here.")
        self.ready = self._gauge("ready", "", "1 while `/ready` answers with success, else 0.")
        self.state_recovery_seconds = self._gauge(
            "state_recovery_seconds",
            WORKER,
            "How long the last opening of partitions took, from the assignment until all state was read back.",
        )
        self.build_info = self._gauges(
            "build_info", ("version", "python", "component"), 2, "", "1, with the version of what runs."
        )
        self.build_info.labels(
            version=_package_version(), python=platform.python_version(), component=self._component or "none"
        ).set(1)

    def _declare_serving(self) -> None:
        self.view_staleness_seconds = self._gauge(
            "view_staleness_seconds",
            VIEW,
            "How far the Redis view is behind the memberships topic: the age of the oldest record that is not written "
            "yet, 0 when there is none.",
        )
        self.view_records = self._counters(
            "view_records", ("topic", "outcome"), 8, VIEW, "Output records taken into Redis: `written` or `superseded`."
        )
        self.redis_errors = self._counters(
            "redis_errors", ("operation",), 8, "", "Calls of Redis that failed, each attempt counted."
        )
        self.webhook_deliveries = self._counters(
            "webhook_deliveries",
            ("subscription", "outcome"),
            160,
            WEBHOOKS,
            "Attempts to deliver a migration, by subscription: `delivered`, `retried`, `dead` (given up, and written "
            "to the dead-letter topic).",
        )
        self.webhook_pending_deliveries = self._gauges(
            "webhook_pending_deliveries",
            ("subscription",),
            40,
            WEBHOOKS,
            "Migrations that are read and neither delivered nor given up.",
        )
        self.webhook_oldest_pending_timestamp_seconds = self._gauges(
            "webhook_oldest_pending_timestamp_seconds",
            ("subscription",),
            40,
            WEBHOOKS,
            "When the oldest of those was appended to the migrations topic; absent when there is none.",
        )
        self.http_request_duration_seconds = self._histograms(
            "http_request_duration_seconds",
            ("method", "route", "status"),
            30,
            HTTP_BOUNDS,
            API,
            "Time to answer a request, by the route's template (never the path itself) and the status class such as "
            "`2xx`; streams count until their first byte.",
        )
        self.stream_clients = self._gauge("stream_clients", API, "Clients that follow migrations live.")

    # --- declaring -----------------------------------------------------------------------------------------------

    def _declare(
        self, name: str, kind: str, labels: Sequence[str], component: str, series_max: int, documentation: str
    ) -> CollectorRegistry | None:
        """Note what is declared; return where it is exported, None if another command does that."""
        self.declarations.append(Declaration(name, kind, tuple(labels), component, series_max, documentation))
        is_ours = not component or not self._component or component == self._component
        return self.registry if is_ours else None

    def _counter(self, name: str, component: str, documentation: str) -> Counter:
        registry = self._declare(f"{PREFIX}{name}_total", "counter", (), component, 1, documentation)
        return Counter(PREFIX + name, documentation, registry=registry)

    def _counters(
        self, name: str, labels: Sequence[str], sets_max: int, component: str, documentation: str
    ) -> LabelledCounter:
        registry = self._declare(f"{PREFIX}{name}_total", "counter", labels, component, sets_max, documentation)
        return LabelledCounter(PREFIX + name, documentation, labels, sets_max, registry)

    def _gauge(self, name: str, component: str, documentation: str) -> Gauge:
        registry = self._declare(PREFIX + name, "gauge", (), component, 1, documentation)
        return Gauge(PREFIX + name, documentation, registry=registry)

    def _gauges(
        self, name: str, labels: Sequence[str], sets_max: int, component: str, documentation: str
    ) -> LabelledGauge:
        registry = self._declare(PREFIX + name, "gauge", labels, component, sets_max, documentation)
        return LabelledGauge(PREFIX + name, documentation, labels, sets_max, registry)

    def _histogram(self, name: str, bounds: Sequence[float], component: str, documentation: str) -> Histogram:
        series = len(bounds) + HISTOGRAM_EXTRA_SERIES
        registry = self._declare(PREFIX + name, "histogram", (), component, series, documentation)
        return Histogram(PREFIX + name, documentation, bounds, registry)

    def _histograms(
        self,
        name: str,
        labels: Sequence[str],
        sets_max: int,
        bounds: Sequence[float],
        component: str,
        documentation: str,
    ) -> LabelledHistogram:
        series = sets_max * (len(bounds) + HISTOGRAM_EXTRA_SERIES)
        registry = self._declare(PREFIX + name, "histogram", labels, component, series, documentation)
        return LabelledHistogram(PREFIX + name, documentation, labels, sets_max, bounds, registry)


def _package_version() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"
