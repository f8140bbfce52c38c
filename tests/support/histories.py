"""Histories small enough to be counted by hand."""

from __future__ import annotations

import numpy as np

from benchmarks.quality.history import History
from stream_app.core.clock import DAY_MS


def history(*rows: tuple[int, float, int, float], end_day: float, customers: int | None = None) -> History:
    """Make one from customer, day, kind and amount, ordered by time."""
    customer, day, kind, amount = zip(*rows, strict=True)
    return History(
        [f"c{number}" for number in range(customers or max(customer) + 1)],
        np.array(customer),
        (np.array(day) * DAY_MS).astype(np.int64),
        np.array(kind),
        np.array(amount, np.float64),
        int(end_day * DAY_MS),
    )
