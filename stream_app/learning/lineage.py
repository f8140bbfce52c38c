"""Which new centroid continues which segment.

A clusterer's labels are no identities: CluStream's macro clusters reshuffle 4 to 97 % of customers from one model
to the next. So both models divide one sample of customers, and segments are paired such that as many of these as
possible stay where they are (Kuhn, "The Hungarian method for the assignment problem", 1955). A pair that shares less
than half of the smaller one is no continuation but another group, and gets another code; this is the overlap rule of
MONIC (Spiliopoulou and others, "MONIC: modeling and monitoring cluster transitions", KDD 2006).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from stream_app.core.arrays import Floats
from stream_app.learning.matching import assign

SAME_GROUP_OVERLAP: Final = 0.5
"""Least share of the smaller segment's customers that both must have in common. Where a centroid had moved to
other customers (CDNOW, a simulated population), pairs shared .24 and .32, all others .65 and more."""
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
    rows, columns = assign(cost)
    matched = np.full(len(later), UNMATCHED, np.intp)
    matched[rows] = columns
    return matched


def match_segments(earlier: Floats, later: Floats) -> npt.NDArray[np.intp]:
    """Pair later with earlier segments one to one, so that the most customers stay in theirs.

    Parameters
    ----------
    earlier, later
        Which of the same n customers each segment of the two models has, 0 or 1, shapes `(j, n)` and `(k, n)`;
        every segment at least one.

    Returns
    -------
    Index of the earlier segment that each later one continues, shape `(k,)`; `UNMATCHED` for one that continues none.
    """
    shared = later @ earlier.T
    rows, columns = assign(-shared)
    smaller = np.minimum(later.sum(axis=1)[rows], earlier.sum(axis=1)[columns])
    same = shared[rows, columns] >= SAME_GROUP_OVERLAP * smaller
    matched = np.full(len(later), UNMATCHED, np.intp)
    matched[rows[same]] = columns[same]
    return matched


def inherit_codes(
    earlier_codes: npt.NDArray[np.int16], matched: npt.NDArray[np.intp], next_code: int
) -> tuple[tuple[int, ...], int]:
    """Give each later segment the code it continues, or a fresh one.

    Parameters
    ----------
    earlier_codes
        Code of each earlier segment, shape `(j,)`.
    matched
        From `match_segments`, shape `(k,)`.
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
