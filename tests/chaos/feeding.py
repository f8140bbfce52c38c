"""Producing input, with a count of what the broker has acknowledged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import KafkaError, Message, Producer

from tests.chaos.traffic import IDENTITIES, Record

DELIVERY_SECONDS: Final = 180
"""Longer than any fault lasts."""

PORTIONS_PER_SECOND: Final = 20


class FeedFailed(Exception):
    """A record could not be produced."""


class Feeder:
    """Produces records to a deployment's input topics.

    Parameters
    ----------
    bootstrap_servers
        The broker.
    prefix
        Of the topics.
    """

    def __init__(self, bootstrap_servers: str, prefix: str) -> None:
        self.ends: dict[tuple[str, int], int] = {}
        self._prefix = prefix
        self._failure: KafkaError | None = None
        self._lock = threading.Lock()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "linger.ms": 5,
                "message.timeout.ms": DELIVERY_SECONDS * 1_000,
                "queue.buffering.max.messages": 1_000_000,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )

    def feed(self, records: Iterable[Record]) -> None:
        """Produce records and return once all are acknowledged."""
        with self._lock:
            self._produce(records)
            self._producer.flush(DELIVERY_SECONDS)
        self._check()

    def begin(self, records: Iterable[Record]) -> None:
        """Produce records without waiting for the broker."""
        with self._lock:
            self._produce(records)

    def settle(self) -> None:
        """Return once everything that was begun is acknowledged."""
        self.feed(())

    def _produce(self, records: Iterable[Record]) -> None:
        for index, (topic, key, value, partition) in enumerate(records):
            more: dict[str, Any] = {} if partition is None else {"partition": partition}
            self._producer.produce(self._prefix + topic, value, key, on_delivery=self._delivered, **more)
            if index % 500 == 0:
                self._producer.poll(0)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failure = error
            return
        if str(message.topic()) == self._prefix + IDENTITIES:
            return  # no partition's input: all workers read it
        at = str(message.topic()), int(message.partition() or 0)
        self.ends[at] = max(self.ends.get(at, 0), int(message.offset() or 0) + 1)

    def _check(self) -> None:
        if self._failure is not None:
            raise FeedFailed(f"a record could not be produced: {self._failure}")
        if len(self._producer):
            raise FeedFailed(f"{len(self._producer)} records are not acknowledged after {DELIVERY_SECONDS} s")


class ContinuousFeed:
    """Produces at an even rate in the background while it is entered.

    Parameters
    ----------
    feeder
        To produce with.
    take
        Gives so many more records; nobody else may call it meanwhile.
    per_second
        How many in a second.
    """

    def __init__(self, feeder: Feeder, take: Callable[[int], list[Record]], per_second: int) -> None:
        self._feeder = feeder
        self._take = take
        self._per_second = per_second
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        if error is None:
            self._feeder.settle()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._is_over.wait(max(due - time.monotonic(), 0)):
            self._feeder.begin(self._take(max(self._per_second // PORTIONS_PER_SECOND, 1)))
            due += 1 / PORTIONS_PER_SECOND  # and not from now: a busy machine would get less
