"""The log that state is kept in: who may write a partition of it, and reading it back, whole and in bulk.

A reader of committed records cannot see from a log's end whether it has read everything: the last offsets may be
transaction markers, which are not records, or belong to a transaction that is still open. So the one who has opened a
partition appends a record of its own, the *fence*, outside every transaction, and reads until it sees it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, Protocol

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from stream_app.adapters.changelog import FENCE_KEY
from stream_app.adapters.delivery import Delivery, TransactionalDelivery
from stream_app.adapters.kafka_client import KafkaConnection, committed_reader
from stream_app.adapters.record_blocks import RecordBlock, block_of

ANSWER_SECONDS: Final = 5
RECORDS_AT_ONCE: Final = 2_000
"""Of a log so old that it is read record by record; else a block, of one fetch, counts as one."""


class StateLog(Protocol):
    """Where partitions are opened and restored from."""

    def delivery(self, transactional_id: str) -> Delivery:
        """Return what writes for the partition of this name, once it is opened."""
        ...

    def read_back(self, topic: str, partitions: Sequence[int]) -> AsyncIterator[tuple[int, RecordBlock]]:
        """Yield a partition's number and some records, until everything written before the call has been read.

        From here on no one else may be able to write to the partitions.
        """
        ...

    async def log_starts(self, topics: Sequence[str], partition: int) -> Mapping[str, int]:
        """Return by topic the first offset that a partition still has."""
        ...


class KafkaStateLog:
    """`StateLog` on Kafka.

    Parameters
    ----------
    connection
        The cluster.
    transaction_timeout_seconds
        See `TransactionalDelivery`.
    """

    def __init__(self, connection: KafkaConnection, transaction_timeout_seconds: int) -> None:
        self._connection = connection
        self._transaction_timeout_seconds = transaction_timeout_seconds

    def delivery(self, transactional_id: str) -> Delivery:
        """See `StateLog`."""
        return TransactionalDelivery(self._connection, transactional_id, self._transaction_timeout_seconds)

    async def read_back(self, topic: str, partitions: Sequence[int]) -> AsyncIterator[tuple[int, RecordBlock]]:
        """See `StateLog`."""
        ends = await self._append_fences(topic, partitions)
        async with committed_reader(self._connection, blocks_of=[topic]) as consumer:
            consumer.assign(list(ends))
            await consumer.seek_to_beginning(*ends)
            while ends:
                fetched = await consumer.getmany(*ends, timeout_ms=1_000, max_records=RECORDS_AT_ONCE)
                for tp, records in fetched.items():
                    block, end = block_of(records), ends[tp]
                    if block.offsets[-1] >= end:
                        del ends[tp]
                    yield tp.partition, block.until(end)
                    await asyncio.sleep(0)

    async def log_starts(self, topics: Sequence[str], partition: int) -> Mapping[str, int]:
        """See `StateLog`."""
        async with committed_reader(self._connection) as consumer:
            starts = await consumer.beginning_offsets([TopicPartition(topic, partition) for topic in topics])
        return {tp.topic: offset for tp, offset in starts.items()}

    async def log_ends(self, topics: Sequence[str], partitions: Sequence[int]) -> Mapping[tuple[str, int], int]:
        """Return by topic and partition where its committed records end; nothing if no broker answers."""
        asked = [TopicPartition(topic, partition) for topic in topics for partition in partitions]
        if not asked:
            return {}
        try:
            async with asyncio.timeout(ANSWER_SECONDS), committed_reader(self._connection) as consumer:
                ends = await consumer.end_offsets(asked)
        except (KafkaError, TimeoutError):
            return {}
        return {(tp.topic, tp.partition): offset for tp, offset in ends.items()}

    async def _append_fences(self, topic: str, partitions: Sequence[int]) -> dict[TopicPartition, int]:
        """Return the offset of a new fence by partition."""
        producer = AIOKafkaProducer(**self._connection.client_options(), enable_idempotence=True)
        await producer.start()
        try:
            appended = await asyncio.gather(
                *(producer.send_and_wait(topic, uuid.uuid4().bytes, FENCE_KEY, partition) for partition in partitions)
            )
        finally:
            await producer.stop()
        return {TopicPartition(topic, metadata.partition): metadata.offset for metadata in appended}
