"""What follows from forms alone holds for every customer that can be drawn, judged by a plain evaluation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from stream_app.segmentations.rules.comparing import COMPARATORS
from stream_app.segmentations.rules.conditions import Condition
from stream_app.segmentations.rules.implying import Implications
from stream_app.segmentations.rules.ranges import Range
from tests.segmentations.test_fuzzing import CONDITIONS

ADAPTER: TypeAdapter[Any] = TypeAdapter(Condition)
DAY = 1
"""Ages are days, and so are the durations that are drawn."""

EVENTS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["x", "y", "xy"]),
        "age": st.sampled_from([0, 1, 2, 7, 10, 13, 14, 20, 29, 30, 60, 89, 90, 200]),
        "channel": st.sampled_from([None, "a", "b", 1.0, True]),
        "value": st.sampled_from([None, 0.0, 1.0, 1.5, 2.0, 5.0, "a"]),
        "properties.a": st.sampled_from([None, "", "a", 1.0, 3.0]),
    }
)
CUSTOMERS = st.fixed_dictionaries(
    {
        "events": st.lists(EVENTS, max_size=5),
        "trait": st.sampled_from([None, "", "a", "b", 1.0, True]),
        "trait_age": st.sampled_from([0, 5, 10, 40, 100]),
        "figures": st.dictionaries(
            st.sampled_from(["purchases", "refunds", "recency_days", "revenue", "orders_decayed", "engaged_days"]),
            st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0]),
        ),
        "share": st.sampled_from([0.0, 0.5, 1.0, 20.0, 50.0, 99.0]),
    }
)


def compare(value: Any, test: dict[str, Any]) -> bool:
    return all(COMPARATORS[name](value, test[name]) for name in COMPARATORS if name in test)  # type: ignore[index]


def same(one: Any, other: Any) -> bool:
    def kind(value: Any) -> type:
        return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)

    return kind(one) is kind(other) and bool(one == other)


def passes(value: Any, test: dict[str, Any]) -> bool:
    """Evaluate the tests of a value that are drawn."""
    if "equals" in test:
        return value is not None and same(value, test["equals"])
    if "in" in test:
        return value is not None and any(same(value, each) for each in test["in"])
    if "exists" in test:
        return bool(test["exists"]) == (value is not None and value != "")
    if "in_last" in test:
        return False  # none of the values is a date
    numbers = {name: test[name] for name in COMPARATORS if name in test}
    return isinstance(value, float) and not isinstance(value, bool) and compare(value, numbers)


def days(duration: str) -> int:
    return int(duration[:-1]) * (7 if duration[-1] == "w" else 1)


def matching(when: dict[str, Any], kind: str, customer: dict[str, Any]) -> list[dict[str, Any]]:
    def fits(event: dict[str, Any]) -> bool:
        typed = event["type"].startswith(kind[:-1]) if kind.endswith("*") else event["type"] == kind
        return typed and all(passes(event[test["field"]], test) for test in when.get("where", ()))

    return [event for event in customer["events"] if fits(event)]


def holds(when: dict[str, Any], customer: dict[str, Any]) -> bool:
    """Evaluate a condition of those that are drawn, plainly."""
    if "all" in when:
        return all(holds(part, customer) for part in when["all"])
    if "any" in when:
        return any(holds(part, customer) for part in when["any"])
    if "not" in when:
        return not holds(when["not"], customer)
    if "score" in when:
        return sum(each["points"] for each in when["score"] if holds(each["when"], customer)) >= when["at_least"]
    if "figure" in when:
        counted = when["figure"] in ("purchases", "refunds", "engagements", "engaged_days", "active_days")
        value = customer["figures"].get(when["figure"], 0.0 if counted else None)
        return value is not None and compare(value, when)
    if "event" in when:
        newest, oldest = (0, days(when["last"])) if "last" in when else map(days, when["between_ago"])
        count = sum(newest <= event["age"] < oldest for event in matching(when, when["event"], customer))
        return compare(count, when) if any(name in when for name in COMPARATORS) else count >= 1
    ages = [event["age"] for event in matching(when, "x", customer)]
    if "first_event" in when:
        return bool(ages) and max(ages) < days(when["last"])
    if "restarted" in when:
        last, pause = days(when["last"]), days(when["pause"])
        paused = not any(last <= age < last + pause for age in ages)
        return paused and any(age < last for age in ages) and any(age >= last + pause for age in ages)
    if "since_last" in when:
        return bool(ages) and min(ages) >= days(when["at_least"])
    if "random" in when:
        return customer["share"] < when["random"]["to_percent"]
    return passes(customer["trait"], when)


@given(CONDITIONS, CONDITIONS, st.lists(CUSTOMERS, min_size=1, max_size=12))
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None, max_examples=200)
def test_what_follows_holds_for_every_customer(one: Any, other: Any, customers: list[dict[str, Any]]) -> None:
    try:
        first, second = ADAPTER.validate_python(one), ADAPTER.validate_python(other)
    except ValueError:
        assume(False)
    answers = Implications()
    for customer in customers:
        is_first, is_second = holds(one, customer), holds(other, customer)
        assert not (answers.never(first) and is_first)
        assert not (answers.always(first) and not is_first)
        assert not (answers.implies(first, second) and is_first and not is_second)
        assert not (answers.excludes(first, second) and is_first and is_second)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"event": "x", "last": "7d"}, {"event": "x", "last": "30d"}),
        ({"event": "x", "last": "7d", "at_least": 3}, {"event": "x", "last": "30d", "at_least": 2}),
        ({"event": "x", "last": "30d", "at_most": 1}, {"event": "x", "last": "7d", "less_than": 2}),
        ({"not": {"event": "x", "last": "30d"}}, {"event": "x", "last": "7d", "equals": 0}),
        ({"first_event": "x", "last": "7d"}, {"event": "*", "last": "7d"}),
        ({"last_event": "x", "has": [{"field": "channel", "exists": True}]}, {"event": "x"}),
        ({"event": "x", "where": [{"field": "channel", "equals": "a"}]}, {"event": "x"}),
        ({"event": "x", "calendar": {"days": 3, "today": False}}, {"event": "x", "calendar": {"days": 4}}),
        ({"figure": "purchases", "equals": 3}, {"figure": "purchases", "more_than": 2}),
        ({"trait": "a", "equals": "x"}, {"trait": "a", "in": ["x", "y"]}),
        ({"trait": "a", "equals": "x"}, {"trait": "a", "begins_with": "x"}),
        ({"trait": "a", "equals": "x"}, {"trait": "a", "exists": True}),
        ({"trait": "a", "in_last": "7d"}, {"trait": "a", "in_last": "30d"}),
        ({"segmentation": "s", "segment": "a"}, {"segmentation": "s", "segment": ["a", "b"]}),
        ({"segmentation": "s", "for_at_least": "7d"}, {"segmentation": "s"}),
        ({"random": {"salt": "s", "to_percent": 10}}, {"random": {"salt": "s", "to_percent": 20}}),
        (
            {"event": "x", "from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"},
            {"event": "x", "from": "2025-01-01T00:00:00Z"},
        ),
        ({"event": "x", "to": "2026-01-01T00:00:00Z"}, {"event": "x", "to": "2026-02-01T00:00:00Z"}),
        ({"event": "x", "calendar": {"days": 3}}, {"event": "x", "calendar": {"days": 4}}),
        ({"event": "x", "sum": "value", "at_least": 5}, {"event": "x", "sum": "value", "at_least": 3}),
        ({"trait": "a", "at_least": 3}, {"trait": "a", "exists": True}),
        ({"trait": "a", "equals": 3}, {"trait": "a", "at_least": 2}),
        ({"trait": "a", "equals": "z"}, {"trait": "a", "not_in": ["x", "y"]}),
        ({"trait": "a", "equals": "z"}, {"trait": "a", "not_equals": "x"}),
        ({"all": [{"list": "a"}, {"list": "b"}]}, {"any": [{"list": "b"}, {"list": "c"}]}),
    ],
)
def test_narrower_conditions_are_recognised(one: Any, other: Any) -> None:
    answers = Implications()
    narrow, wide = ADAPTER.validate_python(one), ADAPTER.validate_python(other)
    assert answers.implies(narrow, wide)
    assert not answers.implies(wide, narrow)
    assert answers.excludes(narrow, ADAPTER.validate_python({"not": other}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"event": "x", "from": "2026-01-01T00:00:00Z"}, {"event": "x", "to": "2026-01-01T00:00:00Z"}),
        ({"trait": "a", "equals": "x"}, {"trait": "a", "equals": "x", "held_for": {"at_least": "1d"}}),
        ({"segmentation": "s", "segment": "a"}, {"segmentation": "t", "segment": "b"}),
        ({"segmentation": "s", "segment": "a"}, {"segmentation": "s"}),
    ],
)
def test_conditions_that_need_not_have_to_do_with_each_other_are_left_alone(one: Any, other: Any) -> None:
    answers = Implications()
    first, second = ADAPTER.validate_python(one), ADAPTER.validate_python(other)
    assert not answers.implies(first, second)
    assert not answers.excludes(first, second)


def test_nobody_is_in_two_segments_of_one_segmentation() -> None:
    one, other = (ADAPTER.validate_python({"segmentation": "s", "segment": segment}) for segment in "ab")
    assert Implications().excludes(one, other)


def test_nobody_is_in_two_shares_of_one_salt_that_do_not_meet() -> None:
    first, next_to, across = (
        ADAPTER.validate_python({"random": {"salt": "s", "from_percent": low, "to_percent": low + 10}})
        for low in (0, 10, 5)
    )
    answers = Implications()
    assert answers.excludes(first, next_to)
    assert answers.excludes(next_to, first)
    assert not answers.excludes(first, across)


def test_range_without_numbers_is_in_every_other() -> None:
    assert Range(5.0, 6.0).covers(Range(3.0, 2.0))
