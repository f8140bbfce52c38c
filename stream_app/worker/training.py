"""The trainer, on whichever worker owns the one partition of `population-samples`.

A tick is learned from once every partition has sent its sample of that tick or a later one. What the trainer knows
is written in one transaction with the model it publishes, and the same fence as for customers keeps a second trainer
out: so a model has one successor, whatever happens to workers, and segments keep their identity.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import msgspec

from stream_app.adapters.delivery import Delivery, OutgoingRecord
from stream_app.adapters.state_log import StateLog
from stream_app.adapters.topics import TopicNames
from stream_app.learning.sample import PopulationSample
from stream_app.learning.trainer import Trainer, TrainerSettings
from stream_app.segmentations.learned.document import ModelProposal, model_document
from stream_app.segmentations.learned.model import Model
from stream_app.worker.samples import decode_sample, merge_samples

logger = logging.getLogger(__name__)

STATE_KEY: Final = b"trainer"
HELD_SUFFIX: Final = "/held"
"""A held model has a key of its own, so that compaction never takes it for the successor of the published one."""


class TrainerState(msgspec.Struct):
    """What is kept of a trainer.

    Parameters
    ----------
    trainer
        `Trainer.state()`.
    next_sample
        Offset of the first sample that may still be needed.
    latest_ticks
        By partition, the tick of the newest sample before that offset; −1 where the partition had no customers.
    """

    trainer: dict[str, Any]
    next_sample: int = 0
    latest_ticks: dict[int, int] = {}


def decode_state(value: bytes) -> TrainerState:
    """Return what was written under `STATE_KEY`."""
    return msgspec.json.decode(value, type=TrainerState)


class Training:
    """Collects samples and learns from them.

    Parameters
    ----------
    trainer
        New, or as restored.
    state
        Where it stands; None at the very first start.
    delivery
        The right to write.
    topics
        Names.
    partitions
        How many partitions send samples.
    sample_size, seed
        Of the merged sample.
    """

    def __init__(
        self,
        trainer: Trainer,
        state: TrainerState | None,
        delivery: Delivery,
        topics: TopicNames,
        partitions: int,
        sample_size: int,
        seed: int,
    ) -> None:
        self.trainer = trainer
        self.next_sample = 0 if state is None else state.next_sample
        self._latest_ticks = {} if state is None else dict(state.latest_ticks)
        self._is_new = state is None
        self._waiting: dict[int, dict[int, tuple[int, PopulationSample]]] = {}
        self._delivery = delivery
        self._topics = topics
        self._partitions = partitions
        self._sample_size = sample_size
        self._seed = seed
        self._end = self.next_sample
        self._is_closed = False
        self._writing = asyncio.Lock()

    async def announce(self, initial: ModelProposal) -> None:
        """Publish the rules that hold before the first model, once in a deployment's life."""
        if self._is_new:
            await self._write(initial)
            self._is_new = False

    async def accept_sample(self, offset: int, value: bytes | None) -> None:
        """Take a sample's record; learn from every tick that is complete with it.

        Raises
        ------
        DeliveryFailed
            If a model could not be published; the process has to end.
        """
        if offset < self._end:
            return
        self._end = offset + 1
        if value is None:
            return
        try:
            partition, sample = decode_sample(value)
        except (msgspec.ValidationError, msgspec.DecodeError, ValueError) as error:
            logger.warning("sample at offset %d is left out: %s", offset, error)
            return
        if sample.population_size == 0:
            self._latest_ticks[partition] = -1
        else:
            self._latest_ticks[partition] = sample.tick
            self._waiting.setdefault(sample.tick, {})[partition] = (offset, sample)
        while not self._is_closed and self._waiting and self._is_complete(min(self._waiting)):
            await self._learn(min(self._waiting))

    async def close(self) -> None:
        """Give up the right to write. A model that is being learned meanwhile is left to the next trainer."""
        self._is_closed = True
        async with self._writing:
            await self._delivery.close()

    def _is_complete(self, tick: int) -> bool:
        latest = self._latest_ticks
        return len(latest) >= self._partitions and all(last >= tick or last < 0 for last in latest.values())

    async def _learn(self, tick: int) -> None:
        samples = [sample for _, sample in self._waiting.pop(tick).values()]
        merged = merge_samples(samples, self._sample_size, self._seed)
        # In a thread: k-means takes longer than folding may wait.
        proposal = await asyncio.to_thread(self.trainer.learn, merged)
        self.next_sample = min(
            (offset for tick_samples in self._waiting.values() for offset, _ in tick_samples.values()),
            default=self._end,
        )
        await self._write(proposal)

    async def _write(self, proposal: ModelProposal | None) -> None:
        state = TrainerState(self.trainer.state(), self.next_sample, self._latest_ticks)
        outgoing: dict[tuple[str, int], list[OutgoingRecord]] = {
            (self._topics.trainer_changelog, 0): [OutgoingRecord(STATE_KEY, msgspec.json.encode(state))]
        }
        if proposal is not None:
            outgoing[self._topics.models, 0] = [model_record(proposal)]
        async with self._writing:
            if not self._is_closed:
                await self._delivery.commit(outgoing)


async def restore_training(
    log: StateLog,
    topics: TopicNames,
    delivery: Delivery,
    partitions: int,
    settings: TrainerSettings,
    initial: Model,
) -> Training:
    """Return the trainer as its changelog has it, or a new one; nobody else may be able to write there any more."""
    state = None
    async for _, records in log.read_back(topics.trainer_changelog, [0]):
        for record in records:
            if record.key == STATE_KEY and record.value is not None:
                state = decode_state(record.value)
    trainer = Trainer(settings, initial) if state is None else Trainer.restore(settings, state.trainer)
    training = Training(trainer, state, delivery, topics, partitions, settings.sample_size, settings.seed)
    await training.announce(ModelProposal(initial))
    return training


def model_record(proposal: ModelProposal) -> OutgoingRecord:
    """Return a model as its record in `segment-models`."""
    key = proposal.snapshot.segmentation + (HELD_SUFFIX if proposal.held else "")
    return OutgoingRecord(key.encode(), msgspec.json.encode(model_document(proposal)))
