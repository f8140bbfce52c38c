from __future__ import annotations

import doctest
import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from river import checks
from river.checks import common
from scipy.optimize import minimize

from stream_app.learning import centres
from stream_app.learning.centres import DISTANCE_MIN, RATE_ORDER, RoleCentres, disorder, fit_centres, in_order
from stream_app.learning.rhythm import GAIN
from stream_app.segmentations.learned.axes import AXES, ENGAGEMENT, ORDERS, VALUE
from stream_app.segmentations.learned.model import OFFSETS, PRIOR_TYPICAL, Frame
from stream_app.segmentations.learned.roles import (
    BIG_SPENDERS,
    BROWSERS,
    CHAMPIONS,
    LOYAL,
    OCCASIONAL,
    REGULAR,
    ROLES,
    VIP,
)

NAMES = ("a", "b", "c", "d", "e")
ROWS = [(dict(zip(NAMES, row, strict=True)), None) for row in np.random.default_rng(0).normal(size=(60, 5)).tolist()]

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
CENTRES = arrays(np.float64, (ROLES, 3), elements=st.floats(-8, 4))
WEIGHTS = arrays(np.float64, ROLES, elements=st.floats(0.5, 500))
PAIRS = (
    *((ORDERS, low, high) for low, high in pairwise(RATE_ORDER)),
    (ENGAGEMENT, OCCASIONAL, REGULAR),
    (ENGAGEMENT, OCCASIONAL, BROWSERS),
    (VALUE, LOYAL, BIG_SPENDERS),
)


def small_model() -> RoleCentres:
    return RoleCentres(sample_size=10, axes=NAMES[:3])


def cloud(n: int = 400, seed: int = 0) -> np.ndarray:
    """Draw axes of customers who differ widely."""
    rng = np.random.default_rng(seed)
    return np.array(PRIOR_TYPICAL) + rng.normal(0, (1.2, 1.0, 0.4), (n, 3))


def assert_in_order(found: np.ndarray) -> None:
    for axis, low, high in PAIRS:
        assert found[high, axis] - found[low, axis] >= DISTANCE_MIN - 1e-9


@pytest.mark.parametrize("check", list(checks.yield_checks(RoleCentres())), ids=lambda check: check.__name__)
def test_estimator_keeps_rivers_conventions(check):
    check(RoleCentres())


@pytest.mark.parametrize("check", ROW_CHECKS, ids=lambda check: check.__name__)
def test_estimator_keeps_rivers_conventions_on_rows(check):
    check(small_model(), dataset=ROWS)


def test_documented_example_runs():
    outcome = doctest.testmod(centres)
    assert outcome.attempted >= 4
    assert outcome.failed == 0


def test_nothing_is_learned_before_a_sample_is_full():
    model = small_model()
    for x, _ in ROWS[:9]:
        model.learn_one(x)
    assert not model.is_fitted
    assert model.typical.tolist() == list(PRIOR_TYPICAL)
    model.learn_one(ROWS[9][0])
    assert model.is_fitted


def test_rows_learned_one_by_one_equal_samples():
    one_by_one, by_sample = small_model(), small_model()
    for x, _ in ROWS:
        one_by_one.learn_one(x)
    matrix = np.array([list(x.values())[:3] for x, _ in ROWS])
    for start in range(0, 60, 10):
        by_sample.learn_sample(matrix[start : start + 10], Frame(engagement_weight=1.0))
    assert one_by_one.state() == by_sample.state()


def test_prior_centres_are_found_by_name():
    model = RoleCentres()
    found = [model.predict_one(dict(zip(AXES, row, strict=True))) for row in model.prior.tolist()]
    assert found == list(range(ROLES))


def test_axis_that_a_row_lacks_is_the_typical_customers():
    model = RoleCentres()
    typical = dict(zip(AXES, PRIOR_TYPICAL, strict=True))
    assert model.predict_one({}) == model.predict_one(typical) == REGULAR
    assert model.predict_one({"order_rate": typical["order_rate"] + 3}) == model.predict_one(
        typical | {"order_rate": typical["order_rate"] + 3}
    )


def test_typical_customer_is_an_average_over_samples():
    model = RoleCentres()
    samples = [cloud(seed=seed) for seed in range(2)]
    model.learn_sample(samples[0], Frame())
    first = model.typical
    assert first == pytest.approx(samples[0].mean(axis=0))
    model.learn_sample(samples[1], Frame())
    assert model.typical == pytest.approx(first + GAIN * (samples[1].mean(axis=0) - first))
    assert model.prior == pytest.approx(model.typical + OFFSETS)


def test_state_survives_json():
    model, restored = RoleCentres(), RoleCentres()
    model.learn_sample(cloud(), Frame(engagement_weight=1.0))
    restored.load_state(json.loads(json.dumps(model.state())))
    for each in (model, restored):
        each.learn_sample(cloud(seed=1), Frame(engagement_weight=1.0))
    assert restored.state() == model.state()


def test_role_without_members_stands_where_it_is_expected():
    prior = np.array(PRIOR_TYPICAL) + OFFSETS
    found = fit_centres(prior[[REGULAR]].repeat(100, axis=0), Frame(centres=prior, engagement_weight=1.0), prior)
    assert found == pytest.approx(prior)


def test_centre_is_the_mean_of_its_members_and_a_twentieth_of_the_sample_at_the_prior():
    prior = np.array(PRIOR_TYPICAL) + OFFSETS
    members = prior[CHAMPIONS] + np.array([0.1, 0.0, 0.0])
    found = fit_centres(np.tile(members, (100, 1)), Frame(centres=prior, engagement_weight=1.0), prior)
    assert found[CHAMPIONS] == pytest.approx((5 * prior[CHAMPIONS] + 100 * members) / 105)


