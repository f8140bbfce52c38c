"""The trainers carry out what operators decide, once and in order, whatever happens to workers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from stream_app.contracts.decisions import Decision
from stream_app.contracts.outputs.table import OUTPUT_MODELS
from stream_app.errors import DeliveryFailed
from stream_app.learning.trainer import TrainerSettings
from stream_app.worker.training import PROGRESS_KEY, Training
from tests.worker.memory import TOPICS, MemoryDelivery, MemoryLog
from tests.worker.test_training import learn_ticks, opened, sample_of

MANUAL = TrainerSettings(approval="manual")
AT = "2024-06-01T12:00:00.000Z"


def decision(action: str, version: int | None = None, **changes: Any) -> bytes:
    fields = {"segmentation": "value", "version": version, "as_of": None, "decided_by": "Ada", "at": AT} | changes
    document = {"kind": "decision", "action": action, **fields}
    OUTPUT_MODELS["population-samples"].model_validate(document)
    return json.dumps(document).encode()


async def held(log: MemoryLog) -> Training:
    """Return trainers whose second version waits."""
    training = await opened(log, MANUAL)
    await learn_ticks(training, 1, 2)
    return training


async def decide(training: Training, *values: bytes) -> None:
    for value in values:
        await training.accept_sample(training.next_sample, value)


def documents(log: MemoryLog) -> list[dict[str, Any]]:
    found = [document for document in log.values(TOPICS.models) if document is not None]
    for document in found:
        OUTPUT_MODELS["segment-models"].model_validate(document)
    return found


def outcomes(log: MemoryLog) -> list[tuple[str, int | None, str, int | None, int | None]]:
    fields = ("action", "version", "status", "published_version", "pinned_version")
    return [tuple(each[name] for name in fields) for each in documents(log) if each["kind"] == "decision"]


def statuses(log: MemoryLog) -> list[tuple[int, str]]:
    return [(each["version"], each["status"]) for each in documents(log) if each["kind"] == "learned"]


def test_decisions_are_carried_out_in_the_transaction_that_tells_of_them() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await held(log)
        await decide(training, decision("approve", 2))
        assert [[record.key for record in records] for records in log.transactions[-1].values()] == [
            [b"trainer", b"trainer/value"],
            [b"value", b"value/held", b"~decision/value"],
        ]
        assert log.transactions[-1][TOPICS.models, 0][1].value is None
        await learn_ticks(training, 3)
        await decide(training, decision("reject", 3), decision("pin", 1))
        assert [record.key for record in log.transactions[-2][TOPICS.models, 0]] == [b"value/held", b"~decision/value"]
        await learn_ticks(training, 4)
        await decide(training, decision("unpin"))
        assert outcomes(log) == [
            ("approve", 2, "done", 2, None),
            ("reject", 3, "done", 2, None),
            ("pin", 1, "done", 3, 1),
            ("unpin", None, "done", 3, None),
        ]
        assert statuses(log) == [
            (0, "published"),
            (1, "published"),
            (2, "held"),
            (2, "published"),
            (3, "held"),
            (3, "rejected"),
            (3, "published"),
            (4, "held"),
        ]
        ticks = [each for each in documents(log) if each["kind"] == "tick"]
        assert [tick["versions"] for tick in ticks] == [{"value": 1}, {"value": 1}, {"value": 2}, {"value": 3}]

    asyncio.run(test())


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (decision("approve", 3), "version 3 is not held: the model that waits is version 2"),
        (
            decision("approve", 2, as_of=AT),
            f"version 2 as of {AT} is no longer held: the one that waits was learned",
        ),
        (decision("approve", 2, as_of="2024-99-01T12:00:00.000Z"), "as_of: '2024-99-01T12:00:00.000Z', expected an"),
        (decision("pin", 7), "version 7 is not among the published ones that are kept, which are 0, 1"),
        (decision("pin"), "version: null, expected the number of one"),
        (decision("unpin"), "no version is pinned"),
        (
            decision("pin", 1, segmentation="habits"),
            "no learned segmentation of this name is configured; there are: value",
        ),
    ],
)
def test_decision_that_cannot_be_carried_out_is_refused_with_a_reason(
    value: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await held(log)
        before = len(documents(log))
        await decide(training, value)
        (outcome,) = documents(log)[before:]
        assert outcome["status"] == "refused"
        assert outcome["reason"].startswith(reason)
        assert reason in caplog.text
        await decide(training, decision("approve", 2))
        assert outcomes(log)[-1] == ("approve", 2, "done", 2, None)

    asyncio.run(test())


@pytest.mark.parametrize("changes", [{"action": "burn"}, {"segmentation": "A/b"}, {"version": -1}, {"at": 7}], ids=str)
def test_decision_that_breaks_the_contract_is_left_out(changes: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await held(log)
        await decide(training, json.dumps(json.loads(decision("approve", 2)) | changes).encode())
        assert outcomes(log) == []
        assert "decision at offset 4 is left out" in caplog.text

    asyncio.run(test())


def test_decision_that_is_read_again_is_not_carried_out_again() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await held(log)
        values = [sample_of(0, 3), decision("pin", 0), decision("unpin"), sample_of(1, 3)]
        for offset, value in enumerate(values[:3], start=4):
            await training.accept_sample(offset, value)
        assert training.next_sample == 4, "the sample before them is still needed"
        again = await opened(log, MANUAL)
        for offset, value in enumerate(values, start=4):
            await again.accept_sample(offset, value)
        assert outcomes(log) == [("pin", 0, "done", 2, 0), ("unpin", None, "done", 2, None)]
        assert statuses(log)[-2:] == [(2, "published"), (3, "held")]
        assert again.next_sample == 8

    asyncio.run(test())


def test_decision_of_which_it_is_not_known_whether_it_was_written_is_carried_out_by_the_next_owner() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await held(log)
        delivery = training._delivery
        assert isinstance(delivery, MemoryDelivery)
        delivery.left = 0
        with pytest.raises(DeliveryFailed):
            await training.accept_sample(4, decision("approve", 2))
        assert outcomes(log) == []
        again = await opened(log, MANUAL)
        await again.accept_sample(4, decision("approve", 2))
        assert outcomes(log) == [("approve", 2, "done", 2, None)]
        progress = json.loads([r.value for r in log.records[TOPICS.trainer_changelog, 0] if r.key == PROGRESS_KEY][-1])
        assert progress["last_decision"] == 4

    asyncio.run(test())


def test_decisions_of_one_segmentation_leave_the_others_alone() -> None:
    async def test() -> None:
        log = MemoryLog()
        training = await opened(log, MANUAL, names=["value", "habits"])
        await learn_ticks(training, 1, 2)
        await decide(training, decision("approve", 2, segmentation="habits"))
        await learn_ticks(training, 3)
        published = [(e["segmentation"], e["version"]) for e in documents(log) if e.get("status") == "published"]
        assert published == [("value", 0), ("habits", 0), ("value", 1), ("habits", 1), ("habits", 2)]

    asyncio.run(test())


def test_decision_is_read_as_it_was_written() -> None:
    written = Decision(segmentation="value", action="pin", version=3, as_of=None, decided_by="Ada", at=AT)
    assert json.loads(msgspec.json.encode(written)) == json.loads(decision("pin", 3))
    assert msgspec.json.decode(decision("pin", 3), type=Decision) == written
