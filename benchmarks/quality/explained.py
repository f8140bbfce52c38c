"""How much of what customers do next their segment explains: η², the share of variance between segments.

Averaged over looks 30 days apart, from the 120th day on, each at the 90 days that follow.
"""

from __future__ import annotations

import math
from statistics import fmean
from typing import Final

import numpy as np

from benchmarks.quality.history import History
from stream_app.core.clock import DAY_MS

WARM_DAYS: Final = 120
LOOK_DAYS: Final = 30
AHEAD_DAYS: Final = 90


def looks(history: History) -> list[int]:
    """Return the days, numbered from 0, at whose end it is looked."""
    return list(range(WARM_DAYS, history.days - AHEAD_DAYS, LOOK_DAYS))


def explained(places: np.ndarray, inside: np.ndarray, history: History) -> tuple[float, float]:
    """Return η² of the next 90 days' orders, and of their spend; NaN where nothing differs, or time is too short.

    Parameters
    ----------
    places
        Segments at the end of each day of `looks`, anything that can be compared, `(n_looks, n_customers)`.
    inside
        False where a customer is in none, same shape.
    history
        What happened.
    """
    orders = history.orders()
    by_orders, by_spend = [], []
    for day, place, known in zip(looks(history), places, inside, strict=True):
        at_ms = history.night_ms(day)
        ahead = slice(*np.searchsorted(orders.at_ms, (at_ms, at_ms + AHEAD_DAYS * DAY_MS)))
        count = np.bincount(orders.customer[ahead], minlength=len(known))
        spend = np.bincount(orders.customer[ahead], orders.amount_minor[ahead], minlength=len(known))
        by_orders.append(eta_squared(place[known], count[known]))
        by_spend.append(eta_squared(place[known], spend[known]))
    return _mean(by_orders), _mean(by_spend)


def _mean(shares: list[float]) -> float:
    defined = [share for share in shares if not math.isnan(share)]
    return fmean(defined) if defined else math.nan


def eta_squared(places: np.ndarray, values: np.ndarray) -> float:
    """Return the share of the variance of values between places; NaN where there is no variance."""
    total = ((values - values.mean()) ** 2).sum() if len(values) else 0.0
    if total == 0:
        return math.nan
    _, code = np.unique(places, return_inverse=True)
    size, sums = np.bincount(code), np.bincount(code, values)
    return float((size * (sums / size - values.mean()) ** 2).sum() / total)
