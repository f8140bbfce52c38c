"""What is known of customers at an instant, evaluated from their activity in closed form.

This is the reference that the compiled library is compared with, bit by bit: whole arrays of numpy, with the library's
own elementary functions. Theory: `native/quantities.c`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from stream_app.core.arrays import Floats, Instants
from stream_app.core.clock import DAY_MS
from stream_app.core.quantities import ENGAGEMENT_HALF_LIFE_DAYS, ORDER_HALF_LIFE_DAYS, Quantities
from stream_app.native.mathematics import exp2

_ORDER_RATE: Final = -1 / (ORDER_HALF_LIFE_DAYS * DAY_MS)
_ENGAGEMENT_RATE: Final = -1 / (ENGAGEMENT_HALF_LIFE_DAYS * DAY_MS)


def quantities_at(activity: np.ndarray, at_ms: int | Instants) -> Quantities:
    """Evaluate rows of `ACTIVITY_DTYPE` (see `tests.reference.row`) at one instant, or at one instant each.

    Instants before a row's last event are taken as that event's: a total is never extrapolated backwards.
    """
    first_at = activity["first_at_ms"]
    ordered_at = activity["ordered_at_ms"]
    engaged_at = activity["engaged_at_ms"]
    # Refunds undo an order completed several times as of its last completion, which takes back more than it brought.
    orders = np.maximum(activity["orders_decayed"], 0.0)
    order_decay = exp2(np.maximum(at_ms - ordered_at, 0) * _ORDER_RATE)
    engagement_decay = exp2(np.maximum(at_ms - engaged_at, 0) * _ENGAGEMENT_RATE)
    return Quantities(
        recency_days=np.maximum(at_ms - last_act_ms(activity), 0) * (1 / DAY_MS),
        tenure_days=np.maximum(at_ms - first_at, 0) * (1 / DAY_MS),
        orders=orders * order_decay,
        repeat_orders=repeat_orders_of(activity) * order_decay,
        revenue_minor=np.maximum(activity["revenue_decayed"], 0.0) * order_decay,
        engaged_days=activity["engaged_days"] * engagement_decay,
        gaps=activity["gaps"].astype(np.float64),
        log_gaps=np.array(activity["log_gaps"]),
        log_gaps_squared=np.array(activity["log_gaps_squared"]),
        purchases=activity["purchases"].astype(np.float64),
        log_order_values=np.maximum(activity["log_order_values"], 0.0),
    )


def repeat_orders_of(activity: np.ndarray) -> Floats:
    """Return `Quantities.repeat_orders` as of each customer's last order, shape `(n,)`."""
    # Who never purchased has no instant of a first purchase: a weight of 1, out of no orders, leaves none.
    since_ms = np.maximum(activity["ordered_at_ms"] - activity["first_purchased_at_ms"], 0)
    return np.asarray(np.maximum(activity["orders_decayed"] - exp2(since_ms * _ORDER_RATE), 0.0))


def last_act_ms(activity: np.ndarray) -> Instants:
    """Return the instant of each customer's last purchase or engagement, of its first event at least, shape `(n,)`."""
    own = np.maximum(activity["purchased_at_ms"], activity["engaged_at_ms"])
    return np.asarray(np.maximum(own, activity["first_at_ms"]))


def last_event_ms(activity: np.ndarray) -> Instants:
    """Return the instant of each customer's last event, shape `(n,)`."""
    return np.asarray(np.maximum(activity["ordered_at_ms"], activity["engaged_at_ms"]))
