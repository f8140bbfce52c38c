"""The rules that hold until a model has been learned, written as a model.

Each rule is an example customer in natural units; everyone belongs to the example most like them. As a model,
the rules share hysteresis, exact instants and explanations with every learned model, and giving way to the first
one is an ordinary change of model. Money is left out, as nothing is known yet of what an order is worth here.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from stream_app.core.clock import NO_TIME
from stream_app.core.segments import Segment
from stream_app.segmentations.learned.features import FeatureParameters
from stream_app.segmentations.learned.model import Model

PRIOR_GAP_DAYS: Final = 30.0
"""A0 before any customer is known: a monthly rhythm."""


class Example(NamedTuple):
    """A typical customer: probability of being active, decayed orders (90 d) and engaged days (21 d)."""

    name: str
    probability_active: float
    orders: float
    engaged_days: float


EXAMPLES: Final = (
    Example("Champions", 0.98, 6.0, 4.0),
    Example("Loyal", 0.95, 2.5, 2.0),
    Example("New", 0.97, 1.0, 0.5),
    Example("Browsers", 0.95, 0.5, 5.0),
    Example("At risk", 0.50, 1.0, 0.3),
    Example("Lost", 0.10, 0.3, 0.0),
)
SCALE: Final = (0.35, 0.5, 1.0, 0.6)
"""Standard deviations of the features in a typical shop; money's counts for nothing, see `WEIGHTS`."""
WEIGHTS: Final = (1.0, 1.0, 0.0, 0.6)


def cold_start_model(name: str, hysteresis: float, no_return_days: float) -> Model:
    """Return version 0 of a segmentation, from which the first learned model takes over."""
    centroids = [
        (
            1 - example.probability_active,
            math.log1p(example.probability_active * example.orders),
            0.0,
            math.log1p(example.probability_active * example.engaged_days),
        )
        for example in EXAMPLES
    ]
    return Model(
        name=name,
        version=0,
        as_of_ms=NO_TIME,
        parameters=FeatureParameters("activity", PRIOR_GAP_DAYS, 1.0),
        mean=np.zeros(4),
        scale=np.array(SCALE),
        centroids=np.array(centroids),
        segments=tuple(Segment(code, example.name) for code, example in enumerate(EXAMPLES, start=1)),
        hysteresis=hysteresis,
        no_return_days=no_return_days,
        weights=np.array(WEIGHTS),
    )
