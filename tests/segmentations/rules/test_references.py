"""What a definition looks at."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from stream_app.segmentations.configuration import Configuration
from stream_app.segmentations.registry import counted_by, fields_looked_at, looks_at
from stream_app.segmentations.rules.conditions import canonical
from stream_app.segmentations.rules.definition import AudienceConfiguration
from stream_app.segmentations.rules.references import counted, leaf_key, lists_of, read_leaf, traits_of
from stream_app.segmentations.rules.segmentation import AudienceSegmentation
from tests.segmentations.examples import COLD_START


class Odd(Configuration):
    """What no condition is."""

    odd: Any


BOUGHT = {"event": "order_completed", "where": [{"field": "channel", "equals": "app"}]}
STAYED = {"segmentation": "stage", "segment": "new", "for_at_least": "3d"}
WHEN = {
    "all": [
        BOUGHT,
        STAYED,
        {"segmentation": "vips"},
        {"trait": "country", "equals": "IT"},
        {"list": "staff"},
        {"figure": "purchases", "at_least": 1},
        {"random": {"salt": "s", "to_percent": 10}},
    ]
}
DEFINITION = AudienceConfiguration.model_validate({"kind": "audience", "name": "a", "when": WHEN})
SEGMENTATION = AudienceSegmentation(DEFINITION)


def test_definition_says_what_it_looks_at() -> None:
    assert traits_of(DEFINITION) == {"country"}
    assert lists_of(DEFINITION) == {"staff"}
    assert looks_at(SEGMENTATION) == {"stage", "vips"}
    assert fields_looked_at([SEGMENTATION, COLD_START]) == {"channel"}
    assert looks_at(COLD_START) == counted_by(COLD_START) == frozenset()


def test_events_and_stays_are_counted_from_when_somebody_asks() -> None:
    expected = [read_leaf(BOUGHT), read_leaf(STAYED)]
    assert list(counted(DEFINITION)) == expected
    assert counted_by(SEGMENTATION) == {leaf_key(leaf) for leaf in expected}


def test_leaves_of_equal_meaning_have_one_key() -> None:
    keys = [leaf_key(read_leaf({"event": "x", "last": last})) for last in ("14d", "2w", "15d")]
    assert keys[0] == keys[1] != keys[2]
    with pytest.raises(ValidationError):
        read_leaf({"events": "x"})


def test_what_no_document_can_hold_has_no_canonical_form() -> None:
    with pytest.raises(TypeError, match="object is in a condition"):
        canonical(Odd(odd=object()))
