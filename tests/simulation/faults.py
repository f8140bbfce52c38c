"""What goes wrong in a run."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from tests.simulation.group import SESSION_SECONDS

DISTURBED_SECONDS = 4.0


@dataclass(frozen=True)
class Fault:
    """A worker is killed at one of its steps (`kill`) or at an instant (`strike`), paused, stopped; one is added."""

    kind: Literal["kill", "strike", "stop", "pause", "add", "compact"]
    at: float = 0.0
    step: int = 0
    seconds: float = 0.0


def drawn_faults(drawn: random.Random) -> list[Fault]:
    """Draw a handful; kills at steps go to workers in the order in which they are started."""
    faults = [Fault("kill", step=round(2 ** (drawn.random() * 9))) for _ in range(drawn.choice([0, 1, 2, 3]))]
    for _ in range(drawn.choice([0, 1, 2, 4])):
        at = drawn.random() * DISTURBED_SECONDS
        kind = drawn.choice(["strike", "stop", "pause", "pause", "add", "compact"])
        if kind == "strike":
            faults.append(Fault("strike", at))
        elif kind == "stop":
            faults.append(Fault("stop", at))
        elif kind == "pause":
            faults.append(Fault("pause", at, seconds=drawn.random() * 3 * SESSION_SECONDS))
        elif kind == "add":
            faults.append(Fault("add", at))
        else:
            faults.append(Fault("compact", at))
    return faults
