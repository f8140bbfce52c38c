"""A partition stands at a tick until it is decided what is in force from there on, and not for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from stream_app.bootstrap.worker import create_lane_settings
from stream_app.contracts.outputs.models import SegmentModel
from stream_app.core.clock import SECOND_MS, WEEK_MS
from stream_app.learning.sample import PopulationSample
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.settings.loading import load_settings
from stream_app.worker import partition_loop as loop_module
from stream_app.worker.samples import decode_sample
from stream_app.worker.ticks import Ticks, tick_record
from tests.support.events import START_MS, instant, purchase
from tests.support.models import ACTIVE_SHOP, learned_model
from tests.worker.memory import TOPICS, Feed, MemoryLog, Stage, lane_settings, open_stage, until

WAITING = lane_settings(tick_wait_ms=600 * SECOND_MS, live_tick_wait_ms=600 * SECOND_MS)
BRIEF = replace(WAITING, tick_wait_ms=1)
MODEL = replace(learned_model(), frame=replace(ACTIVE_SHOP, new_days=0.001))
"""Under which whoever has come once is not new for long."""
FIRST = START_MS // WEEK_MS
"""The tick before the first event."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "WAKE_SECONDS", 0.001)
    monkeypatch.setattr(loop_module, "SETTLING_SECONDS", 0.001)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def say(stage: Stage, status: Any, tick: int, sample_share: float = 1.0) -> None:
    stage.ticks.read(tick_record(status, tick, tick * WEEK_MS, {"value": 0}, sample_share).value or b"")


def samples_in(stage: Stage) -> list[PopulationSample]:
    return [decode_sample(record.value or b"")[1] for record in stage.log.records[TOPICS.samples, 0]]


def ticks_of(stage: Stage) -> list[tuple[int, int]]:
    return [(sample.tick - FIRST, sample.population_size) for sample in samples_in(stage)]


async def standing(stage: Stage) -> None:
    await until(lambda: stage.lane.waits_for_decision or bool(stage.failures), "a lane that waits")
    assert stage.failures == []


async def start(stage: Stage, *days: float) -> Feed:
    """Offer a purchase of each day, and let the lane come to the first tick behind the first one."""
    feed = Feed(stage.lane.committed)
    stage.lane.offer(feed.chunk(*(purchase(day, customer_id=f"c{day}") for day in days)))
    await standing(stage)
    say(stage, "decided", FIRST)
    await until(lambda: len(samples_in(stage)) == 2, "the first sample of somebody")
    await standing(stage)
    return feed


def test_nothing_is_folded_past_a_tick_before_it_is_decided() -> None:
    async def test() -> None:
        stage = await open_stage(settings=WAITING)
        await start(stage, 0, 20)
        assert ticks_of(stage) == [(0, 0), (1, 1)]
        assert list(stage.table.customer_ids) == ["c0"]
        stage.lane.follow([LearnedSegmentation(MODEL)])
        await asyncio.sleep(0.01)
        assert stage.lane.partition.segmentations[0].version == 0
        say(stage, "decided", FIRST + 1)
        await until(lambda: len(samples_in(stage)) == 3, "the sample of the next tick")
        await standing(stage)
        (move,) = [each for each in stage.log.values(TOPICS.migrations) if each["cause"]["kind"] == "model"]
        assert move["decided_at"] == samples_document(stage, 1)["as_of"]
        say(stage, "decided", FIRST + 3)
        await until(lambda: list(stage.table.customer_ids) == ["c0", "c20"], "the rest")
        assert stage.lane.figures.waits_expired == 0

    run(test)


def samples_document(stage: Stage, number: int) -> dict[str, Any]:
    return stage.log.values(TOPICS.samples)[number]


def test_sample_is_written_and_the_lane_can_be_closed_while_it_waits() -> None:
    async def test() -> None:
        stage = await open_stage(settings=WAITING)
        await start(stage, 0, 20)
        await stage.lane.close()
        assert not stage.lane.waits_for_decision
        again = await open_stage(stage.log, settings=WAITING)
        again.lane.offer(Feed(again.lane.committed).chunk(purchase(20, customer_id="c20")))
        await standing(again)
        assert list(again.table.customer_ids) == ["c0"]
        assert ticks_of(again) == [(0, 0), (1, 1)]  # as before
        say(again, "decided", FIRST + 1)
        await until(lambda: ticks_of(again)[2:] == [(2, 1)], "the sample of the next tick")
        assert again.failures == []

    run(test)


