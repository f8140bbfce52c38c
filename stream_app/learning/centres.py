"""Where the roles' centres lie: an estimator of River's kind that continues from one sample to the next.

Lloyd's iteration starts from the centres in use and is held by a prior: every role counts for .05 n customers more who
stand where the role is expected, at fixed offsets from the typical customer. So a role without members has a place, and
a centre is the role's own even where few are near it. The axes are logs and are not standardised.

What roles say of their members lies between centres (see `stream_app.segmentations.learned.statements`). So that it
makes sense, every fit keeps them in order, at least .2 apart (a factor of 1.2):

    order rate          Occasional < Regular < Loyal < Champions < VIP
    engagement rate     Occasional < Regular, Occasional < Browsers
    order value         Loyal < Big spenders

Centres that are not are replaced by the nearest ones that are (weighted least squares, which is isotonic regression: of
a star such as the second line too, once its rays are sorted). Orders are linear in the centres, so whatever lies
between two fits is in order as well.

Lloyd, S. (1982). Least squares quantization in PCM. IEEE Transactions on Information Theory 28 (2), 129-137. Best, M.
J. and Chakravarti, N. (1990). Active set algorithms for isotonic regression. Mathematical Programming 47, 425-439.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from river import base
from scipy.optimize import isotonic_regression

from stream_app.core.arrays import Floats, Indices
from stream_app.learning.rhythm import GAIN
from stream_app.segmentations.learned.axes import AXES, ENGAGEMENT, ORDERS, VALUE
from stream_app.segmentations.learned.model import OFFSETS, PRIOR_TYPICAL, Frame
from stream_app.segmentations.learned.roles import (
    BIG_SPENDERS,
    BROWSERS,
    CHAMPIONS,
    KINDS,
    LOYAL,
    OCCASIONAL,
    REGULAR,
    ROLES,
    VIP,
)

PRIOR_SHARE: Final = 0.05
"""For how many customers the prior of each role counts, as a share of the sample."""
CLOSED_SHARE: Final = 0.01
"""How much of that is left for a role that admits nobody where roles are put in order: it gives way."""
ITERATIONS: Final = 10
SHIFT_TOLERANCE: Final = 1e-5
"""Summed squared movement of the centres, in log units, at which they count as settled."""
DISTANCE_MIN: Final = 0.2
"""Between centres that are in order, in log units."""
RATE_ORDER: Final = (OCCASIONAL, REGULAR, LOYAL, CHAMPIONS, VIP)
"""Roles by order rate, ascending."""


_PAIRS: Final = (
    (ENGAGEMENT, OCCASIONAL, REGULAR),
    (ENGAGEMENT, OCCASIONAL, BROWSERS),
    (VALUE, LOYAL, BIG_SPENDERS),
)
"""The other orders: axis, lower and higher role."""


def in_order(centres: Floats, weights: Floats) -> Floats:
    """Return the nearest centres that are in order, `DISTANCE_MIN` apart.

    Parameters
    ----------
    centres
        Shape `(ROLES, 3)`.
    weights
        How much each counts, > 0, shape `(ROLES,)`.
    """
    ordered = centres.copy()
    _lift(ordered[:, ORDERS], weights, RATE_ORDER, range(len(RATE_ORDER)))
    rays = sorted((REGULAR, BROWSERS), key=lambda role: centres[role, ENGAGEMENT])
    _lift(ordered[:, ENGAGEMENT], weights, (OCCASIONAL, *rays), (0, 1, 1))
    _lift(ordered[:, VALUE], weights, (LOYAL, BIG_SPENDERS), (0, 1))
    return ordered


def disorder(centres: Floats, roles: Indices) -> str | None:
    """Name two roles that are not in order, with what is out of order; None if all of `roles` are."""
    present = set(roles.tolist())
    rates = [role for role in RATE_ORDER if role in present]
    pairs = [(ORDERS, low, high) for low, high in pairwise(rates)]
    pairs += [(axis, low, high) for axis, low, high in _PAIRS if {low, high} <= present]
    for axis, low, high in pairs:
        if centres[low, axis] >= centres[high, axis]:
            return f"{AXES[axis]} of {KINDS[high].name} is not above that of {KINDS[low].name}"
    return None


def _lift(column: Floats, weights: Floats, roles: Sequence[int], steps: Sequence[int]) -> None:
    """Put roles in order on one axis, in place; `steps` is how many distances each lies above the first one."""
    chain, lift = list(roles), DISTANCE_MIN * np.array(steps)
    if (np.diff(column[chain] - lift) < 0).any():
        column[chain] = isotonic_regression(column[chain] - lift, weights=weights[chain]).x + lift


def nearest_roles(axes: Floats, frame: Frame, centres: Floats) -> Indices:
    """Return the nearest role of each customer among those that the frame admits, shape `(n,)`."""
    roles = np.flatnonzero(frame.admits)
    points, scaled = (axes * frame.weights).T, (centres[roles] * frame.weights).T
    squares = [(row - of_roles[:, None]) ** 2 for row, of_roles in zip(points, scaled, strict=True)]
    return np.asarray(roles[sum(squares[1:], squares[0]).argmin(axis=0)])


def shrink(axes: Floats, frame: Frame, centres: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Return the means of each role's customers and its prior, shape `(ROLES, 3)`, and how much each counts."""
    prior_weight = PRIOR_SHARE * len(axes)
    labels = nearest_roles(axes, frame, centres)
    weights = np.asarray(prior_weight + np.bincount(labels, minlength=ROLES), np.float64)
    sums = np.stack([np.bincount(labels, column, minlength=ROLES) for column in axes.T], axis=1)
    means = np.asarray((prior_weight * prior + sums) / weights[:, None])
    return means, np.where(frame.admits, weights, CLOSED_SHARE * weights)


