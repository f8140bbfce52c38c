"""What a role's name says of each of its members, and until when silence leaves it true.

Every statement bounds rates in the customer's own terms (see `stream_app.segmentations.learned.axes`), with thresholds
between the roles' centres:

    VIP, Champions, Loyal    orders at least so often
    Big spenders             spends at least an amount an order; orders or comes at least at a rate
    Regular                  orders or comes at least so often
    Browsers                 comes at least so often, orders at most so often
    Occasional               orders at most so often

Silence only lowers rates, so of these only lower bounds can fail in silence, each at an instant known beforehand;
`native/learned.c` evaluates them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream_app.core.arrays import Flags, Floats
from stream_app.native import formulas
from stream_app.segmentations.learned.axes import ENGAGEMENT, ORDERS, VALUE
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
        Bounds of r; infinite where there is no bound.
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
        return formulas.hold(axes, np.array([self.orders_min, self.orders_max, self.engagement_min, self.value_min]))
