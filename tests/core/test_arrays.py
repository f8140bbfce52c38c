"""Values are grouped as `np.unique` does it, wherever they lie."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.arrays import grouped

CLOSE = st.integers(-40, 40)
FAR = st.integers(-(2**61), 2**61)


@given(st.lists(st.one_of(CLOSE, FAR), min_size=1, max_size=60) | st.lists(CLOSE, min_size=1, max_size=60))
def test_values_and_their_places_are_those_of_sorting(values: list[int]) -> None:
    found, places = grouped(np.array(values, np.int64))
    expected, expected_places = np.unique(np.array(values, np.int64), return_inverse=True)
    assert found.tolist() == expected.tolist()
    assert places.tolist() == expected_places.tolist()
