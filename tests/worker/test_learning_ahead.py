"""What is learned while samples are being written is what would be learned afterwards, or is not taken."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stream_app.learning.sample import PopulationSample
from stream_app.learning.trainer import Trainer
from stream_app.segmentations.learned.document import ModelProposal
from stream_app.worker.samples import decode_sample
from stream_app.worker.training import Training
from tests.worker.memory import MemoryLog, until
from tests.worker.test_training import PARTITIONS, UNPIN, learn_ticks, models_in, opened, sample_of


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ticks that were learned from, again and again, in order."""
    ticks: list[int] = []
    learn = Trainer.learn

    def note(trainer: Trainer, sample: PopulationSample) -> ModelProposal | None:
        proposal = learn(trainer, sample)
        ticks.append(sample.tick)
        return proposal

    monkeypatch.setattr(Trainer, "learn", note)
    return ticks


def samples_of(tick: int) -> dict[int, PopulationSample]:
    return dict(decode_sample(sample_of(partition, tick)) for partition in range(PARTITIONS))


async def draw(training: Training, samples: dict[int, PopulationSample], learned: list[int]) -> None:
    """Note samples that are drawn, and wait for what is learned from them."""
    before = len(learned)
    for partition, sample in samples.items():
        training.note_drawn(partition, sample)
    await until(lambda: len(learned) > before, "what is learned ahead")


async def commit(training: Training, samples: dict[int, PopulationSample]) -> None:
    for partition, sample in samples.items():
        await training.hand_over(partition, sample)


async def expected(*ticks: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the models of ticks that are read, and the trainer's state after them."""
    log = MemoryLog()
    training = await opened(log)
    await learn_ticks(training, *ticks)
    return models_in(log), training.trainers["value"].state()


def test_what_is_learned_ahead_is_published_once_the_samples_are_committed(learned: list[int]) -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        for tick in (1, 2, 3):
            samples = samples_of(tick)
            await draw(training, samples, learned)
            assert [model["version"] for model in models_in(log)] == list(range(tick))
            await commit(training, samples)
            assert [model["version"] for model in models_in(log)] == list(range(tick + 1))
        assert learned == [1, 2, 3]
        assert (models_in(log), training.trainers["value"].state()) == await expected(1, 2, 3)

    asyncio.run(test())


def test_what_was_learned_from_other_samples_than_those_committed_is_not_taken(learned: list[int]) -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        other = samples_of(1)[0]
        await draw(training, {0: other, 1: other}, learned)
        await commit(training, samples_of(1))
        assert learned == [1, 1]
        assert (models_in(log), training.trainers["value"].state()) == await expected(1)

    asyncio.run(test())


def test_what_was_learned_before_a_decision_is_learned_anew(learned: list[int]) -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        samples = samples_of(1)
        await draw(training, samples, learned)
        await training.accept_sample(0, UNPIN)
        await commit(training, samples)
        assert learned == [1, 1]

    asyncio.run(test())


def test_samples_of_different_ticks_are_not_learned_from_ahead(learned: list[int]) -> None:
    async def test() -> None:
        training = await opened(MemoryLog())
        training.note_drawn(0, samples_of(1)[0])
        training.note_drawn(1, samples_of(2)[1])
        await commit(training, {1: samples_of(2)[1]})
        assert learned == []
        await commit(training, {0: samples_of(1)[0]})
        assert learned == [1]

    asyncio.run(test())
