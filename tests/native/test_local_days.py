"""Active and engaged days are those of the shop's time zone: with daylight saving, and whatever comes first."""

from __future__ import annotations

import ctypes
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS, HOUR_MS, MINUTE_MS
from stream_app.core.customers import CustomerTable
from stream_app.core.events import ENGAGEMENT, PURCHASE, Event
from stream_app.core.local_days import day_start_ms, local_day, zone_runs
from stream_app.native.library import OUT_OF_RANGE, address, function
from tests.native.equality import first_difference
from tests.native.histories import as_records, fold, mixed_events
from tests.reference.days import shown_day
from tests.support.events import histories, visits
from tests.support.tables import row_of

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",  # half an hour
    "Australia/Lord_Howe",  # half an hour of daylight saving
    "Pacific/Apia",  # without 30 December 2011
    "America/St_Johns",  # clocks went back over midnight until 2011
    "Africa/Casablanca",  # four changes a year
    "America/Sao_Paulo",  # no midnight on some days
)
_EPOCH = date(1970, 1, 1)
_day = function("seg_table_day", ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)
_count_days = function("seg_table_count_days", ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)


def at(zone: str, *parts: int) -> int:
    """Return the instant at which the clocks of a zone show a time."""
    return round(datetime(*parts, tzinfo=ZoneInfo(zone)).timestamp() * 1_000)  # type: ignore[arg-type,misc]


def shown_date(at_ms: int, zone: str) -> int:
    """Return the date that clocks show, in days since 1970-01-01."""
    shown = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).astimezone(ZoneInfo(zone))
    return (shown.date() - _EPOCH).days


def visited(zone: str, *instants_ms: int) -> CustomerTable:
    """Return a table whose one customer was there at some instants."""
    table = CustomerTable(timezone=zone)
    number = table.insert("c")
    events = [Event(ENGAGEMENT, "c", f"e{n}", at_ms, "visit") for n, at_ms in enumerate(instants_ms)]
    fold(table, np.full(len(events), number), as_records(events))
    return table


