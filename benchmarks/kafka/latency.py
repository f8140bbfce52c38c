"""From an event's produce time to its migration, at 1,000 events a second.

Append: until the broker appended the migration (`LogAppendTime`, in whole milliseconds). Seen: until a reader of
committed records holds it, which is what a transaction's commit is waited for; this counts the reader's own time as
well. Every contender begins without customers, so that many events are a migration. The time until the
broker is warm is left out.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from confluent_kafka import Consumer, TopicPartition

from benchmarks.kafka.cluster import PARTITIONS, Cluster
from benchmarks.kafka.events import Events, create_producer, draw_events
from benchmarks.kafka.ours import START_SECONDS, Worker
from benchmarks.kafka.throughput import Contender, produced_inputs
from stream_app.core.clock import SECOND_MS

EVENTS_PER_SECOND = 1_000
WARM_UP_SECONDS = 40
"""Until the broker's Java code for many small requests is compiled: before that a bare loop waits 100 ms as well."""
CUSTOMERS = 20_000
DRAIN_SECONDS = 60


@dataclass(frozen=True)
class Latency:
    """Milliseconds, at the median and at the 99th percentile."""

    migrations: int
    append_p50: float
    append_p99: float
    seen_p50: float
    seen_p99: float


class Reader:
    """Follows migrations in a thread, as a consumer of ours would."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.times: dict[str, tuple[float, float]] = {}
        """Append and sight, in milliseconds since the epoch, by the id of the event that is the cause."""
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "bench-latency",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,
            }
        )
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """Read what is left, and end."""
        time.sleep(1)
        self._stopping.set()
        self._thread.join()
        self._consumer.close()
        if self._failure is not None:
            raise RuntimeError(f"a migration cannot be read: {self._failure!r}")

    def _run(self) -> None:
        while not self._stopping.is_set():
            message = self._consumer.poll(0.1)
            if message is None or message.error() is not None:
                continue
            seen_ms = time.time() * SECOND_MS
            try:
                event_id = json.loads(message.value())["cause"]["event_id"]
            except (ValueError, TypeError, KeyError) as failure:
                self._failure = failure
                return
            self.times[event_id] = message.timestamp()[1], seen_ms


def measure_latency(cluster: Cluster, contender: Contender, seconds: int, folder: Path) -> Latency:
    """Run one contender on inputs of its own."""
    inputs = f"latency-{contender.name}-"
    events = draw_events((WARM_UP_SECONDS + seconds) * EVENTS_PER_SECOND, CUSTOMERS, seed=1)
    cluster.create(produced_inputs(inputs))
    if contender.is_ours:
        worker = Worker(cluster, inputs, "worker", folder)
        worker.create_topics()
        process = worker.start()
        topic = worker.names.migrations
    else:
        process = contender.start(cluster, inputs, inputs, len(events.event_ids), folder)
        topic = inputs + "migrations"
    try:
        if contender.is_ours:
            worker.wait_until_ready(process)
        else:
            process.wait_for_mark("ready", START_SECONDS)
        reader = Reader(cluster.bootstrap, topic)
        try:
            time.sleep(2)  # for the first, empty fetches of both
            produced = _produce(cluster.bootstrap, events, inputs)
            if contender.is_ours:
                worker.wait_until_drained(process)
            else:
                process.wait_for_mark("drained", DRAIN_SECONDS)
        finally:
            reader.stop()
    finally:
        process.stop()
    return _summarise(produced, reader.times, events.event_ids)


def _produce(bootstrap: str, events: Events, inputs: str) -> dict[str, float]:
    """Produce at an even pace; return the milliseconds since the epoch by event id."""
    producer = create_producer(bootstrap, linger_ms=0)
    produced: dict[str, float] = {}
    start = time.time()
    for number, event_id in enumerate(events.event_ids):
        due = start + number / EVENTS_PER_SECOND
        producer.poll(0)
        time.sleep(max(0.0, due - time.time()))
        now_ms = time.time() * SECOND_MS
        record = events.encode(number, inputs, int(now_ms))
        producer.produce(record.topic, record.value, record.key, timestamp=record.at_ms)
        produced[event_id] = now_ms
    if producer.flush(30):
        raise RuntimeError("events could not be produced")
    return produced


def _summarise(produced: dict[str, float], found: dict[str, tuple[float, float]], event_ids: list[str]) -> Latency:
    measured = [event_id for event_id in event_ids[WARM_UP_SECONDS * EVENTS_PER_SECOND :] if event_id in found]
    if not measured:
        raise RuntimeError("no migration was seen")
    times = np.array([found[event_id] for event_id in measured])
    waits = times - np.array([produced[event_id] for event_id in measured])[:, None]
    (append_p50, seen_p50), (append_p99, seen_p99) = np.percentile(waits, (50, 99), axis=0)
    return Latency(len(measured), append_p50, append_p99, seen_p50, seen_p99)
