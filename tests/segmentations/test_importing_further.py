"""Definitions of other systems, brought over: the rarer forms, and what is wrong in them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from stream_app.segmentations.importing import import_document
from tests.segmentations.test_importing import (
    DAYS_30,
    PERSON,
    asked,
    behaviour,
    dated,
    dittofeed,
    klaviyo,
    metric,
    node,
    posthog,
    trait,
)

FIRST = "2026-01-01T00:00:00Z"
LATER = "2026-02-01T00:00:00Z"
STEPS = [{"metric_id": "a"}, {"metric_id": "b"}]
GROUP = {"type": "profile-group-membership", "is_member": True, "group_ids": ["L1"]}


def listed(operator: str, *values: str) -> dict[str, Any]:
    return trait(type="list", operator=operator, value=list(values))


def holds(*values: str) -> list[dict[str, Any]]:
    return [{"trait": "plan", "contains": value} for value in values]


def funnel(*steps: dict[str, Any], window: str = "DAYS_3") -> dict[str, Any]:
    return {
        "type": "profile-metric-funnel",
        "completion_window_seconds": window,
        "steps": list(steps),
        **dated("in-the-last", quantity=7, unit="day"),
    }


def predicted(operator: str, value: float) -> dict[str, Any]:
    test = {"type": "numeric", "operator": operator, "value": value}
    return {"type": "profile-predictive-analytics", "dimension": "churn_probability", "filter": test}


def of_events(prop: str, **test: Any) -> dict[str, Any]:
    return metric(metric_filters=[{"property": prop, "filter": test}])


KLAVIYO = [
    (metric(**dated("alltime")), {"event": "order_completed", "at_least": 2}),
    (metric(**dated("after", date=FIRST)), {"event": "order_completed", "from": FIRST, "at_least": 2}),
    (metric(**dated("before", date=FIRST)), {"event": "order_completed", "to": FIRST, "at_least": 2}),
    (
        metric(**dated("between", start=0, end=9, unit="day")),
        {"event": "order_completed", "between_ago": ["0d", "9d"], "at_least": 2},
    ),
    (trait(type="date", operator="in-the-last", quantity=7, unit="days"), {"trait": "plan", "in_last": "7d"}),
    (trait(type="date", operator="in-the-next", quantity=7, unit="day"), {"trait": "plan", "in_next": "7d"}),
    (
        trait(type="date", operator="between", start=9, end=3, unit="day"),
        {"all": [{"trait": "plan", "in_last": "9d"}, {"not": {"trait": "plan", "in_last": "3d"}}]},
    ),
    (trait(type="date", operator="between", start=0, end=3, unit="day"), {"trait": "plan", "in_last": "3d"}),
    (trait(type="date", operator="after", date="2026-01-01"), {"trait": "plan", "after": FIRST}),
    (trait(type="date", operator="before", date="2026-01-01T00:00:00"), {"trait": "plan", "before": FIRST}),
    (
        trait(type="date", operator="between-static", start=FIRST, end=LATER),
        {"all": [{"trait": "plan", "after": FIRST}, {"trait": "plan", "before": LATER}]},
    ),
    (trait(type="date", operator="anniversary"), {"trait": "plan", "anniversary": {"in_next": "1d"}}),
    (trait(type="date", operator="anniversary-month"), {"trait": "plan", "anniversary": {"in_month": True}}),
    (trait(type="boolean", operator="equals", value=True), {"trait": "plan", "equals": True}),
    (trait(type="string", operator="starts-with", value="p"), {"trait": "plan", "begins_with": "p"}),
    (trait(type="string", operator="not-starts-with", value="p"), {"not": {"trait": "plan", "begins_with": "p"}}),
    (trait(type="list", operator="contains", value="x"), {"trait": "plan", "contains": "x"}),
    (listed("contains-all", "x", "y"), {"all": holds("x", "y")}),
    (listed("contains-any", "x", "y"), {"any": holds("x", "y")}),
    (listed("contains-any", "x"), {"trait": "plan", "contains": "x"}),
    (listed("not-contains-all", "x", "y"), {"not": {"all": holds("x", "y")}}),
    (listed("not-contains-any", "x", "y"), {"not": {"any": holds("x", "y")}}),
    (
        {"type": "profile-property", "property": "plan", "filter": {"type": "existence", "operator": "is-set"}},
        {"trait": "plan", "exists": True},
    ),
    (predicted("greater-than", 0.3), {"figure": "probability_active", "less_than": 0.7}),
    (predicted("equals", 0.3), {"figure": "probability_active", "equals": 0.7}),
    (funnel(*STEPS, window="YEARS_1"), {"sequence": ["a", "b"], "within": "365d", "last": "7d"}),
]
POSTHOG = [
    (
        behaviour("performed_event", explicit_datetime="-30d", explicit_datetime_to="-1w"),
        {"event": "buy", "between_ago": ["1w", "30d"]},
    ),
    (
        behaviour("performed_event", explicit_datetime=FIRST, explicit_datetime_to="2026-02-01"),
        {"event": "buy", "from": FIRST, "to": LATER},
    ),
    (behaviour("performed_event", explicit_datetime=FIRST), {"event": "buy", "from": FIRST}),
    (behaviour("performed_event", explicit_datetime_to=LATER), {"event": "buy", "to": LATER}),
    (behaviour("performed_event_first_time", explicit_datetime="-9d"), {"first_event": "buy", "last": "9d"}),
    (
        behaviour("performed_event_multiple", operator="eq", operator_value=3, time_value="30", time_interval="day"),
        {"event": "buy", "last": "30d", "equals": 3},
    ),
    (
        {**PERSON, "operator": "is_date_after", "value": "-7d"},
        {"any": [{"trait": "plan", "in_last": "7d"}, {"trait": "plan", "in_next": "36525d"}]},
    ),
    (
        {**PERSON, "operator": "is_date_before", "value": "-7d"},
        {"all": [{"trait": "plan", "in_last": "36525d"}, {"not": {"trait": "plan", "in_last": "7d"}}]},
    ),
    ({**PERSON, "value": ["a"]}, {"trait": "plan", "equals": "a"}),
    ({**PERSON, "operator": "is_not", "value": "a"}, {"trait": "plan", "not_equals": "a"}),
]
DITTOFEED = [
    ({"type": "Everyone"}, {"random": {"salt": "everyone", "from_percent": 0, "to_percent": 100}}),
    (
        {
            "type": "LastPerformed",
            "event": "x",
            "hasProperties": [{"path": "a", "operator": {"type": "NotExists"}}],
            "whereProperties": [{"path": "b", "operator": {"type": "LessThan", "value": 3}}],
        },
        {
            "last_event": "x",
            "has": [{"field": "properties.a", "exists": False}],
            "where": [{"field": "properties.b", "less_than": 3}],
        },
    ),
    (asked(type="GreaterThanOrEqual", value=3), {"trait": "plan", "at_least": 3}),
    (node(withinSeconds=7_200.0), {"event": "buy", "last": "2h"}),
]
IMPORTED = [
    *(("klaviyo", klaviyo([condition]), expected) for condition, expected in KLAVIYO),
    *(("posthog", posthog(condition), expected) for condition, expected in POSTHOG),
    *(("dittofeed", dittofeed(condition), expected) for condition, expected in DITTOFEED),
]

_HERE = "attributes.definition.condition_groups[0].conditions[0]"
_VALUE = "filters.properties.values[0]"
_NODE = "definition.entryNode"
_LATE = {"explicit_datetime": "-30dStart"}
_SEQUENCE = {"seq_event": "pay", "event_filters": [{"key": "a", "value": 1}]}
WRONG = [
    (
        "klaviyo",
        metric(measurement_filter={"operator": "about", "value": 2}),
        f"{_HERE}.measurement_filter.operator: 'about', expected equals, not-equals,",
    ),
    ("klaviyo", metric(measurement="mean"), f"{_HERE}.measurement: 'mean', expected count or sum"),
    (
        "klaviyo",
        metric(**dated("anniversary")),
        f"{_HERE}.timeframe_filter.operator: 'anniversary' of events cannot be expressed",
    ),
    ("klaviyo", metric(**dated("in-the-last", quantity=0, unit="day")), f"{_HERE}.timeframe_filter.quantity: 0, exp"),
    (
        "klaviyo",
        metric(**dated("in-the-last", quantity=1, unit="moon")),
        f"{_HERE}.timeframe_filter.quantity: unit 'moon', expected second, minute,",
    ),
    (
        "klaviyo",
        trait(type="date", operator="alltime"),
        f"{_HERE}.filter.operator: 'alltime' of a date cannot be expressed",
    ),
    ("klaviyo", listed("contains-all"), f"{_HERE}.filter.value: an empty list, expected texts"),
    (
        "klaviyo",
        of_events("Tags", type="list", operator="not-contains", value="x"),
        f"{_HERE}.metric_filters[0].filter: a negated or joined test of an event's property cannot be expressed",
    ),
    (
        "klaviyo",
        predicted("greater-than", 0.3) | {"dimension": "next_order"},
        f"{_HERE}.dimension: 'next_order' cannot be expressed: it is predicted by Klaviyo alone",
    ),
    ("klaviyo", funnel(STEPS[0]), f"{_HERE}.steps: 1 steps, expected 2"),
    (
        "klaviyo",
        funnel(STEPS[0], {"metric_id": "b", "metric_exists": False}),
        f"{_HERE}.steps[1]: a step with filters, or that did not happen, cannot be expressed",
    ),
    ("klaviyo", funnel(*STEPS, window="3"), f"{_HERE}: expected in-the-last and a completion window such as DAYS_3"),
    (
        "klaviyo",
        GROUP | dated("in-the-last", quantity=7, unit="day"),
        f"{_HERE}.timeframe_filter: expected at-least: since when the member is one",
    ),
    ("posthog", {"type": "XOR", "values": [PERSON]}, f"{_VALUE}.type: 'XOR', expected AND or OR"),
    (
        "posthog",
        behaviour("performed_event_sequence", **_SEQUENCE),
        f"{_VALUE}.event_filters: a sequence with filters cannot be expressed",
    ),
    ("posthog", behaviour("slept"), f"{_VALUE}.value: 'slept', expected a kind of behaviour that PostHog has"),
    (
        "posthog",
        behaviour("performed_event", explicit_datetime="-30d", explicit_datetime_to=FIRST),
        f"{_VALUE}.explicit_datetime: an age and an instant together cannot be expressed",
    ),
    (
        "posthog",
        behaviour("performed_event", **_LATE),
        f"{_VALUE}.explicit_datetime: '-30dStart', expected no beginning or end of a day",
    ),
    (
        "posthog",
        behaviour("performed_event_first_time", explicit_datetime=FIRST),
        f"{_VALUE}.time_value: nothing, expected a whole number",
    ),
    (
        "posthog",
        behaviour("performed_event_multiple", operator="ne", operator_value=3, **DAYS_30),
        f"{_VALUE}.operator: 'ne', expected gt, gte,",
    ),
    (
        "posthog",
        behaviour("performed_event_regularly", operator="lte"),
        f"{_VALUE}.operator: 'lte', expected gte: this often or more",
    ),
    (
        "posthog",
        behaviour("performed_event", event_filters=[{"type": "element", "key": "a"}]),
        f"{_VALUE}.event_filters[0].type: 'element', expected event",
    ),
    ("posthog", {**PERSON, "operator": "between", "value": 1}, f"{_VALUE}.operator: 'between' cannot be expressed he"),
    ("posthog", {**PERSON, "value": [None]}, f"{_VALUE}.value[0]: nothing, expected a text, a number, true or false"),
    ("posthog", {**PERSON, "value": []}, f"{_VALUE}.value: an empty list, expected a value"),
    ("posthog", {**PERSON, "operator": "gt", "value": "many"}, f"{_VALUE}.value: 'many', expected a number"),
    (
        "dittofeed",
        asked(type="HasBeen", comparator="EQ", value="x", windowSeconds=60),
        f"{_NODE}.operator.comparator: 'EQ', expected GTE or LT",
    ),
    ("dittofeed", node(timesOperator=">"), f"{_NODE}.timesOperator: '>', expected =, >= or <"),
    ("dittofeed", asked(type="Around", value=1), f"{_NODE}.operator.type: 'Around' cannot be expressed here"),
    ("dittofeed", asked(type="Equals", value=None), f"{_NODE}.operator.value: nothing, expected a text or a number"),
    (
        "dittofeed",
        {**asked(type="Exists"), "path": "$.a[0]"},
        f"{_NODE}.path: '$.a[0]', expected the name of a property, with dots for what lies inside",
    ),
    ("dittofeed", node(withinSeconds=0), f"{_NODE}.withinSeconds: 0, expected 1 or more"),
]
MADE = {"klaviyo": lambda condition: klaviyo([condition]), "posthog": posthog, "dittofeed": dittofeed}


@pytest.mark.parametrize(("system", "document", "expected"), IMPORTED)
def test_rarer_form_means_the_same_here(system: str, document: Any, expected: Any) -> None:
    imported = import_document(system, document, {"M1": "order_completed"})
    assert not imported.mistakes
    *_, audience = yaml.safe_load(imported.text)["segmentations"]
    assert audience["when"] == expected


@pytest.mark.parametrize(("system", "condition", "expected"), WRONG)
def test_mistake_within_a_condition_is_named_with_its_path(system: str, condition: Any, expected: str) -> None:
    imported = import_document(system, MADE[system](condition), {"L1": "vips"})
    (line,) = map(str, imported.mistakes)
    assert line.startswith(expected)
    assert imported.text == ""


@pytest.mark.parametrize("is_member", [True, False])
def test_membership_may_be_asked_for_since_when_it_lasts(is_member: bool) -> None:
    member = GROUP | {"group_ids": ["S2"], "is_member": is_member} | dated("at-least", quantity=7, unit="day")
    others = klaviyo([metric()], name="Others", identity="S2")
    imported = import_document("klaviyo", [others, klaviyo([member])], {"M1": "order_completed"})
    assert not imported.mistakes
    condition = {"segmentation": "others", "for_at_least": "7d"}
    assert yaml.safe_load(imported.text)["segmentations"][1]["when"] == (condition if is_member else {"not": condition})


def test_what_is_predicted_brings_a_learned_segmentation_along() -> None:
    gap = predicted("less-than", 9) | {"dimension": "average_days_between_orders"}
    imported = import_document("klaviyo", klaviyo([gap], [predicted("greater-than", 0.3)]))
    made = yaml.safe_load(imported.text)["segmentations"]
    assert [(entry["kind"], entry["name"]) for entry in made] == [("learned", "value"), ("audience", "big_spenders")]
    assert "# - predictions come from the learned segmentation value, which is added" in imported.text.splitlines()


def test_membership_may_be_asked_for_without_a_time() -> None:
    inner, outer = klaviyo([metric()], name="Others", identity="S2"), klaviyo([GROUP | {"group_ids": ["S2"]}])
    imported = import_document("klaviyo", [inner, outer], {"M1": "order_completed"})
    assert yaml.safe_load(imported.text)["segmentations"][1]["when"] == {"segmentation": "others"}


def test_segments_of_dittofeed_may_stand_in_a_mapping() -> None:
    imported = import_document("dittofeed", {"segments": [dittofeed(node())]})
    assert [entry["name"] for entry in yaml.safe_load(imported.text)["segmentations"]] == ["pro"]
