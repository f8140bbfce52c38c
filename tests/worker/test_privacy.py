"""Privacy requests in a worker: what is gone, what is left, what does not come back, and what stays as it was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.adapters.changelog import MARK_PREFIX, SALT_KEY, decode_mark
from stream_app.adapters.delivery import OutgoingRecord
from stream_app.adapters.record_blocks import RecordBlock
from stream_app.contracts.outputs.receipts import PrivacyReceipt
from stream_app.core.clock import DAY_MS, format_instant
from stream_app.core.events import Event
from stream_app.worker import privacy
from tests.support.events import engagement, instant, purchase
from tests.worker.memory import TOPICS, MemoryLog, Record
from tests.worker.test_owned import ENGAGEMENTS, PURCHASES, Worker, both, run

REQUESTS = TOPICS.privacy_requests


def request(day: float, type_: str, customer_id: str = "c1", **fields: Any) -> bytes:
    said = {"request_id": f"{type_}-{day:g}-{len(customer_id)}", "type": type_, "customer_id": customer_id}
    return json.dumps(said | {"requested_at": format_instant(instant(day))} | fields).encode()


def ask(worker: Worker, *payloads: bytes) -> None:
    first = worker.host.expected_offset(REQUESTS, 0)
    assert first is not None
    keys = [json.loads(payload)["customer_id"].encode() for payload in payloads]
    block = [Record(first + n, payload, key) for n, (payload, key) in enumerate(zip(payloads, keys, strict=True))]
    worker.host.feed(REQUESTS, 0, RecordBlock.of(block))


async def take(worker: Worker, *, events: Sequence[Event] = (), requests: Sequence[bytes] = ()) -> None:
    for topic, is_order in ((PURCHASES, True), (ENGAGEMENTS, False)):
        if theirs := [event for event in events if bool(event.order_id) is is_order]:
            worker.feed(topic, 0, *theirs)
    if requests:
        ask(worker, *requests)
    await worker.work(*both())
    assert worker.failures == []


def with_worker(test: Callable[[Worker, MemoryLog], Coroutine[Any, Any, None]]) -> None:
    async def play() -> None:
        log = MemoryLog()
        worker = Worker(log)
        await worker.open(0)
        await test(worker, log)

    run(play)


def live(records: Sequence[OutgoingRecord]) -> dict[bytes, bytes]:
    """Return what compaction leaves."""
    newest = {record.key: record.value for record in records}
    return {key: value for key, value in newest.items() if key is not None and value is not None}


def traces(log: MemoryLog, customer_id: str) -> list[str]:
    """Return the compacted topics that a customer's id is left in."""
    compacted = TOPICS.changelog, TOPICS.memberships, TOPICS.receipts
    text = customer_id.encode()
    return [topic for topic in compacted for key, value in live(log.records[topic, 0]).items() if text in key + value]


def outcomes(worker: Worker) -> dict[str, int]:
    counted: dict[str, int] = {}
    for (_, outcome), count in worker.owned.lanes[0].figures.outcomes.items():
        counted[outcome] = counted.get(outcome, 0) + count
    return counted


def moves_of(log: MemoryLog, customer_id: str) -> list[dict[str, Any]]:
    return [move for move in log.values(TOPICS.migrations) if move and move["customer_id"] == customer_id]


def test_erased_customer_leaves_every_segment_and_no_compacted_topic_names_it() -> None:
    async def test(worker: Worker, log: MemoryLog) -> None:
        events = [purchase(0, customer_id="c-gone"), purchase(1, customer_id="c-stays")]
        await take(worker, events=events, requests=[request(2, "erase", "c-gone", jurisdiction="US-CA")])
        assert worker.customers() == ["c-stays"]
        assert traces(log, "c-gone") == []
        assert {"c-stays"} == {key.decode().partition("/")[2] for key in live(log.records[TOPICS.memberships, 0])}
        moves = moves_of(log, "c-gone")
        assert moves, "nobody was in a segment"
        last = {move["segmentation"]: move for move in moves}
        for move in last.values():
            assert (move["to_segment"], move["change"], move["cause"]["kind"]) == (None, "left", "consent")
            assert move["cause"]["event_id"] is None
            assert move["cause"]["position"] is None or move["cause"]["position"]["topic"] == REQUESTS
            assert move["explanation"]["sentence"].startswith("Erased on request")
            assert move["effective_at"] == format_instant(instant(2))
        for topic in (TOPICS.migrations, TOPICS.upcoming):
            newest = log.records[topic, 0][-1]
            assert (newest.key, newest.value, dict(newest.headers)) == (b"c-gone", None, {"privacy": b"erased"})

    with_worker(test)


