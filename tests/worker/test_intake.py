"""From fetched records to chunks: merged by time whatever was fetched first, contiguous, and nothing left out."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from unicodedata import normalize

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from stream_app.adapters.record_blocks import RecordBlock
from stream_app.contracts.decoding import Decoder
from stream_app.contracts.inputs.table import INPUT_CONTRACTS
from stream_app.contracts.policy import DecodingPolicy
from stream_app.core.clock import format_instant
from stream_app.core.events import Event
from stream_app.core.records import Content, Rejection, Skipped
from stream_app.worker import intake as intake_module
from stream_app.worker.intake import InputChunk, Intake, Misplaced
from tests.support.batches import contents_of
from tests.support.events import START_MS, engagement, instant, profile, purchase
from tests.worker.memory import TOPICS, Record, payload

PURCHASES, ENGAGEMENTS, PROFILES, CONSENTS, *_ = TOPICS.inputs
DECODERS = {
    TOPICS.input_topic(contract): Decoder(INPUT_CONTRACTS[contract], DecodingPolicy()) for contract in INPUT_CONTRACTS
}
NOW_MS = START_MS + 10**12
EVERYTHING = frozenset(TOPICS.inputs)
MINUTE_DAYS = 1 / 1_440


def intake_at(start: int = 0, partitions: int = 1) -> Intake:
    return Intake(0, dict.fromkeys(TOPICS.inputs, start), DECODERS, partitions, watermark_ms=START_MS - 1)


def feed(intake: Intake, topic: str, records: Sequence[Record], now_ms: int = NOW_MS) -> None:
    """Hand over records as they are fetched."""
    intake.feed(topic, RecordBlock.of(records), now_ms)


def home_of(key: str, partitions: int) -> int:
    """Return the partition that Kafka's own producers send a key to."""
    return int((murmur2(key.encode()) & 0x7FFFFFFF) % partitions)


def customer_of(partition: int, partitions: int) -> str:
    """Return a customer whose records Kafka's own producers would send to a partition."""
    return next(f"c{number}" for number in range(1_000) if home_of(f"c{number}", partitions) == partition)


def record_at(topic: str, offset: int, minute: int) -> Record:
    day = minute * MINUTE_DAYS
    if topic == PROFILES:
        return Record(offset, payload(profile(day, offset=offset)))
    if topic == TOPICS.privacy_requests:
        said = {"request_id": f"r{offset}", "type": "erase", "customer_id": "c1"}
        return Record(offset, json.dumps(said | {"requested_at": format_instant(instant(day))}).encode())
    if topic == CONSENTS:
        said = {"customer_id": "c1", "purpose": "email", "decision": "granted"}
        return Record(offset, json.dumps(said | {"observed_at": format_instant(instant(day))}).encode())
    make = purchase if topic == PURCHASES else engagement
    return Record(offset, payload(make(day, event_id=f"{topic} {offset}")))


def taken(intake: Intake, drained: Collection[str] = EVERYTHING, records_max: int = 1_000) -> list[InputChunk]:
    return list(intake.emit_chunks(frozenset(drained), records_max, 0.0))


def places(chunks: Sequence[InputChunk]) -> list[tuple[str, int]]:
    """Return topic and offset of all records in order."""
    return [
        (TOPICS.inputs[source], offset)
        for chunk in chunks
        for source, offset in zip(chunk.batch.sources.tolist(), chunk.batch.offsets.tolist(), strict=True)
    ]


def contents(chunks: Sequence[InputChunk]) -> list[Content]:
    return [content for chunk in chunks for content in contents_of(chunk.batch)]


def assert_contiguous(chunks: Sequence[InputChunk], start: int = 0) -> None:
    """Check that each chunk begins where the one before ended, and ends behind its own last records."""
    ends = dict.fromkeys(TOPICS.inputs, start)
    for chunk in chunks:
        assert chunk.start == ends
        for topic, offset in places([chunk]):
            assert offset >= ends[topic]
            ends[topic] = offset + 1
        assert chunk.end == ends


def merged_by_hand(logs: dict[str, list[tuple[Record, int | None]]]) -> list[tuple[str, int]]:
    """Return the order that the logs as wholes have: by the latest time so far in the topic, then by topic."""
    keyed = []
    for number, topic in enumerate(TOPICS.inputs):
        latest = -1
        for record, minute in logs[topic]:
            latest = latest if minute is None else max(latest, minute)
            keyed.append((latest, number, record.offset))
    return [(TOPICS.inputs[number], offset) for _, number, offset in sorted(keyed)]


