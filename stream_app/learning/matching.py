"""Optimal one-to-one matching."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stream_app.core.arrays import Floats


def assign(cost: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the rows and columns of the matching of least total cost (the Hungarian problem).

    Parameters
    ----------
    cost
        Shape `(n, m)`; `min(n, m)` pairs are matched.
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(cost)
    return rows, columns


def load_matching() -> None:
    """Import now what `assign` needs: half a second, which a process may have to spare at another time."""
    import scipy.optimize  # noqa: F401
