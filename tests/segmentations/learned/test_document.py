from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.members import MemberSums, member_figures
from stream_app.core.segments import Segment
from stream_app.errors import ModelInvalid
from stream_app.segmentations.learned.document import (
    Drift,
    ModelProposal,
    model_document,
    model_from_document,
    proposal_from_document,
)
from stream_app.segmentations.learned.model import Frame
from stream_app.segmentations.learned.roles import KEYS, KINDS
from tests.support.models import EARLIER_SEGMENTS, learned_model, models, prior_model

share = st.floats(0, 1)
FIGURES = tuple(
    member_figures({0: MemberSums(3, 7, 90_00, 0, 86_400), 1: MemberSums(), 2: MemberSums(2)}, 10**9, 100).values()
)


@st.composite
def proposals(draw: st.DrawFn) -> ModelProposal:
    model = replace(
        draw(models()),
        names=draw(st.sampled_from([{}, {"vip": "Stars", "lost": "Verloren"}])),
        actions=draw(st.sampled_from([{}, {"new": "Say hello."}])),
        expected_churn=draw(st.none() | share),
        retired_segments=draw(st.sampled_from([(), EARLIER_SEGMENTS])),
        training=draw(st.sampled_from([{}, {"sample_size": 12, "fit": 0.5}])),
    )
    drift = st.builds(Drift, st.just({"order_rate": 0.1}), st.dictionaries(st.sampled_from(KEYS[:7]), share))
    members = st.fixed_dictionaries({kind.code: st.sampled_from(FIGURES) for kind in KINDS})
    return ModelProposal(
        model, held=draw(st.booleans()), drift=draw(st.none() | drift), members=draw(st.none() | members)
    )


def plain(value: Any) -> Any:
    """Return a value whose arrays can be compared."""
    if isinstance(value, Frame):
        fields = (value.rhythm, value.order_value_minor, value.engagement_weight, value.new_days)
        return (*fields, value.centres.tolist(), value.is_open.tolist())
    return value


@given(proposals())
def test_document_gives_the_same_model_back(proposal: ModelProposal) -> None:
    document = json.loads(json.dumps(model_document(proposal), allow_nan=False))
    found = proposal_from_document(document)
    for name in proposal.model.__dataclass_fields__:
        assert plain(getattr(found.model, name)) == plain(getattr(proposal.model, name)), name
    assert (found.held, found.drift, found.members) == (proposal.held, proposal.drift, proposal.members)
    assert model_document(found) == document


def example(**changes: Any) -> dict[str, Any]:
    return model_document(ModelProposal(learned_model())) | changes


def test_segments_carry_what_campaigns_need() -> None:
    model = replace(prior_model(), names={"vip": "Stars"}, actions={"vip": "Call them."})
    segments = model_document(ModelProposal(model))["segments"]
    assert [segment["id"] for segment in segments] == [f"s{kind.code}" for kind in KINDS]
    (vip,) = (segment for segment in segments if segment["id"] == "s104")
    assert (vip["name"], vip["action"], vip["level"], vip["open"]) == ("Stars", "Call them.", 4, True)
    assert all(segment["statement"] for segment in segments)
    assert [segment["centre"] is None for segment in segments] == [False] * 7 + [True] * 5


def test_prior_numbers_are_dated_at_the_epoch_and_have_no_training() -> None:
    document = model_document(ModelProposal(prior_model()))
    assert (document["as_of"], document["training"], document["previous_frame"]) == (
        "1970-01-01T00:00:00.000Z",
        None,
        None,
    )
    assert plain(model_from_document(document).frame) == plain(Frame())


def test_document_of_clusters_is_taken_for_its_version_and_its_segments() -> None:
    document = {
        "segmentation": "value",
        "version": 7,
        "status": "held",
        "as_of": "2024-05-01T12:00:00.000Z",
        "segments": [{"id": "s1", "name": "Best"}, {"id": "s12", "name": "Visitors"}],
        "retired_segments": [{"id": "s9", "name": "Old"}],
    }
    found = proposal_from_document(document)
    assert found.held
    assert (found.model.name, found.model.version, found.model.as_of_ms) == ("value", 7, 1_714_564_800_000)
    assert found.model.retired_segments == (Segment(12, "Visitors"), Segment(9, "Old"))
    assert plain(found.model.frame) == plain(Frame())
    del document["retired_segments"]
    assert model_from_document(document).retired_segments == (Segment(12, "Visitors"),)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"retired_segments": [{"id": "3", "name": "x"}]}, "segment id: '3', expected s and a number"),
        ({"retired_segments": [{"id": "sx", "name": "x"}]}, "segment id: 'sx', expected s and a number"),
        ({"retired_segments": [{"id": 3, "name": "x"}]}, "model: .*removeprefix"),
        ({"as_of": "yesterday"}, "model: .*yesterday"),
        ({"as_of": "2024-05-01T12:00:00"}, "model: naive instant"),
        ({"thresholds": {"mood": 1}}, "model: .*mood"),
        ({"frame": None}, "model: 'NoneType'"),
        ({"frame": {}}, "model: '.*' is missing"),
        ({"names": {"vip": "Loyal"}}, "expected distinct ones"),
        ({"frame": example()["frame"] | {"centres": [[0.0] * 3] * 6}}, "centres: shape"),
    ],
)
def test_wrong_value_is_refused_by_name(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ModelInvalid, match=complaint):
        model_from_document(example(**changes))


@pytest.mark.parametrize(
    ("members", "complaint"), [({"customers": 3}, "model: .*missing required field `share`"), (3, "model: Expected")]
)
def test_wrong_figures_of_members_are_refused(members: Any, complaint: str) -> None:
    segments = [segment | {"members": members} for segment in example()["segments"]]
    with pytest.raises(ModelInvalid, match=complaint):
        model_from_document(example(segments=segments))


@pytest.mark.parametrize("key", ["drift", "status", "training", "previous_frame", "thresholds", "retired_segments"])
def test_missing_key_is_refused_by_name(key: str) -> None:
    document = example()
    del document[key]
    with pytest.raises(ModelInvalid, match=f"model: '{key}' is missing"):
        model_from_document(document)
