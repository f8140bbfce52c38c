"""Which new centroid continues which segment.

A clusterer's labels are no identities: CluStream's macro clusters reshuffle 4 to 97 % of customers from one model
to the next. So the segments of two models are paired by the assignment of least total squared distance (Kuhn,
"The Hungarian method for the assignment problem", 1955), and a segment's code follows its centroid.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from stream_app.core.features import Floats

UNMATCHED = -1
"""Stands for "continues no earlier segment" where an index of an earlier centroid is expected."""


def match_centroids(earlier: Floats, later: Floats) -> npt.NDArray[np.intp]:
    """Pair later with earlier centroids one to one, at the least total squared distance.

    Parameters
    ----------
    earlier, later
        Centroids in one common scaled space, that of the later model, shapes `(j, d)` and `(k, d)`.

    Returns
    -------
    Index of the earlier centroid that each later one continues, shape `(k,)`; `UNMATCHED` for the k − j most remote
    ones where k > j.
    """
    cost = ((later[:, None, :] - earlier[None, :, :]) ** 2).sum(axis=2)
    rows, columns = linear_sum_assignment(cost)
    matched = np.full(len(later), UNMATCHED, np.intp)
    matched[rows] = columns
    return matched


def inherit_codes(
    earlier_codes: npt.NDArray[np.int16], matched: npt.NDArray[np.intp], next_code: int
) -> tuple[tuple[int, ...], int]:
    """Give each later centroid the code it continues, or a fresh one.

    Parameters
    ----------
    earlier_codes
        Code of each earlier centroid, shape `(j,)`.
    matched
        From `match_centroids`, shape `(k,)`.
    next_code
        The smallest code that was never used.

    Returns
    -------
    codes
        k distinct codes.
    next_code
        The smallest code that is still unused.
    """
    codes = []
    for index in matched:
        if index == UNMATCHED:
            codes.append(next_code)
            next_code += 1
        else:
            codes.append(int(earlier_codes[index]))
    return tuple(codes), next_code
