"""A log in memory with transactions and fencing, lanes on it, and records to feed them with."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec
import numpy as np

from stream_app.adapters.changelog import FENCE_KEY, POSITION_KEY, PartitionPosition
from stream_app.adapters.delivery import Outgoing, OutgoingRecord
from stream_app.adapters.record_blocks import RecordBlock
from stream_app.adapters.topics import TopicNames
from stream_app.bootstrap.worker import create_lane_settings
from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.customers import CustomerTable
from stream_app.core.events import ENGAGEMENT, PROFILE, Event
from stream_app.core.kept import read_kept
from stream_app.core.partition import Partition
from stream_app.core.records import Batch, Content, batch_of
from stream_app.core.segmentation import Segmentation
from stream_app.errors import DeliveryFailed
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.settings.loading import load_settings
from stream_app.worker.intake import InputChunk
from stream_app.worker.loop_settings import LoopSettings
from stream_app.worker.partition_loop import PartitionLoop
from stream_app.worker.ticks import Ticks
from tests.support.models import prior_model

TOPICS = TopicNames("t-", "segmenter")
PATIENCE_SECONDS = 300
"""Only ever waited for in full by a test that fails."""


class Record(NamedTuple):
    """A record of an input topic, as fetched."""

    offset: int
    value: bytes | None
    key: bytes | None = b"c1"
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


def payload(event: Event) -> bytes:
    """Return an event as its record's value."""
    at = np.datetime_as_string(np.datetime64(event.at_ms, "ms"), unit="ms") + "Z"
    if event.kind == PROFILE:
        traits = dict(read_kept(event.kept))
        return json.dumps({"customer_id": event.customer_id, "observed_at": at, "traits": traits}).encode()
    record: dict[str, Any] = {
        "event_id": event.event_id,
        "customer_id": event.customer_id,
        "occurred_at": at,
        "type": event.type,
    }
    if event.kind != ENGAGEMENT:
        record |= {"order_id": event.order_id, "total": f"{event.amount_minor / 100:.2f}", "currency": "EUR"}
    return json.dumps(record).encode()


async def until(condition: Callable[[], bool], what: str) -> None:
    """Let others run until a condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        await asyncio.sleep(0.001)


class MemoryLog:
    """What was written; a `StateLog`.

    Attributes
    ----------
    records
        By topic and partition, in order.
    transactions
        The same, one each.
    reading
        Cleared, `read_back` stops after the first records until it is set.
    starts
        First offsets of input topics.
    announced
        Versions of segmentations that followers have read.
    """

    def __init__(self) -> None:
        self.records: defaultdict[tuple[str, int], list[OutgoingRecord]] = defaultdict(list)
        self.transactions: list[Outgoing] = []
        self.epochs: dict[str, int] = {}
        self.reading = asyncio.Event()
        self.reading.set()
        self.read_backs: list[tuple[str, tuple[int, ...]]] = []
        self.starts: dict[str, int] = {}
        self.deliveries: list[MemoryDelivery] = []
        self.announced: list[OutgoingRecord] = []

    def delivery(self, transactional_id: str) -> MemoryDelivery:
        self.deliveries.append(MemoryDelivery(self, transactional_id))
        return self.deliveries[-1]

    async def read_back(self, topic: str, partitions: Sequence[int]) -> AsyncIterator[tuple[int, RecordBlock]]:
        self.read_backs.append((topic, tuple(partitions)))
        for number in partitions:
            records = self.records[topic, number]
            records.append(OutgoingRecord(FENCE_KEY, b"token"))
            half = len(records) // 2
            yield number, RecordBlock.to_send(records[:half])
            await self.reading.wait()
            yield number, RecordBlock.to_send(records[half:])

    async def log_starts(self, topics: Sequence[str], partition: int) -> Mapping[str, int]:  # noqa: ARG002
        return {topic: self.starts.get(topic, 0) for topic in topics}

    def values(self, topic: str, partition: int = 0) -> list[dict[str, Any]]:
        """Return the JSON values of a topic's partition."""
        return [json.loads(record.value or b"null") for record in self.records[topic, partition]]

    def restored(self, number: int = 0, timezone: str = "UTC") -> tuple[CustomerTable, PartitionPosition]:
        """Return what a partition's changelog says, read on its own."""
        return replay(self.records[TOPICS.changelog, number], timezone)


def replay(records: Iterable[OutgoingRecord], timezone: str = "UTC") -> tuple[CustomerTable, PartitionPosition]:
    """Return the state and position that changelog records lead to."""
    table, position = CustomerTable(timezone=timezone), PartitionPosition()
    for record in records:
        key, value = record.key, record.value
        assert value is not None
        assert key is not None
        if key == POSITION_KEY:
            position = PartitionPosition.decode(value)
        elif key != FENCE_KEY:
            table.restore(key.decode(), value)
    return table, position


