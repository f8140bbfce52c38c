"""From fetched records to chunks: merged by time whatever was fetched first, contiguous, and nothing left out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.decoding import Decoder
from stream_app.contracts.inputs.table import INPUT_CONTRACTS
from stream_app.contracts.policy import DecodingPolicy
from stream_app.core.clock import NO_TIME
from stream_app.core.events import Event
from stream_app.core.records import Content, Rejection, Skipped
from stream_app.worker import intake as intake_module
from stream_app.worker.intake import InputChunk, Intake, Misplaced
from tests.support.events import START_MS, engagement, purchase
from tests.worker.memory import TOPICS, Record, payload

PURCHASES, ENGAGEMENTS = TOPICS.inputs
DECODERS = {
    TOPICS.input_topic(contract): Decoder(INPUT_CONTRACTS[contract], DecodingPolicy()) for contract in INPUT_CONTRACTS
}
NOW_MS = START_MS + 10**12
EVERYTHING = frozenset(TOPICS.inputs)
MINUTE_DAYS = 1 / 1_440


def intake_at(
    start: int = 0,
    is_known: Callable[[str], bool] = lambda _: True,
    partition_of: Callable[[bytes], int] = lambda _: 0,
) -> Intake:
    return Intake(0, dict.fromkeys(TOPICS.inputs, start), DECODERS, is_known, partition_of)


def record_at(topic: str, offset: int, minute: int) -> Record:
    make = purchase if topic == PURCHASES else engagement
    event = make(minute * MINUTE_DAYS, event_id=f"{topic} {offset}")
    return Record(offset, payload(event))


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
    return [content for chunk in chunks for content in chunk.batch.contents]


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
    """Draw both logs: mostly ascending times with ties, some refused records, and offsets with gaps."""
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
        intake.feed(topic, left[topic][:count], NOW_MS)
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
        intake.feed(topic, [left[topic].pop(0)], NOW_MS)
        drained = data.draw(st.sets(st.sampled_from(TOPICS.inputs)))
        chunks += taken(intake, drained, records_max=data.draw(st.integers(1, 8)))
    chunks += taken(intake)
    assert_contiguous(chunks)
    for topic, log in logs.items():
        assert [offset for name, offset in places(chunks) if name == topic] == [record.offset for record, _ in log]


def test_topic_that_is_not_drained_is_waited_for() -> None:
    intake = intake_at()
    intake.feed(PURCHASES, [record_at(PURCHASES, 0, 5)], NOW_MS)
    assert taken(intake, {PURCHASES}) == []
    assert intake.held_records == 1
    intake.feed(ENGAGEMENTS, [record_at(ENGAGEMENTS, 0, 3)], NOW_MS)
    assert places(taken(intake, {PURCHASES})) == [(ENGAGEMENTS, 0)]
    intake.feed(ENGAGEMENTS, [record_at(ENGAGEMENTS, 1, 7)], NOW_MS)
    assert places(taken(intake, {PURCHASES})) == [(PURCHASES, 0), (ENGAGEMENTS, 1)]


def test_records_of_one_instant_are_ordered_by_topic_though_more_of_them_are_still_to_be_fetched() -> None:
    intake = intake_at()
    intake.feed(ENGAGEMENTS, [record_at(ENGAGEMENTS, 0, 5)], NOW_MS)
    intake.feed(PURCHASES, [record_at(PURCHASES, 0, 5)], NOW_MS)
    early = taken(intake, {ENGAGEMENTS})
    intake.feed(PURCHASES, [record_at(PURCHASES, 1, 5)], NOW_MS)
    assert places([*early, *taken(intake)]) == [(PURCHASES, 0), (PURCHASES, 1), (ENGAGEMENTS, 0)]


def test_chunks_are_no_larger_than_asked_for() -> None:
    intake = intake_at(start=40)
    intake.feed(PURCHASES, [record_at(PURCHASES, 40 + index, index) for index in range(10)], NOW_MS)
    chunks = taken(intake, records_max=4)
    assert [len(chunk.batch.contents) for chunk in chunks] == [4, 4, 2]
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
    intake.feed(PURCHASES, records, NOW_MS)
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
    intake.feed(PURCHASES, [record_at(PURCHASES, 0, 600)], START_MS)
    intake.feed(ENGAGEMENTS, [record_at(ENGAGEMENTS, 0, 1)], START_MS)
    (chunk,) = taken(intake)
    assert [type(content) for content in chunk.batch.contents] == [Rejection, Event]
    assert chunk.batch.watermarks_ms[0] == NO_TIME


def test_record_of_a_customer_who_belongs_elsewhere_is_to_be_passed_on() -> None:
    homes = {b"c1": 3, b"c2": 0}
    intake = intake_at(is_known=lambda _: False, partition_of=lambda key: homes[key])
    astray = record_at(PURCHASES, 0, 1)._replace(headers=[("trace", b"1")])
    mine = Record(1, payload(purchase(0, customer_id="c2")), b"c2")
    intake.feed(PURCHASES, [astray, mine], NOW_MS)
    first, second = contents(taken(intake))
    assert first == Skipped(Misplaced(PURCHASES, 3, astray))
    assert isinstance(second, Event)


def test_customer_with_a_row_here_belongs_here_unhashed() -> None:
    def partition_of(_: bytes) -> int:
        raise AssertionError("hashed")

    intake = intake_at(is_known=lambda customer_id: customer_id == "c1", partition_of=partition_of)
    intake.feed(PURCHASES, [record_at(PURCHASES, 0, 1)], NOW_MS)
    assert [type(content) for content in contents(taken(intake))] == [Event]


def test_misplaced_record_does_not_move_time() -> None:
    intake = intake_at(is_known=lambda _: False, partition_of=lambda _: 1)
    intake.feed(PURCHASES, [record_at(PURCHASES, 0, 600)], NOW_MS)
    (chunk,) = taken(intake)
    assert chunk.batch.watermarks_ms.tolist() == [NO_TIME]


def test_topic_that_holds_much_is_full_until_it_is_taken_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "HELD_RECORDS_MAX", 3)
    intake = intake_at()
    intake.feed(PURCHASES, [record_at(PURCHASES, index, index) for index in range(3)], NOW_MS)
    assert intake.is_full(PURCHASES)
    assert not intake.is_full(ENGAGEMENTS)
    assert len(places(taken(intake))) == 3
    assert not intake.is_full(PURCHASES)


def test_what_is_expected_next_follows_on_what_was_fed() -> None:
    intake = intake_at(start=5)
    assert intake.fetched_to(PURCHASES) == 5
    intake.feed(PURCHASES, [record_at(PURCHASES, 5, 0), record_at(PURCHASES, 9, 0)], NOW_MS)
    assert intake.fetched_to(PURCHASES) == 10
