"""The ledger of a customer's recent orders: what each is now, whatever was said of it and in whatever order.

The reference that `native/orders.c`, which states the theory, is compared with byte by byte.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from stream_app.core.clock import DAY_MS
from stream_app.core.events import ALL_LEFT, CANCELS, PURCHASE, Event
from stream_app.core.quantities import ORDER_HALF_LIFE_DAYS
from tests.reference.scalars import exp2, log

ORDER: Final = struct.Struct("<8sqqqqH")
"""An order in the ledger: digest, instant, instant and amount of the latest statement, refunded minor units, counts."""
ORDER_LIMIT: Final = 16
"""How many orders a customer remembers, latest last: about five months of a customer who buys every nine days."""
ORDER_RATE: Final = 1 / (ORDER_HALF_LIFE_DAYS * DAY_MS)
"""Halvings of an order's weight in a millisecond."""
STATED, CANCELLED, RETURNED = 1, 2, 4
"""Flags: it was stated, cancelled, returned as a whole."""
_FLAG_BITS: Final = 3
REFUNDS_MAX: Final = 8_191


class Worth(NamedTuple):
    """What an order adds to a row's totals: one or none, minor units, logarithm of its value."""

    orders: int
    minor: int
    logs: float


NO_WORTH: Final = Worth(0, 0, 0.0)


class Order(NamedTuple):
    """An entry of the ledger; see `native/orders.c` for what its fields say."""

    digest: bytes
    at_ms: int
    stated_at_ms: int = 0
    stated_minor: int = 0
    refunded_minor: int = 0
    flags: int = 0
    refunds: int = 0

    @property
    def is_stated(self) -> bool:
        """Whether anybody has said what the order is."""
        return bool(self.flags & STATED)

    def join(self, other: Order) -> Order:
        """Return both entries as one; commutative and associative."""
        stated = [entry for entry in (self, other) if entry.is_stated]
        latest = max(stated, key=lambda entry: (entry.stated_at_ms, entry.stated_minor), default=other)
        instants = [entry.at_ms for entry in stated or (self, other)]
        return Order(
            self.digest,
            min(instants) if stated else max(instants),
            latest.stated_at_ms,
            latest.stated_minor,
            self.refunded_minor + other.refunded_minor,
            self.flags | other.flags,
            min(self.refunds + other.refunds, REFUNDS_MAX),
        )

    @property
    def worth(self) -> Worth:
        """What the order adds to the totals."""
        if self.flags & (CANCELLED | RETURNED):
            return NO_WORTH
        if not self.is_stated:
            return Worth(0, -self.refunded_minor, 0.0)
        left = self.stated_minor - min(self.stated_minor, self.refunded_minor)
        if left == 0 and self.refunded_minor:
            return NO_WORTH
        return Worth(1, left, log_order_value(left))

    def pack(self) -> bytes:
        """Return the entry as it stands in a row."""
        return ORDER.pack(*self[:5], self.flags | self.refunds << _FLAG_BITS)


def log_order_value(minor: float) -> float:
    """Return the logarithm of an order's value in minor units, that of 1 for less."""
    return log(minor) if minor > 1 else 0.0


def weight_at(at_ms: int, as_of_ms: int) -> float:
    """Return what an order at an instant weighs as of another one."""
    return exp2((at_ms - as_of_ms) * ORDER_RATE)


def order_of(event: Event, digest: bytes) -> Order:
    """Return the entry that one event alone makes."""
    if event.kind == PURCHASE:
        return Order(digest, event.at_ms, event.stated_at_ms, event.amount_minor, flags=STATED)
    if event.amount_minor == CANCELS:
        return Order(digest, event.at_ms, flags=CANCELLED)
    if event.amount_minor == ALL_LEFT:
        return Order(digest, event.at_ms, flags=RETURNED, refunds=1)
    return Order(digest, event.at_ms, refunded_minor=event.amount_minor, refunds=1)


def unpack_orders(ledger: bytes) -> list[Order]:
    """Return the entries of a ledger, oldest first."""
    flags = (1 << _FLAG_BITS) - 1
    return [Order(*fields, counts & flags, counts >> _FLAG_BITS) for *fields, counts in ORDER.iter_unpack(ledger)]


def sort_orders(orders: list[Order]) -> tuple[list[Order], list[Order]]:
    """Return the latest orders, oldest first, and those beyond: what is forgotten depends on content, not arrival."""
    ordered = sorted(orders, key=lambda order: (order.at_ms, order.digest))
    beyond = max(len(ordered) - ORDER_LIMIT, 0)
    return ordered[beyond:], ordered[:beyond]
