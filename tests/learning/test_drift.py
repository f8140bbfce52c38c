from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.learning.drift import ReferenceDistribution, centroid_shift
from stream_app.learning.lineage import UNMATCHED


def test_shift_is_the_mean_distance_of_matched_centroids():
    earlier = np.array([[0.0, 0.0], [10.0, 0.0]])
    later = np.array([[10.0, 1.0], [99.0, 99.0], [3.0, 4.0]])
    assert centroid_shift(earlier, later, np.array([1, UNMATCHED, 0])) == pytest.approx((1 + 5) / 2)


def test_bins_of_the_reference_are_deciles():
    reference = ReferenceDistribution.of(np.arange(1000.0)[:, None])
    assert reference.edges.shape == (1, 9)
    assert reference.shares == pytest.approx(np.full((1, 10), 0.1))


@given(st.integers(0, 10_000))
def test_same_sample_has_index_zero(seed):
    features = np.random.default_rng(seed).normal(size=(50, 4))
    assert ReferenceDistribution.of(features).population_stability(features) == pytest.approx(np.zeros(4))


@given(st.integers(0, 10_000), st.floats(-5, 5), st.integers(1, 40))
def test_index_is_finite_and_never_negative(seed, shift, n_later):
    rng = np.random.default_rng(seed)
    later = rng.normal(shift, 1, (n_later, 3)).round(1)
    psi = ReferenceDistribution.of(rng.normal(size=(60, 3)).round(1)).population_stability(later)
    assert np.isfinite(psi).all()
    assert (psi >= 0).all()


def test_index_equals_its_definition():
    reference = ReferenceDistribution.of(np.arange(100.0)[:, None])
    later = np.arange(50.0, 150.0)[:, None]
    shares = np.array([0.005, 0.005, 0.005, 0.005, 0.005, 0.1, 0.1, 0.1, 0.1, 0.6])
    expected = ((shares - 0.1) * np.log(shares / 0.1)).sum()
    assert reference.population_stability(later) == pytest.approx([expected])


def test_only_the_feature_that_moved_stands_out():
    rng = np.random.default_rng(0)
    reference = ReferenceDistribution.of(rng.normal(size=(2000, 2)))
    psi = reference.population_stability(rng.normal((0.0, 1.0), 1.0, (2000, 2)))
    assert psi[0] < 0.1 < 0.25 < psi[1]


def test_constant_feature_is_stable():
    reference = ReferenceDistribution.of(np.zeros((40, 1)))
    assert reference.population_stability(np.zeros((40, 1))) == pytest.approx([0.0])


def test_state_survives_json():
    reference = ReferenceDistribution.of(np.random.default_rng(0).normal(size=(90, 4)))
    restored = ReferenceDistribution.from_state(json.loads(json.dumps(reference.state())))
    later = np.random.default_rng(1).normal(size=(90, 4))
    assert restored.population_stability(later).tolist() == reference.population_stability(later).tolist()
