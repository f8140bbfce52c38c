"""Record batches in and out by the library: what aiokafka and confluent-kafka read and write, and nothing damaged."""

from __future__ import annotations

import asyncio
import ctypes
import random
import struct
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as ConfluentPartition
from confluent_kafka.admin import AdminClient, NewTopic
from hypothesis import given
from hypothesis import strategies as st

from stream_app.adapters.delivery import OutgoingRecord, TransactionalDelivery
from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.adapters.record_batches import BlocksOf, FetchedRecords, HeldRecords, decompress
from stream_app.adapters.record_blocks import BlockRecord, RecordBlock, encode_headers
from stream_app.errors import BatchDamaged, BatchFormatUnknown
from stream_app.native import batches as native
from stream_app.native.library import function

PATIENCE_SECONDS = 180
BATCH_BYTES = 900_000
TP = TopicPartition("purchases", 0)
READ_COMMITTED, READ_UNCOMMITTED = 1, 0
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


class Stored(NamedTuple):
    """What a log has of a record."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


def plain(record: Any) -> tuple[Any, ...]:
    return (record.offset, record.timestamp, record.key, record.value, list(record.headers))


def plains(records: Any) -> list[tuple[Any, ...]]:
    return [plain(record) for record in records]


texts = st.none() | st.binary(max_size=70)
headers = st.lists(st.tuples(st.text(max_size=5), texts), max_size=3)
contents = st.tuples(st.integers(-1, 2**45), texts, texts, headers)
logs = st.lists(contents, min_size=1, max_size=12).map(
    lambda drawn: [Stored(offset, *content) for offset, content in enumerate(drawn)]
)


def encode(records: Sequence[Stored], bytes_max: int = BATCH_BYTES, base_offset: int = 0) -> bytes:
    """Return records as a log has them, by the library: batches that follow on each other."""
    block = RecordBlock.of(records)
    log = b""
    for batch, count in native.build_batches(block.buffer, block.records, bytes_max):
        native.seal_batch(batch, 7, 1, base_offset, is_transactional=True)
        log += struct.pack(">q", base_offset) + batch.tobytes()[8:]
        base_offset += count
    return log


def theirs(
    records: Sequence[Stored], codec: str = "none", *, is_transactional: bool = False, producer: int = -1
) -> bytes:
    """Return records as a log has them, by aiokafka: one batch."""
    builder = DefaultRecordBatchBuilder(2, CODECS[codec], is_transactional, producer, 0, 0, 1 << 20)
    for number, record in enumerate(records):
        assert builder.append(number, record.timestamp, record.key, record.value, list(record.headers)) is not None
    return struct.pack(">q", records[0].offset) + bytes(builder.build())[8:]


def sealed(batch: bytes) -> bytes:
    """Return a batch whose checksum is right again."""
    return batch[:17] + struct.pack(">I", calc_crc32c(batch[21:])) + batch[21:]


def marker(offset: int, producer: int, *, is_abort: bool) -> bytes:
    """Return the control batch that ends a transaction."""
    key = struct.pack(">HH", 0, 0 if is_abort else 1)
    batch = bytearray(theirs([Stored(offset, 0, key, b"\0" * 6)], is_transactional=True, producer=producer))
    batch[22] |= native.CONTROL
    return sealed(bytes(batch))


def unpacked(
    log: bytes,
    fetch_offset: int = 0,
    aborted: Sequence[tuple[int, int]] = (),
    isolation_level: int = READ_COMMITTED,
    *,
    asks: bool = True,
) -> tuple[list[Any], int]:
    """Return what a consumer gets of a fetch, and where it fetches next."""
    kept = BlocksOf(["purchases"]) if asks else None
    records = FetchedRecords(TP, HeldRecords(log), list(aborted), fetch_offset, kept, None, True, isolation_level)
    return list(records), records.next_fetch_offset


def assert_as_aiokafka(log: bytes, *arguments: Any) -> list[tuple[Any, ...]]:
    """Check that a block has what aiokafka would have handed out record by record, and return it."""
    expected, expected_next = unpacked(log, *arguments, asks=False)
    blocks, after = unpacked(log, *arguments)
    assert all(isinstance(block, RecordBlock) for block in blocks)
    found = [record for block in blocks for record in plains(block)]
    assert (found, after) == (plains(expected), expected_next)
    return found


# --- the library ------------------------------------------------------------------------------------------------------


@given(logs, st.sampled_from([100, 300, BATCH_BYTES]))
def test_what_is_built_is_read_back_by_the_library_and_by_aiokafka(records: list[Stored], bytes_max: int) -> None:
    log = encode(records, bytes_max)
    batches = native.find_batches(log)
    assert plains(RecordBlock(log, native.read_records(log, batches))) == plains(records)
    theirs_found: list[Any] = []
    memory = MemoryRecords(log)
    while memory.has_next():
        batch = memory.next_batch()
        assert batch.validate_crc()
        assert (batch.producer_id, batch.producer_epoch, batch.is_transactional) == (7, 1, True)
        assert batch.max_timestamp == max(r.timestamp for r in records[batch.base_offset : batch.next_offset])
        theirs_found += batch
    assert plains(theirs_found) == plains(records)


@given(logs)
def test_what_aiokafka_builds_is_read_and_built_by_the_library_byte_for_byte(records: list[Stored]) -> None:
    log = theirs(records)
    block = RecordBlock(log, native.read_records(log, native.find_batches(log)))
    assert plains(block) == plains(records)
    ((batch, count),) = native.build_batches(block.buffer, block.records, BATCH_BYTES)
    native.seal_batch(batch, -1, -1, -1, is_transactional=False)
    ours = bytearray(batch.tobytes())
    ours[51:57] = log[51:57]  # aiokafka's builder says 0 for the epoch and sequence of nobody
    assert count == len(records)
    assert sealed(bytes(ours))[17:] == log[17:]


@given(logs, st.integers(61, 400) | st.just(BATCH_BYTES))
def test_batches_stay_below_the_limit_but_for_single_records(records: list[Stored], bytes_max: int) -> None:
    block = RecordBlock.of(records)
    built = list(native.build_batches(block.buffer, block.records, bytes_max))
    assert all(len(batch) <= bytes_max or count == 1 for batch, count in built)
    assert sum(count for _, count in built) == len(records)
    assert bytes_max < BATCH_BYTES or len(built) == 1


@given(st.binary(max_size=200))
def test_checksum_is_the_one_of_aiokafka_with_and_without_the_processors_instruction(data: bytes) -> None:
    number = ctypes.c_int64
    crc = function("seg_crc32c", ctypes.c_uint32, ctypes.c_char_p, number, ctypes.c_int32)
    own = function("seg_crc_kind", ctypes.c_int32)()
    assert crc(data, len(data), 1) == crc(data, len(data), own) == calc_crc32c(data)


def test_record_on_its_own_is_taken_from_a_block_as_from_a_list() -> None:
    records = [Stored(5, 10, None, b"v"), Stored(7, 11, b"k", None, [("h", None)]), Stored(9, 12, b"", b"")]
    block = RecordBlock.of(records)
    assert plain(block[-1]) == plain(records[-1])
    assert plains(block[1:]) == plains(block.since(6)) == plains(records[1:])
    assert len(block.since(10)) == 0


def test_header_whose_key_is_no_text_is_passed_on_as_it_was() -> None:
    encoded = b"\x02\x04\xff\xfe\x02x"
    block = RecordBlock.to_send([BlockRecord(0, 0, b"k", b"v", encoded)])
    assert block[0].encoded_headers == encoded == encode_headers(block[0].headers)


# --- damage -----------------------------------------------------------------------------------------------------------


def read(log: bytes, *, check_crc: bool = True) -> list[tuple[Any, ...]]:
    batches = native.find_batches(log, check_crc=check_crc)
    return plains(RecordBlock(log, native.read_records(log, batches)))


@given(logs, st.data())
def test_byte_that_changed_on_the_way_is_refused(records: list[Stored], data: st.DataObject) -> None:
    log = bytearray(encode(records))
    at = data.draw(st.integers(21, len(log) - 1))
    log[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BatchDamaged):
        read(bytes(log))


@given(logs, st.integers(1, 4), st.randoms())
def test_hostile_bytes_are_refused_or_told_within_their_bounds(
    records: list[Stored], changes: int, drawn: random.Random
) -> None:
    log = bytearray(encode(records, 200))
    for _ in range(changes):
        log[drawn.randrange(len(log))] = drawn.choice([0, 1, 2, 127, 128, 254, 255, drawn.randrange(256)])
    hostile = bytes(log)
    try:
        batches = native.find_batches(hostile, check_crc=False)
        buffer = decompress(hostile, batches)
        found = native.read_records(buffer, batches)
    except (BatchDamaged, BatchFormatUnknown):
        return
    for at, size in (
        (native.KEY_AT, native.KEY_SIZE),
        (native.VALUE_AT, native.VALUE_SIZE),
        (native.HEADERS_AT, native.HEADERS_SIZE),
    ):
        assert np.all(found[at] >= 0)
        assert np.all(found[at] + np.maximum(found[size], 0) <= len(buffer))
    assert np.all(np.diff(found[native.OFFSET]) > 0)
    assert all(record.headers is not None for record in RecordBlock(buffer, found))


@given(logs, st.data())
def test_batch_that_is_cut_off_is_left_for_the_next_fetch(records: list[Stored], data: st.DataObject) -> None:
    log = encode(records, 200)
    batches = native.find_batches(log)
    kept = data.draw(st.integers(0, len(log)))
    whole = [batch for batch in batches if batch["records_at"] + batch["records_size"] <= kept]
    assert len(native.find_batches(log[:kept])) == len(whole)


HEADER = struct.Struct(">qiibIhiqqqhii")
FIELDS = ("base", "length", "leader", "magic", "crc", "attributes", "last_delta", "first", "max", "pid", "epoch", "seq")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base", -1),
        ("base", 2**63 - 1),
        ("length", 48),
        ("length", -1),
        ("length", -(2**31)),
        ("last_delta", -1),
        ("last_delta", 0),
        ("count", -1),
        ("count", 1),
        ("count", 3),
        ("count", 2**31 - 1),
    ],
)
def test_header_that_contradicts_its_records_is_refused(field: str, value: int) -> None:
    log = encode([Stored(0, 1, b"k", b"v"), Stored(1, 2, b"k", b"v")])
    fields = dict(zip((*FIELDS, "count"), HEADER.unpack_from(log), strict=True)) | {field: value}
    with pytest.raises(BatchDamaged):
        read(sealed(HEADER.pack(*fields.values()) + log[HEADER.size :]))


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\x0e\0\0\0\x02k\x01",  # ends before its headers
        b"\x12\0\0\0\x02k\x02v\0\0",  # longer than its parts
        b"\x10\0\0\0\x02k\x02v\x01",  # a negative number of headers
        b"\x10\0\0\0\x02k\x02v\xfe\xff\xff\xff\x0f",
        b"\x14\0\0\0\x02k\x02v\x02\x01\x01",  # a header without a key
        b"\x10\0\0\0\xfe\xff\xff\xff\x0fk\x02v\0",  # a key of two gigabytes
        b"\x10\0\0\x02\x02k\x02v\0",  # an offset beyond the batch's last one
        b"\x10\0\0\x01\x02k\x02v\0",  # and before its first
        b"\x10\0\0" + b"\xff" * 10 + b"\x01\x02k\x02v\0",  # a number without an end
    ],
)
def test_record_that_is_not_what_it_says_is_refused(record: bytes) -> None:
    log = encode([Stored(0, 1, b"k", b"v")])
    assert log[61:] == b"\x10\0\0\0\x02k\x02v\0"
    damaged = bytearray(log[:61] + record)
    damaged[8:12] = struct.pack(">i", len(damaged) - 12)
    with pytest.raises(BatchDamaged):
        read(sealed(bytes(damaged)))


def test_columns_that_lead_out_of_the_buffer_are_refused() -> None:
    block = RecordBlock.of([Stored(0, 0, b"key", b"value", [("h", b"x")])])
    for column, value in (
        (native.KEY_AT, -1),
        (native.KEY_SIZE, 1 << 40),
        (native.VALUE_AT, 1 << 62),
        (native.VALUE_SIZE, len(block.buffer)),
        (native.HEADERS_AT, len(block.buffer)),
        (native.HEADERS_SIZE, -1),
    ):
        records = block.records.copy()
        records[column] = value
        with pytest.raises(ValueError, match="refuses"):
            list(native.build_batches(block.buffer, records, BATCH_BYTES))


# --- a fetch ----------------------------------------------------------------------------------------------------------

TWO = [Stored(0, 100, b"a", b"1"), Stored(1, 90, None, None, [("h", b"x"), ("h", None)])]
MORE = [Stored(2, 101, b"b", b"2" * 500), Stored(3, 103, b"", b"")]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("fetch_offset", range(4))
def test_compressed_batches_are_read_from_any_offset_in_their_middle(codec: str, fetch_offset: int) -> None:
    log = theirs(MORE, codec) + theirs([Stored(4, 104, b"c", b"3")])
    if fetch_offset <= 1:  # a broker begins with the batch that has the offset
        log = theirs(TWO, codec) + log
    assert assert_as_aiokafka(log, fetch_offset) == plains([*TWO, *MORE, Stored(4, 104, b"c", b"3")])[fetch_offset:]


def test_time_of_the_append_counts_where_the_topic_says_so() -> None:
    batch = bytearray(theirs(TWO))
    batch[22] |= native.APPEND_TIME
    assert [found[1] for found in assert_as_aiokafka(sealed(bytes(batch)))] == [100, 100]


def test_aborted_transactions_are_left_out_where_only_committed_records_are_read() -> None:
    def written(offset: int, producer: int) -> bytes:
        return theirs([Stored(offset, 0, b"k", b"%d" % offset)], is_transactional=True, producer=producer)

    log = (
        written(0, 1) + written(1, 2) + marker(2, 1, is_abort=True) + written(3, 1) + theirs([Stored(4, 0, b"k", b"4")])
    )
    log += marker(5, 1, is_abort=False) + written(6, 2) + marker(7, 2, is_abort=True) + marker(8, 3, is_abort=True)
    aborted = [(2, 1), (1, 0)]
    assert [found[0] for found in assert_as_aiokafka(log, 0, aborted, READ_COMMITTED)] == [3, 4]
    assert [found[0] for found in assert_as_aiokafka(log, 0, aborted, READ_UNCOMMITTED)] == [0, 1, 3, 4, 6]
    assert assert_as_aiokafka(marker(0, 1, is_abort=True)) == []


def test_control_batch_whose_record_was_compacted_away_is_passed_over() -> None:
    batch = bytearray(marker(0, 1, is_abort=True)[:61])
    batch[8:12], batch[57:61] = struct.pack(">i", 49), struct.pack(">i", 0)
    assert unpacked(sealed(bytes(batch)), 0, [(1, 0)]) == ([], 1)


def test_control_batch_without_a_marker_in_its_record_is_refused() -> None:
    batch = bytearray(theirs([Stored(0, 0, b"k", b"")], is_transactional=True, producer=1))
    batch[22] |= native.CONTROL
    with pytest.raises(CorruptRecordException):
        unpacked(sealed(bytes(batch)))


def test_damaged_fetch_is_fetched_again_from_where_it_began() -> None:
    log = bytearray(theirs(TWO) + theirs(MORE))
    log[-1] ^= 1
    records = FetchedRecords(TP, HeldRecords(bytes(log)), [], 1, BlocksOf(["purchases"]), None, True, READ_COMMITTED)
    with pytest.raises(CorruptRecordException, match="offset 1"):
        next(records)
    assert list(records) == []
    assert records.next_fetch_offset == 1


@pytest.mark.parametrize("codec", [*CODECS.values(), 5, 7])
def test_batch_that_only_claims_to_be_compressed_is_refused(codec: int) -> None:
    batch = bytearray(theirs(TWO))
    batch[22] |= codec
    if codec == 0:
        batch[70] ^= 255
    with pytest.raises(CorruptRecordException):
        unpacked(sealed(bytes(batch)))


@pytest.mark.parametrize("magic", [0, 1])
def test_batches_of_older_brokers_are_left_to_aiokafka(magic: int) -> None:
    builder = LegacyRecordBatchBuilder(magic, 0, 1 << 20)
    for number, record in enumerate(MORE):
        builder.append(number, record.timestamp, record.key, record.value)
    found, after = unpacked(bytes(builder.build()))
    assert [(record.offset, record.key, record.value) for record in found] == [(0, b"b", b"2" * 500), (1, b"", b"")]
    assert after == 2


def test_other_topics_and_consumers_get_records_one_by_one() -> None:
    other = FetchedRecords(
        TopicPartition("samples", 0), HeldRecords(theirs(TWO)), [], 0, BlocksOf(["purchases"]), None, True, 0
    )
    assert plains(other) == plains(TWO)
    keyed = FetchedRecords(TP, HeldRecords(theirs(TWO)), [], 0, lambda key: key and key * 2, None, True, 0)
    assert [record.key for record in keyed] == [b"aa", None]


# --- a broker ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def topic(kafka: str, topic_prefix: str) -> str:
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    name = f"{topic_prefix}records"
    admin.create_topics([NewTopic(name, 1, 1, config={"max.message.bytes": "4000000"})])[name].result(PATIENCE_SECONDS)
    return name


@asynccontextmanager
async def reader(kafka: str, topic: str, *, blocks: bool, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka, key_deserializer=BlocksOf([topic]) if blocks else None, **options
    )
    await consumer.start()
    consumer.assign([TopicPartition(topic, 0)])
    try:
        yield consumer
    finally:
        await consumer.stop()


async def read_on(
    consumer: AIOKafkaConsumer, topic: str, offset: int, end: int, *, blocks: bool
) -> list[tuple[Any, ...]]:
    """Return the records of a partition from an offset on, until the consumer's position is at an end."""
    tp = TopicPartition(topic, 0)
    consumer.seek(tp, offset)
    found: list[tuple[Any, ...]] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await consumer.position(tp) < end:
            for fetched in (await consumer.getmany(tp, timeout_ms=200)).values():
                for item in fetched:
                    assert isinstance(item, RecordBlock) is blocks
                    found += plains(item) if blocks else [plain(item)]
    return found


