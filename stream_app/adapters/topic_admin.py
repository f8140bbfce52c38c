"""Makes the topics that are missing, and finds what is wrong with those that are there."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from stream_app.adapters.kafka_client import START_SECONDS, KafkaConnection
from stream_app.adapters.topic_specs import TopicSpec, deviations
from stream_app.errors import BrokerUnreachable, ConfigurationError, TopicRefused

logger = logging.getLogger(__name__)

REQUEST_SECONDS: Final = 5
"""For one answer."""

POLL_SECONDS: Final = 0.1


async def create_topics(connection: KafkaConnection, specs: Sequence[TopicSpec]) -> list[tuple[TopicSpec, bool]]:
    """Make the topics that are missing, and leave the others as they are.

    Returns
    -------
    list of (TopicSpec, bool)
        Every topic, and whether it was made now.

    Raises
    ------
    BrokerUnreachable
        If no broker answers.
    TopicRefused
        If the brokers refuse to make one; those before it are there.
    """
    async with _administering(connection) as admin:
        there = set(await admin.list_topics())
        made = {spec.name for spec in specs if spec.name not in there and await _create_topic(admin, spec)}
        await _wait_until_known(admin, {spec.name for spec in specs})
        return [(spec, spec.name in made) for spec in specs]


async def check_topics(connection: KafkaConnection, specs: Sequence[TopicSpec]) -> list[str]:
    """Return, one line each, how the topics differ from what they must be; nothing if all is well.

    Raises
    ------
    BrokerUnreachable
        If no broker answers.
    TopicRefused
        If the brokers refuse to describe one.
    """
    async with _administering(connection) as admin:
        there = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics()}
        properties = await _describe_properties(admin, [spec.name for spec in specs if spec.name in there])
    lines = []
    for spec in specs:
        if spec.name not in there:
            lines.append(f"{spec.name}: missing; `segmenter topics create` makes it")
            continue
        partitions = there[spec.name]
        copies = min((len(partition["replicas"]) for partition in partitions), default=0)
        lines += [
            f"{spec.name}: {deviation}"
            for deviation in deviations(spec, len(partitions), copies, properties[spec.name])
        ]
    return lines


async def require_topics(connection: KafkaConnection, specs: Sequence[TopicSpec], patience_seconds: int) -> None:
    """Return once the brokers answer and have every topic with its number of partitions.

    While none answers, this is logged once, at the first failure.

    Raises
    ------
    BrokerUnreachable
        If no broker has answered after `patience_seconds`.
    ConfigurationError
        If a topic is missing or is divided otherwise.
    """
    deadline, is_told = time.monotonic() + patience_seconds, False
    while True:
        try:
            async with _administering(connection) as admin:
                there = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
            break
        except BrokerUnreachable as error:
            if time.monotonic() > deadline:
                raise
            if not is_told:
                is_told = True
                logger.warning("%s; trying for %d s", error, patience_seconds)
            await asyncio.sleep(POLL_SECONDS)
    for spec in specs:
        if spec.name not in there:
            hidden = ", or kept from this user" if connection.security.protocol != "PLAINTEXT" else ""
            raise ConfigurationError(f"topic {spec.name} is missing{hidden}; `segmenter topics create` makes it")
        if there[spec.name] != spec.partitions:
            why = "state does not move between partitions" if spec.partitions > 1 else "its records have one order"
            setting = " (setting kafka.partitions)" if spec.partitions > 1 else ""
            raise ConfigurationError(
                f"topic {spec.name} has {there[spec.name]} partitions, expected {spec.partitions}{setting}; {why}"
            )


async def _create_topic(admin: AIOKafkaAdminClient, spec: TopicSpec) -> bool:
    """Make a topic; return whether it was not there, for another may have made it, or the brokers not all know it."""
    topic = NewTopic(spec.name, spec.partitions, spec.replication_factor, topic_configs=dict(spec.properties))
    # one a request: a request with several fails as a whole in some versions, and names nothing
    response = await admin.create_topics([topic], timeout_ms=REQUEST_SECONDS * 1000)
    ((name, code, *reason),) = response.topic_errors
    if code and for_code(code) is not TopicAlreadyExistsError:
        raise TopicRefused(f"topic {name}: Kafka refuses to make it: {_phrase(code, reason)}")
    return not code


async def _wait_until_known(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    """Return when a broker tells of all topics; it learns of them a little later than the controller made them."""
    async with asyncio.timeout(START_SECONDS):
        while not names <= set(await admin.list_topics()):
            await asyncio.sleep(POLL_SECONDS)


async def _describe_properties(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    properties: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for code, reason, _, name, entries in response.resources:
            if code:
                raise TopicRefused(f"topic {name}: Kafka refuses to describe it: {_phrase(code, [reason])}")
            properties[name] = {entry[0]: entry[1] for entry in entries}
    return properties


def _phrase(code: int, reason: Sequence[str | None]) -> str:
    told = reason[0] if reason else None
    return str(told or for_code(code).__name__)


@asynccontextmanager
async def _administering(connection: KafkaConnection) -> AsyncIterator[Any]:
    """Yield a client that is connected; whatever takes too long or breaks off means that no broker answers."""
    admin = AIOKafkaAdminClient(**connection.client_options(), request_timeout_ms=REQUEST_SECONDS * 1000)
    try:
        async with asyncio.timeout(START_SECONDS):
            await admin.start()
        yield admin
    except (KafkaError, TimeoutError, OSError) as error:
        if isinstance(error, KafkaError) and not error.retriable:
            raise TopicRefused(f"Kafka at {connection.bootstrap_servers} refuses: {error}") from error
        reason = await connection.refusal() or str(error) or type(error).__name__
        raise BrokerUnreachable(
            f"no Kafka broker answers at {connection.bootstrap_servers}; is kafka.bootstrap_servers right? ({reason})"
        ) from error
    finally:
        await admin.close()
