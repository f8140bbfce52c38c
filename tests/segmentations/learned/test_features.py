from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS
from stream_app.core.events import ENGAGEMENT, REFUND, Event
from stream_app.core.quantities import Quantities, quantities_at
from stream_app.segmentations.learned.features import (
    FEATURE_COUNT,
    FEATURE_NAMES,
    FEATURE_WEIGHTS,
    FeatureParameters,
    FeatureSet,
    expected_gap_days,
    extract_features,
    probability_active,
)
from tests.support.events import engagement, histories, instant, purchase, refund
from tests.support.tables import activity_of
from tests.support.totals import day_total, halved

PLAIN = FeatureParameters("plain", 30.0, 100.0)
prior_gaps = st.floats(2, 200)


def quantities(**columns: list[float]) -> Quantities:
    """Return quantities of customers of whom nothing is known but `columns`."""
    size = len(next(iter(columns.values())))
    return Quantities(**{name: np.array(columns.get(name, [0.0] * size)) for name in Quantities._fields})


def active_probability(silence_days: float, active_days: float, exposure_days: float, prior_gap_days: float) -> float:
    """Return P of one customer, as the design writes it."""
    s, scale = 0.5 + active_days, prior_gap_days + exposure_days
    if s == 1:
        odds = (scale + silence_days) / 500 * math.log(1 + silence_days / scale)
    else:
        try:
            odds = (scale + silence_days) / 500 / (s - 1) * ((1 + silence_days / scale) ** (s - 1) - 1)
        except OverflowError:
            return 0.0
    return 1 / (1 + odds)


# --- quantities --------------------------------------------------------------------------------------------------


