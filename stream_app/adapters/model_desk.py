"""Where an operator sees models and decides on them: reads `segment-models`, writes to `population-samples`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from stream_app.adapters.kafka_client import START_SECONDS, KafkaConnection, committed_reader
from stream_app.adapters.topics import TopicNames
from stream_app.adapters.wall_clock import now_ms
from stream_app.contracts.decisions import Decision, Outcome, decision_key
from stream_app.contracts.model_shelf import ModelShelf
from stream_app.contracts.outputs.models import DECIDED_BY_CHARACTERS_MAX, DecisionAction
from stream_app.core.clock import format_instant
from stream_app.errors import BrokerUnreachable, ConfigurationError, TopicRefused

POLL_MS: Final = 200


class ModelDesk:
    """Reads and decides; see `open_desk`.

    Attributes
    ----------
    shelf
        What was read so far.
    """

    def __init__(self, consumer: AIOKafkaConsumer, connection: KafkaConnection, names: TopicNames) -> None:
        self.shelf = ModelShelf()
        self._consumer = consumer
        self._connection = connection
        self._names = names
        self._models = TopicPartition(names.models, 0)

    async def read(self) -> None:
        """Read all that is published by now."""
        consumer, at = self._consumer, self._models
        await self._require(at.topic)
        consumer.assign([at])
        await consumer.seek_to_beginning(at)
        end = (await consumer.end_offsets([at]))[at]
        while await consumer.position(at) < end:
            await self._take()

    async def hand_in(
        self, action: DecisionAction, segmentation: str, version: int | None, decided_by: str, timeout_seconds: float
    ) -> Outcome | None:
        """Hand in a decision of now on what stands at the desk; see `decide`.

        Raises
        ------
        ConfigurationError
            If there is no such segmentation.
        """
        waiting = self.shelf.require(segmentation).waiting
        is_meant = waiting is not None and action in ("approve", "reject") and waiting["version"] == version
        decision = Decision(
            segmentation=segmentation,
            action=action,
            version=version,
            as_of=waiting["as_of"] if waiting is not None and is_meant else None,
            decided_by=decided_by[:DECIDED_BY_CHARACTERS_MAX],
            at=format_instant(now_ms()),
        )
        return await self.decide(decision, timeout_seconds)

    async def decide(self, decision: Decision, timeout_seconds: float) -> Outcome | None:
        """Hand in a decision and return what became of it; None if nothing has within some seconds."""
        await self._require(self._names.samples)
        offset = await self._send(decision)
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    for outcome in await self._take():
                        if outcome.offset == offset:
                            return outcome
        except TimeoutError:
            return None

    async def _require(self, topic: str) -> None:
        if topic not in await self._consumer.topics():
            raise ConfigurationError(
                f"topic {topic} is missing, or kept from this user; `segmenter topics create` makes it"
            )

    async def _send(self, decision: Decision) -> int:
        producer = AIOKafkaProducer(**self._connection.client_options(), enable_idempotence=True)
        try:
            async with asyncio.timeout(START_SECONDS):
                await producer.start()
                sent = await producer.send_and_wait(
                    self._names.samples, msgspec.json.encode(decision), decision_key(decision.segmentation), partition=0
                )
        finally:
            await producer.stop()
        return int(sent.offset)

    async def _take(self) -> list[Outcome]:
        """Read on; return what became of decisions meanwhile."""
        outcomes = []
        for record in (await self._consumer.getmany(self._models, timeout_ms=POLL_MS)).get(self._models, []):
            if record.value is None:
                self.shelf.remove(record.key)
            elif (outcome := self.shelf.add(record.value)) is not None:
                outcomes.append(outcome)
        return outcomes


@asynccontextmanager
async def open_desk(connection: KafkaConnection, names: TopicNames) -> AsyncIterator[ModelDesk]:
    """Give a desk at which all that is published by now has been read.

    Raises
    ------
    BrokerUnreachable
        If no broker answers, or they have stopped answering.
    ConfigurationError
        If a topic is missing.
    TopicRefused
        If the brokers refuse to give records or to take one.
    """
    try:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(START_SECONDS):
                desk = ModelDesk(await stack.enter_async_context(committed_reader(connection)), connection, names)
            await desk.read()
            yield desk
    except (KafkaError, TimeoutError, OSError) as error:
        if isinstance(error, KafkaError) and not error.retriable:
            raise TopicRefused(f"Kafka at {connection.bootstrap_servers} refuses: {error}") from error
        reason = await connection.refusal() or str(error) or type(error).__name__
        raise BrokerUnreachable(f"no Kafka broker answers at {connection.bootstrap_servers} ({reason})") from error
