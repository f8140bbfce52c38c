"""A lane folds, lets time pass, follows models, and writes all of it so that memory and log always agree."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.adapters.changelog import POSITION_KEY
from stream_app.adapters.delivery import Outgoing
from stream_app.adapters.record_blocks import RecordBlock
from stream_app.bootstrap.decoding import create_decoders
from stream_app.bootstrap.replay import create_readers, create_replay
from stream_app.contracts.outputs.dead_letter import DeadLetter
from stream_app.core.clock import DAY_MS, SECOND_MS, WEEK_MS, format_instant
from stream_app.core.partition import Clock as PartitionClock
from stream_app.core.records import Content, Rejection, Skipped
from stream_app.core.trust import GAP_MS
from stream_app.errors import DeliveryFailed, InvalidRecord, RecordsLost
from stream_app.segmentations.ended import EndedSegmentation
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.rules.definition import AudienceConfiguration
from stream_app.segmentations.rules.segmentation import AudienceSegmentation
from stream_app.settings.loading import load_settings
from stream_app.simulator.simulation import simulate
from stream_app.sources.files import SourceFile
from stream_app.worker import partition_loop as loop_module
from stream_app.worker import sweeping
from stream_app.worker.counters import ACCEPTED, FORWARDED, REJECTED, TOMBSTONE
from stream_app.worker.intake import Intake, Misplaced
from stream_app.worker.samples import decode_sample
from tests.reference.row import decode_row
from tests.support.events import START_MS, engagement, instant, purchase
from tests.support.models import ACTIVE_SHOP, learned_model, model_of, successor
from tests.support.playing import play_sweep, state_of
from tests.support.replays import Outputs
from tests.worker.memory import (
    TOPICS,
    Feed,
    MemoryDelivery,
    MemoryLog,
    Record,
    Stage,
    lane_settings,
    open_stage,
    replay,
    until,
)

PURCHASES, ENGAGEMENTS, *_ = TOPICS.inputs


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let idle lanes look at the clock without a pause that a test would notice."""
    monkeypatch.setattr(loop_module, "WAKE_SECONDS", 0.001)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def rows_in(outgoing: Outgoing) -> list[str]:
    """Return the customers whose rows a transaction writes."""
    records = outgoing[TOPICS.changelog, 0]
    assert records[-1].key == POSITION_KEY
    return [record.key.decode() for record in records[:-1] if record.key is not None]


def assert_log_agrees(stage: Stage) -> None:
    """Check that the log leads to the very state in memory."""
    table, position = stage.log.restored()
    assert position == stage.lane.committed
    assert position.clock == stage.lane.partition.clock
    assert position.offsets == stage.lane.folded_to
    assert {c: table.encode(table.find(c)) for c in table.customer_ids} == state_of(stage.lane.partition)


async def play(stage: Stage, *chunks: Sequence[Content]) -> None:
    feed = Feed(stage.lane.committed)
    for contents in chunks:
        stage.lane.offer(feed.chunk(*contents))
    await stage.idle()


def migrations_by_customer(log: MemoryLog) -> dict[str, list[dict[str, Any]]]:
    found = defaultdict(list)
    for migration in log.values(TOPICS.migrations):
        found[migration["customer_id"]].append(migration)
    return dict(found)


# --- writing -------------------------------------------------------------------------------------------------------


def test_all_that_is_folded_while_a_transaction_is_under_way_goes_into_the_next() -> None:
    async def test() -> None:
        stage = await open_stage()
        feed = Feed()
        stage.delivery.answering.clear()
        stage.lane.offer(feed.chunk(purchase(0, customer_id="a")))
        await until(lambda: stage.delivery.begun == 1, "the first transaction")
        for day in range(1, 6):
            stage.lane.offer(feed.chunk(purchase(day / 10, customer_id="b"), engagement(day / 10, customer_id="c")))
        await until(lambda: stage.lane.folded_to == feed.offsets, "all chunks folded")
        assert stage.delivery.begun == 1
        assert stage.lane.committed.offsets == dict.fromkeys(TOPICS.inputs, 0)
        stage.delivery.answering.set()
        await stage.idle()
        first, second = stage.log.transactions
        assert rows_in(first) == ["a"]
        assert sorted(rows_in(second)) == ["b", "c"]  # once, however often they changed
        assert stage.lane.figures.transactions == 2
        assert_log_agrees(stage)

    run(test())


