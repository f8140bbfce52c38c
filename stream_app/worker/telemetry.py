"""What a worker's metrics say, looked up at each scrape, so that folding is not slowed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from stream_app.adapters.metrics import Reading
from stream_app.adapters.metrics.declared import (
    ASSIGNED_PARTITIONS,
    CONSUMER_LAG,
    COUNTED_SINCE,
    CUSTOMERS,
    HOLDOUT,
    IDENTITY_ALIASES,
    IDENTITY_STATEMENTS,
    IDENTITY_WAITING,
    LAST_PROCESSED,
    MODEL_DRIFT,
    MODEL_HELD,
    MODEL_INFO,
    MODEL_LAST_LEARNED,
    MODEL_PINNED,
    MODEL_ROLE_DRIFT,
    PRIVACY_MARKS,
    PRIVACY_OLDEST,
    PRIVACY_OPEN,
    PRIVACY_OVERDUE,
    REBALANCES,
    SEGMENT_INFO,
    SEGMENT_REVENUE,
    STATE_RECOVERY,
    TABLE_ENTRIES,
    TIMES_IN_DOUBT,
    WATERMARK,
)
from stream_app.core.clock import NO_TIME, SECOND_MS
from stream_app.core.members import NO_MEMBERS
from stream_app.core.segmentation import Segmentation
from stream_app.segmentations.learned.document import Drift, ModelProposal
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.worker.definition_follower import DefinitionFollower
from stream_app.worker.identity_follower import IdentityFollower
from stream_app.worker.lag import records_waiting
from stream_app.worker.owned import OwnedPartitions
from stream_app.worker.partition_loop import PartitionLoop


class SegmentationState(NamedTuple):
    """A segmentation as this worker has it now.

    Attributes
    ----------
    kind
        Such as `learned`.
    version
        Of the model or definition in use.
    names
        By segment id, of the segments in use.
    sizes, revenue
        Customers by segment id, 0 included, and their lifetime revenue in major units; customers may still be in
        segments that are no longer in use.
    learned_at_ms
        The instant that the newest model was learned for, 0 before the first; None where nothing is learned.
    drift
        Of the newest model against the one before; None where nothing is known.
    waiting
        The model that waits for an operator, if one does.
    is_pinned
        Whether an operator has pinned a version.
    counted_since_ms
        From when on all is counted that its conditions look at; 0 for always.
    levels
        By segment id, of the segments that have one.
    """

    kind: str
    version: int
    names: Mapping[str, str]
    sizes: Mapping[str, int]
    revenue: Mapping[str, float]
    learned_at_ms: int | None
    drift: Drift | None = None
    waiting: ModelProposal | None = None
    is_pinned: bool = False
    counted_since_ms: int = 0
    levels: Mapping[str, int] = {}

    def readings(self, name: str) -> Iterator[Reading]:
        """Yield what is exported of a segmentation of this name."""
        yield Reading(MODEL_INFO, (name, self.kind, str(self.version), str(len(self.names))), 1)
        for segment, size in self.sizes.items():
            yield Reading(CUSTOMERS, (name, segment), size)
        for segment, revenue in self.revenue.items():
            yield Reading(SEGMENT_REVENUE, (name, segment), revenue)
        for segment, readable in self.names.items():
            yield Reading(SEGMENT_INFO, (name, segment, readable, str(self.levels.get(segment, ""))), 1)
        if self.learned_at_ms is not None:
            yield Reading(MODEL_LAST_LEARNED, (name,), self.learned_at_ms / SECOND_MS)
            yield Reading(MODEL_PINNED, (name,), self.is_pinned)
        if self.counted_since_ms:
            yield Reading(COUNTED_SINCE, (name,), self.counted_since_ms / SECOND_MS)
        if self.waiting is not None:
            model = self.waiting.model
            yield Reading(MODEL_HELD, (name, str(model.version)), model.expected_churn or 0)
        if self.drift is not None:
            for axis, score in self.drift.psi.items():
                yield Reading(MODEL_DRIFT, (name, axis), score)
            for role, shift in self.drift.roles.items():
                yield Reading(MODEL_ROLE_DRIFT, (name, role), shift)


class Telemetry:
    """Reads a worker.

    Parameters
    ----------
    owned, follower
        What is looked at.
    log_ends
        Returns by input topic and partition the end of the log, as far as it is known, and the group's position
        where all before it is fetched.
    identities
        Knows which ids are one customer's, if statements on them are followed.
    """

    def __init__(
        self,
        owned: OwnedPartitions,
        follower: DefinitionFollower,
        log_ends: Callable[[], tuple[Mapping[tuple[str, int], int], Mapping[tuple[str, int], int]]],
        identities: IdentityFollower | None = None,
    ) -> None:
        self._identities = identities
        self._owned = owned
        self._follower = follower
        self._log_ends = log_ends

    def readings(self) -> Iterator[Reading]:
        """Yield everything: what all partitions have counted, revoked ones included, and what those owned are like."""
        lanes = dict(sorted(self._owned.lanes.items()))
        for counters in self._owned.figures.values():
            yield from counters.readings()
        yield Reading(REBALANCES, (), self._owned.rebalances)
        yield Reading(ASSIGNED_PARTITIONS, (), len(lanes))
        yield Reading(STATE_RECOVERY, (), self._owned.recovery_seconds)
        for number, lane in lanes.items():
            watermark_ms = lane.partition.clock.watermark_ms
            if watermark_ms != NO_TIME:
                yield Reading(WATERMARK, (str(number),), watermark_ms / SECOND_MS)
            yield Reading(LAST_PROCESSED, (str(number),), lane.figures.written_at_ms / SECOND_MS)
            yield Reading(TABLE_ENTRIES, (str(number),), len(lane.partition.table))
            yield Reading(HOLDOUT, (), lane.partition.context.holdout_percent / 100)
        trusts = [lane.partition.trust for lane in lanes.values()]
        yield Reading(TIMES_IN_DOUBT, ("ahead",), sum(trust.ahead_in_doubt for trust in trusts))
        yield Reading(TIMES_IN_DOUBT, ("behind",), sum(trust.behind_in_doubt for trust in trusts))
        yield from _privacy(lanes.values())
        yield from self._of_identities(lanes)
        yield from self._lags()
        for name, state in self._segmentations(lanes).items():
            yield from state.readings(name)

    def _of_identities(self, lanes: Mapping[int, PartitionLoop]) -> Iterator[Reading]:
        if self._identities is None:
            return
        yield Reading(IDENTITY_STATEMENTS, ("taken",), self._identities.taken)
        yield Reading(IDENTITY_STATEMENTS, ("refused",), self._identities.refused.total())
        yield Reading(IDENTITY_ALIASES, (), len(self._identities.weaver.identities))
        joiners = [lane.folding.joiner for lane in lanes.values()]
        yield Reading(IDENTITY_WAITING, (), sum(joiner.waiting for joiner in joiners if joiner))

    def _lags(self) -> Iterator[Reading]:
        for (topic, number), waiting in records_waiting(self._owned, *self._log_ends()).items():
            yield Reading(CONSUMER_LAG, (topic, str(number)), waiting)

    def _segmentations(self, lanes: Mapping[int, PartitionLoop]) -> Mapping[str, SegmentationState]:
        return {
            name: self._state_of(segmentation, lanes.values()) for name, segmentation in self._follower.current.items()
        }

    def _state_of(self, segmentation: Segmentation, lanes: Iterable[PartitionLoop]) -> SegmentationState:
        name = segmentation.name
        ids = segmentation.roster.ids
        sums = {segment.segment_id: NO_MEMBERS for segment in segmentation.roster.segments}
        minor_per_major, counted_since_ms = 1, 0
        for lane in lanes:
            partition, minor_per_major = lane.partition, lane.partition.context.minor_per_major
            if name not in partition.names:
                continue  # it takes over in a moment
            for code, own in partition.table.members(partition.column_of(name)).items():
                segment_id = ids.get(code, f"s{code}")
                sums[segment_id] = sums.get(segment_id, NO_MEMBERS).plus(own)
            counted_since_ms = max(counted_since_ms, lane.counted_since_ms(segmentation))
        newest = self._follower.newest.get(name)
        is_learned = isinstance(segmentation, LearnedSegmentation)
        return SegmentationState(
            kind=segmentation.kind,
            version=segmentation.version,
            names={segment.segment_id: segment.name for segment in segmentation.roster.segments},
            sizes={segment_id: each.customers for segment_id, each in sums.items()},
            revenue={segment_id: each.revenue_minor / minor_per_major for segment_id, each in sums.items()},
            learned_at_ms=max(newest.model.as_of_ms, 0) if newest else 0 if is_learned else None,
            drift=None if newest is None else newest.drift,
            waiting=self._follower.waiting(name),
            is_pinned=name in self._follower.pinned,
            counted_since_ms=counted_since_ms,
            levels={each.segment_id: each.level for each in segmentation.roster.segments if each.level is not None},
        )


def _privacy(lanes: Collection[PartitionLoop]) -> Iterator[Reading]:
    """Yield what is known of privacy requests."""
    found = [lane.folding.privacy.open_requests() for lane in lanes]
    yield Reading(PRIVACY_OPEN, (), sum(each.waiting for each in found))
    yield Reading(PRIVACY_OVERDUE, (), sum(each.overdue for each in found))
    yield Reading(PRIVACY_MARKS, (), sum(len(lane.folding.privacy.marks) for lane in lanes))
    oldest = [each.oldest_ms for each in found if each.oldest_ms is not None]
    if oldest:
        yield Reading(PRIVACY_OLDEST, (), min(oldest) / SECOND_MS)
