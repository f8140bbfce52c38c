"""What a sample says of the population: the frame that would fit it best, whomever that would move.

How far it is taken up is another question (see `stream_app.learning.publishing`). Everything is an average over ticks,
so that it matters little which customers happen to be drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np

from stream_app.core.arrays import Flags
from stream_app.core.quantities import Quantities
from stream_app.errors import CentresRefused
from stream_app.learning.algorithms import PLACEMENTS, Algorithm
from stream_app.learning.centres import RoleCentres, nearest_roles
from stream_app.learning.openness import OpenRoles, noise_variances
from stream_app.learning.rhythm import GAIN, RhythmFit
from stream_app.learning.sample import PopulationSample
from stream_app.segmentations.learned.axes import value_axes
from stream_app.segmentations.learned.model import PRIOR_NEW_DAYS, Frame
from stream_app.segmentations.learned.rhythm import rhythm_of

ACTIVE_MIN: Final = 0.5
"""Roles are those of customers who are active with a greater probability,"""
TENURE_DAYS_MIN: Final = 30.0
"""and have been known for this long."""
CUSTOMERS_MIN: Final = 50
"""Nothing is learned of roles from fewer customers."""
ORDERS_MIN: Final = 30
"""No usual order value is known from fewer orders."""
ENGAGED_DAYS_MIN: Final = 0.1
"""Who has fewer does not engage: the last engaged day is a hundred days past."""
ENGAGED_SHARE_MIN: Final = 0.05
"""Engagement counts where as many customers engage,"""
ENGAGED_SHARE_KEPT: Final = 0.6
"""and continues as long as this much of it is left."""
ENGAGEMENT_STEP: Final = 0.1
"""How far the weight of engagement moves at a tick."""
NEW_GAPS: Final = 1.5
"""A customer is new for this many of the population's usual gaps,"""
NEW_DAYS_RANGE: Final = (35.0, 60.0)
"""but within this many days."""


class Wanted(NamedTuple):
    """What would fit a sample best.

    Attributes
    ----------
    frame
        The whole of it; what is not known yet is as it is at present.
    active_customers
        How many customers roles were learned from; 0 if they were too few.
    refusal
        Why the centres that an algorithm found were not taken; None if they were.
    """

    frame: Frame
    active_customers: int
    refusal: str | None

    @property
    def has_centres(self) -> bool:
        """Whether centres were fitted."""
        return self.active_customers > 0 and self.refusal is None


class PopulationFit:
    """Everything that is averaged over ticks, for one segmentation.

    Parameters
    ----------
    algorithm
        See `stream_app.learning.algorithms`.
    seed
        ≥ 0; fixes, together with the ticks, every random choice.
    """

    def __init__(self, algorithm: Algorithm, seed: int) -> None:
        self._place = PLACEMENTS[algorithm]
        self._seed = seed
        self._rhythm = RhythmFit()
        self._log_order_value: float | None = None
        self._knows_engagement = False
        self._new_days = PRIOR_NEW_DAYS
        self._roles = RoleCentres()
        self._open = OpenRoles()

    def learn(self, sample: PopulationSample, present: Frame) -> Wanted:
        """Take a sample into the averages and return what would fit best, given what is in force."""
        quantities = sample.quantities
        self._rhythm = rhythm = self._rhythm.learn(quantities)
        frame = replace(
            present,
            rhythm=rhythm.rhythm if rhythm.knows_gaps or rhythm.knows_firsts else present.rhythm,
            order_value_minor=self._learn_order_value(quantities),
            engagement_weight=self._learn_engagement(quantities, present.engagement_weight),
            new_days=self._learn_new_days(),
        )
        active = self._active(quantities)
        if np.count_nonzero(active) < CUSTOMERS_MIN:
            return Wanted(frame, 0, None)
        refusal = None
        try:
            frame = self._learn_roles(sample, frame, active)
        except CentresRefused as error:
            refusal = str(error)
        return Wanted(frame, int(np.count_nonzero(active)), refusal)

    def _learn_order_value(self, quantities: Quantities) -> float | None:
        orders = float(quantities.purchases.sum())
        if orders >= ORDERS_MIN:
            mean = float(quantities.log_order_values.sum()) / orders
            earlier = self._log_order_value
            self._log_order_value = mean if earlier is None else earlier + GAIN * (mean - earlier)
        return None if self._log_order_value is None else math.exp(self._log_order_value)

    def _learn_engagement(self, quantities: Quantities, weight: float) -> float:
        kept = ENGAGED_SHARE_KEPT if weight > 0.5 else 1.0
        share = float((quantities.engaged_days > ENGAGED_DAYS_MIN).mean())
        goal = float(share >= ENGAGED_SHARE_MIN * kept)
        if self._knows_engagement:
            goal = weight + float(np.clip(goal - weight, -ENGAGEMENT_STEP, ENGAGEMENT_STEP))
        self._knows_engagement |= len(quantities.engaged_days) >= CUSTOMERS_MIN
        return round(goal, 9)  # ten steps of .1 make 1

    def _learn_new_days(self) -> float:
        if self._rhythm.knows_gaps:
            goal = float(np.clip(NEW_GAPS * math.exp(self._rhythm.log_gap), *NEW_DAYS_RANGE))
            self._new_days += GAIN * (goal - self._new_days)
        return self._new_days

    def _active(self, quantities: Quantities) -> Flags:
        own = rhythm_of(quantities, self._rhythm.rhythm)
        probability = own.probability_active(quantities.recency_days)
        return np.asarray((probability > ACTIVE_MIN) & (quantities.tenure_days >= TENURE_DAYS_MIN))

    def _learn_roles(self, sample: PopulationSample, frame: Frame, active: Flags) -> Frame:
        quantities = Quantities(*(column[active] for column in sample.quantities))
        axes = value_axes(quantities, frame.order_value_minor)
        began = self._roles.is_fitted
        self._roles.learn_sample(axes, frame)
        prior = self._roles.prior
        everything = replace(frame, is_open=np.ones_like(frame.is_open))
        labels = nearest_roles(axes, everything, self._roles.centres)
        is_open = self._open.learn(self._roles.centres, labels, noise_variances(quantities), frame)
        start = replace(frame, is_open=is_open, centres=frame.centres if began else prior)
        centres = self._place(axes, start, prior, (self._seed, sample.tick))
        return replace(frame, is_open=is_open, centres=centres)

    def state(self) -> dict[str, Any]:
        """Return all averages as JSON values."""
        return {
            "rhythm": self._rhythm.state(),
            "log_order_value": self._log_order_value,
            "knows_engagement": self._knows_engagement,
            "new_days": self._new_days,
            "roles": self._roles.state(),
            "open_roles": self._open.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        self._rhythm = RhythmFit.from_state(state["rhythm"])
        self._log_order_value = state["log_order_value"]
        self._knows_engagement = state["knows_engagement"]
        self._new_days = state["new_days"]
        self._roles.load_state(state["roles"])
        self._open.load_state(state["open_roles"])
