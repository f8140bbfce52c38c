"""The trainer waits for every partition, learns each tick once, and is one whatever happens to workers."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from stream_app.adapters.delivery import OutgoingRecord
from stream_app.contracts.outputs.models import SegmentModel
from stream_app.errors import DeliveryFailed
from stream_app.learning.sample import PopulationSample
from stream_app.learning.trainer import Trainer, TrainerSettings
from stream_app.segmentations.learned.document import ModelProposal
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.worker import training as training_module
from stream_app.worker.samples import decode_sample, encode_sample
from stream_app.worker.training import PROGRESS_KEY, STATE_KEY_PREFIX, Training, TrainingState, open_training
from tests.learning.populations import Group, draw_sample
from tests.worker.memory import TOPICS, MemoryDelivery, MemoryLog, until

SETTINGS = TrainerSettings()
PARTITIONS = 2
UNPIN = json.dumps(
    {"kind": "decision", "action": "unpin", "segmentation": "value", "version": None, "as_of": None}
    | {"decided_by": "Ada", "at": "2024-06-01T12:00:00.000Z"}
).encode()


def sample_of(partition: int, tick: int, customers: int = 60) -> bytes:
    sample = draw_sample(tick, customers, seed=partition, names=("value", "habits"), arrival_days=1.0)
    return encode_sample(sample, partition)


async def opened(
    log: MemoryLog,
    settings: TrainerSettings = SETTINGS,
    names: Sequence[str] = ("value",),
    wanted: Sequence[LearnedSegmentation] = (),
) -> Training:
    """Open the trainers where the log stands, as a worker does."""
    delivery = MemoryDelivery(log, "trainer")
    await delivery.open()
    state = TrainingState()
    state.restore(log.records[TOPICS.trainer_changelog, 0])
    learned = {name: replace(settings, segmentation=name) for name in names}
    built = wanted or [LearnedSegmentation(Model(name)) for name in names]
    return await open_training(state, learned, built, delivery, TOPICS, PARTITIONS)


def models_in(log: MemoryLog) -> list[dict[str, Any]]:
    return [document for document in log.values(TOPICS.models) if document["kind"] != "tick"]


def versions(log: MemoryLog, segmentation: str = "value") -> list[int]:
    return [model["version"] for model in models_in(log) if model["segmentation"] == segmentation]


def ticks(log: MemoryLog, status: str) -> list[tuple[int, dict[str, int]]]:
    """Return what was said of ticks."""
    found = [document for document in log.values(TOPICS.models) if document["kind"] == "tick"]
    return [(tick["tick"], tick["versions"]) for tick in found if tick["status"] == status]


async def learn_ticks(training: Training, *ticks: int) -> None:
    """Let every partition send its sample of each tick."""
    for offset, (tick, partition) in enumerate(itertools.product(ticks, range(PARTITIONS)), start=training.next_sample):
        await training.accept_sample(offset, sample_of(partition, tick))


def test_tick_waits_for_all_partitions() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        assert versions(log) == [0]
        await training.accept_sample(0, sample_of(0, 1))
        await training.accept_sample(1, sample_of(0, 2))
        assert versions(log) == [0]
        await training.accept_sample(2, sample_of(1, 1))
        assert versions(log) == [0, 1]
        assert training.next_sample == 1  # that of tick 2 is still needed
        await training.accept_sample(3, sample_of(1, 2))
        assert versions(log) == [0, 1, 2]
        assert training.next_sample == 4
        assert [model["training"] and model["training"]["sample_size"] for model in models_in(log)] == [
            None,
            120,
            120,
        ]

    asyncio.run(test())


def test_partition_that_went_past_a_tick_does_not_hold_it_up() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        await training.accept_sample(0, sample_of(0, 1))
        await training.accept_sample(1, sample_of(1, 3))
        assert versions(log) == [0, 1]

    asyncio.run(test())


def test_tick_is_decided_though_nothing_is_learned() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        orders_once = (Group(1e6, 1e9, 3000.0, 1.0),)
        for offset, (tick, partition) in enumerate(itertools.product((1, 2), range(PARTITIONS))):
            sample = draw_sample(tick, 2, orders_once, arrival_days=1.0)
            await training.accept_sample(offset, encode_sample(sample, partition))
        assert versions(log) == [0]
        assert ticks(log, "decided") == [(1, {"value": 0}), (2, {"value": 0})]

    asyncio.run(test())


def test_decision_says_what_share_the_next_sample_is_drawn_from() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log, TrainerSettings(sample_size=30))
        await learn_ticks(training, 1)
        decided = [document for document in log.values(TOPICS.models) if document.get("status") == "decided"]
        assert [document["sample_share"] for document in decided] == [2 * 30 / (60 * PARTITIONS)]

    asyncio.run(test())


def test_tick_of_nobody_is_decided_and_not_learned_from() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        for partition in (0, 1):
            await training.accept_sample(partition, sample_of(partition, 5, customers=0))
        assert ticks(log, "decided") == [(5, {"value": 0})]
        assert training.trainers["value"].state()["last_tick"] < 0

    asyncio.run(test())


def test_partition_that_has_nobody_yet_says_so_and_is_waited_for_from_there_on() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        await training.accept_sample(0, sample_of(0, 1))
        assert versions(log) == [0]
        await training.accept_sample(1, sample_of(1, 3, customers=0))
        assert versions(log) == [0, 1]
        await training.accept_sample(2, sample_of(0, 2))
        await training.accept_sample(3, sample_of(0, 3))
        await training.accept_sample(4, sample_of(0, 4))
        assert versions(log) == [0, 1, 2, 3]
        await training.accept_sample(5, sample_of(1, 2, customers=0))  # somebody came late, who is waited for anew
        assert versions(log) == [0, 1, 2, 3]
        await training.accept_sample(6, sample_of(1, 4))
        assert versions(log) == [0, 1, 2, 3, 4]
        assert [tick for tick, _ in ticks(log, "decided")] == [1, 2, 3, 4]

    asyncio.run(test())


def test_samples_of_a_tick_that_is_decided_are_not_kept() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        await learn_ticks(training, 1, 2)
        again = await opened(log)
        await again.accept_sample(4, sample_of(1, 2))
        await again.accept_sample(5, sample_of(1, 3))
        await again.accept_sample(6, sample_of(0, 3))
        assert again.next_sample == 7
        assert [tick for tick, _ in ticks(log, "decided")] == [1, 2, 3]

    asyncio.run(test())


def test_partition_that_has_not_come_to_a_tick_is_asked_once_and_the_next_time_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training_module, "LOOK_SECONDS", 0.001)

    async def test() -> None:
        log, failures = MemoryLog(), list[BaseException]()
        training = await opened(log)
        training.start(failures.append)
        await training.accept_sample(0, sample_of(0, 1))
        await asyncio.sleep(0.02)
        assert ticks(log, "awaited") == []
        monkeypatch.setattr(training_module, "PATIENCE_SECONDS", 0.01)
        await until(lambda: ticks(log, "awaited") == [(1, {})], "a question")
        await asyncio.sleep(0.02)
        monkeypatch.setattr(training_module, "PATIENCE_SECONDS", 1e9)
        await training.accept_sample(1, sample_of(1, 1))
        await training.accept_sample(2, sample_of(0, 2))
        await until(lambda: ticks(log, "awaited")[1:] == [(2, {})], "a question at once")
        await training.close()
        await asyncio.sleep(0.02)
        assert failures == []

    asyncio.run(test())


def test_question_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_module, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(training_module, "PATIENCE_SECONDS", 0.0)

    async def test() -> None:
        log, failures = MemoryLog(), list[BaseException]()
        training = await opened(log)
        await opened(log)
        training.start(failures.append)
        await training.accept_sample(0, sample_of(0, 1))
        await until(lambda: bool(failures), "the failure")
        assert [type(error) for error in failures] == [DeliveryFailed]

    asyncio.run(test())


def test_repeated_samples_change_nothing() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        for offset, value in enumerate([sample_of(0, 1), sample_of(0, 1), sample_of(1, 1), sample_of(1, 1)]):
            await training.accept_sample(offset, value)
            await training.accept_sample(offset, value)
        assert versions(log) == [0, 1]
        assert sum(record.key == PROGRESS_KEY for record in log.records[TOPICS.trainer_changelog, 0]) <= 3
        await training.accept_sample(4, sample_of(0, 1))
        assert versions(log) == [0, 1]

    asyncio.run(test())


@pytest.mark.parametrize("value", [None, b"", b"{", b'{"tick": 1}'])
def test_sample_that_is_none_is_left_out(value: bytes | None) -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        document = json.loads(sample_of(0, 1))
        document["activity"].pop("gaps")
        await training.accept_sample(0, value)
        await training.accept_sample(1, json.dumps(document).encode())
        await training.accept_sample(2, sample_of(0, 1))
        await training.accept_sample(3, sample_of(1, 1))
        assert versions(log) == [0, 1]

    asyncio.run(test())


@pytest.mark.parametrize("restarts", [{3}, {1, 2, 5}, set(range(9))], ids=str)
def test_trainer_that_is_restored_proposes_the_same_models(restarts: set[int]) -> None:
    values = [sample_of(number % 2, number // 2 + 1) for number in range(8)]
    values[3], values[4] = values[4], values[3]  # tick 3 of one partition comes before tick 2 of the other

    async def models(restarted: set[int]) -> list[dict[str, Any]]:
        log = MemoryLog()
        training = await opened(log)
        for offset, value in enumerate(values):
            if offset in restarted:
                training = await opened(log)
                for again in range(training.next_sample, offset):
                    await training.accept_sample(again, values[again])
            await training.accept_sample(offset, value)
        return models_in(log)

    expected = asyncio.run(models(set()))
    assert [model["version"] for model in expected] == [0, 1, 2, 3, 4]
    assert asyncio.run(models(restarts)) == expected


def test_samples_that_are_handed_over_are_learned_from_before_they_are_read() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        values = [sample_of(partition, tick) for tick in (1, 2) for partition in range(PARTITIONS)]
        for value in values:
            await training.hand_over(*decode_sample(value))
        assert versions(log) == [0, 1, 2]
        assert training.next_sample == 0
        for offset, value in enumerate(values):
            await training.accept_sample(offset, value)
        assert versions(log) == [0, 1, 2]
        await training.accept_sample(4, sample_of(0, 3))
        await training.hand_over(*decode_sample(sample_of(1, 3)))
        assert versions(log) == [0, 1, 2, 3]
        assert training.next_sample == 5
        read = await opened(MemoryLog())
        await learn_ticks(read, 1, 2, 3)
        assert training.trainers["value"].state() == read.trainers["value"].state()

    asyncio.run(test())


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=str)
def test_sample_that_was_handed_over_is_waited_for_by_the_next_owner_until_it_is_read(order: tuple[int, int]) -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        await learn_ticks(training, 1)
        await training.hand_over(*decode_sample(sample_of(0, 2)))
        await training.accept_sample(2, UNPIN)  # writes what is known by now
        await training.close()
        again = await opened(log)
        assert again.next_sample == 3
        await again.accept_sample(3, sample_of(order[0], 2))
        assert [tick for tick, _ in ticks(log, "decided")] == [1]
        await again.accept_sample(4, sample_of(order[1], 2))
        assert [tick for tick, _ in ticks(log, "decided")] == [1, 2]

    asyncio.run(test())


def test_partition_that_was_handed_over_and_begins_anew_before_that_is_waited_for() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        await training.accept_sample(0, sample_of(0, 1))
        await training.hand_over(*decode_sample(sample_of(1, 5, customers=0)))
        assert versions(log) == [0, 1]
        await training.hand_over(*decode_sample(sample_of(1, 2)))
        await training.accept_sample(1, sample_of(1, 5, customers=0))  # read after it has begun
        await training.accept_sample(2, sample_of(0, 3))
        assert versions(log) == [0, 1, 2]
        await training.hand_over(*decode_sample(sample_of(1, 3)))
        assert versions(log) == [0, 1, 2, 3]

    asyncio.run(test())


def test_second_trainer_shuts_the_first_out() -> None:
    async def test() -> None:
        log = MemoryLog()
        first = await opened(log)
        await first.accept_sample(0, sample_of(0, 1))
        second = await opened(log)
        with pytest.raises(DeliveryFailed):
            await first.accept_sample(1, sample_of(1, 1))
        assert versions(log) == [0]
        await second.accept_sample(0, sample_of(0, 1))
        await second.accept_sample(1, sample_of(1, 1))
        assert versions(log) == [0, 1]

    asyncio.run(test())


def test_rules_before_the_first_model_are_announced_once_in_a_deployments_life() -> None:
    async def test() -> None:
        log = MemoryLog()
        for _ in range(3):
            await opened(log)
        assert versions(log) == [0]

    asyncio.run(test())


def test_every_learned_segmentation_learns_each_tick_and_all_is_written_in_one_transaction() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log, names=["value", "habits"])
        await learn_ticks(training, 1, 2)
        assert versions(log) == versions(log, "habits") == [0, 1, 2]
        for number, outgoing in enumerate(log.transactions):
            keys = {place: [record.key for record in records] for place, records in outgoing.items()}
            assert keys == {
                (TOPICS.trainer_changelog, 0): [b"trainer", b"trainer/value", b"trainer/habits"],
                (TOPICS.models, 0): [b"value", b"habits"] + [b"~tick"] * bool(number),
            }
        assert ticks(log, "decided") == [(tick, {"value": tick, "habits": tick}) for tick in (1, 2)]

    asyncio.run(test())


def test_added_segmentation_starts_anew_and_the_others_continue() -> None:
    async def test() -> None:
        log = MemoryLog()
        await learn_ticks(await opened(log), 1)
        both = await opened(log, names=["value", "habits"])
        assert (versions(log), versions(log, "habits")) == ([0, 1], [0])
        assert both.next_sample == PARTITIONS
        await learn_ticks(both, 2)
        assert (versions(log), versions(log, "habits")) == ([0, 1, 2], [0, 1])

    asyncio.run(test())


def test_trainer_of_a_removed_segmentation_is_left_alone_and_continues_when_it_comes_back() -> None:
    async def test() -> None:
        log = MemoryLog()
        await learn_ticks(await opened(log, names=["value", "habits"]), 1)
        await learn_ticks(await opened(log), 2)
        written = [record.key for record in log.records[TOPICS.trainer_changelog, 0]]
        assert written.count(STATE_KEY_PREFIX + b"habits") == 2
        await learn_ticks(await opened(log, names=["habits"]), 3)
        assert (versions(log), versions(log, "habits")) == ([0, 1, 2], [0, 1, 2])

    asyncio.run(test())


def test_state_of_the_only_trainer_there_was_is_taken_over() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        await learn_ticks(training, 1)
        state = {"trainer": training.trainers["value"].state(), "next_sample": 2, "latest_ticks": {"0": 1, "1": 1}}
        log.records[TOPICS.trainer_changelog, 0] = [OutgoingRecord(PROGRESS_KEY, json.dumps(state).encode())]
        for tick in (2, 3):
            await learn_ticks(await opened(log, names=["value", "habits"]), tick)
        assert (versions(log), versions(log, "habits")) == ([0, 1, 2, 3], [0, 1, 2])

    asyncio.run(test())


def test_model_that_is_held_has_a_key_of_its_own_and_the_next_one_supersedes_the_published() -> None:
    async def test() -> None:
        log = MemoryLog()
        await learn_ticks(await opened(log, replace(SETTINGS, approval="manual")), 1, 2)
        await learn_ticks(await opened(log), 3)
        keys = [record.key for record in log.records[TOPICS.models, 0] if record.key != b"~tick"]
        assert keys == [b"value", b"value", b"value/held", b"value"]
        assert ticks(log, "decided") == [(1, {"value": 1}), (2, {"value": 1}), (3, {"value": 2})]
        models = [SegmentModel.model_validate(model).root for model in models_in(log)]
        assert [(model.version, model.status) for model in models] == [
            (0, "published"),
            (1, "published"),
            (2, "held"),
            (2, "published"),
        ]

    asyncio.run(test())


def test_version_that_is_configured_is_announced_and_learned_on_from() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        await learn_ticks(training, 1)
        learned = training.trainers["value"].published
        renamed = LearnedSegmentation(replace(learned, version=2, names={"vip": "Friends"}))
        again = await opened(log, wanted=[renamed])
        await learn_ticks(again, 2)
        assert [(model["version"], model["names"]) for model in models_in(log)[2:]] == [
            (2, {"vip": "Friends"}),
            (3, {"vip": "Friends"}),
        ]

    asyncio.run(test())


def test_centres_that_are_refused_are_told(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log, replace(SETTINGS, algorithm="river-clustream"))
        with caplog.at_level("WARNING"):
            await learn_ticks(training, 7)
        assert "tick 7 of value: centres: 0 finite ones were found" in caplog.text
        assert versions(log) == [0, 1]

    asyncio.run(test())


def test_tick_is_told_with_what_was_learned_from_and_what_came_of_it(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        with caplog.at_level("INFO"):
            await learn_ticks(training, 1)
        (line,) = [message for message in caplog.messages if message.startswith("tick of ")]
        assert " customers in " in line
        assert line.endswith("; model 1 of value comes of it")
        (record,) = [record for record in caplog.records if record.getMessage() == line]
        assert vars(record)["models"] == {"value": 1}

    asyncio.run(test())


def test_model_and_state_are_written_together() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        await training.accept_sample(0, sample_of(0, 1))
        await training.accept_sample(1, sample_of(1, 1))
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

    def learn_slowly(trainer: Trainer, sample: PopulationSample) -> ModelProposal | None:
        learning.set()
        may_go_on.wait()
        return learn(trainer, sample)

    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        await training.accept_sample(0, sample_of(0, 1))
        with monkeypatch.context() as patched:
            patched.setattr(Trainer, "learn", learn_slowly)
            taking = asyncio.create_task(training.accept_sample(1, sample_of(1, 1)))
            await asyncio.to_thread(learning.wait)
            await training.close()
            may_go_on.set()
            await taking
        assert versions(log) == [0]
        again = await opened(log)
        for offset, partition in enumerate((0, 1)):
            await again.accept_sample(offset, sample_of(partition, 1))
        assert versions(log) == [0, 1]

    asyncio.run(test())


def test_trainer_that_is_closed_while_it_writes_finishes_that() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log)
        delivery = training._delivery
        assert isinstance(delivery, MemoryDelivery)
        await training.accept_sample(0, sample_of(0, 1))
        delivery.answering.clear()
        taking = asyncio.create_task(training.accept_sample(1, sample_of(1, 1)))
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
