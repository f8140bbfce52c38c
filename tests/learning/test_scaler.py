from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.learning.scaler import EwmaScaler


def sample_around(mean, deviation):
    return np.array([[mean - deviation], [mean + deviation]], np.float64)


def test_first_sample_counts_in_full():
    scaler = EwmaScaler()
    scaler.learn(sample_around(10.0, 2.0))
    assert (scaler.mean, scaler.scale) == (10.0, 2.0)


def test_later_samples_are_averaged_in():
    scaler = EwmaScaler(alpha=0.2)
    scaler.learn(sample_around(10.0, 2.0))
    scaler.learn(sample_around(20.0, 4.0))
    assert scaler.mean == pytest.approx([12.0])
    assert scaler.scale == pytest.approx([2.4])


def test_constant_feature_stays_in_its_own_units():
    scaler = EwmaScaler()
    scaler.learn(np.full((5, 1), 0.1))
    assert scaler.scale == 1.0
    assert scaler.standardise(np.array([[0.6]])) == pytest.approx(0.5)


def test_spread_seen_for_the_first_time_is_taken_in_full():
    scaler = EwmaScaler()
    scaler.learn(np.zeros((5, 1)))
    scaler.learn(sample_around(1.0, 3.0))
    assert scaler.scale == pytest.approx([3.0])


def test_weights_stretch_the_features_they_are_given_for():
    scaler = EwmaScaler(weights=(0.5,))
    scaler.learn(np.array([[-1.0, -1.0], [1.0, 1.0]]))
    assert scaler.standardise(np.array([[2.0, 2.0]])) == pytest.approx(np.array([[1.0, 2.0]]))


@pytest.mark.parametrize("weights", [(), (0.5,), (0.5, 2.0, 3.0, 9.0)])
def test_weights_are_as_many_as_the_features(weights):
    scaler = EwmaScaler(weights)
    scaler.learn(np.zeros((1, 2)))
    scaler.widen(3)
    assert scaler.weights.shape == scaler.mean.shape == scaler.scale.shape == (3,)


def test_widening_leaves_known_features_alone():
    scaler = EwmaScaler()
    scaler.learn(sample_around(10.0, 2.0))
    scaler.widen(2)
    assert scaler.standardise(np.array([[12.0, 3.0]])) == pytest.approx(np.array([[1.0, 3.0]]))


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_restoring_raw_features_inverts_standardising(seed, samples):
    rng = np.random.default_rng(seed)
    scaler = EwmaScaler(weights=(0.5, 1.0, 2.0))
    for _ in range(samples):
        scaler.learn(rng.normal(3, 2, (6, 3)))
    features = rng.normal(size=(4, 3))
    assert np.allclose(scaler.restore_raw(scaler.standardise(features)), features)


def test_state_survives_json():
    scaler, restored = EwmaScaler(), EwmaScaler()
    scaler.learn(np.random.default_rng(0).normal(size=(9, 3)))
    restored.load_state(json.loads(json.dumps(scaler.state())))
    more = np.random.default_rng(1).normal(size=(9, 3))
    scaler.learn(more)
    restored.learn(more)
    assert scaler.state() == restored.state()
