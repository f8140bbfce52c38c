"""Five hundred runs in which workers are killed between any two steps, and all is right at the end of each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.simulation.mutations import MUTATIONS, Mutation
from tests.simulation.run import report, run_seed

SEEDS = 500
SEEDS_AT_ONCE = 50
SEEDS_FOR_MUTATIONS = 500
RARE = "expired"
"""A wait at a tick that ends without a decision: tests/worker/test_ticks.py has it on purpose."""


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_AT_ONCE))
def test_every_seed_ends_with_exact_state_and_outputs(first: int) -> None:
    outcomes = [run_seed(seed) for seed in range(first, first + SEEDS_AT_ONCE)]
    failed = [report(outcome) for outcome in outcomes if outcome.breaches]
    if failed:
        pytest.fail("\n".join(failed), pytrace=False)
    happened: Counter[str] = Counter()
    for outcome in outcomes:
        happened.update(outcome.figures)
    never = [name for name, count in happened.items() if not count and name != RARE]
    assert not never, f"in {SEEDS_AT_ONCE} runs none of: {never}"


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_broken_rule_is_found(mutation: Mutation) -> None:
    found = any(run_seed(seed, mutation.variant).breaches for seed in range(SEEDS_FOR_MUTATIONS))
    assert found, f"no seed below {SEEDS_FOR_MUTATIONS} shows that {mutation.name}"


def test_seed_replays_to_the_last_step_in_another_process() -> None:
    def trace(hash_seed: str) -> str:
        command = [sys.executable, "-m", "tests.simulation.run", "--seed", "7", "-v"]
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    first = trace("1")
    assert len(first.splitlines()) > 300
    assert trace("2") == first
