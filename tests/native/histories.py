"""Events, some of simulated customers and some that no shop ever sees, as records of the compiled library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ctypes import POINTER, c_int32, c_int64, c_void_p
from datetime import date
from itertools import count, islice
from random import Random

import numpy as np
from xxhash import xxh3_64_intdigest

from stream_app.core.clock import DAY_MS
from stream_app.core.customers import CustomerTable
from stream_app.core.events import ALL_LEFT, CANCELS, ENGAGEMENT, EVENT_KINDS, PURCHASE, REFUND, Event
from stream_app.native.library import address, function
from stream_app.native.structures import EVENT_DTYPE, Columns
from stream_app.simulator.events import PURCHASE as ORDERED
from stream_app.simulator.events import REFUND as RETURNED
from stream_app.simulator.events import Draw
from stream_app.simulator.populations import POPULATIONS
from tests.support.events import START_MS

FOLDED, QUIET, REPEATED, TOO_OLD = range(4)
"""What `fold` says of an event."""
_STYLES = {"near": 2, "far": 400, "years": 2_000, "ordered": 0}
"""Days that the events of a wild customer lie apart, in any order; 0 for some that come in order."""


def wild_events(seed: int, size: int, customers: int) -> Iterator[Event]:
    """Yield events in any order: refunds before orders, orders over and over, more than memories hold, years apart."""
    random = Random(seed)
    styles: dict[str, str] = {}
    for number in range(size):
        customer = f"w{random.randrange(customers)}"
        days = _STYLES[styles.setdefault(customer, random.choice(list(_STYLES)))]
        at_ms = START_MS + (random.randrange(days * DAY_MS) if days else number * 3_600_000)
        at_ms -= at_ms % random.choice((1, 1, 1_000, 3_600_000, DAY_MS))
        kind = random.choice((0, 0, 1, 2, 2))
        event_id = f"e{random.randrange(number + 1) if random.random() < 0.1 else number}"
        if kind == ENGAGEMENT:
            yield Event(kind, customer, event_id, at_ms, "product_viewed")
            continue
        amount = random.choice((0, 1, 100, 250, 99_999, 2**32 - 1, 2**32, 10**13, 2**53 + random.randrange(2**50)))
        order_id = f"o{random.randrange(random.choice((3, 12, 40, 400)))}"
        if kind == REFUND:
            amount = random.choice((amount, amount, amount, ALL_LEFT, CANCELS))
        updated_at_ms = at_ms + random.choice((0, 1, DAY_MS, -DAY_MS, 2**33)) if random.random() < 0.3 else None
        if kind != PURCHASE:
            updated_at_ms = None
        yield Event(kind, customer, event_id, at_ms, EVENT_KINDS[kind], amount, order_id, b"", updated_at_ms)


def simulated_events(seed: int, customers: int = 200, days: int = 540) -> Iterator[Event]:
    """Yield events of a shop's customers, some late and some twice."""
    random = Random(seed)
    draw = Draw(customers=customers, days=days, seed=seed, start=date(2024, 1, 1), refund_rate=0.12)
    _, columns = POPULATIONS["shop"].draw(draw)
    kinds = {ORDERED: 0, RETURNED: 1}
    delayed: list[Event] = []
    for number, (at_ms, customer, kind, order, amount, _) in enumerate(
        zip(*(c.tolist() for c in columns), strict=True)
    ):
        event = Event(
            kinds.get(kind, ENGAGEMENT), f"s{customer}", f"s{number}", START_MS + at_ms, "any", amount,
            "" if order < 0 else f"s{order}",
        )  # fmt: skip
        if random.random() < 0.03:
            delayed.append(event)
        else:
            yield event
        if random.random() < 0.02:
            yield event
        if delayed and random.random() < 0.02:
            yield delayed.pop(random.randrange(len(delayed)))


def mixed_events(seed: int, size: int) -> list[Event]:
    """Return so many events, half of them simulated and half wild."""
    simulated = (event for step in count() for event in simulated_events(seed + step))
    pairs = zip(simulated, wild_events(seed, size, max(size // 100, 1)), strict=False)
    return [event for pair in islice(pairs, size // 2) for event in pair]


def as_records(events: Sequence[Event]) -> np.ndarray:
    """Return what the scanner would make of events, without their texts."""
    records = np.zeros(len(events), EVENT_DTYPE)
    for record, event in zip(records, events, strict=True):
        record["kind"], record["at_ms"], record["amount_minor"] = event.kind, event.at_ms, event.amount_minor
        record["stated_at_ms"] = event.stated_at_ms
        record["event_digest"] = xxh3_64_intdigest(event.event_id.encode())
        record["order_digest"] = xxh3_64_intdigest(event.order_id.encode()) if event.order_id else 0
        record["customer_hash"] = xxh3_64_intdigest(event.customer_id.encode())
    return records


def fold(table: CustomerTable, numbers: np.ndarray, records: np.ndarray) -> np.ndarray:
    """Fold events into the rows given for each; return what each was."""
    pointer = c_void_p
    call = function("seg_fold_all", c_int32, pointer, POINTER(Columns), c_int64, pointer, pointer, pointer)
    outcomes, rows = np.empty(len(records), np.uint8), np.ascontiguousarray(numbers, np.int64)
    status = call(table.handle, table.columns(), len(records), address(rows), address(records), address(outcomes))
    assert status == 0
    return outcomes
