"""Fitting the population's rhythm to one sample after another.

What is fitted are the numbers of `stream_app.segmentations.learned.rhythm`. Of the customers who have a gap and are
probably active (P > .3; the silence of the others says nothing of gaps), with W, m and SS of their log gaps as there:

    μ0 = Σ w m / Σ w        w = W / (W + 1)
    σ0² = Σ SS / Σ (W − 1)                                    of those with two gaps or more
    τ² = Σ w (m − μ0)² / Σ w − σ0² Σ (w / W) / Σ w            what gaps within a customer do not explain
    s0: ψ′(s0) = c0² τ², c0 = π / (√6 σ0)

The last one makes the prior worth what it tells: a log gap given the customer's scale has the variance ψ′(1) / c0², and
if scales vary by a gamma distribution of shape s0, log scales vary by ψ′(s0) / c0². In a population of equals s0 is
large, and the luck of a few gaps sets nobody apart.

q, the rate at which customers are taken to stop for good, decides how long a silence has to be to be telling, and so
how many alarms are false. It is the largest, within bounds, with which an active customer is called at risk and is back
within two weeks no more often than is allowed: with R1 the silence at which P falls to .5,

    Σ [S(R1) − S(R1 + 14 d)] / gap · 30.4 ≤ .02 n            .02 a month: once in four years

It is searched for by halving, since the left side rises with q: it did so over the whole range at each of 368 ticks of
simulated shops with and without engagement, a sparse year, and CDNOW.

A rate that is the same everywhere is not equally careful everywhere: at q = 1/1000 such alarms were .021 a month in a
shop whose customers look in between orders, and .007 where orders alone are known and gaps are long; there lapses were
found a good deal later than need be. The rate that maximises the likelihood of all silences ran to its lowest bound
everywhere. p1 is found by expectation and maximisation over customers with one active day.

Every number is an average over ticks in which the last one weighs .2, and the first fit counts in full.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from scipy.optimize import brentq
from scipy.special import polygamma

from stream_app.core.arrays import Flags
from stream_app.core.clock import MONTH_DAYS
from stream_app.core.quantities import GAP_MEMORY, Quantities
from stream_app.segmentations.learned.model import DEFAULT_THRESHOLDS
from stream_app.segmentations.learned.rhythm import DEVIATION_MIN, PRIOR, Rhythm, rhythm_of

GAIN: Final = 0.2
"""Weight of the last tick in every average over ticks."""
CUSTOMERS_MIN: Final = 30
"""No number is fitted to fewer customers."""
ACTIVE_MIN: Final = 0.3
"""Customers who are active with a smaller probability tell nothing of gaps."""
BETWEEN_DEVIATION_MIN: Final = 0.15
"""Customers are never taken to be more alike than this, in log gaps."""
PRIOR_BETWEEN_VARIANCE: Final = 1.0
PRIOR_WEIGHT_RANGE: Final = (0.5, 50.0)
STOP_RATES: Final = np.geomspace(1 / 1000, 1 / 420, 13)
"""Values of q that are tried, a day. With more than 1/420 CDNOW's customers made more moves than it was worth."""
FALSE_ALARMS_MAX: Final = 0.02
"""A month and active customer."""
BACK_DAYS: Final = 14.0
"""A customer who is back within this many days had not gone."""
RISK_PROBABILITY: Final = DEFAULT_THRESHOLDS.risk_probability
RISK_DAYS_MIN: Final = DEFAULT_THRESHOLDS.risk_days_min
STOP_AGE_DAYS: Final = 90.0
"""In a younger population q stays at its prior value: nobody has been silent for long."""
FIRST_ITERATIONS: Final = 15
FIRST_RANGE: Final = (0.01, 0.95)


def prior_weight(log_gap_variance: float, between_variance: float) -> float:
    """Return s0, for how many gaps the population's mean counts.

    Parameters
    ----------
    log_gap_variance
        σ0², within a customer.
    between_variance
        τ², of customers' mean log gaps.
    """
    deviation = max(math.sqrt(log_gap_variance), DEVIATION_MIN)
    wanted = math.pi**2 / (6 * deviation**2) * max(between_variance, BETWEEN_DEVIATION_MIN**2)
    low, high = PRIOR_WEIGHT_RANGE
    if wanted >= polygamma(1, low):
        return low
    if wanted <= polygamma(1, high):
        return high
    return float(brentq(lambda weight: float(polygamma(1, weight)) - wanted, low, high, xtol=1e-10))


