"""The partitions that this worker owns, from their assignment to their release.

How a partition is opened is in `stream_app.worker.opening`, what happens in it in `partition_loop`, and what Faust
asks of the partitions in `faust_host`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

import numpy as np
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from stream_app.adapters.delivery import Delivery
from stream_app.adapters.topics import TopicNames
from stream_app.adapters.wall_clock import now_ms
from stream_app.contracts.decoding import Decoder
from stream_app.core.moves import MigrationContext
from stream_app.core.partition import Partition
from stream_app.core.placement import places_of_ids
from stream_app.core.segmentation import Segmentation
from stream_app.errors import RecordsLost
from stream_app.learning.sample import PopulationSample
from stream_app.segmentations.ended import EndedSegmentation
from stream_app.worker.counters import PartitionCounters
from stream_app.worker.definition_follower import DefinitionFollower
from stream_app.worker.identity_follower import Changed, IdentityFollower
from stream_app.worker.intake import InputChunk, Intake
from stream_app.worker.loop_settings import LoopSettings
from stream_app.worker.opening import PartitionOpener, RestoredPartition
from stream_app.worker.partition_loop import NO_OFFSETS, PartitionLoop
from stream_app.worker.training import Training

logger = logging.getLogger(__name__)

Decoders = Callable[[Sequence[str]], Mapping[str, Decoder]]
"""From fields of events that are to be kept to decoders by input topic."""
FollowSamples = Callable[[int], AsyncIterator[ConsumerRecord]]


class OwnedPartitions:
    """What Faust's group has assigned to this worker.

    Parameters
    ----------
    opener
        Restores partitions.
    topics
        Names of all topics.
    lane_settings, context
        How loops run, and what migrations say beyond the move itself.
    decoders
        Makes decoders, by input topic, that keep these fields of events.
    partitions
        How many there are.
    follower
        Knows the versions in force.
    failed
        Called with any error that makes it unsafe to continue; it must end the process.
    now_ms
        The wall clock.
    identities
        Knows which ids are one customer's, if statements on them are followed.
    follow_samples
        Reads the samples' topic from an offset on, beside Faust's consumer; the samples of a tick wait for that one
        while it has records of the inputs that are not wanted yet.

    Attributes
    ----------
    lanes, intakes
        By number, the loop of each partition, and what its records go through first.
    training
        The trainer; None if another worker has it.
    is_open
        Whether everything that is assigned is open.
    released_offsets
        By topic and partition, how far the partitions released last were written.
    recovery_seconds
        What the last opening took.
    rebalances
        Number of openings.
    figures
        By number, what was counted in all openings of a partition.
    """

    def __init__(
        self,
        opener: PartitionOpener,
        topics: TopicNames,
        lane_settings: LoopSettings,
        context: MigrationContext,
        decoders: Decoders,
        partitions: int,
        follower: DefinitionFollower,
        failed: Callable[[BaseException], None],
        now_ms: Callable[[], int] = now_ms,
        follow_samples: FollowSamples | None = None,
        identities: IdentityFollower | None = None,
    ) -> None:
        self.lanes: dict[int, PartitionLoop] = {}
        self.intakes: dict[int, Intake] = {}
        self.training: Training | None = None
        self.is_open = False
        self.released_offsets: dict[tuple[str, int], int] = {}
        self.recovery_seconds = 0.0
        self.rebalances = 0
        self.figures: dict[int, PartitionCounters] = {}
        self._opener = opener
        self._topics = topics
        self._lane_settings = lane_settings
        self._context = context
        self._create_decoders = decoders
        self._fields: frozenset[str] = frozenset()
        self._decoders: Mapping[str, Decoder] = {}
        self._partitions = partitions
        self._follower = follower
        self._failed = failed
        self._now_ms = now_ms
        self._opening: asyncio.Task[None] | None = None
        self._follow_samples = follow_samples
        self._reading: asyncio.Task[None] | None = None
        self._handing_over: set[asyncio.Task[None]] = set()
        self._release_lock = asyncio.Lock()
        self._identities = identities
        if identities is not None:
            identities.subscribe(self._follow_identities)
        follower.subscribe(self._follow)
        follower.ticks.subscribe(self._wake)

    # --- opening and releasing -----------------------------------------------------------------------------------

    async def open(self, partitions: Iterable[int], with_trainer: bool) -> None:
        """Open partitions that were assigned; returns early if they are revoked meanwhile."""
        self.rebalances += 1
        await self.release()
        opening = self._opening = asyncio.create_task(self._open(sorted(partitions), with_trainer))
        await asyncio.wait([opening])
        if not opening.cancelled() and (error := opening.exception()) is not None:
            self._failed(error)

    @property
    def is_opening(self) -> bool:
        """Whether an opening is under way; it ends by itself, within the time that it may take."""
        return self._opening is not None and not self._opening.done()

    async def release(self) -> None:
        """Write what is folded and give everything up."""
        async with self._release_lock:  # a stop may come in the middle of a rebalance: it must not overtake it
            await self._release()

    async def _release(self) -> None:
        self.is_open = False
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
            self._reading = None
        lanes, training = list(self.lanes.values()), self.training
        self.lanes, self.training = {}, None
        self.intakes.clear()
        # Cached again only once it is known what is written: if this is broken off, the next opening reads the log.
        restored = self._opener.withdraw(lane.number for lane in lanes)
        try:
            await asyncio.gather(*(lane.close() for lane in lanes))
            self.released_offsets |= {
                (topic, lane.number): offset for lane in lanes for topic, offset in lane.committed.offsets.items()
            }
            if training is not None:
                await training.close()
        except Exception as error:  # of any kind: memory is ahead of the log now
            self._failed(error)
            return
        if numbers := sorted(lane.number for lane in lanes):
            logger.info(
                "partitions %s are given back, all that they did is written", numbers, extra={"partitions": numbers}
            )
        for lane in lanes:
            if lane.number in restored:
                restored[lane.number].position = lane.committed
        self._opener.cache(restored)

    async def _open(self, partitions: Sequence[int], with_trainer: bool) -> None:
        started = time.monotonic()
        opened = await self._opener.open(partitions, with_trainer)
        self.training = opened.training
        if self.training is not None:
            self.training.start(self._failed)
            if self._follow_samples is not None and len(partitions) < self._partitions:
                self._reading = asyncio.create_task(self._read_samples(self._follow_samples, self.training))
        self.released_offsets = {}
        self._keep(self._follower.fields)
        for number, (restored, delivery) in opened.partitions.items():
            self._start(number, restored, delivery)
        self._look_at_identities()
        self.recovery_seconds = time.monotonic() - started
        customers = sum(len(lane.partition.table) for lane in self.lanes.values())
        logger.info(
            "partitions %s are open with %d customers after %.1f s", list(partitions), customers, self.recovery_seconds,
            extra={"partitions": list(partitions), "customers": customers, "seconds": round(self.recovery_seconds, 1)},
        )  # fmt: skip
        self.is_open = True

    def _start(self, number: int, restored: RestoredPartition, delivery: Delivery) -> None:
        table, position = restored.table, restored.position
        known = {*table.names, *table.ruled_names}
        names = dict.fromkeys((*self._follower.names_in_force, *table.names, *table.ruled_names))
        segmentations = [self._segmentation(name) for name in names if name in known]
        partition = Partition(segmentations, self._context, table, position.clock, position.trust)
        figures = self.figures.setdefault(number, PartitionCounters())
        lane = PartitionLoop(
            number,
            partition,
            position,
            delivery,
            self._topics,
            self._lane_settings,
            self._follower.ticks,
            self._now_ms,
            figures,
            self,
            restored.marks,
            self._identities,
        )
        self.lanes[number] = lane
        self.intakes[number] = Intake(
            number,
            position.offsets,
            self._decoders,
            self._partitions,
            self._lane_settings.gap_ms,
            position.clock.watermark_ms,
            self._topics.handovers if self._identities else None,
        )
        lane.start(self._failed)

    def _segmentation(self, name: str) -> Segmentation:
        """Return the version in force of a segmentation; where there is none, nobody is in it."""
        current = self._follower.current.get(name)
        return current or EndedSegmentation(name, self._follower.published.get(name))

    def _keep(self, fields: frozenset[str]) -> None:
        self._fields = fields
        self._decoders = self._create_decoders(sorted(fields))

    def _follow(self, segmentations: Sequence[Segmentation]) -> None:
        """Have all partitions follow new versions, after the records that were decoded without their fields.

        Records that wait in an intake or a loop are not decoded again: that would mean reading the log again. They
        are few, and versions may take over at any position, so these do once all such records are folded.
        """
        missing = self._follower.fields - self._fields
        if missing and self.lanes:
            self._keep(self._fields | missing)  # what continues under an earlier version until then needs its own
        for number, lane in self.lanes.items():
            over = [self._segmentation(name) for name in lane.partition.names if name not in self._follower.current]
            behind = self.intakes[number].renew(self._decoders) if missing else NO_OFFSETS
            lane.follow([*segmentations, *over], behind)

    def _look_at_identities(self) -> None:
        """Have all partitions look at their ids that go by another one: statements may have come in between."""
        if self._identities is not None:
            for number, ids in self._identities.aliases_of(self.lanes).items():
                self.lanes[number].note_identities(ids)

    def _follow_identities(self, changed: Changed) -> None:
        """Have the partitions of ids look at them."""
        ids = list(changed)
        places = places_of_ids(ids, self._partitions)
        for number, lane in self.lanes.items():
            lane.note_identities({ids[index]: changed[ids[index]] for index in np.flatnonzero(places == number)})

    def _wake(self) -> None:
        for lane in self.lanes.values():
            lane.wake()

    # --- what agents do ------------------------------------------------------------------------------------------

    async def segment(self, chunk: InputChunk) -> None:
        """Hand a chunk to its loop; chunks of a partition that is no longer owned are another worker's."""
        intake = self.intakes.get(chunk.partition)
        if intake is not None and intake is chunk.intake:
            self.offer(intake.arrived(chunk))

    def offer(self, chunks: Iterable[InputChunk]) -> None:
        """Have chunks of owned partitions folded; what does not continue what was offered before is a failure."""
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
            await self.training.accept_sample(offset, value)
        except Exception as error:  # the trainer's memory may be ahead of the log
            self._failed(error)

    async def _read_samples(self, follow: FollowSamples, training: Training) -> None:
        """Let the trainer have other workers' samples as soon as they are committed."""
        try:
            async for record in follow(training.next_sample):
                await asyncio.shield(self.train(record.offset, record.value))  # what it writes is never broken off
        except (KafkaError, OSError) as error:
            logger.warning("samples are read by the group's consumer alone from now on: %r", error)

    # --- what loops do -------------------------------------------------------------------------------------------

    def note_drawn(self, partition: int, sample: PopulationSample) -> None:
        """Let the trainer learn from a sample ahead of its transaction, see `SampleTaker`."""
        if self.training is not None:
            self.training.note_drawn(partition, sample)

    def note_committed(self, partition: int, samples: Sequence[PopulationSample]) -> None:
        """Let the trainer have samples without waiting until they are read, see `SampleTaker`."""
        if self.training is not None and samples:
            task = asyncio.create_task(self._hand_over(self.training, partition, samples))
            self._handing_over.add(task)
            task.add_done_callback(self._handing_over.discard)

    async def _hand_over(self, training: Training, partition: int, samples: Sequence[PopulationSample]) -> None:
        try:
            for sample in samples:
                await training.hand_over(partition, sample)
        except Exception as error:  # the trainer's memory may be ahead of the log
            self._failed(error)

    # --- how far it all is ---------------------------------------------------------------------------------------

    @property
    def inputs(self) -> Sequence[str]:
        """Names of the topics whose records change customers."""
        return self._topics.taken_in

    def has_backlog(self, number: int) -> bool:
        """Return whether records of a partition are fetched and not written yet."""
        intake, lane = self.intakes.get(number), self.lanes.get(number)
        if lane is None or intake is None:
            return False
        return lane.is_busy or intake.held_records > 0 or intake.given_out_to != lane.offered_to

    def committable(self, drained_positions: Mapping[tuple[str, int], int]) -> Mapping[tuple[str, int], int]:
        """Return by topic and partition the offset up to which everything is written, see `BridgeHost`."""
        offsets = dict(self.released_offsets)
        for number, lane in self.lanes.items():
            intake = self.intakes[number]
            is_settled = not lane.is_busy and not intake.held_records
            for topic, offset in lane.committed.offsets.items():
                position = drained_positions.get((topic, number))
                is_at_end = is_settled and position is not None and intake.fetched_to(topic) == offset
                offsets[topic, number] = position if is_at_end and position is not None else offset
        if self.training is not None:
            offsets[self._topics.samples, 0] = self.training.next_sample
        return offsets
