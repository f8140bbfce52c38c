from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS, format_instant, format_instants, next_boundary, to_milliseconds

MAX_MS = 253_402_300_799_999
instants = st.integers(0, MAX_MS)


@given(instants)
def test_instant_is_written_as_it_is_read(instant_ms: int) -> None:
    assert to_milliseconds(datetime.fromisoformat(format_instant(instant_ms))) == instant_ms


@given(st.lists(instants, max_size=5))
def test_many_instants_are_written_like_one(instants_ms: list[int]) -> None:
    assert format_instants(np.array(instants_ms, np.int64)) == [format_instant(at_ms) for at_ms in instants_ms]


def test_instant_is_written_in_utc_with_milliseconds() -> None:
    assert format_instant(1_714_564_800_000) == "2024-05-01T12:00:00.000Z"


def test_zone_is_taken_into_account_and_microseconds_are_cut_off() -> None:
    east = timezone(timedelta(hours=2))
    assert to_milliseconds(datetime(2024, 5, 1, 14, 0, 0, 1_999, east)) == 1_714_564_800_001
    assert to_milliseconds(datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)) == -1


def test_naive_instant_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        to_milliseconds(datetime(2024, 5, 1))


@given(instants, st.sampled_from([1, 1000, DAY_MS, 7 * DAY_MS]))
def test_next_boundary_is_the_first_multiple_after(instant_ms: int, interval_ms: int) -> None:
    boundary_ms = next_boundary(instant_ms, interval_ms)
    assert boundary_ms % interval_ms == 0
    assert boundary_ms - interval_ms <= instant_ms < boundary_ms
