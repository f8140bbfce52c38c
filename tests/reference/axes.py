"""What a customer is worth, in three log rates, and when silence carries them below a bound.

This is the reference that the compiled library is compared with, bit by bit: whole arrays of numpy, with the library's
own elementary functions. Theory: `native/learned.c`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from stream_app.core.arrays import Floats
from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.quantities import ENGAGEMENT_HALF_LIFE_DAYS, ORDER_HALF_LIFE_DAYS, Quantities
from stream_app.native.mathematics import exp, exp2, log, log2
from stream_app.segmentations.learned.axes import ENGAGEMENT, ORDERS, VALUE
from tests.reference.quantities import repeat_orders_of

LN_2: Final = 0.6931471805599453
ORDER_PRIOR: Final = (0.5, 11.0)
"""Orders and days that are added before a rate is taken: half an order in eleven days."""
ENGAGEMENT_PRIOR: Final = (0.5, 3.0)
VALUE_PRIOR_ORDERS: Final = 2.0
"""How many orders of the usual value every customer is credited with."""


def value_axes(quantities: Quantities, order_value_minor: float | None) -> Floats:
    """Return r, e and a of n customers, shape `(n, 3)`; a is 0 while no usual order value is known."""
    axes = np.empty((len(quantities.orders), 3))
    orders, days = ORDER_PRIOR
    axes[:, ORDERS] = log(
        (orders + quantities.repeat_orders) / (days + _exposure(quantities.tenure_days, ORDER_HALF_LIFE_DAYS))
    )
    engaged, days = ENGAGEMENT_PRIOR
    exposure = _exposure(quantities.tenure_days, ENGAGEMENT_HALF_LIFE_DAYS)
    axes[:, ENGAGEMENT] = log((engaged + quantities.engaged_days) / (days + exposure))
    axes[:, VALUE] = 0.0
    if order_value_minor is not None:
        own = quantities.log_order_values - quantities.purchases * log(order_value_minor)
        axes[:, VALUE] = own / (VALUE_PRIOR_ORDERS + np.maximum(quantities.purchases, 0.0))
    return axes


def order_rate_falls_ms(activity: np.ndarray, bound: Floats) -> Floats:
    """Return the instant at which silence takes r below a bound, milliseconds; inf for never, shape `(n,)`.

    In the past where it has happened.
    """
    since = np.where(activity["ordered_at_ms"] > NO_TIME, activity["ordered_at_ms"], activity["first_at_ms"])
    count = repeat_orders_of(activity)
    return _falls_ms(activity["first_at_ms"], since, count, bound, ORDER_PRIOR, ORDER_HALF_LIFE_DAYS)


def engagement_rate_falls_ms(activity: np.ndarray, bound: Floats) -> Floats:
    """Do as `order_rate_falls_ms` for e."""
    since = np.where(activity["engaged_at_ms"] > NO_TIME, activity["engaged_at_ms"], activity["first_at_ms"])
    count = activity["engaged_days"]
    return _falls_ms(activity["first_at_ms"], since, count, bound, ENGAGEMENT_PRIOR, ENGAGEMENT_HALF_LIFE_DAYS)


def _exposure(days: Floats, half_life_days: float) -> Floats:
    return np.asarray((half_life_days / LN_2) * (1 - exp2(days * (-1 / half_life_days))))


def _falls_ms(
    first_ms: np.ndarray,
    since_ms: np.ndarray,
    count: Floats,
    bound: Floats,
    prior: tuple[float, float],
    half_life: float,
) -> Floats:
    """Solve (n0 + count·u) / (d0 + k − k·g·u) = e^bound for u = 2^(−(t − since) / half-life)."""
    full = half_life / LN_2
    rate = exp(bound)
    share = exp2((first_ms - since_ms) * (1 / (half_life * DAY_MS)))  # g
    numerator = rate * (prior[1] + full) - prior[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        halvings = log2((count + rate * full * share) / numerator)
    return np.where(numerator > 0, since_ms + halvings * (half_life * DAY_MS), np.inf)
