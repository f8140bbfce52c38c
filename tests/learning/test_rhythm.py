from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import polygamma

from stream_app.core.quantities import GAP_MEMORY, Quantities
from stream_app.learning.rhythm import (
    GAIN,
    PRIOR_BETWEEN_VARIANCE,
    PRIOR_WEIGHT_RANGE,
    STOP_RATES,
    RhythmFit,
    prior_weight,
    step_rhythm,
)
from stream_app.segmentations.learned.rhythm import PRIOR, Rhythm, own_rhythm
from tests.learning.populations import EQUALS, SHOP, draw_sample

LOGS = st.floats(-3, 3)
RHYTHMS = st.builds(
    Rhythm,
    st.floats(0, 6),
    LOGS.map(math.exp),
    st.floats(0.5, 50),
    st.floats(1 / 1000, 1 / 300),
    st.floats(0.01, 0.95),
)


def quantities_of(gaps: list[list[float]], silence_days: list[float], tenure_days: float = 400.0) -> Quantities:
    """Return quantities of customers with these gaps, newest last."""
    n = len(gaps)
    weights = [GAP_MEMORY ** np.arange(len(own))[::-1] for own in gaps]
    zeros = np.zeros(n)
    return Quantities(
        recency_days=np.array(silence_days),
        tenure_days=np.full(n, tenure_days),
        orders=zeros,
        repeat_orders=zeros,
        revenue_minor=zeros,
        engaged_days=zeros,
        gaps=np.array([float(len(own)) for own in gaps]),
        log_gaps=np.array([(w * np.log(own)).sum() for w, own in zip(weights, gaps, strict=True)]),
        log_gaps_squared=np.array([(w * np.log(own) ** 2).sum() for w, own in zip(weights, gaps, strict=True)]),
        purchases=zeros,
        log_order_values=zeros,
    )


def weibull_customers(
    n: int, *, within: float, between: float, gaps: int = 12, median_days: float = 20.0
) -> Quantities:
    """Draw customers whose log gaps vary by `within` in a customer and whose scales vary by `between`."""
    rng = np.random.default_rng(5)
    scales = np.log(median_days) + rng.normal(0, between, n)
    drawn = np.exp(scales[:, None] + rng.normal(0, within, (n, gaps)))
    return quantities_of(np.maximum(drawn, 0.01).tolist(), [1.0] * n)


def test_prior_is_what_its_variances_make_it():
    assert prior_weight(PRIOR.log_gap_variance, PRIOR_BETWEEN_VARIANCE) == pytest.approx(PRIOR.prior_weight, abs=5e-5)
    assert math.exp(PRIOR.log_gap) == pytest.approx(20.0)
    assert math.sqrt(PRIOR.log_gap_variance) == pytest.approx(0.9)


@given(st.floats(0.05, 4), st.floats(0.02, 9))
def test_prior_weight_solves_its_equation_or_lies_at_the_bound(within, between):
    weight = prior_weight(within, between)
    wanted = math.pi**2 / (6 * max(within, 0.04)) * between
    low, high = PRIOR_WEIGHT_RANGE
    if weight == low:
        assert polygamma(1, low) <= wanted
    elif weight == high:
        assert polygamma(1, high) >= wanted or between < 0.0225
    else:
        assert polygamma(1, weight) == pytest.approx(max(wanted, math.pi**2 / (6 * max(within, 0.04)) * 0.0225))


def test_equals_get_the_weight_of_hardly_differing_customers():
    assert prior_weight(0.81, 0.0) == prior_weight(0.81, 0.15**2) > 20


def test_means_and_variances_of_log_gaps_are_found():
    fit = RhythmFit().learn(weibull_customers(1500, within=0.6, between=0.8))
    assert fit.log_gap == pytest.approx(math.log(20), abs=0.08)
    assert math.sqrt(fit.log_gap_variance) == pytest.approx(0.6, abs=0.03)
    assert math.sqrt(fit.between_variance) == pytest.approx(0.8, abs=0.05)
    assert fit.rhythm.prior_weight == prior_weight(fit.log_gap_variance, fit.between_variance)


def test_first_fit_counts_in_full_and_later_ones_a_fifth():
    slow, fast = (weibull_customers(200, within=0.6, between=0.8, median_days=days) for days in (40.0, 10.0))
    first, alone = RhythmFit().learn(slow), RhythmFit().learn(fast)
    second = first.learn(fast)
    for name in ("log_gap", "log_gap_variance", "between_variance"):
        before, after, goal = (getattr(fit, name) for fit in (first, second, alone))
        assert after == pytest.approx(before + GAIN * (goal - before), rel=1e-9)


def test_nothing_is_fitted_to_few_customers():
    few = weibull_customers(29, within=0.6, between=0.8)
    assert RhythmFit().learn(few) == RhythmFit()
    assert not RhythmFit().learn(quantities_of([[]] * 29, [3.0] * 29)).knows_firsts


def test_variance_within_customers_needs_customers_with_several_gaps():
    fit = RhythmFit().learn(weibull_customers(100, within=0.6, between=0.8, gaps=1))
    assert fit.knows_gaps
    assert fit.log_gap_variance == PRIOR.log_gap_variance


