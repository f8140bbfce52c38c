"""Matching rows to columns, one to one."""

from __future__ import annotations

import sys
from itertools import permutations

import numpy as np

from stream_app.learning.matching import assign, load_matching


def test_matching_has_the_least_cost_of_all() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        cost = generator.random((4, 5))
        rows, columns = assign(cost)
        least = min(cost[np.arange(4), list(chosen)].sum() for chosen in permutations(range(5), 4))
        assert np.isclose(cost[rows, columns].sum(), least)


def test_what_it_needs_is_imported_on_demand() -> None:
    load_matching()
    assert "scipy.optimize" in sys.modules
