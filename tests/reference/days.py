"""Sets of distinct days, and what is told of them: how many there are, and how far they lie apart.

The reference that `native/days.c`, which states the theory, is compared with byte by byte. A set is a number of Python,
so nothing of it has to be shifted by hand; what is kept beside the bits is defined by `total` and brought up to date by
`add`.
"""

from __future__ import annotations

from datetime import date, datetime
from functools import cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from stream_app.core.clock import DAY_MS
from stream_app.core.quantities import (
    ACTIVITY_WINDOW_DAYS,
    ENGAGED_WINDOW_DAYS,
    ENGAGEMENT_HALF_LIFE_DAYS,
    GAP_MEMORY,
)
from tests.reference.scalars import exp2, log, power

_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_LAST_DAY: Final = 49_673
"""2106-01-01; later days begin as this one does, and those before 1970 as the first."""


def shown_day(at_ms: int, timezone: str) -> int:
    """Return the latest day of a zone that has begun at an instant, counted from 1970-01-01."""
    if timezone == "UTC":
        return at_ms // DAY_MS
    day = at_ms // DAY_MS - 2
    while _midnight_ms(day + 1, timezone) <= at_ms:
        day += 1
    return day


@cache
def _midnight_ms(day: int, timezone: str) -> int:
    """Return the first instant that shows a day's date or, where a zone has left that out, a later one."""
    known = min(max(day, 0), _LAST_DAY)
    midnight = datetime.fromordinal(_EPOCH_ORDINAL + known).replace(tzinfo=ZoneInfo(timezone))
    return round(midnight.timestamp()) * 1_000 + (day - known) * DAY_MS


class DecayedDays:
    """Counts distinct days with exponentially falling weight; a day's weight halves every `half_life_days`.

    Parameters
    ----------
    half_life_days
        Of a day's weight, > 0.
    window_days
        How many days before the last one are remembered; an older day counts nothing, however it arrives.
    """

    def __init__(self, half_life_days: float, window_days: int) -> None:
        self.weights = [exp2(-age / half_life_days) for age in range(window_days)]
        self.window_days = window_days
        self._mask = (1 << window_days) - 1
        self._half_life_days = half_life_days

    def total(self, bits: int) -> float:
        """Return the weighted number of days set in `bits`, as of the last day. This is the definition."""
        total = 0.0
        for age, weight in enumerate(self.weights):  # not `sum`, which compensates from Python 3.12 on
            if bits >> age & 1:
                total += weight
        return total

    def add(self, bits: int, total: float, last_day: int, day: int) -> tuple[int, float]:
        """Count `day`; return the new bits and total, both as of the later of the two days."""
        ahead = day - last_day
        if ahead <= 0:
            age = -ahead
            if age >= self.window_days or bits >> age & 1:
                return bits, total
            return bits | 1 << age, total + self.weights[age]
        if ahead >= self.window_days:
            return 1, 1.0
        moved = bits << ahead
        total = total * self.weights[ahead] + 1.0
        if moved <= self._mask:
            return moved | 1, total
        forgotten = moved >> self.window_days
        while forgotten:
            age = self.window_days + forgotten.bit_length() - 1
            total -= exp2(-age / self._half_life_days)
            forgotten ^= 1 << (forgotten.bit_length() - 1)
        return moved & self._mask | 1, total


class GapSums(NamedTuple):
    """What is kept of the gaps between consecutive days.

    Attributes
    ----------
    gaps
        How many there are, one less than days.
    log_gaps, log_gaps_squared
        Weighted sums of the logarithms of their days, and of the squares of these.
    """

    gaps: int
    log_gaps: float
    log_gaps_squared: float


class DayGaps:
    """Sums the gaps between distinct days; a gap weighs `memory` of what the next newer one weighs.

    Parameters
    ----------
    memory
        > 0, at most 1.
    window_days
        How many days before the last one are remembered, as in `DecayedDays`.
    """

    def __init__(self, memory: float, window_days: int) -> None:
        self.window_days = window_days
        self._memory = memory
        self._mask = (1 << window_days) - 1
        self._weights = [power(memory, age) for age in range(window_days + 1)]
        self._logs = [0.0, *(log(days) for days in range(1, window_days))]

    def total(self, bits: int) -> GapSums:
        """Return the gaps between the days set in `bits`. This is the definition."""
        count, logs, logs_squared = 0, 0.0, 0.0
        older = bits >> 1
        while older:
            gap_days = (older & -older).bit_length()
            older >>= gap_days
            log_gap, weight = self._logs[gap_days], self._weights[count]
            logs += weight * log_gap
            logs_squared += weight * log_gap * log_gap
            count += 1
        return GapSums(count, logs, logs_squared)

    def add(
        self, bits: int, count: int, logs: float, logs_squared: float, last_day: int, day: int
    ) -> tuple[int, int, float, float]:
        """Enter `day`; return the new bits and what they make of `GapSums`, as of the later of the two days."""
        ahead = day - last_day
        if ahead <= 0:
            age = -ahead
            if age >= self.window_days or bits >> age & 1:
                return bits, count, logs, logs_squared
            bits |= 1 << age
            return bits, *self.total(bits)
        if ahead >= self.window_days:
            return 1, 0, 0.0, 0.0
        bits = bits << ahead | 1
        log_gap = self._logs[ahead]
        logs = logs * self._memory + log_gap
        logs_squared = logs_squared * self._memory + log_gap * log_gap
        count += 1
        if bits <= self._mask:
            return bits, count, logs, logs_squared
        while bits > self._mask:
            oldest = bits.bit_length() - 1
            bits ^= 1 << oldest
            count -= 1
            log_gap = self._logs[oldest + 1 - bits.bit_length()]
            logs -= self._weights[count] * log_gap
            logs_squared -= self._weights[count] * log_gap * log_gap
        return bits, count, max(logs, 0.0), max(logs_squared, 0.0)


ACTIVE_DAYS: Final = DayGaps(GAP_MEMORY, ACTIVITY_WINDOW_DAYS)
ENGAGED_DAYS: Final = DecayedDays(ENGAGEMENT_HALF_LIFE_DAYS, ENGAGED_WINDOW_DAYS)
