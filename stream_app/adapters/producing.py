"""Putting records of events on Kafka the way the worker wants them: keyed by customer, placed by murmur2, idempotent.

Records come here once they have been judged: what a worker would refuse is not sent. Sending them again is harmless,
since their ids are the same again; that a topic seems to have them already is worth a word all the same. Whether it
does is looked up by the first record alone, among the first and the last ones of the partition where it belongs, so it
costs the same whatever the topic holds.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.partitioner import DefaultPartitioner

from stream_app.adapters.kafka_client import START_SECONDS, KafkaConnection, committed_reader
from stream_app.core.clock import format_instant, to_milliseconds
from stream_app.errors import BrokerUnreachable, ConfigurationError, TopicRefused

LINGER_MS: Final = 5
"""How long records are collected for one request."""
PACE_SECONDS: Final = 0.02
"""Sleeps shorter than this are saved up: an event loop's timer is not exact."""
RECORDS_LOOKED_AT: Final = 1_000
"""Of a partition's beginning and end, to see whether it holds the first record already."""
LOOK_SECONDS: Final = 10
"""For both: what takes longer is not worth a warning."""
POLL_MS: Final = 200


@dataclass(frozen=True)
class Pace:
    """When records are sent.

    Parameters
    ----------
    records_per_second
        As fast as the brokers take them if not given.
    live_records
        How many of the last records are held to `records_per_second`; all if not given.
    shift_to_ms
        The newest time of a record is moved to this instant and all others with it; they stay if not given.
    """

    records_per_second: float | None = None
    live_records: int | None = None
    shift_to_ms: int | None = None


class Line(NamedTuple):
    """A valid record.

    Attributes
    ----------
    at_ms
        When it happened, milliseconds since the epoch.
    topic
        Where it goes.
    customer_id
        Its key.
    event_id
        Its identity; empty if it has none.
    payload
        The record.
    """

    at_ms: int
    topic: str
    customer_id: str
    event_id: str
    payload: bytes


class Held(NamedTuple):
    """A record that a topic already holds."""

    topic: str
    partition: int
    offset: int
    line: Line


class _Identity(msgspec.Struct):
    event_id: str | None = None


_TIME_FIELDS: Final = ("occurred_at", "observed_at", "updated_at")
_identify: Final = msgspec.json.Decoder(_Identity)


