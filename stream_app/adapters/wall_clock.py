"""The time of day, for those who are given no clock."""

from __future__ import annotations

import time


def wall_clock_ms() -> int:
    """Return the time, milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
