"""Customers as they stand at the end of each day, for rivals that look at everybody once a night.

Worked out from the events anew, in whole nights, so that no rival depends on the product's state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from benchmarks.quality.history import History
from stream_app.core.arrays import Floats, Indices
from stream_app.core.clock import DAY_MS
from stream_app.core.events import ENGAGEMENT, PURCHASE, REFUND

ORDER_HALF_LIFE_DAYS: Final = 90.0
ENGAGEMENT_HALF_LIFE_DAYS: Final = 21.0
ACTIVITY_HALF_LIFE_DAYS: Final = 60.0


class Night(NamedTuple):
    """All known customers at the end of a day; each column of shape `(n_known,)`.

    Attributes
    ----------
    day
        Number of the day, from 0.
    at_ms
        The instant.
    known
        Who had an event until then: indices of `History.customer_ids`.
    recency_days, purchase_recency_days
        Since the last act, and since the last purchase (infinite without one).
    purchases, spend_minor
        Over the whole time, spend net of refunds.
    orders, revenue_minor
        Decayed with a half-life of 90 days, revenue net of refunds.
    engagement, engaged_days
        Engagements, and days with one, decayed with a half-life of 21 days.
    active_days, exposure_days
        Active days after the first one and the days over which they were counted, decayed (60 days) as of the last one.
    tenure_days
        Since the first event.
    """

    day: int
    at_ms: int
    known: Indices
    recency_days: Floats
    purchase_recency_days: Floats
    purchases: Floats
    spend_minor: Floats
    orders: Floats
    revenue_minor: Floats
    engagement: Floats
    engaged_days: Floats
    active_days: Floats
    exposure_days: Floats
    tenure_days: Floats


def nights(history: History) -> Iterator[Night]:
    """Yield every night, from the first day's to the last's."""
    n = len(history.customer_ids)
    first, last, bought = np.full(n, np.nan), np.full(n, np.nan), np.full(n, -np.inf)
    purchases, spend, orders, revenue, engagement, engaged_days, active_days = np.zeros((7, n))
    last_active_day = np.full(n, -1)
    order_decay, engagement_decay = 2 ** (-1 / ORDER_HALF_LIFE_DAYS), 2 ** (-1 / ENGAGEMENT_HALF_LIFE_DAYS)
    days = (history.at_ms - history.start_ms) / DAY_MS
    edges = np.searchsorted(days, np.arange(history.days + 1))
    edges[-1] = len(days)  # an event at the very end is of the last day
    for day in range(history.days):
        today = slice(edges[day], edges[day + 1])
        who, when, kind = history.customer[today], days[today], history.kind[today]
        orders *= order_decay
        revenue *= order_decay
        engagement *= engagement_decay
        engaged_days *= engagement_decay
        fresh = np.isnan(first[who])
        first[who[fresh][::-1]] = when[fresh][::-1]  # of repeated indices the last one counts: the earliest
        acts = kind != REFUND
        last[who[acts]] = when[acts]

        is_order, is_refund, is_engagement = kind == PURCHASE, kind == REFUND, kind == ENGAGEMENT
        weight = 2 ** (-(day + 1 - when) / ORDER_HALF_LIFE_DAYS)
        amount = np.where(is_order, history.amount_minor[today], -history.amount_minor[today]) * (~is_engagement)
        np.add.at(purchases, who, is_order)
        np.add.at(spend, who, amount)
        np.add.at(orders, who, is_order * weight)
        np.add.at(revenue, who, amount * weight)
        bought[who[is_order]] = when[is_order]
        faded = 2 ** (-(day + 1 - when) / ENGAGEMENT_HALF_LIFE_DAYS)
        np.add.at(engagement, who, is_engagement * faded)
        engaged_days[np.unique(who[is_engagement])] += 1
        active = np.unique(who[~is_refund])
        again = active[last_active_day[active] >= 0]
        active_days[again] *= 2 ** (-(day - last_active_day[again]) / ACTIVITY_HALF_LIFE_DAYS)
        active_days[again] += 1
        last_active_day[active] = day

        known = np.flatnonzero(~np.isnan(first))
        seen = np.where(np.isnan(last[known]), first[known], last[known])
        span = np.maximum(last_active_day[known] - np.floor(first[known]), 0)
        yield Night(
            day,
            history.night_ms(day),
            known,
            recency_days=day + 1 - seen,
            purchase_recency_days=day + 1 - bought[known],
            purchases=purchases[known],
            spend_minor=spend[known],
            orders=orders[known],
            revenue_minor=np.maximum(revenue[known], 0.0),
            engagement=engagement[known],
            engaged_days=engaged_days[known],
            active_days=active_days[known],
            exposure_days=(1 - 2 ** (-span / ACTIVITY_HALF_LIFE_DAYS)) * (ACTIVITY_HALF_LIFE_DAYS / math.log(2)),
            tenure_days=day + 1 - first[known],
        )
