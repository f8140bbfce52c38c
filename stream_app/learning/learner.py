"""What the trainer asks of a clustering algorithm, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from stream_app.core.arrays import Floats


@dataclass(frozen=True)
class Fit:
    """What an algorithm learned from one sample.

    Parameters
    ----------
    mean, scale
        Of the raw features, shape `(d,)`, scale > 0.
    centroids
        In raw feature space, shape `(k, d)`, in no particular order.
    inertia
        Mean squared distance of the sample's customers to their nearest centroid, in scaled space.
    step
        How far the previous centroids moved towards the best fit, in (0, 1]; 1 where the algorithm does not say.
    challenger_adopted
        True if a fresh clustering replaced one that was carried on.
    """

    mean: Floats
    scale: Floats
    centroids: Floats
    inertia: float
    step: float = 1.0
    challenger_adopted: bool = False


class Learner(Protocol):
    """A clustering algorithm that is shown one sample after another."""

    def learn_sample(self, features: Floats, tick: int) -> Fit | None:
        """Learn from raw features, shape `(n, d)`; None if no usable clustering came of it.

        Randomness depends on the seed and `tick` ≥ 0 alone, so that a restarted trainer repeats a tick exactly.
        """
        ...

    def state(self) -> dict[str, Any]:
        """Return what was learned as JSON values."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        ...
