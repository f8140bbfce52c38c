"""Every segmentation is followed by itself: to its newest published version, and never back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.support.snapshots import plain_snapshot, rules_snapshot

from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.segmentations.learned.document import ModelProposal
from stream_app.segmentations.learned.model import Model
from stream_app.worker.definition_follower import DefinitionFollower
from stream_app.worker.training import model_record
from tests.worker.memory import TOPICS


def model(name: str, version: int) -> Model:
    return replace(plain_snapshot(), segmentation=name, version=version)


@pytest.fixture
def follower() -> DefinitionFollower:
    initial = [replace(rules_snapshot(), segmentation=name) for name in ("value", "habits")]
    return DefinitionFollower(KafkaConnection("nowhere:1"), TOPICS.models, initial)


def read(follower: DefinitionFollower, *models: Model, held: bool = False) -> None:
    for each in models:
        follower._read(model_record(ModelProposal(each, held)).value)


def versions(follower: DefinitionFollower) -> dict[str, int]:
    return {name: each.version for name, each in follower.current.items()}


def test_each_segmentation_follows_its_own_newest_version(follower: DefinitionFollower) -> None:
    heard: list[tuple[str, int]] = []
    follower.subscribe(lambda each: heard.append((each.segmentation, each.version)))
    read(follower, model("value", 3), model("habits", 1), model("value", 2), model("unknown", 9))
    read(follower, model("habits", 8), held=True)
    assert versions(follower) == {"value": 3, "habits": 1}
    assert heard == [("value", 3), ("habits", 1)]
    assert {name: each.snapshot.version for name, each in follower.newest.items()} == {"value": 2, "habits": 8}


def test_what_is_no_model_changes_nothing(follower: DefinitionFollower) -> None:
    for value in (None, b"", b"[]", b"{}", b'{"segmentation": "value", "version": 9}'):
        follower._read(value)
    assert versions(follower) == {"value": 0, "habits": 0}


def test_every_version_that_rows_refer_to_is_waited_for(follower: DefinitionFollower) -> None:
    async def test() -> None:
        reaching = asyncio.create_task(follower.reach({"value": 2, "habits": 1, "removed": 5}))
        for each in (model("value", 4), model("habits", 1)):
            await asyncio.sleep(0)
            assert not reaching.done()
            read(follower, each)
        await asyncio.wait_for(reaching, 10)

    asyncio.run(test())