@st.composite
def backlogs(draw: st.DrawFn) -> dict[str, list[tuple[Record, int | None]]]:
    """Draw all logs: mostly ascending times with ties, some refused records, and offsets with gaps."""
    logs: dict[str, list[tuple[Record, int | None]]] = {}
    for topic in TOPICS.inputs:
        offset, minute, log = 0, 0, []
        for _ in range(draw(st.integers(0, 12))):
            offset += draw(st.sampled_from([0, 0, 0, 3]))
            minute = max(0, minute + draw(st.sampled_from([0, 0, 1, 2, 5, -2])))
            bad = draw(st.sampled_from([False, False, False, True]))
            record = Record(offset, b"{") if bad else record_at(topic, offset, minute)
            log.append((record, None if bad else minute))
            offset += 1
        logs[topic] = log
    return logs


@given(logs=backlogs(), data=st.data())
def test_backlog_is_merged_by_time_whatever_is_fetched_first(
    logs: dict[str, list[tuple[Record, int | None]]], data: st.DataObject
) -> None:
    intake = intake_at()
    left = {topic: [record for record, _ in log] for topic, log in logs.items()}
    chunks: list[InputChunk] = []
    while any(left.values()):
        topic = data.draw(st.sampled_from([topic for topic, records in left.items() if records]))
        count = data.draw(st.integers(1, len(left[topic])))
        feed(intake, topic, left[topic][:count])
        del left[topic][:count]
        if data.draw(st.booleans()):
            drained = {topic for topic, records in left.items() if not records}
            chunks += taken(intake, drained, records_max=data.draw(st.integers(1, 8)))
    chunks += taken(intake)
    assert places(chunks) == merged_by_hand(logs)
    assert_contiguous(chunks)
    assert intake.held_records == 0


@given(logs=backlogs(), data=st.data())
def test_stream_that_is_drained_again_and_again_loses_nothing_and_keeps_each_topics_order(
    logs: dict[str, list[tuple[Record, int | None]]], data: st.DataObject
) -> None:
    intake = intake_at()
    left = {topic: [record for record, _ in log] for topic, log in logs.items()}
    chunks: list[InputChunk] = []
    while any(left.values()):
        topic = data.draw(st.sampled_from([topic for topic, records in left.items() if records]))
        feed(intake, topic, [left[topic].pop(0)])
        drained = data.draw(st.sets(st.sampled_from(TOPICS.inputs)))
        chunks += taken(intake, drained, records_max=data.draw(st.integers(1, 8)))
    chunks += taken(intake)
    assert_contiguous(chunks)
    for topic, log in logs.items():
        assert [offset for name, offset in places(chunks) if name == topic] == [record.offset for record, _ in log]


def test_topic_that_is_not_drained_is_waited_for() -> None:
    intake = intake_at()
    feed(intake, PURCHASES, [record_at(PURCHASES, 0, 5)])
    assert taken(intake, EVERYTHING - {ENGAGEMENTS}) == []
    assert intake.held_records == 1
    feed(intake, ENGAGEMENTS, [record_at(ENGAGEMENTS, 0, 3)])
    assert taken(intake, EVERYTHING - {ENGAGEMENTS}) == []  # more of that instant may come
    feed(intake, ENGAGEMENTS, [record_at(ENGAGEMENTS, 1, 7)])
    assert places(taken(intake, EVERYTHING - {ENGAGEMENTS})) == [(ENGAGEMENTS, 0), (PURCHASES, 0)]


def test_records_of_one_instant_are_ordered_by_topic_though_more_of_them_are_still_to_be_fetched() -> None:
    intake = intake_at()
    feed(intake, ENGAGEMENTS, [record_at(ENGAGEMENTS, 0, 5)])
    feed(intake, PURCHASES, [record_at(PURCHASES, 0, 5)])
    early = taken(intake, EVERYTHING - {PURCHASES})
    feed(intake, PURCHASES, [record_at(PURCHASES, 1, 5)])
    assert places([*early, *taken(intake)]) == [(PURCHASES, 0), (PURCHASES, 1), (ENGAGEMENTS, 0)]


def test_chunks_are_no_larger_than_asked_for() -> None:
    intake = intake_at(start=40)
    feed(intake, PURCHASES, [record_at(PURCHASES, 40 + index, index) for index in range(10)])
    chunks = taken(intake, records_max=4)
    assert [len(chunk.batch) for chunk in chunks] == [4, 4, 2]
    assert_contiguous(chunks, start=40)


