from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from pydantic import ValidationError

from stream_app.core.clock import DAY_MS, format_instant
from stream_app.core.columns import CustomerColumns
from stream_app.core.partition import Partition
from stream_app.core.segmentation import Held
from stream_app.core.segments import Segment
from stream_app.errors import ConfigurationError, ModelInvalid
from stream_app.segmentations.registry import decode_segmentation, encode_segmentation
from stream_app.segmentations.rules.definition import RulesConfiguration, comparisons
from stream_app.segmentations.rules.explanation import RuleReason, TurnedCondition
from stream_app.segmentations.rules.kind import RULES as KIND
from stream_app.segmentations.rules.segmentation import RulesSegmentation, segment_code
from tests.reference.row import NO_MEMBERSHIP
from tests.segmentations.examples import BY_RULES, COLD_START, RULES, rules
from tests.support.events import engagement, instant, purchase, refund
from tests.support.playing import Step, play
from tests.support.published import Migration
from tests.support.tables import activity_of


def compare(figure: str, operator: str, value: float) -> dict[str, Any]:
    return {"figure": figure, "operator": operator, "value": value}


def of(when: dict[str, Any], **changes: Any) -> RulesSegmentation:
    """Return a segmentation into those of whom a condition holds, and the rest."""
    segments = [{"id": "in", "name": "In", "when": when}]
    otherwise = {"id": "out", "name": "Out"}
    return RulesSegmentation(rules(segments=segments, otherwise=otherwise), **changes)


def targets(segmentation: RulesSegmentation, customers: CustomerColumns) -> list[int]:
    """Return where customers belong who are in no segment."""
    nowhere = np.full(len(customers), NO_MEMBERSHIP)
    return segmentation.acts(customers, Held.of(nowhere)).target.tolist()


def moves(segmentation: RulesSegmentation, steps: list[Step]) -> list[Migration]:
    return play(Partition([segmentation]), steps)


def told(migration: Migration) -> RuleReason:
    return msgspec.convert(msgspec.to_builtins(migration.explanation), RuleReason)


# --- definition ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"otherwise": {"id": "gone", "name": "Rest"}}, "the id 'gone' stands twice"),
        ({"otherwise": {"id": "rest", "name": "Gone"}}, "the name 'Gone' stands twice"),
        ({"otherwise": {"id": "Rest", "name": "Rest"}}, "string_pattern_mismatch"),
        ({"segments": []}, "too_short"),
        ({"segments": [{"id": "a", "name": "A", "when": compare("mood", ">", 1)}]}, "figure"),
        ({"segments": [{"id": "a", "name": "A", "when": compare("refunds", "==", 1)}]}, "operator"),
        ({"segments": [{"id": "a", "name": "A", "when": compare("refunds", ">", float("inf"))}]}, "finite_number"),
        ({"segments": [{"id": "a", "name": "A", "when": {"all": []}}]}, "too_short"),
        ({"name": "Service"}, "string_pattern_mismatch"),
        ({"colour": "red"}, "extra_forbidden"),
    ],
)
def test_definition_that_makes_no_sense_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        rules(**changes)


def test_condition_is_said_in_words() -> None:
    three = {"any": [compare("refunds", ">", 0), compare("purchases", "<=", 2.5)]}
    whole = {"all": [compare("recency_days", "<", 30), three, {"not": three}]}
    (segment,) = of(whole).definition.segments
    assert str(segment.when) == (
        "recency_days < 30 and (refunds > 0 or purchases <= 2.5) and not (refunds > 0 or purchases <= 2.5)"
    )
    assert [comparison.figure for comparison in comparisons(segment.when)] == [
        "recency_days", "refunds", "purchases", "refunds", "purchases",
    ]  # fmt: skip


def test_first_segment_whose_condition_holds_is_the_customers() -> None:
    everyone = [
        {"id": "a", "name": "A", "when": compare("refunds", ">", 0)},
        {"id": "b", "name": "B", "when": compare("purchases", ">", 0)},
    ]
    segmentation = RulesSegmentation(rules(segments=everyone))
    activity = activity_of([purchase(0), refund(1, 5, "x")], [purchase(0)], [engagement(0)])
    target = targets(segmentation, CustomerColumns(activity, np.full(3, instant(2))))
    assert [segmentation.roster.segments[index].segment_id for index in target] == ["a", "b", "others"]


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        ("recency_days", 2.0),
        ("tenure_days", 12.0),
        ("orders_decayed", 2 ** (-12 / 60) + 2 ** (-8 / 60)),
        ("revenue_decayed_minor", 5_000 * 2 ** (-12 / 60) + 7_000 * 2 ** (-8 / 60)),
        ("engaged_days_decayed", 2 ** (-2 / 30)),
        ("purchases", 2.0),
        ("refunds", 0.0),
        ("engagements", 1.0),
        ("revenue_minor", 12_000.0),
    ],
)
def test_figures_are_what_their_names_say(figure: str, expected: float) -> None:
    customers = CustomerColumns(activity_of([purchase(0), purchase(4, 7_000), engagement(10)]), np.array([instant(12)]))
    for offset, holds in ((-1e-6, True), (1e-6, False)):
        assert (targets(of(compare(figure, ">", expected + offset)), customers) == [0]) == holds


@pytest.mark.parametrize(("operator", "holds"), [("<", False), ("<=", True), (">", False), (">=", True)])
def test_operators_tell_equal_figures_apart(operator: str, holds: bool) -> None:
    customers = CustomerColumns(activity_of([purchase(0), purchase(1)]), np.array([instant(2)]))
    assert (targets(of(compare("purchases", operator, 2)), customers) == [0]) == holds


