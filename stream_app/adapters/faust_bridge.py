"""The bridge into a Faust agent, and the file that knows Faust's and aiokafka's internals.

What Faust is left to do: the consumer group, the assignment of partitions, the consumer and its thread, agents and
their streams. What is ours here: whole chunks instead of single records, positions that come from the state instead
of the group, and group offsets that say how far the state is. `INTERNALS` names everything used that is no public
interface; a test looks each up, so that an upgrade that moves one fails there and not in production. Those of records
and batches are in `record_batches`, which this file puts in place.

A Faust worker restores tables by reading their changelogs record by record. The bridge reports that there is nothing
to restore, and the host does it in bulk when Faust says that a rebalance is complete.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

import faust
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import KafkaError
from aiokafka.producer import sender
from faust.serializers.codecs import Codec, register
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream_app.adapters.bridge_host import BridgeHost, ChunkLike
from stream_app.adapters.record_batches import BlocksOf, FetchedRecords, HeldRecords
from stream_app.adapters.record_blocks import RecordBlock, block_of

_log = logging.getLogger(__name__)

FETCH_WAIT_MS: Final = 50
"""A fetch without data returns after this time. Faust fixes 1500, and a quiet partition then holds up busy ones."""
TRANSACTION_BACKOFF_SECONDS: Final = 0.004
"""How long a producer waits when the markers of its last transaction are not written yet: mostly 2 to 5 ms. aiokafka
fixes 20 ms, which then is most of a small chunk's time."""
FULL_SECONDS: Final = 0.005
"""Where all partitions are full, how long until the next look."""
COMMIT_SECONDS: Final = 2
"""The group's offsets are not worth a longer wait."""
PASS_THROUGH: Final = "stream-segmenter-pass-through"
"""Serializer of what the bridge delivers: the agent gets the very object that the scheduler gave out."""

INTERNALS: Final = (
    "faust.transport.drivers.aiokafka:Consumer._new_consumer_thread",
    "faust.transport.drivers.aiokafka:Transport.Consumer",
    "faust.transport.drivers.aiokafka:Consumer.verify_event_path",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._create_worker_consumer",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._ensure_consumer",
    "faust.transport.consumer:Consumer._add_gap",
    "faust.transport.consumer:Consumer.in_transaction",
    "faust.transport.consumer:ThreadDelegateConsumer._thread",
    "faust.transport.consumer:Consumer.force_commit",
    "faust.transport.consumer:Consumer.perform_seek",
    "faust.transport.consumer:Consumer.scheduler",
    "faust.transport.consumer:ThreadDelegateConsumer._getmany",
    "faust.transport.consumer:ThreadDelegateConsumer.highwaters",
    "faust.transport.consumer:ThreadDelegateConsumer.seek_wait",
    "faust.transport.consumer:ConsumerThread.call_thread",
    "faust.app.base:App.crashed",
    "faust.transport.consumer:Consumer._read_offset",
    "faust.transport.consumer:Consumer._committed_offset",
    "aiokafka:AIOKafkaConsumer._fetch_max_wait_ms",
    "aiokafka:AIOKafkaConsumer._key_deserializer",
    "aiokafka.consumer.fetcher:MemoryRecords",
    "aiokafka.consumer.fetcher:PartitionRecords",
    "aiokafka:AIOKafkaConsumer._subscription",
    "aiokafka:AIOKafkaConsumer._coordinator",
    "aiokafka.consumer.group_coordinator:GroupCoordinator._coordination_task",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._consumer",
    "aiokafka:AIOKafkaProducer._txn_manager",
    "aiokafka.producer.sender:BACKOFF_OVERRIDE",
    "aiokafka.producer.transaction_manager:TransactionManager.producer_id",
    "aiokafka.producer.transaction_manager:TransactionManager.producer_epoch",
    "aiokafka.consumer.subscription_state:SubscriptionState.subscription",
    "aiokafka.consumer.subscription_state:Subscription.assignment",
    "aiokafka.consumer.subscription_state:Assignment.state_value",
    "aiokafka.consumer.subscription_state:TopicPartitionState.has_valid_position",
    "aiokafka.consumer.subscription_state:TopicPartitionState.position",
    "aiokafka.consumer.subscription_state:TopicPartitionState.highwater",
)
"""`module:Class.attribute` of each."""


class _Message:
    """What Faust takes for one record."""

    __slots__ = ("offset", "partition", "timestamp", "topic", "value")
    headers: tuple[()] = ()
    key = None
    checksum = None
    timestamp_type = 0
    serialized_key_size = 0
    serialized_value_size = 0

    def __init__(self, topic: str, chunk: ChunkLike, number: int) -> None:
        self.topic = topic
        self.partition = chunk.partition
        self.offset = number  # Faust only asks that they ascend; what is committed is `committable`
        self.timestamp = 0
        self.value = chunk


