"""Following the output topics into the view.

There is one loop. It attaches to a generation of the view, seeks the topics to the positions stored in it, and writes
records until something does not fit: Redis is away, was emptied, lost its last writes in a failover, or another
generation has replaced this one. Then it attaches again. Memory holds only records in flight, so nothing else needs
repair; while Redis is away nothing is read.

A new generation is built in the order memberships and figures, then migrations and notices: a reason is kept only where
there is a membership, so that a customer who was deleted does not come back by an old migration.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream_app.adapters.kafka_client import KafkaConnection, committed_reader
from stream_app.adapters.metrics import Metrics, package_version
from stream_app.adapters.metrics.declared import END_TO_END_LATENCY, REDIS_ERRORS, VIEW_RECORDS
from stream_app.adapters.redis_client import REDIS_FAILURES
from stream_app.adapters.topics import TopicNames
from stream_app.adapters.view_schema import FollowerCondition
from stream_app.adapters.wall_clock import now_ms
from stream_app.core.local_days import UTC
from stream_app.view.records import (
    FIGURES,
    MEMBERSHIPS,
    MIGRATIONS,
    MODELS,
    REFUSED,
    SAMPLES,
    UPCOMING,
    Record,
    ViewBatch,
    batch_of,
)
from stream_app.view.target import Attachment, ViewChanged, ViewTarget

logger = logging.getLogger(__name__)

POLL_MS: Final = 200
"""An idle view looks so often whether something has come, and whether it still exists."""
FETCHED_RECORDS: Final = 4_000
"""Most records written in one round trip to Redis."""
BEAT_SECONDS: Final = 1.0
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 2.0
"""Between two attempts to reach Redis, with jitter."""
HANDOVER_PAUSE_SECONDS: Final = 0.02


@dataclass(frozen=True)
class FollowerSettings:
    """How the view is followed.

    Parameters
    ----------
    partitions
        Of the keyed topics.
    chunk_records
        Most records that one script writes: Redis serves nobody else meanwhile.
    timezone
        By whose days migrations are counted.
    """

    partitions: int
    chunk_records: int = 500
    timezone: str = UTC


class ViewFollower:
    """Keeps the view.

    Parameters
    ----------
    connection
        The Kafka cluster.
    topics
        Names of the topics.
    target
        The view.
    settings
        How it is followed.
    metrics
        Where it is counted.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        topics: TopicNames,
        target: ViewTarget,
        settings: FollowerSettings,
        metrics: Metrics,
    ) -> None:
        self._connection = connection
        self._target = target
        self._settings = settings
        self._metrics = metrics
        self._kinds = {
            topics.memberships: MEMBERSHIPS,
            topics.migrations: MIGRATIONS,
            topics.models: MODELS,
            topics.figures: FIGURES,
            topics.upcoming: UPCOMING,
            topics.dead_letters: REFUSED,
            topics.samples: SAMPLES,
        }
        keyed = [
            TopicPartition(topic, partition)
            for topic in (topics.memberships, topics.figures, topics.migrations, topics.upcoming, topics.dead_letters)
            for partition in range(settings.partitions)
        ]
        self._all = [TopicPartition(topics.models, 0), TopicPartition(topics.samples, 0), *keyed]
        self._late = [tp for tp in keyed if tp.topic in (topics.migrations, topics.upcoming)]
        self._next: dict[TopicPartition, int] = {}
        self._written: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._waiting_since_ms: int | None = None
        self._current_at = time.monotonic()
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self.state = "starting"
        """`current`, or the reason why it is not."""
        self.has_been_current = False

    @property
    def staleness_seconds(self) -> float:
        """Age of the oldest record that is not in the view, as far as known; time since it was, where it is not."""
        if self._waiting_since_ms is not None:
            return max(0.0, (now_ms() - self._waiting_since_ms) / 1_000)
        silent = time.monotonic() - self._current_at
        return silent if silent > 2 * BEAT_SECONDS else 0.0

    @property
    def lag(self) -> dict[tuple[str, int], int]:
        """By topic and partition, the distance from the view's position to the end of the committed records.

        As in every lag of Kafka, the markers of transactions in between count. Nothing is known before the view was
        reached for the first time.
        """
        return {(tp.topic, tp.partition): max(self._ends[tp] - at, 0) for tp, at in self._written.items()}

    def _condition(self) -> FollowerCondition:
        """Return what the view says about this process."""
        lag: Counter[str] = Counter()
        for (topic, _), records in self.lag.items():
            lag[self._kinds[topic]] += records
        return FollowerCondition(package_version(), self.state, round(self.staleness_seconds, 3), dict(lag))

    async def run(self) -> None:
        """Follow without end."""
        await self._keep_at_it(is_rebuild=False)

    async def rebuild(self) -> None:
        """Build a new generation, put it in place, and return."""
        await self._keep_at_it(is_rebuild=True)

    async def _keep_at_it(self, *, is_rebuild: bool) -> None:
        """Attach and follow again and again, until a rebuild is done."""
        while True:
            try:
                async with committed_reader(self._connection) as consumer:
                    consumer.assign(self._all)
                    while not await self._is_done(consumer, is_rebuild=is_rebuild):
                        pass
                    return
            except KafkaError as error:
                await self._pause("Kafka", error)

    async def _is_done(self, consumer: AIOKafkaConsumer, *, is_rebuild: bool) -> bool:
        """Attach and follow until something no longer fits; return whether that is because all is done."""
        try:
            attached = await self._attach(consumer, is_fresh=is_rebuild)
            if attached.is_building:
                await self._build(consumer, attached, is_forced=is_rebuild)
            if is_rebuild:
                await self._target.delete_others()
                return True
            await self._follow(consumer, attached.generation)
        except ViewChanged as change:
            logger.info("attaching to the view again: %s", change)
            await asyncio.sleep(HANDOVER_PAUSE_SECONDS)
        except REDIS_FAILURES as error:
            self._metrics.inc(REDIS_ERRORS, operation="view")
            await self._look_ahead(consumer)
            await self._pause("Redis", error)
        return False

    async def _look_ahead(self, consumer: AIOKafkaConsumer) -> None:
        """Find out where the topics end now: while nothing is read, no fetch tells."""
        if self._written:
            self._ends |= await consumer.end_offsets(self._all)

    async def _pause(self, server: str, error: Exception) -> None:
        """Wait before the next attempt; an outage is logged once."""
        state = f"{server} does not answer"
        if self.state != state:
            logger.warning("%s: %s", state, type(error).__name__)
        self.state = state
        await asyncio.sleep(self._pause_seconds * random.uniform(0.5, 1))
        self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)

    async def _attach(self, consumer: AIOKafkaConsumer, *, is_fresh: bool) -> Attachment:
        """Find the generation to write, and seek to its positions."""
        fields = {self._field(tp): tp for tp in self._all}
        await self._target.check()
        attached = await self._target.attach(list(fields), is_fresh=is_fresh)
        ends = await consumer.end_offsets(self._all)
        if any(attached.positions[field] > ends[tp] for field, tp in fields.items()):
            logger.warning("the topics end before the view's position, so they were recreated; the view is rebuilt")
            await self._target.discard()
            attached = await self._target.attach(list(fields))
        for field, tp in fields.items():
            self._next[tp] = attached.positions[field]
            consumer.seek(tp, self._next[tp])
        self._written, self._ends = dict(self._next), dict(ends)
        consumer.resume(*self._late)
        self._pause_seconds, self.state = FIRST_PAUSE_SECONDS, "catching up"
        return attached

    async def _build(self, consumer: AIOKafkaConsumer, attached: Attachment, *, is_forced: bool) -> None:
        """Fill a new generation and let it be read."""
        self.state = "the view is being built"
        generation, started = attached.generation, time.monotonic()
        for part in ([tp for tp in self._all if tp not in self._late], self._all):
            held_back = [tp for tp in self._all if tp not in part]
            consumer.pause(*held_back)
            consumer.resume(*part)
            ends = await consumer.end_offsets(part)
            while not await self._has_reached(consumer, ends):
                await self._take(consumer, generation)
                if not is_forced and not await self._target.is_needed(attached):
                    raise ViewChanged("another follower was faster")
        while True:
            await self._target.announce_handover(generation)
            announced = time.monotonic()
            while time.monotonic() - announced < 1:  # the old one stands still: its position is soon reached
                if await self._target.swap(generation):
                    seconds = time.monotonic() - started
                    logger.info("the view is rebuilt after %.1f s", seconds, extra={"seconds": round(seconds, 1)})
                    return
                await self._take(consumer, generation)

    async def _follow(self, consumer: AIOKafkaConsumer, generation: str) -> None:
        deleting, started = asyncio.create_task(self._delete_others()), time.monotonic()
        try:
            beaten = 0.0
            while True:
                await self._take(consumer, generation)
                if time.monotonic() - beaten > BEAT_SECONDS:
                    await self._target.beat(generation, self._condition())
                    await self._target.forget()
                    beaten = time.monotonic()
                if all(self._written[tp] >= self._ends[tp] for tp in self._all):
                    if self.state != "current":
                        seconds = time.monotonic() - started
                        logger.info("caught up after %.1f s", seconds, extra={"seconds": round(seconds, 1)})
                    self._waiting_since_ms, self._current_at, self.state = None, time.monotonic(), "current"
                    self.has_been_current = True
        finally:
            deleting.cancel()

    async def _delete_others(self) -> None:
        """Delete former generations, beside the following: a million customers take a while."""
        with suppress(*REDIS_FAILURES):  # the loop meets it, too; the next attachment resumes
            deleted = await self._target.delete_others()
            if deleted:
                logger.info("deleted %d keys of former generations", deleted)

    async def _take(self, consumer: AIOKafkaConsumer, generation: str) -> None:
        """Write the records that have come, or wait a little."""
        fetched: Mapping[TopicPartition, Sequence[Record]] = await consumer.getmany(
            timeout_ms=POLL_MS, max_records=FETCHED_RECORDS
        )
        batches = [batch for tp, records in fetched.items() for batch in self._batches(tp, records)]
        if batches:
            self._waiting_since_ms = min(batch.oldest_ms for batch in batches)
            written = await self._target.apply(generation, batches)
            self._count(batches, written)
        await self._note_places(consumer)

    async def _note_places(self, consumer: AIOKafkaConsumer) -> None:
        """Note how far the view is, which holds everything that was read, and where the topics end."""
        for tp in self._all:
            self._written[tp] = await consumer.position(tp)  # past a transaction's marker, too
            end = consumer.last_stable_offset(tp)
            if end is not None:  # that of a paused partition may be old
                self._ends[tp] = max(end, self._ends[tp])

    def _batches(self, tp: TopicPartition, records: Sequence[Record]) -> list[ViewBatch]:
        size, kind, batches = self._settings.chunk_records, self._kinds[tp.topic], []
        for start in range(0, len(records), size):
            part = records[start : start + size]
            batch = batch_of(kind, tp.partition, self._next[tp], part, self._settings.timezone)
            self._next[tp] = batch.next
            batches.append(batch)
        return batches

    def _count(self, batches: Sequence[ViewBatch], written: int) -> None:
        total = sum(batch.size for batch in batches)
        self._metrics.inc(VIEW_RECORDS, written, topic="outputs", outcome="written")
        self._metrics.inc(VIEW_RECORDS, total - written, topic="outputs", outcome="superseded")
        latency = self._metrics.distribution(END_TO_END_LATENCY, sink="redis")
        for batch in batches:
            latency.observe(max(0.0, (now_ms() - batch.oldest_ms) / 1_000), max(1, batch.size))

    async def _has_reached(self, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
        for tp, end in ends.items():
            if await consumer.position(tp) < end:
                return False
        return True

    def _field(self, tp: TopicPartition) -> str:
        return f"{self._kinds[tp.topic]}/{tp.partition}"
