from __future__ import annotations

from contextlib import suppress
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from stream_app.errors import CentresRefused
from stream_app.learning.algorithms import PLACEMENTS
from stream_app.learning.centres import disorder
from stream_app.learning.river_models import place_by_river
from stream_app.segmentations.learned.model import OFFSETS, PRIOR_TYPICAL, Frame
from stream_app.segmentations.learned.roles import BROWSERS, CHAMPIONS, LOYAL, REGULAR, ROLES, VIP

PRIOR = np.array(PRIOR_TYPICAL) + OFFSETS
ENGAGED = Frame(engagement_weight=1.0, order_value_minor=3000.0)


def roles_apart(seed: int = 0, shift: float = 0.0, each: int = 60) -> np.ndarray:
    """Draw customers of all seven roles, each about where it is expected."""
    rng = np.random.default_rng(seed)
    return (PRIOR + shift).repeat(each, axis=0) + rng.normal(0, 0.08, (each * ROLES, 3))


@pytest.mark.parametrize("algorithm", sorted(set(PLACEMENTS) - {"river-clustream"}))
def test_groups_that_are_plain_are_found_by_whatever_begins_at_the_present_centres(algorithm):
    centres = PLACEMENTS[algorithm](roles_apart(shift=0.2), ENGAGED, PRIOR, (0, 1))
    assert centres.shape == (ROLES, 3)
    assert disorder(centres, np.arange(ROLES)) is None
    assert np.abs(centres - (PRIOR + 0.2)).mean() < 0.2


def outcome(algorithm: str, axes: np.ndarray, seed: int) -> object:
    try:
        return PLACEMENTS[algorithm](axes, ENGAGED, PRIOR, (seed, 4)).tolist()
    except CentresRefused as error:
        return str(error)


@pytest.mark.parametrize("algorithm", sorted(PLACEMENTS))
def test_result_depends_on_the_sample_and_the_seed_alone(algorithm):
    axes = roles_apart(each=30)
    first, again = ([outcome(algorithm, axes, seed) for seed in range(2)] for _ in range(2))
    assert first == again


@pytest.mark.parametrize("algorithm", sorted(PLACEMENTS))
@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_found_is_in_order_or_refused(algorithm, seed):
    axes = np.array(PRIOR_TYPICAL) + np.random.default_rng(seed).normal(0, (1.2, 1.0, 0.4), (300, 3))
    with suppress(CentresRefused):
        centres = PLACEMENTS[algorithm](axes, ENGAGED, axes.mean(axis=0) + OFFSETS, (seed, 0))
        assert disorder(centres, np.arange(ROLES)) is None


@pytest.mark.parametrize("algorithm", ["river-kmeans", "river-streamkmeans"])
def test_search_begins_at_the_present_centres(algorithm):
    present = Frame(centres=PRIOR + np.array([0.5, 0.0, 0.0]), engagement_weight=1.0)
    axes = np.array(PRIOR_TYPICAL) + np.random.default_rng(5).normal(0, (1.2, 1.0, 0.4), (300, 3))
    results = [PLACEMENTS[algorithm](axes, frame, PRIOR, (0, 0)) for frame in (present, ENGAGED)]
    assert not np.allclose(results[0], results[1])


@pytest.mark.parametrize("algorithm", ["river-kmeans", "river-streamkmeans"])
def test_axis_that_does_not_count_is_left_to_the_members(algorithm):
    without = Frame(order_value_minor=3000.0, is_open=np.arange(ROLES) != BROWSERS)
    axes = roles_apart()[np.arange(60 * ROLES) // 60 != BROWSERS]
    centres = PLACEMENTS[algorithm](axes, without, PRIOR, (0, 0))
    assert centres[BROWSERS] == pytest.approx(PRIOR[BROWSERS])
    assert centres[VIP] == pytest.approx(PRIOR[VIP], abs=0.3)


def test_role_that_is_closed_goes_to_its_prior():
    is_open = np.arange(ROLES) != CHAMPIONS
    frame = Frame(engagement_weight=1.0, is_open=is_open, centres=PRIOR + 0.1)
    axes = roles_apart()[np.arange(60 * ROLES) // 60 != CHAMPIONS]
    assert PLACEMENTS["river-kmeans"](axes, frame, PRIOR, (0, 0))[CHAMPIONS] == pytest.approx(PRIOR[CHAMPIONS])


def test_too_few_centres_are_refused():
    # CluStream needs 100 rows before it groups anything.
    with pytest.raises(CentresRefused, match="centres: 0 finite ones were found, expected 7"):
        PLACEMENTS["river-clustream"](roles_apart(each=7), ENGAGED, PRIOR, (0, 0))


def finding(centres: np.ndarray, *_: object) -> SimpleNamespace:
    """Stand for a clusterer that finds these centers whatever it is shown."""
    centers = {index: dict(enumerate(row)) for index, row in enumerate((centres * ENGAGED.weights).tolist())}
    return SimpleNamespace(learn_one=lambda _: None, centers=centers)


def test_centre_that_is_not_finite_is_refused():
    broken = PRIOR.copy()
    broken[VIP, 0] = np.nan
    with pytest.raises(CentresRefused, match="6 finite ones were found, expected 7"):
        place_by_river(partial(finding, broken), roles_apart(), ENGAGED, PRIOR, (0, 0))


def test_roles_out_of_order_are_refused_with_what_is_wrong():
    found = PRIOR.copy()
    found[[LOYAL, REGULAR], 0] = found[[REGULAR, LOYAL], 0]
    found[[LOYAL, REGULAR], 1:] = PRIOR[[LOYAL, REGULAR], 1:] + np.array([[0.8, 0], [-0.8, 0]])
    axes = found.repeat(60, axis=0)
    with pytest.raises(CentresRefused, match="centres: order_rate of Loyal is not above that of Regular, expected"):
        place_by_river(partial(finding, found), axes, Frame(centres=found, engagement_weight=1.0), PRIOR, (0, 0))


def test_centers_in_another_order_are_given_to_the_roles_they_are_nearest_to():
    shuffled = PRIOR[::-1]
    placed = place_by_river(partial(finding, shuffled), roles_apart(), ENGAGED, PRIOR, (0, 0))
    assert placed == pytest.approx(PRIOR, abs=0.05)
