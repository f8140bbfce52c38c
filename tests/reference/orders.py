"""The ledger of a customer's recent orders: what was completed, what was refunded, and what that takes back.

The reference that `native/orders.c`, which states the theory, is compared with byte by byte.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from stream_app.core.clock import DAY_MS
from stream_app.core.quantities import ORDER_HALF_LIFE_DAYS
from tests.reference.scalars import exp2, log

ORDER: Final = struct.Struct("<8sqqqH")
"""An order in the ledger: digest, instant, completed minor units, refunded minor units, completions."""
ORDER_LIMIT: Final = 16
"""How many orders a customer remembers, latest last: about five months of a customer who buys every nine days."""
ORDER_RATE: Final = 1 / (ORDER_HALF_LIFE_DAYS * DAY_MS)
"""Halvings of an order's weight in a millisecond."""
LEDGER_BYTES: Final = ORDER_LIMIT * ORDER.size


class Order(NamedTuple):
    """An entry of the ledger. `at_ms` is that of the last completion, or of the last refund if none is known."""

    digest: bytes
    at_ms: int
    completed_minor: int
    refunded_minor: int
    completions: int

    def __add__(self, other: Order) -> Order:  # type: ignore[override]
        """Return both entries as one; commutative and associative."""
        if bool(self.completions) == bool(other.completions):
            at_ms = max(self.at_ms, other.at_ms)
        else:
            at_ms = self.at_ms if self.completions else other.at_ms
        return Order(
            self.digest,
            at_ms,
            self.completed_minor + other.completed_minor,
            self.refunded_minor + other.refunded_minor,
            self.completions + other.completions,
        )

    def correction(self) -> tuple[int, int, float]:
        """Return the orders, the minor units and the log order values, all ≥ 0, that refunds take back at `at_ms`.

        What refunds leave is spread evenly over the completions. If they leave nothing, all log order values go: those
        of an order completed several times, at different values, as if each had been of their mean.
        """
        completed, refunded, completions = self.completed_minor, self.refunded_minor, self.completions
        if not (completions and refunded):
            return 0, refunded, 0.0
        left = completed - min(refunded, completed)
        logs = log_order_value(completed / completions) - log_order_value(left / completions)
        return 0 if left else completions, completed - left, completions * logs


def log_order_value(minor: float) -> float:
    """Return the logarithm of an order's value in minor units, that of 1 for less."""
    return log(minor) if minor > 1 else 0.0


Entered: TypeAlias = tuple[bytes, tuple[tuple[int, Order], ...]]
"""A ledger, and the entries whose corrections to add (1) or subtract (−1)."""


def unpack_orders(ledger: bytes) -> list[Order]:
    """Return the entries of a ledger, oldest first."""
    return [Order._make(fields) for fields in ORDER.iter_unpack(ledger)]


def pack_orders(orders: list[Order]) -> bytes:
    """Return the ledger of the latest orders, oldest first: what is forgotten depends on content, not arrival."""
    latest = sorted(orders, key=lambda order: (order.at_ms, order.digest))[-ORDER_LIMIT:]
    return b"".join(ORDER.pack(*order) for order in latest)


def complete_order(ledger: bytes, order_digest: bytes, at_ms: int, amount_minor: int) -> Entered:
    """Do as `enter_order` for a completion."""
    if ledger.find(order_digest) < 0 and (not ledger or at_ms > ORDER.unpack_from(ledger, len(ledger) - ORDER.size)[1]):
        # The usual case by far, a new order after all known ones, stays clear of unpacking the ledger.
        return (ledger + ORDER.pack(order_digest, at_ms, amount_minor, 0, 1))[-LEDGER_BYTES:], ()
    return enter_order(ledger, Order(order_digest, at_ms, amount_minor, 0, 1))


def enter_order(ledger: bytes, order: Order) -> Entered:
    """Enter a completion or refund."""
    orders = unpack_orders(ledger)
    known = next((entry for entry in orders if entry.digest == order.digest), None)
    if known is None:
        return pack_orders([*orders, order]), ((-1, order),)
    orders.remove(known)
    both = known + order
    return pack_orders([*orders, both]), ((1, known), (-1, both))


class Correction(NamedTuple):
    """What refunds change in the totals of a row.

    Attributes
    ----------
    purchases
        Number of orders.
    orders_decayed, revenue_decayed
        As of the instant asked for.
    log_order_values
        As in the row.
    """

    purchases: int
    orders_decayed: float
    revenue_decayed: float
    log_order_values: float


def total_correction(changes: Sequence[tuple[int, Order]], as_of_ms: int) -> Correction:
    """Return what to add to the totals; `changes` are entries whose correction is taken out (1) or put in (−1)."""
    purchases, orders_decayed, revenue_decayed, log_order_values = 0, 0.0, 0.0, 0.0
    for sign, order in changes:
        undone, minor, logs = order.correction()
        weight = sign * exp2((order.at_ms - as_of_ms) * ORDER_RATE)
        purchases += sign * undone
        orders_decayed += undone * weight
        revenue_decayed += minor * weight
        log_order_values += sign * logs
    return Correction(purchases, orders_decayed, revenue_decayed, log_order_values)
