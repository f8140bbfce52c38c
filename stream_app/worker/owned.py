"""The partitions that this worker owns: opening them, feeding their lanes, and letting them go.

To open a partition (the order matters, each step relies on the one before):

1. `InitProducerId` shuts the former owner out and ends its open transaction.
2. A fence record marks the changelog's end behind everything that the former owner could write.
3. The changelog is restored up to that fence, the position row with it.
4. The newest model is known.
5. The inputs are sought to the position, and the lane is opened.

A rebalance takes all partitions away and gives most of them back. Their tables stay in memory, and serve again if the
producer's epoch shows that nobody else has opened the partition in between.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from aiokafka.partitioner import murmur2

from stream_app.adapters.changelog import FENCE_KEY, POSITION_KEY, PartitionPosition
from stream_app.adapters.delivery import Delivery
from stream_app.adapters.state_log import StateLog
from stream_app.adapters.topics import TopicNames
from stream_app.adapters.wall_clock import now_ms
from stream_app.contracts.decoding import Decoder
from stream_app.core.migration import MigrationContext
from stream_app.core.partition import Partition
from stream_app.core.snapshot import Snapshot
from stream_app.core.snapshot_document import Proposal
from stream_app.core.table import CustomerTable
from stream_app.errors import RecordsLost
from stream_app.learning.trainer import Trainer, TrainerSettings
from stream_app.worker.counters import PartitionCounters
from stream_app.worker.intake import Chunk, Intake
from stream_app.worker.model_follower import ModelFollower
from stream_app.worker.partition_loop import PartitionLoop
from stream_app.worker.sweeping import LoopSettings
from stream_app.worker.training import STATE_KEY, Training, decode_state

logger = logging.getLogger(__name__)

OVERDUE_SECONDS: Final = 2.0
"""A chunk that Faust has not delivered by then was dropped where a rebalance broke its loop."""


@dataclass(frozen=True)
class PartitionSettings:
    """How partitions are opened.

    Parameters
    ----------
    partitions
        Number of partitions of every keyed topic.
    recovery_timeout_seconds
        Opening takes no longer, or the process ends.
    """

    partitions: int
    recovery_timeout_seconds: int


@dataclass
class _Restored:
    """A partition's state, and the opening that it belongs to."""

    table: CustomerTable
    position: PartitionPosition
    identity: tuple[int, int]

    @property
    def model_version(self) -> int:
        """Version of the newest model that anybody here was assessed under."""
        return max(self.position.model_version, int(self.table.membership["model_version"].max(initial=0)))


