"""Which segment somebody means, by the newest models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream_app.contracts.migration_filter import SegmentChoice
from stream_app.contracts.readers import SegmentReference, membership_key, read_model, split_membership_key
from stream_app.contracts.segment_index import SegmentIndex
from stream_app.errors import SegmentAmbiguous, SegmentUnknown

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples" / "segment-models"


def model(name: str, **changes: Any) -> Any:
    return read_model(msgspec.json.encode(json.loads((EXAMPLES / f"{name}.pass.json").read_bytes()) | changes))


@pytest.fixture
def index() -> SegmentIndex:
    index = SegmentIndex()
    index.add(model("published"))
    index.add(model("rules"))
    return index


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("s3", SegmentChoice(None, "s3")),
        ("value/s3", SegmentChoice("value", "s3")),
        ("value/At risk/never back", SegmentChoice("value", "At risk/never back")),
        ("At risk/never back", SegmentChoice(None, "At risk/never back")),
        ("value/", SegmentChoice(None, "value/")),
    ],
)
def test_segment_is_read_with_or_without_its_segmentation(text: str, choice: SegmentChoice) -> None:
    assert SegmentChoice.parse(text) == choice


def test_id_goes_before_a_name_and_a_segment_in_use_before_a_retired_one(index: SegmentIndex) -> None:
    segments = [{"id": "b", "name": "a"}, {"id": "a", "name": "b"}, {"id": "c", "name": "gone"}]
    index.add(model("rules", version=3, segments=[segment | {"sentence": ""} for segment in segments]))
    found = {text: index.resolve(SegmentChoice.parse(text)).segment for text in ("a", "b", "c", "gone", "Gone")}
    assert found == {"a": "a", "b": "b", "c": "c", "gone": "gone", "Gone": "gone"}


def test_older_or_held_model_does_not_replace_a_newer_one(index: SegmentIndex) -> None:
    index.add(model("held"))
    index.add(model("prior"))
    assert index.models["value"].version == 7


def test_segment_keeps_its_last_name_when_no_model_has_it_any_more(index: SegmentIndex) -> None:
    assert index.reference("value", "s9") == SegmentReference("s9", "Weekend visitors")
    index.add(model("published", version=8, retired_segments=[]))
    assert index.reference("value", "s9") == SegmentReference("s9", "Weekend visitors")
    assert index.reference("value", "s77") == SegmentReference("s77", "s77")


def test_segmentation_that_was_removed_is_unknown(index: SegmentIndex) -> None:
    index.remove("lifecycle")
    with pytest.raises(SegmentUnknown, match="there is no segmentation 'lifecycle'; there are value"):
        index.require("lifecycle")


def test_bare_segment_of_several_segmentations_is_ambiguous(index: SegmentIndex) -> None:
    index.add(model("published", segmentation="taste"))
    with pytest.raises(SegmentAmbiguous, match=r"name one of taste/s5 \(At risk\), value/s5 "):
        index.resolve(SegmentChoice.parse("At risk"))
    assert index.resolve(SegmentChoice.parse("At risk"), ["value"]) == SegmentChoice("value", "s5")
    assert index.resolve(SegmentChoice.parse("taste/At risk")) == SegmentChoice("taste", "s5")


def test_key_of_a_membership_is_taken_apart_at_the_first_slash() -> None:
    assert split_membership_key(membership_key("value", "a/b")) == ("value", "a/b")
    for wrong in ("customer-1", "/a", "value/"):
        with pytest.raises(ValueError, match="expected the key"):
            split_membership_key(wrong)
