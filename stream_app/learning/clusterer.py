"""Our own estimator: k-means on one sample of the population after another, moving no more than it must."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from river import base

from stream_app.core.arrays import Floats
from stream_app.learning.kmeans import Clustering, fit_afresh, lloyd, mean_inertia, squared_distances
from stream_app.learning.learner import Fit
from stream_app.learning.lineage import match_centroids
from stream_app.learning.scaler import EwmaScaler

RESTARTS: Final = 4
"""Fresh seedings tried, for the first clustering and for each challenger; two missed the better optimum at times."""
WARM_ITERATIONS: Final = 10
STEPS: Final = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
"""Shares of the way to the best fit that are tried, smallest first: every unneeded move sends customers about."""
STEP_TOLERANCE: Final = 1.005
"""A step is long enough when its inertia is at most this multiple of the best fit's. At 1.01 the inertia over the
whole population was .2 % higher, while .07 % fewer customers moved at a tick."""
CHALLENGER_LEAD: Final = 1.05
"""The centroids in use may have at most this multiple of a fresh clustering's inertia. On samples of 2,000 its
standard error was 1.2 to 3.8 %, so smaller leads are often the luck of a sample."""
CHALLENGER_STEPS: Final = tuple(step / 20 for step in range(1, 21))
CHALLENGER_TOLERANCE: Final = 1.035
"""The way to a challenger is gone only so far as to reach this multiple of its inertia; warm steps do the rest.
Smaller steps spread over ticks were tried: inertia rises on the way (to 1.09), as the population moves on meanwhile."""


class ResampledKMeans(base.Clusterer):
    """K-means over samples, each continued from the last.

    The first sample is clustered from greedy k-means++ seeds. On every later one Lloyd's iteration starts from the
    centroids in use, and these move only as far towards its result as keeps the inertia within .5 % of it. A fresh
    clustering is tried beside; where the centroids in use are more than 5 % worse, they move towards that. Features are
    standardised by averages over the samples, and centroids are kept in raw space: kept standardised, the drift of
    the scaler alone moved 22 % of customers.

    A feature that a row lacks counts as 0, as in `river.cluster.KMeans`.

    Parameters
    ----------
    n_clusters
        Number of clusters k.
    sample_size
        Rows that `learn_one` gathers before it learns from them.
    feature_names
        Names of the columns of `learn_sample`, where rows are predicted by name as well. Names met later follow.
    weights
        Weight of each standardised feature in the distance; 1 where not given.
    seed
        Fixes, together with the number of the sample, every random choice.

    References
    ----------
    Lloyd, S. (1982). Least squares quantization in PCM. IEEE Transactions on Information Theory 28 (2), 129-137.

    Arthur, D. and Vassilvitskii, S. (2007). k-means++: the advantages of careful seeding. Proceedings of the 18th
    ACM-SIAM Symposium on Discrete Algorithms, 1027-1035.

    Examples
    --------
    >>> from river import stream
    >>> rows = [[1, 2], [1, 4], [1, 0], [-4, 2], [-4, 4], [-4, 0]]
    >>> model = ResampledKMeans(n_clusters=2, sample_size=6, seed=1)
    >>> for x, _ in stream.iter_array(rows):
    ...     model.learn_one(x)
    >>> model.predict_one({0: 2, 1: 2}) == model.predict_one({0: 1, 1: 3})
    True
    >>> model.predict_one({0: 2, 1: 2}) == model.predict_one({0: -3, 1: 2})
    False
    """

    def __init__(
        self,
        n_clusters: int = 7,
        sample_size: int = 2000,
        feature_names: tuple[str, ...] | None = None,
        weights: tuple[float, ...] | None = None,
        seed: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.sample_size = sample_size
        self.feature_names = feature_names
        self.weights = weights
        self.seed = seed
        self._names: list[Hashable] = list(feature_names or ())
        self._scaler = EwmaScaler(weights or ())
        self._centroids: Floats | None = None
        self._next_tick = 0
        self._buffer: list[dict[Hashable, float]] = []

    def learn_one(self, x: Mapping[Hashable, float]) -> None:
        """Keep a row until `sample_size` are together, then learn from all of them."""
        self._buffer.append(dict(x))
        if len(self._buffer) < self.sample_size:
            return
        self._admit({name for row in self._buffer for name in row})
        self.learn_sample(self._matrix(self._buffer), self._next_tick)
        self._buffer.clear()

    def predict_one(self, x: Mapping[Hashable, float]) -> int:
        """Return the cluster of a row, 0 to k − 1; 0 before anything is learned."""
        if self._centroids is None:
            return 0
        standardised = self._scaler.standardise(self._matrix([x]))
        return int(squared_distances(standardised, self._scaler.standardise(self._centroids)).argmin())

    def _admit(self, names: Iterable[Hashable]) -> None:
        """Append names met for the first time, in an order that does not depend on the rows' own."""
        self._names += sorted(set(names) - set(self._names), key=str)
        if self._centroids is not None:
            width = len(self._names)
            self._scaler.widen(width)
            self._centroids = np.pad(self._centroids, ((0, 0), (0, width - self._centroids.shape[1])))

    def _matrix(self, rows: Sequence[Mapping[Hashable, float]]) -> Floats:
        return np.array([[row.get(name, 0.0) for name in self._names] for row in rows], np.float64)

    def learn_sample(self, features: Floats, tick: int) -> Fit:
        """Learn from raw features, shape `(n, d)`, n ≥ 1; see `stream_app.learning.learner.Learner`."""
        self._next_tick = tick + 1
        self._scaler.learn(features)
        points = self._scaler.standardise(features)
        rng = np.random.default_rng([self.seed, tick])
        if self._centroids is None:
            chosen, step, adopted = fit_afresh(points, self.n_clusters, RESTARTS, rng), 1.0, False
        else:
            chosen, step, adopted = self._continue_from(self._scaler.standardise(self._centroids), points, rng)
        self._centroids = self._scaler.restore_raw(chosen.centroids)
        return Fit(self._scaler.mean, self._scaler.scale, self._centroids, chosen.inertia, step, adopted)

    def _continue_from(
        self, current: Floats, points: Floats, rng: np.random.Generator
    ) -> tuple[Clustering, float, bool]:
        """Return the clustering to use next, the step taken towards its goal, and whether that was the challenger."""
        warm = lloyd(points, current, WARM_ITERATIONS)
        challenger = fit_afresh(points, self.n_clusters, RESTARTS, rng)
        if warm.inertia > CHALLENGER_LEAD * challenger.inertia:
            in_order = np.empty_like(current)
            in_order[match_centroids(current, challenger.centroids)] = challenger.centroids
            goal = Clustering(in_order, challenger.inertia)
            return *_smallest_step(points, current, goal, CHALLENGER_STEPS, CHALLENGER_TOLERANCE), True
        return *_smallest_step(points, current, warm, STEPS, STEP_TOLERANCE), False

    def state(self) -> dict[str, Any]:
        """Return what was learned as JSON values; rows that wait for a full sample are not part of it."""
        return {
            "feature_names": self._names,
            "scaler": self._scaler.state(),
            "centroids": None if self._centroids is None else self._centroids.tolist(),
            "next_tick": self._next_tick,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        self._names = list(state["feature_names"])
        self._scaler.load_state(state["scaler"])
        self._centroids = None if state["centroids"] is None else np.array(state["centroids"], np.float64)
        self._next_tick = state["next_tick"]


def _smallest_step(
    points: Floats, current: Floats, goal: Clustering, steps: Sequence[float], tolerance: float
) -> tuple[Clustering, float]:
    """Return where the smallest sufficient step towards a goal leads, and the step."""
    for step in steps[:-1]:
        centroids = current + step * (goal.centroids - current)
        inertia = mean_inertia(points, centroids)
        if inertia <= tolerance * goal.inertia:
            return Clustering(centroids, inertia), step
    return goal, steps[-1]
