"""Definitions as versions: rules that belong together take over together, and nobody goes on under earlier ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from stream_app.adapters.changelog import PartitionPosition
from stream_app.adapters.record_blocks import RecordBlock
from stream_app.core.segmentation import Segmentation
from stream_app.segmentations.registry import counted_by
from stream_app.worker import sweeping
from stream_app.worker.training import segmentation_record
from tests.support.events import instant, purchase
from tests.worker.memory import TOPICS, MemoryLog, Record, payload, until
from tests.worker.test_definition_follower import configured
from tests.worker.test_owned import CUSTOMERS, PURCHASES, Worker, both, run


def audience(name: str, when: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "audience", "name": name, "when": when}


def bought(orders: int, **more: Any) -> dict[str, Any]:
    return {"event": "order_completed", "at_least": orders, **more}


BASE = audience("buyers", bought(1))
LAYERED = audience("guests", {"segmentation": "buyers"})


def publish(follower: Any, *segmentations: Segmentation, wanted: Sequence[Segmentation] = ()) -> None:
    for each in segmentations:
        follower._read(segmentation_record(each, wanted or segmentations).value)


def wanted_after(earlier: Sequence[dict[str, Any]], later: Sequence[dict[str, Any]]) -> list[Segmentation]:
    """Return what one configuration asks for where another has been published."""
    follower = configured(later)
    publish(follower, *configured(earlier).wanted)
    return list(follower.wanted)


# --- following ------------------------------------------------------------------------------------------------------


def test_rules_that_were_published_together_take_over_together() -> None:
    follower = configured([BASE, LAYERED])
    publish(follower, *follower.wanted)
    follower._finish_reading()
    heard: list[list[tuple[str, int]]] = []
    follower.subscribe(lambda new: heard.append([(each.name, each.version) for each in new]))
    changed = wanted_after(
        [BASE, LAYERED], [audience("buyers", bought(2)), audience("guests", {"not": {"segmentation": "buyers"}})]
    )
    publish(follower, changed[1], wanted=changed)
    assert heard == []
    assert {name: each.version for name, each in follower.current.items()} == {"buyers": 1, "guests": 1}
    publish(follower, changed[0], wanted=changed)
    assert heard == [[("buyers", 2), ("guests", 2)]]


def test_version_that_was_read_and_is_not_in_force_yet_is_not_reached() -> None:
    async def test() -> None:
        follower = configured([BASE, LAYERED])
        publish(follower, *follower.wanted)
        follower._finish_reading()
        changed = wanted_after([BASE, LAYERED], [audience("buyers", bought(2)), audience("guests", bought(3))])
        publish(follower, changed[0], wanted=changed)
        reaching = asyncio.create_task(follower.reach({"buyers": 2}))
        await asyncio.sleep(0.001)
        assert not reaching.done()
        publish(follower, changed[1], wanted=changed)
        await asyncio.wait_for(reaching, 10)

    asyncio.run(test())


def test_what_a_definition_looks_at_is_in_force_though_it_is_not_configured() -> None:
    follower = configured([audience("guests", bought(3))])
    publish(follower, *configured([BASE, LAYERED]).wanted)
    follower._finish_reading()
    assert list(follower.current) == ["guests", "buyers"]
    publish(follower, *wanted_after([BASE, LAYERED], [audience("guests", bought(3))]))
    assert follower.names_in_force == ["guests"]


def test_fields_are_those_of_versions_in_force_and_of_what_is_configured() -> None:
    def by(field: str) -> dict[str, Any]:
        return audience("online", bought(1, where=[{"field": field, "exists": True}]))

    follower = configured([by("properties.plan")])
    publish(follower, *configured([by("channel")]).wanted)
    assert follower.fields == {"channel", "properties.plan"}


def test_definition_that_means_the_same_is_no_new_version() -> None:
    same = wanted_after([audience("a", bought(1, last="14d"))], [audience("a", bought(1, last="2w"))])
    assert [each.version for each in same] == [1]


# --- in a worker ----------------------------------------------------------------------------------------------------


async def worked(log: MemoryLog, *segmentations: dict[str, Any], **settings: Any) -> Worker:
    """Return a worker that owns partition 0 and has folded two purchases of each customer."""
    worker = Worker(log, segmentations=list(segmentations), **settings)
    await worker.open(0)
    for day in (6, 7):
        worker.feed(PURCHASES, 0, *(purchase(day, customer_id=customer) for customer in CUSTOMERS))
    await worker.work(*both())
    return worker


def members(log: MemoryLog, name: str) -> list[str]:
    """Return who is in an audience by what was told."""
    told: dict[str, bool] = {}
    for move in log.values(TOPICS.migrations):
        if move["segmentation"] == name:
            told[move["customer_id"]] = move["to_segment"] is not None
    return sorted(customer for customer, is_in in told.items() if is_in)


def test_customers_move_by_a_changed_definition_and_say_so() -> None:
    async def test() -> None:
        log = MemoryLog()
        worker = await worked(log, audience("buyers", bought(3)))
        assert members(log, "buyers") == []
        publish(worker.follower, *wanted_after([audience("buyers", bought(3))], [audience("buyers", bought(2))]))
        await until(lambda: worker.owned.lanes[0].committed.versions == {"buyers": 2}, "the new definition")
        assert members(log, "buyers") == CUSTOMERS
        assert {move["cause"]["kind"] for move in log.values(TOPICS.migrations)} == {"definition"}
        assert {move["model_version"] for move in log.values(TOPICS.migrations)} == {2}
        assert worker.failures == []

    run(test)


def test_owner_that_has_not_read_the_rules_in_force_writes_nothing_under_earlier_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows do not name the version of their rules: the position does, also before everybody was assessed."""

    async def test() -> None:
        log = MemoryLog()
        monkeypatch.setattr(sweeping, "PART_ROWS_MIN", 2)
        monkeypatch.setattr(sweeping, "PART_ROWS_MAX", 2)
        earlier, later = audience("buyers", bought(3)), audience("buyers", bought(2))
        first = await worked(log, earlier, moves_per_second=1)
        changed = wanted_after([earlier], [later])
        publish(first.follower, *changed)
        await until(lambda: len(members(log, "buyers")) == 2, "the first who move")
        await first.owned.release()
        position = first.owned.lanes or log.restored()[1]
        assert isinstance(position, PartitionPosition)
        assert (position.versions, position.adopted) == ({"buyers": 1}, {"buyers": 2})

        second = Worker(log, segmentations=[earlier])
        written = len(log.values(TOPICS.migrations))
        opening = asyncio.create_task(second.open(0))
        await asyncio.sleep(0.02)
        assert not second.owned.is_open
        assert len(log.values(TOPICS.migrations)) == written
        publish(second.follower, *changed)
        await opening
        await until(lambda: second.owned.lanes[0].committed.versions == {"buyers": 2}, "everybody assessed")
        await second.owned.release()
        moves = log.values(TOPICS.migrations)
        assert sorted(move["customer_id"] for move in moves) == CUSTOMERS, "each moves once"
        assert {move["model_version"] for move in moves} == {2}
        assert first.failures == second.failures == []

    run(test)