def test_codes_are_made_of_ids_alone() -> None:
    assert [segment.code for segment in BY_RULES.roster.segments] == [
        segment_code(segment.segment_id) for segment in BY_RULES.roster.segments
    ]
    assert segment_code("gone") == 923


def test_ids_of_one_code_cannot_stand_side_by_side() -> None:
    seen: dict[int, str] = {}
    number = 0
    while (first := seen.setdefault(segment_code(f"s{number}"), f"s{number}")) == f"s{number}":
        number += 1
    segments = [{"id": first, "name": "A", "when": compare("refunds", ">", 0)}]
    definition = rules(segments=segments, otherwise={"id": f"s{number}", "name": "B"})
    with pytest.raises(ConfigurationError, match=f"the ids '{first}' and 's{number}' cannot stand side by side"):
        RulesSegmentation(definition)


# --- versions --------------------------------------------------------------------------------------------------------


def test_same_definition_is_the_version_it_was_and_another_is_the_next() -> None:
    first = KIND.build(rules(), {}, None)
    assert (first.version, first.roster.retired) == (1, ())
    assert KIND.build(rules(), {}, first) is first
    fewer = KIND.build(rules(segments=RULES["segments"][1:]), {}, first)
    assert fewer.version == 2
    assert fewer.roster.retired == (Segment(segment_code("slipping"), "Slipping", "slipping"),)
    back = KIND.build(rules(), {}, fewer)
    assert (back.version, back.roster.retired) == (3, ())


def test_rules_that_take_over_from_a_learned_segmentation_know_its_segments() -> None:
    taken_over = KIND.build(rules(), {}, COLD_START)
    assert taken_over.version == COLD_START.version + 1
    assert taken_over.roster.retired == COLD_START.roster.segments


def test_document_says_the_conditions_and_the_retired_segments() -> None:
    retired = (Segment(segment_code("old"), "Old", "old"),)
    document = encode_segmentation(of(compare("refunds", ">", 0), version=3, retired=retired))
    assert document["segments"] == [
        {"id": "in", "name": "In", "sentence": "refunds > 0"},
        {"id": "out", "name": "Out", "sentence": "otherwise"},
    ]
    assert document["retired_segments"] == [{"id": "old", "name": "Old"}]
    assert decode_segmentation(document).roster.retired == retired


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"retired_segments": [{"id": "x"}]}, "definition: 'name' is missing"),
        ({"definition": {}}, r"^definition\.kind: Field required$"),
        ({"version": "first"}, "definition: invalid literal"),
        ({"retired_segments": None}, "definition: 'NoneType' object is not iterable"),
    ],
)
def test_document_that_makes_no_sense_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ModelInvalid, match=complaint):
        decode_segmentation(encode_segmentation(BY_RULES) | changes)


# --- moves -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("operator", "later_ms"), [(">=", 0), (">", 1)])
def test_silence_moves_at_the_very_millisecond_that_the_figure_turns(operator: str, later_ms: int) -> None:
    entered, left = moves(of(compare("recency_days", operator, 10)), [purchase(0), instant(30)])
    assert (entered.change, left.change, left.cause.kind) == ("entered", "lapsed", "lapse")
    assert left.effective_at == format_instant(instant(0) + 10 * DAY_MS + later_ms)


def test_move_by_silence_names_what_came_true() -> None:
    condition = {"all": [compare("recency_days", ">", 10), compare("purchases", ">=", 1)]}
    entered, slipped, back = moves(of(condition), [purchase(0), instant(30), purchase(31)])
    assert told(entered).gained == (TurnedCondition("purchases", ">=", 1, None, 1.0),)
    assert told(entered).sentence == "Purchase of 50.00 EUR, the first event: purchases 1 is >= 1; enters Out."
    assert told(slipped) == RuleReason(
        (TurnedCondition("recency_days", ">", 10, 0.0, 10.0),),
        (),
        "Time has passed: recency_days 10 is > 10; Out → In.",
    )
    assert told(back).lost == (TurnedCondition("recency_days", ">", 10, 31.0, 0.0),)
    assert told(back).sentence == "Purchase of 50.00 EUR: recency_days 0 is no longer > 10; In → Out."
    assert (back.cause.kind, back.change) == ("purchase", "returned")
    assert told(back).is_specific


def test_move_by_the_definition_says_that_it_is_new() -> None:
    steps: list[Step] = [purchase(0), instant(1), of(compare("refunds", "<=", 0), version=2), instant(2)]
    moved = moves(of(compare("refunds", ">", 0)), steps)[-1]
    assert (moved.cause.kind, moved.change, moved.model_version) == ("definition", "moved", 2)
    assert told(moved).sentence == "The definition is new; Out → In."
    assert not told(moved).is_specific


def test_comparison_that_stands_twice_is_said_once() -> None:
    twice = {"any": [compare("refunds", ">", 0), {"all": [compare("refunds", ">", 0), compare("purchases", ">", 5)]}]}
    moved = moves(of(twice), [purchase(0), refund(1, 100, "x")])[-1]
    assert [condition.figure for condition in told(moved).gained] == ["refunds"]


def test_definition_is_read_as_it_is_written() -> None:
    assert RulesConfiguration.model_validate(rules().model_dump(mode="json", by_alias=True)) == rules()
