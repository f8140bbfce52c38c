from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from stream_app.learning.kmeans import (
    fit_afresh,
    lloyd,
    mean_inertia,
    seed_centroids,
    squared_distances,
)
from tests.learning.populations import blobs


@given(st.integers(0, 10_000))
def test_distances_agree_with_the_definition(seed):
    rng = np.random.default_rng(seed)
    points, centroids = rng.normal(size=(9, 3)), rng.normal(size=(4, 3))
    expected = ((points[:, None] - centroids[None]) ** 2).sum(axis=2)
    assert np.allclose(squared_distances(points, centroids), expected)
    assert mean_inertia(points, centroids) == pytest.approx(expected.min(axis=1).mean())


def test_distances_are_never_negative():
    points = np.full((3, 2), 1e6) + 1e-3
    assert (squared_distances(points, points) >= 0).all()


def test_seeds_are_points_and_distinct_where_points_are():
    points = blobs()
    seeds = seed_centroids(points, 6, np.random.default_rng(0))
    assert len(np.unique(seeds, axis=0)) == 6
    assert (squared_distances(seeds, points).min(axis=1) < 1e-9).all()


def test_seeds_of_fewer_distinct_points_than_clusters_coincide():
    points = np.repeat([[1.0, 2.0], [3.0, 4.0]], 5, axis=0)
    seeds = seed_centroids(points, 4, np.random.default_rng(0))
    assert set(map(tuple, seeds)) == {(1.0, 2.0), (3.0, 4.0)}


@given(st.integers(0, 1_000))
def test_iterating_longer_never_raises_the_inertia(seed):
    points = blobs(seed, n=120)
    start = seed_centroids(points, 5, np.random.default_rng(seed))
    inertias = [lloyd(points, start, n).inertia for n in (0, 1, 2, 5, 20)]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(inertias))


def test_settled_centroids_are_the_means_of_their_points():
    points = blobs()
    settled = lloyd(points, seed_centroids(points, 5, np.random.default_rng(1)), 200)
    labels = squared_distances(points, settled.centroids).argmin(axis=1)
    means = np.array([points[labels == label].mean(axis=0) for label in range(5)])
    assert np.allclose(settled.centroids, means, atol=0.01)


def test_centroids_without_points_go_to_the_farthest_ones():
    points = np.array([[0.0], [0.1], [7.0], [9.0]])
    moved = lloyd(points, np.array([[0.0], [100.0], [200.0]]), 1).centroids
    assert moved.ravel().tolist() == [pytest.approx(4.025), 9.0, 7.0]


def test_inertia_is_level_with_scikit_learn():
    points = blobs(seed=4, n=2000, k=7, dimensions=4)
    batch = KMeans(7, n_init=10, random_state=0).fit(points).inertia_ / len(points)
    ours = fit_afresh(points, 7, 4, np.random.default_rng(0))
    assert ours.inertia <= 1.01 * batch