def test_role_that_is_not_admitted_goes_to_its_prior():
    prior = np.array(PRIOR_TYPICAL) + OFFSETS
    is_open = np.ones(ROLES, np.bool_)
    is_open[CHAMPIONS] = False
    frame = Frame(centres=prior + 0.3, is_open=is_open)
    found = fit_centres(np.delete(prior, CHAMPIONS, axis=0), frame, prior)
    assert found[CHAMPIONS] == pytest.approx(prior[CHAMPIONS])
    assert found[BROWSERS] == pytest.approx(prior[BROWSERS])  # engagement does not count


def test_role_that_is_not_admitted_gives_way_to_those_that_are():
    prior = np.array(PRIOR_TYPICAL) + OFFSETS
    frame = Frame(centres=prior, is_open=np.isin(np.arange(ROLES), (REGULAR, CHAMPIONS)))
    rng = np.random.default_rng(1)
    groups = prior[[REGULAR, CHAMPIONS]] - np.array([[0.0, 0, 0], [0.7, 0, 0]])
    axes = groups.repeat(200, axis=0) + rng.normal(0, 0.02, (400, 3))
    found = fit_centres(axes, frame, prior)
    assert found[CHAMPIONS, 0] == pytest.approx((20 * prior[CHAMPIONS, 0] + 200 * groups[1, 0]) / 220, abs=0.02)
    assert found[CHAMPIONS, 0] < prior[LOYAL, 0] + DISTANCE_MIN
    assert_in_order(found)


def test_populations_own_groups_are_found():
    prior = np.array(PRIOR_TYPICAL) + OFFSETS
    rng = np.random.default_rng(2)
    groups = prior + rng.normal(0, 0.15, prior.shape)
    axes = groups.repeat(200, axis=0) + rng.normal(0, 0.1, (200 * ROLES, 3))
    found = fit_centres(axes, Frame(centres=prior, engagement_weight=1.0), prior)
    assert np.abs(found - groups).max() < 0.12


@given(CENTRES, WEIGHTS)
def test_centres_are_put_in_order(wanted, weights):
    ordered = in_order(wanted, weights)
    assert_in_order(ordered)
    assert in_order(ordered, weights) == pytest.approx(ordered, abs=1e-9)


@given(CENTRES, CENTRES, WEIGHTS, st.floats(0, 1))
def test_whatever_lies_between_ordered_centres_is_in_order(one, other, weights, share):
    start, goal = in_order(one, weights), in_order(other, weights)
    assert_in_order(start + share * (goal - start))


def test_centres_in_order_stay_as_they_are():
    prior = np.array(PRIOR_TYPICAL) + OFFSETS
    assert in_order(prior, np.ones(ROLES)).tolist() == prior.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_ordered_centres_are_the_nearest_ones(seed):
    rng = np.random.default_rng(seed)
    wanted, weights = rng.normal(0, 1, (ROLES, 3)), rng.uniform(1, 5, ROLES)
    constraints = [
        {"type": "ineq", "fun": lambda flat, p=pair: flat[p[2] * 3 + p[0]] - flat[p[1] * 3 + p[0]] - DISTANCE_MIN}
        for pair in PAIRS
    ]
    best = minimize(
        lambda flat: float((weights[:, None] * (flat.reshape(ROLES, 3) - wanted) ** 2).sum()),
        in_order(wanted, np.ones(ROLES)).ravel(),
        constraints=constraints,
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert in_order(wanted, weights) == pytest.approx(best.x.reshape(ROLES, 3), abs=1e-3)


@given(
    st.integers(0, 10_000),
    CENTRES,
    st.floats(0.05, 4),
    st.floats(0, 1),
    st.lists(st.booleans(), min_size=7, max_size=7),
)
def test_every_fit_is_in_order(seed, present, spread, engagement, is_open):
    rng = np.random.default_rng(seed)
    axes = np.array(PRIOR_TYPICAL) + rng.normal(0, spread, (60, 3))
    frame = Frame(
        centres=in_order(present, np.ones(ROLES)),
        engagement_weight=engagement,
        is_open=np.array(is_open) | (np.arange(ROLES) == REGULAR),
    )
    assert_in_order(fit_centres(axes, frame, axes.mean(axis=0) + OFFSETS))


@given(st.integers(0, 10_000), st.floats(0, 6))
def test_estimator_keeps_roles_in_order_over_samples(seed, shift):
    model = RoleCentres()
    for tick in range(3):
        model.learn_sample(cloud(60, seed) + shift * tick, Frame(engagement_weight=1.0))
        assert_in_order(model.centres)


@pytest.mark.parametrize(("axis", "low", "high"), PAIRS)
def test_roles_out_of_order_are_named(axis, low, high):
    wrong = np.array(PRIOR_TYPICAL) + OFFSETS
    everyone = np.arange(ROLES)
    assert disorder(wrong, everyone) is None
    wrong[high, axis] = wrong[low, axis]
    fault = disorder(wrong, np.array([low, high]))
    assert fault is not None
    assert AXES[axis] in fault
    assert disorder(wrong, np.array([high])) is None


def test_role_that_is_closed_is_not_asked_for_its_place():
    wrong = np.array(PRIOR_TYPICAL) + OFFSETS
    wrong[CHAMPIONS, ORDERS] = 5.0
    assert disorder(wrong, np.array([OCCASIONAL, REGULAR, LOYAL, VIP])) is None
    assert disorder(wrong, np.array([CHAMPIONS, VIP])) == "order_rate of VIP is not above that of Champions"
    assert replace(Frame(), centres=wrong).centres is wrong
