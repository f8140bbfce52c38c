"""How often, how long, how many and how much, as people say it; and what the segments' names say."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from stream_app.core.money import minor_digits
from stream_app.core.moves import MigrationContext
from stream_app.segmentations.learned.model import Frame, Model, Thresholds
from stream_app.segmentations.learned.roles import (
    AT_RISK,
    BIG_SPENDERS,
    BROWSERS,
    HIBERNATING,
    LOST,
    NEW,
    OCCASIONAL,
    ONE_TIME,
    REGULAR,
    ROLES,
)
from stream_app.segmentations.learned.statements import Statements

LONGEST_DAYS: Final = 2_000.0
"""No bound on a rate is given as a longer interval."""
NO_BROWSERS: Final = "nobody, since visits do not count"
"""What Browsers says where no engagement makes roles."""
WHOLE_UNITS_FROM: Final = 10
"""From this many major units on, a typical value is given without minor ones."""


def days(count: float) -> str:
    """Return a number of days in words: `1 day`, `12 days`; `less than a day` below one."""
    whole = round(count)
    return "less than a day" if whole < 1 else "1 day" if whole == 1 else f"{whole:d} days"


def once_in(log_rate: float) -> str:
    """Return a bound on a log rate a day in words: `once a day`, `once in 22 days`."""
    whole = round(min(math.exp(max(-log_rate, 0.0)), LONGEST_DAYS))
    return "once a day" if whole == 1 else f"once in {whole:d} days"


def about(value: float, context: MigrationContext) -> str:
    """Return a typical value in major units in words: `about 45 EUR`, `about 4.50 EUR`."""
    digits = 0 if value >= WHOLE_UNITS_FROM else minor_digits(context.minor_per_major)
    return f"about {value:.{digits}f} {context.currency}"


def statement_of(model: Model, target: int) -> str:
    """Return what a segment says of each of its members, in words."""
    return statement_under(model.frame, model.statements, model.thresholds, target)


def statement_under(frame: Frame, statements: Statements, thresholds: Thresholds, target: int) -> str:
    """Return what a segment says in another version, in words."""
    if target < ROLES:
        return _role_statement(statements, target)
    return {
        NEW: f"ordered at most once, came first within {days(frame.new_days)}",
        AT_RISK: f"silent for at least {days(thresholds.risk_days_min)}, longer than its own rhythm explains",
        HIBERNATING: f"silent for at least {days(thresholds.lapsed_days_min)}, most likely gone",
        ONE_TIME: "ordered at most once, silent for longer than its own rhythm explains",
        LOST: f"silent for at least {days(thresholds.lost_days)}",
    }[target]


def _role_statement(bounds: Statements, role: int) -> str:
    often = f"orders at least {once_in(bounds.orders_min[role])}"
    comes = f"comes at least {once_in(bounds.engagement_min[role])}"
    rarely = f"orders at most {once_in(bounds.orders_max[role])}"
    rates = f"{often} or {comes}" if np.isfinite(bounds.engagement_min[role]) else often
    if role == OCCASIONAL:
        return rarely
    if role == BROWSERS:
        return f"{comes}, {rarely}" if np.isfinite(bounds.engagement_min[role]) else NO_BROWSERS
    if role == BIG_SPENDERS:
        return f"spends at least {math.exp(bounds.value_min[role]):.1f} times the usual order value, and {rates}"
    return rates if role == REGULAR else often
