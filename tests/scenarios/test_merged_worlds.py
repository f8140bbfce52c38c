"""Random worlds in which customers turn out to be others: as by brute force, and the same in any order of arrival."""

from __future__ import annotations

import pytest

from tests.scenarios.differential import compare, final_states
from tests.scenarios.worlds import draw_world, leaves_without, with_merges


@pytest.mark.parametrize("block", range(8))
def test_merged_customers_are_told_as_by_brute_force(block: int) -> None:
    different = [
        comparison
        for seed in range(block * 40, block * 40 + 40)
        if not (comparison := compare(with_merges(draw_world(seed)))).is_equal
    ]
    assert not different, "\n".join(map(str, different))


@pytest.mark.parametrize("leaf", sorted(set(leaves_without("segment", "score"))))
def test_each_leaf_of_merged_customers_is_told_as_by_brute_force(leaf: str) -> None:
    different = [
        comparison for seed in range(12) if not (comparison := compare(with_merges(draw_world(seed, [leaf])))).is_equal
    ]
    assert not different, "\n".join(map(str, different))


@pytest.mark.parametrize("seed", range(30))
def test_the_final_state_of_merged_customers_is_free_of_the_order_of_arrival(seed: int) -> None:
    states = [
        {
            name: {customer_id: segment for customer_id, segment in members.items() if segment is not None}
            for name, members in state.items()
        }
        for state in final_states(with_merges(draw_world(seed)))
    ]
    assert states[1:] == states[:1] * 3