async def log_end(kafka: str, topic: str) -> int:
    async with reader(kafka, topic, blocks=False) as consumer:
        return int((await consumer.end_offsets([TopicPartition(topic, 0)]))[TopicPartition(topic, 0)])


async def assert_read_alike(
    kafka: str, topic: str, offsets: Sequence[int] = (0,), **options: Any
) -> list[tuple[Any, ...]]:
    """Check that blocks have from each offset on what aiokafka reads itself, and return all."""
    end = await log_end(kafka, topic)
    async with (
        reader(kafka, topic, blocks=True, **options) as ours,
        reader(kafka, topic, blocks=False, **options) as theirs,
    ):
        for offset in reversed(offsets):
            found = await read_on(ours, topic, offset, end, blocks=True)
            assert found == await read_on(theirs, topic, offset, end, blocks=False)
    return found


def produce(kafka: str, topic: str, records: Sequence[Stored], **options: Any) -> None:
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 50, "log_level": 0, **options})
    for record in records:
        producer.produce(
            topic, record.value, record.key, 0, timestamp=record.timestamp, headers=list(record.headers) or None
        )
    assert producer.flush(PATIENCE_SECONDS) == 0


def test_records_of_every_codec_and_producer_are_read_whole_and_from_within_a_batch(kafka: str, topic: str) -> None:
    drawn = random.Random(1)
    now_ms = time.time_ns() // 1_000_000
    records = [
        Stored(
            number,
            now_ms - number,
            drawn.choice([None, b"", b"key-%d" % number]),
            drawn.choice([None, b"", b"value " * drawn.choice([1, 20, 3000])]),
            drawn.choice([[], [("a", b"1"), ("é", None), ("a", b"")]]),
        )
        for number in range(300)
    ]
    records[150] = Stored(150, now_ms, b"large", drawn.randbytes(1_500_000))
    for start, codec in enumerate(CODECS):
        part = records[start * 60 : start * 60 + 60]
        produce(kafka, topic, part, **{"compression.type": codec, "message.max.bytes": 3_000_000})
    found = asyncio.run(assert_read_alike(kafka, topic, [0, 1, 59, 60, 61, 130, 151, 299]))
    assert found == plains(records)


