"""Brute rules: what the shared scenarios expect, and borders that they do not reach."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.audit.brute_moves import Move, moves
from stream_app.audit.brute_rules import Customer, Definitions
from stream_app.audit.brute_time import day_start_ms, duration_ms, instant_ms, local_day
from stream_app.audit.brute_values import EITHER, NO, YES, Act, Observation

DAY_MS = 86_400_000
T = 1_767_607_200_000
"""2026-01-05 10:00 UTC."""


def visits(*days: float, **fields: Any) -> list[Act]:
    return [Act(T + round(day * DAY_MS), "visit", fields) for day in days]


def holds(condition: dict[str, Any], days: float, *acts: Act, traits: Any = (), **of: Any) -> frozenset[bool]:
    observed = [Observation(T + round(day * DAY_MS), values) for day, values in traits]
    customer = Customer("c", acts, observed, **of)
    return Definitions({}).outcomes(condition, customer, T + round(days * DAY_MS))


def audience(when: dict[str, Any], **others: dict[str, Any]) -> Definitions:
    named = {"a": when, **others}
    return Definitions({name: {"kind": "audience", "name": name, "when": each} for name, each in named.items()})


def test_a_window_is_left_at_exactly_its_end() -> None:
    found = moves(audience({"event": "visit", "last": "7d"}), Customer("c", visits(0)), 0, T + 30 * DAY_MS)
    assert found == [Move(T, "a", "a"), Move(T + 7 * DAY_MS, "a", None)]


def test_a_known_customer_with_nothing_in_the_window_has_a_count_of_zero() -> None:
    condition = {"event": "visit", "last": "7d", "at_most": 0}
    assert holds(condition, 7 - 1e-6, *visits(0)) == NO
    assert holds(condition, 7, *visits(0)) == YES


@pytest.mark.parametrize(("of", "expected"), [("sum", YES), ("min", NO), ("max", NO), ("average", NO)])
def test_only_the_sum_of_nothing_is_a_number(of: str, expected: frozenset[bool]) -> None:
    assert holds({"event": "visit", of: "value", "at_most": 5}, 1, *visits(0, value="5")) == expected


@pytest.mark.parametrize(
    ("test", "value", "expected"),
    [
        ({"at_least": 0}, "120", NO),
        ({"equals": 1}, True, NO),
        ({"not_equals": "x"}, None, YES),
        ({"not_in": ["x"]}, None, YES),
        ({"exists": True}, "", NO),
        ({"exists": False}, "", YES),
        ({"contains": "a"}, "a", NO),
        ({"contains": "a"}, ["b", "a"], YES),
        ({"begins_with": "ab"}, "abc", YES),
        ({"before": "2026-01-01T00:00:00Z"}, "soon", NO),
        ({"after": "2026-01-01"}, "2026-01-01", YES),
        ({"in_next": "14d"}, "2026-01-19T10:00:00Z", YES),
        ({"in_next": "14d"}, "2026-01-05T10:00:00Z", NO),
        ({"in_last": "14d"}, "2026-01-05T10:00:00Z", YES),
        ({"anniversary": {"in_next": "7d", "timezone": "UTC"}}, "1990-01-12", NO),
        ({"anniversary": {"in_next": "7d", "timezone": "UTC"}}, "1990-01-11", YES),
        ({"anniversary": {"in_next": "7d", "timezone": "UTC"}}, "1990-01-05T23:59:00-05:00", YES),
        ({"anniversary": {"in_next": "7d", "timezone": "UTC"}}, "1990-01-04", NO),
        ({"anniversary": {"in_month": True}}, "1990-01-31", YES),
    ],
)
def test_values_pass_as_documented(test: dict[str, Any], value: Any, expected: frozenset[bool]) -> None:
    assert holds({"trait": "t", **test}, 0, traits=[(0, {"t": value})]) == expected


def test_a_leap_day_is_kept_on_the_first_of_march() -> None:
    definitions = audience({"trait": "born", "anniversary": {"in_next": "1d", "timezone": "UTC"}})
    customer = Customer("c", (), [Observation(T, {"born": "2024-02-29"})])
    found = moves(definitions, customer, 0, instant_ms("2026-12-31") or 0)
    assert [move.at_ms for move in found] == [instant_ms("2026-03-01"), instant_ms("2026-03-02")]


def test_a_repetition_does_not_set_back_how_long_a_value_is_held() -> None:
    traits = [(0, {"s": "trial"}), (3, {"s": "trial"}), (4, {"other": 1})]
    condition = {"trait": "s", "equals": "trial", "held_for": {"at_least": "7d"}}
    assert holds(condition, 7, traits=traits) == YES
    assert holds(condition, 6.999, traits=traits) == NO


def test_since_when_a_value_is_held_is_not_certain_beyond_what_is_kept() -> None:
    traits = [(day, {"s": "trial"}) for day in range(9)]
    condition = {"trait": "s", "equals": "trial", "held_for": {"at_least": "9d"}}
    assert holds(condition, 9, traits=traits) == EITHER
    assert holds(condition, 10, traits=traits) == YES


def test_of_observations_of_one_instant_the_greater_value_counts_in_any_order() -> None:
    for values in (("a", "b"), ("b", "a")):
        assert holds({"trait": "t", "equals": "b"}, 0, traits=[(0, {"t": value}) for value in values]) == YES


def test_first_restarted_and_regular_visits() -> None:
    assert holds({"first_event": "visit", "last": "7d"}, 8, *visits(2, 3)) == YES
    assert holds({"first_event": "visit", "last": "7d"}, 9, *visits(2, 3)) == NO
    restarted = {"restarted": "visit", "last": "7d", "pause": "30d"}
    assert holds(restarted, 40, *visits(0, 38)) == YES
    assert holds(restarted, 40, *visits(4, 38)) == NO
    assert holds(restarted, 40, *visits(38)) == NO
    regularly = {"regularly": "visit", "times": 2, "each": "7d", "in_at_least": 2, "of_last": 3}
    assert holds(regularly, 21, *visits(1, 2, 15, 16)) == YES
    assert holds(regularly, 22, *visits(1, 2, 15, 16)) == NO


def test_the_last_event_of_one_instant_has_what_one_of_them_has() -> None:
    acts = [*visits(0, channel="web"), *visits(1, channel="shop"), *visits(1, channel="web")]
    condition = {"last_event": "visit", "has": [{"field": "channel", "equals": "web"}]}
    assert holds(condition, 2, *acts) == holds(condition, 2, *reversed(acts)) == YES


def test_who_never_visited_has_no_last_visit() -> None:
    assert holds({"since_last": "visit", "at_least": "0s"}, 0, traits=[(0, {"t": 1})]) == NO
    assert holds({"since_last": "visit", "at_least": "14d"}, 14, *visits(0)) == YES


def test_calendar_days_end_at_local_midnights() -> None:
    calendar = {"days": 2, "timezone": "Europe/Rome"}
    definitions = audience({"event": "visit", "calendar": calendar})
    found = moves(definitions, Customer("c", visits(0)), 0, T + 9 * DAY_MS)
    assert [move.at_ms for move in found] == [T, instant_ms("2026-01-06T23:00:00Z")]
    definitions = audience({"event": "visit", "calendar": {**calendar, "today": False}})
    found = moves(definitions, Customer("c", visits(0)), 0, T + 9 * DAY_MS)
    assert [move.at_ms for move in found] == [
        instant_ms("2026-01-05T23:00:00Z"), instant_ms("2026-01-07T23:00:00Z"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("date", "zone", "start"),
    [
        ("2017-10-15", "America/Sao_Paulo", "2017-10-15T03:00:00Z"),  # midnight is skipped
        ("2011-12-30", "Pacific/Apia", "2011-12-30T10:00:00Z"),  # the date is left out
        ("2011-12-31", "Pacific/Apia", "2011-12-30T10:00:00Z"),
        ("2018-11-04", "America/Havana", "2018-11-04T04:00:00Z"),  # there are two midnights
        ("2026-01-05", "Asia/Kathmandu", "2026-01-04T18:15:00Z"),
    ],
)
def test_a_local_day_begins_when_its_date_is_first_shown(date: str, zone: str, start: str) -> None:
    day = (instant_ms(date) or 0) // DAY_MS
    assert day_start_ms(day, zone) == instant_ms(start)
    assert local_day((instant_ms(start) or 0) - 1, zone) < day <= local_day(instant_ms(start) or 0, zone)


def test_a_decayed_sum_passes_its_border_at_the_millisecond() -> None:
    condition = {"event": "visit", "decayed_sum": "count", "half_life": "10d", "less_than": 0.5}
    found = moves(audience(condition), Customer("c", visits(0)), 0, T + 30 * DAY_MS)
    assert len(found) == 1
    assert abs(found[0].at_ms - (T + 10 * DAY_MS)) <= 2


def test_layers_move_at_one_instant_and_know_for_how_long() -> None:
    definitions = audience(
        {"segmentation": "b", "for_at_least": "2d"},
        b={"event": "visit", "last": "7d"},
        c={"not": {"segmentation": "b"}},
    )
    found = moves(definitions, Customer("c", visits(0)), 0, T + 30 * DAY_MS)
    assert found == [
        Move(T, "b", "b"), Move(T + 2 * DAY_MS, "a", "a"),
        Move(T + 7 * DAY_MS, "a", None), Move(T + 7 * DAY_MS, "b", None), Move(T + 7 * DAY_MS, "c", "c"),
    ]  # fmt: skip


def test_what_comes_late_counts_from_when_it_is_known() -> None:
    late = Act(T + 2 * DAY_MS, "visit", {}, T + 5 * DAY_MS + 1)
    customer = Customer("c", [*visits(5), late])
    condition = {"event": "visit", "last": "7d", "at_least": 2}
    found = moves(audience(condition), customer, 0, T + 30 * DAY_MS)
    assert found == [Move(T + 5 * DAY_MS + 1, "a", "a"), Move(T + 9 * DAY_MS, "a", None)]


def test_the_first_segment_that_holds_is_where_a_customer_is() -> None:
    rules = {
        "kind": "rules",
        "segments": [
            {"id": "fresh", "when": {"event": "visit", "last": "1d"}},
            {"id": "known", "when": {"event": "visit", "last": "3d"}},
        ],
        "otherwise": {"id": "gone"},
    }
    found = moves(Definitions({"r": rules}), Customer("c", visits(0)), 0, T + 30 * DAY_MS)
    assert [(move.at_ms - T, move.segment) for move in found] == [
        (0, "fresh"), (DAY_MS, "known"), (3 * DAY_MS, "gone"),
    ]  # fmt: skip


def test_a_score_adds_the_points_of_what_holds() -> None:
    parts = [{"when": {"event": "visit", "last": f"{days}d"}, "points": points} for days, points in ((1, 5), (3, 2))]
    assert holds({"score": parts, "at_least": 7}, 0, *visits(0)) == YES
    assert holds({"score": parts, "at_least": 3}, 2, *visits(0)) == NO


def test_a_figure_on_its_border_may_fall_to_either_side() -> None:
    near = {"figure": lambda _name, _now_ms: (5.0, 1e-6)}
    assert holds({"figure": "revenue", "at_least": 5.0}, 0, **near) == EITHER
    assert holds({"figure": "revenue", "at_least": 5.1}, 0, **near) == NO


def test_durations_are_whole_numbers_with_a_unit() -> None:
    assert [duration_ms(text) for text in ("30s", "5m", "4h", "7d", "2w")] == [
        30_000, 300_000, 14_400_000, 604_800_000, 1_209_600_000,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="1 d"):
        duration_ms("1 d")
