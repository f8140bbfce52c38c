"""The brute force itself: its moves account for what its conditions say, whenever they are asked."""

from __future__ import annotations

import random
from bisect import bisect_right

import pytest

from stream_app.core.clock import HOUR_MS
from tests.scenarios.by_brute_force import moves_of
from tests.scenarios.notation import NotSupported, parse_scenario, read_scenarios
from tests.scenarios.steps import counted, draw_steps
from tests.scenarios.worlds import LISTS, draw_world, leaves_without
from tests.support.brute_moves import (
    BEGINNING_MS,
    Known,
    Version,
    customer_of,
    definitions_of,
    moves_by_brute_force,
    without_margins,
)

SCENARIOS = read_scenarios()


@pytest.mark.parametrize("document", SCENARIOS, ids=lambda document: document["id"])
def test_a_scenario_comes_out_as_expected_by_brute_force_alone(document: dict[str, object]) -> None:
    try:
        scenario = parse_scenario(document)
    except NotSupported as reason:
        pytest.skip(str(reason))
    assert moves_of(scenario) == scenario.all_moves


@pytest.mark.parametrize("seed", range(40))
def test_moves_account_for_every_instant_of_a_grid(seed: int) -> None:
    world = draw_world(seed, leaves_without("figure", "segment"))
    inputs = counted(draw_steps(random.Random(seed), world.inputs))
    known = Known(LISTS)
    told = moves_by_brute_force([Version(BEGINNING_MS, world.entries)], inputs, world.end_ms, known)
    definitions = definitions_of(world.entries, known)
    draw = random.Random(seed)
    first_ms = min(each.known_ms for each in inputs)
    grid = [*range(first_ms, world.end_ms, 5 * HOUR_MS), *(draw.randrange(first_ms, world.end_ms) for _ in range(100))]
    for customer_id in {each.input.customer_id for each in inputs}:
        customer = customer_of(customer_id, inputs, known)
        from_ms = min(each.known_ms for each in inputs if each.input.customer_id == customer_id)
        for name in definitions.segmentations:
            own = [move for move in told if (move.customer_id, move.segmentation) == (customer_id, name)]
            instants = [move.at_ms for move in own]
            for at_ms in grid:
                index = bisect_right(instants, at_ms) - 1
                segment = own[index].segment if index >= 0 else None
                if at_ms >= from_ms:
                    with without_margins():
                        assert definitions.possible_segments(name, customer, at_ms) == [segment]
