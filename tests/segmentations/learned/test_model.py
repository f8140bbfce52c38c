from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stream_app.segmentations.learned.features import FeatureParameters, extract_features

from stream_app.core.segments import MAX_SEGMENT_CODE, Segment
from stream_app.errors import ModelInvalid
from stream_app.segmentations.learned.model import Model
from tests.support.models import plain_snapshot, rules_snapshot, score, snapshot_of
from tests.support.tables import quantities_of_events

CENTROIDS = np.arange(8.0).reshape(2, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segments": ()}, "centroids: shape"),
        ({"segments": (Segment(1, "one"),)}, "centroids: shape"),
        ({"centroids": CENTROIDS[:, :3]}, "centroids: shape"),
        ({"mean": np.zeros(3)}, "mean: shape"),
        ({"scale": np.ones(5)}, "scale: shape"),
        ({"weights": np.ones((1, 4))}, "weights: shape"),
        ({"mean": np.array([0, 0, np.nan, 0])}, "mean: .*not finite"),
        ({"scale": np.array([1, 1, np.inf, 1])}, "scale: .*not finite"),
        ({"weights": np.array([1, -np.inf, 1, 1])}, "weights: .*not finite"),
        ({"centroids": CENTROIDS * np.nan}, "centroids: .*not finite"),
        ({"scale": np.array([1, 0, 1, 1.0])}, "scale: .*> 0"),
        ({"scale": np.array([1, -1, 1, 1.0])}, "scale: .*> 0"),
        ({"segments": (Segment(1, "one"), Segment(1, "two"))}, "distinct"),
        ({"segments": (Segment(1, "one"), Segment(2, "one"))}, "distinct"),
        ({"segments": (Segment(0, "one"), Segment(2, "two"))}, "codes .*expected 1 to"),
        ({"segments": (Segment(1, "one"), Segment(MAX_SEGMENT_CODE + 1, "two"))}, "codes .*expected 1 to"),
        ({"hysteresis": float("nan")}, "hysteresis"),
        ({"hysteresis": -0.1}, "hysteresis"),
        ({"no_return_days": float("inf")}, "no_return_days"),
        ({"no_return_days": -1.0}, "no_return_days"),
        ({"parameters": FeatureParameters("activity", 0.0, 1.0)}, "prior_gap_days"),
        ({"parameters": FeatureParameters("activity", 30.0, float("nan"))}, "order_value_minor"),
    ],
)
def test_inconsistent_snapshot_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelInvalid, match=message):
        snapshot_of(**({"centroids": CENTROIDS} | changes))


def test_segments_are_found_by_code() -> None:
    snapshot = snapshot_of(
        CENTROIDS,
        segments=(Segment(7, "seven"), Segment(MAX_SEGMENT_CODE, "last")),
        retired_segments=(Segment(3, "former"),),
    )
    assert snapshot.roster.codes[:-1].tolist() == [7, MAX_SEGMENT_CODE]
    assert snapshot.roster.index_of_code[[7, MAX_SEGMENT_CODE, 3, 0]].tolist() == [0, 1, -1, -1]
    assert {code: segment.segment_id for code, segment in snapshot.roster.by_code.items()} == {
        3: "s3",
        7: "s7",
        MAX_SEGMENT_CODE: f"s{MAX_SEGMENT_CODE}",
    }


@given(st.integers(0, 1_000))
def test_scores_differ_like_squared_distances(seed: int) -> None:
    rng = np.random.default_rng(seed)
    snapshot = snapshot_of(
        rng.normal(size=(5, 4)), mean=rng.normal(size=4), scale=rng.uniform(0.3, 3, 4), weights=rng.uniform(0, 2, 4)
    )
    features = rng.normal(size=(6, 4))
    scores = snapshot.score(features)
    for customer, raw in enumerate(features):
        squared = [
            sum(
                (w * ((x - m) / s - (c - m) / s)) ** 2
                for x, c, m, s, w in zip(raw, centroid, snapshot.mean, snapshot.scale, snapshot.weights, strict=True)
            )
            for centroid in snapshot.centroids
        ]
        assert scores[customer] - scores[customer, 0] == pytest.approx(np.array(squared) - squared[0], abs=1e-9)


def test_separation_is_the_distance_between_scaled_centroids() -> None:
    centroids = np.array([[0.0, 0, 0, 0], [3, 4, 0, 0], [0, 0, 2, 0]])
    assert snapshot_of(centroids).separation == pytest.approx(np.array([[0, 5, 2], [5, 0, 29**0.5], [2, 29**0.5, 0]]))
    halved = snapshot_of(centroids, scale=np.full(4, 2.0), mean=np.full(4, 9.0))
    assert halved.separation[0, 1] == pytest.approx(2.5)


@pytest.mark.parametrize("snapshot", [rules_snapshot(), plain_snapshot()])
def test_quantities_are_scored_by_their_features(snapshot: Model) -> None:
    quantities = quantities_of_events()
    expected = snapshot.score(extract_features(quantities, snapshot.parameters))
    assert score(snapshot, quantities).tolist() == expected.tolist()
