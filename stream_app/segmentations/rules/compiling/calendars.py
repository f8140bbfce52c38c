"""When the days of a time zone begin, from the tz database: runs of days that begin equally far behind UTC's midnight.

A day begins at the first instant that shows its date. `datetime` says when that is, taken with `fold=0`: in a gap the
clock would show midnight at the gap itself, of two midnights the first one counts, and a date that a zone has left out
begins where the next one does.
"""

from __future__ import annotations

from datetime import date, datetime
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

FIRST_DAY: Final = 0
"""1970-01-01; days before it are as far behind as this one."""
LAST_DAY: Final = 49_673
"""2106-01-01; later days likewise."""
_STEP: Final = 7
"""Days between which the clocks are compared; no zone has changed them to and fro within a week."""
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_DAY_SECONDS: Final = 86_400


@cache
def zone_runs(name: str) -> tuple[tuple[int, int], ...]:
    """Return the runs of a zone: their first days since 1970-01-01, and how many seconds behind they begin."""
    zone = ZoneInfo(name)
    runs = [(FIRST_DAY, _behind(zone, FIRST_DAY))]
    for week in range(FIRST_DAY, LAST_DAY, _STEP):
        if _behind(zone, week + _STEP) == runs[-1][1]:
            continue
        for day in range(week + 1, week + _STEP + 1):
            if (behind := _behind(zone, day)) != runs[-1][1]:
                runs.append((day, behind))
    return tuple(runs)


def _behind(zone: ZoneInfo, day: int) -> int:
    midnight = datetime.fromordinal(_EPOCH_ORDINAL + day).replace(tzinfo=zone)
    return day * _DAY_SECONDS - round(midnight.timestamp())
