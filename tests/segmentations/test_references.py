"""Mistakes in what definitions refer to, and in how large they are."""

from __future__ import annotations

from typing import Any

import pytest

from tests.segmentations.test_file import LEAF, audience, document, lines

VALUE = {"kind": "learned", "name": "value"}
DEEP: Any = {"event": "x"}
for _ in range(16):
    DEEP = {"any": [DEEP, {"event": "y"}]}


@pytest.mark.parametrize(
    ("when", "mistake"),
    [
        ({"segmentation": "value"}, ".segment: missing, expected one of occasional, browsers, "),
        (
            {"segmentation": "value", "segment": "vips"},
            ".segment: value has no segment 'vips', expected one of occasional, ",
        ),
        ({"segmentation": "b", "segment": "new"}, ".segment: b is an audience, expected no segment"),
        (DEEP, ": 17 conditions inside one another, expected 16 at most"),
        ({"trait": "a", "equals": 10**400}, ".equals: "),
        ({"trait": "a", "equals": "x" * 257}, ".equals: "),
    ],
)
def test_mistake_in_what_is_referred_to_is_named(when: Any, mistake: str) -> None:
    (line,) = lines(document(audience(when), VALUE, audience({"event": "x"}, "b")))
    assert line.startswith(f"{LEAF}{mistake}")


def test_segments_of_a_learned_segmentation_have_two_names_each() -> None:
    both = [{"segmentation": "value", "segment": segment} for segment in ("vip", "s1")]
    assert lines(document(audience({"any": both}), VALUE)) == []


def test_definition_of_too_many_conditions_is_refused() -> None:
    whens = [{"trait": f"t{number % 100}", "equals": number} for number in range(257)]
    assert lines(document(audience({"any": [{"any": whens[:200]}, {"any": whens[200:]}]}))) == [
        "segmentations[0]: 257 conditions in all, expected 256 at most"
    ]


def test_segmentation_that_is_wrong_itself_is_told_once() -> None:
    made = document(audience({"segmentation": "b"}), audience({"events": "x"}, "b"))
    (line,) = lines(made)
    assert line.startswith("segmentations[1].when: a mapping with events, expected a condition")