@pytest.mark.parametrize(("transaction_records_max", "is_written_at_once"), [(128, True), (8, False)])
def test_what_waits_to_be_folded_is_folded_first_unless_much_has_gathered(
    transaction_records_max: int, is_written_at_once: bool
) -> None:
    async def test() -> None:
        stage = await open_stage(settings=lane_settings(transaction_records_max=transaction_records_max))
        feed = Feed()
        stage.lane.offer(feed.chunk(purchase(0)))
        await stage.idle()
        before = stage.lane.figures.transactions
        for hour in range(1, 4):
            stage.lane.offer(feed.chunk(*(purchase(hour / 24, customer_id=f"{hour} {index}") for index in range(3))))
        await stage.idle()
        assert (stage.lane.figures.transactions == before + 1) == is_written_at_once
        assert_log_agrees(stage)

    run(test())


def test_folding_waits_when_much_is_not_written_yet() -> None:
    async def test() -> None:
        stage = await open_stage(settings=lane_settings(transaction_records_max=4))
        feed = Feed()
        stage.delivery.answering.clear()
        for number in range(10):
            stage.lane.offer(feed.chunk(*(purchase(number / 100, event_id=f"{number} {index}") for index in range(3))))
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert stage.delivery.begun == 1
        assert stage.lane.waiting_records >= 30 - 3 * 5
        stage.delivery.answering.set()
        await stage.idle()
        assert stage.lane.waiting_records == 0
        assert_log_agrees(stage)

    run(test())


def test_position_and_rows_agree_after_every_transaction() -> None:
    events = [purchase(index / 3, customer_id=f"c{index % 7}") for index in range(60)]

    async def test() -> None:
        stage = await open_stage()
        feed = Feed()
        for first in range(0, 60, 5):
            stage.lane.offer(feed.chunk(*events[first : first + 5]))
            await asyncio.sleep(0.001 * (first % 3))
        await stage.idle()
        assert len(stage.log.transactions) > 1
        written = []
        for outgoing in stage.log.transactions:
            written += outgoing[TOPICS.changelog, 0]
            table, position = replay(written)
            folded = events[: position.offsets[PURCHASES]]
            counted = {c: decode_row(table.encode(table.find(c)))[0].purchases for c in table.customer_ids}
            assert counted == {c: sum(e.customer_id == c for e in folded) for c in {e.customer_id for e in folded}}
        assert_log_agrees(stage)

    run(test())


def test_close_writes_what_is_folded_and_folds_nothing_more() -> None:
    async def test() -> None:
        stage = await open_stage()
        feed = Feed()
        stage.delivery.answering.clear()
        stage.lane.offer(feed.chunk(purchase(0)))
        stage.lane.offer(feed.chunk(purchase(0.1)))
        await until(lambda: stage.lane.folded_to == feed.offsets, "all chunks folded")
        stage.lane.offer(feed.chunk(purchase(0.2)))
        asyncio.get_running_loop().call_later(0.005, stage.delivery.answering.set)
        await stage.lane.close()
        assert stage.delivery.is_closed
        assert stage.lane.committed.offsets[PURCHASES] == 2
        assert_log_agrees(stage)
        assert stage.failures == []

    run(test())


def test_lane_without_work_writes_nothing() -> None:
    async def test() -> None:
        stage = await open_stage()
        await asyncio.sleep(0.01)
        await stage.lane.close()
        assert stage.log.transactions == []

    run(test())


