"""A worker process: the real `OwnedPartitions` and lane, and around them what Faust would do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from faust.types import TP

from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.contracts.decoding import Decoder
from stream_app.contracts.inputs.identities import IDENTITIES
from stream_app.contracts.inputs.table import INPUT_CONTRACTS
from stream_app.contracts.policy import DecodingPolicy
from stream_app.core.identities import IdentityRules
from stream_app.core.moves import MigrationContext
from stream_app.core.segmentation import Segmentation
from stream_app.core.weaving import Weaver
from stream_app.learning.trainer import TrainerSettings
from stream_app.segmentations.learned.model import DEFAULT_THRESHOLDS
from stream_app.segmentations.registry import build_segmentation
from stream_app.worker.definition_follower import Build, DefinitionFollower
from stream_app.worker.faust_host import FaustHost
from stream_app.worker.identity_follower import IdentityFollower
from stream_app.worker.loop_settings import LoopSettings
from stream_app.worker.opening import PartitionOpener, PartitionSettings
from stream_app.worker.owned import OwnedPartitions
from stream_app.worker.ticks import Ticks
from tests.simulation.consumer import SimulatedConsumer, SimulatedThread
from tests.simulation.group import HEARTBEAT_SECONDS, Assignment
from tests.simulation.memory_log import MemoryDelivery, MemoryStateLog
from tests.simulation.segmentations import LISTS
from tests.support.simulated_loop import CURRENT, Process, ProcessEnded

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

FETCH_SECONDS = 0.4
COMMIT_SECONDS = 0.5
RECOVERY_SECONDS = 20
READ_DELAYS_SECONDS = (0.0, 5.0)
STOP_SECONDS = 2.0
IDENTITY_RULES = IdentityRules(merges_max=6)
DEFAULTS = {**DEFAULT_THRESHOLDS._asdict(), "lists": LISTS}


@cache
def _decoders(fields: tuple[str, ...]) -> Mapping[str, Decoder]:
    policy = DecodingPolicy(kept=fields)
    return {topic: Decoder(contract, policy) for topic, contract in INPUT_CONTRACTS.items()}


def create_decoders(fields: Sequence[str]) -> Mapping[str, Decoder]:
    """Return the decoder of each input contract, which keeps these fields of events."""
    return _decoders(tuple(fields))


@dataclass(frozen=True)
class WorkerParts:
    """Classes that a mutation may replace by faulty ones."""

    delivery: type[MemoryDelivery] = MemoryDelivery
    opener: type[PartitionOpener] = PartitionOpener
    owned: type[OwnedPartitions] = OwnedPartitions
    consumer: type[SimulatedConsumer] = SimulatedConsumer
    follower: type[SimulatedFollower] | None = None
    ends_on_failure: bool = True


class CountedTicks(Ticks):
    """The real ones, which tell of waits."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__()
        self._simulation = simulation

    async def reach(self, at_ms: int, seconds: float) -> bool:
        is_decided = await super().reach(at_ms, seconds)
        self._simulation.figures["waits"] += 1
        self._simulation.figures["expired"] += not is_decided
        return is_decided


class SimulatedFollower(DefinitionFollower):
    """The real one, reading the log in memory; of some workers slowly, so that they are versions behind."""

    ticks_type = CountedTicks

    def __init__(self, simulation: Simulation, process: Process, build: Build) -> None:
        super().__init__(KafkaConnection("nowhere:1"), simulation.topics.models, build)
        self.ticks = self.ticks_type(simulation)
        self.position = 0
        self._log = simulation.log
        self._process = process
        self._delay_seconds = simulation.drawn.choice(READ_DELAYS_SECONDS)

    async def run(self) -> None:
        log = self._log
        partition = log[self._topic, 0]
        news = asyncio.Event()
        partition.watchers.append(news)
        end = partition.stable_end
        while True:
            news.clear()
            records, self.position = await log.ask(
                self._process, f"models from {self.position}", lambda: partition.read(self.position, 100)
            )
            for record in records:
                self._read(record.value, record.key)
            if self.position >= end and not self.is_read.is_set():
                self._finish_reading()
            await news.wait()
            await asyncio.sleep(self._delay_seconds)


class SimulatedIdentityFollower(IdentityFollower):
    """The real one, reading the log in memory; of some workers slowly, so that they know less than others."""

    def __init__(self, simulation: Simulation, process: Process) -> None:
        decoder, weaver = Decoder(IDENTITIES, DecodingPolicy()), Weaver(IDENTITY_RULES)
        topic, connection = simulation.topics.identities, KafkaConnection("nowhere:1")
        super().__init__(connection, topic, decoder, weaver, simulation.partitions)
        self._log = simulation.log
        self._process = process
        self.position = 0
        self._delay_seconds = simulation.drawn_of_identities.choice(READ_DELAYS_SECONDS)

    async def run(self) -> None:
        log = self._log
        partition = log[self.topic, 0]
        news = asyncio.Event()
        partition.watchers.append(news)
        end = partition.stable_end
        while True:
            news.clear()
            records, self.position = await log.ask(
                self._process, f"statements from {self.position}", lambda: partition.read(self.position, 3)
            )
            if records:
                self.read(records)
                continue
            if self.position >= end:
                self.is_read.set()
            await news.wait()
            await asyncio.sleep(self._delay_seconds)


