"""What is known of customers at an instant, evaluated from their activity in closed form.

Silence changes every quantity continuously, so passing time needs no event. Decayed totals are kept in rows as of
their last event and are carried forward here.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from stream_app.core.arrays import Floats, Instants
from stream_app.core.clock import DAY_MS

ORDER_HALF_LIFE_DAYS: Final = 90.0
"""Half-life of decayed orders and revenue: two to three purchase cycles of a regular customer."""
ENGAGEMENT_HALF_LIFE_DAYS: Final = 21.0
"""Half-life of decayed engagement: interest fades faster than the habit of buying."""
ACTIVITY_HALF_LIFE_DAYS: Final = 60.0
"""Half-life of the counted active days, from which a customer's own rhythm is estimated."""
ACTIVITY_WINDOW_DAYS: Final = 366
"""Active days older than this before the last one are forgotten; the weight of one has fallen to 1.5 %."""
ENGAGED_WINDOW_DAYS: Final = 128
"""The same for engaged days, whose weight has fallen to 1.5 % as well."""

_ORDER_RATE: Final = -1 / (ORDER_HALF_LIFE_DAYS * DAY_MS)
_ENGAGEMENT_RATE: Final = -1 / (ENGAGEMENT_HALF_LIFE_DAYS * DAY_MS)


class Quantities(NamedTuple):
    """What is known of customers at an instant, in natural units; each an array of shape `(n_customers,)`.

    Attributes
    ----------
    recency_days
        Days since the last purchase or engagement, ≥ 0.
    orders
        Orders, decayed with a half-life of 90 days.
    revenue_minor
        Net revenue in minor units of the base currency, decayed likewise, ≥ 0.
    engagement
        Weighted engagement events, decayed with a half-life of 21 days.
    engaged_days
        Days with an engagement, decayed likewise.
    active_days
        Active days after the first one, decayed (60 days) as of the last active day.
    exposure_days
        Days from the first to the last active day, decayed likewise.
    tenure_days
        Days since the first event.
    """

    recency_days: Floats
    orders: Floats
    revenue_minor: Floats
    engagement: Floats
    engaged_days: Floats
    active_days: Floats
    exposure_days: Floats
    tenure_days: Floats


def quantities_at(activity: np.ndarray, at_ms: int | Instants) -> Quantities:
    """Evaluate rows of `ACTIVITY_DTYPE` (see `stream_app.core.row`) at one instant, or at one instant each.

    Instants before a row's last event are taken as that event's: a total is never extrapolated backwards.
    """
    first_at = activity["first_at_ms"]
    engaged_at = activity["engaged_at_ms"]
    active_at = np.maximum(np.maximum(activity["purchased_at_ms"], engaged_at), first_at)
    order_decay = np.exp2(np.maximum(at_ms - activity["ordered_at_ms"], 0) * _ORDER_RATE)
    engagement_decay = np.exp2(np.maximum(at_ms - engaged_at, 0) * _ENGAGEMENT_RATE)
    span_days = np.maximum(active_at // DAY_MS - activity["first_active_day"], 0)
    first_day_weight = np.exp2(span_days * (-1 / ACTIVITY_HALF_LIFE_DAYS))
    counted = np.where(span_days < ACTIVITY_WINDOW_DAYS, first_day_weight, 0.0)
    return Quantities(
        recency_days=np.maximum(at_ms - active_at, 0) * (1 / DAY_MS),
        orders=activity["orders_decayed"] * order_decay,
        revenue_minor=np.maximum(activity["revenue_decayed"], 0.0) * order_decay,
        engagement=activity["engagement_decayed"] * engagement_decay,
        engaged_days=activity["engaged_days"] * engagement_decay,
        active_days=np.maximum(activity["active_days"] - counted, 0.0),
        exposure_days=(1 - first_day_weight) * (ACTIVITY_HALF_LIFE_DAYS / math.log(2)),
        tenure_days=np.maximum(at_ms - first_at, 0) * (1 / DAY_MS),
    )


def last_event_ms(activity: np.ndarray) -> Instants:
    """Return the instant of each customer's last event, shape `(n,)`."""
    return np.asarray(np.maximum(activity["ordered_at_ms"], activity["engaged_at_ms"]))
