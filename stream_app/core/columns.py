"""Customers at their instants, column by column: for code that asks about many at once, or in Python.

What is known of them is computed when it is first asked for, so those who share a table share the cost. The main line
goes through customers one at a time, in the library (`native/step.c`).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from stream_app.core.arrays import Indices, Instants
from stream_app.core.quantities import Quantities, quantities_at


class CustomerColumns:
    """n customers, each at an instant of its own.

    Parameters
    ----------
    activity
        `ACTIVITY_DTYPE`, shape `(n,)`.
    at_ms
        Shape `(n,)`.
    """

    def __init__(self, activity: np.ndarray, at_ms: Instants) -> None:
        self.activity = activity
        self.at_ms = at_ms

    def __len__(self) -> int:
        return len(self.activity)

    @cached_property
    def quantities(self) -> Quantities:
        """What is known of each customer at its instant."""
        return quantities_at(self.activity, self.at_ms)

    def at(self, rows: Indices, at_ms: Instants) -> CustomerColumns:
        """Return the same customers, or some of them (again), at other instants."""
        return CustomerColumns(self.activity.take(rows), at_ms)
