"""Ids that are one customer's, in the loop of a partition: what becomes of records, rows and statements."""

from __future__ import annotations

import json
from collections.abc import Mapping

from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.adapters.record_blocks import RecordBlock
from stream_app.adapters.topics import TopicNames
from stream_app.contracts.decoding import Decoder
from stream_app.contracts.handovers import decode_handover, encode_handover, with_alias, with_customer
from stream_app.contracts.inputs.identities import IDENTITIES
from stream_app.contracts.inputs.table import INPUT_CONTRACTS
from stream_app.contracts.outputs.table import OUTPUT_MODELS
from stream_app.contracts.policy import DecodingPolicy
from stream_app.core.clock import format_instant
from stream_app.core.handing_over import Handed
from stream_app.core.partition import Partition
from stream_app.core.weaving import Weaver
from stream_app.worker.identity_follower import IdentityFollower
from stream_app.worker.intake import Intake, scan_rows
from stream_app.worker.joining import Joiner
from tests.segmentations.examples import COLD_START
from tests.simulation.inputs import partition_of
from tests.support.events import START_MS, engagement
from tests.worker.memory import Record, payload

PARTITIONS = 4
TOPICS = TopicNames("t-", "segmenter", with_identities=True)
INPUTS = (*INPUT_CONTRACTS, "handovers")
HERE, ELSEWHERE = "c1", "c2"
HOME = partition_of(HERE.encode(), PARTITIONS)
ALIAS = next(f"a{n}" for n in range(99) if partition_of(f"a{n}".encode(), PARTITIONS) == HOME)


def statement(offset: int, alias: str, customer_id: str, key: str | None = None, day: int = 0) -> Record:
    at = format_instant(START_MS + day)
    value = json.dumps({"alias": alias, "customer_id": customer_id, "observed_at": at}).encode()
    return Record(offset, value, (key or customer_id).encode(), START_MS)


def follower() -> IdentityFollower:
    decoder = Decoder(IDENTITIES, DecodingPolicy())
    return IdentityFollower(KafkaConnection("nowhere:1"), TOPICS.identities, decoder, Weaver(), PARTITIONS)


def test_those_who_follow_hear_of_ids_that_go_by_another_one_and_of_nothing_before_the_start() -> None:
    known = follower()
    heard: list[Mapping[str, int]] = []
    known.subscribe(heard.append)
    known.read([statement(0, "a", "b")])
    known.is_read.set()
    known.read([statement(3, "b", "c"), statement(4, "b", "c"), Record(5, None)])
    assert heard == [{"a": 3, "b": 3}]
    assert (known.taken, known.refused.total(), known.next_offset) == (3, 0, 6)
    found = {each: at for ids in known.aliases_of(range(PARTITIONS)).values() for each, at in ids.items()}
    assert found == {"a": 0, "b": 4}


def test_refused_statements_are_kept_until_they_are_told_of() -> None:
    known = follower()
    known.read([statement(0, "a", "a"), Record(1, b"{", b"x", START_MS), statement(2, "a", "b", key="x")])
    told = [(offset, each.error.reason) for offset, each in known.refusals_from(1)]
    assert told == [(1, "malformed"), (2, "key_mismatch")]
    known.forget_refusals(2)
    assert [offset for offset, _ in known.refusals_from(0)] == [2]


def test_statement_from_the_future_is_judged_by_the_time_at_which_it_came() -> None:
    known = follower()
    late = statement(0, "a", "b")._replace(timestamp=START_MS - 10**9)
    known.read([late])
    assert known.refused == {"time_in_future": 1}


def test_refusals_are_told_by_one_partition_once() -> None:
    known = follower()
    known.read([statement(0, "a", "a"), statement(1, "a", "b")])
    partition = Partition([COLD_START])
    names = [*INPUT_CONTRACTS, TOPICS.handovers]
    first, other = (Joiner(number, partition, known, TOPICS, names, 0) for number in (0, 1))
    assert [offset for offset, _ in first.refusals()] == [0]
    assert list(first.refusals()) == list(other.refusals()) == []
    assert first.statements == 2
    again = Joiner(0, partition, known, TOPICS, names, 0)  # nothing of it was written
    assert [offset for offset, _ in again.refusals()] == [0]
    again.note_committed(2)
    assert list(Joiner(0, partition, known, TOPICS, names, 0).refusals()) == []


def test_record_is_kept_as_it_was_fetched_until_it_is_folded() -> None:
    names = [*INPUT_CONTRACTS, TOPICS.handovers]
    decoders = {topic: Decoder(contract, DecodingPolicy()) for topic, contract in INPUT_CONTRACTS.items()}
    intake = Intake(HOME, dict.fromkeys(names, 0), decoders, PARTITIONS, handovers=TOPICS.handovers)
    values = [payload(engagement(day, HERE)) for day in range(4)]
    for start in (0, 2):
        records = [Record(start + n, values[start + n], HERE.encode(), 7, [("h", b"1")]) for n in range(2)]
        intake.feed("engagements", RecordBlock.of(records), START_MS * 2)
    place = names.index("engagements")
    assert [intake.record_at(place, offset).value for offset in range(4)] == values
    assert intake.record_at(place, 3).headers == [("h", b"1")]
    intake.forget(dict.fromkeys(names, 2))
    assert intake.record_at(place, 2).value == values[2]
    assert intake.record_at(place, 1).value != values[1]


def test_what_is_no_row_is_refused_on_the_topic_of_rows() -> None:
    handed = Handed("a", "b", 5, b"row")
    OUTPUT_MODELS["identity-handovers"].model_validate_json(encode_handover(handed))
    assert decode_handover(encode_handover(handed)) == handed
    block = RecordBlock.of([Record(0, encode_handover(handed)), Record(1, b"{}"), Record(2, None)])
    scanned = scan_rows(block)
    assert [each.error.reason for each in scanned.others if hasattr(each, "error")] == ["malformed"]
    assert int(scanned.records["at_ms"][0]) == 5


def test_record_that_is_passed_on_says_the_same_of_another_customer() -> None:
    value = b'{"event_id": "e", "customer_id": "a", "total": 1.10, "big": 12345678901234567890, "text": "\\u00e9"}'
    passed_on = with_customer(value, 'c"1')
    assert (
        passed_on == b'{"event_id":"e","customer_id":"c\\"1","total":1.10,"big":12345678901234567890,"text":"\\u00e9"}'
    )
    assert with_customer(b'{"order_id":"o"}', "c1") == b'{"order_id":"o"}'
    assert with_alias(with_alias([("h", b"1")], "a"), "b") == [("h", b"1"), ("alias", b"a")]
