"""Array types by what their numbers mean; the first axis is always that of customers, moves or events."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Instants: TypeAlias = npt.NDArray[np.int64]
"""Milliseconds since the Unix epoch."""
Indices: TypeAlias = npt.NDArray[np.intp]
NO_INDICES: Final[Indices] = np.empty(0, np.intp)
Codes: TypeAlias = npt.NDArray[np.int16]
"""Segment codes, see `stream_app.core.segments`."""
Flags: TypeAlias = npt.NDArray[np.bool_]


def grouped(values: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Indices]:
    """Return which values there are, ascending, and at which place among them each is; values are not empty.

    As `np.unique` does, but without sorting where they lie close together, as the days of a chunk do.
    """
    lowest, highest = int(values.min()), int(values.max())
    if highest - lowest > 4 * len(values):
        return np.unique(values, return_inverse=True)
    above = values - lowest
    is_there = np.bincount(above) > 0
    return np.flatnonzero(is_there) + lowest, (np.cumsum(is_there) - 1)[above]
