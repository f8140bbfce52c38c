"""Writes a story to a real broker, as a worker would have."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable

from aiokafka import AIOKafkaProducer, TopicPartition

from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.adapters.topic_admin import create_topics
from stream_app.adapters.topic_specs import TopicPolicy, topic_specs
from stream_app.core.clock import DAY_MS
from tests.audit.stories import Append, Story

CENTURY_MS = 36_525 * DAY_MS
"""Stories happened long ago, and retention goes by their records' timestamps."""


async def write_story(story: Story, bootstrap_servers: str, aborted: Iterable[Append] = ()) -> None:
    """Create the topics and append everything; `aborted` is written in a transaction that is given up."""
    connection = KafkaConnection(bootstrap_servers)
    rules = TopicPolicy(story.partitions, 1, CENTURY_MS, CENTURY_MS, DAY_MS, 60_000)
    await create_topics(connection, topic_specs(story.names, rules))
    async with AIOKafkaProducer(**connection.client_options(), enable_idempotence=True) as plain:
        await _append(plain, story.inputs)
        await _append(plain, story.fences)
    writers = [
        AIOKafkaProducer(**connection.client_options(), transactional_id=f"{story.names.group}-{partition}")
        for partition in range(story.partitions)
    ]
    for writer in writers:
        await writer.start()
    for transaction in story.transactions:
        writer = writers[transaction[0].partition]
        async with writer.transaction():
            await _append(writer, transaction)
    await writers[0].begin_transaction()
    await _append(writers[0], aborted)
    await writers[0].abort_transaction()
    if story.committed:
        async with writers[0].transaction():
            offsets = {TopicPartition(*at): offset for at, offset in story.committed.items()}
            await writers[0].send_offsets_to_transaction(offsets, story.names.group)
    for writer in writers:
        await writer.stop()


async def _append(producer: AIOKafkaProducer, appends: Iterable[Append]) -> None:
    by_log: dict[tuple[str, int], list[Append]] = defaultdict(list)
    for append in appends:
        by_log[append.topic, append.partition].append(append)
    futures = []
    for (topic, partition), mine in by_log.items():
        for append in mine:
            futures.append(
                await producer.send(
                    topic,
                    append.value,
                    append.key,
                    partition,
                    append.timestamp_ms,
                    list(append.headers),
                )
            )
    await asyncio.gather(*futures)
