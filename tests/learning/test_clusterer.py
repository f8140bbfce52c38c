from __future__ import annotations

import doctest
import functools
import json

import numpy as np
import pytest
from river import checks
from river.checks import common
from sklearn.cluster import KMeans

from stream_app.learning import clusterer
from stream_app.learning.clusterer import ResampledKMeans
from stream_app.learning.kmeans import mean_inertia
from tests.learning.populations import blobs

NAMES = ("a", "b", "c", "d", "e")
ROWS = [(dict(zip(NAMES, row, strict=True)), None) for row in blobs(n=60, k=3, dimensions=5).tolist()]

# River 0.26 has no data set for clusterers, so it runs none of these on its own accord.
ROW_CHECKS = [
    common.check_learn_one,
    common.check_pickling,
    common.check_shuffle_features_no_impact,
    common.check_emerging_features,
    common.check_disappearing_features,
    common.check_radically_disappearing_features,
    common.check_predict_one_pure,
    common.check_predict_one_before_any_learn,
    common.check_no_state_aliasing_with_input,
    common.check_clone_is_independent,
    common.check_bounded_memory_growth,
]


def small_model(**settings):
    return ResampledKMeans(**{"n_clusters": 3, "sample_size": 10} | settings)


@pytest.mark.parametrize("check", list(checks.yield_checks(ResampledKMeans())), ids=lambda check: check.__name__)
def test_estimator_keeps_rivers_conventions(check):
    check(ResampledKMeans())


@pytest.mark.parametrize("check", ROW_CHECKS, ids=lambda check: check.__name__)
def test_estimator_keeps_rivers_conventions_on_rows(check):
    check(small_model(), dataset=ROWS)


def test_documented_example_runs():
    outcome = doctest.testmod(clusterer)
    assert outcome.attempted >= 6
    assert outcome.failed == 0


def test_clone_starts_untrained_with_the_same_parameters():
    model = small_model(feature_names=NAMES, weights=(0.5, 1.0))
    for x, _ in ROWS:
        model.learn_one(x)
    clone = model.clone()
    assert repr(clone) == repr(model)
    assert clone.state() == small_model(feature_names=NAMES, weights=(0.5, 1.0)).state()


def test_nothing_is_learned_before_a_sample_is_full():
    model = small_model()
    for x, _ in ROWS[:9]:
        model.learn_one(x)
    assert model.state()["centroids"] is None
    model.learn_one(ROWS[9][0])
    assert len(model.state()["centroids"]) == 3


def test_rows_learned_one_by_one_equal_samples():
    one_by_one, by_sample = small_model(), small_model(feature_names=NAMES)
    for x, _ in ROWS:
        one_by_one.learn_one(x)
    matrix = np.array([list(x.values()) for x, _ in ROWS])
    for tick in range(6):
        by_sample.learn_sample(matrix[10 * tick : 10 * tick + 10], tick)
    assert one_by_one.state() == by_sample.state()


def test_rows_of_one_blob_share_a_cluster():
    rng = np.random.default_rng(0)
    centers = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    model = ResampledKMeans(3, 90, ("x", "y"))
    model.learn_sample(centers.repeat(30, axis=0) + rng.normal(0, 0.3, (90, 2)), 0)
    clusters = [model.predict_one({"x": x, "y": y}) for x, y in centers]
    assert sorted(clusters) == [0, 1, 2]
    assert clusters == [model.predict_one({"x": x + 0.5, "y": y - 0.5}) for x, y in centers]


def test_feature_met_late_divides_customers_from_then_on():
    rng = np.random.default_rng(0)
    model = ResampledKMeans(n_clusters=2, sample_size=40, seed=3)
    for _ in range(40):
        model.learn_one({"x": rng.normal()})
    for index in range(200):
        model.learn_one({"x": rng.normal(0, 0.01), "y": 8.0 * (index % 2)})
    assert model.predict_one({"x": 0.0, "y": 8.0}) != model.predict_one({"x": 0.0})


def test_clusters_keep_their_numbers_from_sample_to_sample():
    model = ResampledKMeans(5, seed=2)
    earlier = model.learn_sample(blobs(n=1500), 0).centroids
    for tick in range(1, 5):
        later = model.learn_sample(blobs(n=1500), tick).centroids
    assert np.abs(later - earlier).max() < 0.5