def test_aborted_transactions_and_markers_are_passed_over(kafka: str, topic: str) -> None:
    async def write() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"{topic}-writer")
        await producer.start()
        for number, is_committed in enumerate([True, False, False, True, False, True]):
            await producer.begin_transaction()
            for _ in range(3):
                await producer.send_and_wait(topic, b"%d" % number, partition=0)
            await (producer.commit_transaction() if is_committed else producer.abort_transaction())
            produce(kafka, topic, [Stored(0, time.time_ns() // 1_000_000, None, b"plain")])
        await producer.stop()

    asyncio.run(write())
    committed = asyncio.run(assert_read_alike(kafka, topic, [0, 5, 9, 20], isolation_level="read_committed"))
    assert [value for *_, value, _ in committed if value != b"plain"] == [b"0"] * 3 + [b"3"] * 3 + [b"5"] * 3
    everything = asyncio.run(assert_read_alike(kafka, topic, isolation_level="read_uncommitted"))
    assert len(everything) == 6 * 4


def deliver(kafka: str, commits: Sequence[Any], transactional_id: str) -> None:
    async def write() -> None:
        delivery = TransactionalDelivery(KafkaConnection(kafka), transactional_id, 60)
        await delivery.open()
        for outgoing in commits:
            await delivery.commit(outgoing)
        await delivery.close()

    asyncio.run(write())


def test_what_a_delivery_writes_is_read_unchanged_by_confluent_and_aiokafka(kafka: str, topic: str) -> None:
    drawn = random.Random(2)
    first = [
        OutgoingRecord(
            drawn.choice([None, b"", b"k%d" % number]),
            drawn.choice([None, b"", b"x" * drawn.choice([1, 300, 9_000])]),
            drawn.choice([[], [("ce_id", b"1"), ("é", b"")]]),
        )
        for number in range(2_000)
    ]
    first[77] = OutgoingRecord(b"large", drawn.randbytes(1_200_000))
    again = RecordBlock.to_send([OutgoingRecord(b"block", b"1"), OutgoingRecord(b"block", None)])
    deliver(kafka, [{(topic, 0): first}, {(topic, 0): again}], f"{topic}-delivery")
    expected = [(record.key, record.value, list(record.headers)) for record in [*first, *again]]

    found = asyncio.run(assert_read_alike(kafka, topic, isolation_level="read_committed"))
    assert [content for _, _, *content in found] == [list(content) for content in expected]
    assert all(abs(each[1] - time.time_ns() // 1_000_000) < PATIENCE_SECONDS * 1_000 for each in found)

    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "reading", "enable.auto.commit": False})
    consumer.assign([ConfluentPartition(topic, 0, 0)])
    read_back = []
    while len(read_back) < len(expected):
        message = consumer.poll(PATIENCE_SECONDS)
        assert message is not None
        assert message.error() is None
        read_back.append((message.key(), message.value(), message.headers() or []))
    consumer.close()
    assert read_back == expected
