"""Opening partitions, keeping their tables over a rebalance, and giving up rather than losing records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from stream_app.adapters.changelog import FENCE_KEY, POSITION_KEY, PartitionPosition
from stream_app.adapters.delivery import OutgoingRecord
from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.adapters.record_blocks import RecordBlock
from stream_app.bootstrap.learning import create_trainer_settings
from stream_app.bootstrap.segmentation import create_segmentations
from stream_app.contracts.decoding import Decoder
from stream_app.contracts.inputs.table import INPUT_CONTRACTS
from stream_app.contracts.policy import DecodingPolicy
from stream_app.core.clock import DAY_MS
from stream_app.core.events import Event
from stream_app.core.moves import MigrationContext
from stream_app.errors import DeliveryFailed, RecordsLost, TimeZoneChanged
from stream_app.segmentations.learned.document import ModelProposal
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.settings.loading import load_settings
from stream_app.worker import faust_host as host_module
from stream_app.worker import sweeping
from stream_app.worker.decisions import model_record
from stream_app.worker.definition_follower import DefinitionFollower
from stream_app.worker.faust_host import FaustHost
from stream_app.worker.opening import PartitionOpener, PartitionSettings
from stream_app.worker.owned import OwnedPartitions
from stream_app.worker.training import segmentation_record
from tests.support.events import START_MS, engagement, instant, purchase
from tests.support.models import learned_model, model_of
from tests.support.tables import row_of
from tests.worker.memory import TOPICS, Clock, MemoryLog, Record, lane_settings, payload, until

PURCHASES, ENGAGEMENTS, PROFILES, *OTHERS = TOPICS.inputs
NOTHING_ELSE = {(topic, 0): 0 for topic in OTHERS}
CUSTOMERS = [f"c{index}" for index in range(8)]


def decoders_keeping(fields: Sequence[str]) -> dict[str, Decoder]:
    policy = DecodingPolicy(kept=tuple(fields))
    return {TOPICS.input_topic(name): Decoder(contract, policy) for name, contract in INPUT_CONTRACTS.items()}


class Worker:
    """The partitions of one process, and what became of it."""

    def __init__(
        self,
        log: MemoryLog,
        partitions: int = 1,
        moves_per_second: int = 1_000_000,
        gap_days: int = 36_500,
        **settings: Any,
    ) -> None:
        self.log = log
        self.failures: list[BaseException] = []
        configured = load_settings(None, settings)
        build = partial(create_segmentations, configured)
        self.follower = DefinitionFollower(KafkaConnection("nowhere:1"), TOPICS.models, build)
        log.announced += [segmentation_record(each) for each in self.follower.wanted]
        for record in log.announced:
            self.follower._read(record.value)
        self.follower._finish_reading()
        is_paced = moves_per_second < 1_000_000
        loop_settings = lane_settings(
            model_moves_per_second=moves_per_second, follows_wall_clock=is_paced, gap_ms=gap_days * DAY_MS
        )
        now_ms = Clock(instant(len(CUSTOMERS) - 1) if is_paced else START_MS + 10**12)
        self.opener = PartitionOpener(
            log=log,
            topics=TOPICS,
            settings=PartitionSettings(partitions, 5, configured.business.timezone),
            trainer_settings=create_trainer_settings(configured),
            follower=self.follower,
        )
        self.owned = OwnedPartitions(
            opener=self.opener,
            topics=TOPICS,
            lane_settings=loop_settings,
            context=MigrationContext(),
            decoders=decoders_keeping,
            partitions=partitions,
            follower=self.follower,
            failed=self.failures.append,
            now_ms=now_ms,
        )
        self.host = FaustHost(self.owned, TOPICS, loop_settings, self.failures.append, now_ms)

    async def open(self, *partitions: int, with_trainer: bool = False) -> None:
        await self.owned.open(partitions, with_trainer)

    def feed(self, topic: str, number: int, *events: Event) -> None:
        """Hand over records as the lane below would."""
        first = self.host.expected_offset(topic, number)
        assert first is not None
        records = [Record(first + n, payload(event), event.customer_id.encode()) for n, event in enumerate(events)]
        self.host.feed(topic, number, RecordBlock.of(records))

    async def work(self, *drained: tuple[str, int]) -> None:
        """Let everything that was fed be folded and written."""
        for chunk in self.host.emit_chunks(frozenset(drained)):
            await self.owned.segment(chunk)
        for lane in self.owned.lanes.values():
            await until(
                lambda lane=lane: bool(self.failures) or (lane.folded_to == lane._offered_to and not lane.is_busy),  # type: ignore[misc]
                "idle lanes",
            )

    def customers(self, number: int = 0) -> list[str]:
        return sorted(self.owned.lanes[number].partition.table.customer_ids)


def both(number: int = 0) -> list[tuple[str, int]]:
    return [(topic, number) for topic in TOPICS.inputs]


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


async def worked(log: MemoryLog, **settings: Any) -> Worker:
    """Return a worker that owns partition 0 and has folded a purchase of each customer."""
    worker = Worker(log, **settings)
    await worker.open(0)
    worker.feed(PURCHASES, 0, *(purchase(day, customer_id=customer) for day, customer in enumerate(CUSTOMERS)))
    await worker.work(*both())
    return worker


def test_another_worker_restores_what_was_written() -> None:
    async def test() -> None:
        log = MemoryLog()
        first = await worked(log)
        await first.owned.release()
        second = Worker(log)
        await second.open(0)
        assert second.owned.is_open
        assert second.customers() == CUSTOMERS
        assert second.host.start_offsets() == {
            (PURCHASES, 0): len(CUSTOMERS),
            (ENGAGEMENTS, 0): 0,
            (PROFILES, 0): 0,
            **NOTHING_ELSE,
        }
        assert first.failures == second.failures == []

    run(test)


def test_owner_that_was_shut_out_fails_at_its_next_write() -> None:
    async def test() -> None:
        log = MemoryLog()
        first = await worked(log)
        await Worker(log).open(0)
        before = len(log.transactions)
        first.feed(PURCHASES, 0, purchase(20))
        for chunk in first.host.emit_chunks(frozenset(both())):
            await first.owned.segment(chunk)
        await until(lambda: bool(first.failures), "the failure")
        assert [type(error) for error in first.failures] == [DeliveryFailed]
        assert len(log.transactions) == before

    run(test)


def test_opening_that_is_broken_off_leaves_nothing_half_restored() -> None:
    async def test() -> None:
        log = MemoryLog()
        await (await worked(log)).owned.release()
        worker = Worker(log)
        log.reading.clear()
        opening = asyncio.create_task(worker.open(0))
        await until(lambda: len(log.read_backs) == 2, "half of the rows")
        await asyncio.sleep(0.005)
        await worker.owned.release()
        await opening
        assert not worker.owned.is_open
        assert worker.owned.lanes == {}
        assert log.deliveries[-1].is_closed
        log.reading.set()
        await worker.open(0)
        assert len(log.read_backs) == 3
        assert worker.customers() == CUSTOMERS
        assert worker.failures == []

    run(test)


def test_table_is_kept_over_a_rebalance_that_gives_the_partition_back() -> None:
    async def test() -> None:
        log = MemoryLog()
        worker = await worked(log)
        table = worker.owned.lanes[0].partition.table
        for _ in range(2):
            await worker.owned.release()
            await worker.open(0)
            assert worker.owned.lanes[0].partition.table is table
        assert len(log.read_backs) == 1
        worker.feed(PURCHASES, 0, purchase(20, customer_id="new"))
        await worker.work(*both())
        assert worker.owned.lanes[0].committed.offsets[PURCHASES] == len(CUSTOMERS) + 1
        await worker.owned.release()
        other = Worker(log)
        await other.open(0)
        assert other.customers() == [*CUSTOMERS, "new"]
        assert worker.failures == []

    run(test)


def test_kept_table_is_thrown_away_if_another_worker_has_had_the_partition() -> None:
    async def test() -> None:
        log = MemoryLog()
        worker = await worked(log)
        await worker.owned.release()
        other = Worker(log)
        await other.open(0)
        other.feed(PURCHASES, 0, purchase(20, customer_id="new"))
        await other.work(*both())
        await other.owned.release()
        await worker.open(0)
        assert worker.customers() == [*CUSTOMERS, "new"]
        assert len(log.read_backs) == 3
        assert worker.host.start_offsets()[PURCHASES, 0] == len(CUSTOMERS) + 1

    run(test)


def test_table_of_a_partition_that_was_not_given_back_is_not_kept() -> None:
    async def test() -> None:
        log = MemoryLog()
        worker = Worker(log, partitions=2)
        await worker.open(0, 1)
        await worker.open(1)
        await worker.open(0, 1)
        assert log.read_backs == [(TOPICS.changelog, (0, 1)), (TOPICS.changelog, (0,))]

    run(test)


@pytest.mark.parametrize(("counted", "wanted"), [("UTC", "Europe/Berlin"), ("America/New_York", "UTC")])
def test_worker_refuses_rows_that_count_the_days_of_another_time_zone(counted: str, wanted: str) -> None:
    async def test() -> None:
        log = MemoryLog()
        first = await worked(log, business={"timezone": counted})
        await first.owned.release()
        worker = Worker(log, business={"timezone": wanted})
        await worker.open(0)
        (error,) = worker.failures
        assert isinstance(error, TimeZoneChanged)
        assert str(error) == (
            f"setting business.timezone: {wanted!r}, expected {counted!r}, whose days {TOPICS.changelog}[0] counts; "
            "set it back, or have the inputs counted anew under another kafka.app_id"
        )
        assert not worker.owned.is_open
        again = Worker(log, business={"timezone": counted})
        await again.open(0)
        assert again.customers() == CUSTOMERS
        assert again.owned.lanes[0].partition.table.timezone == counted

    run(test)


def test_time_zone_may_still_be_changed_where_there_are_no_customers() -> None:
    async def test() -> None:
        log = MemoryLog()
        log.records[TOPICS.changelog, 0].append(OutgoingRecord(POSITION_KEY, PartitionPosition().encode()))
        worker = Worker(log, business={"timezone": "Asia/Kolkata"})
        await worker.open(0)
        assert worker.failures == []
        assert worker.owned.lanes[0].partition.table.timezone == "Asia/Kolkata"

    run(test)


def test_records_that_expired_before_a_start_end_the_worker() -> None:
    async def test() -> None:
        log = MemoryLog()
        await (await worked(log)).owned.release()
        log.starts[PURCHASES] = len(CUSTOMERS) + 5
        worker = Worker(log)
        await worker.open(0)
        (error,) = worker.failures
        assert isinstance(error, RecordsLost)
        assert str(error) == f"{PURCHASES}[0]: records 8 to 12 expired before they were read (retention)"
        assert not worker.owned.is_open

    run(test)


def test_row_that_was_deleted_stays_deleted_and_the_newest_record_of_a_customer_counts() -> None:
    async def test() -> None:
        log = MemoryLog()
        await (await worked(log)).owned.release()
        changelog = log.records[TOPICS.changelog, 0]
        row = next(record for record in changelog if record.key == b"c3")
        changelog += [OutgoingRecord(key.encode(), None) for key in ("c1", "c3", "c7", "never seen")]
        changelog += [row, OutgoingRecord(POSITION_KEY, None), OutgoingRecord(FENCE_KEY, None)]
        worker = Worker(log)
        await worker.open(0)
        assert worker.customers() == ["c0", "c2", "c3", "c4", "c5", "c6"]
        assert worker.host.start_offsets()[PURCHASES, 0] == len(CUSTOMERS)
        worker.feed(PURCHASES, 0, purchase(20, customer_id="c1"))
        await worker.work(*both())
        table = worker.owned.lanes[0].partition.table
        assert row_of(table, table.find("c1")).purchases == 1
        assert worker.failures == []

    run(test)


def test_first_start_begins_where_the_log_does() -> None:
    async def test() -> None:
        log = MemoryLog()
        log.starts[PURCHASES] = 70
        worker = Worker(log)
        await worker.open(0)
        assert worker.host.start_offsets() == {
            (PURCHASES, 0): 70,
            (ENGAGEMENTS, 0): 0,
            (PROFILES, 0): 0,
            **NOTHING_ELSE,
        }
        assert worker.failures == []

    run(test)


@pytest.mark.parametrize(("log_start", "lost"), [(0, False), (8, False), (9, True), (11, True)])
def test_gap_in_the_log_is_passed_over_unless_records_have_expired_in_it(log_start: int, lost: bool) -> None:
    async def test() -> None:
        worker = await worked(MemoryLog())
        worker.host.skip(PURCHASES, 0, 11, log_start)
        assert [type(error) for error in worker.failures] == ([RecordsLost] if lost else [])

    run(test)


def test_opening_that_takes_too_long_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        log = MemoryLog()
        worker = Worker(log)
        monkeypatch.setattr(worker.opener, "_settings", PartitionSettings(1, 0))
        worker.follower.is_read.clear()
        await worker.open(0)
        assert [type(error) for error in worker.failures] == [TimeoutError]
        assert all(delivery.is_closed for delivery in log.deliveries)

    run(test)


def test_lanes_are_opened_under_the_newest_model_and_follow_later_ones() -> None:
    async def test() -> None:
        log = MemoryLog()
        worker = Worker(log)
        worker.follower.is_read.clear()
        opening = asyncio.create_task(worker.open(0))
        await asyncio.sleep(0.005)
        assert not worker.owned.is_open
        worker.follower.is_read.set()
        await opening
        model = learned_model()
        worker.owned._follow([LearnedSegmentation(model)])
        await until(lambda: model_of(worker.owned.lanes[0].partition) is model, "the new model")

    run(test)


def test_owner_that_knows_an_older_model_waits_for_the_one_that_rows_refer_to() -> None:
    async def test() -> None:
        log, record = MemoryLog(), model_record(ModelProposal(learned_model()))
        first = Worker(log)
        first.follower._read(record.value)
        await first.open(0)
        first.feed(PURCHASES, 0, purchase(0))
        await first.work(*both())
        await first.owned.release()
        second = Worker(log)
        opening = asyncio.create_task(second.open(0))
        await asyncio.sleep(0.005)
        assert not second.owned.is_open
        second.follower._read(record.value)
        await opening
        assert model_of(second.owned.lanes[0].partition).version == learned_model().version
        assert first.failures == second.failures == []

    run(test)


def test_trainer_is_opened_with_its_partition_and_closed_with_the_others() -> None:
    async def test() -> None:
        log = MemoryLog()
        worker = Worker(log)
        await worker.open(0, with_trainer=True)
        assert worker.owned.training is not None
        assert worker.host.start_offsets()[TOPICS.samples, 0] == 0
        assert [model["version"] for model in log.values(TOPICS.models)] == [0]
        await worker.owned.train(0, b"no sample")
        assert worker.owned.committable({})[TOPICS.samples, 0] == 0
        await worker.owned.release()
        assert worker.owned.training is None
        assert all(delivery.is_closed for delivery in log.deliveries)
        await worker.owned.train(1, b"another's now")
        assert worker.failures == []

    run(test)


def test_chunks_of_an_earlier_opening_are_dropped() -> None:
    async def test() -> None:
        worker = await worked(MemoryLog())
        worker.feed(PURCHASES, 0, purchase(20))
        (stale,) = worker.host.emit_chunks(frozenset(both()))
        await worker.open(0)
        await worker.owned.segment(stale)
        await worker.owned.release()
        await worker.owned.segment(stale)
        assert worker.failures == []

    run(test)


def test_chunk_that_faust_dropped_goes_before_the_next_one() -> None:
    async def test() -> None:
        worker = await worked(MemoryLog())
        for day in (20, 21, 22):
            worker.feed(PURCHASES, 0, purchase(day))
            (chunk,) = worker.host.emit_chunks(frozenset(both()))
            if day != 20:
                await worker.owned.segment(chunk)
                await worker.owned.segment(chunk)
        await worker.work(*both())
        assert worker.owned.lanes[0].committed.offsets[PURCHASES] == len(CUSTOMERS) + 3
        assert worker.failures == []

    run(test)


def test_last_chunk_that_faust_dropped_is_taken_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        worker = await worked(MemoryLog())
        worker.feed(PURCHASES, 0, purchase(20))
        (dropped,) = worker.host.emit_chunks(frozenset(both()))
        monkeypatch.setattr(host_module, "OVERDUE_SECONDS", 0.0)
        await asyncio.sleep(0.001)
        await worker.work(*both())
        await worker.owned.segment(dropped)
        assert worker.owned.lanes[0].committed.offsets[PURCHASES] == len(CUSTOMERS) + 1
        assert worker.failures == []

    run(test)


def test_offsets_to_be_committed_reach_the_end_of_a_drained_topic_behind_markers() -> None:
    async def test() -> None:
        worker = await worked(MemoryLog())
        owned = worker.owned
        assert owned.committable({}) == {(PURCHASES, 0): 8, (ENGAGEMENTS, 0): 0, (PROFILES, 0): 0, **NOTHING_ELSE}
        drained = {(PURCHASES, 0): 9, (ENGAGEMENTS, 0): 3, (PROFILES, 0): 0, **NOTHING_ELSE}
        assert owned.committable(drained) == drained
        worker.feed(ENGAGEMENTS, 0, engagement(30))
        assert owned.committable({(PURCHASES, 0): 9, (ENGAGEMENTS, 0): 1}) == {
            (PURCHASES, 0): 8,
            (ENGAGEMENTS, 0): 0,
            (PROFILES, 0): 0,
            **NOTHING_ELSE,
        }
        assert owned.has_backlog(0)
        await worker.work(*both())
        assert owned.committable({(ENGAGEMENTS, 0): 1}) == {
            (PURCHASES, 0): 8,
            (ENGAGEMENTS, 0): 1,
            (PROFILES, 0): 0,
            **NOTHING_ELSE,
        }
        assert not owned.has_backlog(0)

    run(test)


def test_nothing_is_wanted_of_partitions_that_are_not_owned() -> None:
    async def test() -> None:
        worker = await worked(MemoryLog())
        assert worker.host.wants(PURCHASES, 0)
        assert not worker.host.wants(PURCHASES, 1)
        assert worker.host.expected_offset(PURCHASES, 1) is None
        worker.host.feed(PURCHASES, 1, RecordBlock.of([Record(0, None)]))
        worker.host.skip(PURCHASES, 1, 5, 5)
        await worker.owned.release()
        assert not worker.host.wants(PURCHASES, 0)
        assert worker.host.start_offsets() == {}
        assert not worker.owned.has_backlog(0)

    run(test)


def test_position_is_the_states_and_not_the_groups() -> None:
    async def test() -> None:
        worker = await worked(MemoryLog())
        lane = worker.owned.lanes[0]
        expected = PartitionPosition(
            dict(lane.folded_to), lane.partition.clock, {"value": 0}, {"value": 0}, trust=lane.partition.trust
        )
        assert worker.log.restored()[1] == lane.committed == expected

    run(test)


VALUE = {"kind": "learned", "name": "value"}
HABITS = {"kind": "learned", "name": "habits"}


def test_segmentation_that_is_added_takes_everybody_in_and_one_that_is_removed_lets_everybody_go() -> None:
    async def test() -> None:
        log = MemoryLog()
        await (await worked(log)).owned.release()
        for configured, change in (([VALUE, HABITS], "entered"), ([VALUE], "left")):
            worker = Worker(log, segmentations=configured)
            await worker.open(0)
            lane = worker.owned.lanes[0]
            names = [each["name"] for each in configured]
            await until(lambda lane=lane, names=names: list(lane.committed.versions) == names, change)  # type: ignore[misc]
            await worker.owned.release()
            moves = [move for move in log.values(TOPICS.migrations) if move["segmentation"] == "habits"]
            assert {move["customer_id"] for move in moves if move["change"] == change} == set(CUSTOMERS)
            assert {move["cause"]["kind"] for move in moves} == {"definition"}
            assert worker.failures == []
        members = {record.key: record.value for record in log.records[TOPICS.memberships, 0]}
        assert {key for key, value in members.items() if value is None} == {f"habits/{c}".encode() for c in CUSTOMERS}
        assert {key for key, value in members.items() if value} == {f"value/{c}".encode() for c in CUSTOMERS}

    run(test)


def test_segmentation_that_is_removed_before_everybody_was_assessed_still_lets_everybody_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test() -> None:
        log = MemoryLog()
        await (await worked(log)).owned.release()
        monkeypatch.setattr(sweeping, "PART_ROWS_MIN", 2)
        monkeypatch.setattr(sweeping, "PART_ROWS_MAX", 2)
        first = Worker(log, moves_per_second=1, segmentations=[VALUE, HABITS])
        await first.open(0)
        await until(lambda: "habits" in str(log.values(TOPICS.migrations)), "the first who enter")
        await first.owned.release()
        entered = [move for move in log.values(TOPICS.migrations) if move["segmentation"] == "habits"]
        assert len(entered) == 2
        second = Worker(log, segmentations=[VALUE])
        await second.open(0)
        await until(lambda: list(second.owned.lanes[0].committed.versions) == ["value"], "everybody outside")
        await second.owned.release()
        moves = [move for move in log.values(TOPICS.migrations) if move["segmentation"] == "habits"]
        left = [move["customer_id"] for move in moves if move["change"] == "left"]
        assert sorted(left) == sorted(move["customer_id"] for move in entered)
        assert first.failures == second.failures == []

    run(test)


def test_definition_that_is_changed_during_a_rebalance_moves_everybody_of_a_table_that_was_kept() -> None:
    def buyers(orders: int) -> dict[str, Any]:
        """Return rules by which silence moves nobody."""
        when = {"figure": "purchases", "at_least": orders}
        often = {"id": f"often-{orders}", "name": "Often", "when": when}
        return {"kind": "rules", "name": "buyers", "segments": [often], "otherwise": {"id": "seldom", "name": "Seldom"}}

    async def test() -> None:
        log = MemoryLog()
        worker = Worker(log, segmentations=[buyers(2)])
        await worker.open(0)
        worker.feed(PURCHASES, 0, *(purchase(day, customer_id=customer) for day, customer in enumerate(CUSTOMERS)))
        worker.feed(PURCHASES, 0, purchase(100, customer_id="later"))  # time passes, and everybody is looked at
        await worker.work(*both())
        table = worker.owned.lanes[0].partition.table
        await worker.owned.release()
        (changed,) = Worker(log, segmentations=[buyers(1)]).follower.wanted
        worker.follower._read(segmentation_record(changed).value)
        await worker.open(0)
        lane = worker.owned.lanes[0]
        assert lane.partition.table is table
        await until(lambda: lane.committed.versions == {"buyers": 2}, "the new definition")
        await worker.owned.release()
        moves = [move for move in log.values(TOPICS.migrations) if move["to_segment"]["id"] == "often-1"]
        assert sorted(move["customer_id"] for move in moves) == [*CUSTOMERS, "later"]
        assert worker.failures == []

    run(test)


def test_trainer_learns_from_samples_of_its_own_worker_before_they_are_read() -> None:
    async def test() -> None:
        log = MemoryLog()
        worker = Worker(log, partitions=2)
        await worker.open(0, 1, with_trainer=True)
        for number in (0, 1):
            worker.feed(PURCHASES, number, purchase(0, customer_id=f"c{number}"), purchase(8, customer_id=f"c{number}"))
        await worker.work(*both(0), *both(1))
        training = worker.owned.training
        assert training is not None
        await until(lambda: any(b'"decided"' in (r.value or b"") for r in log.records[TOPICS.models, 0]), "a decision")
        assert training.next_sample == 0
        assert worker.failures == []

    run(test)


@pytest.mark.parametrize(("owned", "is_followed"), [((0,), True), ((0, 1), False)], ids=str)
def test_samples_are_followed_where_other_workers_have_partitions_until_the_trainer_is_released(
    owned: tuple[int, ...], is_followed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    followed: list[int] = []
    ended: list[bool] = []

    async def follow(offset: int) -> AsyncIterator[Record]:
        followed.append(offset)
        try:
            yield Record(offset, b"no sample")
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def test() -> None:
        worker = Worker(MemoryLog(), partitions=2)
        worker.owned._follow_samples = follow  # type: ignore[assignment]
        await worker.open(*owned, with_trainer=True)
        await until(lambda: ("sample at offset 0 is left out" in caplog.text) == is_followed, "the sample")
        assert followed == [0] * is_followed
        await worker.owned.release()
        assert ended == [True] * is_followed
        assert worker.failures == []

    run(test)


def test_samples_that_cannot_be_followed_are_left_to_the_groups_consumer(caplog: pytest.LogCaptureFixture) -> None:
    async def follow(_: int) -> AsyncIterator[Record]:
        raise KafkaConnectionError("no broker")
        yield

    async def test() -> None:
        worker = Worker(MemoryLog(), partitions=2)
        worker.owned._follow_samples = follow  # type: ignore[assignment]
        await worker.open(0, with_trainer=True)
        await until(lambda: "by the group's consumer alone" in caplog.text, "the warning")
        await worker.owned.release()
        assert worker.failures == []

    run(test)


def test_trainer_that_cannot_learn_from_what_is_handed_over_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        worker = Worker(MemoryLog())
        await worker.open(0, with_trainer=True)
        training = worker.owned.training
        assert training is not None
        monkeypatch.setattr(training, "_write", fail)
        worker.feed(PURCHASES, 0, purchase(0), purchase(8))
        await worker.work(*both())
        await until(lambda: bool(worker.failures), "a failure")

    async def fail(_: object) -> None:
        raise DeliveryFailed("not known to be committed")

    run(test)
