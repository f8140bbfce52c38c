"""Putting files of events on Kafka the way the worker wants them: keyed by customer, placed by murmur2, idempotent.

A line that is not understood is sent all the same, without a key: to judge records is the worker's task, and what it
refuses is among the dead letters.
"""

from __future__ import annotations

import asyncio
import gzip
import heapq
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError

from stream_app.adapters.kafka_client import START_SECONDS, KafkaConnection
from stream_app.core.clock import NO_TIME, format_instant, to_milliseconds
from stream_app.errors import BrokerUnreachable, ConfigurationError, TopicRefused

LINGER_MS: Final = 5
"""Records of so long go in one request."""
PACE_SECONDS: Final = 0.02
"""Sleeps shorter than this are saved up: an event loop's timer is not exact."""


@dataclass(frozen=True)
class Pace:
    """When records are sent.

    Parameters
    ----------
    records_per_second
        As fast as the brokers take them if not given.
    live_records
        Only the last so many are held to `records_per_second`; all if not given.
    shift_to_ms
        The newest time of a record is moved to this instant and all others with it; they stay if not given.
    """

    records_per_second: float | None = None
    live_records: int | None = None
    shift_to_ms: int | None = None


class Line(NamedTuple):
    """A record as it stands in a file."""

    at_ms: int
    topic: str
    payload: bytes
    customer_id: str | None


class _Peek(msgspec.Struct):
    customer_id: str | None = None
    occurred_at: str | None = None
    observed_at: str | None = None

    @property
    def at(self) -> str | None:
        """When it happened, by whichever name the contract has for that."""
        return self.observed_at if self.occurred_at is None else self.occurred_at


_TIME_FIELDS: Final = ("occurred_at", "observed_at")
_peek: Final = msgspec.json.Decoder(_Peek)


class FilesProducer:
    """Sends files, merged by time.

    Parameters
    ----------
    connection
        The cluster.
    files
        JSON lines, plain or gzip, by the topic that they go to.
    pace
        When.

    Attributes
    ----------
    sent
        Acknowledged records by topic.
    """

    def __init__(self, connection: KafkaConnection, files: Mapping[str, Sequence[Path]], pace: Pace) -> None:
        self._connection = connection
        self._files = files
        self._pace = pace
        self._failure: BaseException | None = None
        self.sent: Counter[str] = Counter()

    async def run(self) -> None:
        """Send everything; when cancelled, what is on its way is still acknowledged.

        Raises
        ------
        ConfigurationError
            If a file cannot be read, or a topic is missing.
        BrokerUnreachable
            If no broker answers.
        TopicRefused
            If the brokers do not take a record.
        """
        shift_ms, unpaced = self._survey()
        producer = AIOKafkaProducer(
            **self._connection.client_options(), enable_idempotence=True, linger_ms=LINGER_MS, compression_type="gzip"
        )
        await self._start(producer)
        try:
            await self._send_all(producer, shift_ms, unpaced)
        finally:
            await producer.stop()  # waits for what is on its way
            await asyncio.sleep(0)  # and lets it be counted
        self._raise_failure()

    def _survey(self) -> tuple[int, int]:
        """Return by how much times are moved, and how many records go before the pace holds."""
        pace = self._pace
        if pace.shift_to_ms is None and pace.live_records is None:
            return 0, 0
        count, newest_ms = 0, NO_TIME
        for line in self._lines():
            count += 1
            newest_ms = max(newest_ms, line.at_ms)
        shift_ms = 0 if pace.shift_to_ms is None or newest_ms == NO_TIME else pace.shift_to_ms - newest_ms
        return shift_ms, 0 if pace.live_records is None else max(0, count - pace.live_records)

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
        missing = [topic for topic, paths in self._files.items() if paths and topic not in there]
        if missing:
            await producer.stop()
            raise ConfigurationError(
                f"topic {missing[0]} is missing, or kept from this user; `segmenter topics create` makes it"
            )

    async def _send_all(self, producer: AIOKafkaProducer, shift_ms: int, unpaced: int) -> None:
        per_second = self._pace.records_per_second
        started = time.monotonic()
        for number, line in enumerate(self._lines()):
            self._raise_failure()
            if per_second is not None and number >= unpaced:
                if number == unpaced:
                    started = time.monotonic()
                ahead = (number - unpaced) / per_second - (time.monotonic() - started)
                if ahead > PACE_SECONDS:
                    await asyncio.sleep(ahead)
            key = None if line.customer_id is None else line.customer_id.encode()
            try:
                future = await producer.send(line.topic, _shifted(line, shift_ms), key)
            except KafkaError as error:
                raise self._refused(line.topic, error) from error
            future.add_done_callback(lambda done, topic=line.topic: self._acknowledge(topic, done))

    def _lines(self) -> Iterator[Line]:
        streams = [_read_lines(path, topic) for topic, paths in self._files.items() for path in paths]
        return heapq.merge(*streams, key=lambda line: line.at_ms)

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


def _read_lines(path: Path, topic: str) -> Iterator[Line]:
    """Yield the records of a file in its order; one without a time has that of the one before."""
    at_ms = NO_TIME
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for raw in file:
                payload = raw.rstrip(b"\r\n")
                if not payload:
                    continue
                customer_id = None
                try:
                    peek = _peek.decode(payload)
                    customer_id = peek.customer_id
                    if peek.at is not None:
                        at_ms = to_milliseconds(datetime.fromisoformat(peek.at))
                except (msgspec.DecodeError, ValueError, OverflowError):
                    pass  # the worker says what is wrong with it
                yield Line(at_ms, topic, payload, customer_id)
    except (OSError, EOFError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _shifted(line: Line, shift_ms: int) -> bytes:
    if not shift_ms:
        return line.payload
    try:
        fields = msgspec.json.decode(line.payload)
        name = next(name for name in _TIME_FIELDS if name in fields)
        at_ms = to_milliseconds(datetime.fromisoformat(fields[name]))
        return msgspec.json.encode(fields | {name: format_instant(at_ms + shift_ms)})
    except (msgspec.DecodeError, ValueError, OverflowError, StopIteration, TypeError):
        return line.payload
