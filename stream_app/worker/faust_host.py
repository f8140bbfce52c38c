"""What Faust's side asks of the owned partitions: records in, chunks out, and where to read from."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from stream_app.adapters.record_blocks import RecordBlock
from stream_app.adapters.topics import TopicNames
from stream_app.adapters.wall_clock import now_ms
from stream_app.worker.intake import InputChunk
from stream_app.worker.loop_settings import LoopSettings
from stream_app.worker.opening import records_expired
from stream_app.worker.owned import OwnedPartitions

logger = logging.getLogger(__name__)

OVERDUE_SECONDS: Final = 2.0
"""A chunk that Faust has not delivered by then was dropped where a rebalance broke its loop."""


ROWS_WAITING_MAX: Final = 1_000
"""Rows of other partitions are fetched while fewer records wait, so that events never queue behind many of them."""


class FaustHost:
    """A `BridgeHost`, which documents the members.

    Parameters
    ----------
    owned
        The partitions.
    topics, settings
        Names, and how much is taken at a time.
    failed
        Called with any error that makes it unsafe to continue; it must end the process.
    now_ms
        The wall clock.
    """

    def __init__(
        self,
        owned: OwnedPartitions,
        topics: TopicNames,
        settings: LoopSettings,
        failed: Callable[[BaseException], None],
        now_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._owned = owned
        self._topics = topics
        self._settings = settings
        self._failed = failed
        self._now_ms = now_ms

    @property
    def inputs(self) -> Sequence[str]:
        """Names of the topics whose records change customers."""
        return self._topics.taken_in

    @property
    def changelog(self) -> str:
        """Name of the state's topic."""
        return self._topics.changelog

    def wants(self, topic: str, partition: int) -> bool:
        """Return whether the partition is open and neither its intake nor its loop is full."""
        intake, lane = self._owned.intakes.get(partition), self._owned.lanes.get(partition)
        if intake is None or lane is None or intake.is_full(topic):
            return False
        is_of_rows = topic == self._topics.handovers
        return lane.waiting_records < (ROWS_WAITING_MAX if is_of_rows else self._settings.transaction_records_max)

    def expected_offset(self, topic: str, partition: int) -> int | None:
        """Return the offset of the next record to be fed; None if the partition is not open."""
        intake = self._owned.intakes.get(partition)
        return None if intake is None else intake.fetched_to(topic)

    def feed(self, topic: str, partition: int, records: RecordBlock) -> None:
        """Decode records and hold them until they may be merged; those of a partition not owned are dropped."""
        intake = self._owned.intakes.get(partition)
        if intake is not None:
            intake.feed(topic, records, self._now_ms())
            arrivals = self._owned.lanes[partition].arrivals
            arrivals.note(topic, int(records.offsets[-1]) + 1, int(records.timestamps_ms[0]), len(records))

    def skip(self, topic: str, partition: int, offset: int, log_start: int) -> None:
        """Continue at a later offset; records that expired unread are a failure."""
        intake = self._owned.intakes.get(partition)
        if intake is None:
            return
        expected = intake.fetched_to(topic)
        if log_start > expected:
            self._failed(records_expired(topic, partition, expected, log_start))
        logger.info("%s[%d]: no records from %d to %d in the log", topic, partition, expected, offset - 1)
        intake.skip_to(topic, offset)

    def emit_chunks(self, drained: frozenset[tuple[str, int]]) -> Iterable[InputChunk]:
        """Yield the chunks that may go by now; those that Faust has dropped are folded first."""
        intakes, inputs = self._owned.intakes, self.inputs
        for number, intake in list(intakes.items()):
            if intakes.get(number) is not intake:
                return  # released while Faust had stopped in the middle of this loop
            now_seconds = asyncio.get_running_loop().time()
            if overdue := intake.overdue(now_seconds - OVERDUE_SECONDS):
                logger.warning(
                    "partition %d: Faust has not delivered %d chunks, they are taken now", number, len(overdue)
                )
                self._owned.offer(overdue)
            drained_topics = {topic for topic in inputs if (topic, number) in drained}
            yield from intake.emit_chunks(drained_topics, self._settings.chunk_records_max, now_seconds)
            if number in self._owned.lanes:
                is_drained = len(drained_topics) == len(inputs) and not intake.held_records
                self._owned.lanes[number].note_drained(is_drained)

    def start_offsets(self) -> Mapping[tuple[str, int], int]:
        """Return where the state of each open partition continues, and the trainer with it."""
        offsets = {
            (topic, number): intake.fetched_to(topic)
            for number, intake in self._owned.intakes.items()
            for topic in self.inputs
        }
        if self._owned.training is not None:
            offsets[self._topics.samples, 0] = self._owned.training.next_sample
        return offsets

    def committable(self, drained_positions: Mapping[tuple[str, int], int]) -> Mapping[tuple[str, int], int]:
        """Return how far everything is written."""
        return self._owned.committable(drained_positions)

    async def release(self) -> None:
        """Write what is unwritten and give everything up."""
        await self._owned.release()
