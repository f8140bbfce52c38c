"""Local days where clocks change: against the brute force, and by dates that were looked up."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.contracts.fields import parse_instant
from tests.scenarios.differential import compare
from tests.scenarios.embedded import Embedded
from tests.scenarios.inputs import engagement
from tests.scenarios.worlds import draw_world

CHANGES = {
    "America/New_York": ("2026-03-05", "2026-10-28"),
    "Europe/Rome": ("2026-03-25", "2026-10-22"),
    "America/Havana": ("2026-03-05", "2026-10-28"),
    "Australia/Lord_Howe": ("2026-04-02", "2026-09-30"),
    "Asia/Kathmandu": ("2026-03-05", "1985-12-27"),
    "America/Sao_Paulo": ("2017-10-10", "2018-02-13"),
    "Pacific/Apia": ("2011-12-25", "2012-03-28"),
}
"""Days shortly before clocks change; Kathmandu's went forward once, by a quarter of an hour."""
LEAVES = ("calendar", "calendar", "calendar", "extreme", "anniversary", "last")


@pytest.mark.parametrize("zone", CHANGES)
@pytest.mark.parametrize("number", range(12))
def test_local_days_are_those_of_the_brute_force_around_changes(zone: str, number: int) -> None:
    starts_ms = [parse_instant(f"{day}T00:00:00Z") for day in CHANGES[zone]]
    comparison = compare(draw_world(number, LEAVES, starts_ms, [zone]))
    assert comparison.is_equal, comparison


@pytest.mark.parametrize(
    ("zone", "happened", "days", "left"),
    [
        ("America/Sao_Paulo", "2017-10-14T12:00:00Z", 1, "2017-10-15T03:00:00Z"),
        ("America/Sao_Paulo", "2017-10-15T03:00:00Z", 1, "2017-10-16T02:00:00Z"),
        ("Pacific/Apia", "2011-12-30T09:59:59Z", 1, "2011-12-30T10:00:00Z"),
        ("Pacific/Apia", "2011-12-30T09:59:59Z", 2, "2011-12-30T10:00:00Z"),
        ("Pacific/Apia", "2011-12-30T09:59:59Z", 3, "2011-12-31T10:00:00Z"),
        ("America/Havana", "2018-11-03T12:00:00Z", 1, "2018-11-04T04:00:00Z"),
        ("America/Havana", "2018-11-04T04:30:00Z", 1, "2018-11-05T05:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T13:00:00Z", 1, "2026-04-05T13:30:00Z"),
        ("Europe/Rome", "2026-10-24T22:00:00Z", 1, "2026-10-25T23:00:00Z"),
        ("Asia/Kathmandu", "2026-03-05T18:15:00Z", 1, "2026-03-06T18:15:00Z"),
    ],
)
def test_a_date_ends_at_the_first_instant_of_the_next_one(zone: str, happened: str, days: int, left: str) -> None:
    calendar: dict[str, Any] = {"days": days, "timezone": zone}
    entry = {"kind": "audience", "name": "lately", "when": {"event": "visit", "calendar": calendar}}
    embedded = Embedded([entry], {})
    embedded.feed([engagement("c1", parse_instant(happened), "e1", "visit")])
    embedded.sweep(parse_instant("2027-01-01T00:00:00Z"))
    assert [move.at_ms for move in embedded.told_by_rules()] == [parse_instant(happened), parse_instant(left)]
