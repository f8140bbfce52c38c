"""Small deployments that never ran: inputs, and what a faultless worker would have written about them.

The worker here is the core and a loop. What it wrote is a list of appends, which a test changes to seed a breach and
then hands to an audit, in memory or through a real broker.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from aiokafka.partitioner import murmur2

from stream_app.adapters.changelog import FENCE_KEY, POSITION_KEY, PartitionPosition
from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.adapters.topics import TopicNames
from stream_app.audit.reading import Bounds
from stream_app.audit.records import LogRecord
from stream_app.audit.verification import Deployment, Verification, audit
from stream_app.contracts.dead_letters import dead_letter
from stream_app.contracts.decoding import Decoder
from stream_app.contracts.inputs.table import INPUT_CONTRACTS
from stream_app.contracts.policy import DecodingPolicy
from stream_app.core.clock import DAY_MS, format_instant
from stream_app.core.events import Event, Position, pack_events
from stream_app.core.partition import Partition
from stream_app.core.processor import Outcome, process_events, sweep
from stream_app.core.segmentation import Segmentation
from stream_app.errors import InvalidRecord
from stream_app.segmentations.describing import NO_CHUNK, Chunk, Describer
from stream_app.segmentations.ended import EndedSegmentation
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.registry import KINDS, counted_by, encode_segmentation, fields_looked_at
from stream_app.worker.figures import PartitionFigures
from stream_app.worker.outbox import Outbox
from tests.contracts.records import ENGAGEMENT, PURCHASE
from tests.support.events import START_MS

VALUE = LearnedSegmentation(Model("value"))
PARTITIONS = 2
CHUNK = 16


def decoders_keeping(fields: Sequence[str] = ()) -> dict[str, Decoder]:
    policy = DecodingPolicy(kept=tuple(fields))
    return {topic: Decoder(contract, policy) for topic, contract in INPUT_CONTRACTS.items()}


DECODERS = decoders_keeping()


def partition_of(key: bytes, partitions: int = PARTITIONS) -> int:
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


@dataclass(frozen=True)
class Append:
    """A record on its way to a log."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int = START_MS
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.value or b""))

    def with_json(self, **changes: Any) -> Append:
        return replace(self, value=json.dumps(self.json | changes).encode())


@dataclass
class Story:
    """Inputs, then transactions of a worker, then its group's offsets."""

    names: TopicNames
    partitions: int = PARTITIONS
    timezone: str = "UTC"
    inputs: list[Append] = field(default_factory=list)
    transactions: list[list[Append]] = field(default_factory=list)
    fences: list[Append] = field(default_factory=list)
    committed: dict[tuple[str, int], int] = field(default_factory=dict)

    def written(self, topic: str) -> list[Append]:
        return [append for transaction in self.transactions for append in transaction if append.topic == topic]

    def change(self, old: Append, *new: Append) -> None:
        """Put other appends in the place of one."""
        for transaction in (*self.transactions, self.inputs):
            for index, append in enumerate(transaction):
                if append is old:
                    transaction[index : index + 1] = new
                    return
        raise AssertionError("no such append")

    def change_all(self, topic: str, new: Callable[[Append], Append]) -> None:
        for append in self.written(topic):
            self.change(append, new(append))

    def logs(self) -> dict[tuple[str, int], list[LogRecord]]:
        """Return every log, with a gap for each transaction's marker."""
        logs: dict[tuple[str, int], list[LogRecord]] = defaultdict(list)
        ends: dict[tuple[str, int], int] = defaultdict(int)
        for transaction in ([*self.inputs], [*self.fences], *self.transactions):
            for append in transaction:
                at = append.topic, append.partition
                record = LogRecord(ends[at], append.timestamp_ms, append.key, append.value, append.headers)
                logs[at].append(record)
                ends[at] += 1
            if transaction and transaction[0].topic not in self.names.inputs:
                for at in {(append.topic, append.partition) for append in transaction}:
                    ends[at] += 1
        return logs


@dataclass
class MemoryReader:
    """Gives logs from memory, a few records at a time."""

    logs: dict[tuple[str, int], list[LogRecord]]

    async def read(self, topic: str, partition: int, bounds: Bounds) -> AsyncIterator[list[LogRecord]]:
        first, end = bounds[topic, partition]
        records = [record for record in self.logs.get((topic, partition), []) if first <= record.offset < end]
        for start in range(0, len(records), 7):
            yield records[start : start + 7]


