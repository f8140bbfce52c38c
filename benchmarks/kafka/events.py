"""The events that every contender gets: drawn once, the same bytes for the same seed and the same day.

One purchase for three engagements; the customers' activity is log-normal, so that a few are very busy and many are
rarely seen. Events arrive ordered by time but for a small disorder, as from many tills and phones.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from confluent_kafka import Producer

from stream_app.core.clock import DAY_MS, SECOND_MS, format_instant

DAYS = 90
PURCHASE_SHARE = 4
"""One event in so many is a purchase."""
ACTIVITY_SIGMA = 1.5
"""Of the log-normal activity: the busiest tenth of the customers then makes about 60 % of the events."""
DISORDER_MS = 20 * SECOND_MS
"""Mean delay of an event on its way, exponentially distributed."""

_CHANNELS = ("web", "app", "store", "phone")
_TYPES = ("product_viewed", "product_added", "session_started", "search", "email_opened", "email_clicked")
_encode = msgspec.json.Encoder().encode


class Totals(NamedTuple):
    """What a contender must have counted in the end."""

    events: int
    customers: int
    purchases: int
    revenue_minor: int


class Record(NamedTuple):
    """What is produced."""

    topic: str
    key: bytes
    value: bytes
    at_ms: int


@dataclass(frozen=True)
class Events:
    """Columns of events in the order of their arrival."""

    event_ids: list[str]
    customers: npt.NDArray[np.int64]
    are_purchases: npt.NDArray[np.bool_]
    amounts_minor: npt.NDArray[np.int64]
    choices: npt.NDArray[np.int64]
    """What the remaining fields are picked by."""
    at_ms: npt.NDArray[np.int64]

    def totals(self) -> Totals:
        """Return the truth."""
        revenue_minor = int(self.amounts_minor[self.are_purchases].sum())
        customers = np.unique(self.customers).size
        return Totals(len(self.event_ids), customers, int(self.are_purchases.sum()), revenue_minor)

    def encode(self, number: int, prefix: str, at_ms: int) -> Record:
        """Return an event as a record, with all fields that are usual."""
        customer_id = f"customer-{self.customers[number]:07d}"
        choice = int(self.choices[number])
        event = {
            "event_id": self.event_ids[number],
            "customer_id": customer_id,
            "occurred_at": format_instant(at_ms),
            "channel": _CHANNELS[choice % 4],
        }
        if self.are_purchases[number]:
            amount_minor = int(self.amounts_minor[number])
            event |= {
                "type": "order_completed",
                "order_id": f"order-{number:08d}",
                "total": f"{amount_minor // 100}.{amount_minor % 100:02d}",
                "currency": "EUR",
                "items": 1 + choice % 5,
                "store_id": f"store-{choice % 40:02d}",
                "products": [f"sku-{(choice + item * 37) % 9_000:05d}" for item in range(1 + choice % 3)],
            }
            return Record(f"{prefix}purchases", customer_id.encode(), _encode(event), at_ms)
        event_type = _TYPES[choice % len(_TYPES)]
        event["type"] = event_type
        if event_type.startswith("email"):
            event["campaign_id"] = f"campaign-{choice % 25:02d}"
        return Record(f"{prefix}engagements", customer_id.encode(), _encode(event), at_ms)

    def records(self, prefix: str) -> Iterator[Record]:
        """Yield every event with its own time."""
        for number, at_ms in enumerate(self.at_ms.tolist()):
            yield self.encode(number, prefix, at_ms)


def draw_events(count: int, customers: int, seed: int = 0) -> Events:
    """Draw events of the 90 days up to the last midnight."""
    rng = np.random.default_rng(seed)
    activity = rng.lognormal(0, ACTIVITY_SIGMA, customers)
    are_purchases = np.arange(count) % PURCHASE_SHARE == 0
    rng.shuffle(are_purchases)
    midnight_ms = int(time.time() * SECOND_MS) // DAY_MS * DAY_MS
    at_ms = midnight_ms - DAYS * DAY_MS + rng.integers(0, DAYS * DAY_MS, count)
    arrival = np.argsort(at_ms + rng.exponential(DISORDER_MS, count))
    return Events(
        event_ids=_draw_ids(rng, count),
        customers=rng.choice(customers, count, p=activity / activity.sum()),
        are_purchases=are_purchases,
        amounts_minor=np.rint(rng.lognormal(8, 0.8, count)).astype(np.int64) + 100,
        choices=rng.integers(0, 1 << 20, count),
        at_ms=at_ms[arrival],
    )


def draw_first_purchases(customers: int, seed: int = 0) -> Events:
    """Draw one purchase of each customer, in the hours before the last midnight."""
    events = draw_events(customers, customers, seed)
    midnight_ms = int(events.at_ms.max()) // DAY_MS * DAY_MS + DAY_MS
    return Events(
        event_ids=events.event_ids,
        customers=np.arange(customers),
        are_purchases=np.ones(customers, bool),
        amounts_minor=events.amounts_minor,
        choices=events.choices,
        at_ms=np.sort(midnight_ms - 1 - np.arange(customers) * 10 % (DAY_MS // 4)),
    )


def _draw_ids(rng: np.random.Generator, count: int) -> list[str]:
    halves = rng.integers(0, 1 << 63, (count, 2)).tolist()
    event_ids = [f"{high:016x}-{low:016x}" for high, low in halves]
    assert len(set(event_ids)) == count
    return event_ids


def create_producer(bootstrap: str, linger_ms: int) -> Producer:
    """Return a producer that partitions as Java's and aiokafka's do; librdkafka's own default differs."""
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "linger.ms": linger_ms,
            "enable.idempotence": True,
            "queue.buffering.max.messages": 200_000,
        }
    )


def produce(bootstrap: str, records: Iterable[Record]) -> int:
    """Produce records with their own times as the records' timestamps; return how many."""
    producer = create_producer(bootstrap, linger_ms=5)
    failures: list[str] = []
    sent = 0

    def note(error: object, _message: object) -> None:
        if error is not None:
            failures.append(str(error))

    for sent, record in enumerate(records, start=1):  # noqa: B007  (the count is returned)
        while True:
            try:
                producer.produce(record.topic, record.value, record.key, timestamp=record.at_ms, on_delivery=note)
                break
            except BufferError:
                producer.poll(0.05)
        producer.poll(0)
    if producer.flush(60) or failures:
        raise RuntimeError(f"events could not be produced: {failures[:1] or 'no answer within 60 s'}")
    return sent
