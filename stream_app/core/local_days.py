"""The days of a time zone: when each begins, which one an instant is of, and instants that lie whole days apart.

A day begins at the first instant that shows its date. `datetime` says when that is, taken with `fold=0`: in a gap the
clock would show midnight at the gap itself, of two midnights the first one counts, and a date that a zone has left out
begins where the next one does. So days begin in order, and an instant is of the last one that has begun: its day is
floor((t + offset(t)) / 24 h), but where clocks go back over midnight, as a day that has begun does not end before the
next one. A day has 23, 24 or 25 hours (23.5 and 24.5 at Lord Howe), and counts as one.

A zone is a list of *runs*, days that begin equally far behind (or ahead of) UTC's midnight, from the tz database;
UTC is one run. The compiled library is given the same runs (`native/local_days.c`, `native/calendars.c`).

*Boundaries* are the instants at which time is cut: at a fixed number of milliseconds, counted in days of 24 hours, so
that midnights are among them where a day is a multiple. The hour that a day has too many has none, and of those within
an hour that is left out only the last is taken, which is the next midnight. They are counted from 1970-01-01,
a Thursday, so spans of seven days are no calendar's weeks: they say how often something is done.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC as UTC_TZ
from datetime import date, datetime, timedelta, tzinfo
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from stream_app.core.arrays import Instants
from stream_app.core.clock import DAY_MS, SECOND_MS, next_boundary, to_milliseconds

UTC: Final = "UTC"
FIRST_DAY: Final = 0
"""1970-01-01; days before it are as far behind as this one."""
LAST_DAY: Final = 49_673
"""2106-01-01; the same holds for later days."""
_STEP: Final = 7
"""Days between which the clocks are compared; no zone has changed them to and fro within a week."""
_EPOCH: Final = date(1970, 1, 1)
_DAY_SECONDS: Final = DAY_MS // SECOND_MS
_DATE_CHARACTERS: Final = 10
_NEAR: Final = 2
"""Days that a local day may lie from the one that UTC names, and one to spare."""


def zone_of(name: str) -> tzinfo:
    """Return a time zone by its name; UTC also where no tz database is installed."""
    return UTC_TZ if name == UTC else ZoneInfo(name)


@cache
def zone_runs(name: str) -> tuple[tuple[int, int], ...]:
    """Return the runs of a zone: their first days since 1970-01-01, and how many seconds behind they begin."""
    zone = zone_of(name)
    runs = [(FIRST_DAY, _behind(zone, FIRST_DAY))]
    for week in range(FIRST_DAY, LAST_DAY, _STEP):
        if _behind(zone, week + _STEP) == runs[-1][1]:
            continue
        for day in range(week + 1, week + _STEP + 1):
            if (behind := _behind(zone, day)) != runs[-1][1]:
                runs.append((day, behind))
    return tuple(runs)


def _behind(zone: tzinfo, day: int) -> int:
    midnight = datetime.fromordinal(_EPOCH.toordinal() + day).replace(tzinfo=zone)
    return day * _DAY_SECONDS - round(midnight.timestamp())


def day_start_ms(day: int, timezone: str) -> int:
    """Return when a day begins that is counted from 1970-01-01."""
    runs = zone_runs(timezone)
    behind = runs[max(bisect_right(runs, day, key=_first_day) - 1, 0)][1]
    return (day * _DAY_SECONDS - behind) * SECOND_MS


def local_day(at_ms: int, timezone: str) -> int:
    """Return the day that an instant is of, counted from 1970-01-01."""
    day = at_ms // DAY_MS - _NEAR
    while day_start_ms(day + 1, timezone) <= at_ms:
        day += 1
    return day


def local_days(at_ms: Instants, timezone: str) -> npt.NDArray[np.int64]:
    """Return `local_day` of each."""
    runs = zone_runs(timezone)
    if len(runs) == 1:  # as of UTC: nothing has to be looked for
        return np.asarray((at_ms + runs[0][1] * SECOND_MS) // DAY_MS, np.int64)
    first = np.array([day for day, _ in runs], np.int64)
    behind_ms = np.array([seconds for _, seconds in runs], np.int64) * SECOND_MS
    in_force = np.maximum(np.searchsorted(first * DAY_MS - behind_ms, at_ms, side="right") - 1, 0)
    last = np.append(first[1:] - 1, np.iinfo(np.int64).max)
    days: npt.NDArray[np.int64] = np.minimum((at_ms + behind_ms[in_force]) // DAY_MS, last[in_force])
    return days


def date_of(at_ms: int, timezone: str) -> date:
    """Return the date of the day that an instant is of."""
    return _EPOCH + timedelta(days=local_day(at_ms, timezone))


def date_shown(instant: str, timezone: str) -> str:
    """Return the date, such as `2024-05-01`, of the day that an instant is of, an RFC 3339 text in UTC."""
    if timezone == UTC:
        return instant[:_DATE_CHARACTERS]
    return date_of(to_milliseconds(datetime.fromisoformat(instant)), timezone).isoformat()


def _first_day(run: tuple[int, int]) -> int:
    return run[0]


# --- boundaries ---


def boundary_number(at_ms: int, interval_ms: int, timezone: str = UTC) -> int:
    """Return how many boundaries lie between 1970-01-01 and an instant, those at either included."""
    if timezone == UTC:
        return at_ms // interval_ms
    day = local_day(at_ms, timezone)
    return (day * DAY_MS + min(at_ms - day_start_ms(day, timezone), DAY_MS - 1)) // interval_ms


def boundary_ms(number: int, interval_ms: int, timezone: str = UTC) -> int:
    """Return when a boundary is."""
    if timezone == UTC:
        return number * interval_ms
    day, within_ms = divmod(number * interval_ms, DAY_MS)
    return min(day_start_ms(day, timezone) + within_ms, day_start_ms(day + 1, timezone))


def following_boundary(at_ms: int, interval_ms: int, timezone: str = UTC) -> int:
    """Return the first boundary after an instant."""
    if timezone == UTC:
        return next_boundary(at_ms, interval_ms)
    return boundary_ms(boundary_number(at_ms, interval_ms, timezone) + 1, interval_ms, timezone)


def last_boundary(at_ms: int, interval_ms: int, timezone: str = UTC) -> int:
    """Return the last boundary up to an instant."""
    return boundary_ms(boundary_number(at_ms, interval_ms, timezone), interval_ms, timezone)


def is_boundary(at_ms: int, interval_ms: int, timezone: str = UTC) -> bool:
    """Say whether an instant is a boundary."""
    return following_boundary(at_ms - 1, interval_ms, timezone) == at_ms


def boundaries(after_ms: int, until_ms: int, interval_ms: int, timezone: str = UTC) -> Instants:
    """Return the boundaries in `(after_ms, until_ms]`, in order."""
    if timezone == UTC:
        return np.arange(next_boundary(after_ms, interval_ms), until_ms + 1, interval_ms, dtype=np.int64)
    found: list[int] = []
    while (after_ms := following_boundary(after_ms, interval_ms, timezone)) <= until_ms:
        found.append(after_ms)
    return np.array(found, np.int64)
