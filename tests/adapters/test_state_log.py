"""Where the logs end, as the watchdog asks, on a real broker."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.adapters.state_log import KafkaStateLog
from tests.support.processes import free_port


async def produce(bootstrap: str, topic: str, partitions: int, records: int) -> None:
    """Make a topic and put records on its first partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, partitions, 1)])
    finally:
        await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for _ in range(records):
            await producer.send_and_wait(topic, b"{}", partition=0)


def test_ends_are_those_of_the_brokers(kafka: str, topic_prefix: str) -> None:
    topic = f"{topic_prefix}ends"

    async def test() -> None:
        await produce(kafka, topic, partitions=2, records=3)
        log = KafkaStateLog(KafkaConnection(kafka), transaction_timeout_seconds=10)
        assert await log.log_ends([topic], [0, 1]) == {(topic, 0): 3, (topic, 1): 0}
        assert await log.log_ends([topic], []) == {}

    asyncio.run(test())


def test_nothing_is_known_where_no_broker_answers() -> None:
    async def test() -> None:
        log = KafkaStateLog(KafkaConnection(f"127.0.0.1:{free_port()}"), transaction_timeout_seconds=10)
        assert await log.log_ends(["purchases"], [0]) == {}

    asyncio.run(test())