@given(histories(min_size=1, order_count=16), st.floats(0, 300))
@settings(max_examples=100)
def test_quantities_agree_with_their_definitions(events: list[Event], later_days: float) -> None:
    at_ms = instant(500 + later_days)
    found = quantities_at(activity_of(events), at_ms)
    active = [e.at_ms for e in events if e.kind != REFUND]
    engaged = [e for e in events if e.kind == ENGAGEMENT]
    first_ms = min(e.at_ms for e in events)
    last_ms = max(active, default=first_ms)
    days = {at // DAY_MS for at in active}
    span_days = max(days) - min(days) if days else 0
    others = days - {min(days, default=0)}
    assert found.recency_days.item() == pytest.approx((at_ms - last_ms) / DAY_MS)
    assert found.tenure_days.item() == pytest.approx((at_ms - first_ms) / DAY_MS)
    assert found.engagement.item() == pytest.approx(sum(e.weight * halved(at_ms - e.at_ms, 21) for e in engaged))
    engaged_total = day_total((e.at_ms // DAY_MS for e in engaged), 21, 128) if engaged else 0
    since_engaged_ms = at_ms - max((e.at_ms for e in engaged), default=0)
    assert found.engaged_days.item() == pytest.approx(engaged_total * halved(since_engaged_ms, 21))
    assert found.active_days.item() == pytest.approx(day_total(others, 60, 366) if others else 0, abs=1e-9)
    assert found.exposure_days.item() == pytest.approx(60 / math.log(2) * (1 - 2 ** (-span_days / 60)))


def test_orders_and_revenue_halve_in_ninety_days_and_engagement_in_twenty_one() -> None:
    activity = activity_of([purchase(0, 4_000), engagement(0)])
    after_90, after_21 = quantities_at(activity, instant(90)), quantities_at(activity, instant(21))
    assert (after_90.orders.item(), after_90.revenue_minor.item()) == pytest.approx((0.5, 2_000))
    assert (after_21.engagement.item(), after_21.engaged_days.item()) == pytest.approx((4.0, 0.5))


def test_first_active_day_beyond_the_window_is_not_taken_off_again() -> None:
    events = [purchase(0), purchase(400), purchase(401)]
    assert quantities_at(activity_of(events), instant(401)).active_days.item() == pytest.approx(1 + 2 ** (-1 / 60))


def test_each_customer_can_have_an_instant_of_its_own() -> None:
    activity = activity_of([purchase(0)], [purchase(1), engagement(2)])
    at_ms = np.array([instant(5), instant(9)])
    both = quantities_at(activity, at_ms)
    for number in range(2):
        alone = quantities_at(activity[number : number + 1], int(at_ms[number]))
        assert [column[number] for column in both] == [column.item() for column in alone]


def test_nothing_is_extrapolated_to_before_the_last_event() -> None:
    activity = activity_of([purchase(10), engagement(12)])
    early, then = quantities_at(activity, instant(1)), quantities_at(activity, instant(12))
    assert early.recency_days.item() == early.tenure_days.item() == 0
    assert (early.orders.item(), early.engagement.item()) == (1, 1)
    assert then.engagement.item() == 1


@pytest.mark.parametrize("feature_set", ["activity", "plain"])
def test_customer_known_only_by_a_refund_has_finite_figures(feature_set: FeatureSet) -> None:
    activity = activity_of([refund(0, 5_000, "from before")], [refund(0, 1, "a"), refund(9, 2, "b")])
    for day in (0, 1, 400, 20_000):
        found = quantities_at(activity, instant(day))
        assert all(np.isfinite(column).all() and (column >= 0).all() for column in found)
        features = extract_features(found, FeatureParameters(feature_set, 30.0, 100.0))
        assert np.isfinite(features).all()
        assert found.recency_days.tolist() == [day, day]  # counted from the first that is known of them


# --- probability -------------------------------------------------------------------------------------------------


@given(st.floats(0, 2_000), st.floats(0, 60) | st.just(0.5), st.floats(0, 86), prior_gaps)
@settings(max_examples=300)
def test_probability_agrees_with_the_formula(silence: float, active: float, exposure: float, prior: float) -> None:
    found = probability_active(
        quantities(recency_days=[silence], active_days=[active], exposure_days=[exposure]), prior
    )
    assert found.item() == pytest.approx(active_probability(silence, active, exposure, prior), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("silence", "active", "exposure", "prior"),
    [
        (24.0, 4.0, 50.0, 10.0),
        (100.0, 0.0, 0.0, 30.0),  # bought once: s = 1/2
        (100.0, 0.5, 20.0, 30.0),  # s = 1: the logarithm
        (0.0, 3.0, 10.0, 30.0),  # no silence: certainly active
    ],
)
def test_probability_of_known_customers(silence: float, active: float, exposure: float, prior: float) -> None:
    found = probability_active(
        quantities(recency_days=[silence], active_days=[active], exposure_days=[exposure]), prior
    )
    assert found.item() == pytest.approx(active_probability(silence, active, exposure, prior), rel=1e-12)


def test_probability_is_continuous_where_the_formula_changes() -> None:
    around = quantities(recency_days=[80.0] * 5, active_days=[0.5 + d for d in (-1e-6, -1e-10, 0.0, 1e-10, 1e-6)])
    assert probability_active(around, 30.0) == pytest.approx(active_probability(80, 0.5, 0, 30), rel=1e-5)


def test_probability_of_a_daily_customer_gone_for_years_is_nothing_and_no_error() -> None:
    gone = quantities(recency_days=[3_650.0, 1e7], active_days=[400.0, 1e4], exposure_days=[86.0, 86.0])
    assert probability_active(gone, 2.0) == pytest.approx([0.0, 0.0], abs=1e-200)


@given(st.lists(st.floats(0, 3_000), min_size=2, max_size=20), st.floats(0, 80), st.floats(0, 86), prior_gaps)
def test_probability_falls_with_silence(silences: list[float], active: float, exposure: float, prior: float) -> None:
    size = len(silences)
    found = probability_active(
        quantities(recency_days=sorted(silences), active_days=[active] * size, exposure_days=[exposure] * size), prior
    )
    assert (np.diff(found) <= 1e-15).all()
    assert ((found >= 0) & (found <= 1)).all()


def test_usual_gap_lies_between_the_prior_and_the_customers_own() -> None:
    gaps = expected_gap_days(quantities(active_days=[0.0, 9.5], exposure_days=[0.0, 70.0]), 30.0)
    assert gaps.tolist() == pytest.approx([60.0, 10.0])


# --- features ----------------------------------------------------------------------------------------------------

drawn_quantities = st.builds(
    Quantities,
    *(
        st.floats(low, high).map(lambda value: np.array([value]))
        for low, high in ((0, 1000), (-0.5, 50), (0, 1e9), (0, 500), (0, 30), (0, 80), (0, 86), (0, 2000))
    ),
)


@given(drawn_quantities, prior_gaps, st.floats(1, 1e6))
def test_activity_features_agree_with_scalar_arithmetic(found: Quantities, prior: float, value_minor: float) -> None:
    q = Quantities(*(column.item() for column in found))  # type: ignore[arg-type]
    p = active_probability(float(q.recency_days), float(q.active_days), float(q.exposure_days), prior)
    expected = (
        1 - p,
        math.log(1 + p * max(float(q.orders), 0)),
        math.log(1 + p * float(q.revenue_minor) / value_minor),
        math.log(1 + p * float(q.engaged_days)),
    )
    features = extract_features(found, FeatureParameters("activity", prior, value_minor))
    assert features.shape == (1, FEATURE_COUNT)
    assert features[0] == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(drawn_quantities)
def test_plain_features_agree_with_scalar_arithmetic(found: Quantities) -> None:
    expected = (
        math.log(1 + found.recency_days.item() / 30),
        math.log(1 + max(found.orders.item(), 0)),
        math.log(1 + found.revenue_minor.item() / 100),
        math.log(1 + found.engagement.item()),
    )
    assert extract_features(found, PLAIN)[0] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(st.lists(drawn_quantities, min_size=1, max_size=5))
def test_features_of_many_customers_are_those_of_each(customers: list[Quantities]) -> None:
    together = Quantities(*(np.concatenate(columns) for columns in zip(*customers, strict=True)))
    for parameters in (PLAIN, FeatureParameters("activity", 20.0, 3_000.0)):
        each = np.concatenate([extract_features(found, parameters) for found in customers])
        assert extract_features(together, parameters) == pytest.approx(each, rel=1e-12)


def test_order_refunded_into_the_negative_counts_as_none() -> None:
    events = [purchase(0, 100, "c1", "o", "e1"), purchase(60, 100, "c1", "o", "e2"), refund(60, 200, "o")]
    found = quantities_at(activity_of(events), instant(60))
    assert found.orders.item() < 0
    for parameters in (PLAIN, FeatureParameters("activity", 20.0, 3_000.0)):
        assert extract_features(found, parameters)[0, 1] == 0


def test_every_feature_set_names_and_weights_its_four_features() -> None:
    for names in FEATURE_NAMES.values():
        assert len(set(names)) == len(names) == len(FEATURE_WEIGHTS) == FEATURE_COUNT