def test_definition_takes_over_behind_the_records_that_were_decoded_without_its_fields() -> None:
    online = audience("online", bought(1, where=[{"field": "channel", "equals": "app"}]))
    plain = audience("online", bought(9))

    def by_app(worker: Worker, *customers: str) -> None:
        first = worker.host.expected_offset(PURCHASES, 0)
        assert first is not None
        events = [purchase(8 + first / 100, customer_id=customer) for customer in customers]
        values = [json.dumps(json.loads(payload(event)) | {"channel": "app"}).encode() for event in events]
        records = [
            Record(first + n, value, event.customer_id.encode())
            for n, (event, value) in enumerate(zip(events, values, strict=True))
        ]
        worker.host.feed(PURCHASES, 0, RecordBlock.of(records))

    async def test() -> None:
        log = MemoryLog()
        worker = await worked(log, plain)
        lane = worker.owned.lanes[0]
        by_app(worker, "before-1", "before-2")  # decoded, and waiting to be merged
        publish(worker.follower, *wanted_after([plain], [online]))
        by_app(worker, "after")
        await asyncio.sleep(0.01)
        assert [each.version for each in lane.partition.segmentations] == [1]
        await worker.work(*both())
        await until(lambda: lane.committed.versions == {"online": 2}, "the new definition")
        by_app(worker, "later")
        await worker.work(*both())
        assert members(log, "online") == ["later"], "what was folded before it took over was not counted"
        assert worker.failures == []

    run(test)


