from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import polygamma

from stream_app.core.quantities import GAP_MEMORY, Quantities
from stream_app.learning.rhythm import (
    FALSE_ALARMS_MAX,
    GAIN,
    PRIOR_BETWEEN_VARIANCE,
    PRIOR_WEIGHT_RANGE,
    STOP_RATES,
    RhythmFit,
    prior_weight,
    step_rhythm,
)
from stream_app.segmentations.learned.rhythm import PRIOR, Rhythm, rhythm_of
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


def steady(gap_days: float, silent_days: float = 2.0) -> Quantities:
    """Return customers who come about every so many days and have been silent for so long."""
    gaps = [gap_days * factor for factor in (0.6, 1.5, 0.8, 1.2, 0.5, 1.4)]
    return quantities_of([gaps] * 300, [silent_days] * 300)


def false_alarms(quantities: Quantities, fit: RhythmFit, rate: float) -> float:
    """Return how many alarms of a customer there are a month that it takes back within 14 days."""
    rhythm = replace(fit.rhythm, stop_rate_per_day=rate)
    own = rhythm_of(quantities, rhythm)
    days = np.maximum(own.silence_days(0.5), 10.0)

    def survival(of_days: np.ndarray) -> np.ndarray:
        return (1 + (of_days / np.exp(own.log_scale)) ** own.regularity / own.shape) ** -own.shape

    return float(((survival(days) - survival(days + 14)) / own.usual_gap_days * 30.4).mean())


def test_stop_rate_waits_for_a_population_of_ninety_days():
    rare = steady(40.0)
    assert RhythmFit().learn(rare._replace(tenure_days=np.full(300, 89.9))).stop_rate_per_day == 1 / 1000
    assert RhythmFit().learn(rare._replace(tenure_days=np.full(300, 90.0))).stop_rate_per_day > 1 / 1000


@pytest.mark.parametrize("gap_days", [3.0, 12.0, 20.0, 30.0, 60.0])
def test_stop_rate_is_the_largest_that_keeps_to_the_false_alarms_that_are_allowed(gap_days: float):
    quantities = steady(gap_days)
    fit = RhythmFit()
    for _ in range(60):
        fit = fit.learn(quantities)
    careful = [rate for rate in STOP_RATES.tolist() if false_alarms(quantities, fit, rate) <= FALSE_ALARMS_MAX]
    assert fit.stop_rate_per_day == pytest.approx(max(careful, default=STOP_RATES[0]), rel=1e-3)


def test_stop_rate_is_higher_where_customers_come_rarely_and_gets_there_step_by_step():
    first, often = RhythmFit().learn(steady(60.0)), RhythmFit().learn(steady(4.0))
    assert often.stop_rate_per_day == pytest.approx(STOP_RATES[0])
    assert STOP_RATES[0] < first.stop_rate_per_day < first.learn(steady(60.0)).stop_rate_per_day < STOP_RATES[-1]


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
