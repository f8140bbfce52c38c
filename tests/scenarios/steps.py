"""What is fed to a partition, step by step, and from which instant on each input counts.

An input counts at its own instant, unless its customer has been told something at that instant or later; then one
millisecond after that. Neighbours of equal instant in the log are one instant. A sweep tells everybody everything
before its instant. This is the rule of the house (`native/step.c`), written down once more for the brute force.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from stream_app.core.clock import DAY_MS, HOUR_MS
from tests.scenarios.inputs import PROFILES, Document, Input
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
    return list(_counted(steps))


def _counted(steps: Sequence[Step]) -> Iterator[Counted]:
    told_ms: dict[str, int] = {}
    run_of: dict[str, int] = {}
    seen: set[tuple[str, str]] = set()
    swept_ms, run = LONG_AGO_MS, 0
    last_at_ms: int | None = None
    for step in steps:
        if isinstance(step, Sweep):
            swept_ms = max(swept_ms, step.at_ms - 1)
        if not isinstance(step, Chunk):
            continue
        for each in step.inputs:
            if each.at_ms != last_at_ms:
                run, last_at_ms = run + 1, each.at_ms
            if (each.customer_id, each.event_id) in seen and each.topic != PROFILES:
                continue  # what a profile says again changes nothing, but is said at an instant
            seen.add((each.customer_id, each.event_id))
            if run_of.get(each.customer_id) != run:
                told = max(told_ms.get(each.customer_id, LONG_AGO_MS), swept_ms)
                told_ms[each.customer_id], run_of[each.customer_id] = max(each.at_ms, told + 1), run
            yield Counted(each, told_ms[each.customer_id])
