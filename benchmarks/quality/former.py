"""The learned segmentation that the product had before it went by stage and role, for comparison alone.

Four features, each total multiplied by the probability that the customer is still active, or four plain ones where
hardly anybody engages; k-means that is continued from one weekly sample to the next and moves no further than it must;
a customer moves once it is further past the bisector of two centroids than the hysteresis, and not back within 30 days.
It stands by itself, with the constants it was shipped with. What is not rebuilt: moves at the very event or instant
(here everybody is assessed once a night), names, rules before the first model, models held back, and the weights of
engagements, which count alike.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.quality.nights import Night
from stream_app.core.arrays import Floats, Indices

GONE_PER_DAY: Final = 1 / 500
PRIOR_SHAPE: Final = 0.5
FIRST_PRIOR_GAP_DAYS: Final = 30.0
PRIOR_GAP_RANGE_DAYS: Final = (2.0, 200.0)
ALPHA: Final = 0.2
ENGAGED_SHARE_MIN: Final = 0.05
SAMPLE_SIZE: Final = 2_000
HISTORY_DAYS_MIN: Final = 90
CUSTOMERS_PER_CLUSTER_MIN: Final = 25
HYSTERESIS: Final = 0.5
NO_RETURN_DAYS: Final = 30
SEED: Final = 0

RESTARTS: Final = 4
SEED_CANDIDATES: Final = 4
SEEDED_ITERATIONS: Final = 20
WARM_ITERATIONS: Final = 10
SHIFT_TOLERANCE: Final = 1e-4
STEPS: Final = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
STEP_TOLERANCE: Final = 1.005
CHALLENGER_LEAD: Final = 1.05
CHALLENGER_STEPS: Final = tuple(step / 20 for step in range(1, 21))
CHALLENGER_TOLERANCE: Final = 1.035


class FormerFeatures:
    """From nights to features, with parameters re-fitted to a sample each week."""

    weights = np.array((0.5, 1.0, 1.0, 1.0))

    def __init__(self) -> None:
        self.is_plain: bool | None = None
        self._prior_gap_days = FIRST_PRIOR_GAP_DAYS
        self._order_value_minor = 5_000.0
        self._fits = 0

    @property
    def clusters(self) -> int:
        """Number of segments."""
        return 6 if self.is_plain else 7

    def learn(self, night: Night) -> bool:
        """Re-fit the parameters; return False, and change nothing, while there is too little to learn from."""
        if night.tenure_days.max() < HISTORY_DAYS_MIN:
            return False
        if self.is_plain is None:
            self.is_plain = bool((night.engaged_days > 0).mean() < ENGAGED_SHARE_MIN)
        if len(night.known) < CUSTOMERS_PER_CLUSTER_MIN * self.clusters:
            return False
        alpha = ALPHA if self._fits else 1.0
        usual = (night.exposure_days + self._prior_gap_days) / (night.active_days + PRIOR_SHAPE)
        on_time = night.recency_days < np.maximum(14.0, 3.0 * usual)
        if (active := night.active_days[on_time].sum()) > 0:
            fitted = np.clip(PRIOR_SHAPE * night.exposure_days[on_time].sum() / active, *PRIOR_GAP_RANGE_DAYS)
            self._prior_gap_days += alpha * (float(fitted) - self._prior_gap_days)
        bought = (night.orders > 0) & (night.revenue_minor > 0)
        if bought.any():
            value = math.exp(float(np.log(night.revenue_minor[bought] / night.orders[bought]).mean()))
            self._order_value_minor *= (value / self._order_value_minor) ** alpha
        self._fits += 1
        return True

    def of(self, night: Night) -> Floats:
        """Return the raw features, shape `(n_known, 4)`."""
        if self.is_plain:
            columns = (night.recency_days / 30, night.orders, night.revenue_minor / 100, night.engagement)
            return np.log1p(np.stack(columns, axis=1))
        active = self._probability_active(night)
        expected = (night.orders, night.revenue_minor / self._order_value_minor, night.engaged_days)
        return np.stack([1 - active, *(np.log1p(active * column) for column in expected)], axis=1)

    def _probability_active(self, night: Night) -> Floats:
        shape_less_one = night.active_days + (PRIOR_SHAPE - 1)
        scale = night.exposure_days + self._prior_gap_days
        silence = np.log1p(night.recency_days / scale)
        near_one = np.abs(shape_less_one) < 1e-9
        exponent = np.minimum(shape_less_one * silence, 700.0)
        growth = np.where(near_one, silence, np.expm1(exponent) / np.where(near_one, 1.0, shape_less_one))
        return np.asarray(1 / (1 + GONE_PER_DAY * (scale + night.recency_days) * growth))


class Former:
    """Learns weekly and assesses nightly.

    Parameters
    ----------
    customers
        How many there will be.
    """

    def __init__(self, customers: int) -> None:
        self._features = FormerFeatures()
        self._mean: Floats | None = None
        self._deviation: Floats = np.empty(0)
        self._centroids: Floats | None = None
        self._ticks = 0
        self._segment = np.full(customers, -1)
        self._previous = np.full(customers, -1)
        self._since_day = np.full(customers, -(10**6))

    @property
    def is_learned(self) -> bool:
        """Whether there is a model."""
        return self._centroids is not None

    def learn(self, night: Night) -> bool:
        """Learn from a sample of a night; return whether there was enough to learn from."""
        rng = np.random.default_rng((SEED, self._ticks))
        self._ticks += 1
        drawn = rng.choice(len(night.known), min(SAMPLE_SIZE, len(night.known)), replace=False)
        sample = Night(night.day, night.at_ms, *(column[drawn] for column in night[2:]))
        if not self._features.learn(sample):
            return False
        features = self._features.of(sample)
        alpha = 1.0 if self._mean is None else ALPHA
        mean = features.mean(axis=0) if self._mean is None else self._mean
        deviation = features.std(axis=0) if self._mean is None else self._deviation
        self._mean = mean + alpha * (features.mean(axis=0) - mean)
        self._deviation = deviation + alpha * (features.std(axis=0) - deviation)
        points = self._standardise(features)
        if self._centroids is None:
            centroids = _fit_afresh(points, self._features.clusters, rng)
        else:
            centroids = _continue_from(self._standardise(self._centroids), points, rng)
        self._centroids = centroids / self._features.weights * self._scale + self._mean
        return True

    def assess(self, night: Night) -> Indices:
        """Return the segment of every known customer, after its move if it makes one."""
        assert self._centroids is not None
        centroids = self._standardise(self._centroids)
        distance = _squared_distances(self._standardise(self._features.of(night)), centroids)
        rows, current = np.arange(len(distance)), self._segment[night.known]
        target = distance.argmin(axis=1)
        apart = np.sqrt(_squared_distances(centroids, centroids))
        lead = distance[rows, current] - distance[rows, target]
        recent = night.day - self._since_day[night.known] < NO_RETURN_DAYS
        barred = recent & (target == self._previous[night.known])
        moves = (current < 0) | ((lead > 2 * HYSTERESIS * apart[current, target]) & ~barred & (target != current))
        moving = night.known[moves]
        self._previous[moving] = self._segment[moving]
        self._segment[moving] = target[moves]
        self._since_day[moving] = night.day
        return self._segment[night.known]

    @property
    def _scale(self) -> Floats:
        return np.where(self._deviation < 1e-6, 1.0, self._deviation)

    def _standardise(self, features: Floats) -> Floats:
        return np.asarray((features - self._mean) / self._scale * self._features.weights)


def _squared_distances(points: Floats, centroids: Floats) -> Floats:
    squares = (points**2).sum(axis=1)[:, None] + (centroids**2).sum(axis=1)
    return np.asarray(np.maximum(squares - 2 * points @ centroids.T, 0.0))


def _inertia(points: Floats, centroids: Floats) -> float:
    return float(_squared_distances(points, centroids).min(axis=1).mean())


def _lloyd(points: Floats, centroids: Floats, iterations: int) -> Floats:
    for _ in range(iterations):
        distances = _squared_distances(points, centroids)
        labels = distances.argmin(axis=1)
        counts = np.bincount(labels, minlength=len(centroids))
        sums = [np.bincount(labels, column, minlength=len(centroids)) for column in points.T]
        moved = np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None]
        empty = np.flatnonzero(counts == 0)
        moved[empty] = points[distances.min(axis=1).argsort()[::-1][: len(empty)]]
        shift = ((moved - centroids) ** 2).sum()
        centroids = moved
        if shift < SHIFT_TOLERANCE:
            break
    return centroids


def _fit_afresh(points: Floats, clusters: int, rng: np.random.Generator) -> Floats:
    runs = [_lloyd(points, _seeds(points, clusters, rng), SEEDED_ITERATIONS) for _ in range(RESTARTS)]
    return min(runs, key=lambda centroids: _inertia(points, centroids))


def _seeds(points: Floats, clusters: int, rng: np.random.Generator) -> Floats:
    """Choose first centroids by greedy k-means++."""
    centroids = points[rng.integers(len(points))][None]
    nearest = _squared_distances(points, centroids)[:, 0]
    while len(centroids) < clusters:
        cumulative = nearest.cumsum()
        drawn = np.searchsorted(cumulative, rng.random(SEED_CANDIDATES) * cumulative[-1], side="right")
        candidates = points[np.minimum(drawn, len(points) - 1)]
        remaining = np.minimum(nearest[:, None], _squared_distances(points, candidates))
        best = remaining.sum(axis=0).argmin()
        centroids, nearest = np.vstack((centroids, candidates[best])), remaining[:, best]
    return centroids


def _continue_from(current: Floats, points: Floats, rng: np.random.Generator) -> Floats:
    warm = _lloyd(points, current, WARM_ITERATIONS)
    challenger = _fit_afresh(points, len(current), rng)
    goal, steps, tolerance = warm, STEPS, STEP_TOLERANCE
    if _inertia(points, warm) > CHALLENGER_LEAD * _inertia(points, challenger):
        goal = challenger[linear_sum_assignment(_squared_distances(current, challenger))[1]]
        steps, tolerance = CHALLENGER_STEPS, CHALLENGER_TOLERANCE
    enough = tolerance * _inertia(points, goal)
    for step in steps[:-1]:
        if _inertia(points, part := current + step * (goal - current)) <= enough:
            return part
    return goal
