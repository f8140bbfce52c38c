from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from stream_app.core.clock import DAY_MS, format_instant
from stream_app.core.partition import Partition
from stream_app.core.segments import Segment
from stream_app.errors import ConfigurationError, ModelInvalid
from stream_app.segmentations.registry import decode_segmentation, encode_segmentation
from stream_app.segmentations.rules.codes import segment_code
from stream_app.segmentations.rules.definition import AudienceConfiguration, RulesConfiguration
from stream_app.segmentations.rules.id_lists import IdList
from stream_app.segmentations.rules.kind import AUDIENCE
from stream_app.segmentations.rules.kind import RULES as KIND
from stream_app.segmentations.rules.segmentation import AudienceSegmentation, RulesSegmentation
from tests.segmentations.examples import BY_RULES, COLD_START, RULES, rules
from tests.support.events import instant, purchase, refund
from tests.support.playing import Step, play
from tests.support.published import Migration

REFUNDED = {"figure": "refunds", "more_than": 0}
STAFF = {"list": "staff"}


def of(when: dict[str, Any], **changes: Any) -> RulesSegmentation:
    """Return a segmentation into those of whom a condition holds, and the rest."""
    segments = [{"id": "in", "name": "In", "when": when}]
    otherwise = {"id": "out", "name": "Out"}
    return RulesSegmentation(rules(segments=segments, otherwise=otherwise), **changes)


def audience(when: dict[str, Any], **changes: Any) -> AudienceConfiguration:
    return AudienceConfiguration.model_validate({"kind": "audience", "name": "vips", "when": when} | changes)


def moves(segmentation: RulesSegmentation | AudienceSegmentation, steps: list[Step]) -> list[Migration]:
    return play(Partition([segmentation]), steps)


# --- definition ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"otherwise": {"id": "gone", "name": "Rest"}}, "the id 'gone' occurs twice"),
        ({"otherwise": {"id": "rest", "name": "Gone"}}, "the name 'Gone' occurs twice"),
        ({"otherwise": {"id": "Rest", "name": "Rest"}}, "string_pattern_mismatch"),
        ({"segments": []}, "too_short"),
        ({"segments": [{"id": "a", "name": "A", "when": {"figure": "mood", "more_than": 1}}]}, "figure"),
        ({"segments": [{"id": "a", "name": "A", "when": {"all": []}}]}, "too_short"),
        ({"name": "Service"}, "string_pattern_mismatch"),
        ({"colour": "red"}, "extra_forbidden"),
    ],
)
def test_definition_that_makes_no_sense_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        rules(**changes)


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
    segments = [{"id": first, "name": "A", "when": REFUNDED}]
    definition = rules(segments=segments, otherwise={"id": f"s{number}", "name": "B"})
    with pytest.raises(ConfigurationError, match=f"the ids '{first}' and 's{number}' cannot be used together"):
        RulesSegmentation(definition)


def test_levels_of_segments_are_as_they_are_configured() -> None:
    segments = [{"id": "a", "name": "A", "when": REFUNDED, "level": -1}]
    levels = [segment.level for segment in RulesSegmentation(rules(segments=segments)).roster.segments]
    assert levels == [-1, None]


def test_conditions_are_told_once_each_in_order() -> None:
    twice = {"any": [REFUNDED, {"all": [{"figure": "purchases", "more_than": 5}, REFUNDED]}]}
    assert [leaf.figure for leaf in of(twice).conditions] == ["refunds", "purchases"]


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


def test_what_means_the_same_in_other_words_is_the_same_version() -> None:
    first = AUDIENCE.build(audience({"event": "x", "last": "14d"}), {}, None)
    assert AUDIENCE.build(audience({"event": "x", "last": "2w"}), {}, first) is first
    one = AUDIENCE.build(audience({"trait": "t", "equals": 1}), {}, None)
    assert AUDIENCE.build(audience({"trait": "t", "equals": True}), {}, one).version == 2


