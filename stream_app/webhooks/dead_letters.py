"""The topic of migrations that an endpoint never accepted: each unchanged, with headers that say why."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.adapters.wall_clock import now_ms
from stream_app.contracts.forgetting import ERASED, PRIVACY_HEADER
from stream_app.core.clock import format_instant
from stream_app.errors import BrokerUnreachable
from stream_app.webhooks.deliverer import Headers, PublishedMigration

logger = logging.getLogger(__name__)

PREFIX: Final = "webhook_"
"""Begins the names of our own headers."""
SUBSCRIPTION: Final = PREFIX + "subscription"
REASON: Final = PREFIX + "reason"
ATTEMPTS: Final = PREFIX + "attempts"
SOURCE: Final = PREFIX + "source"
GIVEN_UP_AT: Final = PREFIX + "given_up_at"
RETRY_SECONDS: Final = 5.0
"""Between two attempts to write; meanwhile the migrations that wait for it are not committed."""


class KafkaDeadLetters:
    """`DeadLetters` on Kafka.

    Parameters
    ----------
    connection
        The cluster.
    topic
        Name of the topic.
    """

    def __init__(self, connection: KafkaConnection, topic: str) -> None:
        self._topic = topic
        self._producer = AIOKafkaProducer(**connection.client_options(), enable_idempotence=True)

    async def start(self) -> None:
        """Connect.

        Raises
        ------
        BrokerUnreachable
            If no broker answers.
        """
        try:
            await self._producer.start()
        except KafkaError as error:
            await self._producer.stop()
            raise BrokerUnreachable(f"no Kafka broker answers ({type(error).__name__})") from error

    async def stop(self) -> None:
        """Disconnect."""
        await self._producer.stop()

    async def append(self, subscription: str, published: PublishedMigration, reason: str, attempts: int) -> None:
        """Return once the brokers have confirmed it, however long that takes."""
        headers = [
            *(header for header in published.headers if not header[0].startswith(PREFIX)),
            (SUBSCRIPTION, subscription.encode()),
            (REASON, reason.encode()),
            (ATTEMPTS, str(attempts).encode()),
            (SOURCE, f"{published.topic}/{published.partition}/{published.offset}".encode()),
            (GIVEN_UP_AT, format_instant(now_ms()).encode()),
        ]
        await self._send(published.key, published.value, headers)

    async def forget(self, customer: bytes) -> None:
        """Say that the dead letters of a customer so far are not to be sent again, as the worker says of migrations."""
        await self._send(customer, None, [(PRIVACY_HEADER, ERASED)])

    async def _send(self, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        while True:
            try:
                await self._producer.send_and_wait(self._topic, value, key, headers=headers)
            except KafkaError as error:
                logger.warning("a dead letter is not written yet: %s", type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return


def subscription_of(headers: Headers) -> str | None:
    """Return the subscription of a dead letter."""
    return next((value.decode("utf-8", "replace") for name, value in headers if name == SUBSCRIPTION), None)
