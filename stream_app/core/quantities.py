"""What is known of customers at an instant, evaluated from their activity in closed form.

Silence changes every quantity continuously, so passing time needs no event. Decayed totals are kept in rows as of
their last event and are carried forward here: from an instant at or after a customer's last event, silence of d days
multiplies `orders`, `repeat_orders` and `revenue_minor` by 2^(-d / `ORDER_HALF_LIFE_DAYS`) and `engaged_days` by
2^(-d / `ENGAGEMENT_HALF_LIFE_DAYS`), adds d to recency and tenure, and leaves the rest as it is.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from stream_app.core.arrays import Floats, Instants
from stream_app.native import formulas

ORDER_HALF_LIFE_DAYS: Final = 60.0
"""Half-life of decayed orders and revenue: about two purchase cycles of a regular customer."""
ENGAGEMENT_HALF_LIFE_DAYS: Final = 30.0
"""Half-life of engaged days: interest fades faster than the habit of buying."""
ENGAGED_WINDOW_DAYS: Final = 182
"""Engaged days older than this before the last one are forgotten; the weight of one has fallen to 1.5 %."""
GAP_MEMORY: Final = 0.95
"""Weight of a gap between active days relative to the next newer one; n gaps weigh (1 - .95^n) / .05, at most 20. It
counts gaps, not days, so that the rhythm of who comes daily and of who comes quarterly rests on equally many."""
ACTIVITY_WINDOW_DAYS: Final = 366
"""Active days older than this before the last one are forgotten, and so are the gaps that begin with them: a year, so
that who comes once a year still has a gap."""


class Quantities(NamedTuple):
    """What is known of customers at an instant, in natural units; each an array of shape `(n_customers,)`.

    Attributes
    ----------
    recency_days
        Days since the last purchase or engagement, ≥ 0.
    tenure_days
        Days since the first event.
    orders
        Orders, decayed with a half-life of 60 days, ≥ 0.
    repeat_orders
        The same without the first order, ≥ 0. What is left out is the weight of the first purchase, also where that
        one was undone.
    revenue_minor
        Net revenue in minor units of the base currency, decayed in the same way, ≥ 0.
    engaged_days
        Days with an engagement, decayed with a half-life of 30 days.
    gaps
        Gaps between consecutive active days, those of the last 366 days before the last one.
    log_gaps
        Sum of w ln g over these gaps of g whole days; w = .95^k for the k-th newest, k from 0.
    log_gaps_squared
        Sum of w (ln g)² in the same way.
    purchases
        Orders without those that refunds have undone.
    log_order_values
        Sum over them of ln(value in minor units), net of refunds; a value below one minor unit is taken as one.
    """

    recency_days: Floats
    tenure_days: Floats
    orders: Floats
    repeat_orders: Floats
    revenue_minor: Floats
    engaged_days: Floats
    gaps: Floats
    log_gaps: Floats
    log_gaps_squared: Floats
    purchases: Floats
    log_order_values: Floats


def quantities_at(activity: np.ndarray, at_ms: int | Instants) -> Quantities:
    """Evaluate rows of `ACTIVITY_DTYPE` (see `stream_app.core.row`) at one instant, or at one instant each.

    Instants before a row's last event are taken as that event's: a total is never extrapolated backwards.
    """
    return Quantities(*formulas.quantities(activity, at_ms))
