"""Instants and durations. Every instant inside the core is an integer of milliseconds since the Unix epoch, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
WEEK_MS: Final = 7 * DAY_MS
MONTH_DAYS: Final = 30.4
"""Mean month, in days, for rates "per customer-month"."""

NO_TIME: Final = -(2**62)
"""Stands for "never happened" in a column of instants; smaller than every valid instant."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_milliseconds(instant: datetime) -> int:
    """Return an aware `datetime` as milliseconds since the epoch, truncated towards the past, exactly.

    Raises
    ------
    ValueError
        If `instant` is naive.
    """
    if instant.tzinfo is None:
        raise ValueError("naive instant: expected a time with a zone")
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def format_instant(instant_ms: int) -> str:
    """Return RFC 3339 in UTC with milliseconds, as in `2024-05-01T12:00:00.000Z`."""
    return (_EPOCH + timedelta(milliseconds=instant_ms)).isoformat(timespec="milliseconds")[:-6] + "Z"


def format_instants(instants_ms: npt.NDArray[np.int64]) -> list[str]:
    """Return `format_instant` of each, at a fifth of the cost."""
    return [f"{text}Z" for text in np.datetime_as_string(instants_ms.astype("datetime64[ms]"), unit="ms").tolist()]


def next_boundary(instant_ms: int, interval_ms: int) -> int:
    """Return the first multiple of `interval_ms` since the epoch that lies after `instant_ms`."""
    return (instant_ms // interval_ms + 1) * interval_ms