def test_receipt_says_what_will_be_gone_by_when_and_names_nobody() -> None:
    async def test(worker: Worker, log: MemoryLog) -> None:
        asked = request(2, "erase", "c-gone", request_id="r1", jurisdiction="US-CA")
        await take(worker, events=[purchase(0, customer_id="c-gone")], requests=[asked])
        (written,) = log.records[TOPICS.receipts, 0]
        assert written.key == b"r1"
        receipt = PrivacyReceipt.model_validate_json(written.value or b"")
        assert (receipt.type, receipt.was_known, receipt.is_suppressed) == ("erase", True, False)
        assert receipt.requested_at == format_instant(instant(2))
        assert receipt.due_at == format_instant(instant(2 + 45)), "the law of California"
        how = {store.store: store.how for store in receipt.stores}
        assert (how["segment-migrations"], how["segment-memberships"]) == ("retention", "compaction")
        assert b"c-gone" not in (written.value or b"")

    with_worker(test)


def test_whole_request_is_one_transaction_with_its_offset() -> None:
    async def test(worker: Worker, log: MemoryLog) -> None:
        await take(worker, events=[purchase(0, customer_id="c-gone")])
        before = len(log.transactions)
        await take(worker, requests=[request(2, "erase", "c-gone")])
        topics = {topic for topic, _ in set().union(*map(set, log.transactions[before:]))}
        assert {TOPICS.changelog, TOPICS.migrations, TOPICS.memberships, TOPICS.receipts} <= topics
        assert len(log.transactions) == before + 1
        assert worker.owned.lanes[0].committed.offsets[REQUESTS] == 1

    with_worker(test)


def test_late_events_do_not_bring_anybody_back_and_later_ones_begin_anew() -> None:
    async def test(worker: Worker, log: MemoryLog) -> None:
        await take(worker, events=[purchase(0), purchase(3, customer_id="c2")], requests=[request(4, "erase")])
        await take(worker, events=[purchase(1), engagement(2)])
        assert worker.customers() == ["c2"]
        assert outcomes(worker) == {"accepted": 3, "erased": 2}
        assert traces(log, "c1") == []
        before = {move["segmentation"]: move["sequence"] for move in moves_of(log, "c1")}
        await take(worker, events=[purchase(5)])
        assert worker.customers() == ["c1", "c2"]
        table = worker.owned.lanes[0].partition.table
        assert table.activity["purchases"][table.find("c1")] == 1
        entered = [move for move in moves_of(log, "c1") if move["change"] == "entered" and move["sequence"] > 1]
        assert {move["segmentation"]: move["sequence"] for move in entered} == {
            name: sequence + 1 for name, sequence in before.items() if name in {m["segmentation"] for m in entered}
        }
        assert entered, "whoever comes back goes on from the sequences"
        ids = [move["migration_id"] for move in moves_of(log, "c1")]
        assert len(set(ids)) == len(ids), "no number is used twice"

    with_worker(test)


@pytest.mark.parametrize("same_chunk", [True, False])
def test_suppressed_customer_is_not_taken_in_until_it_is_let_in_again(same_chunk: bool) -> None:
    async def test(worker: Worker, log: MemoryLog) -> None:
        steps: list[tuple[list[Event], list[bytes]]] = [
            ([purchase(0), purchase(1, customer_id="c2")], [request(2, "suppress")]),
            ([purchase(3)], []),
            ([purchase(4, customer_id="c2")], [request(5, "unsuppress")]),
            ([purchase(6)], []),
        ]
        if same_chunk:
            steps = [([each for events, _ in steps for each in events], [each for _, asked in steps for each in asked])]
        for events, requests in steps:
            await take(worker, events=events, requests=requests)
        table = worker.owned.lanes[0].partition.table
        assert table.activity["purchases"][table.find("c1")] == 1, "that of day 6"
        assert outcomes(worker)["erased"] == 1
        await take(worker, events=[purchase(3, order_id="late")])
        assert outcomes(worker)["erased"] == 2, "what happened meanwhile does not count afterwards"
        receipts = [PrivacyReceipt.model_validate(each) for each in log.values(TOPICS.receipts)]
        assert [(each.type, each.is_suppressed) for each in receipts] == [("suppress", True), ("unsuppress", False)]
        assert receipts[0].customer == receipts[1].customer

    with_worker(test)


def test_request_about_nobody_is_kept_in_mind_and_moves_no_clock() -> None:
    async def test(worker: Worker, log: MemoryLog) -> None:
        await take(worker, events=[purchase(0, customer_id="c2")])
        clock = worker.owned.lanes[0].partition.clock
        await take(worker, requests=[request(900, "erase"), request(901, "export")])
        assert worker.owned.lanes[0].partition.clock == clock
        await take(worker, events=[purchase(1)])
        assert worker.customers() == ["c2"]
        assert [each["was_known"] for each in log.values(TOPICS.receipts)] == [False, False]

    with_worker(test)


