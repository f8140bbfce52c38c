from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.features import Quantities
from stream_app.core.naming import PROTOTYPES, TRAIT_WEIGHTS, name_segments, segment_traits

TYPICAL = np.array(list(PROTOTYPES.values()))
NAMES = tuple(PROTOTYPES)


def traits_strategy(max_segments: int = 18):
    row = st.lists(st.floats(-3, 3), min_size=4, max_size=4)
    return st.lists(row, min_size=1, max_size=max_segments).map(np.array)


def quantities_of(**columns):
    n = len(next(iter(columns.values())))
    return Quantities(**{name: np.array(columns.get(name, [1.0] * n)) for name in Quantities._fields})


def test_prototypes_are_named_after_themselves():
    assert name_segments(TYPICAL, [None] * 8) == NAMES


@given(traits_strategy(), st.data())
def test_names_are_always_distinct(traits, data):
    pool = [None, *NAMES, *(f"{name} 2" for name in NAMES), "Loyal 3", "Somebody", ""]
    previous = data.draw(st.lists(st.sampled_from(pool), min_size=len(traits), max_size=len(traits)))
    seen = set()
    previous = [name if not (name in seen or seen.add(name)) else None for name in previous]
    names = name_segments(traits, previous)
    assert len(set(names)) == len(traits)


@given(traits_strategy(8))
def test_up_to_eight_segments_have_plain_names(traits):
    assert set(name_segments(traits, [None] * len(traits))) <= set(NAMES)


def test_ninth_segment_is_numbered():
    names = name_segments(np.vstack((TYPICAL, TYPICAL[1])), [None] * 9)
    assert sorted(set(names) - set(NAMES)) == ["Loyal 2"]


@given(traits_strategy(12))
def test_names_given_once_are_kept_for_the_same_traits(traits):
    names = name_segments(traits, [None] * len(traits))
    assert name_segments(traits, names) == names


def test_numbered_name_is_kept_with_its_number():
    traits = np.vstack((TYPICAL, TYPICAL[1]))
    previous = ["Champions", "Loyal 2", *NAMES[2:], "Loyal"]
    assert list(name_segments(traits, previous)) == previous


def cost_of(traits, names):
    typical = np.array([PROTOTYPES[name] for name in names])
    return float(((traits - typical) ** 2 * TRAIT_WEIGHTS).sum())


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_names_change_only_when_more_than_a_quarter_of_the_cost_is_saved(seed, towards):
    # Two segments move towards each other's prototype; somewhere on the way they trade names.
    rng = np.random.default_rng(seed)
    traits = TYPICAL + rng.normal(0, 0.3, TYPICAL.shape)
    one, other = rng.choice(8, 2, replace=False)
    traits[[one, other]] += towards * (traits[[other, one]] - traits[[one, other]])
    fresh = name_segments(traits, [None] * 8)
    saved = 1 - cost_of(traits, fresh) / cost_of(traits, NAMES)
    assert name_segments(traits, NAMES) == (fresh if saved > 0.25 else NAMES)


def test_new_segment_takes_a_free_name_beside_kept_ones():
    traits = TYPICAL[[0, 7, 1]]
    assert name_segments(traits, ["Champions", "Lost", None]) == ("Champions", "Lost", "Loyal")


def test_name_without_prototype_is_replaced():
    assert name_segments(TYPICAL[:1], ["Big spenders"]) == ("Champions",)


def test_number_that_is_no_longer_offered_is_dropped():
    assert name_segments(TYPICAL[1:2], ["Loyal 2"]) == ("Loyal",)


def test_traits_are_mean_z_scores_of_a_segments_customers():
    recency = np.array([1.0, 1.0, 9.0, 9.0])
    quantities = quantities_of(recency_days=np.expm1(recency))
    membership = np.array([[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]])
    traits = segment_traits(quantities, 1.0, membership)
    assert traits[:, 0] == pytest.approx([-1.0, 1.0])


def test_value_is_the_mean_of_orders_and_revenue():
    quantities = quantities_of(orders=[0.0, 3.0], revenue_minor=[0.0, 900.0])
    traits = segment_traits(quantities, 300.0, np.eye(2))
    assert traits[:, 1] == pytest.approx([-1.0, 1.0])


def test_constant_quantity_tells_nothing():
    traits = segment_traits(quantities_of(orders=[1.0, 5.0], engaged_days=[0.1, 0.1]), 1.0, np.eye(2))
    assert traits[:, 2] == pytest.approx([0.0, 0.0], abs=1e-6)


def test_orders_below_zero_count_as_none():
    traits = segment_traits(quantities_of(orders=[-1e-9, 0.0, 4.0]), 1.0, np.eye(3))
    assert traits[0, 1] == traits[1, 1]
