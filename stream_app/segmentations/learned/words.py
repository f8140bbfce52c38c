"""How often and how long, as people say it."""

from __future__ import annotations

import math


def days(count: float) -> str:
    """Return a number of days in words: `1 day`, `12 days`."""
    whole = round(count)
    return "1 day" if whole == 1 else f"{whole:d} days"


def every(count: float) -> str:
    """Return an interval in words: `every day`, `every 12 days`; `less than once a year` beyond one."""
    if count > 365:
        return "less than once a year"
    whole = max(round(count), 1)
    return "every day" if whole == 1 else f"every {whole:d} days"


def once_in(log_rate: float) -> str:
    """Return a bound on a log rate a day in words: `once in 22 days`."""
    return f"once in {days(math.exp(min(max(-log_rate, 0.0), 7.6)))}"
