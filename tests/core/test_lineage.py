from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.lineage import UNMATCHED, inherit_codes, match_centroids


@st.composite
def centroid_pairs(draw):
    earlier, later = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    return rng.normal(size=(earlier, 3)), rng.normal(size=(later, 3))


@given(centroid_pairs())
def test_matching_is_one_to_one_and_as_large_as_possible(pair):
    earlier, later = pair
    matched = match_centroids(earlier, later)
    used = matched[matched != UNMATCHED]
    assert len(matched) == len(later)
    assert len(used) == len(set(used)) == min(len(earlier), len(later))


@given(centroid_pairs())
def test_matching_costs_no_more_than_any_other(pair):
    earlier, later = pair
    cost = ((later[:, None] - earlier[None]) ** 2).sum(axis=2)
    matched = match_centroids(earlier, later)
    rows = np.flatnonzero(matched != UNMATCHED)
    if len(later) <= len(earlier):
        others = itertools.permutations(range(len(earlier)), len(later))
        cheapest = min(cost[range(len(later)), list(other)].sum() for other in others)
    else:
        others = itertools.permutations(range(len(later)), len(earlier))
        cheapest = min(cost[list(other), range(len(earlier))].sum() for other in others)
    assert np.isclose(cost[rows, matched[rows]].sum(), cheapest)


@given(st.permutations(range(7)))
def test_reshuffled_labels_keep_their_codes(order):
    earlier = np.random.default_rng(1).normal(size=(7, 4)) * 3
    codes, next_code = inherit_codes(
        np.arange(11, 18, dtype=np.int16), match_centroids(earlier, earlier[order] + 0.01), 18
    )
    assert codes == tuple(11 + index for index in order)
    assert next_code == 18


def test_new_cluster_gets_a_code_never_used_before():
    earlier = np.array([[0.0], [10.0]])
    later = np.array([[20.0], [0.1], [10.1]])
    codes, next_code = inherit_codes(np.array([3, 5], np.int16), match_centroids(earlier, later), 9)
    assert codes == (9, 3, 5)
    assert next_code == 10


def test_vanished_cluster_takes_its_code_along():
    codes, next_code = inherit_codes(
        np.array([1, 2, 3], np.int16), match_centroids(np.array([[0.0], [5.0], [9.0]]), np.array([[9.2], [0.1]])), 4
    )
    assert codes == (3, 1)
    assert next_code == 4
