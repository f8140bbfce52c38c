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
