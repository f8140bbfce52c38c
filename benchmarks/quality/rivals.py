"""What a shop would do otherwise, on the same data: nightly RFM rules, and a nightly k-means.

They look at all customers once a day, at midnight, and say in which segment each one is from then on. What the product
did before is a rival as well: see `former.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans

from benchmarks.quality.former import Former, FormerFeatures
from benchmarks.quality.nights import Night
from stream_app.core.clock import WEEK_MS

NOWHERE: Final = -1


class Rival:
    """Keeps where a segmentation has every customer at the end of every day.

    Attributes
    ----------
    name
        For tables.
    places
        Number of the segment, `NOWHERE` for none yet, shape `(n_days, n_customers)`.
    moved_per_publish
        Share of the customers whom each model moved that night, the first one left out.
    """

    name = ""

    def __init__(self, days: int, customers: int) -> None:
        self.places = np.full((days, customers), NOWHERE, np.int8)
        self.moved_per_publish: list[float] = []
        self._present = np.full(customers, NOWHERE, np.int8)

    def observe(self, night: Night) -> None:
        """Do the night's work."""
        self.assign(night)
        self.places[night.day] = self._present

    def assign(self, night: Night) -> None:
        """Put customers where they belong, by `_put`."""
        raise NotImplementedError

    def _put(self, night: Night, segments: np.ndarray) -> float:
        """Take the segment of every known customer; return the share of the assigned ones that moved."""
        before = self._present[night.known]
        self._present[night.known] = np.where(segments >= 0, segments, before)
        assigned = before >= 0
        return float((self._present[night.known] != before)[assigned].mean()) if assigned.any() else 0.0


class QuantileRules(Rival):
    """The usual RFM rules: quintiles of recency, lifetime frequency and lifetime money, ten named cells."""

    name = "RFM rules"

    def assign(self, night: Night) -> None:
        """Put customers into cells."""
        if len(night.known) < 100:
            return
        bought = night.purchases > 0
        recency = 6 - _quintile(night.purchase_recency_days, bought)
        value = (_quintile(night.purchases, bought) + _quintile(night.spend_minor, bought)) // 2
        self._put(night, np.where(bought, _cell(recency, value), NOWHERE))


class BatchKMeans(Rival):
    """Scikit-learn's k-means on all customers, fitted every week, labels matched to the week before."""

    name = "k-means"

    def __init__(self, days: int, customers: int) -> None:
        super().__init__(days, customers)
        self._features = FormerFeatures()
        self._fit: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def assign(self, night: Night) -> None:
        """Put customers to the nearest centroid; fit anew once a week."""
        if night.at_ms % WEEK_MS == 0 and self._features.learn(night):
            features = self._features.of(night)
            if self._fit is not None:
                self._put(night, self._nearest(features))
            first = self._fit is None
            self._fit = self._fitted(features)
            moved = self._put(night, self._nearest(features))
            self.moved_per_publish += [] if first else [moved]
        elif self._fit is not None:
            self._put(night, self._nearest(self._features.of(night)))

    def _nearest(self, features: np.ndarray) -> np.ndarray:
        assert self._fit is not None
        mean, scale, centroids = self._fit
        points = (features - mean) / scale
        return ((points[:, None] - centroids[None]) ** 2).sum(axis=2).argmin(axis=1)

    def _fitted(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mean = features.mean(axis=0)
        scale = np.maximum(features.std(axis=0), 1e-6) / self._features.weights
        clusters = min(self._features.clusters, len(np.unique(features, axis=0)))
        points = (features - mean) / scale
        centroids = KMeans(clusters, n_init=10, random_state=0).fit(points).cluster_centers_
        if self._fit is not None and len(self._fit[2]) == clusters:
            old = (self._fit[2] * self._fit[1] + self._fit[0] - mean) / scale
            centroids = centroids[linear_sum_assignment(((centroids[None] - old[:, None]) ** 2).sum(axis=2))[1]]
        return mean, scale, centroids


class FormerMethod(Rival):
    """What the product did before: learned in small steps, with hysteresis; here it looks once a night."""

    name = "before"

    def __init__(self, days: int, customers: int) -> None:
        super().__init__(days, customers)
        self._former = Former(customers)

    def assign(self, night: Night) -> None:
        """Move customers, learn once a week, and move those whom the new model moves."""
        if self._former.is_learned:
            self._put(night, self._former.assess(night))
        first = not self._former.is_learned
        if night.at_ms % WEEK_MS == 0 and self._former.learn(night):
            moved = self._put(night, self._former.assess(night))
            self.moved_per_publish += [] if first else [moved]


def let_compete(nights: Iterable[Night], days: int, customers: int) -> list[Rival]:
    """Return all rivals after the last night."""
    rivals: list[Rival] = [kind(days, customers) for kind in (QuantileRules, BatchKMeans, FormerMethod)]
    for night in nights:
        for rival in rivals:
            rival.observe(night)
    return rivals


def _quintile(column: np.ndarray, of: np.ndarray) -> np.ndarray:
    edges = np.quantile(column[of], (0.2, 0.4, 0.6, 0.8)) if of.any() else np.zeros(4)
    return 1 + np.searchsorted(edges, column, side="left")


CELLS: Final[Sequence[tuple[range, range]]] = (
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
"""Scores of recency, and of frequency and money together, of the ten cells."""


def _cell(recency: np.ndarray, value: np.ndarray) -> np.ndarray:
    found = np.full(len(recency), len(CELLS) - 1)
    for number, (recencies, values) in enumerate(CELLS):
        found[np.isin(recency, recencies) & np.isin(value, values)] = number
    return found
