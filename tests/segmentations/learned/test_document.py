from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stream_app.segmentations.learned.features import FEATURE_NAMES, FeatureParameters

from stream_app.core.clock import NO_TIME
from stream_app.core.segments import Segment
from stream_app.errors import ModelInvalid
from stream_app.segmentations.learned.document import (
    Drift,
    ModelProposal,
    SegmentProfile,
    model_document,
    model_from_document,
    proposal_from_document,
)
from stream_app.segmentations.learned.model import Model

finite = st.floats(-1e6, 1e6)
positive = st.floats(1e-6, 1e6)
share = st.floats(0, 1)


def vectors(elements):
    return st.lists(elements, min_size=4, max_size=4).map(np.array)


@st.composite
def proposals(draw):
    k = draw(st.integers(1, 5))
    codes = draw(st.lists(st.integers(1, 32_767), min_size=k, max_size=k, unique=True))
    names = draw(st.lists(st.text(min_size=1, max_size=5), min_size=k, max_size=k, unique=True))
    feature_set = draw(st.sampled_from(["activity", "plain"]))
    training = st.fixed_dictionaries({"algorithm": st.text(), "inertia": finite, "sample_size": st.integers()})
    psi = st.fixed_dictionaries(dict.fromkeys(FEATURE_NAMES[feature_set], positive))
    profile = st.builds(SegmentProfile, share, *[positive] * 5)
    snapshot = Model(
        name=draw(st.text(min_size=1, max_size=5)),
        version=draw(st.integers(0, 10**9)),
        as_of_ms=draw(st.integers(0, 4_102_444_800_000)),
        parameters=FeatureParameters(feature_set, draw(positive), draw(positive)),
        mean=draw(vectors(finite)),
        scale=draw(vectors(positive)),
        centroids=np.array([draw(vectors(finite)) for _ in range(k)]),
        segments=tuple(Segment(code, name) for code, name in zip(codes, names, strict=True)),
        hysteresis=draw(positive),
        no_return_days=draw(positive),
        weights=draw(vectors(positive)),
        expected_churn=draw(st.none() | share),
        retired_segments=tuple(Segment(code, f"retired {code}") for code in draw(st.sets(st.integers(1, 99)))),
        training=draw(st.just({}) | training),
    )
    return ModelProposal(
        snapshot,
        held=draw(st.booleans()),
        profiles=draw(st.none() | st.tuples(*[profile] * k)),
        drift=draw(st.none() | st.builds(Drift, positive, psi)),
    )


def fields_of(proposal):
    def plain(value):
        return value.tolist() if isinstance(value, np.ndarray) else value

    snapshot = proposal.model
    figures = {name: plain(getattr(snapshot, name)) for name in snapshot.__dataclass_fields__}
    return figures, proposal.held, proposal.profiles, proposal.drift


@given(proposals())
def test_document_gives_the_same_model_back(proposal):
    document = json.loads(json.dumps(model_document(proposal)))
    assert fields_of(proposal_from_document(document)) == fields_of(proposal)
    assert model_document(proposal_from_document(document)) == document


def example(**changes):
    snapshot = Model(
        name="value",
        version=0,
        as_of_ms=NO_TIME,
        parameters=FeatureParameters("activity", 30.0, 1.0),
        mean=np.zeros(4),
        scale=np.ones(4),
        centroids=np.zeros((1, 4)),
        segments=(Segment(3, "Loyal"),),
        hysteresis=0.5,
        no_return_days=30.0,
    )
    return model_document(ModelProposal(snapshot)) | changes


def test_document_has_exactly_the_keys_of_the_contract():
    document = example()
    assert set(document) == {
        "kind", "segmentation", "version", "status", "as_of", "feature_set", "prior_gap_days", "order_value_minor",
        "feature_names", "weights", "mean", "scale", "hysteresis", "no_return_days", "segments", "retired_segments",
        "expected_churn", "training", "drift",
    }  # fmt: skip
    assert document["kind"] == "learned"
    assert document["segments"] == [{"id": "s3", "name": "Loyal", "centroid": [0.0] * 4, "share": 0.0, "profile": None}]


def test_rules_are_dated_at_the_epoch_and_have_no_training():
    document = example()
    assert document["as_of"] == "1970-01-01T00:00:00.000Z"
    assert document["training"] is None
    assert document["status"] == "published"
    assert model_from_document(document).training == {}


def test_document_without_retired_segments_is_read():
    document = example()
    assert document.pop("retired_segments") == []
    assert model_from_document(document).retired_segments == ()


def test_retired_segments_are_listed_by_id_and_name():
    retired = [{"id": "s9", "name": "Loyal"}]
    snapshot = model_from_document(example(retired_segments=retired))
    assert snapshot.retired_segments == (Segment(9, "Loyal"),)
    assert model_document(ModelProposal(snapshot))["retired_segments"] == retired


def segments(**changes):
    return [{"id": "s1", "name": "Loyal", "centroid": [0.0] * 4, "share": 0.0, "profile": None} | changes]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"feature_set": "fancy"}, "feature_set: 'fancy', expected one of activity, plain"),
        ({"segments": segments(id="3")}, "segment id: '3', expected s and a number"),
        ({"segments": segments(id="sx")}, "segment id: 'sx', expected s and a number"),
        ({"segments": segments(id=3)}, "model: .*removeprefix"),
        ({"segments": []}, "centroids: shape"),
        ({"as_of": "yesterday"}, "model: .*yesterday"),
        ({"as_of": "2024-05-01T12:00:00"}, "model: naive instant"),
        ({"scale": [1.0, 0.0, 1.0, 1.0]}, "scale: .*expected numbers > 0"),
        ({"mean": None}, "mean: shape"),
        ({"hysteresis": [1]}, "model: float"),
    ],
)
def test_wrong_value_is_refused_by_name(changes, complaint):
    with pytest.raises(ModelInvalid, match=complaint):
        model_from_document(example(**changes))


@pytest.mark.parametrize("key", ["segments", "drift", "status", "training", "weights"])
def test_missing_key_is_refused_by_name(key):
    document = example()
    del document[key]
    with pytest.raises(ModelInvalid, match=f"model: '{key}' is missing"):
        model_from_document(document)