def test_failed_transaction_is_told() -> None:
    async def test() -> None:
        stage = await open_stage()
        stage.delivery.left = 0
        stage.lane.offer(Feed().chunk(purchase(0)))
        await until(lambda: bool(stage.failures), "the failure")
        assert [type(error) for error in stage.failures] == [DeliveryFailed]
        with pytest.raises(DeliveryFailed):
            await stage.lane.close()

    run(test())


def test_whatever_goes_wrong_in_folding_is_told() -> None:
    async def test() -> None:
        stage = await open_stage()
        del stage.lane.partition.segmentations
        stage.lane.offer(Feed().chunk(purchase(0)))
        await until(lambda: bool(stage.failures), "the failure")
        assert [type(error) for error in stage.failures] == [AttributeError]

    run(test())


def test_chunk_that_does_not_follow_on_the_last_one_is_refused() -> None:
    async def test() -> None:
        stage = await open_stage()
        feed = Feed()
        first, second = feed.chunk(purchase(0)), feed.chunk(purchase(1))
        with pytest.raises(RecordsLost, match="expected"):
            stage.lane.offer(second)
        stage.lane.offer(first)
        with pytest.raises(RecordsLost):
            stage.lane.offer(first)
        stage.lane.offer(second)
        await stage.lane.close()

    run(test())


def test_what_is_not_folded_is_counted_refused_and_passed_on_in_the_same_transaction() -> None:
    refused = Rejection(InvalidRecord("malformed", "$", "$: bad"), b"bad", b"key", 77)
    astray = Record(2, b"{}", b"c9", 0, [("trace", b"1")])

    async def test() -> None:
        stage = await open_stage()
        contents = [Skipped(None), refused, Skipped(Misplaced(PURCHASES, 3, astray)), purchase(0), purchase(0)]
        await play(stage, contents)
        (outgoing,) = stage.log.transactions
        (dead,) = outgoing[TOPICS.dead_letters, 0]
        letter = DeadLetter.model_validate_json(dead.value or b"")
        assert (dead.key, letter.payload, letter.reason) == (b"key", "bad", "malformed")
        assert (letter.position.topic, letter.position.partition, letter.position.offset) == (PURCHASES, 0, 1)
        (record,) = outgoing[PURCHASES, 3]
        assert (record.key, record.value, record.headers) == (astray.key, astray.value, astray.headers)
        figures = stage.lane.figures
        counted = dict.fromkeys(((PURCHASES, what) for what in (TOMBSTONE, REJECTED, FORWARDED)), 1)
        assert figures.outcomes == {**counted, (PURCHASES, ACCEPTED): 2}
        assert (figures.duplicates, figures.moves.total()) == (1, 1)
        assert stage.lane.committed.offsets[PURCHASES] == 5

    run(test())


def test_nothing_but_refused_records_is_written_too() -> None:
    async def test() -> None:
        stage = await open_stage()
        await play(stage, [Skipped(None)], [Rejection(InvalidRecord("malformed", "$", "$: bad"), b"bad")])
        assert stage.log.restored()[1].offsets[PURCHASES] == 2
        assert_log_agrees(stage)

    run(test())


def test_figures_of_members_are_written_with_what_they_are_of_and_again_only_after_their_interval() -> None:
    async def test() -> None:
        stage = await open_stage(settings=lane_settings(figures_interval_ms=5_000))

        def told() -> list[int]:
            figures = stage.log.values(TOPICS.figures)
            return [sum(each["customers"] for each in document["segments"]) for document in figures]

        await play(stage, [purchase(0, customer_id="a")])
        assert told() == []
        stage.clock.now_ms += 5_000
        await until(lambda: told() == [1], "the first figures")
        await play(stage, [purchase(1, customer_id="b")], [purchase(2, customer_id="c")])
        assert told() == [1]
        stage.clock.now_ms += 5_000
        await until(lambda: told() == [1, 3], "the next figures")
        await stage.idle()
        with_figures = [outgoing for outgoing in stage.log.transactions if outgoing.get((TOPICS.figures, 0))]
        assert len(with_figures) == 2
        assert all(outgoing[TOPICS.changelog, 0][-1].key == POSITION_KEY for outgoing in with_figures)
        assert_log_agrees(stage)

    run(test())