def test_another_worker_knows_who_was_erased() -> None:
    async def test(worker: Worker, log: MemoryLog) -> None:
        await take(worker, events=[purchase(0), purchase(1, customer_id="c2")], requests=[request(2, "erase")])
        await worker.owned.release()
        other = Worker(log)
        await other.open(0)
        assert other.customers() == ["c2"]
        await take(other, events=[purchase(0.5)])
        assert outcomes(other) == {"erased": 1}
        await take(other, events=[purchase(3)])
        assert other.customers() == ["c1", "c2"]
        ids = [move["migration_id"] for move in moves_of(log, "c1")]
        assert len(set(ids)) == len(ids)

    with_worker(test)


def test_marks_are_dropped_when_inputs_are_gone_but_for_those_of_suppressed_customers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(privacy, "EXPIRY_CHECK_MS", 0)

    async def test(worker: Worker, log: MemoryLog) -> None:
        asked = [request(1, "erase", "c1"), request(1, "suppress", "c2")]
        await take(worker, events=[purchase(0), purchase(0, customer_id="c2")], requests=asked)
        lane = worker.owned.lanes[0]
        assert len(lane.folding.privacy.marks) == 2
        now_ms = lane.folding.privacy._now_ms() + 31 * DAY_MS
        lane.folding.privacy._now_ms = lambda: now_ms
        lane.wake()
        while len(lane.folding.privacy.marks) > 1:
            await asyncio.sleep(0.01)
        await worker.work(*both())
        kept = {key: value for key, value in live(log.records[TOPICS.changelog, 0]).items() if key[:1] == b"\xff"}
        (mark,) = [decode_mark(value) for key, value in kept.items() if key.startswith(MARK_PREFIX)]
        assert mark.is_suppressed
        assert SALT_KEY in kept

    with_worker(test)


PEOPLE = [f"c{number}" for number in range(6)]
Step = tuple[str, str, float]
"""What happens, to whom, and after how many days."""
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["purchase", "engagement", "late", "erase"]),
        st.sampled_from(PEOPLE),
        st.sampled_from([0.0, 0.25, 1.0, 3.0]),
    ),
    min_size=4,
    max_size=30,
)


def play(steps: Sequence[Step], chunk: int, *, with_requests: bool) -> dict[str, bytes]:
    """Return the row of everybody whom a worker knows in the end, as another one restores them."""

    async def test() -> dict[str, bytes]:
        log = MemoryLog()
        worker = Worker(log)
        await worker.open(0)
        day, taken = 0.0, 0
        for begin in range(0, len(steps), chunk):
            events: list[Event] = []
            requests: list[bytes] = []
            for kind, customer_id, days in steps[begin : begin + chunk]:
                day, taken = day + days, taken + 1
                at = max(day - 2, 0) if kind == "late" else day
                if kind == "erase":
                    requests += [request(day, "erase", customer_id, request_id=f"r{taken}")] if with_requests else []
                elif kind == "engagement":
                    events.append(engagement(at, customer_id=customer_id, event_id=f"e{taken}"))
                else:
                    events.append(purchase(at, customer_id=customer_id, order_id=f"o{taken}", event_id=f"e{taken}"))
            await take(worker, events=events, requests=requests)
        await worker.owned.release()
        other = Worker(log)
        await other.open(0)
        table = other.owned.lanes[0].partition.table
        return {customer_id: table.encode(table.find(customer_id)) for customer_id in table.customer_ids}

    return asyncio.run(test())


@given(STEPS, st.sampled_from([1, 3, 30]))
@settings(max_examples=20, deadline=None)
def test_others_are_unchanged_to_the_last_byte_and_nobody_comes_back_by_what_was_before(
    steps: list[Step], chunk: int
) -> None:
    with_requests, without = (play(steps, chunk, with_requests=each) for each in (True, False))
    named = {customer_id for kind, customer_id, _ in steps if kind == "erase"}
    assert {key: row for key, row in with_requests.items() if key not in named} == {
        key: row for key, row in without.items() if key not in named
    }
    day, erased_at, acted_at = 0.0, dict[str, float](), dict[str, float]()
    for kind, customer_id, days in steps:
        day += days
        at = max(day - 2, 0) if kind == "late" else day
        if kind == "erase":
            erased_at[customer_id] = day
        elif at > erased_at.get(customer_id, -1):
            acted_at[customer_id] = at
    gone = {each for each, at in erased_at.items() if acted_at.get(each, -1) < at}
    assert not gone & with_requests.keys()