def test_wait_ends_after_a_while_with_a_warning_and_late_versions_take_over_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        stage = await open_stage(settings=BRIEF)
        stage.lane.offer(
            Feed(stage.lane.committed).chunk(*(purchase(day, customer_id=f"c{day}") for day in (0, 20, 60)))
        )
        await stage.idle()
        assert [tick for tick, _ in ticks_of(stage)] == list(range(instant(60) // WEEK_MS - FIRST + 1))
        figures = stage.lane.figures
        assert (figures.waits_expired, figures.tick_wait_seconds.counts.sum()) == (
            1,
            1,
        )  # and then no more, without any news
        stage.lane.follow([LearnedSegmentation(MODEL)])
        await until(lambda: stage.lane.committed.versions == {"value": MODEL.version}, "the late model")
        say(stage, "decided", FIRST + 1)
        feed = Feed(stage.lane.committed)
        stage.lane.offer(feed.chunk(purchase(80, customer_id="c80")))
        await stage.idle()
        assert figures.waits_expired == 2

    with caplog.at_level(logging.WARNING):
        run(test)
    (line,) = [record.message for record in caplog.records]
    assert "partition 0: the trainers have not decided on the tick of" in line


def test_live_partition_waits_for_its_own_time() -> None:
    async def test() -> None:
        settings = replace(WAITING, follows_wall_clock=True, live_tick_wait_ms=1)
        stage = await open_stage(settings=settings, now_ms=instant(0))
        stage.lane.offer(Feed(stage.lane.committed).chunk(purchase(0)))
        await stage.idle()
        assert stage.lane.figures.waits_expired == 1

    run(test)


@pytest.mark.parametrize(("kind", "waits"), [("learned", [60, 5]), ("rules", [0, 0])])
def test_nobody_waits_where_nothing_is_learned(kind: str, waits: list[int]) -> None:
    rules = {"segments": [{"id": "all", "name": "All", "when": {"figure": "purchases", "at_least": 1}}]}
    rules |= {"otherwise": {"id": "none", "name": "None"}}
    segmentation = {"kind": kind, "name": "value"} | (rules if kind == "rules" else {})
    settings = create_lane_settings(load_settings(None, {"segmentations": [segmentation]}))
    assert [settings.tick_wait_ms // SECOND_MS, settings.live_tick_wait_ms // SECOND_MS] == waits


def test_sample_is_drawn_from_the_share_that_the_last_decision_says() -> None:
    async def test() -> None:
        stage = await open_stage(settings=WAITING)
        feed = await start(stage, *(number / 100 for number in range(100)), 8)
        assert [len(sample) for sample in samples_in(stage)] == [0, 100]
        say(stage, "decided", FIRST + 1, 0.25)
        stage.lane.offer(feed.chunk(purchase(15)))
        await until(lambda: len(samples_in(stage)) == 3, "the next sample")
        sample = samples_in(stage)[2]
        assert (sample.share, sample.population_size) == (0.25, 101)
        assert 10 < len(sample) < 40

    run(test)


def test_partition_without_customers_says_so_when_others_wait_for_it() -> None:
    async def test() -> None:
        stage = await open_stage(settings=WAITING)
        stage.lane.note_drained(True)
        for tick in (FIRST + 3, FIRST + 4):
            say(stage, "awaited", tick)
            say(stage, "awaited", tick)
            await until(lambda tick=tick: ticks_of(stage)[-1:] == [(tick - FIRST, 0)], "the sample")  # type: ignore[misc]
        await asyncio.sleep(0.01)
        assert ticks_of(stage) == [(3, 0), (4, 0)]

    run(test)


def test_drained_partition_lets_its_time_pass_to_where_others_wait() -> None:
    async def test() -> None:
        stage = await open_stage(settings=replace(WAITING, tick_wait_ms=0))
        stage.lane.offer(Feed(stage.lane.committed).chunk(purchase(0)))
        await stage.idle()
        say(stage, "awaited", FIRST + 2)
        await asyncio.sleep(0.01)
        assert ticks_of(stage) == [(0, 0)]  # there may be more to fetch
        stage.lane.note_drained(True)
        await until(lambda: len(samples_in(stage)) == 3, "the samples")
        await stage.idle()
        assert ticks_of(stage) == [(0, 0), (1, 1), (2, 1)]
        assert stage.lane.partition.clock.swept_at_ms == (FIRST + 2) * WEEK_MS

    run(test)


def test_time_does_not_pass_any_further_once_records_have_come() -> None:
    async def test() -> None:
        stage = await open_stage(settings=WAITING)
        feed = Feed(stage.lane.committed)
        stage.ticks.decided_ms = FIRST * WEEK_MS
        stage.lane.offer(feed.chunk(purchase(0)))
        await stage.idle()
        stage.lane.note_drained(True)
        say(stage, "awaited", FIRST + 9)
        await standing(stage)
        stage.lane.offer(feed.chunk(purchase(14, customer_id="c14")))
        for tick in range(1, 4):
            say(stage, "decided", FIRST + tick)
            await asyncio.sleep(0.01)
        assert stage.table.find("c14") >= 0

    run(test)


def test_news_keep_their_contract_and_the_newest_counts() -> None:
    async def test() -> None:
        ticks = Ticks()
        for status, tick in (("decided", 7), ("awaited", 8), ("decided", 6), ("awaited", 5)):
            record = tick_record(status, tick, tick * WEEK_MS, {"value": 3} if status == "decided" else {}, tick / 8)  # type: ignore[arg-type]
            SegmentModel.model_validate_json(record.value or b"")
            ticks.read(record.value or b"")
        assert (ticks.decided_ms, ticks.awaited_ms, ticks.sample_share) == (7 * WEEK_MS, 8 * WEEK_MS, 7 / 8)
        with pytest.raises(msgspec.DecodeError):
            ticks.read(b'{"kind": "rules"}')

    run(test)


def test_log_holds_nothing_of_a_lane_that_has_waited_for_nothing() -> None:
    async def test() -> None:
        stage = await open_stage(MemoryLog(), settings=WAITING)
        say(stage, "decided", FIRST)
        await asyncio.sleep(0.01)
        assert stage.log.transactions == []

    run(test)
