"""How far the population has moved since the last published model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from stream_app.core.arrays import Floats
from stream_app.core.quantities import Quantities
from stream_app.segmentations.learned.axes import AXES, value_axes
from stream_app.segmentations.learned.model import Frame
from stream_app.segmentations.learned.roles import KEYS

FIGURES: Final = (*AXES, "silence")
"""What is watched of customers: the axes, and the days since the last act."""
PSI_BINS: Final = 10
"""Deciles, as is customary: below .1 a distribution counts as stable, above .25 as changed."""
COUNT_FLOOR: Final = 0.5
"""An empty bin counts as half a customer, so that the index stays finite."""


def role_shifts(present: Frame, wanted: Frame) -> dict[str, float]:
    """Return how far each open role's centre would have to move, in log units as they are weighted, by its key."""
    shifts = np.sqrt((((wanted.centres - present.centres) * wanted.weights) ** 2).sum(axis=1))
    return {KEYS[role]: float(shifts[role]) for role in np.flatnonzero(wanted.admits)}


@dataclass(frozen=True)
class ReferenceDistribution:
    """The distribution of each figure in one sample, to which later samples are compared.

    Parameters
    ----------
    edges
        Inner borders between the bins of each figure, ascending, shape `(len(FIGURES), PSI_BINS − 1)`.
    shares
        Share of the sample in each bin, > 0, shape `(len(FIGURES), PSI_BINS)`; about .1 unless values are tied.

    References
    ----------
    Siddiqi, N. (2006). Credit Risk Scorecards. Wiley: the index and its rule of thumb.

    Yurdakul, B. (2018). Statistical properties of population stability index. Dissertation, Western Michigan
    University: without any change, about (bins − 1)(1/n + 1/m).
    """

    edges: Floats
    shares: Floats

    @classmethod
    def of(cls, quantities: Quantities, frame: Frame) -> ReferenceDistribution:
        """Take the deciles of customers' figures under the usual order value of a frame."""
        figures = _figures(quantities, frame)
        edges = np.quantile(figures, np.arange(1, PSI_BINS) / PSI_BINS, axis=0).T
        return cls(edges, _bin_shares(edges, figures))

    def population_stability(self, quantities: Quantities, frame: Frame) -> dict[str, float]:
        """Return the population stability index of each figure against the reference, ≥ 0, by its name.

        With p and q the shares of a bin in the two samples: Σ (p − q) ln(p/q).

        Parameters
        ----------
        quantities
            Of the later sample's customers.
        frame
            The one that the reference was taken under.
        """
        shares = _bin_shares(self.edges, _figures(quantities, frame))
        psi = ((shares - self.shares) * np.log(shares / self.shares)).sum(axis=1)
        return dict(zip(FIGURES, psi.tolist(), strict=True))

    def state(self) -> dict[str, Any]:
        """Return the distribution as JSON values."""
        return {"edges": self.edges.tolist(), "shares": self.shares.tolist()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ReferenceDistribution:
        """Return the distribution that `state` was called on."""
        return cls(np.array(state["edges"], np.float64), np.array(state["shares"], np.float64))


def _figures(quantities: Quantities, frame: Frame) -> Floats:
    axes = value_axes(quantities, frame.order_value_minor)
    return np.column_stack((axes, quantities.recency_days))


def _bin_shares(edges: Floats, figures: Floats) -> Floats:
    counts = [
        np.bincount(np.searchsorted(borders, column, side="right"), minlength=PSI_BINS)
        for borders, column in zip(edges, figures.T, strict=True)
    ]
    return np.asarray(np.maximum(counts, COUNT_FLOOR) / len(figures))
