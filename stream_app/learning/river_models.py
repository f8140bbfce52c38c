"""River's own clusterers in the place of ours, for those who want to compare.

At each tick a River model is built anew, primed with the centers of the last one, standardised afresh, and shown the
sample row by row. So the drift of the scaler moves nobody, and a restarted trainer repeats a tick exactly: River's
models cannot be written as JSON, and unpickling what a topic delivers would run whatever stands in it.
CluStream cannot be primed; it loses little by that, as its time window is one sample.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from river import cluster

from stream_app.core.arrays import Floats
from stream_app.learning.kmeans import mean_inertia
from stream_app.learning.learner import Fit
from stream_app.learning.scaler import EwmaScaler

KMEANS_HALFLIFE: Final = 0.05
"""Share of the way a center moves towards each of its rows. On a skewed mixture (2,000 rows, k = 7) the inertia was
1.03 to 1.2 times that of batch k-means, at River's default of .5 it was 1.2 to 1.5 times; the other two did best at
the default."""
STREAM_CHUNK_ROWS: Final = 100
"""STREAMKMeans summarises this many rows by k centers at a time."""

Rows = Sequence[dict[int, float]]


class RiverLearner(ABC):
    """A River clusterer as a `stream_app.learning.learner.Learner`.

    Parameters
    ----------
    n_clusters
        Number of clusters k.
    weights
        Weight of each standardised feature.
    seed
        Fixes, together with the tick, every random choice.
    """

    def __init__(self, n_clusters: int, weights: Sequence[float], seed: int) -> None:
        self.n_clusters = n_clusters
        self.seed = seed
        self._scaler = EwmaScaler(weights)
        self._centroids: Floats | None = None

    @abstractmethod
    def build(self, seed: int, n_rows: int, centers: Rows) -> Any:
        """Return a new River model that will be shown `n_rows` rows, primed with earlier centers if there are any."""

    def learn_sample(self, features: Floats, tick: int) -> Fit | None:
        """Learn from raw features, shape `(n, d)`; None if fewer than k finite centers came of it."""
        self._scaler.learn(features)
        points = self._scaler.standardise(features)
        rng = np.random.default_rng([self.seed, tick])
        earlier = () if self._centroids is None else self._rows(self._scaler.standardise(self._centroids))
        model = self.build(int(rng.integers(2**31)), len(points), earlier)
        for x in self._rows(points[rng.permutation(len(points))]):
            model.learn_one(x)
        columns = range(points.shape[1])
        centroids = np.array([[center[column] for column in columns] for center in model.centers.values()])
        if len(centroids) < self.n_clusters or not np.isfinite(centroids).all():
            return None
        self._centroids = self._scaler.restore_raw(centroids)
        inertia = mean_inertia(points, centroids)
        return Fit(self._scaler.mean, self._scaler.scale, self._centroids, inertia)

    @staticmethod
    def _rows(matrix: Floats) -> Rows:
        # Numbers for names: River's KMeans draws its first centers in the order of a set of names, and that of a set
        # of strings differs from process to process.
        return [dict(enumerate(row)) for row in matrix.tolist()]

    def state(self) -> dict[str, Any]:
        """Return what was learned as JSON values."""
        centroids = None if self._centroids is None else self._centroids.tolist()
        return {"scaler": self._scaler.state(), "centroids": centroids}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        self._scaler.load_state(state["scaler"])
        self._centroids = None if state["centroids"] is None else np.array(state["centroids"], np.float64)


class RiverKMeans(RiverLearner):
    """`river.cluster.KMeans`: each row moves its nearest center."""

    def build(self, seed: int, n_rows: int, centers: Rows) -> cluster.KMeans:  # noqa: ARG002  (any number of rows)
        """Return a new River model."""
        model = cluster.KMeans(n_clusters=self.n_clusters, halflife=KMEANS_HALFLIFE, seed=seed)
        _prime(model, centers)
        return model


class RiverStreamKMeans(RiverLearner):
    """`river.cluster.STREAMKMeans`: the centers of chunks of rows are rows of a second k-means."""

    def build(self, seed: int, n_rows: int, centers: Rows) -> cluster.STREAMKMeans:
        """Return a new River model."""
        model = cluster.STREAMKMeans(min(STREAM_CHUNK_ROWS, n_rows), self.n_clusters, seed=seed)
        _prime(model._kmeans, centers)
        return model


class RiverCluStream(RiverLearner):
    """`river.cluster.CluStream`: many micro-clusters, in the end grouped by k-means."""

    def build(self, seed: int, n_rows: int, centers: Rows) -> cluster.CluStream:  # noqa: ARG002  (not primed, see above)
        """Return a new River model that groups its micro-clusters once, after the last row."""
        return cluster.CluStream(n_macro_clusters=self.n_clusters, time_window=n_rows, time_gap=n_rows, seed=seed)


def _prime(model: cluster.KMeans, centers: Rows) -> None:
    for index, center in enumerate(centers):
        model.centers[index].update(center)
