"""Purchases, engagements and profiles of a few customers over some months, with all that can be wrong with them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import NamedTuple

from aiokafka.partitioner import murmur2

from stream_app.core.clock import DAY_MS, format_instant
from tests.support.events import START_MS

DAYS = 200
SAID_OF_ORDERS = ("order_completed", "order_updated", "order_refunded", "order_refunded", "order_cancelled")
"""Also once more that one was completed, under another event id. Returns may name no customer."""
LAST = {
    "purchases": '"order_id": "last", "total": "1.00", "currency": "EUR"',
    "engagements": '"type": "product_viewed"',
    "profiles": '"traits": {"is_last": true}',
}
END_MS = START_MS + DAYS * DAY_MS


class Input(NamedTuple):
    """A record that producers send; `topic` is the contract's."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None


def partition_of(key: bytes, partitions: int) -> int:
    """Return where a key belongs."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def time_of(topic: str) -> str:
    """Return the name of the field that holds the instant."""
    return "observed_at" if topic == "profiles" else "occurred_at"


def drawn_inputs(drawn: random.Random, records: int, customers: int, partitions: int) -> Iterator[Input]:
    """Give records in the order in which they are sent: by time, but for some that are late."""
    home = {number: partition_of(f"c{number}".encode(), partitions) for number in range(customers)}
    instants = sorted(drawn.randrange(DAYS * DAY_MS) for _ in range(records))
    orders: list[tuple[int, int]] = []
    for number, instant in enumerate(instants):
        late_ms = drawn.randrange(10 * DAY_MS) if drawn.random() < 0.05 else 0
        at = format_instant(START_MS + max(instant - late_ms, 0))
        customer, is_named = drawn.randrange(customers), True
        draw = drawn.random()
        if draw < 0.5:
            topic = "engagements"
            rest = f'"type": "product_viewed", "properties": {{"pages": {drawn.randrange(6)}}}'
        elif draw < 0.6:
            topic, plan = "profiles", drawn.choice(['"gold"', '"silver"', '"free"', "null"])
            rest = f'"traits": {{"plan": {plan}}}'
        elif draw < 0.72 and orders:
            topic = "purchases"
            customer, order = drawn.choice(orders)
            said = drawn.choice(SAID_OF_ORDERS)
            rest = f'"type": "{said}", "order_id": "o{order}", "total": "5.00", "currency": "EUR"'
            is_named = said in ("order_completed", "order_updated") or drawn.random() < 0.5
        else:
            topic = "purchases"
            orders.append((customer, number))
            total = drawn.randrange(1, 30_000)
            rest = f'"order_id": "o{number}", "total": "{total / 100:.2f}", "currency": "EUR"'
        customer_id = f"c{customer}"
        time = time_of(topic)
        who = f'"customer_id": "{customer_id}", ' if is_named else ""
        value = f'{{"event_id": "e{number}", {who}"{time}": "{at}", {rest}}}'.encode()
        key = customer_id if is_named else drawn.choice([customer_id, customer_id, f"o{number}", None])
        place = home[customer] if key is None else partition_of(key.encode(), partitions)
        record = Input(topic, place, key and key.encode(), value)
        fate = drawn.random()
        if fate < 0.03:
            yield record._replace(partition=drawn.randrange(partitions))
            continue
        yield record
        if fate < 0.08:
            yield record
        elif fate < 0.10:
            yield record._replace(value=value[: drawn.randrange(len(value))])
        elif fate < 0.11:
            yield record._replace(value=None)
        elif fate < 0.12:
            yield record._replace(key=b"somebody else")
        elif fate < 0.13:
            far = json.loads(value) | {time: "2099-01-01T00:00:00Z"}
            yield record._replace(value=json.dumps(far).encode())


def drawn_statements(drawn: random.Random, customers: int) -> list[Input]:
    """Draw links and merges of customers, some of which are not to be believed, and one that cannot be read."""
    statements = []
    for _ in range(drawn.randrange(1, max(customers // 2, 2))):
        alias, customer = (f"c{each}" for each in drawn.sample(range(customers), 2))
        kind = drawn.choice(["merge", "merge", "link"])
        at = format_instant(START_MS + drawn.randrange(DAYS * DAY_MS))
        said = f'"type": "{kind}", "customer_id": "{customer}", "alias": "{alias}", "observed_at": "{at}"'
        value = f"{{{said}}}".encode()
        fate = drawn.random()
        if fate < 0.1:
            value = value[: drawn.randrange(len(value))]
        statements.append(Input("identities", 0, customer.encode(), value if fate < 0.95 else None))
        statements += statements[-1:] if fate > 0.85 else []
    return statements


def poison(drawn: random.Random, inputs: list[Input]) -> None:
    """Date a few records far from all others: at the end of the time that is sent, and in 1970."""
    for _ in range(drawn.randrange(1, 4)):
        index = drawn.randrange(len(inputs))
        topic, *_, value = inputs[index]
        try:
            fields = json.loads(value or b"")
        except ValueError:
            continue
        wrong = drawn.choice([format_instant(END_MS - DAY_MS), "1970-01-01T00:00:00.000Z"])
        inputs[index] = inputs[index]._replace(value=json.dumps(fields | {time_of(topic): wrong}).encode())


def last_inputs(customers: int, partitions: int) -> list[Input]:
    """Return a last record for each partition of each topic, as far as customers live there."""
    at, last = format_instant(END_MS), []
    homes = {partition_of(f"c{number}".encode(), partitions): f"c{number}" for number in range(customers)}
    for partition, customer_id in homes.items():
        for topic, rest in LAST.items():
            value = f'{{"event_id": "{topic}", "customer_id": "{customer_id}", "{time_of(topic)}": "{at}", {rest}}}'
            last.append(Input(topic, partition, customer_id.encode(), value.encode()))
    return last