class ChunkScheduler:
    """Faust's `ConsumerScheduler`: it decides in which order fetched records go to agents, and in which form."""

    consumer: BridgeConsumer

    def __init__(self) -> None:
        self._delivered = 0

    def iterate(self, records: Mapping[TP, Any]) -> Iterator[tuple[TP, Any]]:
        """Yield chunks of the input topics, which come in blocks, and the records of all others as they are."""
        host = self.consumer.host
        inputs = host.inputs
        for tp, fetched in records.items():  # all of them before anything is yielded, which lets others run
            if tp.topic in inputs:
                host.feed(tp.topic, tp.partition, fetched)
        for tp, fetched in records.items():
            if tp.topic not in inputs and tp.topic != host.changelog:
                for record in fetched:
                    yield tp, record
        for chunk in host.emit_chunks(self.consumer.drained()):
            self._delivered += 1
            yield TP(inputs[0], chunk.partition), _Message(inputs[0], chunk, self._delivered)


class _PassThrough(Codec):
    def _loads(self, s: Any) -> Any:
        return s


register(PASS_THROUGH, _PassThrough())
sender.BACKOFF_OVERRIDE = TRANSACTION_BACKOFF_SECONDS
fetcher.MemoryRecords = HeldRecords
fetcher.PartitionRecords = FetchedRecords


class BridgeThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread, reading what is committed, the input topics in blocks."""

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        # Faust has this flag for its own transactions; here it sets the isolation level and nothing else.
        self.consumer.in_transaction = True
        try:
            consumer = super()._create_worker_consumer(transport)
        finally:
            self.consumer.in_transaction = False
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._key_deserializer = BlocksOf(cast("BridgeTransport", transport).host.inputs)
        return consumer

    def state_of(self, tp: TP) -> Any:
        """Return aiokafka's state of an assigned partition, None if it is not assigned."""
        subscription = self._ensure_consumer()._subscription.subscription
        if subscription is None or subscription.assignment is None:
            return None
        return subscription.assignment.state_value(tp)


