"""How far the population has moved since the last published model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stream_app.core.arrays import Floats
from stream_app.learning.lineage import UNMATCHED

PSI_BINS: Final = 10
"""Deciles, as is customary: below .1 a distribution counts as stable, above .25 as changed."""
COUNT_FLOOR: Final = 0.5
"""An empty bin counts as half a customer, so that the index stays finite."""


def centroid_shift(earlier: Floats, later: Floats, matched: npt.NDArray[np.intp]) -> float:
    """Return the mean Euclidean distance between matched centroids.

    Parameters
    ----------
    earlier, later
        Centroids in one common scaled space, shapes `(j, d)` and `(k, d)`.
    matched
        From `stream_app.core.lineage.match_centroids`, shape `(k,)`.
    """
    pairs = matched != UNMATCHED
    return float(np.sqrt(((later[pairs] - earlier[matched[pairs]]) ** 2).sum(axis=1)).mean())


@dataclass(frozen=True)
class ReferenceDistribution:
    """The distribution of each feature in one sample, to which later samples are compared.

    Parameters
    ----------
    edges
        Inner borders between the bins of each feature, ascending, shape `(d, PSI_BINS − 1)`.
    shares
        Share of the sample in each bin, > 0, shape `(d, PSI_BINS)`; about .1 unless values are tied.

    References
    ----------
    Siddiqi, N. (2006). Credit Risk Scorecards. Wiley: the index and its rule of thumb.

    Yurdakul, B. (2018). Statistical properties of population stability index. Dissertation, Western Michigan
    University: without any change, about (bins − 1)(1/n + 1/m).
    """

    edges: Floats
    shares: Floats

    @classmethod
    def of(cls, features: Floats) -> ReferenceDistribution:
        """Take the deciles of raw features, shape `(n, d)`."""
        edges = np.quantile(features, np.arange(1, PSI_BINS) / PSI_BINS, axis=0).T
        return cls(edges, _bin_shares(edges, features))

    def population_stability(self, features: Floats) -> Floats:
        """Return the population stability index of each feature against the reference, ≥ 0, shape `(d,)`.

        With p and q the shares of a bin in the two samples: Σ (p − q) ln(p/q).
        """
        shares = _bin_shares(self.edges, features)
        return np.asarray(((shares - self.shares) * np.log(shares / self.shares)).sum(axis=1))

    def state(self) -> dict[str, Any]:
        """Return the distribution as JSON values."""
        return {"edges": self.edges.tolist(), "shares": self.shares.tolist()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ReferenceDistribution:
        """Return the distribution that `state` was called on."""
        return cls(np.array(state["edges"], np.float64), np.array(state["shares"], np.float64))


def _bin_shares(edges: Floats, features: Floats) -> Floats:
    counts = [
        np.bincount(np.searchsorted(borders, column, side="right"), minlength=PSI_BINS)
        for borders, column in zip(edges, features.T, strict=True)
    ]
    return np.asarray(np.maximum(counts, COUNT_FLOOR) / len(features))