def test_list_that_changes_makes_a_new_version_of_those_who_look_at_it() -> None:
    lists = {"staff": IdList.of(["c1"]), "others": IdList.of(["c2"])}
    first = AUDIENCE.build(audience(STAFF), {"lists": lists}, None)
    assert AUDIENCE.build(audience(STAFF), {"lists": lists | {"others": IdList.of([])}}, first) is first
    assert AUDIENCE.build(audience(STAFF), {"lists": {"staff": IdList.of(["c1", "c3"])}}, first).version == 2


def test_segmentation_that_was_learned_cannot_become_one_of_conditions() -> None:
    with pytest.raises(ConfigurationError, match="was of kind 'learned' and cannot become 'rules'"):
        KIND.build(rules(), {}, COLD_START)


def test_audience_takes_over_from_rules_of_its_name() -> None:
    taken_over = AUDIENCE.build(audience(REFUNDED, name="service"), {}, BY_RULES)
    assert (taken_over.version, taken_over.kind) == (2, "audience")
    assert taken_over.roster.retired == BY_RULES.roster.segments


def test_document_says_the_conditions_and_the_retired_segments() -> None:
    retired = (Segment(segment_code("old"), "Old", "old", -2),)
    document = encode_segmentation(of(REFUNDED, version=3, retired=retired))
    assert [(each["id"], each["level"], each["sentence"]) for each in document["segments"]] == [
        ("in", None, "more than 0 refunds"),
        ("out", None, "otherwise"),
    ]
    assert document["retired_segments"] == [{"id": "old", "name": "Old", "level": -2}]
    assert decode_segmentation(document).roster.retired == retired


def test_document_of_an_audience_carries_its_lists() -> None:
    lists = {"staff": IdList.of(["c1", "c2"])}
    segmentation = AudienceSegmentation(audience(STAFF, title="Our own"), lists=lists)
    back = decode_segmentation(encode_segmentation(segmentation))
    assert isinstance(back, AudienceSegmentation)
    assert (back.definition, back.lists, back.version) == (segmentation.definition, lists, 1)
    assert [(each.segment_id, each.name) for each in back.roster.segments] == [("vips", "Our own")]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"retired_segments": [{"id": "x"}]}, "definition: 'name' is missing"),
        ({"definition": {}}, r"^definition\.kind: Field required$"),
        ({"version": "first"}, "definition: invalid literal"),
        ({"retired_segments": None}, "definition: 'NoneType' object is not iterable"),
        ({"lists": {"staff": "no base64"}}, "list of ids"),
        ({"lists": ["staff"]}, "definition: "),
    ],
)
def test_document_that_makes_no_sense_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ModelInvalid, match=complaint):
        decode_segmentation(encode_segmentation(BY_RULES) | changes)


def test_definition_is_read_as_it_is_written() -> None:
    written = rules().model_dump(mode="json", by_alias=True, exclude_none=True)
    assert RulesConfiguration.model_validate(written) == rules()


# --- moves -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("comparator", "later_ms"), [("at_least", 0), ("more_than", 1)])
def test_silence_moves_at_the_very_millisecond_that_the_figure_turns(comparator: str, later_ms: int) -> None:
    entered, left = moves(of({"figure": "recency_days", comparator: 10}), [purchase(0), instant(30)])
    assert (entered.change, left.change, left.cause.kind) == ("entered", "lapsed", "lapse")
    assert left.effective_at == format_instant(instant(0) + 10 * DAY_MS + later_ms)


def test_audience_is_entered_left_and_entered_again() -> None:
    bought = AudienceSegmentation(audience({"event": "order_completed", "last": "3d"}))
    told = moves(bought, [refund(0, 1, "x"), purchase(1), instant(10), purchase(11)])
    assert [(move.change, move.to_segment and move.to_segment.id, move.sequence) for move in told] == [
        ("entered", "vips", 1),
        ("left", None, 2),
        ("entered", "vips", 3),
    ]


def test_move_by_the_definition_has_its_cause() -> None:
    steps: list[Step] = [purchase(0), instant(1), of({"not": REFUNDED}, version=2), instant(2)]
    moved = moves(of(REFUNDED), steps)[-1]
    assert (moved.cause.kind, moved.change, moved.model_version) == ("definition", "moved", 2)
