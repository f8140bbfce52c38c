"""Standardisation that follows the population slowly.

A scaler fitted anew at each tick would move every boundary with the noise of its sample; mean and standard deviation
are therefore averaged exponentially over the ticks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stream_app.core.arrays import Floats

SCALE_FLOOR: Final = 1e-6
"""Standard deviation below which a feature counts as constant; it is then left in its own units (scale 1)."""


class EwmaScaler:
    """Mean and standard deviation of features, exponentially averaged over samples.

    Parameters
    ----------
    weights
        Weight > 0 of each standardised feature; features beyond the given ones weigh 1.
    alpha
        Share of the newest sample in the averages, in (0, 1]; the first sample counts in full.
    """

    def __init__(self, weights: npt.ArrayLike = (), alpha: float = 0.2) -> None:
        self.alpha = alpha
        self._given_weights = np.asarray(weights, np.float64)
        self.mean: Floats = np.empty(0)
        self._deviation: Floats = np.empty(0)

    def learn(self, features: Floats) -> None:
        """Fold in a sample of raw features, shape `(n, d)`; the first one decides d, see `widen`."""
        mean, deviation = features.mean(axis=0), features.std(axis=0)
        if not len(self.mean):
            self.mean, self._deviation = mean, deviation
            return
        self.mean = self.mean + self.alpha * (mean - self.mean)
        # A spread that was never seen before has nothing to be averaged with.
        alpha = np.where(self._deviation < SCALE_FLOOR, 1.0, self.alpha)
        self._deviation = self._deviation + alpha * (deviation - self._deviation)

    def widen(self, width: int) -> None:
        """Make room for features up to `width`, which were absent from all earlier samples and so constantly 0."""
        missing = width - len(self.mean)
        self.mean = np.pad(self.mean, (0, missing))
        self._deviation = np.pad(self._deviation, (0, missing))

    @property
    def scale(self) -> Floats:
        """Standard deviation of each feature, > 0, shape `(d,)`."""
        return np.where(self._deviation < SCALE_FLOOR, 1.0, self._deviation)

    @property
    def weights(self) -> Floats:
        """Weight of each feature, shape `(d,)`."""
        given = self._given_weights[: len(self.mean)]
        return np.pad(given, (0, len(self.mean) - len(given)), constant_values=1.0)

    def standardise(self, features: Floats) -> Floats:
        """Return weighted z-scores of raw features, shape `(…, d)`."""
        return np.asarray((features - self.mean) / self.scale * self.weights)

    def restore_raw(self, standardised: Floats) -> Floats:
        """Return raw features from weighted z-scores: the inverse of `standardise`."""
        return np.asarray(standardised / self.weights * self.scale + self.mean)

    def state(self) -> dict[str, Any]:
        """Return what was learned as JSON values."""
        return {"mean": self.mean.tolist(), "deviation": self._deviation.tolist()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        self.mean = np.array(state["mean"], np.float64)
        self._deviation = np.array(state["deviation"], np.float64)
