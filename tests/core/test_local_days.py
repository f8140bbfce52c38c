"""Days of a time zone, and instants that lie whole days of it apart."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS, HOUR_MS, WEEK_MS
from stream_app.core.local_days import (
    boundaries,
    boundary_ms,
    boundary_number,
    date_of,
    day_start_ms,
    following_boundary,
    is_boundary,
    last_boundary,
    local_day,
    local_days,
)

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia")
zones = st.sampled_from(ZONES)
instants = st.integers(-(10**12), 4 * 10**12) | st.integers(1_325_000_000_000, 1_325_500_000_000)  # Apia's lost day
intervals = st.sampled_from([HOUR_MS, 6 * HOUR_MS, DAY_MS, WEEK_MS, 30 * DAY_MS, 100_000_000])


def at(zone: str, *parts: int) -> int:
    """Return the instant at which the clocks of a zone show a time."""
    return round(datetime(*parts, tzinfo=ZoneInfo(zone)).timestamp() * 1_000)  # type: ignore[arg-type,misc]


def shown(at_ms: int, zone: str) -> str:
    """Return what the clocks of a zone show."""
    return str((datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).astimezone(ZoneInfo(zone)))[:16]


@given(st.lists(instants, max_size=20), zones)
def test_days_of_many_instants_are_those_of_each(at_ms: list[int], zone: str) -> None:
    assert local_days(np.array(at_ms, np.int64), zone).tolist() == [local_day(each, zone) for each in at_ms]


@given(instants, zones)
def test_instant_is_of_the_last_day_that_has_begun(at_ms: int, zone: str) -> None:
    day = local_day(at_ms, zone)
    assert day_start_ms(day, zone) <= at_ms < day_start_ms(day + 1, zone)


def test_day_and_date_are_those_that_clocks_show() -> None:
    at_ms = at("Asia/Kolkata", 2024, 5, 1, 0, 10)
    assert (date_of(at_ms, "Asia/Kolkata"), date_of(at_ms, "UTC")) == (date(2024, 5, 1), date(2024, 4, 30))
    assert day_start_ms(local_day(at_ms, "Asia/Kolkata"), "Asia/Kolkata") == at("Asia/Kolkata", 2024, 5, 1)


def test_daily_boundaries_are_midnights_also_where_days_have_23_or_25_hours() -> None:
    zone, since_ms, until_ms = "Europe/Berlin", at("Europe/Berlin", 2024, 1, 1, 5), at("Europe/Berlin", 2025, 1, 1)
    found = boundaries(since_ms, until_ms, DAY_MS, zone).tolist()
    assert len(found) == 366
    assert {shown(each, zone)[11:] for each in found} == {"00:00"}


def test_weekly_boundaries_fall_on_one_weekday() -> None:
    found = boundaries(0, at("UTC", 2025, 1, 1), WEEK_MS, "America/New_York").tolist()
    assert {date_of(each, "America/New_York").weekday() for each in found} == {3}  # as 1970-01-01 was one


def test_hours_of_a_day_count_from_its_midnight_and_the_one_too_many_has_no_boundary() -> None:
    zone = "Europe/Berlin"
    short = boundaries(at(zone, 2024, 3, 31) - 1, at(zone, 2024, 4, 1), HOUR_MS, zone).tolist()
    long = boundaries(at(zone, 2024, 10, 27) - 1, at(zone, 2024, 10, 28), HOUR_MS, zone).tolist()
    assert np.diff(short).tolist() == [HOUR_MS] * 23
    assert np.diff(long).tolist() == [HOUR_MS] * 23 + [2 * HOUR_MS]


@given(instants, intervals, zones)
def test_boundaries_follow_one_another(at_ms: int, interval_ms: int, zone: str) -> None:
    before, after = last_boundary(at_ms, interval_ms, zone), following_boundary(at_ms, interval_ms, zone)
    assert before <= at_ms < after
    assert is_boundary(before, interval_ms, zone)
    assert is_boundary(after, interval_ms, zone)
    assert following_boundary(before, interval_ms, zone) == after
    assert is_boundary(at_ms, interval_ms, zone) == (at_ms == before)
    assert boundary_ms(boundary_number(after, interval_ms, zone), interval_ms, zone) == after
    assert boundary_number(after, interval_ms, zone) > boundary_number(at_ms, interval_ms, zone)


@given(instants, st.sampled_from([(HOUR_MS, DAY_MS), (DAY_MS, WEEK_MS), (6 * HOUR_MS, 30 * DAY_MS)]), zones)
def test_boundaries_of_a_multiple_are_among_those_of_the_part(at_ms: int, pair: tuple[int, int], zone: str) -> None:
    part_ms, whole_ms = pair
    assert is_boundary(following_boundary(at_ms, whole_ms, zone), part_ms, zone)


@given(instants, intervals)
def test_boundaries_of_utc_are_multiples_since_the_epoch(at_ms: int, interval_ms: int) -> None:
    number = at_ms // interval_ms
    assert last_boundary(at_ms, interval_ms) == number * interval_ms
    assert following_boundary(at_ms, interval_ms) == (number + 1) * interval_ms
    assert boundary_number(at_ms, interval_ms) == number
    assert boundaries(at_ms, at_ms + 3 * interval_ms, interval_ms).tolist() == [
        (number + step) * interval_ms for step in (1, 2, 3)
    ]


@pytest.mark.parametrize("zone", ZONES)
def test_years_of_daily_boundaries_leave_no_day_out(zone: str) -> None:
    found = boundaries(at("UTC", 2009, 1, 1), at("UTC", 2014, 1, 1), DAY_MS, zone)
    steps = np.diff(local_days(found, zone)).tolist()
    assert set(steps) <= ({1, 2} if zone == "Pacific/Apia" else {1})
    assert steps.count(2) == (zone == "Pacific/Apia")