class BridgeConsumer(driver.Consumer):
    """Faust's consumer with the positions of the state."""

    _thread: BridgeThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.host: BridgeHost = cast("BridgeTransport", self.transport).host
        cast(ChunkScheduler, self.scheduler).consumer = self
        self._asked: dict[TP, int] = {}
        self._reread: set[TP] = set()

    def _new_consumer_thread(self) -> BridgeThread:
        return BridgeThread(self, loop=self.loop, beacon=self.beacon)

    def drained(self) -> frozenset[tuple[str, int]]:
        """Return the assigned input partitions that are fetched to their end."""
        return frozenset(self._drained_positions())

    def _drained_positions(self) -> dict[tuple[str, int], int]:
        positions = {}
        for tp in self.assignment():
            if tp.topic in self.host.inputs:
                state = self._thread.state_of(tp)
                if state is not None and state.has_valid_position and state.highwater is not None:
                    position = state.position
                    if position >= state.highwater:
                        positions[tp.topic, tp.partition] = position
        return positions

    def log_ends(self) -> tuple[dict[tuple[str, int], int], dict[tuple[str, int], int]]:
        """Return where the assigned input partitions end, as the last fetch of each said, and what is drained where."""
        ends = {}
        for tp in self.assignment():
            state = self._thread.state_of(tp) if tp.topic in self.host.inputs else None
            if state is not None and state.highwater is not None:
                ends[tp.topic, tp.partition] = state.highwater
        return ends, self._drained_positions()

    async def highwaters(self, *tps: TP) -> Mapping[TP, int]:
        """Report to Faust that changelogs are empty: the host restores them."""
        return dict.fromkeys(tps, 0)

    async def perform_seek(self) -> None:
        """Go to the state's position; the group's offsets are only information."""
        assignment = self.assignment()
        wanted = {TP(*key): offset for key, offset in self.host.start_offsets().items() if TP(*key) in assignment}
        self._asked.clear()
        self._reread.clear()
        if wanted:
            await self.seek_wait(wanted)
            self._forget_offsets(wanted)

    def _forget_offsets(self, tps: Iterable[TP]) -> None:
        """Let Faust deliver chunks, which are numbered by themselves, and not compare them with records' offsets."""
        for tp in tps:
            if tp.topic in self.host.inputs:
                self._read_offset[tp] = None

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, Any]:
        host = self.host
        inputs = host.inputs
        wanted = {tp for tp in active_partitions or () if tp.topic not in inputs or host.wants(tp.topic, tp.partition)}
        if not any(tp.topic in inputs for tp in wanted) and active_partitions:
            timeout = FULL_SECONDS
        if not wanted:
            await asyncio.sleep(FULL_SECONDS)
            return {}
        if self._reread:
            await self._read_again()
        fetched = await super()._getmany(wanted, min(timeout, 0.2))
        kept: dict[TP, Any] = {}
        for tp, records in (fetched or {}).items():
            chosen = records if tp.topic not in inputs else await self._without_gap(tp, block_of(records))
            if chosen:
                kept[tp] = chosen
        for tp in [tp for tp in kept if tp.topic in inputs]:
            # A partition may have been opened again while the gap of another one was asked for.
            if kept[tp][0].offset != host.expected_offset(tp.topic, tp.partition):
                del kept[tp]
                self._reread.add(tp)
        return kept

    async def _read_again(self) -> None:
        """Go back to where records were fetched for an earlier opening of a partition."""
        places = {tp: self.host.expected_offset(tp.topic, tp.partition) for tp in self._reread}
        self._reread.clear()
        wanted = {tp: offset for tp, offset in places.items() if offset is not None}
        if wanted:
            await self.seek_wait(wanted)
            self._forget_offsets(wanted)

    async def _without_gap(self, tp: TP, records: RecordBlock) -> RecordBlock | None:
        """Return the records that follow on those fed before; if some are missing, ask for exactly those, once."""
        expected = self.host.expected_offset(tp.topic, tp.partition)
        if expected is None:
            return None
        first = records[0].offset
        if first < expected:
            rest = records.since(expected)
            if rest and rest[0].offset > expected:  # what came before shows that the brokers have none between
                self.host.skip(tp.topic, tp.partition, rest[0].offset, expected)
            return rest
        if first == expected:
            self._asked.pop(tp, None)
            return records
        if self._asked.get(tp) != expected:
            self._asked[tp] = expected
            await self.seek_wait({tp: expected})
            self._forget_offsets([tp])
            return None
        # The brokers were asked for the very offset and have none: markers of transactions, or compaction.
        log_start = (await self.earliest_offsets(tp))[tp]
        self.host.skip(tp.topic, tp.partition, first, log_start)
        return records

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002
        """Commit how far the state is, for lag alerts and autoscalers; nothing depends on it."""
        offsets = self.host.committable(self._drained_positions())
        assignment = self.assignment()
        changed = {
            TP(*key): offset
            for key, offset in offsets.items()
            if TP(*key) in assignment and self._committed_offset[TP(*key)] != offset
        }
        if not changed:
            return False
        try:
            async with asyncio.timeout(COMMIT_SECONDS + 1):
                await self._thread.call_thread(self._commit_in_thread, changed)
        except (KafkaError, TimeoutError) as error:
            _log.warning("group offsets are not committed, which delays lag figures only: %r", error)
            return False
        self._committed_offset.update(changed)
        return True

    async def _commit_in_thread(self, offsets: Mapping[TP, int]) -> None:
        # Ended here too: the thread makes two calls at a time, and aiokafka's commit lasts for as long as a broker is
        # away. Two of them would keep it from fetching, and from what the next rebalance asks of it.
        async with asyncio.timeout(COMMIT_SECONDS):
            await self._thread._ensure_consumer().commit(
                {TopicPartition(*tp): offset for tp, offset in offsets.items()}
            )

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Faust would count offsets that it never delivered as done."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Leave out Faust's check for stalled partitions: the worker's own watchdog sees what is written.

        Faust looks for single records and for commits of its own. It has neither here, so it would report an error
        for each partition, again and again, in every worker that catches up for more than five minutes.
        """

    async def on_stop(self) -> None:
        """Release the partitions before the group is left."""
        await self.host.release()
        await self.force_commit()
        await super().on_stop()


class BridgeTransport(driver.Transport):
    """Faust's transport with our consumer."""

    Consumer = BridgeConsumer
    host: BridgeHost


def install(app: faust.App, host: BridgeHost) -> None:
    """Put the bridge under a Faust application before it is started."""
    transport = BridgeTransport(app.conf.broker_consumer, app)
    transport.host = host
    app.transport = transport


def producer_identity(producer: AIOKafkaProducer) -> tuple[int, int]:
    """Return the id and epoch that the brokers gave a transactional producer when it was started."""
    manager = producer._txn_manager
    return manager.producer_id, manager.producer_epoch


def log_ends(app: faust.App) -> tuple[Mapping[tuple[str, int], int], Mapping[tuple[str, int], int]]:
    """See `BridgeConsumer.log_ends`; nothing as long as the consumer is not there."""
    consumer = cast(BridgeConsumer, app.consumer)
    return ({}, {}) if consumer._thread._consumer is None else consumer.log_ends()


def has_crashed(app: faust.App) -> bool:
    """Return whether a part of the application has ended with an error; Faust may continue without it."""
    if app.crashed or app.consumer.crashed:
        return True
    kafka_consumer = cast(BridgeConsumer, app.consumer)._thread._consumer
    if kafka_consumer is None or kafka_consumer._coordinator is None:
        return False
    # Ends for good where a broker comes back and does not yet know of itself; nothing reports it.
    task = kafka_consumer._coordinator._coordination_task
    return task is not None and bool(task.done())
