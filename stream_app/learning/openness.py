"""Which roles there are: those that customers tell apart, rather than the noise of few events.

Cutting any cloud of points makes centres: two of pure noise lie 1.6 standard deviations apart, and a mixture of two
equal normal distributions has a single mode up to 2. So two roles are kept apart only where their centres lie 2
standard deviations apart *of the noise*, that is of how much a customer's own rates would vary if it continued as it
does. A count F observed with decay has about the variance F / 2, so, by the derivative of the log,

    sd_r² = (F / 2) / (F + ½)²        sd_e² = (V / 2) / (V + ½)²        sd_a² = .25 / (N + 2)

(F and V at least .25; .5 is a usual deviation of log order values). Of two roles that are too close the smaller one
closes: it admits nobody, and its members leave as they move. It opens again at 2.3. A role of which there is hardly
anybody closes too. Both are averages over ticks, and nothing closes before the 8th. Regular never closes: it is what is
left where all customers are alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any, Final

import numpy as np

from stream_app.core.arrays import Flags, Floats, Indices
from stream_app.core.quantities import Quantities
from stream_app.learning.rhythm import GAIN
from stream_app.segmentations.learned.model import Frame
from stream_app.segmentations.learned.roles import BROWSERS, REGULAR, ROLES

SEPARATION_MIN: Final = 2.0
"""Between two roles that are open, in standard deviations of the noise."""
REOPENING_MIN: Final = 2.3
"""Between a role that would open and those that are open."""
SHARE_MIN: Final = 0.003
"""Of active customers, for a role to stay open."""
REOPENING_SHARE_FACTOR: Final = 1.5
TICKS_MIN: Final = 8
"""Ticks before a role may close."""
MEMBERS_MIN: Final = 5
"""A role with fewer members is given the noise of all customers."""
_UNKNOWN_SEPARATION: Final = 3.0
_UNKNOWN_SHARE: Final = 0.1
_COUNT_MIN: Final = 0.25


def noise_variances(quantities: Quantities) -> Floats:
    """Return the variance of each customer's axes under an unchanged behaviour, shape `(n, 3)`."""
    orders = np.maximum(quantities.repeat_orders, _COUNT_MIN)
    engaged = np.maximum(quantities.engaged_days, _COUNT_MIN)
    return np.stack(
        [
            orders / 2 / (quantities.repeat_orders + 0.5) ** 2,
            engaged / 2 / (quantities.engaged_days + 0.5) ** 2,
            0.25 / (quantities.purchases + 2),
        ],
        axis=1,
    )


class OpenRoles:
    """Separations and shares of all roles, averaged over ticks."""

    def __init__(self) -> None:
        self._ticks = 0
        self._separation = np.full((ROLES, ROLES), _UNKNOWN_SEPARATION)
        self._share = np.full(ROLES, _UNKNOWN_SHARE)

    def learn(self, centres: Floats, labels: Indices, noise: Floats, frame: Frame) -> Flags:
        """Return which roles to keep open, shape `(ROLES,)`.

        Parameters
        ----------
        centres
            Of all roles, shape `(ROLES, 3)`.
        labels
            Each customer's nearest role, shape `(n,)`.
        noise
            See `noise_variances`.
        frame
            Which roles are open now, and whether engagement counts.
        """
        members = np.bincount(labels, minlength=ROLES)
        self._share += GAIN * (members / len(labels) - self._share)
        own = np.stack(
            [
                noise[labels == role].mean(axis=0) if members[role] >= MEMBERS_MIN else noise.mean(axis=0)
                for role in range(ROLES)
            ]
        )
        counted = np.array([1.0, float(frame.counts_engagement), 1.0])
        shifts = (centres[:, None] - centres) ** 2 / ((own[:, None] + own) / 2) * counted
        self._separation += GAIN * (np.sqrt(shifts.sum(axis=2)) - self._separation)
        self._ticks += 1
        return self._choose(frame) if self._ticks > TICKS_MIN else frame.is_open

    def _choose(self, frame: Frame) -> Flags:
        """Close roles, the closest pair first, until all that are left are far enough apart."""
        keeps = self._share >= SHARE_MIN * np.where(frame.is_open, 1.0, REOPENING_SHARE_FACTOR)
        keeps[REGULAR] = True
        while True:
            roles = [role for role in np.flatnonzero(keeps).tolist() if role != BROWSERS or frame.counts_engagement]
            close = [pair for pair in combinations(roles, 2) if self._separation[pair] < self._needed(pair, frame)]
            if not close:
                return np.asarray(keeps)
            one, other = min(close, key=lambda pair: float(self._separation[pair]))
            first_closes = other == REGULAR or (one != REGULAR and self._share[one] < self._share[other])
            keeps[one if first_closes else other] = False

    @staticmethod
    def _needed(pair: tuple[int, int], frame: Frame) -> float:
        return SEPARATION_MIN if frame.is_open[list(pair)].all() else REOPENING_MIN

    def state(self) -> dict[str, Any]:
        """Return the averages as JSON values."""
        return {"ticks": self._ticks, "separation": self._separation.tolist(), "share": self._share.tolist()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        self._ticks = state["ticks"]
        self._separation = np.array(state["separation"], np.float64)
        self._share = np.array(state["share"], np.float64)
