"""Reading topics from their beginning to their end as it is now, without a group and committed records only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import Final, Protocol, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from stream_app.adapters.kafka_client import START_SECONDS, KafkaConnection
from stream_app.audit.records import LogRecord
from stream_app.errors import BrokerUnreachable

FETCH_BYTES: Final = 8 << 20
"""A partition at a time is read, so few and large answers are best."""
FETCH_WAIT_MS: Final = 5
"""The fetch that aiokafka sends ahead at a log's end must not hold up the next log."""
POLL_MS: Final = 200
RETRY_MS: Final = 20
"""aiokafka asks for the metadata of one unknown topic at a time, and waits this long after each."""
STALLED_SECONDS: Final = 60
"""A log that gives nothing for this long cannot be read to its end."""

Bounds = Mapping[tuple[str, int], tuple[int, int]]
"""First offset and end of each partition, by topic and number."""


class Reader(Protocol):
    """Gives the records of one partition at a time."""

    def read(self, topic: str, partition: int, bounds: Bounds) -> AsyncIterator[list[LogRecord]]:
        """Give a partition's records within `bounds`, in order, some at a time and never none."""
        ...


class TopicReader:
    """Reads partitions one after the other; an async context manager.

    Parameters
    ----------
    connection
        Where the brokers are.
    is_committed
        Whether to leave out what aborted transactions wrote, and what open ones have written so far.

    Raises
    ------
    BrokerUnreachable
        If no broker answers.
    """

    def __init__(self, connection: KafkaConnection, is_committed: bool = True) -> None:
        self._servers = connection.bootstrap_servers
        self._consumer = AIOKafkaConsumer(
            **connection.client_options(),
            isolation_level="read_committed" if is_committed else "read_uncommitted",
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            retry_backoff_ms=RETRY_MS,
        )

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._consumer.start()
        except (KafkaError, TimeoutError, OSError) as error:
            await self._consumer.stop()
            raise _unreachable(self._servers, error) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def bounds(self, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, int]]:
        """Return where partitions begin and end, asked for at once."""
        wanted = [TopicPartition(*partition) for partition in partitions]
        ends = await self._consumer.end_offsets(wanted)
        first = await self._consumer.beginning_offsets(wanted)
        return {(at.topic, at.partition): (first[at], ends[at]) for at in wanted}

    async def read(self, topic: str, partition: int, bounds: Bounds) -> AsyncIterator[list[LogRecord]]:
        """Give a partition's records within `bounds`, some thousands at a time.

        Raises
        ------
        BrokerUnreachable
            If the broker stops giving records before the end.
        """
        first, end = bounds[topic, partition]
        if first >= end:
            return
        at = TopicPartition(topic, partition)
        consumer = self._consumer
        consumer.assign([at])
        consumer.seek(at, first)
        moved_at, position = time.monotonic(), first
        while position < end:
            batches = await consumer.getmany(at, timeout_ms=POLL_MS)
            records = [
                LogRecord(record.offset, record.timestamp, record.key, record.value, record.headers)
                for batch in batches.values()
                for record in batch
            ]
            while records and records[-1].offset >= end:
                records.pop()
            if records:
                yield records
            before, position = position, await consumer.position(at)
            if position > before:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > STALLED_SECONDS:
                reason = f"{topic}[{partition}]: no record for {STALLED_SECONDS} s at offset {position} of {end}"
                raise _unreachable(self._servers, reason)


async def describe(connection: KafkaConnection, group: str) -> tuple[dict[str, int], dict[tuple[str, int], int]]:
    """Return every topic's number of partitions, and the offsets that a group has committed, by topic and partition.

    Raises
    ------
    BrokerUnreachable
        If no broker answers.
    """
    admin = AIOKafkaAdminClient(**connection.client_options())
    try:
        async with asyncio.timeout(START_SECONDS):
            await admin.start()
            topics = await admin.describe_topics()
            offsets = await _retried(admin, group)
    except (KafkaError, TimeoutError, OSError) as error:
        raise _unreachable(connection.bootstrap_servers, error) from error
    finally:
        await admin.close()
    counts = {topic["topic"]: len(topic["partitions"]) for topic in topics}
    return counts, {(at.topic, at.partition): found.offset for at, found in offsets.items() if found.offset >= 0}


async def _retried(admin: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
    """Ask for the group's offsets; the first question of all makes the broker create the topic that holds them."""
    while True:
        try:
            return dict(await admin.list_consumer_group_offsets(group))
        except KafkaError as error:
            if not error.retriable:
                raise
            await asyncio.sleep(RETRY_MS / 1000)


def _unreachable(servers: str, reason: object) -> BrokerUnreachable:
    return BrokerUnreachable(f"Kafka at {servers} does not answer: {str(reason) or 'no answer in time'}")
