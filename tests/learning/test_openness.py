from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.learning.openness import TICKS_MIN, OpenRoles, noise_variances
from stream_app.segmentations.learned.model import OFFSETS, PRIOR_TYPICAL, Frame
from stream_app.segmentations.learned.roles import BROWSERS, CHAMPIONS, LOYAL, OCCASIONAL, REGULAR, ROLES, VIP
from tests.learning.populations import draw_sample

CENTRES = np.array(PRIOR_TYPICAL) + OFFSETS
EVENLY = np.arange(700) % ROLES
QUIET = np.full((700, 3), 0.05**2)
ENGAGED = Frame(engagement_weight=1.0)


def only_open(*roles: int) -> Frame:
    return Frame(engagement_weight=1.0, is_open=np.isin(np.arange(ROLES), roles))


def after(ticks: int, centres: np.ndarray, labels: np.ndarray, noise: np.ndarray, frame: Frame = ENGAGED) -> list[int]:
    """Return the roles that are open after so many ticks of the same; each tick's roles are in force at the next."""
    roles = OpenRoles()
    for _ in range(ticks):
        is_open = roles.learn(centres, labels, noise, frame)
        frame = Frame(engagement_weight=frame.engagement_weight, is_open=is_open)
    return np.flatnonzero(frame.is_open).tolist()


def test_roles_that_differ_stay_open():
    assert after(30, CENTRES, EVENLY, QUIET) == list(range(ROLES))


def test_nothing_closes_in_the_first_ticks():
    loud = QUIET * 400
    assert after(TICKS_MIN, CENTRES, EVENLY, loud) == list(range(ROLES))
    assert len(after(TICKS_MIN + 1, CENTRES, EVENLY, loud)) < ROLES


def test_only_regular_is_left_where_all_are_alike():
    assert after(40, CENTRES * 0.1, EVENLY, QUIET * 400) == [REGULAR]


def test_smaller_of_two_close_roles_closes():
    centres = CENTRES.copy()
    centres[CHAMPIONS] = centres[LOYAL] + 0.01
    fewer_champions = np.where((EVENLY == CHAMPIONS) & (np.arange(700) % 2 == 0), OCCASIONAL, EVENLY)
    fewer_loyal = np.where((EVENLY == LOYAL) & (np.arange(700) % 2 == 0), OCCASIONAL, EVENLY)
    everybody = set(range(ROLES))
    assert set(after(20, centres, fewer_champions, QUIET)) == everybody - {CHAMPIONS}
    assert set(after(20, centres, fewer_loyal, QUIET)) == everybody - {LOYAL}


@pytest.mark.parametrize("other", [OCCASIONAL, LOYAL])
def test_regular_does_not_close_for_a_greater_role(other):
    centres = CENTRES.copy()
    centres[other] = centres[REGULAR] + 0.01
    fewer = np.where((EVENLY == REGULAR) & (np.arange(700) % 2 == 0), other, EVENLY)
    assert set(after(20, centres, fewer, QUIET)) == set(range(ROLES)) - {other}


def test_regular_stays_open_without_members():
    assert REGULAR in after(60, CENTRES, np.where(EVENLY == REGULAR, LOYAL, EVENLY), QUIET)


def test_role_of_hardly_anybody_closes():
    nobody = np.where(EVENLY == VIP, CHAMPIONS, EVENLY)
    assert VIP not in after(60, CENTRES, nobody, QUIET)


def test_role_opens_again_only_where_it_is_well_apart():
    centres = CENTRES.copy()
    closed = only_open(*(role for role in range(ROLES) if role != CHAMPIONS))
    for distance, reopens in ((2.2, False), (2.4, True)):
        centres[CHAMPIONS] = centres[LOYAL] + np.array([distance * 0.05, 0.0, 0.0])
        roles = OpenRoles()
        latest = [roles.learn(centres, EVENLY, QUIET, closed) for _ in range(60)][-1]
        assert latest[CHAMPIONS] == reopens
    centres[CHAMPIONS] = centres[LOYAL] + np.array([2.2 * 0.05, 0.0, 0.0])
    assert CHAMPIONS in after(60, centres, EVENLY, QUIET)


