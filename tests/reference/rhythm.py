"""A customer's own rhythm, and the dates by which its silence has become telling.

This is the reference that the compiled library is compared with, bit by bit: whole arrays of numpy, with the library's
own elementary functions. Theory: `native/learned.c`.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from stream_app.core.arrays import Floats
from stream_app.core.quantities import GAP_MEMORY, Quantities
from stream_app.native.mathematics import exp, expm1, log, log1p, power
from stream_app.segmentations.learned.rhythm import Rhythm

LN_2: Final = 0.6931471805599453
EULER: Final = 0.5772156649015329
DEVIATION_MIN: Final = 0.2
"""No customer is taken to be more regular than this, in log gaps: charges of a subscription vary by a few days."""
VARIANCE_WEIGHT: Final = 4.0
"""How many gaps the population's variance counts for."""
SHAPE_MAX: Final = 4.0
"""s never exceeds this, so that the tail stays heavy however many gaps are known."""
_ODDS_MIN: Final = 1e-12


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
        return np.asarray(exp(self.log_scale) * power(LN_2, 1 / self.regularity))

    def survival(self, silence_days: Floats) -> Floats:
        """Return S(R), the probability that a gap is longer, in [0, 1], shape `(n,)`."""
        exponent = self.regularity * (log(np.maximum(silence_days, 1e-3)) - self.log_scale)
        return np.asarray(exp(-self.shape * log1p(exp(np.minimum(exponent, 60.0)) / self.shape)))

    def probability_active(self, silence_days: Floats) -> Floats:
        """Return P(active | R), in [0, 1], shape `(n,)`."""
        alive = (1 - self.stopped) * self.survival(silence_days)
        return np.asarray(alive / (alive + self.stopped))

    def silence_days(self, probability: float) -> Floats:
        """Return the silence at which P(active) has fallen to a probability, in days, ≥ 0."""
        odds = self.stopped / (1 - self.stopped) * (probability / (1 - probability))
        survival = np.clip(odds, _ODDS_MIN, 1.0)
        excess = self.shape * expm1(-log(survival) / self.shape)
        return np.asarray(exp(self.log_scale) * power(excess, 1 / self.regularity))


def rhythm_of(quantities: Quantities, rhythm: Rhythm) -> OwnRhythm:
    """Return the rhythm of customers whose quantities these are."""
    return own_rhythm(quantities.gaps, quantities.log_gaps, quantities.log_gaps_squared, rhythm)


def own_rhythm(gaps: Floats, log_gaps: Floats, log_gaps_squared: Floats, rhythm: Rhythm) -> OwnRhythm:
    """Return the rhythm of n customers.

    Parameters
    ----------
    gaps, log_gaps, log_gaps_squared
        As in `stream_app.core.quantities.Quantities`.
    """
    weight = (1 - power(GAP_MEMORY, gaps)) / (1 - GAP_MEMORY)
    mean = log_gaps / np.maximum(weight, 1.0)
    squares = np.maximum(log_gaps_squared - weight * mean**2, 0.0)
    variance = (VARIANCE_WEIGHT * rhythm.log_gap_variance + squares) / (VARIANCE_WEIGHT + np.maximum(weight - 1, 0.0))
    regularity = math.pi / (math.sqrt(6) * np.maximum(np.sqrt(variance), DEVIATION_MIN))
    centre = (rhythm.prior_weight * rhythm.log_gap + weight * mean) / (rhythm.prior_weight + weight)
    log_scale = centre + EULER / regularity
    usual_days = exp(log_scale) * power(LN_2, 1 / regularity)
    stopped = np.where(gaps > 0, -expm1(-rhythm.stop_rate_per_day * usual_days), rhythm.stop_after_first)
    return OwnRhythm(
        log_scale,
        regularity,
        np.minimum(rhythm.prior_weight + weight, SHAPE_MAX),
        np.clip(stopped, _ODDS_MIN, 1 - _ODDS_MIN),
    )
