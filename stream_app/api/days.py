"""Days that are asked for, and how many customers were in each segment at the end of each.

The view keeps flows by day and present sizes, and no sizes of the past. They follow backwards: the size at the end of a
day is the present one, less everybody who came since, plus everybody who went. Before the first day with
known flows nothing can be said, unless undoing all of them leaves nobody: then nobody was there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final

from stream_app.adapters.view_schema import FlowField
from stream_app.api.problems import PERIOD_INVALID, Problem
from stream_app.api.store import Daily

PERIOD_DAYS_MAX: Final = 366
"""Of flows and sizes: each day is a key of its own in the view."""
DEFAULT_PERIOD_DAYS: Final = 30
SIZES_DAYS_MAX: Final = 1_100
"""How far back sizes can be asked for: all flows since then are undone."""

Sizes = Mapping[str, Sequence[int | None]]
"""By segment, of each day; None where it is not known."""


def days_asked_for(first: date | None, last: date | None, today: date) -> list[str]:
    """Return the days of a period; if they are not named, the last ones up to today.

    Raises
    ------
    Problem
        400, if there are none or too many.
    """
    last = last or today
    try:
        first = first or last - timedelta(days=DEFAULT_PERIOD_DAYS - 1)
    except OverflowError:
        first = last
    count = (last - first).days + 1
    if count < 1:
        raise Problem(PERIOD_INVALID, f"from is {first}, later than to, which is {last}")
    if count > PERIOD_DAYS_MAX:
        raise Problem(PERIOD_INVALID, f"from, to: {count} days, expected at most {PERIOD_DAYS_MAX}")
    return days_between(first, last)


def days_between(first: date, last: date) -> list[str]:
    """Return the days from one to another, both included."""
    return [(first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1)]


def days_with_sizes(first: date | None, last: date | None, today: date) -> list[str]:
    """Return the days of a period for which sizes may be asked.

    Raises
    ------
    Problem
        400, if there are none or too many, or if they lie ahead or too far back.
    """
    days = days_asked_for(first, last, today)
    earliest = today - timedelta(days=min(SIZES_DAYS_MAX, today.toordinal() - 1))
    if days[0] < earliest.isoformat():
        raise Problem(PERIOD_INVALID, f"from is {days[0]}, expected {earliest} or later")
    if days[-1] > today.isoformat():
        raise Problem(PERIOD_INVALID, f"to is {days[-1]}, expected {today} (today) or earlier")
    return days


def sizes_by_day(found: Daily, read: Sequence[str], days: Sequence[str]) -> Sizes:
    """Return how many customers were in each segment at the end of each day.

    Parameters
    ----------
    found
        Present sizes, and flows.
    read
        The days of the flows, in order: from the first one asked for until now.
    days
        Those asked for, in order.
    """
    present, flows = Counter(dict(found.sizes)), dict(zip(read, found.flows, strict=True))
    pending = sorted(flows)
    by_day: list[Counter[str] | None] = []
    for day in reversed(days):
        while pending and pending[-1] > day:
            _undo(present, flows[pending.pop()])
        is_known = bool(found.known_from) and day >= found.known_from
        by_day.append(Counter(present) if is_known or not any(present.values()) else None)
    by_day.reverse()
    segments = dict.fromkeys([*found.sizes, *(segment for each in by_day if each for segment in each)])
    return {
        segment: [None if each is None else max(each[segment], 0) for each in by_day]  # the topics are not in step
        for segment in segments
    }


def _undo(sizes: Counter[str], flows: Mapping[str, int]) -> None:
    for field, count in flows.items():
        flow = FlowField.decode(field)
        if flow.from_segment:
            sizes[flow.from_segment] += count
        if flow.to_segment:
            sizes[flow.to_segment] -= count
