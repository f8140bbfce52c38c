"""The trainer waits for every partition, learns each tick once, and is one whatever happens to workers."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stream_app.contracts.outputs import SegmentModel
from stream_app.core.snapshot_document import Proposal
from stream_app.errors import DeliveryFailed
from stream_app.learning.sample import PopulationSample
from stream_app.learning.trainer import Trainer, TrainerSettings
from stream_app.worker.samples import encode_sample
from stream_app.worker.training import STATE_KEY, Training, decode_state
from tests.learning.populations import GROUPS, draw_sample
from tests.support.snapshots import rules_snapshot
from tests.worker.memory import TOPICS, MemoryDelivery, MemoryLog

SETTINGS = TrainerSettings(n_clusters=3, min_history_days=0, min_customers_per_cluster=5)
PARTITIONS = 2


def sample_of(partition: int, tick: int, customers: int = 60) -> bytes:
    sample = replace(draw_sample(tick, customers, seed=partition), population_size=customers)
    return encode_sample(sample, "value", partition)


async def open_training(log: MemoryLog, settings: TrainerSettings = SETTINGS) -> Training:
    """Open the trainer where the log stands, as a worker does."""
    delivery = MemoryDelivery(log, "trainer")
    await delivery.open()
    states = [record.value for record in log.records[TOPICS.trainer_changelog, 0] if record.key == STATE_KEY]
    state = decode_state(states[-1] or b"") if states else None
    initial = rules_snapshot()
    trainer = Trainer(settings, initial) if state is None else Trainer.restore(settings, state.trainer)
    training = Training(trainer, state, delivery, TOPICS, PARTITIONS, settings.sample_size, settings.seed)
    await training.announce(Proposal(initial))
    return training


def versions(log: MemoryLog) -> list[int]:
    return [model["version"] for model in log.values(TOPICS.models)]


def test_tick_waits_for_all_partitions() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await open_training(log)
        assert versions(log) == [0]
        await training.take(0, sample_of(0, 1))
        await training.take(1, sample_of(0, 2))
        assert versions(log) == [0]
        await training.take(2, sample_of(1, 1))
        assert versions(log) == [0, 1]
        assert training.next_sample == 1  # that of tick 2 is still needed
        await training.take(3, sample_of(1, 2))
        assert versions(log) == [0, 1, 2]
        assert training.next_sample == 4
        assert [model["training"] and model["training"]["sample_size"] for model in log.values(TOPICS.models)] == [
            None,
            120,
            120,
        ]

    asyncio.run(test())


def test_partition_that_went_past_a_tick_does_not_hold_it_up() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await open_training(log)
        await training.take(0, sample_of(0, 1))
        await training.take(1, sample_of(1, 3))
        assert versions(log) == [0, 1]

    asyncio.run(test())


def test_empty_partition_holds_nothing_up() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await open_training(log)
        await training.take(0, sample_of(0, 1))
        assert versions(log) == [0]
        await training.take(1, sample_of(1, 900, customers=0))
        assert versions(log) == [0, 1]
        await training.take(2, sample_of(0, 2))
        assert versions(log) == [0, 1, 2]
        await training.take(3, sample_of(1, 3))  # it has customers now, and is waited for from here on
        await training.take(4, sample_of(0, 3))
        await training.take(5, sample_of(0, 4))
        assert versions(log) == [0, 1, 2, 3]

    asyncio.run(test())


def test_repeated_samples_change_nothing() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await open_training(log)
        for offset, value in enumerate([sample_of(0, 1), sample_of(0, 1), sample_of(1, 1), sample_of(1, 1)]):
            await training.take(offset, value)
            await training.take(offset, value)
        assert versions(log) == [0, 1]
        assert len(log.values(TOPICS.trainer_changelog)) <= 3
        await training.take(4, sample_of(0, 1))
        assert versions(log) == [0, 1]

    asyncio.run(test())


@pytest.mark.parametrize("value", [None, b"", b"{", b'{"tick": 1}'])
def test_sample_that_is_none_is_left_out(value: bytes | None) -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await open_training(log)
        document = json.loads(sample_of(0, 1))
        document["quantities"].pop("orders")
        await training.take(0, value)
        await training.take(1, json.dumps(document).encode())
        await training.take(2, sample_of(0, 1))
        await training.take(3, sample_of(1, 1))
        assert versions(log) == [0, 1]

    asyncio.run(test())


@pytest.mark.parametrize("restarts", [{3}, {1, 2, 5}, set(range(9))], ids=str)
def test_trainer_that_is_restored_proposes_the_same_models(restarts: set[int]) -> None:
    values = [sample_of(number % 2, number // 2 + 1) for number in range(8)]
    values[3], values[4] = values[4], values[3]  # tick 3 of one partition comes before tick 2 of the other

    async def models(restarted: set[int]) -> list[dict[str, Any]]:
        log = MemoryLog()
        training = await open_training(log)
        for offset, value in enumerate(values):
            if offset in restarted:
                training = await open_training(log)
                for again in range(training.next_sample, offset):
                    await training.take(again, values[again])
            await training.take(offset, value)
        return log.values(TOPICS.models)

    expected = asyncio.run(models(set()))
    assert [model["version"] for model in expected] == [0, 1, 2, 3, 4]
    assert asyncio.run(models(restarts)) == expected


def test_second_trainer_shuts_the_first_out() -> None:
    async def test() -> None:
        log = MemoryLog()
        first = await open_training(log)
        await first.take(0, sample_of(0, 1))
        second = await open_training(log)
        with pytest.raises(DeliveryFailed):
            await first.take(1, sample_of(1, 1))
        assert versions(log) == [0]
        await second.take(0, sample_of(0, 1))
        await second.take(1, sample_of(1, 1))
        assert versions(log) == [0, 1]

    asyncio.run(test())


def test_rules_before_the_first_model_are_announced_once_in_a_deployments_life() -> None:
    async def test() -> None:
        log = MemoryLog()
        for _ in range(3):
            await open_training(log)
        assert versions(log) == [0]

    asyncio.run(test())


def moved(tick: int, trainer: Trainer) -> list[bytes]:
    """Return samples of customers who are no longer what their segments say."""
    values = []
    for partition in range(PARTITIONS):
        before = draw_sample(tick, 60, seed=partition)
        snapshot = trainer.published
        codes = snapshot.codes[snapshot.score_quantities(before.quantities).argmin(axis=1)].astype(np.int16)
        other: PopulationSample = draw_sample(
            tick, 60, seed=partition, groups=GROUPS * np.array([4, 0.2, 3, 0.1, 0.1, 0.3, 0.5, 1]), segment_codes=codes
        )
        values.append(encode_sample(replace(other, population_size=60), "value", partition))
    return values


def test_model_that_is_held_has_a_key_of_its_own_and_the_next_one_supersedes_the_published() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await open_training(log, replace(SETTINGS, max_expected_churn=0.05, held_ticks_max=1))
        values = [sample_of(0, 1), sample_of(1, 1)]
        for offset, value in enumerate(values):
            await training.take(offset, value)
        for tick in (2, 3):
            for value in moved(tick, training.trainer):
                await training.take(len(values), value)
                values.append(value)
        keys = [record.key for record in log.records[TOPICS.models, 0]]
        assert keys == [b"value", b"value", b"value/held", b"value"]
        models = [SegmentModel.model_validate(model).root for model in log.values(TOPICS.models)]
        assert [(model.version, model.status) for model in models] == [
            (0, "published"),
            (1, "published"),
            (2, "held"),
            (2, "published"),
        ]

    asyncio.run(test())


def test_model_and_state_are_written_together() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await open_training(log)
        await training.take(0, sample_of(0, 1))
        await training.take(1, sample_of(1, 1))
        assert [set(outgoing) for outgoing in log.transactions] == [
            {(TOPICS.trainer_changelog, 0), (TOPICS.models, 0)}
        ] * 2
        await training.close()

    asyncio.run(test())


def test_trainer_that_is_closed_while_it_learns_writes_nothing_and_does_not_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learning, may_go_on = threading.Event(), threading.Event()
    learn = Trainer.learn

    def learn_slowly(trainer: Trainer, sample: PopulationSample) -> Proposal | None:
        learning.set()
        may_go_on.wait()
        return learn(trainer, sample)

    async def test() -> None:
        log = MemoryLog()
        training = await open_training(log)
        await training.take(0, sample_of(0, 1))
        with monkeypatch.context() as patched:
            patched.setattr(Trainer, "learn", learn_slowly)
            taking = asyncio.create_task(training.take(1, sample_of(1, 1)))
            await asyncio.to_thread(learning.wait)
            await training.close()
            may_go_on.set()
            await taking
        assert versions(log) == [0]
        again = await open_training(log)
        for offset, partition in enumerate((0, 1)):
            await again.take(offset, sample_of(partition, 1))
        assert versions(log) == [0, 1]

    asyncio.run(test())


def test_trainer_that_is_closed_while_it_writes_finishes_that() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await open_training(log)
        delivery = training._delivery
        assert isinstance(delivery, MemoryDelivery)
        await training.take(0, sample_of(0, 1))
        delivery.answering.clear()
        taking = asyncio.create_task(training.take(1, sample_of(1, 1)))
        while delivery.begun < 2:
            await asyncio.sleep(0.001)
        closing = asyncio.create_task(training.close())
        await asyncio.sleep(0.001)
        assert not delivery.is_closed
        delivery.answering.set()
        await asyncio.gather(taking, closing)
        assert delivery.is_closed
        assert versions(log) == [0, 1]

    asyncio.run(test())
