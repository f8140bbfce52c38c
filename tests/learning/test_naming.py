from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.quantities import Quantities
from stream_app.learning.naming import LIMITS, PROTOTYPES, TRAIT_WEIGHTS, name_segments, segment_means, segment_traits

TYPICAL = np.array(list(PROTOTYPES.values()))
NAMES = tuple(PROTOTYPES)
ANY_NAME_IS_TRUE = (75.0, 30.0, 1.0)
"""Recency, tenure and engaged days that are within every name's limits."""


def names_of(traits, previous, means=ANY_NAME_IS_TRUE):
    return name_segments(traits, np.broadcast_to(np.array(means), (len(traits), 3)), previous)


def traits_strategy(max_segments: int = 18):
    row = st.lists(st.floats(-3, 3), min_size=4, max_size=4)
    return st.lists(row, min_size=1, max_size=max_segments).map(np.array)


def quantities_of(**columns):
    n = len(next(iter(columns.values())))
    return Quantities(**{name: np.array(columns.get(name, [1.0] * n)) for name in Quantities._fields})


def test_prototypes_are_named_after_themselves():
    assert names_of(TYPICAL, [None] * len(NAMES)) == NAMES


@given(traits_strategy(), st.data())
def test_names_are_always_distinct(traits, data):
    pool = [None, *NAMES, *(f"{name} 2" for name in NAMES), "Loyal 3", "Somebody", ""]
    previous = data.draw(st.lists(st.sampled_from(pool), min_size=len(traits), max_size=len(traits)))
    seen = set()
    previous = [name if not (name in seen or seen.add(name)) else None for name in previous]
    names = names_of(traits, previous)
    assert len(set(names)) == len(traits)


@given(traits_strategy(len(NAMES)))
def test_few_segments_have_plain_names(traits):
    assert set(names_of(traits, [None] * len(traits))) <= set(NAMES)


def test_segment_beyond_the_prototypes_is_numbered():
    names = names_of(np.vstack((TYPICAL, TYPICAL[1])), [None] * (len(NAMES) + 1))
    assert sorted(set(names) - set(NAMES)) == ["Loyal 2"]


@given(traits_strategy(12))
def test_names_given_once_are_kept_for_the_same_traits(traits):
    names = names_of(traits, [None] * len(traits))
    assert names_of(traits, names) == names


def test_numbered_name_is_kept_with_its_number():
    traits = np.vstack((TYPICAL, TYPICAL[1]))
    previous = ["Champions", "Loyal 2", *NAMES[2:], "Loyal"]
    assert list(names_of(traits, previous)) == previous


def cost_of(traits, names):
    typical = np.array([PROTOTYPES[name] for name in names])
    return float(((traits - typical) ** 2 * TRAIT_WEIGHTS).sum())


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_names_change_only_when_more_than_a_quarter_of_the_cost_is_saved(seed, towards):
    # Two segments move towards each other's prototype; somewhere on the way they trade names.
    rng = np.random.default_rng(seed)
    traits = TYPICAL + rng.normal(0, 0.3, TYPICAL.shape)
    one, other = rng.choice(len(NAMES), 2, replace=False)
    traits[[one, other]] += towards * (traits[[other, one]] - traits[[one, other]])
    fresh = names_of(traits, [None] * len(NAMES))
    saved = 1 - cost_of(traits, fresh) / cost_of(traits, NAMES)
    assert names_of(traits, NAMES) == (fresh if saved > 0.25 else NAMES)


def test_new_segment_takes_a_free_name_beside_kept_ones():
    traits = TYPICAL[[NAMES.index(name) for name in ("Champions", "Lost", "Loyal")]]
    assert names_of(traits, ["Champions", "Lost", None]) == ("Champions", "Lost", "Loyal")


def test_name_without_prototype_is_replaced():
    assert names_of(TYPICAL[:1], ["Big spenders"]) == ("Champions",)


def test_number_that_is_no_longer_offered_is_dropped():
    assert names_of(TYPICAL[1:2], ["Loyal 2"]) == ("Loyal",)


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


def test_every_prototype_has_limits():
    assert list(LIMITS) == list(PROTOTYPES)


def test_old_customers_are_not_named_new_however_few_others_are_older():
    assert names_of(TYPICAL[3:4], [None]) == ("New",)
    assert names_of(TYPICAL[3:4], [None], means=(75.0, 31.0, 1.0)) == ("Potential",)


def test_name_that_has_become_untrue_is_given_up_and_the_others_stay():
    traits = TYPICAL[[NAMES.index(name) for name in ("Champions", "At risk", "New")]]
    previous = ["Champions", "At risk", "New"]
    means = np.array([[10.0, 400.0, 0.0], [100.0, 400.0, 0.0], [80.0, 400.0, 0.0]])
    assert name_segments(traits, means, previous) == ("Champions", "At risk", "Potential")


def test_nobody_browses_where_nobody_engages():
    browsers = TYPICAL[4:5]
    assert names_of(browsers, [None]) == ("Browsers",)
    assert names_of(browsers, [None], means=(75.0, 80.0, 0.0)) != ("Browsers",)


def test_recent_customers_are_not_named_lost():
    assert names_of(TYPICAL[-1:], [None]) == ("Lost",)
    assert names_of(TYPICAL[-1:], [None], means=(59.0, 80.0, 1.0)) != ("Lost",)


def test_there_is_a_naming_though_every_name_is_untrue():
    beyond = (np.inf, np.inf, -1.0)
    assert len(set(names_of(TYPICAL, [None] * len(NAMES), means=beyond))) == len(NAMES)


def test_means_are_taken_over_a_segments_customers():
    quantities = quantities_of(recency_days=[1.0, 3.0], tenure_days=[10.0, 20.0], engaged_days=[0.0, 4.0])
    means = segment_means(quantities, np.array([[0.5, 0.5]]))
    assert means == pytest.approx(np.array([[2.0, 15.0, 2.0]]))
