"""When to try again, and when to give up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import random
from typing import Final

ATTEMPTS_MIN: Final = 5
"""Even of a migration that is past its time: after a day's outage of the process or the endpoint, the first answer must
not decide alone."""


@dataclass(frozen=True)
class RetryPolicy:
    """How patiently an endpoint is retried.

    Parameters
    ----------
    first_seconds
        About this long after the first failure it is tried again; each further wait is twice as long.
    longest_seconds
        Upper limit of a wait.
    give_up_seconds
        A migration older than this is given up at its next failure. Age counts from when it was published, so that a
        restart does not reset it.
    draw
        Gives numbers from 0 up to 1.
    """

    first_seconds: float
    longest_seconds: float
    give_up_seconds: float
    draw: Callable[[], float] = random

    def wait_seconds(self, attempts: int) -> float:
        """Return the wait after a number of failures: half of it fixed, half drawn, so that retries spread out."""
        longest = min(self.longest_seconds, self.first_seconds * 2.0 ** min(attempts - 1, 64))
        return longest * (0.5 + 0.5 * self.draw())

    def is_hopeless(self, attempts: int, age_seconds: float) -> bool:
        """Return whether to give up after a number of failures."""
        return attempts >= ATTEMPTS_MIN and age_seconds >= self.give_up_seconds


class RetryAfterGate:
    """Holds back all requests to one endpoint while it does not want to be called (`Retry-After`)."""

    def __init__(self) -> None:
        self._opens_at = 0.0

    def close(self, seconds: float) -> None:
        """Hold everything back for some time; the latest end counts."""
        self._opens_at = max(self._opens_at, time.monotonic() + seconds)

    async def passed(self) -> None:
        """Return once it is open."""
        while (wait := self._opens_at - time.monotonic()) > 0:
            await asyncio.sleep(wait)