@dataclass(frozen=True)
class RhythmFit:
    """The averages over all ticks.

    Parameters
    ----------
    log_gap, log_gap_variance, between_variance
        μ0, σ0² and τ².
    stop_rate_per_day, stop_after_first
        q and p1.
    knows_gaps, knows_firsts
        Whether gaps, and customers with one active day, were ever fitted.
    """

    log_gap: float = PRIOR.log_gap
    log_gap_variance: float = PRIOR.log_gap_variance
    between_variance: float = PRIOR_BETWEEN_VARIANCE
    stop_rate_per_day: float = PRIOR.stop_rate_per_day
    stop_after_first: float = PRIOR.stop_after_first
    knows_gaps: bool = False
    knows_firsts: bool = False

    @cached_property
    def rhythm(self) -> Rhythm:
        """What follows for customers."""
        return Rhythm(
            self.log_gap,
            self.log_gap_variance,
            prior_weight(self.log_gap_variance, self.between_variance),
            self.stop_rate_per_day,
            self.stop_after_first,
        )

    def learn(self, quantities: Quantities) -> RhythmFit:
        """Return the averages with one more sample in them, whose quantities these are."""
        own = rhythm_of(quantities, self.rhythm)
        active = (quantities.gaps >= 1) & (own.probability_active(quantities.recency_days) > ACTIVE_MIN)
        fit = self
        if np.count_nonzero(active) >= CUSTOMERS_MIN:
            fit = fit._learn_gaps(quantities, active)
            if quantities.tenure_days.max() >= STOP_AGE_DAYS:
                fit = fit._learn_stops(quantities, active)
        if np.count_nonzero(quantities.gaps == 0) >= CUSTOMERS_MIN:
            fit = fit._learn_firsts(quantities)
        return fit

    def _learn_gaps(self, quantities: Quantities, active: Flags) -> RhythmFit:
        weight = (1 - GAP_MEMORY ** quantities.gaps[active]) / (1 - GAP_MEMORY)
        mean = quantities.log_gaps[active] / weight
        squares = np.maximum(quantities.log_gaps_squared[active] - weight * mean**2, 0.0)
        several = quantities.gaps[active] >= 2
        within = self.log_gap_variance
        if np.count_nonzero(several) >= CUSTOMERS_MIN:
            within = max(float(squares[several].sum() / (weight[several] - 1).sum()), 1e-4)
        share = weight / (weight + 1)
        log_gap = float(np.average(mean, weights=share))
        scatter = float(np.average((mean - log_gap) ** 2, weights=share))
        between = max(scatter - within * float(np.average(1 / weight, weights=share)), 0.0)
        gain = GAIN if self.knows_gaps else 1.0
        return replace(
            self,
            log_gap=_towards(self.log_gap, log_gap, gain),
            log_gap_variance=_towards(self.log_gap_variance, within, gain),
            between_variance=_towards(self.between_variance, between, gain),
            knows_gaps=True,
        )

    def _learn_stops(self, quantities: Quantities, active: Flags) -> RhythmFit:
        chosen = Quantities(*(column[active] for column in quantities))
        *lower, highest = STOP_RATES.tolist()
        best = highest
        if self._false_alarms(chosen, highest) > FALSE_ALARMS_MAX:
            careful = bisect_right(lower, FALSE_ALARMS_MAX, key=lambda rate: self._false_alarms(chosen, rate))
            best = lower[max(careful - 1, 0)]
        best = math.log(best)
        return replace(self, stop_rate_per_day=math.exp(_towards(math.log(self.stop_rate_per_day), best, GAIN)))

    def _false_alarms(self, quantities: Quantities, stop_rate_per_day: float) -> float:
        """Return how often an active customer is called at risk and soon is back, a month."""
        own = rhythm_of(quantities, replace(self.rhythm, stop_rate_per_day=stop_rate_per_day))
        alarm_days = np.maximum(own.silence_days(RISK_PROBABILITY), RISK_DAYS_MIN)
        back = own.survival(alarm_days) - own.survival(alarm_days + BACK_DAYS)
        is_active = own.probability_active(quantities.recency_days) > RISK_PROBABILITY
        rates = np.where(is_active, back / own.usual_gap_days, 0.0)
        return float(rates.sum() / max(np.count_nonzero(is_active), 1) * MONTH_DAYS)

    def _learn_firsts(self, quantities: Quantities) -> RhythmFit:
        survival = rhythm_of(quantities, self.rhythm).survival(quantities.recency_days)[quantities.gaps == 0]
        share = self.stop_after_first
        for _ in range(FIRST_ITERATIONS):
            stopped = share / (share + (1 - share) * survival)
            share = float(np.clip((stopped.sum() + 1) / (len(quantities.gaps) + 4), *FIRST_RANGE))
        gain = GAIN if self.knows_firsts else 1.0
        return replace(self, stop_after_first=_towards(self.stop_after_first, share, gain), knows_firsts=True)

    def state(self) -> dict[str, Any]:
        """Return the averages as JSON values."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> RhythmFit:
        """Return the averages that `state` was called on."""
        return cls(**state)


def step_rhythm(present: Rhythm, goal: Rhythm, share: float) -> Rhythm:
    """Return a rhythm on the way from one to another: means straight, positive numbers by logs, p1 by log odds."""
    odds = _towards(_log_odds(present.stop_after_first), _log_odds(goal.stop_after_first), share)
    return Rhythm(
        _towards(present.log_gap, goal.log_gap, share),
        _towards_by_logs(present.log_gap_variance, goal.log_gap_variance, share),
        _towards_by_logs(present.prior_weight, goal.prior_weight, share),
        _towards_by_logs(present.stop_rate_per_day, goal.stop_rate_per_day, share),
        1 / (1 + math.exp(-odds)),
    )


def _towards(earlier: float, later: float, share: float) -> float:
    return earlier + share * (later - earlier)


def _towards_by_logs(earlier: float, later: float, share: float) -> float:
    return math.exp(_towards(math.log(earlier), math.log(later), share))


def _log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))
