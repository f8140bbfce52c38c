"""The reference of a sweep: features of all customers from contiguous columns, nearest centroid; nothing else.

No hysteresis, no memory of the current segment, no no-return rule, no migration.
"""

from __future__ import annotations

import numpy as np

from stream_app.core.clock import DAY_MS
from stream_app.segmentations.learned.model import Model


def contiguous_columns(activity: np.ndarray) -> dict[str, np.ndarray]:
    """Return the fields of activity records as arrays of their own."""
    return {name: np.ascontiguousarray(activity[name]) for name in activity.dtype.names or ()}


def bare_sweep(columns: dict[str, np.ndarray], model: Model, at_ms: int, block: int) -> np.ndarray:
    """Return the nearest centroid of each customer at an instant, by the formula of the activity features."""
    count = len(columns["first_at_ms"])
    nearest = np.empty(count, np.intp)
    prior_gap, order_value = model.parameters.prior_gap_days, model.parameters.order_value_minor
    factor = model.weights / model.scale
    centroids = (model.centroids - model.mean) * factor
    for start in range(0, count, block):
        part = {name: column[start : start + block] for name, column in columns.items()}
        active_at = np.maximum(part["purchased_at_ms"], part["engaged_at_ms"])
        silence = (at_ms - active_at) / DAY_MS
        first_day = np.exp2((active_at // DAY_MS - part["first_active_day"]) / -60)
        shape = part["active_days"] - first_day - 0.5
        scale = prior_gap + (1 - first_day) * (60 / np.log(2))
        odds = (scale + silence) / 500 * np.expm1(shape * np.log1p(silence / scale)) / shape
        active = 1 / (1 + odds)
        decay = np.exp2((at_ms - part["ordered_at_ms"]) / DAY_MS / -90)
        interest = np.exp2((at_ms - part["engaged_at_ms"]) / DAY_MS / -21)
        features = np.empty((len(active), 4))
        features[:, 0] = 1 - active
        features[:, 1] = np.log1p(active * part["orders_decayed"] * decay)
        features[:, 2] = np.log1p(active * part["revenue_decayed"] * decay / order_value)
        features[:, 3] = np.log1p(active * part["engaged_days"] * interest)
        points = (features - model.mean) * factor
        distances = (points**2).sum(axis=1)[:, None] - 2 * points @ centroids.T + (centroids**2).sum(axis=1)
        nearest[start : start + block] = distances.argmin(axis=1)
    return nearest
