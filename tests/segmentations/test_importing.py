"""Definitions of other systems, brought over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_app.cli import main
from stream_app.segmentations.importing import import_document


def klaviyo(*groups: list[dict[str, Any]], name: str = "Big spenders", identity: str = "Sg1") -> dict[str, Any]:
    definition = {"condition_groups": [{"conditions": conditions} for conditions in groups]}
    return {"type": "segment", "id": identity, "attributes": {"name": name, "definition": definition}}


def posthog(*values: dict[str, Any], kind: str = "AND", name: str = "Active", identity: int = 1) -> dict[str, Any]:
    return {"id": identity, "name": name, "filters": {"properties": {"type": kind, "values": list(values)}}}


def dittofeed(entry: dict[str, Any], *nodes: dict[str, Any], name: str = "Pro") -> dict[str, Any]:
    return {"name": name, "definition": {"entryNode": {"id": "entry", **entry}, "nodes": list(nodes)}}


def metric(**more: Any) -> dict[str, Any]:
    condition = {"type": "profile-metric", "metric_id": "M1", "measurement": "count"}
    filters = {"measurement_filter": {"type": "numeric", "operator": "greater-than-or-equal", "value": 2}}
    return {**condition, **filters, **more}


def dated(operator: str, **more: Any) -> dict[str, Any]:
    return {"timeframe_filter": {"type": "date", "operator": operator, **more}}


def trait(**test: Any) -> dict[str, Any]:
    return {"type": "profile-property", "property": "properties['plan']", "filter": test}


def behaviour(value: str, **more: Any) -> dict[str, Any]:
    return {"type": "behavioral", "key": "buy", "event_type": "events", "value": value, **more}


DAYS_30 = {"time_value": 30, "time_interval": "day"}
WEEK = {"seq_time_value": 1, "seq_time_interval": "week"}
PERSON = {"type": "person", "key": "plan"}


def node(**more: Any) -> dict[str, Any]:
    return {"type": "Performed", "event": "buy", **more}


def asked(**operator: Any) -> dict[str, Any]:
    return {"type": "Trait", "path": "plan", "operator": operator}


IMPORTED = [
    # Klaviyo
    ("klaviyo", klaviyo([metric()]), {"event": "order_completed", "at_least": 2}),
    (
        "klaviyo",
        klaviyo([metric(**dated("in-the-last", quantity=30, unit="day"))]),
        {"event": "order_completed", "last": "30d", "at_least": 2},
    ),
    (
        "klaviyo",
        klaviyo([metric(measurement="sum", **dated("between", start=30, end=90, unit="day"))]),
        {"event": "order_completed", "between_ago": ["30d", "90d"], "sum": "amount", "at_least": 2},
    ),
    (
        "klaviyo",
        klaviyo([metric(**dated("at-least", quantity=2, unit="week"))]),
        {"event": "order_completed", "between_ago": ["2w", "36525d"], "at_least": 2},
    ),
    (
        "klaviyo",
        klaviyo([metric(**dated("between-static", start="2026-01-01T00:00:00Z", end="2026-02-01T00:00:00Z"))]),
        {"event": "order_completed", "from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z", "at_least": 2},
    ),
    (
        "klaviyo",
        klaviyo(
            [
                metric(
                    metric_filters=[
                        {"property": "Brand", "filter": {"type": "string", "operator": "in", "value": ["a", "b"]}},
                        {"property": "$value", "filter": {"type": "numeric", "operator": "less-than", "value": 9}},
                    ]
                )
            ]
        ),
        {
            "event": "order_completed",
            "where": [{"field": "properties.Brand", "in": ["a", "b"]}, {"field": "value", "less_than": 9}],
            "at_least": 2,
        },
    ),
    (
        "klaviyo",
        klaviyo(
            [trait(type="string", operator="equals", value="pro"), trait(type="existence", operator="not-set")],
            [trait(type="list", operator="not-contains", value="x")],
        ),
        {
            "all": [
                {"any": [{"trait": "plan", "equals": "pro"}, {"trait": "plan", "exists": False}]},
                {"not": {"trait": "plan", "contains": "x"}},
            ]
        },
    ),
    (
        "klaviyo",
        klaviyo([trait(type="date", operator="anniversary-next", quantity=7, unit="day")]),
        {"trait": "plan", "anniversary": {"in_next": "7d"}},
    ),
    (
        "klaviyo",
        klaviyo([trait(type="date", operator="at-least", quantity=7, unit="day")]),
        {"all": [{"trait": "plan", "in_last": "36525d"}, {"not": {"trait": "plan", "in_last": "7d"}}]},
    ),
    (
        "klaviyo",
        klaviyo(
            [
                {
                    "type": "profile-predictive-analytics",
                    "dimension": "historic_number_of_orders",
                    "filter": {"type": "numeric", "operator": "greater-than", "value": 3},
                }
            ]
        ),
        {"figure": "purchases", "more_than": 3},
    ),
    (
        "klaviyo",
        klaviyo(
            [
                {
                    "type": "profile-metric-funnel",
                    "completion_window_seconds": "DAYS_3",
                    "steps": [{"metric_id": "a", "metric_exists": True}, {"metric_id": "b", "metric_exists": True}],
                    **dated("in-the-last", quantity=7, unit="day"),
                }
            ]
        ),
        {"sequence": ["a", "b"], "within": "3d", "last": "7d"},
    ),
    # PostHog
    ("posthog", posthog(behaviour("performed_event", **DAYS_30)), {"event": "buy", "last": "30d"}),
    (
        "posthog",
        posthog(behaviour("performed_event", explicit_datetime="-30d", negation=True)),
        {"not": {"event": "buy", "last": "30d"}},
    ),
    (
        "posthog",
        posthog(behaviour("performed_event_multiple", operator="lte", operator_value=3, **DAYS_30)),
        {"event": "buy", "last": "30d", "at_least": 1, "at_most": 3},
    ),
    (
        "posthog",
        posthog(behaviour("performed_event", time_value=2, time_interval="month")),
        {"event": "buy", "last": "60d"},
    ),
    ("posthog", posthog(behaviour("performed_event_first_time", **DAYS_30)), {"first_event": "buy", "last": "30d"}),
    (
        "posthog",
        posthog(behaviour("performed_event_sequence", seq_event="pay", **DAYS_30, **WEEK)),
        {"sequence": ["buy", "pay"], "within": "1w", "last": "30d"},
    ),
    (
        "posthog",
        posthog(
            behaviour(
                "performed_event_regularly", operator="gte", operator_value=2, min_periods=3, total_periods=4, **DAYS_30
            )
        ),
        {"regularly": "buy", "times": 2, "each": "30d", "in_at_least": 3, "of_last": 4},
    ),
    (
        "posthog",
        posthog(behaviour("stopped_performing_event", **DAYS_30, **WEEK)),
        {"all": [{"event": "buy", "between_ago": ["1w", "30d"]}, {"event": "buy", "last": "1w", "equals": 0}]},
    ),
    (
        "posthog",
        posthog(behaviour("restarted_performing_event", **DAYS_30, **WEEK)),
        {
            "all": [
                {"event": "buy", "last": "1w"},
                {"event": "buy", "between_ago": ["1w", "30d"], "equals": 0},
                {"event": "buy", "between_ago": ["30d", "36525d"]},
            ]
        },
    ),
    (
        "posthog",
        posthog(
            {**PERSON, "operator": "exact", "value": ["a", "b"]},
            {"type": "OR", "values": [{**PERSON, "operator": "is_set"}, {**PERSON, "operator": "gt", "value": "3"}]},
        ),
        {
            "all": [
                {"trait": "plan", "in": ["a", "b"]},
                {"any": [{"trait": "plan", "exists": True}, {"trait": "plan", "more_than": 3.0}]},
            ]
        },
    ),
    (
        "posthog",
        posthog({**PERSON, "operator": "is_date_before", "value": "2026-01-31"}),
        {"trait": "plan", "before": "2026-01-31T00:00:00Z"},
    ),
    (
        "posthog",
        posthog(behaviour("performed_event", event_filters=[{"key": "a", "operator": "gte", "value": 3}])),
        {"event": "buy", "where": [{"field": "properties.a", "at_least": 3.0}]},
    ),
    # Dittofeed
    ("dittofeed", dittofeed(asked(type="Equals", value="pro")), {"trait": "plan", "equals": "pro"}),
    ("dittofeed", dittofeed(asked(type="Within", windowSeconds=86_400)), {"trait": "plan", "in_last": "1d"}),
    (
        "dittofeed",
        dittofeed(asked(type="HasBeen", comparator="GTE", value="trial", windowSeconds=5_400)),
        {"trait": "plan", "equals": "trial", "held_for": {"at_least": "90m"}},
    ),
    ("dittofeed", dittofeed(node(times=2, timesOperator="<")), {"event": "buy", "less_than": 2}),
    (
        "dittofeed",
        dittofeed(node(withinSeconds=90, properties=[{"path": "$.a.b", "operator": {"type": "Equals", "value": 1}}])),
        {"event": "buy", "last": "90s", "where": [{"field": "properties.a.b", "equals": 1}]},
    ),
    (
        "dittofeed",
        dittofeed({"type": "Or", "children": ["n1", "n2"]}, {"id": "n1", **node()}, {"id": "n2", **node(event="pay")}),
        {"any": [{"event": "buy"}, {"event": "pay"}]},
    ),
    (
        "dittofeed",
        dittofeed(
            {"type": "LastPerformed", "event": "x", "hasProperties": [{"path": "a", "operator": {"type": "Exists"}}]}
        ),
        {"last_event": "x", "has": [{"field": "properties.a", "exists": True}]},
    ),
    (
        "dittofeed",
        dittofeed({"type": "RandomBucket", "percent": 0.1}),
        {"random": {"salt": "entry", "to_percent": 10.0}},
    ),
]
REFUSED = [
    ("klaviyo", {}, "definition: missing, expected a mapping with condition_groups"),
    ("klaviyo", 5, "5, expected a list of segments"),
    ("klaviyo", klaviyo(), "attributes.definition.condition_groups: an empty list, expected a condition in it"),
    (
        "klaviyo",
        klaviyo([{"type": "profile-marketing-consent"}]),
        "attributes.definition.condition_groups[0].conditions[0].type: profile-marketing-consent cannot be expressed:",
    ),
    (
        "klaviyo",
        klaviyo([trait(type="string", operator="regex", value="x")]),
        "attributes.definition.condition_groups[0].conditions[0].filter.operator: 'regex' of 'string' cannot be expr",
    ),
    (
        "klaviyo",
        klaviyo([{"type": "profile-group-membership", "is_member": True, "group_ids": ["L1"]}]),
        "attributes.definition.condition_groups[0].conditions[0].group_ids[0]: the group 'L1' is not in the file; --na",
    ),
    ("posthog", [], "an empty list, expected a list of cohorts"),
    ("posthog", {"name": "x", "is_static": True}, "is_static: members by hand; write their ids into a file"),
    (
        "posthog",
        posthog({**PERSON, "operator": "icontains", "value": "x"}),
        "filters.properties.values[0].operator: icontains cannot be expressed: parts of texts are not looked for;",
    ),
    (
        "posthog",
        posthog({"type": "cohort", "value": 7}),
        "filters.properties.values[0].value: the cohort 7 is not in the file; --name 7=NAME names it",
    ),
    (
        "posthog",
        posthog({**behaviour("performed_event"), "event_type": "actions"}),
        "filters.properties.values[0].event_type: actions are known to PostHog alone; use an event instead",
    ),
    ("dittofeed", "x", "'x', expected a segment with name and definition"),
    (
        "dittofeed",
        dittofeed({"type": "SubscriptionGroup"}),
        "definition.entryNode.type: SubscriptionGroup cannot be expressed: subscriptions are known to Dittofeed alone;",
    ),
    (
        "dittofeed",
        dittofeed({"type": "And", "children": ["n1"]}, {"id": "n1", "type": "Or", "children": ["n1"]}),
        "definition.nodes[0].children[0]: 'n1' is its own descendant",
    ),
    (
        "dittofeed",
        dittofeed({"type": "And", "children": ["n2"]}),
        "definition.entryNode.children[0]: 'n2', expected the id of a node",
    ),
]


@pytest.mark.parametrize(("system", "document", "expected"), IMPORTED)
def test_definition_means_the_same_here(system: str, document: Any, expected: Any) -> None:
    imported = import_document(system, document, {"M1": "order_completed"})
    assert not imported.mistakes
    (audience,) = yaml.safe_load(imported.text)["segmentations"]
    assert audience["when"] == expected
    assert imported.text.startswith("# Imported from ")


@pytest.mark.parametrize(("system", "document", "expected"), REFUSED)
def test_what_cannot_be_expressed_is_refused_with_its_path(system: str, document: Any, expected: str) -> None:
    imported = import_document(system, document)
    (line,) = map(str, imported.mistakes)
    assert line.startswith(expected)
    assert imported.text == ""


def test_all_that_cannot_be_expressed_is_named_at_once() -> None:
    bad = {**PERSON, "operator": "regex", "value": "x"}
    imported = import_document("posthog", [posthog(bad, bad), posthog(bad)])
    assert [mistake.path for mistake in imported.mistakes] == [
        "[0].filters.properties.values[0].operator",
        "[0].filters.properties.values[1].operator",
        "[1].filters.properties.values[0].operator",
    ]


def test_conventions_are_the_first_lines() -> None:
    imported = import_document("posthog", posthog(behaviour("performed_event", time_value=1, time_interval="month")))
    assert imported.text.splitlines()[:3] == [
        "# Imported from PostHog. Conventions:",
        "# - an event's properties are those of its free part: properties.NAME",
        "# - a month is 30 days",
    ]


def test_cohorts_of_one_file_may_name_one_another() -> None:
    inner = posthog(behaviour("performed_event"), name="Buyers", identity=1)
    outer = posthog({"type": "cohort", "value": 1, "negation": True}, name="Others", identity=2)
    imported = import_document("posthog", {"results": [inner, outer]})
    made = yaml.safe_load(imported.text)["segmentations"]
    assert [entry["name"] for entry in made] == ["buyers", "others"]
    assert made[1]["when"] == {"not": {"segmentation": "buyers"}}


def test_equal_names_are_told_apart() -> None:
    imported = import_document("dittofeed", [dittofeed(node(), name="Été!"), dittofeed(node(), name="Été!")])
    assert [entry["name"] for entry in yaml.safe_load(imported.text)["segmentations"]] == ["ete", "ete_2"]


def test_what_comes_out_is_checked_like_any_file() -> None:
    imported = import_document("dittofeed", dittofeed({**asked(type="Equals", value="x"), "path": "religion"}))
    (line,) = map(str, imported.mistakes)
    assert line.startswith("(imported) segmentations[0].when.trait: the trait 'religion' seems to say something on")


def test_command_prints_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "segments.json"
    path.write_text(json.dumps({"data": [klaviyo([metric()])]}), encoding="utf-8")
    main(["segmentations", "import", "klaviyo", str(path), "--name", "M1=order_completed"])
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed)["segmentations"][0]["when"] == {"event": "order_completed", "at_least": 2}


def test_command_names_what_it_refuses_and_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cohorts.json"
    path.write_text(json.dumps(posthog({"type": "hogql"})), encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["segmentations", "import", "posthog", str(path)])
    captured = capsys.readouterr()
    assert ended.value.code == 1
    assert captured.out == ""
    assert captured.err == "filters.properties.values[0].type: 'hogql', expected behavioral, person or cohort\n"