def test_figures_of_a_segmentation_that_has_ended_are_taken_back_with_its_version() -> None:
    async def test() -> None:
        first = await open_stage()
        await play(first, [purchase(0, customer_id="a")])
        await first.lane.close()
        assert len(first.log.values(TOPICS.figures)) == 1
        second = await open_stage(first.log, segmentation=EndedSegmentation("value", None))
        await until(lambda: second.lane.committed.versions == {}, "everybody to leave")
        taken_back = second.log.records[TOPICS.figures, 0][1:]
        assert [(record.key, record.value) for record in taken_back] == [(b"value/0", None)]
        assert taken_back[0] in second.log.transactions[-1][TOPICS.figures, 0]
        await second.lane.close()

    run(test())


# --- restarts ------------------------------------------------------------------------------------------------------

HISTORY = sorted(
    [purchase(day, customer_id=f"c{day % 4}") for day in range(0, 40, 3)]
    + [engagement(day + 0.5, customer_id=f"c{day % 5}") for day in range(0, 60, 7)]
    + [purchase(day, customer_id=f"c{index}") for index, day in enumerate([75.5, 95.5, 130, 180])],
    key=lambda event: event.at_ms,
)


async def play_with_ends(ends: Sequence[tuple[int, bool]]) -> MemoryLog:
    """Play the history in chunks of three; the lane ends after so many transactions each time, by a failure or not."""
    log = MemoryLog()
    for transactions, by_failure in [*ends, (1_000, False)]:
        delivery = MemoryDelivery(log)
        if by_failure:
            delivery.left = transactions
        stage = await open_stage(log, delivery=delivery)
        feed = Feed(stage.lane.committed)
        done = sum(feed.offsets.values())
        for first in range(done, len(HISTORY), 3):
            stage.lane.offer(feed.chunk(*HISTORY[first : first + 3]))
            await asyncio.sleep(0)
        await until(
            lambda stage=stage, transactions=transactions: (  # type: ignore[misc]
                bool(stage.failures) or stage.is_done or stage.lane.figures.transactions >= transactions
            ),
            "the lane's end",
        )
        if not stage.failures:
            await asyncio.wait([asyncio.create_task(stage.lane.close())])
        else:
            stage.lane._folds.cancel()  # type: ignore[union-attr]  # as the process's end would
    assert sum(stage.lane.committed.offsets.values()) == len(HISTORY)
    assert_log_agrees(stage)
    return log


def test_lane_that_ends_anywhere_goes_on_as_if_it_had_not() -> None:
    undisturbed = asyncio.run(play_with_ends([]))
    expected = migrations_by_customer(undisturbed)
    assert sum(map(len, expected.values())) > len(expected)

    @settings(max_examples=25)
    @given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=4))
    def check(ends: list[tuple[int, bool]]) -> None:
        log = asyncio.run(play_with_ends(ends))
        assert migrations_by_customer(log) == expected
        assert log.restored()[1].offsets == undisturbed.restored()[1].offsets

    check()


# --- time ----------------------------------------------------------------------------------------------------------

WALL = lane_settings(follows_wall_clock=True, idle_ms=30 * SECOND_MS, live_interval_ms=60 * SECOND_MS)


def moves(log: MemoryLog) -> list[tuple[str, str, str | None, str]]:
    return [
        (m["customer_id"], m["cause"]["kind"], m["from_segment"] and m["from_segment"]["name"], m["to_segment"]["name"])
        for m in log.values(TOPICS.migrations)
    ]


