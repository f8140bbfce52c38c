"""Every segmentation is followed by itself: to its newest published version, and never back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.bootstrap.segmentation import create_segmentations
from stream_app.core.clock import WEEK_MS
from stream_app.segmentations.learned.document import ModelProposal
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.rules.segmentation import RulesSegmentation
from stream_app.segmentations.rules.sentences import condition_in_words
from stream_app.settings.loading import load_settings
from stream_app.worker.decisions import model_record
from stream_app.worker.definition_follower import DefinitionFollower
from stream_app.worker.ticks import tick_record
from stream_app.worker.training import segmentation_record
from tests.support.models import learned_model
from tests.worker.memory import TOPICS

LEARNED = [{"kind": "learned", "name": "value"}, {"kind": "learned", "name": "habits"}]


def model(name: str, version: int) -> Model:
    return replace(learned_model(), name=name, version=version)


def configured(segmentations: Sequence[Mapping[str, Any]]) -> DefinitionFollower:
    build = partial(create_segmentations, load_settings(None, {"segmentations": segmentations}))
    return DefinitionFollower(KafkaConnection("nowhere:1"), TOPICS.models, build)


def buyers(orders: int) -> dict[str, Any]:
    """Return the configuration of a segmentation by rules."""
    when = {"figure": "purchases", "at_least": orders}
    return {
        "kind": "rules",
        "name": "buyers",
        "segments": [{"id": "often", "name": "Often", "when": when}],
        "otherwise": {"id": "seldom", "name": "Seldom"},
    }


@pytest.fixture
def follower() -> DefinitionFollower:
    follower = configured(LEARNED)
    for each in follower.wanted:
        follower._read(segmentation_record(each).value)
    follower._finish_reading()
    return follower


def read(follower: DefinitionFollower, *models: Model, held: bool = False) -> None:
    for each in models:
        follower._read(model_record(ModelProposal(each, held)).value)


def versions(follower: DefinitionFollower) -> dict[str, int]:
    return {name: each.version for name, each in follower.current.items()}


def test_each_segmentation_follows_its_own_newest_version(follower: DefinitionFollower) -> None:
    heard: list[tuple[str, int]] = []
    follower.subscribe(lambda new: heard.extend((each.name, each.version) for each in new))
    read(follower, model("value", 3), model("habits", 1), model("value", 2), model("unknown", 9))
    read(follower, model("habits", 8), held=True)
    assert versions(follower) == {"value": 3, "habits": 1}
    assert heard == [("value", 3), ("habits", 1)]
    assert {name: each.model.version for name, each in follower.newest.items()} == {"value": 2, "habits": 8}


def test_what_is_no_model_changes_nothing(follower: DefinitionFollower) -> None:
    for value in (None, b"", b"[]", b"{}", b'{"segmentation": "value", "version": 9}'):
        follower._read(value)
    assert versions(follower) == {"value": 0, "habits": 0}


def test_every_version_that_rows_refer_to_is_waited_for(follower: DefinitionFollower) -> None:
    async def test() -> None:
        reaching = asyncio.create_task(follower.reach({"value": 2, "habits": 1, "removed": 5, "nobody's": -1}))
        for each in (model("value", 4), model("habits", 1), model("removed", 5)):
            await asyncio.sleep(0)
            assert not reaching.done()
            read(follower, each)
        await asyncio.wait_for(reaching, 10)

    asyncio.run(test())


def test_what_was_published_before_the_start_is_in_force_once_all_of_it_is_read() -> None:
    follower = configured(LEARNED)
    read(follower, model("value", 3), model("removed", 5))
    assert versions(follower) == {}
    follower._finish_reading()
    assert versions(follower) == {"value": 3}
    assert follower.published["removed"].version == 5


def test_definition_that_was_changed_is_a_wanted_version_and_the_published_one_stays_in_force() -> None:
    (published,) = configured([buyers(3)]).wanted
    for orders, version in ((3, 1), (4, 2)):
        follower = configured([buyers(orders)])
        follower._read(segmentation_record(published).value)
        follower._finish_reading()
        assert versions(follower) == {"buyers": 1}
        (wanted,) = follower.wanted
        assert wanted.version == version
        assert isinstance(wanted, RulesSegmentation)
        assert condition_in_words(wanted.definition.segments[0].when) == f"{orders} or more purchases"


def test_definition_of_another_configuration_is_followed_once_it_is_published() -> None:
    ours, theirs = configured([buyers(3)]), configured([buyers(4)])
    (published,) = ours.wanted
    for follower in (ours, theirs):
        follower._read(segmentation_record(published).value)
        follower._finish_reading()
    heard: list[int] = []
    ours.subscribe(lambda new: heard.extend(each.version for each in new))
    ours._read(segmentation_record(theirs.wanted[0]).value)
    assert heard == [2]
    assert ours.current["buyers"].version == 2
    assert ours.wanted[0].version == 3


def test_segmentation_is_not_in_force_before_it_is_published() -> None:
    async def test() -> None:
        follower = configured(LEARNED)
        follower._finish_reading()
        reaching = asyncio.create_task(follower.reach_any())
        await asyncio.sleep(0)
        assert not reaching.done()
        read(follower, model("habits", 0))
        await asyncio.wait_for(reaching, 10)
        assert versions(follower) == {"habits": 0}

    asyncio.run(test())


def test_what_is_said_of_ticks_is_heard_and_is_no_version(
    follower: DefinitionFollower, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []
    follower.ticks.subscribe(lambda: heard.append(follower.ticks.decided_ms))
    record = tick_record("decided", 2, 2 * WEEK_MS, {"value": 9})
    follower._read(record.value, record.key)
    assert heard == [2 * WEEK_MS]
    assert versions(follower) == {"value": 0, "habits": 0}
    assert caplog.messages == []
    follower._read(b"{}", record.key)
    assert len(caplog.messages) == 1
