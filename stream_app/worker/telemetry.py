"""From what a worker counts to the metrics it exports: looked up at each scrape, so that folding is not slowed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TypeVar

from stream_app.adapters.metrics import Metrics
from stream_app.core.clock import NO_TIME, SECOND_MS
from stream_app.worker.counters import PartitionCounters
from stream_app.worker.lag import records_waiting
from stream_app.worker.model_follower import ModelFollower
from stream_app.worker.owned import OwnedPartitions
from stream_app.worker.partition_loop import PartitionLoop

K = TypeVar("K", bound=Hashable)


class Telemetry:
    """Brings a worker's metrics up to date.

    Parameters
    ----------
    metrics
        Where to.
    owned, follower
        What is looked at.
    log_ends
        Returns by input topic and partition the end of the log, as far as it is known, and the group's position
        where all before it is fetched.
    """

    def __init__(
        self,
        metrics: Metrics,
        owned: OwnedPartitions,
        follower: ModelFollower,
        log_ends: Callable[[], tuple[Mapping[tuple[str, int], int], Mapping[tuple[str, int], int]]],
    ) -> None:
        self._metrics = metrics
        self._owned = owned
        self._follower = follower
        self._log_ends = log_ends
        self._exported: dict[tuple[object, ...], int] = {}

    def refresh(self) -> None:
        """Look everything up."""
        lanes = dict(sorted(self._owned.lanes.items()))
        figures = list(self._owned.figures.values())
        self._count(figures)
        self._follow_partitions(lanes)
        self._follow_segments(lanes)
        self._follow_model()

    def _count(self, figures: list[PartitionCounters]) -> None:
        """Let counters and histograms catch up with what all partitions have counted, those let go included."""
        metrics = self._metrics
        for outcome, total in _sum_of(each.outcomes for each in figures).items():
            metrics.events.member(outcome).inc(self._growth(("events", outcome), total))
        for letter, total in _sum_of(each.dead_letters for each in figures).items():
            metrics.dead_letters.member(letter).inc(self._growth(("dead_letters", letter), total))
        for move, total in _sum_of(each.moves for each in figures).items():
            metrics.migrations.member(move).inc(self._growth(("migrations", move), total))
        metrics.duplicate_events.inc(self._growth(("duplicates",), sum(each.duplicates for each in figures)))
        metrics.late_events.inc(self._growth(("late",), sum(each.late for each in figures)))
        metrics.rebalances.inc(self._growth(("rebalances",), self._owned.rebalances))
        metrics.event_processing_seconds.become_sum_of(each.processing_seconds for each in figures)
        metrics.event_age_seconds.become_sum_of(each.age_seconds for each in figures)
        metrics.sweep_seconds.become_sum_of(each.sweep_seconds for each in figures)
        latency = metrics.end_to_end_latency_seconds.labels(sink="kafka")
        latency.become_sum_of(each.latency_seconds for each in figures)

    def _growth(self, name: tuple[object, ...], total: int) -> int:
        """Return by how much a total has grown since it was last exported."""
        before, self._exported[name] = self._exported.get(name, 0), total
        return total - before

    def _follow_partitions(self, lanes: Mapping[int, PartitionLoop]) -> None:
        """Export what is known of the partitions owned now, and nothing of others."""
        metrics = self._metrics
        metrics.assigned_partitions.set(len(lanes))
        metrics.state_recovery_seconds.set(self._owned.recovery_seconds)
        watermarks = {number: lane.partition.clock.watermark_ms for number, lane in lanes.items()}
        metrics.watermark_timestamp_seconds.replace(
            {(str(number),): ms / SECOND_MS for number, ms in watermarks.items() if ms != NO_TIME}, min
        )
        metrics.last_processed_timestamp_seconds.replace(
            {(str(number),): lane.figures.written_at_ms / SECOND_MS for number, lane in lanes.items()}, min
        )
        metrics.table_entries.replace({(str(number),): len(lane.partition.table) for number, lane in lanes.items()})
        waiting = records_waiting(self._owned, *self._log_ends())
        metrics.consumer_lag_records.replace({(topic, str(number)): lag for (topic, number), lag in waiting.items()})

    def _follow_segments(self, lanes: Mapping[int, PartitionLoop]) -> None:
        snapshot = self._follower.snapshot
        names = {code: segment.segment_id for code, segment in snapshot.segment_by_code.items()}
        sizes = Counter(dict.fromkeys(snapshot.codes.tolist(), 0))
        for lane in lanes.values():
            sizes.update(lane.partition.table.segment_sizes())
        self._metrics.customers.replace(
            {(snapshot.segmentation, names.get(code, f"s{code}")): size for code, size in sizes.items()}
        )
        self._metrics.segment_info.replace(
            {(snapshot.segmentation, each.segment_id, each.name): 1.0 for each in snapshot.segments}, max
        )

    def _follow_model(self) -> None:
        metrics, snapshot = self._metrics, self._follower.snapshot
        model = (
            snapshot.segmentation,
            str(snapshot.version),
            snapshot.parameters.feature_set,
            str(len(snapshot.segments)),
        )
        metrics.model_info.replace({model: 1.0})
        newest = self._follower.newest
        if newest is not None:
            metrics.model_last_learned_timestamp_seconds.set(max(newest.snapshot.as_of_ms, 0) / SECOND_MS)
            psi = {} if newest.drift is None else newest.drift.psi
            metrics.model_drift_score.replace({(feature,): score for feature, score in psi.items()}, max)


def _sum_of(parts: Iterable[Counter[K]]) -> Counter[K]:
    total: Counter[K] = Counter()
    for part in parts:
        total.update(part)
    return total
