from __future__ import annotations

import numpy as np
import pytest

from stream_app.learning.profiles import membership_weights, profile_segments
from tests.learning.populations import draw_sample

DISTANCES = np.array([[0.0, 5.0, 9.0], [1.0, 4.0, 3.0], [6.0, 2.0, 8.0], [7.0, 3.0, 8.0]])


def test_customers_count_for_the_nearest_segment():
    shares, weights = membership_weights(DISTANCES)
    assert shares.tolist() == [0.5, 0.5, 0.0]
    assert weights[:2].tolist() == [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]


def test_segment_without_customers_is_described_by_the_nearest_one():
    _, weights = membership_weights(DISTANCES)
    assert weights[2].tolist() == [0.0, 1.0, 0.0, 0.0]


def test_profiles_are_means_with_money_in_major_units():
    sample = draw_sample(n_customers=4)
    shares, weights = membership_weights(DISTANCES)
    profile = profile_segments(sample.quantities, shares, weights, minor_per_major=100)[1]
    assert profile.share == 0.5
    assert profile.recency_days == pytest.approx(sample.quantities.recency_days[2:].mean())
    assert profile.orders_90d == pytest.approx(sample.quantities.orders[2:].mean())
    assert profile.revenue_90d == pytest.approx(sample.quantities.revenue_minor[2:].mean() / 100)
    assert profile.engaged_days_21d == pytest.approx(sample.quantities.engaged_days[2:].mean())
    assert profile.tenure_days == pytest.approx(sample.quantities.tenure_days[2:].mean())
