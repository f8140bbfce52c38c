"""Durations, instants, local days and dates of brute rules, the slow and obvious way.

A local day begins at the first instant that shows its date or a later one: where clocks skip midnight that is after it,
where they go back over midnight the day begins once, and where a date is left out (Apia, 30 December 2011) it begins
together with the next one. Days are whole numbers since 1970-01-01.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo

_UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
_STEP_MS: Final = 15 * _MINUTE_MS
_AHEAD_MS: Final = 15 * 3_600_000
"""No zone is further from UTC than this."""
_EPOCH: Final = date(1970, 1, 1)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")


def duration_ms(text: str) -> int:
    """Return how long `30s`, `5m`, `4h`, `7d` or `2w` is.

    Raises
    ------
    ValueError
        If it is neither of these.
    """
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS_MS or not number.isdecimal():
        raise ValueError(f"{text!r}, expected a whole number and one of {', '.join(_UNITS_MS)}")
    return int(number) * _UNITS_MS[unit]


def instant_ms(value: Any) -> int | None:
    """Return the instant of an RFC 3339 text or of a date, which begins at midnight UTC; None if it is neither."""
    if isinstance(value, datetime):
        at = value if value.tzinfo else value.replace(tzinfo=UTC)
    elif isinstance(value, date):
        at = datetime(value.year, value.month, value.day, tzinfo=UTC)
    elif isinstance(value, str) and (_DATE.fullmatch(value) or _INSTANT.fullmatch(value)):
        try:
            at = datetime.fromisoformat(value.upper())
        except ValueError:
            return None
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
    else:
        return None
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@cache
def day_start_ms(day: int, zone: str) -> int:
    """Return when a local day begins."""
    coarse = day * _DAY_MS - _AHEAD_MS
    while _shown_day(coarse, zone) < day:
        coarse += _STEP_MS
    at_ms = coarse - _STEP_MS
    while _shown_day(at_ms, zone) < day:
        at_ms += _MINUTE_MS
    return at_ms


def local_day(at_ms: int, zone: str) -> int:
    """Return the latest day that has begun."""
    day = _shown_day(at_ms, zone) - 1
    while day_start_ms(day + 1, zone) <= at_ms:
        day += 1
    return day


def calendar_date(value: Any) -> date | None:
    """Return the date that a trait names, as it is written, whatever time and zone follow; None if it names none."""
    if instant_ms(value) is None:
        return None
    return date.fromisoformat(value[:10]) if isinstance(value, str) else date(value.year, value.month, value.day)


def date_of(day: int) -> date:
    """Return the date of a day."""
    return _EPOCH + timedelta(days=day)


def anniversary_day(of: date, year: int) -> int:
    """Return the day on which a date is kept in a year; 29 February on 1 March in other years."""
    try:
        kept = of.replace(year=year)
    except ValueError:
        kept = date(year, 3, 1)
    return (kept - _EPOCH).days


def _shown_day(at_ms: int, zone: str) -> int:
    shown = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).astimezone(ZoneInfo(zone))
    return (shown.date() - _EPOCH).days
