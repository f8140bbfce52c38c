"""A frozen model: everything that is needed to say which segment a customer is in, and nothing else.

Centroids are kept in raw feature space. Storing them standardised would move them with every drift of the
scaler (22 % of customers changed segment when they were).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from stream_app.core.arrays import Floats
from stream_app.core.segments import MAX_SEGMENT_CODE, NO_SEGMENT, Roster, Segment
from stream_app.errors import ModelInvalid
from stream_app.segmentations.learned.features import FEATURE_COUNT, FEATURE_WEIGHTS, FeatureParameters


@dataclass(frozen=True)
class Model:
    """One version of what was learned.

    Parameters
    ----------
    name
        Of the segmentation, such as `value`.
    version
        From 0 (the cold-start rules), ascending.
    as_of_ms
        The instant it was learned at.
    parameters
        How quantities become features.
    mean, scale
        Of the population's raw features, shape `(4,)`, scale > 0.
    centroids
        In raw feature space, shape `(k, 4)`; row i belongs to `segments[i]`.
    segments
        k segments with distinct codes and names.
    hysteresis
        δ ≥ 0: how far past the bisector, in standard deviations, a customer must be to change segment.
    no_return_days
        For so long nobody returns to the segment last left.
    weights
        Weight of each standardised feature, shape `(4,)`.
    expected_churn
        Share of customers, in [0, 1], that adopting it is forecast to move; None for the first.
    retired_segments
        Segments of earlier models that this one lacks; customers may still be in them.
    training
        Figures of the training run for readers (algorithm, inertia, drift, …); JSON values only.

    Raises
    ------
    ModelInvalid
        If shapes disagree, a number is not finite or out of range, or a code or name occurs twice.
    """

    name: str
    version: int
    as_of_ms: int
    parameters: FeatureParameters
    mean: Floats
    scale: Floats
    centroids: Floats
    segments: tuple[Segment, ...]
    hysteresis: float
    no_return_days: float
    weights: Floats = field(default_factory=lambda: np.array(FEATURE_WEIGHTS))
    expected_churn: float | None = None
    retired_segments: tuple[Segment, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        k = len(self.segments)
        if k == 0 or self.centroids.shape != (k, FEATURE_COUNT):
            raise ModelInvalid(f"centroids: shape {self.centroids.shape}, expected ({k}, {FEATURE_COUNT})")
        for name in ("mean", "scale", "weights"):
            if getattr(self, name).shape != (FEATURE_COUNT,):
                raise ModelInvalid(f"{name}: shape {getattr(self, name).shape}, expected ({FEATURE_COUNT},)")
        for name in ("mean", "scale", "weights", "centroids"):
            if not np.isfinite(getattr(self, name)).all():
                raise ModelInvalid(f"{name}: contains a number that is not finite")
        if not (self.scale > 0).all():
            raise ModelInvalid(f"scale: {self.scale.tolist()}, expected numbers > 0")
        for name, value in (("hysteresis", self.hysteresis), ("no_return_days", self.no_return_days)):
            if not 0 <= value < math.inf:
                raise ModelInvalid(f"{name}: {value}, expected a number ≥ 0")
        for name in ("prior_gap_days", "order_value_minor"):
            value = getattr(self.parameters, name)
            if not 0 < value < math.inf:
                raise ModelInvalid(f"{name}: {value}, expected a number > 0")
        codes = [segment.code for segment in self.segments]
        if len(set(codes)) != k or len({segment.name for segment in self.segments}) != k:
            raise ModelInvalid("segments: codes and names must be distinct")
        if min(codes) <= NO_SEGMENT or max(codes) > MAX_SEGMENT_CODE:
            raise ModelInvalid(f"segments: codes {codes}, expected 1 to {MAX_SEGMENT_CODE}")

    @cached_property
    def roster(self) -> Roster:
        """The segments; the target of centroid i is i."""
        return Roster(self.segments, self.retired_segments)

    @cached_property
    def scaled_centroids(self) -> Floats:
        """Centroids in the space distances are measured in, shape `(k, 4)`."""
        return self.standardise(self.centroids)

    @cached_property
    def separation(self) -> Floats:
        """Distance between each two centroids in scaled space, shape `(k, k)`."""
        difference = self.scaled_centroids[:, None, :] - self.scaled_centroids[None, :, :]
        return np.asarray(np.sqrt((difference**2).sum(axis=2)))

    @cached_property
    def _kernel(self) -> tuple[Floats, Floats]:
        """Matrix and offset that turn raw features into squared distances less ‖z‖², in one product."""
        factor = self.weights / self.scale
        matrix = -2 * factor[:, None] * self.scaled_centroids.T
        offset = (self.scaled_centroids**2).sum(axis=1) - self.mean @ matrix
        return matrix, offset

    def standardise(self, features: Floats) -> Floats:
        """Return weighted z-scores of raw features, same shape."""
        return (features - self.mean) / self.scale * self.weights

    def score(self, features: Floats) -> Floats:
        """Return squared distance to each centroid, less the customer's own ‖z‖², shape `(n, k)`.

        Only differences between centroids matter for an assignment, and this form needs one matrix product.
        """
        matrix, offset = self._kernel
        return features @ matrix + offset

    def lead_over(self, segment: int) -> tuple[Floats, Floats]:
        """Return matrix `(4, k)` and offset `(k,)` that turn raw features into each centroid's lead over one of them.

        A lead is that one's score less the other's: positive where the customer is nearer to the other.
        """
        matrix, offset = self._kernel
        return matrix[:, segment, None] - matrix, offset[segment] - offset
