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

import math
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from stream_app.core.clock import DAY_MS

Floats: TypeAlias = npt.NDArray[np.float64]
FeatureSet: TypeAlias = Literal["activity", "plain"]

ORDER_HALF_LIFE_DAYS: Final = 90.0
"""Half-life of decayed orders and revenue: two to three purchase cycles of a regular customer."""
ENGAGEMENT_HALF_LIFE_DAYS: Final = 21.0
"""Half-life of decayed engagement: interest fades faster than the habit of buying."""
ACTIVITY_HALF_LIFE_DAYS: Final = 60.0
"""Half-life of the counted active days, from which a customer's own rhythm is estimated."""
ACTIVITY_WINDOW_DAYS: Final = 366
"""Active days older than this before the last one are forgotten; the weight of one has fallen to 1.5 %."""
ENGAGED_WINDOW_DAYS: Final = 128
"""The same for engaged days, whose weight has fallen to 1.5 % as well."""

GONE_PER_DAY: Final = 1 / 500
"""q: prior rate at which customers stop for good, per day."""
PRIOR_SHAPE: Final = 0.5
"""Prior pseudo-count of active days; the same .5 stands in the re-fit of the prior gap."""

_ORDER_RATE: Final = -1 / (ORDER_HALF_LIFE_DAYS * DAY_MS)
_ENGAGEMENT_RATE: Final = -1 / (ENGAGEMENT_HALF_LIFE_DAYS * DAY_MS)

FEATURE_COUNT: Final = 4
FEATURE_NAMES: Final[dict[FeatureSet, tuple[str, str, str, str]]] = {
    "activity": ("inactivity", "expected_orders", "expected_revenue", "expected_engaged_days"),
    "plain": ("recency", "orders", "revenue", "engagement"),
}
FEATURE_WEIGHTS: Final = (0.5, 1.0, 1.0, 1.0)
"""Weight of each standardised feature in the distance; recency counts half because the others carry it too."""


class Quantities(NamedTuple):
    """What is known of customers at an instant, in natural units; each an array of shape `(n_customers,)`.

    Attributes
    ----------
    recency_days
        Days since the last purchase or engagement, ≥ 0.
    orders
        Orders, decayed with a half-life of 90 days.
    revenue_minor
        Net revenue in minor units of the base currency, decayed likewise, ≥ 0.
    engagement
        Weighted engagement events, decayed with a half-life of 21 days.
    engaged_days
        Days with an engagement, decayed likewise.
    active_days
        Active days after the first one, decayed (60 days) as of the last active day.
    exposure_days
        Days from the first to the last active day, decayed likewise.
    tenure_days
        Days since the first event.
    """

    recency_days: Floats
    orders: Floats
    revenue_minor: Floats
    engagement: Floats
    engaged_days: Floats
    active_days: Floats
    exposure_days: Floats
    tenure_days: Floats


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


def quantities_at(activity: np.ndarray, at_ms: int | npt.NDArray[np.int64]) -> Quantities:
    """Evaluate rows of `ACTIVITY_DTYPE` (see `stream_app.core.row`) at one instant, or at one instant each.

    Instants before a row's last event are taken as that event's: a total is never extrapolated backwards.
    """
    first_at = activity["first_at_ms"]
    engaged_at = activity["engaged_at_ms"]
    active_at = np.maximum(np.maximum(activity["purchased_at_ms"], engaged_at), first_at)
    order_decay = np.exp2(np.maximum(at_ms - activity["ordered_at_ms"], 0) * _ORDER_RATE)
    engagement_decay = np.exp2(np.maximum(at_ms - engaged_at, 0) * _ENGAGEMENT_RATE)
    span_days = np.maximum(active_at // DAY_MS - activity["first_active_day"], 0)
    first_day_weight = np.exp2(span_days * (-1 / ACTIVITY_HALF_LIFE_DAYS))
    counted = np.where(span_days < ACTIVITY_WINDOW_DAYS, first_day_weight, 0.0)
    return Quantities(
        recency_days=np.maximum(at_ms - active_at, 0) * (1 / DAY_MS),
        orders=activity["orders_decayed"] * order_decay,
        revenue_minor=np.maximum(activity["revenue_decayed"], 0.0) * order_decay,
        engagement=activity["engagement_decayed"] * engagement_decay,
        engaged_days=activity["engaged_days"] * engagement_decay,
        active_days=np.maximum(activity["active_days"] - counted, 0.0),
        exposure_days=(1 - first_day_weight) * (ACTIVITY_HALF_LIFE_DAYS / math.log(2)),
        tenure_days=np.maximum(at_ms - first_at, 0) * (1 / DAY_MS),
    )


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
