"""Random worlds in which customers turn out to be others: as by brute force, and the same in any order of arrival."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from tests.scenarios.differential import compare
from tests.scenarios.embedded import Embedded
from tests.scenarios.inputs import Input
from tests.scenarios.steps import Sweep, draw_steps
from tests.scenarios.worlds import LISTS, TIERS, World, draw_world, leaves_without, with_merges


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
    world = with_merges(draw_world(seed))
    draw = random.Random(seed)
    states = [_final(world, world.inputs)]
    for _ in range(3):
        shuffled = list(world.inputs)
        draw.shuffle(shuffled)
        states.append(_final(world, [*shuffled, *draw.sample(shuffled, len(shuffled) // 2)]))
    assert states[1:] == states[:1] * 3


def _final(world: World, inputs: Sequence[Input]) -> dict[str, dict[str, str | None]]:
    embedded = Embedded(world.entries, LISTS, [TIERS] if world.has_tiers else [])
    for step in [*draw_steps(random.Random(len(inputs)), inputs), Sweep(world.end_ms)]:
        embedded.do(step)
    return {
        name: {customer_id: segment for customer_id, segment in embedded.members(name).items() if segment is not None}
        for name in embedded.partition.table.ruled_names
    }
