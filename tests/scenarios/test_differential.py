"""Random worlds: the engine tells the same moves as the brute force, however inputs come."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.scenarios.differential import Comparison, compare, final_states
from tests.scenarios.inputs import Input
from tests.scenarios.steps import Adoption, Chunk, Restart
from tests.scenarios.worlds import (
    draw_long_world,
    draw_other_entries,
    draw_world,
    leaves_without,
)

COUNTS = ("last", "ago", "calendar", "ever", "where", "regular", "since_last", "first", "restarted")


@pytest.mark.parametrize("block", range(8))
def test_random_worlds_are_told_as_by_brute_force(block: int) -> None:
    different = [
        comparison
        for seed in range(block * 40, block * 40 + 40)
        if not (comparison := compare(draw_world(seed))).is_equal
    ]
    assert not different, "\n".join(map(str, different))


@pytest.mark.parametrize("leaf", sorted(set(leaves_without("segment", "score"))))
def test_each_leaf_is_told_as_by_brute_force(leaf: str) -> None:
    different = [comparison for seed in range(12) if not (comparison := compare(draw_world(seed, [leaf]))).is_equal]
    assert not different, "\n".join(map(str, different))


@pytest.mark.parametrize("seed", range(20))
def test_long_histories_are_told_alike_though_they_are_thinned(seed: int) -> None:
    comparison = compare(draw_long_world(seed, COUNTS))
    assert comparison.is_equal, comparison


@pytest.mark.parametrize("seed", range(30))
def test_chunks_and_restarts_change_nothing(seed: int) -> None:
    world = draw_world(seed)
    whole = compare(world, [Chunk(world.inputs)])
    parts: list[Chunk | Restart] = []
    for steps in _between_instants(world.inputs):
        parts += [Chunk(steps), Restart()]
    cut = compare(world, parts)
    assert whole.is_equal, whole
    assert cut.is_equal, cut
    assert list(whole.found) == list(cut.found)


@pytest.mark.parametrize("seed", range(60))
def test_definitions_that_change_see_what_was_before(seed: int) -> None:
    world = draw_world(seed, leaves_without("segment"))
    in_order = sorted({each.event_id: each for each in world.inputs}.values(), key=lambda each: each.at_ms)
    instants = sorted({each.at_ms for each in in_order})
    at_ms = instants[len(instants) // 2] + 1
    steps = [
        Chunk([each for each in in_order if each.at_ms < at_ms]),
        Adoption(at_ms, draw_other_entries(seed, world)),
        Chunk([each for each in in_order if each.at_ms > at_ms]),
    ]
    comparison = compare(world, steps)
    assert comparison.is_equal, comparison


@pytest.mark.parametrize("seed", range(30))
def test_the_final_state_is_free_of_the_order_of_arrival(seed: int) -> None:
    states = final_states(draw_world(seed))
    assert states[1:] == states[:1] * 3


def _between_instants(inputs: Sequence[Input]) -> list[list[Input]]:
    runs: list[list[Input]] = []
    for each in inputs:
        if not runs or runs[-1][-1].at_ms != each.at_ms:
            runs.append([])
        runs[-1].append(each)
    return runs


def test_a_comparison_that_differs_names_what_is_missing_and_what_is_too_much() -> None:
    comparison = compare(draw_world(1))
    other = Comparison(comparison.world, comparison.steps, comparison.expected[:-1], comparison.found, ["c1: astray"])
    assert not other.is_equal
    assert "too many" in str(other)
    assert "astray" in str(other)
