"""Rows of versions 1 and 2, carried over: what the totals of version 3 are for a customer whose events are long gone.

The reference that `native/earlier_rows.c`, which states the theory, is compared with byte by byte.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from stream_app.core.clock import NO_TIME
from stream_app.core.quantities import ORDER_HALF_LIFE_DAYS
from tests.reference.days import ACTIVE_DAYS, ENGAGED_DAYS
from tests.reference.orders import ORDER_LIMIT, ORDER_RATE, log_order_value, unpack_orders
from tests.reference.scalars import exp2, power

EARLIER_ACTIVITY: Final = struct.Struct("<5q5d4i")
"""The numbers of a row of version 1 or 2."""
_POWER: Final = ORDER_HALF_LIFE_DAYS / 90.0
"""What the weight of an order is raised to, to be that at the old half-life."""


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
    orders = unpack_orders(ledger)
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
    orders = unpack_orders(ledger)
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
