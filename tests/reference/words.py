"""How often, how long, how many and how much, as people say it.

This is the reference that the compiled library is compared with, byte by byte: `native/outputs_sentences.c`.
"""

from __future__ import annotations

from typing import Final

from stream_app.core.money import minor_digits
from stream_app.core.moves import MigrationContext

WHOLE_UNITS_FROM: Final = 10
"""Major units from which on a typical value is told without minor ones."""


def days(count: float) -> str:
    """Return a number of days in words: `1 day`, `12 days`; `less than a day` below one."""
    whole = round(count)
    return "less than a day" if whole < 1 else "1 day" if whole == 1 else f"{whole:d} days"


def every(count: float) -> str:
    """Return an interval in words: `every day`, `every 12 days`; `less than once a year` beyond one."""
    if count > 365:
        return "less than once a year"
    whole = max(round(count), 1)
    return "every day" if whole == 1 else f"every {whole:d} days"


def orders(count: int) -> str:
    """Return a number of orders in words: `no order`, `1 order`, `5 orders`."""
    return "no order" if count < 1 else "1 order" if count == 1 else f"{count:d} orders"


def about(value: float, context: MigrationContext) -> str:
    """Return a typical value in major units in words: `about 45 EUR`, `about 4.50 EUR`."""
    digits = 0 if value >= WHOLE_UNITS_FROM else minor_digits(context.minor_per_major)
    return f"about {value:.{digits}f} {context.currency}"