def active_days(zone: str, *instants_ms: int) -> int:
    """Return on how many days such a customer was active."""
    return row_of(visited(zone, *instants_ms), 0).active_day_bits.bit_count()


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", (2024, 3, 31), 23),
        ("Europe/Berlin", (2024, 10, 27), 25),
        ("America/New_York", (2024, 3, 10), 23),
        ("America/New_York", (2024, 11, 3), 25),
        ("Australia/Lord_Howe", (2024, 10, 6), 23.5),
        ("Australia/Lord_Howe", (2024, 4, 7), 24.5),
        ("Asia/Kolkata", (2024, 3, 31), 24),
    ],
)
def test_day_of_any_length_is_one_day(zone: str, day: tuple[int, int, int], hours: float) -> None:
    first_ms = at(zone, *day)
    last_ms = first_ms + round(hours * HOUR_MS) - 1
    assert active_days(zone, first_ms, (first_ms + last_ms) // 2, last_ms) == 1
    assert active_days(zone, first_ms - 1, first_ms) == 2
    assert active_days(zone, last_ms, last_ms + 1) == 2
    days = (row_of(visited(zone, first_ms, last_ms + 1 + n * DAY_MS), 0).active_day_bits for n in range(3))
    assert [bits.bit_length() for bits in days] == [2, 3, 4]


def test_same_events_are_on_other_days_elsewhere() -> None:
    evening_ms, later_ms = at("UTC", 2024, 6, 1, 21), at("UTC", 2024, 6, 1, 23)  # 23:00 and 1:00 in Berlin
    assert active_days("UTC", evening_ms, later_ms) == 1
    assert active_days("Europe/Berlin", evening_ms, later_ms) == 2
    assert active_days("America/New_York", evening_ms, later_ms + 3 * HOUR_MS) == 1


@pytest.mark.parametrize("zone", ZONES)
def test_day_is_the_date_that_clocks_show_but_none_that_has_been_over(zone: str) -> None:
    table, latest = CustomerTable(timezone=zone), -(2**62)
    changes = [day_start_ms(day, zone) for day, _ in zone_runs(zone) if day]
    near = [minutes * MINUTE_MS + ms for minutes in range(-1_560, 1_561, 30) for ms in (-1, 0)]
    for at_ms in sorted({change + away for change in changes for away in near}):
        latest = max(latest, shown_date(at_ms, zone))
        assert local_day(at_ms, zone) == latest, at_ms
        assert _day(table.handle, at_ms) == latest, at_ms


@pytest.mark.parametrize("zone", ["UTC", *ZONES])
@given(st.integers(-(2**62), 2**62) | st.integers(0, 4_300_000_000_000))
@settings(max_examples=200, deadline=None)
def test_days_of_the_library_are_the_references(zone: str, at_ms: int) -> None:
    assert _day(_tables()[zone].handle, at_ms) == shown_day(at_ms, zone) == local_day(at_ms, zone)


@pytest.mark.parametrize("at_ms", [-(2**63), 2**63 - 1])
def test_instants_at_the_ends_of_the_range_have_a_day(at_ms: int) -> None:
    assert abs(_day(_tables()["Europe/Berlin"].handle, at_ms) - at_ms // DAY_MS) <= 1


@pytest.mark.parametrize("zone", ZONES)
def test_row_is_the_references_after_each_event(zone: str) -> None:
    assert first_difference(mixed_events(4, 3_000), CustomerTable(timezone=zone), {}) is None


@given(histories(max_size=40, order_count=30) | visits(), st.sampled_from(ZONES))
@settings(max_examples=150, deadline=None)
def test_row_is_the_references_after_each_event_of_any_customer(events: list[Event], zone: str) -> None:
    assert first_difference(events, CustomerTable(timezone=zone), {}) is None


@given(st.data(), st.sampled_from(ZONES))
@settings(max_examples=150, deadline=None)
def test_order_of_arrival_does_not_matter_where_clocks_change(data: st.DataObject, zone: str) -> None:
    change_ms = day_start_ms(data.draw(st.sampled_from(zone_runs(zone)[1:] or zone_runs(zone)))[0], zone)
    steps = st.lists(st.integers(-200, 200), min_size=2, max_size=20)
    instants_ms = [change_ms + step * 30 * MINUTE_MS for step in data.draw(steps)]
    kinds = [data.draw(st.sampled_from((ENGAGEMENT, PURCHASE))) for _ in instants_ms]
    events = [
        Event(kind, "c", f"e{n}", at_ms, "t", 100, f"o{n}" if kind == PURCHASE else "")
        for n, (kind, at_ms) in enumerate(zip(kinds, instants_ms, strict=True))
    ]
    bits = []
    for order in (sorted(events, key=lambda event: event.at_ms), data.draw(st.permutations(events))):
        table = CustomerTable(timezone=zone)
        fold(table, np.full(len(order), table.insert("c")), as_records(order))
        row = row_of(table, 0)
        bits.append((row.active_day_bits, row.engaged_day_bits, row.gaps))
    days = {shown_day(at_ms, zone) for at_ms in instants_ms}
    assert bits[0] == bits[1]
    assert bits[0][0] == sum(1 << (max(days) - day) for day in days)


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [(0, 172_801)],
        [(0, -172_801)],
        [(5, 0), (5, 3_600)],
        [(5, 0), (4, 3_600)],
        [(0, 0), (1, 86_400)],  # the second one would begin where the first one does
        [(day, 0) for day in range(4_097)],
    ],
)
def test_what_is_no_zone_is_refused(runs: list[tuple[int, int]]) -> None:
    table, made = CustomerTable(timezone="Europe/Berlin"), np.array(runs, np.int32).reshape(-1, 2)
    at_ms = at("Europe/Berlin", 2024, 6, 1)
    assert _count_days(table.handle, address(made), len(made)) == OUT_OF_RANGE
    assert _day(table.handle, at_ms) == shown_date(at_ms, "Europe/Berlin")


def test_table_with_customers_keeps_its_zone() -> None:
    table, made = visited("Europe/Berlin", 0), np.array(zone_runs("Asia/Kolkata"), np.int32)
    assert _count_days(table.handle, address(made), len(made)) == OUT_OF_RANGE


def _tables(known: dict[str, CustomerTable] = {}) -> dict[str, CustomerTable]:  # noqa: B006  (made once)
    if not known:
        known.update({zone: CustomerTable(timezone=zone) for zone in ("UTC", *ZONES)})
    return known
