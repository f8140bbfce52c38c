"""What `segmenter privacy` works with: the topics of a deployment, its view, and who sends requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from stream_app.adapters.kafka_client import START_SECONDS, KafkaConnection, committed_reader
from stream_app.adapters.redis_client import REDIS_FAILURES
from stream_app.adapters.redis_search import search
from stream_app.adapters.topic_specs import gone_after_ms, is_kept_for_ever
from stream_app.adapters.view_schema import ViewKeys
from stream_app.audit.held import gather
from stream_app.audit.traces import IdFinder, Trace, find_traces
from stream_app.bootstrap.kafka import create_connection, create_topic_names, create_topic_specs
from stream_app.bootstrap.redis import create_redis_connection
from stream_app.bootstrap.segmentation import create_migration_context
from stream_app.contracts.outputs.receipts import PrivacyReceipt
from stream_app.errors import BrokerUnreachable, ConfigurationError
from stream_app.settings.sections import Settings

POLL_MS: Final = 200


class PlannedRequest(NamedTuple):
    """A request that is to be sent."""

    request_id: str
    type: str
    customer_id: str
    requested_at: str
    source: str | None
    jurisdiction: str | None

    def encode(self) -> bytes:
        """Return the record."""
        said = {name: value for name, value in self._asdict().items() if value is not None}
        return json.dumps(said, ensure_ascii=False).encode()


class Place(NamedTuple):
    """Somewhere an id was found.

    Attributes
    ----------
    store
        The topic, or the key in Redis.
    kind
        `input` where producers put it, `retained` where age removes it, `compacted` where a tombstone does, `redis`.
    traces
        What was found in a topic.
    gone_ms
        By when the newest of what is retained is gone; None of the others.
    """

    store: str
    kind: str
    traces: Sequence[Trace] = ()
    gone_ms: int | None = None

    @property
    def records(self) -> int:
        """How many records have an id."""
        return sum(trace.records for trace in self.traces) or 1


async def send_requests(settings: Settings, requests: Sequence[PlannedRequest]) -> None:
    """Send requests, and return once the brokers have all of them.

    Raises
    ------
    BrokerUnreachable
        If no broker answers.
    ConfigurationError
        If the topic is missing.
    """
    connection, topic = create_connection(settings), create_topic_names(settings).privacy_requests
    producer = AIOKafkaProducer(**connection.client_options(), enable_idempotence=True, acks="all")
    try:
        async with asyncio.timeout(START_SECONDS):
            await producer.start()
        if topic not in (await producer.client.fetch_all_metadata()).topics():
            raise ConfigurationError(f"topic {topic} is missing; `segmenter topics create` makes it")
        sent = [await producer.send(topic, each.encode(), each.customer_id.encode()) for each in requests]
        await asyncio.gather(*sent)
    except (KafkaError, TimeoutError, OSError) as error:
        raise _unreachable(connection, error) from error
    finally:
        await producer.stop()


async def look_for(settings: Settings, ids: Sequence[str], *, with_redis: bool) -> list[Place]:
    """Return where ids are found, topic by topic, and in the view.

    Raises
    ------
    BrokerUnreachable
        If no broker answers.
    """
    names, specs = create_topic_names(settings), create_topic_specs(settings)
    kept = {spec.name: spec for spec in specs}
    traces = await find_traces(create_connection(settings), names.group, list(kept), ids)
    places = []
    for topic, spec in kept.items():
        if mine := [trace for trace in traces if trace.topic == topic]:
            is_retained = spec.properties["cleanup.policy"] == "delete"
            kind = "input" if topic in (*names.inputs, names.identities) else "retained" if is_retained else "compacted"
            gone_ms = (
                max(trace.newest_ms for trace in mine) + gone_after_ms(spec)
                if is_retained and not is_kept_for_ever(spec)
                else None
            )
            places.append(Place(topic, kind, mine, gone_ms))
    if with_redis:
        finder = IdFinder(ids)
        view = search(
            create_redis_connection(settings), settings.redis.key_prefix, lambda text: bool(finder.find(text))
        )
        try:
            places += [Place(key, "redis") async for key in view]
        except REDIS_FAILURES as error:
            raise ConfigurationError(f"Redis at {settings.redis.url} does not answer: {error}") from error
    return places


class Receipts(NamedTuple):
    """What is known of requests.

    Attributes
    ----------
    receipts
        By request, the newest.
    waiting
        Ids of requests that are on the topic and have no receipt yet.
    view_behind
        Records that the view has not taken in yet; None if there is no view.
    """

    receipts: dict[str, PrivacyReceipt]
    waiting: list[str]
    view_behind: int | None


async def read_receipts(settings: Settings) -> Receipts:
    """Read all receipts, the requests that are still on their topic, and how far the view is.

    Raises
    ------
    BrokerUnreachable
        If no broker answers.
    """
    connection, names = create_connection(settings), create_topic_names(settings)
    partitions = range(settings.kafka.partitions)
    try:
        async with committed_reader(connection) as consumer:
            written = await _read(consumer, [TopicPartition(names.receipts, number) for number in partitions])
            asked = await _read(consumer, [TopicPartition(names.privacy_requests, number) for number in partitions])
            behind = await _view_behind(settings, consumer)
    except (KafkaError, TimeoutError, OSError) as error:
        raise _unreachable(connection, error) from error
    receipts = {key.decode(): PrivacyReceipt.model_validate_json(value) for key, value in written if value}
    ids = [_request_id(value) for _, value in asked if value]
    waiting = [each for each in dict.fromkeys(ids) if each and each not in receipts]
    return Receipts(receipts, waiting, behind)


async def _read(
    consumer: AIOKafkaConsumer, places: Sequence[TopicPartition], first: Mapping[TopicPartition, int] | None = None
) -> list[tuple[bytes, bytes | None]]:
    """Return keys and values of all records of partitions, from some offsets on, up to their present ends."""
    consumer.assign(places)
    ends = await consumer.end_offsets(places)
    await consumer.seek_to_beginning(*places)
    for tp, offset in (first or {}).items():
        consumer.seek(tp, min(offset, ends[tp]))
    found, unread = [], list(places)
    while unread := [tp for tp in unread if await consumer.position(tp) < ends[tp]]:
        for records in (await consumer.getmany(*unread, timeout_ms=POLL_MS)).values():
            found += [(record.key or b"", record.value) for record in records]
    return found


def _request_id(value: bytes) -> str | None:
    try:
        said = json.loads(value)
    except ValueError:
        return None
    found = said.get("request_id") if isinstance(said, dict) else None
    return found if isinstance(found, str) else None


async def _view_behind(settings: Settings, consumer: AIOKafkaConsumer) -> int | None:
    """Return how many migrations the view has not taken in, or not let go of; None if there is no view."""
    keys = ViewKeys(settings.redis.key_prefix)
    client: Any = create_redis_connection(settings).create_client()
    try:
        generation = await client.get(keys.pointer)
        if generation is None:
            return None
        position = await client.hgetall(keys.position(generation.decode()))
        forgotten = int(await client.zcard(keys.forgotten))
    except REDIS_FAILURES:
        return None
    finally:
        await client.aclose()
    topic = create_topic_names(settings).migrations
    places = [TopicPartition(topic, number) for number in range(settings.kafka.partitions)]
    first = {tp: int(position.get(f"migrations/{tp.partition}".encode(), 0)) for tp in places}
    return len(await _read(consumer, places, first)) + forgotten


async def gather_held(settings: Settings, customer_id: str) -> dict[str, object]:
    """Return all that is held of a customer, see `stream_app.audit.held`."""
    return await gather(
        create_connection(settings),
        create_topic_names(settings),
        customer_id,
        settings.business.timezone,
        create_migration_context(settings).minor_per_major,
    )


def _unreachable(connection: KafkaConnection, error: BaseException) -> BrokerUnreachable:
    reason = str(error) or "no answer in time"
    return BrokerUnreachable(f"no Kafka broker answers at {connection.bootstrap_servers} ({reason})")
