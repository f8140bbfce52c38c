"""A model whose numbers stay as they are, whatever defaults are tuned to: sentences of tests quote them."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from stream_app.segmentations.learned.model import Frame, Model, Thresholds
from stream_app.segmentations.learned.rhythm import Rhythm

RHYTHM: Final = Rhythm(math.log(20.0), 0.81, 0.8458, 1 / 1000, 0.35)
CENTRES: Final = np.array([math.log(1 / 33), math.log(1 / 12), 0.0]) + np.array(
    [
        (-1.2, -1.4, 0.0),
        (-0.7, 0.9, -0.1),
        (0.0, 0.0, -0.1),
        (0.7, 0.6, 0.0),
        (-0.1, -0.2, 1.0),
        (1.4, 1.1, 0.2),
        (2.9, 1.6, 0.3),
    ]
)
FRAME: Final = Frame(RHYTHM, order_value_minor=5_000.0, engagement_weight=1.0, new_days=30.0, centres=CENTRES)
THRESHOLDS: Final = Thresholds(
    hysteresis=0.35,
    no_return_days=30.0,
    risk_probability=0.5,
    lapsed_probability=0.1,
    one_time_probability=0.5,
    risk_days_min=10.0,
    lapsed_days_min=30.0,
    lost_days=365.0,
    loyal_slack=0.5,
    regular_slack=0.5,
    big_slack=0.5,
    visits_slack=0.5,
    browsers_slack=0.5,
    rare_slack=0.5,
    value_slack=0.25,
)
MODEL: Final = Model("value", version=1, as_of_ms=0, frame=FRAME, thresholds=THRESHOLDS)
"""Of a shop with engagements, and a usual order of 50 major units."""
