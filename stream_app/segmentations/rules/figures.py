"""The figures of a customer that rules compare, and when silence carries one across a number.

Silence changes a figure in one of three ways: days count up, decayed totals halve again and again, and the rest stays.
So the one instant at which a figure crosses a number is known in closed form.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from stream_app.core.arrays import Floats, Instants
from stream_app.core.clock import DAY_MS
from stream_app.core.columns import CustomerColumns
from stream_app.core.quantities import ENGAGEMENT_HALF_LIFE_DAYS, ORDER_HALF_LIFE_DAYS, last_act_ms
from stream_app.segmentations.rules.definition import Comparison, Figure


class _Decay(NamedTuple):
    """A column that halves every so many days from the instant in another."""

    column: str
    since: str
    half_life_days: float


_DECAYING: Final[dict[Figure, _Decay]] = {
    "orders_decayed": _Decay("orders_decayed", "ordered_at_ms", ORDER_HALF_LIFE_DAYS),
    "revenue_decayed_minor": _Decay("revenue_decayed", "ordered_at_ms", ORDER_HALF_LIFE_DAYS),
    "engaged_days_decayed": _Decay("engaged_days", "engaged_at_ms", ENGAGEMENT_HALF_LIFE_DAYS),
}
_QUANTITIES: Final[dict[Figure, str]] = {
    "recency_days": "recency_days",
    "tenure_days": "tenure_days",
    "orders_decayed": "orders",
    "revenue_decayed_minor": "revenue_minor",
    "engaged_days_decayed": "engaged_days",
}


def figure_of(customers: CustomerColumns, figure: Figure) -> Floats:
    """Return a figure of each customer at its instant, shape `(n,)`."""
    quantity = _QUANTITIES.get(figure)
    values = customers.activity[figure] if quantity is None else getattr(customers.quantities, quantity)
    return np.asarray(values, np.float64)


def crossing_ms(customers: CustomerColumns, comparison: Comparison) -> Floats:
    """Return the instant at which silence carries the figure across the value, in milliseconds since the epoch.

    Exact but for rounding (by less than a millisecond in 10,000 years); infinite where that never happens; in the past
    where it has happened.
    """
    if comparison.figure in ("recency_days", "tenure_days"):
        return np.asarray(_silent_since(customers, comparison.figure) + comparison.value * DAY_MS, np.float64)
    decay = _DECAYING.get(comparison.figure)
    if decay is None or not comparison.value:
        return np.full(len(customers), np.inf)
    ratio = customers.activity[decay.column] / comparison.value
    with np.errstate(divide="ignore", invalid="ignore"):
        halvings = np.where(ratio > 1, np.log2(ratio), np.inf)
    return np.asarray(customers.activity[decay.since] + halvings * (decay.half_life_days * DAY_MS))


def _silent_since(customers: CustomerColumns, figure: Figure) -> Instants:
    activity = customers.activity
    if figure == "tenure_days":
        return np.asarray(activity["first_at_ms"])
    return last_act_ms(activity)