def test_live_partition_is_swept_by_the_wall_clock() -> None:
    async def test() -> None:
        stage = await open_stage(settings=WALL, now_ms=instant(1))
        await play(stage, [purchase(1)])
        await until(lambda: stage.lane.partition.clock.swept_at_ms == instant(1), "the first sweep")
        stage.clock.now_ms += 59 * SECOND_MS
        await asyncio.sleep(0.01)
        assert stage.lane.partition.clock.swept_at_ms == instant(1)
        stage.clock.now_ms += SECOND_MS
        await until(lambda: stage.lane.partition.clock.swept_at_ms == stage.clock.now_ms, "the next sweep")
        await stage.idle()
        assert_log_agrees(stage)

    run(test())


def test_partition_that_is_behind_is_left_to_the_events_time_until_it_has_been_drained_and_idle() -> None:
    async def test() -> None:
        stage = await open_stage(settings=WALL, now_ms=instant(400))
        await play(stage, [purchase(0)])
        stage.clock.now_ms += 29 * SECOND_MS
        stage.lane.note_drained(True)
        await asyncio.sleep(0.01)
        assert stage.lane.partition.clock.swept_at_ms < 0
        stage.lane.note_drained(False)
        stage.clock.now_ms += 600 * SECOND_MS
        await asyncio.sleep(0.01)
        assert stage.lane.partition.clock.swept_at_ms < 0
        stage.lane.note_drained(True)
        await until(lambda: stage.lane.committed.clock.swept_at_ms == stage.clock.now_ms, "the sweep")
        assert moves(stage.log)[0][1] == "purchase"
        assert {kind for _, kind, *_ in moves(stage.log)[1:]} == {"lapse"}
        ticks = [sample["tick"] for sample in stage.log.values(TOPICS.samples)]
        assert ticks == list(range(START_MS // WEEK_MS, stage.clock.now_ms // WEEK_MS + 1))
        assert_log_agrees(stage)

    run(test())


def test_silence_after_a_lapse_is_told_with_its_exact_time_though_it_was_found_late() -> None:
    async def test() -> None:
        stage = await open_stage(settings=WALL, now_ms=instant(400))
        await play(stage, [purchase(0)])
        stage.lane.note_drained(True)
        stage.clock.now_ms += 30 * SECOND_MS
        await until(lambda: len(moves(stage.log)) > 1, "a lapse")
        lapse = stage.log.values(TOPICS.migrations)[1]
        assert lapse["effective_at"] < lapse["decided_at"]

    run(test())


def test_time_of_the_events_never_follows_the_wall_clock() -> None:
    async def test() -> None:
        stage = await open_stage(now_ms=instant(1))
        await play(stage, [purchase(1)])
        stage.lane.note_drained(True)
        stage.clock.now_ms += 3 * WEEK_MS
        await asyncio.sleep(0.01)
        assert stage.lane.partition.clock == PartitionClock(instant(1))
        assert [sample["population_size"] for sample in stage.log.values(TOPICS.samples)] == [0]

    run(test())


def test_ticks_that_events_pass_send_a_sample_each() -> None:
    async def test() -> None:
        stage = await open_stage()
        days = [0, 1, 20, 21.5, 40]
        await play(stage, [purchase(day, customer_id=f"c{day}") for day in days])
        first = START_MS // WEEK_MS  # of nobody: from then on there are customers
        last = instant(40) // WEEK_MS
        samples = [decode_sample(record.value or b"") for record in stage.log.records[TOPICS.samples, 0]]
        assert [sample.tick for _, sample in samples] == list(range(first, last + 1))
        for number, sample in samples:
            assert number == 0
            assert sample.as_of_ms == sample.tick * WEEK_MS
            assert sample.population_size == sum(instant(day) < sample.as_of_ms for day in days) == len(sample)

    run(test())


def test_late_event_does_not_turn_time_back() -> None:
    async def test() -> None:
        stage = await open_stage()
        await play(stage, [purchase(30)], [purchase(3, event_id="late")])
        assert stage.lane.figures.late == 1
        assert stage.lane.partition.clock.watermark_ms == instant(30)
        assert_log_agrees(stage)

    run(test())


# --- models --------------------------------------------------------------------------------------------------------

PACED = lane_settings(follows_wall_clock=True, model_moves_per_second=1)
CROWD = [purchase(index / 100, customer_id=f"c{index:02d}") for index in range(20)] + [engagement(0.2, "c00")]
MODEL = replace(learned_model(), frame=replace(ACTIVE_SHOP, new_days=0.001))
"""Under which all of the crowd have a role at once."""


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "PART_ROWS_MIN", 4)
    monkeypatch.setattr(sweeping, "PART_ROWS_MAX", 4)


def buyers(name: str) -> AudienceSegmentation:
    """Return who has ordered within 30 days."""
    condition = {"event": "order*", "last": "30d"}
    return AudienceSegmentation(
        AudienceConfiguration.model_validate({"kind": "audience", "name": name, "when": condition})
    )


async def under_a_model(stage: Stage, model: Model) -> None:
    await until(lambda: stage.lane.committed.versions == {"value": model.version}, "everyone under the new model")


def test_new_model_is_adopted_and_everyone_is_assessed_under_it() -> None:
    async def test() -> None:
        stage = await open_stage()
        await play(stage, CROWD)
        stage.lane.follow([LearnedSegmentation(MODEL)])
        await under_a_model(stage, MODEL)
        await stage.idle()
        by_customer = migrations_by_customer(stage.log)
        assert set(by_customer) == {event.customer_id for event in CROWD}
        for first, second in by_customer.values():
            assert (first["cause"]["kind"], second["cause"]["kind"]) == ("purchase", "model")
            assert second["model_version"] == MODEL.version
        assert_log_agrees(stage)
        stage.lane.follow([LearnedSegmentation(replace(MODEL, version=MODEL.version - 1))])
        await asyncio.sleep(0.005)
        assert model_of(stage.lane.partition) is MODEL

    run(test())


def test_empty_partition_is_under_a_new_model_at_once() -> None:
    async def test() -> None:
        stage = await open_stage()
        stage.lane.follow([LearnedSegmentation(MODEL)])
        await play(stage, CROWD[:1])
        assert stage.lane.committed.versions == {"value": MODEL.version}
        assert stage.log.values(TOPICS.migrations)[0]["model_version"] == MODEL.version

    run(test())


@pytest.mark.usefixtures("small_parts")
def test_migrations_of_a_new_model_are_paced_and_events_are_folded_meanwhile() -> None:
    async def test() -> None:
        stage = await open_stage(settings=PACED, now_ms=instant(0.2))
        await play(stage, CROWD)
        stage.lane.follow([LearnedSegmentation(MODEL)])
        await until(lambda: len(stage.log.values(TOPICS.migrations)) == 24, "the first part")
        await asyncio.sleep(0.01)
        feed = Feed(stage.lane.committed)
        stage.lane.offer(feed.chunk(purchase(0.3, customer_id="c19", event_id="meanwhile")))
        await stage.idle()
        assert stage.lane.committed.versions == {"value": 0}
        assert sum(len(mine) > 1 for mine in migrations_by_customer(stage.log).values()) == 5
        for _ in range(5):
            stage.clock.now_ms += 4 * SECOND_MS
            await asyncio.sleep(0.01)
        await under_a_model(stage, MODEL)
        await stage.idle()
        by_customer = migrations_by_customer(stage.log)
        del by_customer["c19"]
        assert [len(mine) for mine in by_customer.values()] == [2] * 19
        assert_log_agrees(stage)

    run(test())


@pytest.mark.usefixtures("small_parts")
def test_assessment_under_a_new_model_that_is_broken_off_is_finished_after_the_restart() -> None:
    async def test() -> None:
        first = await open_stage(settings=PACED, now_ms=instant(0.2))
        await play(first, CROWD)
        first.lane.follow([LearnedSegmentation(MODEL)])
        await until(lambda: len(first.log.values(TOPICS.migrations)) == 24, "the first part")
        await first.lane.close()
        table, position = first.log.restored()
        assert position.versions == {"value": 0}
        assert len(table) == 20
        second = await open_stage(first.log, snapshot=MODEL)
        await under_a_model(second, MODEL)
        await second.lane.close()
        for mine in migrations_by_customer(second.log).values():
            assert [migration["sequence"] for migration in mine] == [1, 2]
        assert_log_agrees(second)
        third = await open_stage(first.log, snapshot=MODEL)
        await asyncio.sleep(0.01)
        assert not third.lane.is_busy
        await third.lane.close()

    run(test())


@pytest.mark.usefixtures("small_parts")
def test_model_that_comes_in_the_middle_of_another_takes_its_place() -> None:
    async def test() -> None:
        # under which their role is no longer true of those who are assessed already
        newer = successor(MODEL, replace(MODEL.frame, centres=MODEL.frame.centres + np.array([2.0, 2.0, 0.0])))
        stage = await open_stage(settings=PACED, now_ms=instant(0.2))
        await play(stage, CROWD)
        stage.lane.follow([LearnedSegmentation(MODEL)])
        await until(lambda: len(stage.log.values(TOPICS.migrations)) == 24, "the first part")
        stage.lane.follow([LearnedSegmentation(newer)])
        for _ in range(8):
            stage.clock.now_ms += 4 * SECOND_MS
            await asyncio.sleep(0.01)
        await under_a_model(stage, newer)
        await stage.idle()
        by_customer = migrations_by_customer(stage.log)
        assert {mine[-1]["model_version"] for mine in by_customer.values()} == {newer.version}
        assert sorted(len(mine) for mine in by_customer.values()) == [2] * 16 + [3] * 4
        assert_log_agrees(stage)

    run(test())


def test_silence_until_new_rules_take_over_is_passed_under_the_old_ones() -> None:
    async def test() -> None:
        stage = await open_stage()
        stage.lane.follow([buyers("buyers")])
        await play(stage, [purchase(0.001, customer_id="a"), purchase(30.002, customer_id="b")])
        stage.lane.follow([buyers("watchers")])
        await until(lambda: "watchers" in stage.lane.committed.versions, "everyone under the new rules")
        await stage.idle()
        moves = [m for m in migrations_by_customer(stage.log)["a"] if m["segmentation"] == "buyers"]
        assert [(m["change"], m["cause"]["kind"], m["effective_at"]) for m in moves] == [
            ("entered", "purchase", format_instant(instant(0.001))),
            ("left", "lapse", format_instant(instant(30.001))),
        ]
        assert_log_agrees(stage)

    run(test())


@pytest.mark.usefixtures("small_parts")
def test_tick_during_which_a_model_comes_still_sends_its_sample() -> None:
    async def test() -> None:
        now_ms = instant(0) // WEEK_MS * WEEK_MS + WEEK_MS - 1
        stage = await open_stage(settings=replace(WALL, model_moves_per_second=1_000_000), now_ms=now_ms)
        await play(stage, CROWD)
        stage.lane.note_drained(True)
        stage.clock.now_ms += 30 * SECOND_MS
        stage.lane.follow([LearnedSegmentation(MODEL)])
        await until(lambda: len(stage.log.values(TOPICS.samples)) == 2, "the sample")
        await under_a_model(stage, MODEL)
        tick = stage.clock.now_ms // WEEK_MS
        assert [sample["tick"] for sample in stage.log.values(TOPICS.samples)] == [tick - 1, tick]

    run(test())


# --- the same as a replay ------------------------------------------------------------------------------------------


def without_place(migration: dict[str, Any]) -> dict[str, Any]:
    """Return a migration as it is told whatever carried its event."""
    position = migration["cause"]["position"]
    place = position and (position["topic"].removeprefix(TOPICS.prefix).removesuffix(".jsonl.gz"))
    return migration | {"cause": migration["cause"] | {"position": place}}


def rewrite(path: Path, dates: dict[int, str]) -> None:
    """Let events of a file say that they happened at other times; those of one instant come by their ids, as loaded."""
    events = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    for index, date in dates.items():
        events[index]["occurred_at"] = date
    events.sort(key=lambda event: (event["occurred_at"], event["event_id"]))
    path.write_bytes(gzip.compress(b"".join(json.dumps(event).encode() + b"\n" for event in events)))


AHEAD = {-1: format_instant(START_MS + 400 * DAY_MS)}
WRONG = {"purchases": AHEAD, "engagements": AHEAD | dict.fromkeys(range(4), "1970-01-01T00:00:00.000Z")}
"""Indices of events in a file in order of time, and when they are said to have happened: it stays in order."""


@pytest.mark.parametrize("timezone", ["UTC", "America/New_York"])
@pytest.mark.parametrize("has_wrong_dates", [False, True])
def test_events_lead_to_the_migrations_of_a_replay(tmp_path: Path, timezone: str, has_wrong_dates: bool) -> None:
    simulate(80, 75, 3, tmp_path)  # across a day of 23 hours
    for topic in ("purchases", "engagements"):
        rewrite(tmp_path / f"{topic}.jsonl.gz", WRONG[topic] if has_wrong_dates else {})
    configured = load_settings(
        None, {"learning": {"tick_days": 90}, "business": {"timezone": timezone}}
    )  # the first tick lies behind
    files = {topic: tmp_path / f"{topic.removeprefix(TOPICS.prefix)}.jsonl.gz" for topic in (PURCHASES, ENGAGEMENTS)}
    sources = [SourceFile(path, path.name.partition(".")[0], {}, {}, None) for path in files.values()]
    run_ = create_replay(configured, tmp_path / "out")
    readers = create_readers(configured, sources, START_MS + 10**12)
    run_.run(readers)
    for reader in readers:
        reader.close()
    expected = Outputs(tmp_path / "out").migrations

    async def test() -> None:
        stage = await open_stage(settings=lane_settings(gap_ms=GAP_MS), timezone=timezone)
        decoders = {TOPICS.prefix + topic: decoder for topic, decoder in create_decoders(configured).items()}
        offsets = dict.fromkeys(TOPICS.inputs, 0)
        intake = Intake(0, offsets, decoders, 1)
        lines = {topic: gzip.decompress(path.read_bytes()).splitlines() for topic, path in files.items()}
        lines |= {topic: [] for topic in TOPICS.inputs if topic not in lines}
        for topic, count in ((ENGAGEMENTS, 700), (PURCHASES, 100)) * 200:
            start = intake.fetched_to(topic)
            part = lines[topic][start : start + count]
            if part:
                keys = [json.loads(line)["customer_id"].encode() for line in part]
                records: list[Any] = [Record(start + n, line, keys[n]) for n, line in enumerate(part)]
                intake.feed(topic, RecordBlock.of(records), START_MS + 10**12)
            drained = {topic for topic in TOPICS.inputs if intake.fetched_to(topic) == len(lines[topic])}
            for chunk in intake.emit_chunks(drained, 500, 0.0):
                stage.lane.offer(chunk)
        await stage.idle()
        assert stage.lane.committed.offsets == {topic: len(lines[topic]) for topic in TOPICS.inputs}
        assert not stage.lane.figures.dead_letters
        partition = stage.lane.partition
        assert (partition.trust.ahead_in_doubt, partition.trust.behind_in_doubt) == (
            (2, 4) if has_wrong_dates else (0, 0)
        )
        found = migrations_by_customer(stage.log)
        assert_log_agrees(stage)
        final = play_sweep(partition, max(partition.clock))  # which a replay does at its end
        by_customer: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for migration in expected:
            by_customer[migration["customer_id"]].append(without_place(migration))
        ended = {migration.migration_id for migration in final.migrations}
        assert {c: [without_place(m) for m in mine] for c, mine in found.items()} == {
            c: [m for m in mine if m["migration_id"] not in ended] for c, mine in by_customer.items()
        }
        assert len(expected) == len(stage.log.values(TOPICS.migrations)) + len(ended) > 80
        assert state_of(partition) == state_of(run_.partition)

    run(test())
