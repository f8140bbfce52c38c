"""What goes wrong in a run."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from tests.simulation.group import SESSION_SECONDS

DISTURBED_SECONDS = 4.0
PAUSE_SECONDS_MAX = 4 * SESSION_SECONDS

Kind = Literal["kill", "freeze", "strike", "pause", "stop", "add", "compact"]
STEP_FAULTS: tuple[Kind, ...] = ("kill", "kill", "freeze")
TIMED_FAULTS: tuple[Kind, ...] = ("strike", "pause", "stop", "add", "compact")


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    A worker is killed (`kill`) or paused (`freeze`) at one of its steps, killed (`strike`), paused or stopped at an
    instant; one is added; the state's logs are compacted. Pauses are mostly longer than a session.
    """

    kind: Kind
    at: float = 0.0
    step: int = 0
    seconds: float = 0.0


def drawn_faults(drawn: random.Random) -> list[Fault]:
    """Draw a handful; faults at steps go to workers in the order in which these are started."""
    faults = []
    for _ in range(drawn.choice([0, 1, 2, 3])):
        step = round(2 ** (drawn.random() * 9))  # many in the first hundred: that is where a worker recovers
        faults.append(Fault(drawn.choice(STEP_FAULTS), step=step, seconds=_pause_seconds(drawn)))
    for _ in range(drawn.choice([0, 1, 2, 4])):
        at = drawn.random() * DISTURBED_SECONDS
        faults.append(Fault(drawn.choice(TIMED_FAULTS), at, seconds=_pause_seconds(drawn)))
    return faults


def _pause_seconds(drawn: random.Random) -> float:
    return drawn.random() * PAUSE_SECONDS_MAX
