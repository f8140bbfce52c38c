from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from stream_app.core.quantities import Quantities
from stream_app.learning.parameters import (
    ParameterFit,
    choose_feature_set,
    fit_order_value_minor,
    fit_prior_gap_days,
)
from tests.learning.populations import draw_sample


def customers(**columns):
    n = len(next(iter(columns.values())))
    return Quantities(**{name: np.array(columns.get(name, [0.0] * n), np.float64) for name in Quantities._fields})


def test_prior_gap_is_half_the_days_per_active_day():
    quantities = customers(exposure_days=[40.0, 60.0], active_days=[8.0, 2.0])
    assert fit_prior_gap_days(quantities, 30.0) == pytest.approx(0.5 * 100 / 10)


def test_overdue_customers_do_not_stretch_the_prior_gap():
    # (90 + 30) / (.5 + 29.5) = 4 days is the second one's usual gap; three of them are less than two weeks.
    columns = {"exposure_days": [200.0, 90.0], "active_days": [5.0, 29.5]}
    assert fit_prior_gap_days(customers(**columns, recency_days=[0.0, 14.0]), 30.0) == pytest.approx(0.5 * 200 / 5)
    everyone = fit_prior_gap_days(customers(**columns, recency_days=[0.0, 13.9]), 30.0)
    assert everyone == pytest.approx(0.5 * 290 / 34.5)


def test_slow_customers_are_overdue_only_after_three_of_their_gaps():
    # (90 + 30) / (.5 + 3.5) = 30 days.
    slow = {"exposure_days": [90.0], "active_days": [3.5]}
    assert fit_prior_gap_days(customers(**slow, recency_days=[89.0]), 30.0) == pytest.approx(0.5 * 90 / 3.5)
    assert fit_prior_gap_days(customers(**slow, recency_days=[91.0]), 30.0) is None


@pytest.mark.parametrize(("exposure_days", "expected"), [(0.1, 2.0), (9_000.0, 200.0)])
def test_prior_gap_stays_within_bounds(exposure_days, expected):
    assert fit_prior_gap_days(customers(exposure_days=[exposure_days], active_days=[1.0]), 30.0) == expected


def test_order_value_is_the_geometric_mean_over_buyers():
    quantities = customers(orders=[1.0, 2.0, 0.0, 3.0], revenue_minor=[100.0, 20_000.0, 500.0, 0.0])
    assert fit_order_value_minor(quantities) == pytest.approx(1_000.0)
    assert fit_order_value_minor(customers(orders=[0.0], revenue_minor=[0.0])) is None


def test_first_fit_counts_in_full_and_later_ones_are_averaged_in():
    fit = ParameterFit(order_value_minor=1.0)
    fit.learn(customers(exposure_days=[40.0], active_days=[2.0], orders=[1.0], revenue_minor=[100.0]))
    assert (fit.prior_gap_days, fit.order_value_minor) == (pytest.approx(10.0), pytest.approx(100.0))
    fit.learn(customers(exposure_days=[80.0], active_days=[2.0], orders=[1.0], revenue_minor=[1_000.0]))
    assert fit.prior_gap_days == pytest.approx(0.8 * 10 + 0.2 * 20)
    assert fit.order_value_minor == pytest.approx(100 * 10**0.2)


def test_sample_with_nothing_to_tell_changes_nothing():
    fit = ParameterFit(order_value_minor=7.0)
    fit.learn(customers(orders=[0.0]))
    assert (fit.prior_gap_days, fit.order_value_minor) == (30.0, 7.0)
    fit.learn(customers(exposure_days=[40.0], active_days=[2.0], orders=[1.0], revenue_minor=[100.0]))
    assert (fit.prior_gap_days, fit.order_value_minor) == (pytest.approx(10.0), pytest.approx(100.0))


def test_state_survives_json():
    fit, restored = ParameterFit(1.0), ParameterFit(2.0)
    fit.learn(draw_sample(0).quantities)
    restored.load_state(json.loads(json.dumps(fit.state())))
    for each in (fit, restored):
        each.learn(draw_sample(1).quantities)
    assert restored.state() == fit.state()
    assert math.isfinite(fit.order_value_minor)


@pytest.mark.parametrize(("engaged", "expected"), [(4, "plain"), (5, "activity")])
def test_engagement_is_learned_from_where_enough_customers_show_it(engaged, expected):
    sample = draw_sample(n_customers=100)
    days = np.where(np.arange(100) < engaged, 2.0, 0.0)
    sample = replace(sample, quantities=sample.quantities._replace(engaged_days=days))
    assert choose_feature_set(sample) == expected
