"""The figures of a customer that rules compare, for explanations.

Silence changes a figure in one of three ways: days count up, decayed totals halve again and again, and the rest stays.
So the one instant at which a figure crosses a number is known in closed form (`native/rules.c`).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from stream_app.core.arrays import Floats
from stream_app.core.columns import CustomerColumns
from stream_app.segmentations.rules.definition import Figure

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
