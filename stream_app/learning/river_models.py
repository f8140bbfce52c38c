"""River's own clusterers in the place of ours, for those who want to compare.

At each tick a new River model is built, primed with the present centres, and shown the sample row by row: River's
models cannot be written as JSON, and unpickling what a topic delivers would run whatever it holds. CluStream cannot
be primed; it loses little by that, as its time window is one sample.

A clusterer knows no roles. Its centers are given to roles so that these move as little as possible in all (the
Hungarian problem), and customers near a center count against the prior as with our own. What does not keep the order of
roles then (see `stream_app.learning.centres`) is refused: names would not be true.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
from river import cluster
from scipy.optimize import linear_sum_assignment

from stream_app.core.arrays import Floats
from stream_app.errors import CentresRefused
from stream_app.learning.centres import disorder, in_order, shrink
from stream_app.segmentations.learned.model import Frame

KMEANS_HALFLIFE: Final = 0.05
"""Share of the way a center moves towards each of its rows. On a skewed mixture (2,000 rows, k = 7) the inertia was
1.03 to 1.2 times that of batch k-means, at River's default of .5 it was 1.2 to 1.5 times; the other two did best at
the default."""
STREAM_CHUNK_ROWS: Final = 100
"""STREAMKMeans summarises this many rows by k centers at a time."""

Rows = Sequence[dict[int, float]]


class Build(Protocol):
    """Returns a new River model that will be shown `n_rows` rows; begins at `centers` if it can."""

    def __call__(self, seed: int, n_rows: int, centers: Rows) -> Any:
        """Return the model."""
        ...


def kmeans(seed: int, n_rows: int, centers: Rows) -> cluster.KMeans:  # noqa: ARG001  (any number of rows)
    """`river.cluster.KMeans`: each row moves its nearest center."""
    model = cluster.KMeans(n_clusters=len(centers), halflife=KMEANS_HALFLIFE, seed=seed)
    _prime(model, centers)
    return model


def streamkmeans(seed: int, n_rows: int, centers: Rows) -> cluster.STREAMKMeans:
    """`river.cluster.STREAMKMeans`: the centers of chunks of rows are rows of a second k-means."""
    model = cluster.STREAMKMeans(min(STREAM_CHUNK_ROWS, n_rows), len(centers), seed=seed)
    _prime(model._kmeans, centers)
    return model


def clustream(seed: int, n_rows: int, centers: Rows) -> cluster.CluStream:
    """`river.cluster.CluStream`: many micro-clusters, grouped by k-means once, after the last row."""
    return cluster.CluStream(n_macro_clusters=len(centers), time_window=n_rows, time_gap=n_rows, seed=seed)


def _prime(model: cluster.KMeans, centers: Rows) -> None:
    for index, center in enumerate(centers):
        model.centers[index].update(center)


def place_by_river(build: Build, axes: Floats, frame: Frame, prior: Floats, seed: Sequence[int]) -> Floats:
    """Place centres by one of River's clusterers, see `stream_app.learning.algorithms.Placement`.

    Raises
    ------
    CentresRefused
        If it found too few centers, or such as no role has.
    """
    roles = np.flatnonzero(frame.admits)
    counted = np.flatnonzero(frame.weights)
    weights = frame.weights[counted]
    rng = np.random.default_rng(seed)
    present = frame.centres[np.ix_(roles, counted)] * weights
    model = build(int(rng.integers(2**31)), len(axes), _rows(present))
    for x in _rows(axes[rng.permutation(len(axes))][:, counted] * weights):
        model.learn_one(x)
    columns = range(len(counted))
    found = np.array([[center[column] for column in columns] for center in model.centers.values()])
    usable = int(np.isfinite(found).all(axis=-1).sum()) if len(found) else 0
    if usable < len(roles):
        raise CentresRefused(f"centres: {usable} finite ones were found, expected {len(roles)}")
    of_role, chosen = linear_sum_assignment(((present[:, None] - found) ** 2).sum(axis=2))
    centres = np.where(frame.admits[:, None], frame.centres, prior)
    centres[np.ix_(roles[of_role], counted)] = found[chosen] / weights
    means, members = shrink(axes, frame, centres, prior)
    if fault := disorder(means, roles):
        raise CentresRefused(f"centres: {fault}, expected roles in order")
    return in_order(means, members)


def _rows(matrix: Floats) -> Rows:
    # Numbers for names: River's KMeans draws its first centers in the order of a set of names, and that of a set of
    # strings differs from process to process.
    return [dict(enumerate(row)) for row in matrix.tolist()]