async def audited(story: Story, is_drained: bool = True, first: int = 0, timezone: str = "") -> Verification:
    """Audit a story in memory; `first` is where all migration logs begin, `timezone` the one that is set."""
    names = story.names
    logs = story.logs()
    keyed = *names.inputs, names.changelog, names.migrations, names.memberships, names.figures, names.dead_letters
    partitions = [(topic, p) for topic in keyed for p in range(story.partitions)]
    partitions += [(names.models, 0), (names.samples, 0)]
    bounds = {
        at: (first if at[0] == names.migrations else 0, logs[at][-1].offset + 2 if logs[at] else 0) for at in partitions
    }
    wanted = timezone or story.timezone
    deployment = Deployment(KafkaConnection("nowhere:1"), names, story.partitions, decoders_keeping, timezone=wanted)
    return await audit(deployment, MemoryReader(logs), bounds, story.committed, is_drained)


# --- inputs -----------------------------------------------------------------------------------------------------


def record_of(topic: str, number: int, customer_id: str, day: float, **changes: Any) -> Append:
    """Return a valid record without a partition; `topic` is the contract's."""
    at_ms = START_MS + round(day * DAY_MS)
    own: dict[str, Any] = {"event_id": f"{topic} {number}", "customer_id": customer_id}
    own["occurred_at"] = format_instant(at_ms)
    if topic == "purchases":
        own["order_id"] = f"order {number}"
    base = PURCHASE if topic == "purchases" else ENGAGEMENT
    value = json.dumps(base | own | changes).encode()
    return Append(topic, partition_of(customer_id.encode()), customer_id.encode(), value, at_ms)


def drawn_inputs(customers: int, events: int, seed: int = 0) -> Iterator[Append]:
    """Give records of every kind: orders and what becomes of them, engagements, repetitions, bad ones, tombstones."""
    drawn = random.Random(seed)
    orders: dict[str, list[int]] = defaultdict(list)
    for number in range(events):
        customer_id = f"c{int(customers * drawn.random() ** 2)}"
        day = number * 400 / events
        if drawn.random() < 0.6:
            record = record_of("engagements", number, customer_id, day)
        elif orders[customer_id] and drawn.random() < 0.2:
            order = drawn.choice(orders[customer_id])
            changes = {"order_id": f"order {order}", "total": drawn.choice(["19.99", "5.00"])}
            types = ["order_refunded"] * 6 + ["order_updated", "order_completed", "order_cancelled"]
            changes["type"] = drawn.choice(types)
            record = record_of("purchases", number, customer_id, day, **changes)
        else:
            orders[customer_id].append(number)
            record = record_of("purchases", number, customer_id, day)
        yield record
        fate = drawn.random()
        if fate < 0.02:
            yield record
        elif fate < 0.03:
            yield replace(record, value=(record.value or b"")[:-3])
        elif fate < 0.035:
            yield replace(record, value=None)
        elif fate < 0.04:
            yield record_of(record.topic, number, customer_id, day, event_id=None)
        elif fate < 0.045:
            yield replace(record, key=b"somebody else")


# --- the worker -------------------------------------------------------------------------------------------------


def told(
    inputs: Iterable[Append],
    prefix: str = "t-",
    partitions: int = PARTITIONS,
    unread: int = 0,
    chunk: int = CHUNK,
    segmentations: Sequence[Segmentation] = (VALUE,),
    later: Sequence[Segmentation] = (),
    counted_since: bool = False,
    timezone: str = "UTC",
) -> Story:
    """Return what a faultless worker writes, chunk by chunk.

    Parameters
    ----------
    inputs
        Records of the contracts' topics, in the order of arrival.
    unread
        So many of each partition's last records are not folded yet.
    segmentations
        Which customers are divided by.
    later
        What takes over after the last record, one after the other: new versions, new segmentations, or ends of some.
    counted_since
        Whether positions say since when events are counted for what takes over later.
    timezone
        Whose days are counted.
    """
    story = Story(TopicNames(prefix, "segmenter"), partitions, timezone)
    by_partition: dict[int, list[tuple[Append, Position]]] = defaultdict(list)
    ends: dict[tuple[str, int], int] = defaultdict(int)
    for record in inputs:
        append = replace(record, topic=prefix + record.topic)
        customer_id = _customer_of(append, prefix)
        own = append.partition if customer_id is None else partition_of(customer_id.encode(), partitions)
        copies = [append] if append.partition == own else [append, replace(append, partition=own)]
        for copy in copies:
            at = copy.topic, copy.partition
            by_partition[copy.partition].append((copy, Position(*at, ends[at])))
            ends[at] += 1
            story.inputs.append(copy)
    for partition in range(partitions):
        records = by_partition[partition]
        story.fences.append(Append(story.names.changelog, partition, FENCE_KEY, b"token"))
        worker = _Worker(story, partition, segmentations)
        worker.run(records[: len(records) - unread], chunk)
        for days, segmentation in enumerate(later, start=201):
            worker.follow(segmentation, days, counted_since)
    for segmentation in (*segmentations, *later):
        if segmentation.kind in KINDS:
            model = msgspec.json.encode(encode_segmentation(segmentation))
            story.transactions.append([Append(story.names.models, 0, segmentation.name.encode(), model)])
    return story