class MemoryDelivery:
    """Writes to a `MemoryLog`, unless a newer one of the same name has been opened.

    Attributes
    ----------
    answering
        Cleared, commits wait.
    begun
        Number of commits that were asked for.
    left
        So many commits succeed; None for all.
    """

    def __init__(self, log: MemoryLog, name: str = "0") -> None:
        self.log = log
        self.name = name
        self.answering = asyncio.Event()
        self.answering.set()
        self.begun = 0
        self.left: int | None = None
        self.is_closed = False
        self._epoch = -1

    async def open(self) -> None:
        self._epoch = self.log.epochs[self.name] = self.log.epochs.get(self.name, -1) + 1

    @property
    def identity(self) -> tuple[int, int]:
        return 7, self._epoch

    async def commit(self, outgoing: Outgoing) -> None:
        assert not self.is_closed
        self.begun += 1
        await asyncio.sleep(0)
        await self.answering.wait()
        if self.left == 0 or self.log.epochs.get(self.name, -1) != self._epoch:
            raise DeliveryFailed("not known to be committed")
        if self.left is not None:
            self.left -= 1
        written = {
            place: [OutgoingRecord(record.key, record.value, list(record.headers)) for record in records]
            for place, records in outgoing.items()
        }
        for place, records in written.items():
            self.log.records[place].extend(records)
        self.log.transactions.append(written)

    async def close(self) -> None:
        self.is_closed = True


class Clock:
    """A wall clock that is set by hand."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


def lane_settings(**changes: Any) -> LoopSettings:
    """Return the settings of a lane whose time is that of the events, each of which is believed."""
    defaults: dict[str, Any] = {"follows_wall_clock": False, "model_moves_per_second": 1_000_000, "tick_wait_ms": 0}
    defaults |= {"live_tick_wait_ms": 0, "gap_ms": 36_500 * DAY_MS}
    return replace(create_lane_settings(load_settings(None)), **(defaults | changes))


@dataclass
class Stage:
    """A lane with all that it stands on."""

    log: MemoryLog
    delivery: MemoryDelivery
    lane: PartitionLoop
    clock: Clock
    failures: list[BaseException]
    ticks: Ticks

    @property
    def table(self) -> CustomerTable:
        return self.lane.partition.table

    @property
    def is_done(self) -> bool:
        """Whether all chunks are folded and written."""
        return self.lane.folded_to == self.lane._offered_to and not self.lane.is_busy

    async def idle(self) -> None:
        """Let the lane fold and write all that it has."""
        await until(lambda: bool(self.failures) or self.is_done, "an idle lane")
        assert self.failures == []


async def open_stage(
    log: MemoryLog | None = None,
    settings: LoopSettings | None = None,
    now_ms: int = 0,
    snapshot: Model | None = None,
    delivery: MemoryDelivery | None = None,
    segmentation: Segmentation | None = None,
    timezone: str = "UTC",
) -> Stage:
    """Open a lane where a log stands."""
    log = log or MemoryLog()
    delivery = delivery or MemoryDelivery(log)
    await delivery.open()
    table, position = log.restored(timezone=timezone)
    position = replace_offsets(position)
    partition = Partition(
        [segmentation or LearnedSegmentation(snapshot or prior_model())], table=table, clock=position.clock
    )
    clock = Clock(now_ms)
    ticks = Ticks()
    lane = PartitionLoop(0, partition, position, delivery, TOPICS, settings or lane_settings(), ticks, clock)
    ticks.subscribe(lane.wake)
    stage = Stage(log, delivery, lane, clock, [], ticks)
    lane.start(stage.failures.append)
    return stage


def replace_offsets(position: PartitionPosition) -> PartitionPosition:
    """Return a position that names an offset for every input topic."""
    offsets = {topic: position.offsets.get(topic, 0) for topic in TOPICS.inputs}
    return msgspec.structs.replace(position, offsets=offsets)


class Feed:
    """Makes chunks that follow on one another; engagements come on a topic of their own."""

    def __init__(self, position: PartitionPosition | None = None) -> None:
        self.offsets = dict((position or replace_offsets(PartitionPosition())).offsets)
        self._watermark_ms = NO_TIME

    def chunk(self, *contents: Content) -> InputChunk:
        start = dict(self.offsets)
        sources, offsets, watermarks_ms = [], [], []
        for content in contents:
            source = int(isinstance(content, Event) and content.kind == ENGAGEMENT)
            topic = TOPICS.inputs[source]
            if isinstance(content, Event):
                self._watermark_ms = max(self._watermark_ms, content.at_ms)
            sources.append(source)
            offsets.append(self.offsets[topic])
            watermarks_ms.append(self._watermark_ms)
            self.offsets[topic] += 1
        made = batch_of(contents, 0, offsets, NO_TIME)
        made.records["source"] = sources
        batch = Batch(np.array(watermarks_ms, np.int64), made.records, made.texts, made.others)
        return InputChunk(0, batch, start, dict(self.offsets))
