from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.learning.lineage import UNMATCHED, inherit_codes, match_centroids, match_segments


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


def members(labels, n_segments):
    return (np.array(labels) == np.arange(n_segments)[:, None]).astype(float)


@given(st.permutations(range(4)), st.lists(st.integers(0, 3), max_size=30))
def test_relabelled_segments_are_the_same_ones(order, labels):
    labels = [*range(4), *labels]
    earlier = members(labels, 4)
    assert match_segments(earlier, earlier[order]).tolist() == order


def test_as_many_customers_as_possible_stay_in_their_segment():
    earlier = members([0] * 10 + [1] * 10, 2)
    later = members([0] * 4 + [1] * 6 + [1] * 1 + [0] * 9, 2)
    assert match_segments(earlier, later).tolist() == [1, 0]


def test_centroid_moved_to_other_customers_gets_another_code():
    # Segment 1 is given up to segment 0, and segment 2 is divided instead.
    earlier = members([0] * 10 + [1] * 6 + [2] * 30, 3)
    later = members([0] * 16 + [1] * 12 + [2] * 18, 3)
    matched = match_segments(earlier, later)
    assert matched.tolist() == [0, UNMATCHED, 2]
    assert inherit_codes(np.array([4, 5, 6], np.int16), matched, 9) == ((4, 9, 6), 10)


@pytest.mark.parametrize(("n_shared", "index"), [(5, 0), (4, UNMATCHED)])
def test_half_of_the_smaller_segment_makes_it_the_same(n_shared, index):
    earlier = members([0] * 10 + [1] * 10, 2)[:1]
    later = members([1] * (10 - n_shared) + [0] * 10 + [1] * n_shared, 2)[:1]
    assert match_segments(earlier, later).tolist() == [index]


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 1000))
def test_no_segment_is_continued_twice(j, k, seed):
    rng = np.random.default_rng(seed)
    earlier, later = (members([*range(n), *rng.integers(n, size=20 - n)], n) for n in (j, k))
    matched = match_segments(earlier, later)
    used = matched[matched != UNMATCHED]
    assert len(matched) == k
    assert len(used) == len(set(used))
