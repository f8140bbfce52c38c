"""Counting distinct days, each once, whatever the order in which they come."""

from __future__ import annotations

from math import exp2
from typing import Final

from stream_app.core.quantities import (
    ACTIVITY_HALF_LIFE_DAYS,
    ACTIVITY_WINDOW_DAYS,
    ENGAGED_WINDOW_DAYS,
    ENGAGEMENT_HALF_LIFE_DAYS,
)


class DayWindow:
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
        self._mask = (1 << window_days) - 1
        self._window_days = window_days
        self._half_life_days = half_life_days

    def total(self, bits: int) -> float:
        """Return the weighted number of days set in `bits`, as of the last day. This is the definition."""
        return sum(weight for age, weight in enumerate(self.weights) if bits >> age & 1)

    def add(self, bits: int, total: float, last_day: int, day: int) -> tuple[int, float]:
        """Count `day`; return the new bits and total, both as of the later of the two days."""
        ahead = day - last_day
        if ahead <= 0:
            age = -ahead
            if age >= self._window_days or bits >> age & 1:
                return bits, total
            return bits | 1 << age, total + self.weights[age]
        if ahead >= self._window_days:
            return 1, 1.0
        moved = bits << ahead
        total = total * self.weights[ahead] + 1.0
        if moved <= self._mask:
            return moved | 1, total
        forgotten = moved >> self._window_days
        while forgotten:
            age = self._window_days + forgotten.bit_length() - 1
            total -= exp2(-age / self._half_life_days)
            forgotten ^= 1 << (forgotten.bit_length() - 1)
        return moved & self._mask | 1, total

    def merge(self, bits: int, last_day: int, other_bits: int, other_last_day: int) -> tuple[int, float]:
        """Return bits and total of the union of two sets of days, as of the later last day."""
        ahead = other_last_day - last_day
        if ahead < 0:
            return self.merge(other_bits, other_last_day, bits, last_day)
        union = other_bits | (bits << ahead & self._mask if ahead < self._window_days else 0)
        return union, self.total(union)


ACTIVE_DAYS: Final = DayWindow(ACTIVITY_HALF_LIFE_DAYS, ACTIVITY_WINDOW_DAYS)
ENGAGED_DAYS: Final = DayWindow(ENGAGEMENT_HALF_LIFE_DAYS, ENGAGED_WINDOW_DAYS)
