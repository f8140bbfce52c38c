"""Values counted by size, at a cost per batch and not per value; exported as a histogram."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


class Distribution:
    """How many values were at most as large as each bound.

    Parameters
    ----------
    bounds
        Ascending upper bounds of the buckets; one more bucket has none.

    Attributes
    ----------
    counts
        Values by bucket, shape `(len(bounds) + 1,)`.
    sum
        Of all values.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts: npt.NDArray[np.int64] = np.zeros(len(self.bounds) + 1, np.int64)
        self.sum = 0.0
        self._bounds_array = np.array(self.bounds)

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, as if it had been seen `times` times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def observe_many(self, values: npt.NDArray[np.float64]) -> None:
        """Count many values at the cost of a few."""
        places = np.searchsorted(self._bounds_array, values, side="left")
        self.counts += np.bincount(places, minlength=len(self.counts))
        self.sum += float(values.sum())
