"""Learning from the samples of a tick, and doing so while they are still being written.

What is learned may be published only once the samples are committed; but it does not depend on that. So where one
worker has the trainers and all partitions, it learns on copies of the trainers as soon as the last sample is drawn, and
takes the copies if those very samples come to be committed. Otherwise they are thrown away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from copy import deepcopy
from typing import NamedTuple

from stream_app.core.clock import format_instant
from stream_app.learning.sample import PopulationSample
from stream_app.learning.trainer import Trainer
from stream_app.plurals import counted
from stream_app.segmentations.learned.document import ModelProposal
from stream_app.worker.samples import merge_samples

logger = logging.getLogger(__name__)

Samples = Mapping[int, PopulationSample]
"""By partition, those of one tick."""


class Learned(NamedTuple):
    """What comes of a tick.

    Attributes
    ----------
    merged
        What was learned from.
    trainers
        By segmentation, as they are now.
    proposals
        Their models; a trainer may have none.
    """

    merged: PopulationSample
    trainers: Mapping[str, Trainer]
    proposals: list[ModelProposal]


async def learn(trainers: Mapping[str, Trainer], samples: Samples, size: int, seed: int) -> Learned:
    """Let every trainer learn from a tick, in a thread: that takes longer than folding may wait.

    Parameters
    ----------
    size, seed
        See `merge_samples`.
    """
    merged = merge_samples([samples[number] for number in sorted(samples)], size, seed)
    learning = trainers.values() if merged.population_size else ()
    learned = [await asyncio.to_thread(trainer.learn, merged) for trainer in learning]
    return Learned(merged, trainers, [proposal for proposal in learned if proposal is not None])


def log_tick(tick: int, partitions: int, learned: Learned) -> None:
    """Say what was learned from at a tick, and what came of it."""
    for name, trainer in learned.trainers.items():
        if trainer.refusal is not None:
            logger.warning("tick %d of %s: %s; the present centres stay", tick, name, trainer.refusal)
    merged = learned.merged
    models = {proposal.model.name: proposal.model.version for proposal in learned.proposals}
    logger.info(
        "tick of %s: learned from a sample of %s of %s customers in %s; %s",
        as_of := format_instant(merged.as_of_ms),
        f"{len(merged):,}",
        f"{merged.population_size:,}",
        counted(partitions, "partition"),
        ", ".join(f"model {version} of {name} comes of it" for name, version in models.items())
        or "what is in force still fits",
        extra={"as_of": as_of, "sample": len(merged), "customers": merged.population_size, "models": models},
    )


class LearningAhead:
    """Learns from samples that are drawn and not committed yet.

    Parameters
    ----------
    partitions
        How many partitions send samples.
    size, seed
        See `merge_samples`.
    """

    def __init__(self, partitions: int, size: int, seed: int) -> None:
        self._partitions = partitions
        self._size = size
        self._seed = seed
        self._drawn: dict[int, PopulationSample] = {}
        self._task: asyncio.Task[Learned] | None = None

    def note_drawn(self, partition: int, sample: PopulationSample) -> None:
        """Note what a partition of this worker has drawn."""
        self.forget()
        self._drawn[partition] = sample

    def begin(self, trainers: Mapping[str, Trainer]) -> None:
        """Learn on copies of the trainers if the samples of a tick are complete."""
        ticks = {sample.tick for sample in self._drawn.values()}
        if len(self._drawn) == self._partitions and len(ticks) == 1:
            copies = {name: deepcopy(trainer) for name, trainer in trainers.items()}
            self._task = asyncio.create_task(learn(copies, dict(self._drawn), self._size, self._seed))

    async def result(self, samples: Samples) -> Learned | None:
        """Return what was learned from exactly these samples, if anything was."""
        task, self._task = self._task, None
        is_of_these = samples.keys() == self._drawn.keys() and all(
            sample is self._drawn[number] for number, sample in samples.items()
        )
        if task is None or is_of_these:
            return None if task is None else await task
        task.cancel()
        return None

    def forget(self) -> None:
        """Throw away what was learned ahead: the trainers have changed, or there are other samples."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
