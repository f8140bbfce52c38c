"""From a customer's activity to the four numbers that segments are learned from.

Every decayed total is multiplied by the probability that the customer is still active, so that silence moves
a customer continuously and in closed form; no event is needed. The probability follows the spirit of BG/NBD
(Fader, Hardie and Lee, 2005): a customer is active at a personal rate and may be gone after any active day.

With R the days of silence, n the decayed count of active days after the first, t the decayed days over which
they were counted, A0 the population's prior gap in days and q = 1/500 a day:

    s = 1/2 + n        A = A0 + t        L = ln(1 + R/A)
    odds of being gone = q (A + R) (e^((s−1) L) − 1) / (s − 1)        (at s = 1: q (A + R) L)
    P = 1 / (1 + odds)

`activity` features: 1 − P, ln(1 + P·orders), ln(1 + P·revenue/m0), ln(1 + P·engaged days).
`plain` features: ln(1 + R/30), ln(1 + orders), ln(1 + revenue), ln(1 + engagement).
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

from stream_app.core.arrays import Floats
from stream_app.core.quantities import Quantities

FeatureSet: TypeAlias = Literal["activity", "plain"]

GONE_PER_DAY: Final = 1 / 500
"""q: prior rate at which customers stop for good, per day."""
PRIOR_SHAPE: Final = 0.5
"""Prior pseudo-count of active days; the same .5 stands in the re-fit of the prior gap."""

FEATURE_COUNT: Final = 4
FEATURE_NAMES: Final[dict[FeatureSet, tuple[str, str, str, str]]] = {
    "activity": ("inactivity", "expected_orders", "expected_revenue", "expected_engaged_days"),
    "plain": ("recency", "orders", "revenue", "engagement"),
}
FEATURE_WEIGHTS: Final = (0.5, 1.0, 1.0, 1.0)
"""Weight of each standardised feature in the distance; recency counts half because the others carry it too."""


class FeatureParameters(NamedTuple):
    """How quantities become features; re-fitted by the trainer and frozen in a snapshot.

    Attributes
    ----------
    feature_set
        `"activity"` or `"plain"`.
    prior_gap_days
        A0, in [2, 200]; unused by the plain set.
    order_value_minor
        m0: the population's geometric-mean order value in minor units, > 0; the plain set uses one major unit.
    """

    feature_set: FeatureSet
    prior_gap_days: float
    order_value_minor: float


def probability_active(quantities: Quantities, prior_gap_days: float) -> Floats:
    """Return P of the module's theory, in (0, 1], shape `(n_customers,)`."""
    shape_minus_one = quantities.active_days + (PRIOR_SHAPE - 1)
    scale = quantities.exposure_days + prior_gap_days
    silence = np.log1p(quantities.recency_days / scale)
    exponent = np.minimum(shape_minus_one * silence, 700.0)  # e^709 overflows; P is 0 long before
    near_one = np.abs(shape_minus_one) < 1e-9
    growth = np.where(near_one, silence, np.expm1(exponent) / np.where(near_one, 1.0, shape_minus_one))
    return np.asarray(1 / (1 + GONE_PER_DAY * (scale + quantities.recency_days) * growth))


def expected_gap_days(quantities: Quantities, prior_gap_days: float) -> Floats:
    """Return the usual number of days between two active days of each customer, > 0."""
    return (quantities.exposure_days + prior_gap_days) / (quantities.active_days + PRIOR_SHAPE)


def extract_features(quantities: Quantities, parameters: FeatureParameters) -> Floats:
    """Return the raw (not standardised) features, shape `(n_customers, 4)`, in the order of `FEATURE_NAMES`."""
    features = np.empty((len(quantities.orders), FEATURE_COUNT))
    if parameters.feature_set == "plain":
        np.log1p(quantities.recency_days / 30.0, out=features[:, 0])
        np.log1p(np.maximum(quantities.orders, 0.0), out=features[:, 1])
        np.log1p(quantities.revenue_minor / parameters.order_value_minor, out=features[:, 2])
        np.log1p(quantities.engagement, out=features[:, 3])
        return features
    active = probability_active(quantities, parameters.prior_gap_days)
    np.subtract(1.0, active, out=features[:, 0])
    np.log1p(active * np.maximum(quantities.orders, 0.0), out=features[:, 1])
    np.log1p(active * quantities.revenue_minor / parameters.order_value_minor, out=features[:, 2])
    np.log1p(active * quantities.engaged_days, out=features[:, 3])
    return features
