"""Random worlds through the embedded runtime and through the brute force: both must tell the same moves.

    python -m tests.scenarios.differential SEED1 SEED2

compares the worlds of the seeds from the first one on, before the second; it prints each one that differs with the
moves that are missing or too many, and ends with status 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.scenarios.embedded import Embedded
from tests.scenarios.inputs import Input
from tests.scenarios.steps import Adoption, Restart, Step, Sweep, counted_with_ends, draw_steps
from tests.scenarios.worlds import CUSTOMERS, LISTS, TIERS, World, draw_world
from tests.support.brute_figures import figures_of
from tests.support.brute_moves import BEGINNING_MS, Known, Told, Version, moves_by_brute_force

BORDER_MS: Final = 1
"""By how much two computations of a decayed sum may differ in when it passes a border."""
SHOWN: Final = 5
"""Moves that are shown of a world that differs."""


@dataclass(frozen=True)
class Comparison:
    """The moves of a world, by both, and where its customers are in the end."""

    world: World
    steps: Sequence[Step]
    expected: Sequence[Told]
    found: Sequence[Told]
    misplaced: Sequence[str]

    @property
    def is_equal(self) -> bool:
        """Whether both say the same."""
        return are_equal(self.expected, self.found) and not self.misplaced

    def __str__(self) -> str:
        missing = [move for move in self.expected if move not in self.found]
        excess = [move for move in self.found if move not in self.expected]
        return "\n".join(
            [
                f"seed {self.world.seed}: {json.dumps(self.world.entries)}",
                *(f"  missing {move}" for move in missing[:SHOWN]),
                *(f"  too many {move}" for move in excess[:SHOWN]),
                *(f"  misplaced {text}" for text in self.misplaced[:SHOWN]),
            ]
        )


def are_equal(expected: Sequence[Told], found: Sequence[Told]) -> bool:
    """Say whether two lists of moves are the same, but for a millisecond where a decayed sum passes its border."""
    if list(expected) == list(found):
        return True
    both = [
        sorted(moves, key=lambda move: (move.segmentation, move.customer_id, move.at_ms)) for moves in (expected, found)
    ]
    return len(expected) == len(found) and all(
        one[1:] == other[1:] and abs(one.at_ms - other.at_ms) <= BORDER_MS for one, other in zip(*both, strict=True)
    )


def final_states(world: World) -> list[dict[str, dict[str, str | None]]]:
    """Return where all customers of a world are in the end, by segmentation: as drawn, and in three other orders.

    In these half of the inputs come twice.
    """
    draw = random.Random(world.seed)
    orders = [world.inputs]
    for _ in range(3):
        shuffled = list(world.inputs)
        draw.shuffle(shuffled)
        orders.append([*shuffled, *draw.sample(shuffled, len(shuffled) // 2)])
    return [_final(world, inputs) for inputs in orders]


def _final(world: World, inputs: Sequence[Input]) -> dict[str, dict[str, str | None]]:
    embedded = Embedded(world.entries, LISTS, [TIERS] if world.has_tiers else [])
    for step in [*draw_steps(random.Random(len(inputs)), inputs), Sweep(world.end_ms)]:
        embedded.do(step)
    return {name: embedded.members(name) for name in embedded.partition.table.ruled_names}


def compare(world: World, steps: Sequence[Step] | None = None) -> Comparison:
    """Play a world, by steps that its seed draws unless they are given."""
    steps = draw_steps(random.Random(world.seed), world.inputs) if steps is None else steps
    embedded = Embedded(world.entries, LISTS, [TIERS] if world.has_tiers else [])
    for step in [*steps, Sweep(world.end_ms)]:
        embedded.do(step)
    inputs, ends = counted_with_ends(steps)
    figures = {customer_id: figures_of(customer_id, inputs) for customer_id in CUSTOMERS}
    known = Known(LISTS, held=embedded.held_in_others(), figures=figures, ends=ends)
    versions = [Version(BEGINNING_MS, world.entries)]
    versions += [Version(step.at_ms, step.entries) for step in steps if isinstance(step, Adoption)]
    expected = moves_by_brute_force(versions, inputs, world.end_ms, known)
    return Comparison(world, steps, expected, embedded.told_by_rules(), _misplaced(embedded, expected))


def _misplaced(embedded: Embedded, expected: Sequence[Told]) -> list[str]:
    """Say who is not where the last move has put it, by the rows."""
    last = {(move.segmentation, move.customer_id): move.segment for move in expected}
    return [
        f"{customer_id}: in {segment} of {name}, expected {last.get((name, customer_id))}"
        for name in embedded.partition.table.ruled_names
        for customer_id, segment in embedded.members(name).items()
        if segment != last.get((name, customer_id))
    ]


def main() -> None:
    """Compare the worlds of some seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("--leaves", nargs="*", help="draw from these kinds of leaves alone")
    options = parser.parse_args()
    started, different, moves, restarts = time.monotonic(), 0, 0, 0
    for seed in range(options.first, options.last):
        comparison = compare(draw_world(seed, *([options.leaves] if options.leaves else [])))
        moves += len(comparison.expected)
        restarts += sum(isinstance(step, Restart) for step in comparison.steps)
        if not comparison.is_equal:
            different += 1
            print(comparison)
    count = options.last - options.first
    seconds = time.monotonic() - started
    print(f"{count} worlds, {moves} moves, {restarts} restarts, {different} worlds differ, {seconds:.0f} s")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