class RecordProducer:
    """Sends records in their order.

    Parameters
    ----------
    connection
        The cluster.
    lines
        Gives all records, by time, from the first one on each time it is called.
    count, newest_ms
        How many these are, and the latest time among them.
    topics
        Those that they go to.
    pace
        When.
    watch
        Called for each record that is on its way, with their number and its time.

    Attributes
    ----------
    sent
        Acknowledged records by topic.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        lines: Callable[[], Iterator[Line]],
        count: int,
        newest_ms: int,
        topics: Sequence[str],
        pace: Pace,
        watch: Callable[[int, int], None] = lambda _number, _at_ms: None,
    ) -> None:
        self._connection = connection
        self._lines = lines
        self._count = count
        self._topics = topics
        self._pace = pace
        self._shift_ms = 0 if pace.shift_to_ms is None or not count else pace.shift_to_ms - newest_ms
        self._watch = watch
        self._failure: BaseException | None = None
        self.sent: Counter[str] = Counter()

    async def run(self, warn: Callable[[Held], None]) -> None:
        """Send everything; when cancelled, what is on its way is still acknowledged.

        Parameters
        ----------
        warn
            Called with the first record of a topic if the topic holds it already.

        Raises
        ------
        ConfigurationError
            If a topic is missing.
        BrokerUnreachable
            If no broker answers.
        TopicRefused
            If the brokers do not take a record.
        """
        producer = AIOKafkaProducer(
            **self._connection.client_options(), enable_idempotence=True, linger_ms=LINGER_MS, compression_type="gzip"
        )
        await self._start(producer)
        try:
            for line in self._first_lines():
                partitions = sorted(await producer.partitions_for(line.topic))
                place = DefaultPartitioner()(line.customer_id.encode(), partitions, partitions)
                with suppress(KafkaError, TimeoutError):  # permission to write does not imply permission to read
                    async with asyncio.timeout(LOOK_SECONDS):
                        if held := await _find(self._connection, TopicPartition(line.topic, place), line):
                            warn(held)
            await self._send_all(producer)
        finally:
            await producer.stop()  # waits for what is on its way
            await asyncio.sleep(0)  # and lets it be counted
        self._raise_failure()

    def _first_lines(self) -> list[Line]:
        """Return the first record of each topic, among the first ones of all."""
        found: dict[str, Line] = {}
        for line in islice(self._lines(), RECORDS_LOOKED_AT):
            if line.event_id:
                found.setdefault(line.topic, line)
        return list(found.values())

    async def _start(self, producer: AIOKafkaProducer) -> None:
        try:
            async with asyncio.timeout(START_SECONDS):
                await producer.start()
        except (KafkaConnectionError, TimeoutError, OSError) as error:
            await producer.stop()
            servers = self._connection.bootstrap_servers
            reason = await self._connection.refusal() or str(error) or "no answer in time"
            raise BrokerUnreachable(f"no Kafka broker answers at {servers} ({reason})") from error
        except KafkaError as error:
            await producer.stop()
            raise TopicRefused(f"Kafka at {self._connection.bootstrap_servers} refuses: {error}") from error
        there = (await producer.client.fetch_all_metadata()).topics()
        missing = [topic for topic in self._topics if topic not in there]
        if missing:
            await producer.stop()
            raise ConfigurationError(
                f"topic {missing[0]} is missing, or kept from this user; `segmenter topics create` makes it"
            )

    async def _send_all(self, producer: AIOKafkaProducer) -> None:
        pace = self._pace
        unpaced = 0 if pace.live_records is None else max(0, self._count - pace.live_records)
        started = time.monotonic()
        for number, line in enumerate(self._lines()):
            self._raise_failure()
            if pace.records_per_second is not None and number >= unpaced:
                if number == unpaced:
                    started = time.monotonic()
                ahead = (number - unpaced) / pace.records_per_second - (time.monotonic() - started)
                if ahead > PACE_SECONDS:
                    await asyncio.sleep(ahead)
            try:
                future = await producer.send(
                    line.topic, _shifted(line.payload, self._shift_ms), line.customer_id.encode()
                )
            except KafkaError as error:
                raise self._refused(line.topic, error) from error
            future.add_done_callback(lambda done, topic=line.topic: self._acknowledge(topic, done))
            self._watch(number + 1, line.at_ms + self._shift_ms)

    def _acknowledge(self, topic: str, done: asyncio.Future[object]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self._failure = self._failure or self._refused(topic, error)
        else:
            self.sent[topic] += 1

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _refused(self, topic: str, error: BaseException) -> TopicRefused:
        return TopicRefused(f"topic {topic}: Kafka at {self._connection.bootstrap_servers} takes no record: {error!r}")


async def _find(connection: KafkaConnection, place: TopicPartition, line: Line) -> Held | None:
    """Return where a partition holds a record already, if that is among its first or its last ones."""
    key = line.customer_id.encode()
    async with committed_reader(connection) as consumer:
        consumer.assign([place])
        first, end = (await consumer.beginning_offsets([place]))[place], (await consumer.end_offsets([place]))[place]
        for begin in sorted({first, max(first, end - RECORDS_LOOKED_AT)}):
            consumer.seek(place, begin)
            at, until = begin, min(end, begin + RECORDS_LOOKED_AT)
            while at < until:
                for record in (await consumer.getmany(place, timeout_ms=POLL_MS)).get(place, ()):
                    if record.key == key and _event_id(record.value) == line.event_id:
                        return Held(place.topic, place.partition, record.offset, line)
                at = await consumer.position(place)
    return None


def _event_id(payload: bytes | None) -> str | None:
    try:
        return _identify.decode(payload or b"").event_id
    except msgspec.DecodeError:
        return None


def _shifted(payload: bytes, shift_ms: int) -> bytes:
    if not shift_ms:
        return payload
    record = msgspec.json.decode(payload)
    for name in _TIME_FIELDS:
        if record.get(name) is not None:
            at_ms = to_milliseconds(datetime.fromisoformat(record[name]))
            record[name] = format_instant(at_ms + shift_ms)
    return msgspec.json.encode(record)
