"""What is fed to a partition, step by step, and from which instant on each input counts.

An input counts at its own instant, unless its customer has been told something at that instant or later; then one
millisecond after that. Neighbours of equal instant in the log are one instant. A sweep tells everybody everything
before its instant. This is the rule of the house (`native/step.c`), written down once more for the brute force.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from stream_app.core.clock import DAY_MS, HOUR_MS
from stream_app.core.identities import Identities, Statement
from tests.scenarios.inputs import IDENTITIES, PROFILES, Document, Input
from tests.support.brute_moves import Counted

LONG_AGO_MS: Final = -(2**62)


@dataclass(frozen=True)
class Chunk:
    """Inputs that are taken in at once."""

    inputs: Sequence[Input]


@dataclass(frozen=True)
class Sweep:
    """Time has passed up to an instant."""

    at_ms: int


@dataclass(frozen=True)
class Restart:
    """Rows are written, and another process reads them."""


@dataclass(frozen=True)
class Adoption:
    """Definitions take over at an instant up to which time has passed."""

    at_ms: int
    entries: Sequence[Document]


Step: TypeAlias = Chunk | Sweep | Restart | Adoption


def draw_steps(draw: random.Random, inputs: Sequence[Input]) -> list[Step]:
    """Cut inputs into chunks, but not between neighbours of equal instant; let time pass, and restart, between them."""
    cuts, sweeps, restarts = draw.choice((0, 0.2, 0.6, 1)), draw.choice((0, 0.3, 0.7)), draw.choice((0, 0, 0.2))
    steps: list[Step] = []
    chunk: list[Input] = []
    watermark_ms = LONG_AGO_MS
    for each in inputs:
        if chunk and each.at_ms != chunk[-1].at_ms:
            has_swept, has_ended = draw.random() < sweeps, draw.random() < restarts
            if has_swept or has_ended or draw.random() < cuts:
                steps.append(Chunk(chunk))
                chunk = []
            if has_swept:
                watermark_ms += draw.choice((0, 1, HOUR_MS, 6 * HOUR_MS, draw.randrange(1, 2 * DAY_MS)))
                steps.append(Sweep(watermark_ms))
            if has_ended:
                steps.append(Restart())
        chunk.append(each)
        watermark_ms = max(watermark_ms, each.at_ms)
    return [*steps, Chunk(chunk)]


def counted(steps: Sequence[Step]) -> list[Counted]:
    """Return the inputs that are new, and from when on each counts."""
    return counted_with_ends(steps)[0]


def counted_with_ends(steps: Sequence[Step]) -> tuple[list[Counted], dict[str, int]]:
    """Return the inputs that are new, under each id that they count for and from when on, and when ids have ended.

    What a customer brings along who turns out to be another one counts for that one, too, from when that is known.
    """
    counting = _Counting()
    for step in steps:
        if isinstance(step, Sweep):
            counting.swept_ms = max(counting.swept_ms, step.at_ms - 1)
        elif isinstance(step, Chunk):
            for each in step.inputs:
                counting.take(each)
    return counting.found, counting.ends


class _Counting:
    def __init__(self) -> None:
        self.swept_ms = LONG_AGO_MS
        self.found: list[Counted] = []
        self.ends: dict[str, int] = {}
        self._told_ms: dict[str, int] = {}
        self._run_of: dict[str, int] = {}
        self._seen: set[tuple[str, str]] = set()
        self._run = 0
        self._last_at_ms: int | None = None
        self._identities = Identities()

    def take(self, each: Input) -> None:
        if each.at_ms != self._last_at_ms:
            self._run, self._last_at_ms = self._run + 1, each.at_ms
        if each.topic == IDENTITIES:
            said = Statement(each.at_ms, each.fields["alias"], each.customer_id, "merge")
            for ended, into in self._identities.take(said) or ():
                self._merge(str(ended), str(into), each.at_ms)
            return
        each = each._replace(customer_id=self._identities.end_of(each.customer_id))
        if (each.customer_id, each.event_id) in self._seen and each.topic != PROFILES:
            return  # what a profile says again changes nothing, but is said at an instant
        self._seen.add((each.customer_id, each.event_id))
        self.found.append(Counted(each, self._tell(each.customer_id, each.at_ms)))

    def _tell(self, customer_id: str, at_ms: int) -> int:
        if self._run_of.get(customer_id) != self._run:
            told = max(self._told_ms.get(customer_id, LONG_AGO_MS), self.swept_ms)
            self._told_ms[customer_id], self._run_of[customer_id] = max(at_ms, told + 1), self._run
        self._told_ms[customer_id] = max(self._told_ms[customer_id], at_ms)
        return self._told_ms[customer_id]

    def _merge(self, ended: str, into: str, at_ms: int) -> None:
        own = [each for each in self.found if each.input.customer_id == ended and ended not in self.ends]
        if not own:
            return
        self.ends[ended] = self._tell(ended, at_ms)
        known_ms = self._tell(into, self.ends[ended])
        for each in own:
            self._seen.add((into, each.input.event_id))
            self.found.append(Counted(each.input._replace(customer_id=into), max(known_ms, each.known_ms)))
