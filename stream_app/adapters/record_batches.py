"""Records as Kafka's protocol carries them: whole fetches and whole batches, instead of one object a record.

aiokafka makes an object of every record that it fetches, and takes every record that is sent by a call of its own; much
of a worker's time would go there. `RecordBlock`s replace both, see `stream_app.adapters.record_blocks`.

In between aiokafka keeps its work: it fetches, knows positions, and says which transactions were aborted. A consumer
that is to hand out blocks is made with `BlocksOf` as its key deserializer, which aiokafka carries to where records are
unpacked; all others, and other topics of the same consumer, go as before. `INTERNALS` names all that is used and is no
public interface; `stream_app.adapters.faust_bridge` puts `HeldRecords` and `FetchedRecords` in place.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import cramjam
import numpy as np
import numpy.typing as npt
from aiokafka import codec
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.producer import message_accumulator

from stream_app.adapters.record_blocks import RecordBlock
from stream_app.errors import BatchDamaged, BatchFormatUnknown
from stream_app.native import batches as native

BUFFER_BYTES_MAX: Final = 1 << 31
"""Decompressed, of one fetch. Later on, places of texts have 32 bits."""

INTERNALS: Final = (
    "aiokafka.consumer.fetcher:READ_COMMITTED",
    "aiokafka.consumer.fetcher:MemoryRecords",
    "aiokafka.consumer.fetcher:PartitionRecords",
    "aiokafka.consumer.fetcher:PartitionRecords._unpack_records",
    "aiokafka.consumer.fetcher:PartitionRecords._consume_aborted_up_to",
    "aiokafka.consumer.fetcher:PartitionRecords._aborted_transactions",
    "aiokafka.consumer.fetcher:PartitionRecords._aborted_producers",
    "aiokafka.consumer.fetcher:PartitionRecords._isolation_level",
    "aiokafka.consumer.fetcher:PartitionRecords._check_crcs",
    "aiokafka.consumer.fetcher:PartitionRecords._tp",
    "aiokafka.consumer.fetcher:PartitionRecords.next_fetch_offset",
    "aiokafka.codec:gzip_decode",
    "aiokafka.codec:snappy_decode",
    "aiokafka.codec:lz4_decode",
    "aiokafka.codec:zstd_decode",
    "aiokafka.producer.message_accumulator:BatchBuilder",
    "aiokafka.producer.message_accumulator:BatchBuilder._set_producer_state",
    "aiokafka.producer.message_accumulator:BatchBuilder._build",
    "aiokafka.producer.message_accumulator:BatchBuilder.size",
    "aiokafka.producer.message_accumulator:BatchBuilder.record_count",
)
"""`module:Class.attribute` of each."""

_DECODERS: Final = {1: codec.gzip_decode, 2: codec.snappy_decode, 3: codec.lz4_decode, 4: codec.zstd_decode}
_DECODING_ERRORS: Final = (cramjam.DecompressionError, OSError, EOFError, ValueError, zlib.error, struct.error)
"""What they raise where the bytes are not what a compressor made."""


class BlocksOf:
    """The topics whose records a consumer hands out in blocks; given to it as its key deserializer.

    Parameters
    ----------
    topics
        Their names.
    """

    def __init__(self, topics: Iterable[str]) -> None:
        self.topics = frozenset(topics)


class HeldRecords(fetcher.MemoryRecords):  # type: ignore[misc]
    """What aiokafka takes the bytes of a fetch for, with the bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


class FetchedRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """What aiokafka unpacks a fetch of a partition by; for topics of `BlocksOf` it yields one block."""

    next_fetch_offset: int

    def __init__(
        self, tp: Any, records: HeldRecords, aborted: Any, fetch_offset: int, key_deserializer: Any, *others: Any
    ) -> None:
        asked = key_deserializer if isinstance(key_deserializer, BlocksOf) else None
        self._data = records.data if asked is not None and tp.topic in asked.topics else None
        super().__init__(tp, records, aborted, fetch_offset, None if asked is not None else key_deserializer, *others)

    def _unpack_records(self) -> Iterator[Any]:
        if self._data is None:
            yield from super()._unpack_records()
            return
        try:
            batches = native.find_batches(self._data, check_crc=self._check_crcs)
            buffer = decompress(self._data, self._choose(batches))
            block = RecordBlock(buffer, native.read_records(buffer, batches, self.next_fetch_offset))
        except BatchFormatUnknown:  # of a log that is older than Kafka 0.11
            yield from super()._unpack_records()
            return
        except BatchDamaged as error:
            raise CorruptRecordException(f"{self._tp} from offset {self.next_fetch_offset}: {error}") from error
        if len(batches):
            self.next_fetch_offset = max(self.next_fetch_offset, int(batches["last_offset"][-1]) + 1)
        if len(block):
            yield block

    def _choose(self, batches: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Leave out control batches, and those of transactions that were aborted if only committed ones are read."""
        batches["is_chosen"] = batches["attributes"] & native.CONTROL == 0
        if self._isolation_level != fetcher.READ_COMMITTED or not self._aborted_transactions:
            return batches
        for batch in batches:
            self._consume_aborted_up_to(batch["base_offset"])
            if batch["marker"] == native.ABORTED:
                self._aborted_producers.discard(int(batch["producer_id"]))
            elif batch["attributes"] & native.TRANSACTIONAL and int(batch["producer_id"]) in self._aborted_producers:
                batch["is_chosen"] = 0
        return batches


def decompress(fetched: bytes, batches: npt.NDArray[Any]) -> bytes:
    """Return a buffer in which no chosen batch is compressed; the batches then say where in it their records are.

    Raises
    ------
    BatchDamaged
        If one is not what a compressor made, or the buffer would be too large.
    """
    compressed = np.flatnonzero((batches["attributes"] & native.CODEC != 0) & (batches["is_chosen"] != 0))
    if not len(compressed):
        return fetched
    parts, end = [fetched], len(fetched)
    for number in compressed.tolist():
        batch = batches[number]
        at, size = int(batch["records_at"]), int(batch["records_size"])
        records = _decoded(int(batch["attributes"]) & native.CODEC, fetched[at : at + size])
        parts.append(records)
        batch["records_at"], batch["records_size"] = end, len(records)
        batch["attributes"] &= ~native.CODEC & 0xFFFF
        end += len(records)
        if end > BUFFER_BYTES_MAX:
            raise BatchDamaged(f"record batches: more than {BUFFER_BYTES_MAX} bytes decompressed")
    return b"".join(parts)


def _decoded(number: int, records: bytes) -> bytes:
    decode: Callable[[bytes], bytes] | None = _DECODERS.get(number)
    if decode is None:
        raise BatchDamaged(f"record batch: codec {number}, expected gzip (1), snappy (2), lz4 (3) or zstd (4)")
    try:
        return decode(records)
    except _DECODING_ERRORS as error:
        raise BatchDamaged(f"record batch: cannot be decompressed by codec {number}: {error}") from error


# --- out -------------------------------------------------------------------------------------------------------


class PreparedBatch(message_accumulator.BatchBuilder):  # type: ignore[misc]
    """A batch that is complete but for who sends it, which aiokafka says when it does.

    Parameters
    ----------
    batch
        As `stream_app.native.batches.build_batches` made it.
    count
        Number of its records.
    is_transactional
        Whether its producer writes in transactions.
    """

    def __init__(self, batch: npt.NDArray[np.uint8], count: int, *, is_transactional: bool) -> None:
        super().__init__(0, 0)
        self.close()
        self._batch = batch
        self._count = count
        self._is_transactional = is_transactional
        self._state = (-1, -1, -1)

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._state = (producer_id, producer_epoch, base_sequence)

    def _build(self) -> memoryview:
        native.seal_batch(self._batch, *self._state, is_transactional=self._is_transactional)
        return self._batch.data

    def size(self) -> int:
        """Return its bytes."""
        return len(self._batch)

    def record_count(self) -> int:
        """Return the number of its records."""
        return self._count


def prepare(block: RecordBlock, bytes_max: int, *, is_transactional: bool) -> Iterator[PreparedBatch]:
    """Yield the records of a block in as few batches as they fit in.

    Parameters
    ----------
    bytes_max
        Of a batch; a record that is larger has one of its own.
    """
    for batch, count in native.build_batches(block.buffer, block.records, bytes_max):
        yield PreparedBatch(batch, count, is_transactional=is_transactional)
