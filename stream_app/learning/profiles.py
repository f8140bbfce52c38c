"""Who a segment's customers are, in figures that a person can read."""

from __future__ import annotations

import numpy as np

from stream_app.core.arrays import Floats
from stream_app.core.quantities import Quantities
from stream_app.segmentations.learned.document import SegmentProfile


def membership_weights(distances: Floats) -> tuple[Floats, Floats]:
    """Return the share of each segment and the weight of each customer in it.

    Parameters
    ----------
    distances
        Of n customers to k centroids, shape `(n, k)`; a customer counts for the nearest one.

    Returns
    -------
    shares
        Shape `(k,)`, sum 1.
    weights
        Rows sum to 1, shape `(k, n)`. A segment without customers is described by the one nearest to its centroid.
    """
    n_customers, n_segments = distances.shape
    members = np.zeros((n_segments, n_customers))
    members[distances.argmin(axis=1), np.arange(n_customers)] = 1.0
    counts = members.sum(axis=1)
    empty = np.flatnonzero(counts == 0)
    members[empty, distances[:, empty].argmin(axis=0)] = 1.0
    return counts / n_customers, members / np.maximum(counts, 1.0)[:, None]


def profile_segments(
    quantities: Quantities, shares: Floats, weights: Floats, minor_per_major: int
) -> tuple[SegmentProfile, ...]:
    """Return mean figures of each segment, from `membership_weights`, money in major units."""
    figures = np.column_stack(
        (
            quantities.recency_days,
            quantities.orders,
            quantities.revenue_minor / minor_per_major,
            quantities.engaged_days,
            quantities.tenure_days,
        )
    )
    rows = np.column_stack((shares, weights @ figures)).tolist()
    return tuple(SegmentProfile(*row) for row in rows)
