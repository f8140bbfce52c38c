from __future__ import annotations

from typing import Any

import pytest

from stream_app.errors import ConfigurationError, ModelInvalid
from stream_app.segmentations.learned.configuration import LearnedConfiguration
from stream_app.segmentations.learned.model import Thresholds
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.registry import build_segmentation, decode_segmentation, encode_segmentation
from stream_app.settings.loading import load_settings
from stream_app.settings.sections import Settings
from tests.segmentations.examples import BY_RULES, COLD_START, LEARNED, RULES

DEFAULTS = Thresholds()._asdict()


@pytest.mark.parametrize(
    ("tables", "complaint"),
    [
        ([], "at least 1 item"),
        ([{"kind": "learned", "name": f"n{number}"} for number in range(65)], "at most 64 items"),
        ([{"kind": "guessed", "name": "value"}], "kind: 'guessed', expected one of learned, rules"),
        ([{"name": "value"}], "kind: None, expected one of learned, rules"),
        (["value"], "kind: None, expected"),
        ([{"kind": "learned", "name": "value"}, RULES | {"name": "value"}], "the name 'value' occurs twice"),
        ([{"kind": "learned", "name": "My value"}], "pattern"),
        ("value", "valid tuple"),
    ],
)
def test_segmentations_that_make_no_sense_are_refused(tables: Any, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        load_settings(None, {"segmentations": tables})


def test_configurations_may_be_given_as_they_are() -> None:
    own = LearnedConfiguration(name="value", hysteresis=0.2)
    assert Settings(segmentations=(own,)).segmentations == (own,)


def test_learned_segmentation_begins_with_prior_numbers_and_keeps_its_last_model() -> None:
    own = LearnedConfiguration(name="value", hysteresis=0.2)
    built = build_segmentation(own, DEFAULTS)
    assert isinstance(built, LearnedSegmentation)
    assert (built.version, built.model.thresholds) == (0, Thresholds(hysteresis=0.2))
    assert build_segmentation(own, DEFAULTS, built) is built


def test_segmentation_of_an_earlier_releases_clusters_is_taken_over_from_by_the_next_version() -> None:
    document = {
        "segmentation": "habits",
        "version": 41,
        "status": "published",
        "as_of": "2024-01-01T00:00:00.000Z",
        "segments": [{"id": "s1", "name": "Champions"}, {"id": "s9", "name": "Potential"}],
    }
    clusters = decode_segmentation(document)
    configuration = LearnedConfiguration(name="habits")
    taken_over = build_segmentation(configuration, DEFAULTS, clusters)
    assert taken_over.version == 42
    assert [each.segment_id for each in taken_over.roster.retired] == ["s9"]
    assert build_segmentation(configuration, DEFAULTS, taken_over) is taken_over


def test_name_of_a_segmentation_by_rules_is_not_used_for_a_learned_one() -> None:
    with pytest.raises(ConfigurationError, match="segmentation service: was of kind 'rules' and cannot become"):
        build_segmentation(LearnedConfiguration(name="service"), DEFAULTS, BY_RULES)


def test_other_names_actions_and_thresholds_are_the_next_version_of_the_same_numbers() -> None:
    for changes in ({"names": {"vip": "Stars"}}, {"actions": {"lost": "Let them go."}}, {"no_return_days": 7.0}):
        configuration = LearnedConfiguration.model_validate({"name": "habits"} | changes)
        renewed = build_segmentation(configuration, DEFAULTS, LEARNED)
        assert isinstance(renewed, LearnedSegmentation)
        assert renewed.version == LEARNED.version + 1
        assert renewed.model.frame is renewed.model.previous is LEARNED.model.frame
        assert [each.code for each in renewed.roster.segments] == [each.code for each in LEARNED.roster.segments]
        assert renewed.roster.retired == LEARNED.roster.retired


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"names": {"stars": "Stars"}}, "names: 'stars', expected one of occasional, browsers"),
        ({"actions": {"stars": "Cheer."}}, "actions: 'stars', expected one of"),
        ({"names": {"vip": "Loyal"}}, "names: 'Loyal' occurs twice"),
    ],
)
def test_names_of_segments_there_are_not_or_that_are_taken_are_refused(changes: Any, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        load_settings(None, {"segmentations": [{"kind": "learned", "name": "value"} | changes]})


def test_thresholds_that_contradict_each_other_are_refused_by_the_segmentations_name() -> None:
    configuration = LearnedConfiguration(name="value", risk_probability=0.05)
    with pytest.raises(ConfigurationError, match=r"segmentation value: lapsed_probability: 0.1, expected at most risk"):
        build_segmentation(configuration, DEFAULTS)


def test_document_without_a_kind_is_of_the_learned_one() -> None:
    document = encode_segmentation(COLD_START)
    del document["kind"]
    assert decode_segmentation(document).kind == "learned"


def test_document_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ModelInvalid, match="kind: 'guessed', expected one of learned, rules"):
        decode_segmentation(encode_segmentation(BY_RULES) | {"kind": "guessed"})
