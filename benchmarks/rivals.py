"""What a shop would do otherwise, on the same data: a nightly batch k-means, and quantile RFM rules.

Both look at all customers once a day, at midnight, and say in which segment each one is from then on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from learned import model_of
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans

from stream_app.core.clock import DAY_MS, WEEK_MS
from stream_app.core.partition import Partition
from stream_app.core.quantities import quantities_at
from stream_app.segmentations.learned.features import FEATURE_WEIGHTS, extract_features


class Rival:
    """Collects the migrations of a segmentation that is assigned anew every day."""

    def __init__(self) -> None:
        self.moves: list[tuple[int, int, int]] = []
        """Row number, instant in milliseconds, segment."""
        self.customer_days = 0
        self._current = np.empty(0, np.int64)

    def assign(self, segments: np.ndarray, at_ms: int) -> None:
        """Take the segment of every customer at an instant; −1 for none yet."""
        current = np.full(len(segments), -1)
        current[: len(self._current)] = self._current
        changed = np.flatnonzero((segments != current) & (segments >= 0))
        self.moves += [(int(row), at_ms, int(segments[row])) for row in changed]
        self.customer_days += len(segments)
        self._current = np.where(segments >= 0, segments, current)


class BatchKMeans(Rival):
    """Scikit-learn's k-means on all customers, fitted every week, labels matched to the week before."""

    def __init__(self, clusters: int) -> None:
        super().__init__()
        self._clusters = clusters
        self._fit: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def observe(self, partition: Partition, at_ms: int) -> None:
        """Do the night's work."""
        features = extract_features(quantities_at(partition.table.activity, at_ms), model_of(partition).parameters)
        if at_ms % WEEK_MS == 0 and len(features) >= 25 * self._clusters and model_of(partition).version > 0:
            mean, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
            points = (features - mean) / scale * FEATURE_WEIGHTS
            centroids = KMeans(self._clusters, n_init=10, random_state=0).fit(points).cluster_centers_
            if self._fit is not None:
                raw = centroids / FEATURE_WEIGHTS * scale + mean
                old = self._fit[2] / FEATURE_WEIGHTS * self._fit[1] + self._fit[0]
                cost = ((((raw[None] - old[:, None]) / scale) * FEATURE_WEIGHTS) ** 2).sum(axis=2)
                centroids = centroids[linear_sum_assignment(cost)[1]]
            self._fit = mean, scale, centroids
        if self._fit is not None:
            mean, scale, centroids = self._fit
            points = (features - mean) / scale * FEATURE_WEIGHTS
            self.assign(((points[:, None] - centroids[None]) ** 2).sum(axis=2).argmin(axis=1), at_ms)


class QuantileRules(Rival):
    """The usual RFM rules: quintiles of recency, lifetime frequency and lifetime money, ten named cells."""

    def observe(self, partition: Partition, at_ms: int) -> None:
        """Do the night's work."""
        activity = partition.table.activity
        if len(activity) < 100:
            return
        bought = activity["purchases"] > 0
        recency = 6 - _quintile(np.maximum(at_ms - activity["purchased_at_ms"], 0) / DAY_MS, bought)
        value = (_quintile(activity["purchases"], bought) + _quintile(activity["revenue_minor"], bought)) // 2
        self.assign(np.where(bought, _cell(recency, value), -1), at_ms)


def _quintile(column: np.ndarray, of: np.ndarray) -> np.ndarray:
    edges = np.quantile(column[of], (0.2, 0.4, 0.6, 0.8)) if of.any() else np.zeros(4)
    return 1 + np.searchsorted(edges, column, side="left")


def _cell(recency: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return the number of the named cell: champions, loyal, potential, new, promising, attention, …, lost."""
    cells: Sequence[tuple[range, range]] = (
        (range(5, 6), range(4, 6)),  # champions
        (range(3, 5), range(4, 6)),  # loyal
        (range(4, 6), range(2, 4)),  # potential loyalists
        (range(5, 6), range(1, 2)),  # new
        (range(4, 5), range(1, 2)),  # promising
        (range(3, 4), range(3, 4)),  # need attention
        (range(3, 4), range(1, 3)),  # about to sleep
        (range(1, 3), range(5, 6)),  # cannot lose
        (range(1, 3), range(3, 5)),  # at risk
        (range(1, 3), range(1, 3)),  # hibernating and lost
    )
    found = np.full(len(recency), len(cells) - 1)
    for number, (recencies, values) in enumerate(cells):
        found[np.isin(recency, recencies) & np.isin(value, values)] = number
    return found