def test_customers_who_are_probably_gone_tell_nothing_of_gaps():
    here = weibull_customers(200, within=0.5, between=0.5)
    gone = weibull_customers(200, within=0.5, between=0.5, median_days=2.0)._replace(recency_days=np.full(200, 350.0))
    both = Quantities(*(np.concatenate(columns) for columns in zip(here, gone, strict=True)))
    young = both._replace(tenure_days=np.full(400, 80.0))
    assert RhythmFit().learn(young).log_gap == pytest.approx(RhythmFit().learn(here).log_gap)


def test_stop_rate_waits_for_a_population_of_ninety_days():
    leaving = mixed(70.0)
    assert RhythmFit().learn(leaving._replace(tenure_days=np.full(300, 89.9))).stop_rate_per_day == 1 / 1000
    assert RhythmFit().learn(leaving._replace(tenure_days=np.full(300, 90.0))).stop_rate_per_day > 1 / 1000


def mixed(silent_days: float) -> Quantities:
    """Return customers half of whom have been silent for so long."""
    return quantities_of([[5.0, 9.0, 6.0, 8.0, 4.0]] * 300, [silent_days] * 150 + [2.0] * 150)


def test_stop_rate_rises_where_silences_are_long_and_never_leaves_its_bounds():
    fit = RhythmFit().learn(mixed(300.0))
    expected = math.log(1 / 1000) + GAIN * math.log(1000 / 300)
    assert math.log(fit.stop_rate_per_day) == pytest.approx(expected)
    for _ in range(40):
        fit = fit.learn(mixed(300.0))
    assert fit.stop_rate_per_day == pytest.approx(1 / 300, rel=1e-3)
    for _ in range(40):
        fit = fit.learn(mixed(2.0))
    assert fit.stop_rate_per_day == pytest.approx(STOP_RATES[0], rel=1e-3)


def test_stop_rate_is_that_of_the_greatest_likelihood():
    quantities = mixed(40.0)
    before = RhythmFit().learn(quantities._replace(tenure_days=np.full(300, 50.0)))
    own = own_rhythm(quantities.gaps, quantities.log_gaps, quantities.log_gaps_squared, before.rhythm)
    exponent = own.regularity * (np.log(quantities.recency_days) - own.log_scale)
    survival = (1 + np.exp(exponent) / own.shape) ** -own.shape

    def log_likelihood(rate: float) -> float:
        stopped = 1 - np.exp(-rate * own.usual_gap_days)
        after_gaps = (quantities.gaps * np.log(1 - stopped)).sum()
        return float(after_gaps + np.log(stopped + (1 - stopped) * survival).sum())

    best = max(STOP_RATES.tolist(), key=log_likelihood)
    learned = RhythmFit().learn(quantities).stop_rate_per_day
    assert math.log(learned) == pytest.approx(math.log(1 / 1000) + GAIN * (math.log(best) - math.log(1 / 1000)))


def test_share_that_stops_after_the_first_day_is_found():
    rng = np.random.default_rng(3)
    returned = weibull_customers(600, within=0.6, between=0.5)
    once = quantities_of([[]] * 400, rng.uniform(150, 400, 400).tolist())
    fit = RhythmFit().learn(Quantities(*(np.concatenate(columns) for columns in zip(returned, once, strict=True))))
    assert fit.stop_after_first == pytest.approx(0.4, abs=0.02)
    assert RhythmFit().learn(once).stop_after_first > 0.9


@pytest.mark.parametrize("groups", [SHOP, EQUALS])
def test_fits_of_a_simulated_population_stay_in_their_ranges(groups):
    fit = RhythmFit()
    for tick in range(1, 40, 3):
        fit = fit.learn(draw_sample(tick, 300, groups).quantities)
        rhythm = fit.rhythm
        assert PRIOR_WEIGHT_RANGE[0] <= rhythm.prior_weight <= PRIOR_WEIGHT_RANGE[1]
        assert STOP_RATES[0] * (1 - 1e-9) <= rhythm.stop_rate_per_day <= STOP_RATES[-1]
        assert 0.01 <= rhythm.stop_after_first <= 0.95


def test_averages_survive_json():
    fit = RhythmFit().learn(weibull_customers(100, within=0.6, between=0.8))
    assert RhythmFit.from_state(json.loads(json.dumps(fit.state()))) == fit


@given(RHYTHMS, RHYTHMS, st.floats(0, 1))
def test_way_from_one_rhythm_to_another_lies_between_them(present, goal, share):
    between = step_rhythm(present, goal, share)
    for name in vars(present):
        low, high = sorted((getattr(present, name), getattr(goal, name)))
        assert low * (1 - 1e-9) - 1e-12 <= getattr(between, name) <= high * (1 + 1e-9) + 1e-12


@given(RHYTHMS, RHYTHMS)
def test_way_begins_and_ends_where_it_should(present, goal):
    for share, end in ((0.0, present), (1.0, goal)):
        assert list(vars(step_rhythm(present, goal, share)).values()) == pytest.approx(list(vars(end).values()))