def test_inertia_stays_level_with_batch_k_means_over_samples():
    rng = np.random.default_rng(8)
    population = blobs(seed=8, n=4_000, k=7, dimensions=3)
    model = ResampledKMeans(7)
    for tick in range(4):
        fit = model.learn_sample(population[rng.choice(len(population), 1500, replace=False)], tick)
        points = (population - fit.mean) / fit.scale
        batch = KMeans(7, n_init=5, random_state=0).fit(points).inertia_ / len(points)
        assert mean_inertia(points, (fit.centroids - fit.mean) / fit.scale) / batch <= 1.02


def test_smallest_sufficient_step_is_taken():
    model = ResampledKMeans(5)
    first = model.learn_sample(blobs(n=1000), 0)
    again = model.learn_sample(blobs(n=1000), 1)
    assert (first.step, again.step) == (1.0, 0.1)
    assert again.inertia <= 1.01 * first.inertia


def test_population_that_moved_far_is_followed_all_the_way():
    model = ResampledKMeans(3)
    population = blobs(n=600, k=3)
    model.learn_sample(population, 0)
    shrunk = population.copy()
    shrunk[:, 0] += 3.0
    assert model.learn_sample(shrunk, 1).step == 1.0


def stuck_model(points):
    """Return a model with two centroids in one blob and one between two others: a local optimum of Lloyd's."""
    model = ResampledKMeans(3)
    model.learn_sample(points, 0)
    state = model.state()
    padding = [0.0] * (points.shape[1] - 2)
    state["centroids"] = [[-0.4, 0.0, *padding], [0.4, 0.0, *padding], [22.0, 18.0, *padding]]
    model.load_state(state)
    return model


@pytest.fixture
def three_blobs():
    centers = np.array([[0.0, 0.0], [20.0, 0.0], [24.0, 36.0]])
    return centers.repeat(200, axis=0) + np.random.default_rng(0).normal(size=(600, 2))


def test_challenger_far_better_is_followed_at_once(three_blobs):
    model = stuck_model(three_blobs)
    stuck = mean_inertia(three_blobs, np.array(model.state()["centroids"]))
    fits = [model.learn_sample(three_blobs, tick) for tick in (1, 2)]
    assert [fit.challenger_adopted for fit in fits] == [True, False]
    raw = mean_inertia(three_blobs, fits[1].centroids)
    assert raw < 0.1 * stuck


def test_challenger_is_followed_no_further_than_needed(three_blobs):
    # Features that divide nobody, so that the best fit has some inertia to be measured by.
    points = np.hstack((three_blobs, np.random.default_rng(1).normal(size=(600, 2))))
    model = stuck_model(points)
    fit = model.learn_sample(points, 1)
    best = ResampledKMeans(3).learn_sample(points, 1)
    assert fit.challenger_adopted
    assert fit.step < 1.0
    assert best.inertia < fit.inertia <= 1.035 * best.inertia


def test_challenger_slightly_better_is_not_followed(three_blobs):
    model = ResampledKMeans(3)
    fits = [model.learn_sample(three_blobs, tick) for tick in range(4)]
    assert not any(fit.challenger_adopted for fit in fits)


def test_state_survives_json():
    model = ResampledKMeans(5, feature_names=("a", "b", "c"), seed=9)
    for tick in range(3):
        model.learn_sample(blobs(seed=tick), tick)
    restored = ResampledKMeans(5, seed=9)
    restored.load_state(json.loads(json.dumps(model.state())))
    fits = [each.learn_sample(blobs(seed=7), 3) for each in (model, restored)]
    assert restored.state() == model.state()
    assert fits[0].centroids.tolist() == fits[1].centroids.tolist()
    untrained = ResampledKMeans(5)
    untrained.load_state(ResampledKMeans(5).state())
    assert untrained.predict_one({"a": 1.0}) == 0


def test_result_depends_on_seed_and_tick_alone():
    learn = functools.partial(lambda seed, tick: ResampledKMeans(9, seed=seed).learn_sample(blobs(k=9), tick).centroids)
    assert (learn(1, 4) == learn(1, 4)).all()
    assert (learn(1, 4) != learn(1, 5)).any()
    assert (learn(1, 4) != learn(2, 4)).any()


def test_identical_customers_make_coinciding_clusters():
    fit = ResampledKMeans(4).learn_sample(np.ones((20, 3)), 0)
    assert (fit.centroids == 1.0).all()
    assert fit.inertia == 0.0
