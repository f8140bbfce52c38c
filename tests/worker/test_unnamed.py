"""Returns that name no customer, in a worker: found by their order, passed on by their key, refused."""

from __future__ import annotations

import json
from typing import Any

from stream_app.adapters.record_blocks import RecordBlock
from stream_app.adapters.topics import TopicNames
from tests.support.events import instant, purchase
from tests.worker.memory import TOPICS, MemoryLog, Record
from tests.worker.test_intake import customer_of, home_of
from tests.worker.test_owned import PURCHASES, Worker, both, run

NAMES: TopicNames = TOPICS


def returned(event_id: str, order_id: str, **changes: Any) -> bytes:
    record = {"event_id": event_id, "occurred_at": "2024-01-04T00:00:00.000Z", "order_id": order_id}
    return json.dumps(record | {"type": "order_refunded", "total": "10.00", "currency": "EUR"} | changes).encode()


def feed(worker: Worker, number: int, *records: tuple[bytes, bytes | None]) -> None:
    first = worker.host.expected_offset(PURCHASES, number)
    assert first is not None
    block = [Record(first + index, value, key) for index, (value, key) in enumerate(records)]
    worker.host.feed(PURCHASES, number, RecordBlock.of(block))


def test_return_without_a_customer_counts_for_that_of_its_order_or_becomes_a_dead_letter() -> None:
    async def test() -> None:
        log = MemoryLog()
        worker = Worker(log)
        await worker.open(0)
        worker.feed(PURCHASES, 0, purchase(0, order_id="o1"), purchase(1, customer_id="c2", order_id="o2"))
        await worker.work(*both())
        feed(worker, 0, (returned("r1", "o2"), None), (returned("r2", "o9"), b""), (returned("r3", "o1"), b"any"))
        await worker.work(*both())
        lane = worker.owned.lanes[0]
        assert lane.partition.table.activity["revenue_minor"].tolist() == [4_000, 4_000]
        assert lane.partition.clock.watermark_ms == instant(1), "nobody stands for the time of such a record"
        (letter,) = log.values(NAMES.dead_letters)
        assert (letter["reason"], letter["field"]) == ("unknown_order", "order_id")
        assert letter["message"].startswith('order_id: "o9", expected an order that this partition has')
        assert (letter["position"]["offset"], letter["payload"]) == (3, returned("r2", "o9").decode())
        outcomes = {outcome: count for (_, outcome), count in lane.figures.outcomes.items()}
        assert outcomes == {"accepted": 4, "rejected": 1}
        assert lane.figures.dead_letters == {(PURCHASES, "unknown_order"): 1}
        assert worker.failures == []

    run(test)


def test_return_without_a_customer_is_passed_on_to_the_partition_of_its_key() -> None:
    key = customer_of(1, 2)

    async def test() -> None:
        log = MemoryLog()
        worker = Worker(log, partitions=2)
        await worker.open(0, 1)
        worker.feed(PURCHASES, 1, purchase(0, customer_id=key, order_id="o1"))
        feed(worker, 0, (returned("r1", "o1"), key.encode()), (returned("r2", "o1"), None))
        await worker.work(*both(0), *both(1))
        passed_on = log.records[PURCHASES, 1]
        assert [(record.key, record.value) for record in passed_on] == [(key.encode(), returned("r1", "o1"))]
        (letter,) = log.values(NAMES.dead_letters)
        assert json.loads(letter["payload"])["event_id"] == "r2", "without a key it counts where it lies"
        assert worker.failures == []

    assert home_of(key, 2) == 1
    run(test)
