from __future__ import annotations

import json

import numpy as np
import pytest

from stream_app.learning.algorithms import RIVER_LEARNERS
from stream_app.learning.kmeans import squared_distances
from tests.learning.populations import blobs

ALGORITHMS = sorted(RIVER_LEARNERS)


def learner_of(algorithm, n_clusters=4, seed=1):
    return RIVER_LEARNERS[algorithm](n_clusters, (1.0, 0.5, 1.0), seed)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_centers_are_read_back_in_raw_space(algorithm):
    population = 100 + 10 * blobs(n=400, k=4)
    fit = learner_of(algorithm).learn_sample(population, 0)
    assert fit.centroids.shape == (4, 3)
    nearest = squared_distances(fit.centroids, population).min(axis=1)
    # Some center lies amid the population, and none of the figures is in standardised units.
    assert nearest.min() < 100
    assert (np.abs(fit.centroids.mean(axis=0) - population.mean(axis=0)) < 3 * population.std(axis=0)).all()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_restored_learner_repeats_what_the_other_does_next(algorithm):
    learner, restored = learner_of(algorithm), learner_of(algorithm)
    restored.load_state(learner.state())
    for tick in range(2):
        learner.learn_sample(blobs(seed=tick, n=150), tick)
    restored.load_state(json.loads(json.dumps(learner.state())))
    fits = [each.learn_sample(blobs(seed=5, n=150), 2) for each in (learner, restored)]
    assert fits[0].centroids.tolist() == fits[1].centroids.tolist()


@pytest.mark.parametrize("algorithm", ["river-kmeans", "river-streamkmeans"])
def test_next_tick_starts_from_the_centers_of_the_last(algorithm):
    carried, fresh = learner_of(algorithm), learner_of(algorithm)
    carried.learn_sample(blobs(n=300), 0)
    fits = [each.learn_sample(blobs(n=300), 1).centroids for each in (carried, fresh)]
    assert not np.allclose(fits[0], fits[1])


def test_too_few_centers_make_no_model():
    # CluStream needs 100 rows before it groups anything.
    assert learner_of("river-clustream").learn_sample(blobs(n=50), 0) is None


def test_center_that_is_not_finite_makes_no_model():
    points = blobs(n=300)
    points[7] = np.nan
    learner = learner_of("river-kmeans")
    assert learner.learn_sample(points, 0) is None
    assert learner.state()["centroids"] is None