def _customer_of(append: Append, prefix: str) -> str | None:
    """Return whom a record is about, None if it is refused."""
    decoder = DECODERS[append.topic.removeprefix(prefix)]
    try:
        return decoder.decode(append.value or b"", append.timestamp_ms, append.key).customer_id
    except InvalidRecord:
        return None


class _Worker:
    def __init__(self, story: Story, partition: int, segmentations: Sequence[Segmentation]) -> None:
        self._story = story
        self._partition = partition
        self._state = Partition(segmentations, timezone=story.timezone)
        self._describer = Describer(self._state.context, story.names.group)
        self._members = PartitionFigures(self._state, partition, 0, lambda: 0)
        self._offsets: dict[str, int] = {}
        self._counted_since: dict[str, int] = {}

    def run(self, records: list[tuple[Append, Position]], chunk: int) -> None:
        names = self._story.names
        decoders = decoders_keeping(sorted(fields_looked_at(self._state.segmentations)))
        for start in range(0, len(records), chunk):
            events: list[Event] = []
            positions: list[Position] = []
            transaction: list[Append] = []
            for append, position in records[start : start + chunk]:
                self._offsets[append.topic] = position.offset + 1
                if append.value is None:
                    continue
                decoder = decoders[append.topic.removeprefix(names.prefix)]
                try:
                    event = decoder.decode(append.value, append.timestamp_ms, append.key or b"")
                except InvalidRecord as error:
                    letter = dead_letter(error, append.value, position, append.timestamp_ms).model_dump_json()
                    transaction.append(Append(names.dead_letters, self._partition, append.key, letter.encode()))
                    continue
                if partition_of(event.customer_id.encode(), self._story.partitions) == self._partition:
                    events.append(event)
                    positions.append(position)
            if events:
                taken = self._chunk(events, positions)
                self._apply(process_events(self._state, taken.events), taken, transaction)
            self._commit(transaction)
        if records:
            self._sweep(200)
        for topic, offset in self._offsets.items():
            self._story.committed[topic, self._partition] = offset

    def _chunk(self, events: list[Event], positions: list[Position]) -> Chunk:
        topics = [self._story.names.prefix + topic for topic in DECODERS]
        packed = pack_events(events, [position.offset for position in positions], 0)
        packed.records["source"] = [topics.index(position.topic) for position in positions]
        return Chunk(packed, topics, self._partition)

    def follow(self, segmentation: Segmentation, days: int, counted_since: bool) -> None:
        """Let a version take over, so many days after the last event."""
        self._state.follow(segmentation)
        if counted_since:
            self._counted_since |= dict.fromkeys(counted_by(segmentation), max(self._state.clock))
        self._sweep(days)

    def _sweep(self, days: int) -> None:
        """Let time pass up to so many days after the last event."""
        transaction: list[Append] = []
        self._apply(sweep(self._state, self._state.clock.watermark_ms + days * DAY_MS), NO_CHUNK, transaction)
        self._commit(transaction)

    def _apply(self, outcome: Outcome, taken: Chunk, transaction: list[Append]) -> None:
        names, table = self._story.names, self._state.table
        self._members.note_change()
        for row in outcome.changed.tolist():
            key = table.customer_ids[row].encode()
            transaction.append(Append(names.changelog, self._partition, key, table.encode(row)))
        outbox, topics = Outbox(names, self._partition), (names.migrations, names.memberships)
        outbox.migrate(self._describer.describe_step(self._state, outcome.moves, taken, outcome.facts))
        sealed = outbox.seal(table, PartitionPosition())
        for pair in zip(*(sealed[topic, self._partition] for topic in topics), strict=True):
            for topic, record in zip(topics, pair, strict=True):
                headers = tuple(record.headers)
                transaction.append(Append(topic, self._partition, record.key, record.value, START_MS, headers))

    def _commit(self, transaction: list[Append]) -> None:
        for record in self._members.due():
            transaction.append(Append(self._story.names.figures, self._partition, record.key, record.value))
        present = [each for each in self._state.segmentations if not isinstance(each, EndedSegmentation)]
        versions = {segmentation.name: segmentation.version for segmentation in present}
        position = PartitionPosition(
            dict(self._offsets),
            self._state.clock,
            versions,
            counted_since=self._counted_since,
            timezone=self._story.timezone,
        ).encode()
        transaction.append(Append(self._story.names.changelog, self._partition, POSITION_KEY, position))
        self._story.transactions.append(transaction)
