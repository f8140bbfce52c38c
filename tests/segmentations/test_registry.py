from __future__ import annotations

from typing import Any

import pytest

from stream_app.errors import ConfigurationError, ModelInvalid
from stream_app.segmentations.learned.configuration import LearnedConfiguration
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.registry import build_segmentation, decode_segmentation, encode_segmentation
from stream_app.settings.loading import load_settings
from stream_app.settings.sections import Settings
from tests.segmentations.examples import BY_RULES, COLD_START, LEARNED, RULES

DEFAULTS = {"hysteresis": 0.5, "no_return_days": 30.0}


@pytest.mark.parametrize(
    ("tables", "complaint"),
    [
        ([], "at least 1 item"),
        ([{"kind": "learned", "name": f"n{number}"} for number in range(9)], "at most 8 items"),
        ([{"kind": "guessed", "name": "value"}], "kind: 'guessed', expected one of learned, rules"),
        ([{"name": "value"}], "kind: None, expected one of learned, rules"),
        (["value"], "kind: None, expected"),
        ([{"kind": "learned", "name": "value"}, RULES | {"name": "value"}], "the name 'value' stands twice"),
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


def test_learned_segmentation_begins_with_the_cold_start_and_keeps_its_last_model() -> None:
    built = build_segmentation(LearnedConfiguration(name="value", hysteresis=0.2), DEFAULTS)
    assert isinstance(built, LearnedSegmentation)
    assert (built.version, built.model.hysteresis, built.model.no_return_days) == (0, 0.2, 30.0)
    assert build_segmentation(LearnedConfiguration(name="value"), DEFAULTS, LEARNED) is LEARNED
    assert isinstance(build_segmentation(LearnedConfiguration(name="value"), DEFAULTS, BY_RULES), LearnedSegmentation)


def test_document_without_a_kind_is_of_the_learned_one() -> None:
    document = encode_segmentation(COLD_START)
    del document["kind"]
    assert decode_segmentation(document).kind == "learned"


def test_document_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ModelInvalid, match="kind: 'guessed', expected one of learned, rules"):
        decode_segmentation(encode_segmentation(BY_RULES) | {"kind": "guessed"})