def fit_centres(axes: Floats, frame: Frame, prior: Floats) -> Floats:
    """Return centres that fit customers, shape `(ROLES, 3)`; roles that the frame does not admit go to their prior.

    Parameters
    ----------
    axes
        Of customers, shape `(n, 3)`, n ≥ 1.
    frame
        Where to begin, which roles there are and what axes weigh.
    prior
        Expected centres.
    """
    centres = np.where(frame.admits[:, None], frame.centres, prior)
    for _ in range(ITERATIONS):
        moved = in_order(*shrink(axes, frame, centres, prior))
        shift = ((moved - centres) ** 2).sum()
        centres = moved
        if shift < SHIFT_TOLERANCE:
            break
    return centres


class RoleCentres(base.Clusterer):
    """The centres of all roles, and the typical customer, from one sample to the next.

    The typical customer is an average over samples in which the last one weighs .2; the first counts in full. An axis
    that a row lacks is taken as the typical customer's; what is no axis is left out.

    Parameters
    ----------
    sample_size
        Rows that `learn_one` gathers before it learns from them.
    axes
        Names of log order rate, log engagement rate and log order value in rows.

    Examples
    --------
    >>> import math
    >>> model = RoleCentres(sample_size=50)
    >>> for day in range(50):
    ...     model.learn_one({"order_rate": math.log(1 / (20 + day)), "engagement_rate": -2.5, "order_value": 0.0})
    >>> model.predict_one({"order_rate": math.log(1 / 2), "engagement_rate": -1.0, "order_value": 0.0})
    6
    >>> model.predict_one({"order_rate": math.log(1 / 100), "engagement_rate": -4.0, "order_value": 0.0})
    0
    """

    def __init__(self, sample_size: int = 2000, axes: tuple[str, str, str] = AXES) -> None:
        self.sample_size = sample_size
        self.axes = axes
        self.is_fitted = False
        self.typical = np.array(PRIOR_TYPICAL)
        self.centres = self.typical + OFFSETS
        self._rows: list[list[float]] = []

    @property
    def prior(self) -> Floats:
        """Where centres are expected, shape `(ROLES, 3)`."""
        return np.asarray(self.typical + OFFSETS)

    def learn_one(self, x: Mapping[Hashable, float]) -> None:
        """Keep a row until `sample_size` are together, then learn from all of them."""
        self._rows.append(self._row(x))
        if len(self._rows) >= self.sample_size:
            self.learn_sample(np.array(self._rows), Frame(engagement_weight=1.0))
            self._rows.clear()

    def predict_one(self, x: Mapping[Hashable, float]) -> int:
        """Return the nearest role of a row, see `stream_app.segmentations.learned.roles`."""
        return int(nearest_roles(np.array([self._row(x)]), Frame(engagement_weight=1.0), self.centres)[0])

    def _row(self, x: Mapping[Hashable, float]) -> list[float]:
        return [float(x.get(name, typical)) for name, typical in zip(self.axes, self.typical, strict=True)]

    def learn_sample(self, axes: Floats, frame: Frame) -> None:
        """Learn from customers' axes, shape `(n, 3)`, n ≥ 1; of the frame only the weight of engagement matters."""
        self.typical = self.typical + (GAIN if self.is_fitted else 1.0) * (axes.mean(axis=0) - self.typical)
        start = self.centres if self.is_fitted else self.prior
        self.centres = fit_centres(axes, Frame(engagement_weight=frame.engagement_weight, centres=start), self.prior)
        self.is_fitted = True

    def state(self) -> dict[str, Any]:
        """Return what was learned as JSON values; rows that wait for a full sample are not part of it."""
        return {"is_fitted": self.is_fitted, "typical": self.typical.tolist(), "centres": self.centres.tolist()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        self.is_fitted = state["is_fitted"]
        self.typical = np.array(state["typical"], np.float64)
        self.centres = np.array(state["centres"], np.float64)