def test_browsers_are_no_matter_where_engagement_does_not_count():
    centres = CENTRES.copy()
    centres[BROWSERS] = centres[OCCASIONAL] + 0.001
    still = after(20, centres, EVENLY, QUIET, Frame(engagement_weight=0.0))
    assert OCCASIONAL in still
    assert BROWSERS in still  # for when it does
    assert not {OCCASIONAL, BROWSERS} <= set(after(20, centres, EVENLY, QUIET))


def test_engagement_tells_roles_apart_only_where_it_counts():
    centres = CENTRES.copy()
    centres[LOYAL] = centres[REGULAR] + np.array([0.0, 2.0, 0.0])
    assert LOYAL in after(20, centres, EVENLY, QUIET)
    assert LOYAL not in after(20, centres, EVENLY, QUIET, Frame(engagement_weight=0.0))


def test_noise_is_that_of_a_roles_own_members():
    centres = CENTRES.copy()
    centres[CHAMPIONS] = centres[LOYAL] + np.array([0.3, 0.0, 0.0])
    elsewhere = np.where(np.isin(EVENLY, (LOYAL, CHAMPIONS))[:, None], QUIET, QUIET * 60)
    assert {LOYAL, CHAMPIONS} <= set(after(30, centres, EVENLY, elsewhere))
    assert not {LOYAL, CHAMPIONS} <= set(after(30, centres, EVENLY, QUIET * 60))


def test_noise_falls_with_what_is_known_of_a_customer():
    quantities = draw_sample(25).quantities
    noise = noise_variances(quantities)
    assert (noise > 0).all()
    busy, idle = quantities.repeat_orders > 8, quantities.repeat_orders < 2
    assert noise[busy, 0].max() < noise[idle, 0].min()
    few = quantities.purchases <= 1
    assert noise[few, 2].min() > noise[~few, 2].max()


def test_count_observed_with_decay_varies_as_the_noise_says():
    rng = np.random.default_rng(0)
    half_life_days, per_day = 60.0, 0.2
    ages = rng.uniform(0, 600, (4000, 200))
    weights = np.exp2(-ages / half_life_days)
    counts = np.where(np.arange(200) < rng.poisson(600 * per_day, 4000)[:, None], weights, 0.0).sum(axis=1)
    spread = np.log(0.5 + counts).var()
    mean = counts.mean()
    assert spread == pytest.approx(mean / 2 / (mean + 0.5) ** 2, rel=0.1)


@given(st.integers(0, 10_000), st.floats(0.01, 2), st.floats(0, 1))
def test_some_role_is_open_whatever_is_learned(seed, deviation, engagement):
    rng = np.random.default_rng(seed)
    roles, frame = OpenRoles(), Frame(engagement_weight=engagement)
    for _ in range(TICKS_MIN + 4):
        labels = rng.integers(ROLES, size=60) % rng.integers(1, ROLES + 1)
        is_open = roles.learn(rng.normal(0, 1, (ROLES, 3)), labels, rng.gamma(1, deviation, (60, 3)), frame)
        assert is_open[REGULAR]
        frame = Frame(engagement_weight=engagement, is_open=is_open)


def test_averages_survive_json():
    roles, restored = OpenRoles(), OpenRoles()
    for _ in range(12):
        roles.learn(CENTRES, EVENLY, QUIET * 50, ENGAGED)
    restored.load_state(json.loads(json.dumps(roles.state())))
    results = [each.learn(CENTRES, EVENLY, QUIET * 50, ENGAGED).tolist() for each in (roles, restored)]
    assert results[0] == results[1]
    assert restored.state() == roles.state()