def test_tombstone_is_skipped_and_bad_record_is_refused_in_their_places() -> None:
    intake = intake_at()
    records = [
        Record(0, None),
        record_at(PURCHASES, 1, 3),
        Record(2, b"nonsense", b"key", 77),
        Record(3, payload(purchase(1, customer_id="c2"))),
        Record(4, payload(purchase(1)), None),
    ]
    feed(intake, PURCHASES, records)
    tombstone, event, malformed, mismatched, keyless = contents(taken(intake))
    assert tombstone == Skipped(None)
    assert isinstance(event, Event)
    assert isinstance(malformed, Rejection)
    assert (malformed.error.reason, malformed.payload, malformed.key, malformed.timestamp_ms) == (
        "malformed",
        b"nonsense",
        b"key",
        77,
    )
    assert isinstance(mismatched, Rejection)
    assert isinstance(keyless, Rejection)
    assert {mismatched.error.reason, keyless.error.reason} == {"key_mismatch"}


def test_record_ahead_of_the_clock_is_refused_and_holds_nothing_back() -> None:
    intake = intake_at()
    feed(intake, PURCHASES, [record_at(PURCHASES, 0, 600)], START_MS)
    feed(intake, ENGAGEMENTS, [record_at(ENGAGEMENTS, 0, 1)], START_MS)
    (chunk,) = taken(intake)
    assert [type(content) for content in contents_of(chunk.batch)] == [Rejection, Event]
    assert chunk.batch.watermarks_ms[0] == START_MS - 1


def test_record_of_a_customer_who_belongs_elsewhere_is_to_be_passed_on() -> None:
    intake = intake_at(partitions=4)
    mine, theirs = (customer_of(partition, 4) for partition in (0, 3))
    astray = Record(0, payload(purchase(0, customer_id=theirs)), theirs.encode(), 77, [("trace", b"1")])
    own = Record(1, payload(purchase(0, customer_id=mine)), mine.encode())
    feed(intake, PURCHASES, [astray, own])
    first, second = contents(taken(intake))
    assert isinstance(first, Skipped)
    assert isinstance(first.record, Misplaced)
    assert first.record[:2] == (PURCHASES, 3)
    passed_on = first.record.record
    assert (passed_on.offset, passed_on.value, passed_on.key, passed_on.timestamp, passed_on.headers) == astray
    assert isinstance(second, Event)
    assert second.customer_id == mine


def test_customer_whose_id_was_sent_in_another_form_is_passed_on_to_where_it_belongs() -> None:
    theirs, sent = next(
        (meant, f" {meant}")
        for meant in (f"c{number}" for number in range(1_000))
        if home_of(f" {meant}", 4) == 0 and home_of(meant, 4) == 3
    )
    record = Record(0, payload(purchase(0, customer_id=sent)), sent.encode())
    here, there = intake_at(partitions=4), Intake(3, dict.fromkeys(TOPICS.inputs, 0), DECODERS, 4)
    feed(here, PURCHASES, [record])
    (astray,) = contents(taken(here))
    assert isinstance(astray, Skipped)
    assert astray.record[:2] == (PURCHASES, 3)
    feed(there, PURCHASES, [Record(0, record.value, record.key)])
    (event,) = contents(taken(there))
    assert isinstance(event, Event)
    assert event.customer_id == theirs


PLAIN_IDS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20).map(
    lambda text: normalize("NFC", f"c{text}")
)


@given(PLAIN_IDS, st.integers(1, 40))
def test_customers_belong_where_kafkas_own_producers_send_them(customer_id: str, partitions: int) -> None:
    intake = intake_at(partitions=partitions)
    bought = purchase(0, customer_id=customer_id, order_id="o", event_id="e")
    feed(intake, PURCHASES, [Record(0, payload(bought), customer_id.encode())])
    (content,) = contents(taken(intake))
    home = home_of(customer_id, partitions)
    if home == 0:
        assert isinstance(content, Event)
    else:
        assert isinstance(content, Skipped)
        assert content.record[:2] == (PURCHASES, home)


def test_misplaced_record_does_not_move_time() -> None:
    intake = intake_at(partitions=4)
    astray = customer_of(3, 4)
    feed(intake, PURCHASES, [Record(0, payload(purchase(0, customer_id=astray)), astray.encode())])
    (chunk,) = taken(intake)
    assert chunk.batch.watermarks_ms.tolist() == [START_MS - 1]


def test_topic_that_holds_much_is_full_until_it_is_taken_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "HELD_RECORDS_MAX", 3)
    intake = intake_at()
    feed(intake, PURCHASES, [record_at(PURCHASES, index, index) for index in range(3)])
    assert intake.is_full(PURCHASES)
    assert not intake.is_full(ENGAGEMENTS)
    assert len(places(taken(intake))) == 3
    assert not intake.is_full(PURCHASES)


def test_what_is_expected_next_follows_on_what_was_fed() -> None:
    intake = intake_at(start=5)
    assert intake.fetched_to(PURCHASES) == 5
    feed(intake, PURCHASES, [record_at(PURCHASES, 5, 0), record_at(PURCHASES, 9, 0)])
    assert intake.fetched_to(PURCHASES) == 10
