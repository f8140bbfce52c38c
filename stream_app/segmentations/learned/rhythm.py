"""A customer's own rhythm, and the dates by which its silence has become telling.

Gaps between a customer's active days are Weibull with a regularity of its own; their scale varies between customers, so
what is left to be expected of a silence of R days is the survival function of Burr's distribution XII:

    S(R) = [1 + (R / λ)^c / s]^(−s)        c = 1: purchases at random; c ≈ 6: a subscription

Log gaps of the customer (newest weighted most, .95 a gap) are shrunk to the population's: with W their weight, m their
mean and SS their sum of squares about it,

    σ² = (4 σ0² + SS) / (4 + max(W − 1, 0))        c = π / (√6 σ)
    μ = (s0 μ0 + W m) / (s0 + W)                   ln λ = μ + γ / c        s = min(s0 + W, 4)

A customer may have stopped for good after any gap, with probability p = 1 − exp(−q · usual gap), or p1 before it has
any. So P(active | R) = (1 − p) S / ((1 − p) S + p), which falls with R and can be inverted: the date at which a
customer is at risk or has lapsed is known at its last act. All of it is computed by `native/learned.c`.

Platzer, M. and Reutterer, T. (2016). Ticking away the moments: timing regularity helps to better predict customer
activity. Marketing Science 35 (5), 779-799: regularity. Fader, P. S., Hardie, B. G. S. and Lee, K. L. (2005). "Counting
your customers" the easy way. Marketing Science 24 (2), 275-284: customers who stop after any purchase.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import Final, NamedTuple

from stream_app.core.arrays import Floats
from stream_app.core.quantities import Quantities
from stream_app.errors import ModelInvalid
from stream_app.native import formulas

DEVIATION_MIN: Final = 0.2
"""No customer is taken to be more regular than this, in log gaps: charges of a subscription vary by a few days."""


@dataclass(frozen=True)
class Rhythm:
    """What is known of the population's rhythm.

    Parameters
    ----------
    log_gap
        μ0: mean log gap in days.
    log_gap_variance
        σ0² > 0: variance of a customer's own log gaps.
    prior_weight
        s0 > 0: how many gaps the population's mean counts for.
    stop_rate_per_day
        q > 0.
    stop_after_first
        p1 in (0, 1): probability that a customer with one active day never has another.

    Raises
    ------
    ModelInvalid
        If a number is out of its range.
    """

    log_gap: float
    log_gap_variance: float
    prior_weight: float
    stop_rate_per_day: float
    stop_after_first: float

    def __post_init__(self) -> None:
        for name in ("log_gap_variance", "prior_weight", "stop_rate_per_day"):
            if not 0 < getattr(self, name) < math.inf:
                raise ModelInvalid(f"rhythm.{name}: {getattr(self, name)}, expected a number > 0")
        if not math.isfinite(self.log_gap):
            raise ModelInvalid(f"rhythm.log_gap: {self.log_gap}, expected a finite number")
        if not 0 < self.stop_after_first < 1:
            raise ModelInvalid(f"rhythm.stop_after_first: {self.stop_after_first}, expected a number between 0 and 1")


PRIOR: Final = Rhythm(math.log(20.0), 0.81, 0.8678, 1 / 1000, 0.35)
"""Before any population is known: a gap of 20 days, give or take a factor of 2.5 within a customer and of e between
customers, from which s0 follows (see `stream_app.learning.rhythm`)."""


class OwnRhythm(NamedTuple):
    """Customers' own rhythm, shape `(n,)` each.

    Attributes
    ----------
    log_scale
        ln λ, in log days.
    regularity
        c.
    shape
        s.
    stopped
        p.
    """

    log_scale: Floats
    regularity: Floats
    shape: Floats
    stopped: Floats

    @property
    def usual_gap_days(self) -> Floats:
        """Median gap."""
        return formulas.usual_gap_days(self)

    def survival(self, silence_days: Floats) -> Floats:
        """Return S(R), the probability that a gap is longer, in [0, 1], shape `(n,)`."""
        return formulas.survival(self, silence_days)

    def probability_active(self, silence_days: Floats) -> Floats:
        """Return P(active | R), in [0, 1], shape `(n,)`."""
        return formulas.probability_active(self, silence_days)

    def silence_days(self, probability: float) -> Floats:
        """Return the silence at which P(active) has fallen to a probability, in days, ≥ 0."""
        return formulas.silence_days(self, probability)


def rhythm_of(quantities: Quantities, rhythm: Rhythm) -> OwnRhythm:
    """Return the rhythm of customers whose quantities these are."""
    return OwnRhythm(*formulas.own_rhythm(quantities, astuple(rhythm)))