class SimulatedWorker:
    """One process of the deployment; `main` is what it runs."""

    def __init__(
        self, simulation: Simulation, parts: WorkerParts, lane: LoopSettings, trainer: TrainerSettings
    ) -> None:
        self.simulation = simulation
        self._parts = parts
        self._lane_settings = lane
        self.segmentations = simulation.segmentations
        self._trainer_settings = {
            each.name: replace(trainer, segmentation=each.name) for each in self.segmentations if each.kind == "learned"
        }
        self._chunks: deque[Any] = deque()
        self._samples: deque[Any] = deque()

    def _assemble(self) -> None:
        simulation = self.simulation
        topics = simulation.topics
        self.process = CURRENT.get()
        follower = self._parts.follower or SimulatedFollower
        self.follower = follower(simulation, self.process, self._build)
        self.state_log = MemoryStateLog(simulation.log, self.process, self._parts.delivery)
        self.identities = None
        if topics.with_identities:
            self.identities = SimulatedIdentityFollower(simulation, self.process)
        opener = self._parts.opener(
            log=self.state_log,
            topics=topics,
            settings=PartitionSettings(simulation.partitions, RECOVERY_SECONDS),
            trainer_settings=self._trainer_settings,
            follower=self.follower,
            identities=self.identities,
        )
        self.owned = self._parts.owned(
            opener=opener,
            topics=topics,
            lane_settings=self._lane_settings,
            context=MigrationContext(),
            decoders=self._create_decoders,
            partitions=simulation.partitions,
            follower=self.follower,
            failed=self._failed,
            now_ms=simulation.now_ms,
            identities=self.identities,
        )
        host = FaustHost(self.owned, topics, self._lane_settings, self._failed, simulation.now_ms)
        self.thread = SimulatedThread(simulation.log, simulation.group, self.process)
        self.consumer = self._parts.consumer(self.thread, host)
        self._chunk_news, self._sample_news = asyncio.Event(), asyncio.Event()
        self._must_rejoin = asyncio.Event()

    def _build(self, earlier: Mapping[str, Segmentation]) -> list[Segmentation]:
        return [build_segmentation(each, DEFAULTS, earlier.get(each.name)) for each in self.segmentations]

    def _create_decoders(self, fields: Sequence[str]) -> dict[str, Decoder]:
        topics = self.simulation.topics
        return {topics.input_topic(contract): decoder for contract, decoder in create_decoders(fields).items()}

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, ProcessEnded):
            return
        if not self._parts.ends_on_failure:
            self.simulation.step(self.process, f"goes on after {error}")
            self._must_rejoin.set()
            return
        self.simulation.end(self, f"FATAL {type(error).__name__}: {error}")
        raise ProcessEnded

    async def main(self) -> None:
        self._assemble()
        simulation, name = self.simulation, self.process.name
        tasks = [self.follower.run(), self._heartbeats(), self._commits()]
        if self.identities is not None:
            tasks.append(self.identities.run())
        tasks.append(self._agent(self._chunks, self._chunk_news, self._segment))
        tasks.append(self._agent(self._samples, self._sample_news, self._train))
        for task in [asyncio.create_task(task) for task in tasks]:
            task.add_done_callback(self._ended)
        while True:
            assignment = await simulation.group.join(name, simulation.log)
            self._must_rejoin.clear()
            simulation.step(self.process, f"got {assignment}")
            tps = self._tps(assignment)
            self.thread.assign(tps, assignment.generation)
            carrying = asyncio.create_task(self._carry(assignment, tps))
            carrying.add_done_callback(self._ended)
            await self._must_rejoin.wait()
            self.thread.generation = -1
            self._chunks.clear()
            self._samples.clear()
            simulation.step(self.process, "lets go")
            await self.owned.release()
            simulation.step(self.process, "has let go")

    async def stop(self) -> None:
        """Stop gracefully, whatever else goes on: as `run_worker` does at a signal."""
        simulation = self.simulation
        simulation.step(self.process, "stops")
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self.owned.release()
                await self.consumer.force_commit()
        simulation.group.leave(self.process.name)
        simulation.end(self, "stopped")
        raise ProcessEnded

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, ProcessEnded):
            self.simulation.loop.errors.append(error)

    def _tps(self, assignment: Assignment) -> set[TP]:
        topics = self.simulation.topics
        tps = {TP(topic, number) for topic in topics.taken_in for number in assignment.partitions}
        return tps | ({TP(topics.samples, 0)} if assignment.with_trainer else set())

    async def _heartbeats(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            if self.thread.generation >= 0:
                answer = self.simulation.group.heartbeat(self.process.name, self.thread.generation)
                if answer != "stable":
                    self._must_rejoin.set()
            else:
                self.simulation.group.heartbeat(self.process.name, -1)

    async def _commits(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            if self.thread.generation >= 0:
                await self.consumer.force_commit()

    async def _carry(self, assignment: Assignment, tps: set[TP]) -> None:
        """Open what is assigned, then fetch and deliver until the generation ends."""
        simulation = self.simulation
        samples = simulation.topics.samples
        await self.owned.open(assignment.partitions, assignment.with_trainer)
        if self.thread.generation != assignment.generation:
            return
        simulation.step(self.process, "is open")
        await self.consumer.perform_seek()
        while self.thread.generation == assignment.generation:
            fetched = await self.consumer.fetch(tps, FETCH_SECONDS)
            if self.thread.generation != assignment.generation:
                return
            for tp, message in self.consumer.lane_scheduler.iterate(fetched):
                if tp.topic == samples:
                    self._samples.append(message)
                    self._sample_news.set()
                elif not simulation.loses_chunk():
                    self._chunks.append(message)
                    self._chunk_news.set()

    async def _agent(self, queue: deque[Any], news: asyncio.Event, handle: Callable[[Any], Any]) -> None:
        """Do as Faust's agents do with their buffers."""
        while True:
            if not queue:
                news.clear()
                await news.wait()
                continue
            message = queue.popleft()
            await asyncio.sleep(0)
            await handle(message)

    async def _segment(self, message: Any) -> None:
        await self.owned.segment(message.value)

    async def _train(self, record: Any) -> None:
        await self.owned.train(record.offset, record.value)
