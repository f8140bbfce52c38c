"""What a role's name says of each of its members, and until when silence leaves it true.

Every statement bounds rates in the customer's own terms (see `stream_app.segmentations.learned.axes`), with thresholds
between the roles' centres:

    VIP, Champions, Loyal    orders at least so often
    Big spenders             spends at least so much an order; orders or comes at least so often
    Regular                  orders or comes at least so often
    Browsers                 comes at least so often, orders at most so often
    Occasional               orders at most so often

Silence only lowers rates, so of these only lower bounds can fail in silence, each at an instant known beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from stream_app.core.arrays import Flags, Floats, Indices
from stream_app.segmentations.learned.axes import (
    ENGAGEMENT,
    ORDERS,
    VALUE,
    engagement_rate_falls_ms,
    order_rate_falls_ms,
)
from stream_app.segmentations.learned.roles import (
    BIG_SPENDERS,
    BROWSERS,
    CHAMPIONS,
    LOYAL,
    OCCASIONAL,
    REGULAR,
    ROLES,
    VIP,
)

_EITHER: Final = np.isin(np.arange(ROLES), (REGULAR, BIG_SPENDERS))
"""Roles of which one of the two lower bounds on rates suffices."""


class Slack(NamedTuple):
    """How far a statement's threshold lies beyond the middle between two centres, in log units.

    The more slack, the later silence ends a role, and the fewer come back to it soon after. With .5 everywhere the
    agreement with the types of a simulated shop was .42, with .25 everywhere .46, but with an eighth more moves that
    nothing had led to; with these numbers it was .48 with fewer.

    Attributes
    ----------
    loyal
        VIP, Champions and Loyal: how often they order.
    regular, big
        Regular, Big spenders: how often they order.
    visits
        Both: how often they come.
    browsers
        Browsers: how often they come.
    rare
        Browsers and Occasional: how often they order at most.
    value
        Big spenders: how much they spend.
    """

    loyal: float = 0.5
    regular: float = 0.1
    big: float = 0.4
    visits: float = 0.2
    browsers: float = 0.5
    rare: float = 0.25
    value: float = 0.25


@dataclass(frozen=True)
class Statements:
    """The bounds of all roles, each array of shape `(ROLES,)`.

    Parameters
    ----------
    orders_min, orders_max
        Bounds of r; infinite where there is none.
    engagement_min
        Lower bound of e.
    value_min
        Lower bound of a.
    """

    orders_min: Floats
    orders_max: Floats
    engagement_min: Floats
    value_min: Floats

    @classmethod
    def between(cls, centres: Floats, slack: Slack, counts_engagement: bool) -> Statements:
        """Return the statements of roles with these centres, shape `(ROLES, 3)`."""

        def middle(one: int, other: int, axis: int) -> float:
            return float(centres[one, axis] + centres[other, axis]) / 2

        low = np.full((3, ROLES), -np.inf)
        orders_max = np.full(ROLES, np.inf)
        low[ORDERS, VIP] = middle(VIP, CHAMPIONS, ORDERS) - slack.loyal
        low[ORDERS, CHAMPIONS] = middle(CHAMPIONS, LOYAL, ORDERS) - slack.loyal
        low[ORDERS, LOYAL] = middle(LOYAL, REGULAR, ORDERS) - slack.loyal
        low[ORDERS, REGULAR] = middle(REGULAR, OCCASIONAL, ORDERS) - slack.regular
        low[ORDERS, BIG_SPENDERS] = middle(REGULAR, OCCASIONAL, ORDERS) - slack.big
        visits = middle(REGULAR, OCCASIONAL, ENGAGEMENT) - slack.visits
        low[ENGAGEMENT, [REGULAR, BIG_SPENDERS]] = visits if counts_engagement else np.inf
        comes = middle(BROWSERS, OCCASIONAL, ENGAGEMENT) - slack.browsers
        low[ENGAGEMENT, BROWSERS] = comes if counts_engagement else np.inf
        low[VALUE, BIG_SPENDERS] = middle(BIG_SPENDERS, LOYAL, VALUE) - slack.value
        orders_max[[BROWSERS, OCCASIONAL]] = middle(LOYAL, REGULAR, ORDERS) + slack.rare
        return cls(low[ORDERS], orders_max, low[ENGAGEMENT], low[VALUE])

    def hold(self, axes: Floats) -> Flags:
        """Say which statements are true of n customers, shape `(n, ROLES)`."""
        orders, engagement, value = axes[:, ORDERS, None], axes[:, ENGAGEMENT, None], axes[:, VALUE, None]
        often, comes = orders >= self.orders_min, engagement >= self.engagement_min
        rates = np.where(_EITHER, often | comes, often & comes)
        return np.asarray(rates & (orders <= self.orders_max) & (value >= self.value_min))

    def fail_ms(self, activity: np.ndarray, role: Indices) -> Floats:
        """Return when silence makes the statement of each customer's role false, milliseconds; inf for never."""
        orders_ms = order_rate_falls_ms(activity, self.orders_min[role])
        fails = np.asarray(orders_ms)
        bounded = np.flatnonzero(self._bounds_engagement[role])
        if len(bounded):
            engagement_ms = engagement_rate_falls_ms(activity.take(bounded), self.engagement_min[role[bounded]])
            either = _EITHER[role[bounded]]
            fails[bounded] = np.where(
                either, np.maximum(fails[bounded], engagement_ms), np.minimum(fails[bounded], engagement_ms)
            )
        return fails

    @cached_property
    def _bounds_engagement(self) -> Flags:
        return np.isfinite(self.engagement_min)