class OwnedPartitions:
    """What Faust's group has assigned to this worker; a `BridgeHost`.

    Parameters
    ----------
    log, topics
        The state's log, and the names of all topics.
    settings, lane_settings, trainer_settings, rules
        Numbers.
    decoders
        By input topic.
    follower
        Knows the model.
    failed
        Called with whatever makes it unsafe to go on; it must end the process.
    now_ms
        The wall clock.
    """

    def __init__(
        self,
        log: StateLog,
        topics: TopicNames,
        settings: PartitionSettings,
        lane_settings: LoopSettings,
        trainer_settings: TrainerSettings,
        rules: MigrationContext,
        decoders: Mapping[str, Decoder],
        follower: ModelFollower,
        failed: Callable[[BaseException], None],
        now_ms: Callable[[], int] = now_ms,
    ) -> None:
        self.lanes: dict[int, PartitionLoop] = {}
        self.training: Training | None = None
        self.is_open = False
        self.recovery_seconds = 0.0
        self.rebalances = 0
        self.figures: dict[int, PartitionCounters] = {}
        self._log = log
        self._topics = topics
        self._settings = settings
        self._lane_settings = lane_settings
        self._trainer_settings = trainer_settings
        self._rules = rules
        self._decoders = decoders
        self._follower = follower
        self._initial = follower.snapshot
        self._failed = failed
        self._now_ms = now_ms
        self._intakes: dict[int, Intake] = {}
        self._partition_of = lru_cache(65_536)(lambda key: (murmur2(key) & 0x7FFFFFFF) % settings.partitions)
        self._kept: dict[int, _Restored] = {}
        self._opening: asyncio.Task[None] | None = None
        self._left_at: dict[tuple[str, int], int] = {}
        self._letting_go = asyncio.Lock()
        follower.subscribe(self._follow)

    # --- opening and letting go ----------------------------------------------------------------------------------

    async def open(self, partitions: Iterable[int], with_trainer: bool) -> None:
        """Open partitions that were assigned; returns early if they are revoked meanwhile."""
        self.rebalances += 1
        await self.let_go()
        opening = self._opening = asyncio.create_task(self._open(sorted(partitions), with_trainer))
        await asyncio.wait([opening])
        if not opening.cancelled() and (error := opening.exception()) is not None:
            self._failed(error)

    @property
    def is_opening(self) -> bool:
        """Whether an opening is under way; it ends by itself, within the time that it may take."""
        return self._opening is not None and not self._opening.done()

    async def let_go(self) -> None:
        """Write what is folded and own nothing any more."""
        async with self._letting_go:  # a stop may come in the middle of a rebalance: it must not overtake it
            await self._let_go()

    async def _let_go(self) -> None:
        self.is_open = False
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
            await asyncio.wait([self._opening])
        lanes, training = list(self.lanes.values()), self.training
        self.lanes, self.training = {}, None
        self._intakes.clear()
        # Kept again only once it is known what is written: if this is broken off, the next opening reads the log.
        kept = {lane.number: self._kept.pop(lane.number) for lane in lanes if lane.number in self._kept}
        try:
            await asyncio.gather(*(lane.close() for lane in lanes))
            self._left_at |= {
                (topic, lane.number): offset for lane in lanes for topic, offset in lane.committed.offsets.items()
            }
            if training is not None:
                await training.close()
        except Exception as error:  # whatever it is, memory is ahead of the log now
            self._failed(error)
        for lane in lanes:
            if lane.number in kept:
                kept[lane.number].position = lane.committed
        self._kept |= kept

    async def _open(self, partitions: Sequence[int], with_trainer: bool) -> None:
        started = time.monotonic()
        deliveries = {number: self._delivery(f"{number}") for number in partitions}
        opened = list(deliveries.values())
        try:
            async with asyncio.timeout(self._settings.recovery_timeout_seconds):
                await asyncio.gather(*(delivery.open() for delivery in opened))
                await self._restore(deliveries)
                if with_trainer:
                    opened.append(self._delivery("trainer"))
                    await opened[-1].open()
                    self.training = await self._restore_training(opened[-1])
                await self._follower.is_read.wait()
                await self._follower.reach(max((self._kept[number].model_version for number in partitions), default=0))
        except (Exception, asyncio.CancelledError):
            self.training = None
            await asyncio.shield(asyncio.gather(*(delivery.close() for delivery in opened)))
            raise
        self._left_at = {}
        for number, delivery in deliveries.items():
            self._open_lane(number, delivery)
        self.recovery_seconds = time.monotonic() - started
        customers = sum(len(lane.partition.table) for lane in self.lanes.values())
        logger.info(
            "partitions %s are open with %d customers after %.1f s", list(partitions), customers, self.recovery_seconds
        )
        self.is_open = True

    def _delivery(self, name: str) -> Delivery:
        return self._log.delivery(f"{self._topics.group}-{name}")

    async def _restore(self, deliveries: Mapping[int, Delivery]) -> None:
        """Bring `_kept` to where the changelog ends."""
        kept = {number: self._still_valid(number, delivery) for number, delivery in deliveries.items()}
        # What is not valid is forgotten first: an opening that is broken off here must leave nothing half restored.
        self._kept = {number: restored for number, restored in kept.items() if restored is not None}
        missing = {
            number: _Restored(CustomerTable(), PartitionPosition(), delivery.identity)
            for number, delivery in deliveries.items()
            if number not in self._kept
        }
        if not missing:
            return
        async for number, records in self._log.read_back(self._topics.changelog, list(missing)):
            restored = missing[number]
            restore = restored.table.restore
            for record in records:
                key = record.key
                if key == POSITION_KEY and record.value is not None:
                    restored.position = PartitionPosition.decode(record.value)
                elif key != FENCE_KEY and record.value is not None:
                    restore(key.decode(), record.value)
        starts = await asyncio.gather(*(self._log.log_starts(self._topics.inputs, number) for number in missing))
        for (number, restored), start in zip(missing.items(), starts, strict=True):
            restored.position = _from_log_start(restored.position, start, number)
        self._kept.update(missing)

    def _still_valid(self, number: int, delivery: Delivery) -> _Restored | None:
        """Return the state that is kept of a partition, if nobody else has opened it since."""
        restored = self._kept.get(number)
        name, times = delivery.identity
        if restored is None or restored.identity != (name, times - 1):
            return None
        restored.identity = delivery.identity
        return restored

    async def _restore_training(self, delivery: Delivery) -> Training:
        state = None
        async for _, records in self._log.read_back(self._topics.trainer_changelog, [0]):
            for record in records:
                if record.key == STATE_KEY and record.value is not None:
                    state = decode_state(record.value)
        trainer = (
            Trainer(self._trainer_settings, self._initial)
            if state is None
            else Trainer.restore(self._trainer_settings, state.trainer)
        )
        training = Training(
            trainer,
            state,
            delivery,
            self._topics,
            self._settings.partitions,
            self._trainer_settings.sample_size,
            self._trainer_settings.seed,
        )
        await training.announce(Proposal(self._initial))
        return training

    def _open_lane(self, number: int, delivery: Delivery) -> None:
        kept = self._kept[number]
        partition = Partition(
            snapshot=self._follower.snapshot, rules=self._rules, table=kept.table, clock=kept.position.clock
        )
        figures = self.figures.setdefault(number, PartitionCounters())
        lane = PartitionLoop(
            number, partition, kept.position, delivery, self._topics, self._lane_settings, self._now_ms, figures
        )
        self.lanes[number] = lane
        self._intakes[number] = Intake(
            number,
            kept.position.offsets,
            self._decoders,
            is_known=kept.table.holds,
            partition_of=self._partition_of,
        )
        lane.start(self._failed)

    def _follow(self, snapshot: Snapshot) -> None:
        for lane in self.lanes.values():
            lane.follow(snapshot)

    # --- what agents do ------------------------------------------------------------------------------------------

    async def segment(self, chunk: Chunk) -> None:
        """Hand a chunk to its lane; chunks of a partition that is no longer owned are another worker's."""
        intake = self._intakes.get(chunk.partition)
        if intake is not None and intake is chunk.intake:
            self._offer(intake.arrived(chunk))

    def _offer(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            try:
                self.lanes[chunk.partition].offer(chunk)
            except RecordsLost as error:
                self._failed(error)

    async def train(self, offset: int, value: bytes | None) -> None:
        """Let the trainer have a sample."""
        if self.training is None:
            return
        try:
            await self.training.take(offset, value)
        except Exception as error:  # the trainer's memory may be ahead of the log
            self._failed(error)

    # --- BridgeHost ------------------------------------------------------------------------------------------------

    @property
    def inputs(self) -> Sequence[str]:
        """See `BridgeHost`."""
        return self._topics.inputs

    @property
    def changelog(self) -> str:
        """See `BridgeHost`."""
        return self._topics.changelog

    def wants(self, topic: str, partition: int) -> bool:
        """See `BridgeHost`."""
        intake, lane = self._intakes.get(partition), self.lanes.get(partition)
        if intake is None or lane is None or intake.is_full(topic):
            return False
        return lane.waiting_records < self._lane_settings.transaction_records_max

    def has_backlog(self, number: int) -> bool:
        """Return whether records of a partition are fetched and not written yet."""
        intake, lane = self._intakes.get(number), self.lanes.get(number)
        if lane is None or intake is None:
            return False
        return lane.is_busy or intake.held_records > 0 or intake.given_out_to != lane.offered_to

    def expected_offset(self, topic: str, partition: int) -> int | None:
        """See `BridgeHost`."""
        intake = self._intakes.get(partition)
        return None if intake is None else intake.fetched_to(topic)

    def feed(self, topic: str, partition: int, records: Sequence[Any]) -> None:
        """See `BridgeHost`."""
        intake = self._intakes.get(partition)
        if intake is not None:
            intake.feed(topic, records, self._now_ms())
            self.lanes[partition].arrivals.note(topic, records[-1].offset + 1, records[0].timestamp, len(records))

    def skip(self, topic: str, partition: int, offset: int, log_start: int) -> None:
        """See `BridgeHost`."""
        intake = self._intakes.get(partition)
        if intake is None:
            return
        expected = intake.fetched_to(topic)
        if log_start > expected:
            self._failed(RecordsLost(_expired(topic, partition, expected, log_start)))
        logger.info("%s[%d]: no records from %d to %d in the log", topic, partition, expected, offset - 1)
        intake.skip_to(topic, offset)

    def take(self, drained: frozenset[tuple[str, int]]) -> Iterable[Chunk]:
        """See `BridgeHost`."""
        for number, intake in list(self._intakes.items()):
            if self._intakes.get(number) is not intake:
                return  # let go while Faust had stopped in the middle of this loop
            now_seconds = asyncio.get_running_loop().time()
            if overdue := intake.overdue(now_seconds - OVERDUE_SECONDS):
                logger.warning(
                    "partition %d: Faust has not delivered %d chunks, they are taken now", number, len(overdue)
                )
                self._offer(overdue)
            drained_topics = {topic for topic in self.inputs if (topic, number) in drained}
            yield from intake.take(drained_topics, self._lane_settings.chunk_records_max, now_seconds)
            if number in self.lanes:
                self.lanes[number].note_drained(len(drained_topics) == len(self.inputs) and not intake.held_records)

    def start_offsets(self) -> Mapping[tuple[str, int], int]:
        """See `BridgeHost`."""
        offsets = {
            (topic, number): intake.fetched_to(topic)
            for number, intake in self._intakes.items()
            for topic in self.inputs
        }
        if self.training is not None:
            offsets[self._topics.samples, 0] = self.training.next_sample
        return offsets

    def committable(self, drained_positions: Mapping[tuple[str, int], int]) -> Mapping[tuple[str, int], int]:
        """See `BridgeHost`."""
        offsets = dict(self._left_at)
        for number, lane in self.lanes.items():
            intake = self._intakes[number]
            is_settled = not lane.is_busy and not intake.held_records
            for topic, offset in lane.committed.offsets.items():
                position = drained_positions.get((topic, number))
                is_at_end = is_settled and position is not None and intake.fetched_to(topic) == offset
                offsets[topic, number] = position if is_at_end and position is not None else offset
        if self.training is not None:
            offsets[self._topics.samples, 0] = self.training.next_sample
        return offsets


def _from_log_start(position: PartitionPosition, starts: Mapping[str, int], number: int) -> PartitionPosition:
    """Return a position that names an offset for every input topic.

    Raises
    ------
    RecordsLost
        If a topic begins behind its position.
    """
    for topic, offset in position.offsets.items():
        if topic in starts and starts[topic] > offset:
            raise RecordsLost(_expired(topic, number, offset, starts[topic]))
    offsets = {topic: position.offsets.get(topic, start) for topic, start in starts.items()}
    return PartitionPosition(offsets, position.clock, position.model_version)


def _expired(topic: str, partition: int, expected: int, log_start: int) -> str:
    return f"{topic}[{partition}]: records {expected} to {log_start - 1} expired before they were read (retention)"
