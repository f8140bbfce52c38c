"""The references of a sweep, on contiguous columns: no memory of the present segment, no dates, no migration.

`bare_sweep` looks at everybody, as whoever keeps no dates has to: the axes of all customers and the nearest centre.
`bare_due` only compares a date for each, which is the least that a sweep can do.
"""

from __future__ import annotations

import numpy as np

from stream_app.core.clock import DAY_MS
from stream_app.segmentations.learned.model import Model

LN2 = np.log(2)


def contiguous_columns(activity: np.ndarray) -> dict[str, np.ndarray]:
    """Return the fields of activity records as arrays of their own."""
    return {name: np.ascontiguousarray(activity[name]) for name in activity.dtype.names or ()}


def bare_sweep(columns: dict[str, np.ndarray], model: Model, at_ms: int, block: int) -> np.ndarray:
    """Return the role with the nearest centre for each customer at an instant, by the formulas of the axes."""
    count = len(columns["first_at_ms"])
    nearest = np.empty(count, np.intp)
    value_minor = model.frame.order_value_minor or 1.0
    centres = model.frame.centres * model.frame.weights
    for start in range(0, count, block):
        part = {name: column[start : start + block] for name, column in columns.items()}
        tenure = (at_ms - part["first_at_ms"]) / DAY_MS
        first = np.exp2((part["first_purchased_at_ms"] - part["ordered_at_ms"]) / DAY_MS / 60)
        repeated = np.maximum(part["orders_decayed"] - first, 0) * np.exp2(
            (part["ordered_at_ms"] - at_ms) / DAY_MS / 60
        )
        engaged = part["engaged_days"] * np.exp2((part["engaged_at_ms"] - at_ms) / DAY_MS / 30)
        axes = np.empty((len(tenure), 3))
        axes[:, 0] = np.log((0.5 + repeated) / (11 + 60 / LN2 * (1 - np.exp2(tenure / -60))))
        axes[:, 1] = np.log((0.5 + engaged) / (3 + 30 / LN2 * (1 - np.exp2(tenure / -30))))
        axes[:, 2] = (part["log_order_values"] - part["purchases"] * np.log(value_minor)) / (2 + part["purchases"])
        points = axes * model.frame.weights
        distances = (points**2).sum(axis=1)[:, None] - 2 * points @ centres.T + (centres**2).sum(axis=1)
        nearest[start : start + block] = distances.argmin(axis=1)
    return nearest


def bare_due(due_at_ms: np.ndarray, at_ms: int) -> np.ndarray:
    """Return the numbers of the customers whose date has come."""
    return np.flatnonzero(due_at_ms <= at_ms)
