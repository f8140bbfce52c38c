"""Short forms of all faults that must be survived; `make chaos` does them in full."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.scenarios import SCENARIOS, play

SEED = 1
CHOSEN = {name: scenario for name, scenario in SCENARIOS.items() if scenario.short}


@pytest.mark.parametrize("name", [name for name, scenario in CHOSEN.items() if not scenario.has_own_broker])
def test_fault_does_no_harm(name: str, kafka: str, tmp_path: Path) -> None:
    outcome = play(name, SEED, tmp_path, kafka, is_short=True)
    assert not outcome.problems, outcome


@pytest.mark.parametrize("name", [name for name, scenario in CHOSEN.items() if scenario.has_own_broker])
def test_fault_of_the_broker_does_no_harm(name: str, tmp_path: Path) -> None:
    outcome = play(name, SEED, tmp_path, None, is_short=True)
    assert not outcome.problems, outcome
