"""Earlier rows, carried over: what they would say today of a customer whose events are long gone.

What cannot be known. Until version 4 an order that was told several times under its id had counted each time, and goes
on to; refunds of one order count as one; of which kind an id was is not said, so that it is taken for each kind that
the customer has; and of orders beyond the 16 of the ledger nobody knows the ids.

The reference that `native/earlier_rows.c`, which states the theory, is compared with byte by byte.
"""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.quantities import ORDER_HALF_LIFE_DAYS
from tests.reference.days import ACTIVE_DAYS, ENGAGED_DAYS
from tests.reference.ids import Ids
from tests.reference.orders import ORDER_LIMIT, ORDER_RATE, STATED, Order, log_order_value
from tests.reference.scalars import exp2, power

EARLIER_ACTIVITY: Final = struct.Struct("<5q5d4i")
"""The numbers of a row of version 1 or 2."""
_POWER: Final = ORDER_HALF_LIFE_DAYS / 90.0
"""What the weight of an order is raised to, to be that at the old half-life."""

EARLIER_ORDER: Final = struct.Struct("<8sqqqH")
"""An order until version 4: digest, instant, completed minor units, refunded minor units, completions."""


class EarlierOrder(NamedTuple):
    """An order until version 4. `at_ms` is that of the last completion, or of the last refund if none is known."""

    digest: bytes
    at_ms: int
    completed_minor: int
    refunded_minor: int
    completions: int

    def correction(self) -> tuple[int, int, float]:
        """Return the orders, the minor units and the log order values, all ≥ 0, that refunds take back at `at_ms`."""
        completed, refunded, completions = self.completed_minor, self.refunded_minor, self.completions
        if not (completions and refunded):
            return 0, refunded, 0.0
        left = completed - min(refunded, completed)
        logs = log_order_value(completed / completions) - log_order_value(left / completions)
        return 0 if left else completions, completed - left, completions * logs

    def state(self) -> Order:
        """Return what is known of the order now."""
        refunds = int(self.refunded_minor != 0 or not self.completions)
        if not self.completions:
            return Order(self.digest, self.at_ms, refunded_minor=self.refunded_minor, refunds=refunds)
        stated = self.at_ms, self.at_ms, self.completed_minor
        return Order(self.digest, *stated, self.refunded_minor, STATED, refunds)


def unpack_earlier_orders(ledger: bytes) -> list[EarlierOrder]:
    """Return the entries of a ledger until version 4."""
    return [EarlierOrder._make(fields) for fields in EARLIER_ORDER.iter_unpack(ledger)]


def earlier_ids(events: bytes, refunds: int, engagements: int, engaged_at_ms: int) -> bytes:
    """Return what the digests of a row's last events say of ids."""
    day, ids = engaged_at_ms // DAY_MS, Ids()
    for at in range(0, len(events), 8):
        if engagements:
            ids = ids.with_engagement(events[at : at + 8], day)
        if refunds:
            ids = ids.with_refund(events[at : at + 8])
    return ids.pack()


def carry_over(activity: bytes, ledger: bytes, active_day_bits: int, engaged_day_bits: int) -> dict[str, Any]:
    """Return the numbers of a row, by name, for an `EARLIER_ACTIVITY` record and what lay beside it."""
    (
        first_at_ms, purchased_at_ms, ordered_at_ms, engaged_at_ms, revenue_minor,
        orders_decayed, revenue_decayed, _engagement_decayed, _active_days, _engaged_days,
        _first_active_day, purchases, refunds, engagements,
    ) = EARLIER_ACTIVITY.unpack(activity)  # fmt: skip
    return {
        "first_at_ms": first_at_ms,
        "first_purchased_at_ms": _first_purchased_at_ms(ledger, first_at_ms, purchased_at_ms),
        "purchased_at_ms": purchased_at_ms,
        "ordered_at_ms": ordered_at_ms,
        "engaged_at_ms": engaged_at_ms,
        "revenue_minor": revenue_minor,
        **_order_totals(ledger, ordered_at_ms, purchases, revenue_minor, orders_decayed, revenue_decayed),
        "engaged_days": ENGAGED_DAYS.total(engaged_day_bits),
        **ACTIVE_DAYS.total(active_day_bits)._asdict(),
        "purchases": purchases,
        "refunds": refunds,
        "engagements": engagements,
    }


def _first_purchased_at_ms(ledger: bytes, first_at_ms: int, purchased_at_ms: int) -> int:
    if purchased_at_ms == NO_TIME:
        return -NO_TIME
    orders = unpack_earlier_orders(ledger)
    if len(orders) == ORDER_LIMIT:
        return first_at_ms
    return min(order.at_ms for order in orders if order.completions)


def _order_totals(
    ledger: bytes,
    ordered_at_ms: int,
    purchases: int,
    revenue_minor: int,
    earlier_orders_decayed: float,
    earlier_revenue_decayed: float,
) -> dict[str, float]:
    """Return what orders add up to, those of the ledger and those forgotten."""
    remembered = 0
    orders_decayed = revenue_decayed = log_order_values = 0.0
    orders = unpack_earlier_orders(ledger)
    for order in orders:
        undone, taken_back_minor, logs = order.correction()
        count, minor = order.completions - undone, order.completed_minor - taken_back_minor
        weight = exp2((order.at_ms - ordered_at_ms) * ORDER_RATE)
        remembered += count
        orders_decayed += count * weight
        revenue_decayed += minor * weight
        earlier_orders_decayed -= count * power(weight, _POWER)
        earlier_revenue_decayed -= minor * power(weight, _POWER)
        if order.completions:
            log_order_values += order.completions * log_order_value(order.completed_minor / order.completions) - logs
    if len(orders) == ORDER_LIMIT:
        forgotten, earlier_orders_decayed = purchases - remembered, max(earlier_orders_decayed, 0.0)
        oldest = power(exp2((orders[0].at_ms - ordered_at_ms) * ORDER_RATE), _POWER)
        earlier_weight = min(earlier_orders_decayed / forgotten, oldest) if forgotten > 0 else oldest
        share = power(earlier_weight, 1 / _POWER - 1)
        orders_decayed += earlier_orders_decayed * share
        revenue_decayed += earlier_revenue_decayed * share
        if remembered:
            log_order_values *= purchases / remembered
        elif purchases > 0:
            log_order_values = purchases * log_order_value(revenue_minor / purchases)
    return {
        "orders_decayed": orders_decayed,
        "revenue_decayed": revenue_decayed,
        "log_order_values": log_order_values,
    }
