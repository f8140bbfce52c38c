"""How every client of Kafka is reached: the one place that turns a deployment's address into a client's options."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError

from stream_app.adapters.cancellation import cancellation_kept
from stream_app.adapters.kafka_security import KafkaSecurity
from stream_app.adapters.record_batches import BlocksOf

START_SECONDS: Final = 9
"""For a first answer, so that a wrong address is named within 10 seconds."""
REFUSAL_SECONDS: Final = 3
"""For finding out why no broker could be used."""
FETCH_BYTES: Final = 4 << 20
"""Of one partition at once, for those who read it from its beginning."""


@dataclass(frozen=True)
class KafkaConnection:
    """Where the brokers are, and how connections to them are protected.

    Parameters
    ----------
    bootstrap_servers
        Brokers to begin with, `host:port`, separated by commas.
    client_id
        Name under which the brokers' logs and quotas know this process.
    security
        Plain TCP if not given.
    """

    bootstrap_servers: str
    client_id: str = "stream-segmenter"
    security: KafkaSecurity = field(default_factory=KafkaSecurity)

    def client_options(self) -> dict[str, Any]:
        """Return the keyword arguments that any aiokafka client takes, whether consumer, producer or admin."""
        return {
            "bootstrap_servers": self.bootstrap_servers,
            "client_id": self.client_id,
            **self.security.client_options(),
        }

    def faust_options(self) -> dict[str, Any]:
        """Return the settings of a Faust application that say the same."""
        brokers = [f"kafka://{address}" for address in self.bootstrap_servers.split(",")]
        return {"broker": brokers, **self.security.faust_options()}

    async def refusal(self) -> str | None:
        """Call the first broker and return what is wrong with it, None if nothing is.

        A client that could use no broker says that none answered, whatever the reason was.
        """
        host, _, port = self.bootstrap_servers.split(",")[0].rpartition(":")
        options = {"client_id": self.client_id, **self.security.client_options()}
        try:
            async with asyncio.timeout(REFUSAL_SECONDS):
                connection = await create_conn(host, int(port), request_timeout_ms=REFUSAL_SECONDS * 1000, **options)
        except (OSError, KafkaError, TimeoutError) as error:
            return str(error) or type(error).__name__
        connection.close()
        return None


@asynccontextmanager
async def committed_reader(
    connection: KafkaConnection, blocks_of: Collection[str] = ()
) -> AsyncIterator[AIOKafkaConsumer]:
    """Give a consumer outside every group that sees committed records alone, those of some topics in blocks."""
    consumer = AIOKafkaConsumer(
        **connection.client_options(),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_wait_ms=50,
        key_deserializer=BlocksOf(blocks_of) if blocks_of else None,
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        with cancellation_kept():
            await consumer.stop()


async def committed_records(connection: KafkaConnection, topic: str, offset: int) -> AsyncIterator[ConsumerRecord]:
    """Yield the committed records of a topic's only partition, from an offset on, as they come and without end."""
    tp = TopicPartition(topic, 0)
    async with committed_reader(connection) as consumer:
        consumer.assign([tp])
        consumer.seek(tp, offset)
        while True:
            for record in (await consumer.getmany(tp, timeout_ms=1_000)).get(tp, ()):
                yield record
