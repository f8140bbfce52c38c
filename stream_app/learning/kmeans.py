"""The algebra of k-means on arrays: seeding and iteration, no state.

Lloyd, "Least squares quantization in PCM", IEEE Transactions on Information Theory 28, 1982.
Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007; greedy variant with several
candidates a step as in their section 7.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from stream_app.core.arrays import Floats

SEED_CANDIDATES: Final = 4
"""Points tried for each next seed; the one that lowers the inertia most is taken."""
SEEDED_ITERATIONS: Final = 20
"""Iterations after a fresh seeding; later ones gain less than a thousandth of inertia."""
SHIFT_TOLERANCE: Final = 1e-4
"""Summed squared movement of the centroids, in scaled space, at which they count as settled."""


class Clustering(NamedTuple):
    """Centroids, shape `(k, d)`, and their inertia: the mean squared distance to the nearest one."""

    centroids: Floats
    inertia: float


def squared_distances(points: Floats, centroids: Floats) -> Floats:
    """Return squared Euclidean distances, shape `(n, k)`."""
    squares = (points**2).sum(axis=1)[:, None] + (centroids**2).sum(axis=1)
    return np.asarray(np.maximum(squares - 2 * points @ centroids.T, 0.0))


def mean_inertia(points: Floats, centroids: Floats) -> float:
    """Return the mean squared distance of points to their nearest centroid."""
    return float(squared_distances(points, centroids).min(axis=1).mean())


def seed_centroids(points: Floats, n_clusters: int, rng: np.random.Generator) -> Floats:
    """Choose points as first centroids by greedy k-means++, shape `(n_clusters, d)`."""
    centroids = np.empty((n_clusters, points.shape[1]))
    centroids[0] = points[rng.integers(len(points))]
    nearest = squared_distances(points, centroids[:1])[:, 0]
    for index in range(1, n_clusters):
        cumulative = nearest.cumsum()
        drawn = np.searchsorted(cumulative, rng.random(SEED_CANDIDATES) * cumulative[-1], side="right")
        # With fewer distinct points than clusters all distances are 0, and seeds coincide.
        candidates = points[np.minimum(drawn, len(points) - 1)]
        remaining = np.minimum(nearest[:, None], squared_distances(points, candidates))
        best = remaining.sum(axis=0).argmin()
        centroids[index] = candidates[best]
        nearest = remaining[:, best]
    return centroids


def lloyd(points: Floats, start: Floats, max_iterations: int) -> Clustering:
    """Move centroids to the means of their points until they settle; one that lost all points goes to the farthest."""
    centroids = start
    for _ in range(max_iterations):
        distances = squared_distances(points, centroids)
        labels = distances.argmin(axis=1)
        counts = np.bincount(labels, minlength=len(centroids))
        sums = [np.bincount(labels, column, minlength=len(centroids)) for column in points.T]
        moved = np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None]
        empty = np.flatnonzero(counts == 0)
        if len(empty):
            moved[empty] = points[distances.min(axis=1).argsort()[::-1][: len(empty)]]
        shift = ((moved - centroids) ** 2).sum()
        centroids = moved
        if shift < SHIFT_TOLERANCE:
            break
    return Clustering(centroids, mean_inertia(points, centroids))


def fit_afresh(points: Floats, n_clusters: int, n_restarts: int, rng: np.random.Generator) -> Clustering:
    """Return the best of several seeded runs."""
    runs = [lloyd(points, seed_centroids(points, n_clusters, rng), SEEDED_ITERATIONS) for _ in range(n_restarts)]
    return min(runs, key=lambda run: run.inertia)