def test_position_says_since_when_events_are_counted_for_conditions_that_are_new() -> None:
    async def test() -> None:
        log = MemoryLog()
        first, second = audience("buyers", bought(1)), audience("buyers", {"any": [bought(1), bought(2, last="30d")]})
        worker = await worked(log, first)
        lane = worker.owned.lanes[0]
        (known,) = counted_by(lane.partition.segmentations[0])
        assert lane.committed.counted_since == {known: 0}
        publish(worker.follower, *wanted_after([first], [second]))
        await until(lambda: lane.committed.versions == {"buyers": 2}, "the new definition")
        (new,) = counted_by(lane.partition.segmentations[0]) - {known}
        assert lane.committed.counted_since == {known: 0, new: instant(7)}
        assert lane.counted_since_ms(lane.partition.segmentations[0]) == instant(7)
        await worker.owned.release()
        other = Worker(log, segmentations=[second])
        publish(other.follower, *wanted_after([first], [second]))
        await other.open(0)
        assert other.owned.lanes[0].committed.counted_since == {known: 0, new: instant(7)}

    run(test)


def test_conditions_count_from_the_last_of_what_was_folded_though_time_has_not_come_so_far() -> None:
    """Time goes to the earliest of three that agree; what the others told by then is not counted any more."""

    async def test() -> None:
        log = MemoryLog()
        first, second = audience("buyers", bought(1)), audience("buyers", {"any": [bought(1), bought(2, last="30d")]})
        worker = await worked(log, first, gap_days=14)
        lane = worker.owned.lanes[0]
        away = (purchase(day, customer_id=customer) for day, customer in ((49, "c1"), (44, "c2"), (40, "c3")))
        worker.feed(PURCHASES, 0, *away, purchase(90, customer_id="c4"))
        await worker.work(*both())
        assert lane.partition.clock.watermark_ms == instant(40)
        publish(worker.follower, *wanted_after([first], [second]))
        await until(lambda: lane.committed.versions == {"buyers": 2}, "the new definition")
        assert lane.counted_since_ms(lane.partition.segmentations[0]) == instant(49), "and c4 is still in doubt"
        await worker.owned.release()
        assert worker.failures == []

    run(test)


def test_segmentation_that_others_looked_at_ends_once_they_do_no_more() -> None:
    async def test() -> None:
        log = MemoryLog()
        worker = await worked(log, BASE, LAYERED)
        await worker.owned.release()
        later = Worker(log, segmentations=[LAYERED | {"when": bought(1)}])
        await later.open(0)
        assert members(log, "buyers") == CUSTOMERS, "guests still look at it"
        lane = later.owned.lanes[0]
        publish(later.follower, *wanted_after([BASE, LAYERED], [LAYERED | {"when": bought(1)}]))
        await until(lambda: lane.committed.versions == {"guests": 2}, "the end of it")
        await later.owned.release()
        assert members(log, "buyers") == []
        assert members(log, "guests") == CUSTOMERS
        assert worker.failures == later.failures == []

    run(test)


def test_position_of_an_earlier_release_has_adopted_nothing() -> None:
    written = msgspec.json.encode({"offsets": {"t": 3}, "clock": [5, 6], "versions": {"value": 2}})
    position = PartitionPosition.decode(written)
    assert (position.adopted, position.counted_since) == ({}, {})
    assert PartitionPosition.decode(position.encode()) == position
