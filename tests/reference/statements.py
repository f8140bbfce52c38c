"""What a role's name says of each of its members, and until when silence leaves it true.

This is the reference that the compiled library is compared with, bit by bit: whole arrays of numpy, with the library's
own elementary functions. Theory: `native/learned.c`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from stream_app.core.arrays import Flags, Floats, Indices
from stream_app.segmentations.learned.axes import ENGAGEMENT, ORDERS, VALUE
from stream_app.segmentations.learned.roles import BIG_SPENDERS, REGULAR, ROLES
from stream_app.segmentations.learned.statements import Statements
from tests.reference.axes import engagement_rate_falls_ms, order_rate_falls_ms

_EITHER: Final = np.isin(np.arange(ROLES), (REGULAR, BIG_SPENDERS))
"""Roles of which one of the two lower bounds on rates suffices."""


def hold(statements: Statements, axes: Floats) -> Flags:
    """Say which statements are true of n customers, shape `(n, ROLES)`."""
    orders, engagement, value = axes[:, ORDERS, None], axes[:, ENGAGEMENT, None], axes[:, VALUE, None]
    often, comes = orders >= statements.orders_min, engagement >= statements.engagement_min
    rates = np.where(_EITHER, often | comes, often & comes)
    return np.asarray(rates & (orders <= statements.orders_max) & (value >= statements.value_min))


def fail_ms(statements: Statements, activity: np.ndarray, role: Indices) -> Floats:
    """Return when silence makes the statement of each customer's role false, milliseconds; inf for never."""
    orders_ms = order_rate_falls_ms(activity, statements.orders_min[role])
    fails = np.asarray(orders_ms)
    bounded = np.flatnonzero(np.isfinite(statements.engagement_min)[role])
    if len(bounded):
        engagement_ms = engagement_rate_falls_ms(activity.take(bounded), statements.engagement_min[role[bounded]])
        either = _EITHER[role[bounded]]
        fails[bounded] = np.where(
            either, np.maximum(fails[bounded], engagement_ms), np.minimum(fails[bounded], engagement_ms)
        )
    return fails
