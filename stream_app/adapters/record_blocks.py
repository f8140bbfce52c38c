"""Records of a partition as one buffer and columns that say where in it the parts of each record are.

Coming in, a block is what one fetch brought; going out, what one transaction writes to a partition. Code that reads
whole blocks hands `buffer` and the columns to the compiled library; code that needs one record takes it out of the
block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol, Self, cast, overload

import numpy as np
import numpy.typing as npt

from stream_app.native import batches as native
from stream_app.native.batches import Records

NO_HEADERS: Final = b"\0"
"""None, as a record has them encoded."""

Headers = Sequence[tuple[str, bytes | None]]


class RecordContent(Protocol):
    """What a record carries."""

    @property
    def key(self) -> bytes | None:  # noqa: D102  (these names say all)
        ...

    @property
    def value(self) -> bytes | None:  # noqa: D102
        ...

    @property
    def headers(self) -> Headers:  # noqa: D102
        ...


class StoredContent(RecordContent, Protocol):
    """A record that has its place in a log."""

    @property
    def offset(self) -> int:  # noqa: D102
        ...

    @property
    def timestamp(self) -> int:
        """In milliseconds, −1 for none."""
        ...


class BlockRecord(NamedTuple):
    """One record of a block."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    encoded_headers: bytes

    @property
    def headers(self) -> list[tuple[str, bytes | None]]:
        """Its headers, which few ever ask for."""
        return decode_headers(self.encoded_headers)


class Parts(NamedTuple):
    """One part of n records, such as their keys.

    Attributes
    ----------
    data
        One after the other.
    sizes
        Bytes of each, −1 where there is none; shape `(n,)`.
    """

    data: bytes
    sizes: npt.NDArray[np.int64]


class RecordBlock(Sequence[BlockRecord]):
    """Consecutive records of one partition in one buffer.

    Parameters
    ----------
    buffer
        What they stand in, and other things as well.
    records
        Where: shape `(8, n)`, columns as in `stream_app.native.batches`; each column is contiguous.
    """

    __slots__ = ("buffer", "records")

    def __init__(self, buffer: bytes, records: Records) -> None:
        self.buffer = buffer
        self.records = records

    @classmethod
    def of(cls, records: Sequence[StoredContent]) -> Self:
        """Return records as a block."""
        block = cls.to_send(records)
        block.records[native.OFFSET] = [record.offset for record in records]
        block.records[native.TIMESTAMP_MS] = [record.timestamp for record in records]
        return block

    @classmethod
    def to_send(cls, records: Sequence[RecordContent]) -> Self:
        """Return records as a block."""
        return cls.of_parts(
            _joined([record.key for record in records]),
            _joined([record.value for record in records]),
            _joined([encode_headers(record.headers) if record.headers else b"" for record in records]),
        )

    @classmethod
    def of_parts(cls, keys: Parts, values: Parts, headers: Parts | None = None) -> Self:
        """Return n records as a block, of no time yet: their keys, values and encoded headers, n of each."""
        count = len(keys.sizes)
        parts = keys, values, headers or Parts(b"", np.zeros(count, np.int64))
        columns = np.empty((native.COLUMNS, count), np.int64)
        columns[native.OFFSET] = np.arange(count)
        columns[native.TIMESTAMP_MS] = -1
        columns[native.KEY_SIZE :: 2] = sizes = np.array([part.sizes for part in parts]).reshape(len(parts), count)
        held = np.maximum(sizes, 0)
        columns[native.KEY_AT :: 2] = np.cumsum(held).reshape(held.shape) - held
        return cls(b"".join(part.data for part in parts), columns)

    @classmethod
    def joined(cls, blocks: Sequence[RecordBlock]) -> Self:
        """Return the records of blocks, one block after the other."""
        columns = np.concatenate([block.records for block in blocks], axis=1)
        starts = np.cumsum([0, *(len(block.buffer) for block in blocks[:-1])])
        columns[native.KEY_AT :: 2] += np.repeat(starts, [len(block) for block in blocks])
        return cls(b"".join(block.buffer for block in blocks), columns)

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """Offsets in the log, ascending."""
        return cast("npt.NDArray[np.int64]", self.records[native.OFFSET])

    @property
    def timestamps_ms(self) -> npt.NDArray[np.int64]:
        """When they were produced, or appended if the topic says so; −1 for unknown."""
        return cast("npt.NDArray[np.int64]", self.records[native.TIMESTAMP_MS])

    def since(self, offset: int) -> RecordBlock:
        """Return the records from an offset on."""
        return self[int(np.searchsorted(self.offsets, offset)) :]

    def until(self, offset: int) -> RecordBlock:
        """Return the records before an offset."""
        return self[: int(np.searchsorted(self.offsets, offset))]

    def __len__(self) -> int:
        return int(self.records.shape[1])

    @overload
    def __getitem__(self, index: int) -> BlockRecord: ...
    @overload
    def __getitem__(self, index: slice) -> RecordBlock: ...
    def __getitem__(self, index: int | slice) -> BlockRecord | RecordBlock:
        if isinstance(index, slice):
            return RecordBlock(self.buffer, self.records[:, index])
        return self._record(*self.records[:, index].tolist())

    def __iter__(self) -> Iterator[BlockRecord]:
        return map(self._record, *self.records.tolist())

    def _record(
        self,
        offset: int,
        timestamp: int,
        key_at: int,
        key_size: int,
        value_at: int,
        value_size: int,
        headers_at: int,
        headers_size: int,
    ) -> BlockRecord:
        buffer = self.buffer
        return BlockRecord(
            offset,
            timestamp,
            None if key_size < 0 else buffer[key_at : key_at + key_size],
            None if value_size < 0 else buffer[value_at : value_at + value_size],
            buffer[headers_at : headers_at + headers_size] or NO_HEADERS,
        )


def block_of(records: Sequence[Any]) -> RecordBlock:
    """Return what was fetched of a partition: blocks, or the records of a log that is older than blocks."""
    if not isinstance(records[0], RecordBlock):
        return RecordBlock.of(records)
    return records[0] if len(records) == 1 else RecordBlock.joined(records)


def _joined(parts: list[bytes | None]) -> Parts:
    """Return the parts one after the other, and the size of each, −1 where there is none."""
    if None not in parts:
        return Parts(b"".join(parts), np.fromiter(map(len, parts), np.int64, len(parts)))  # type: ignore[arg-type]
    sizes = [-1 if part is None else len(part) for part in parts]
    return Parts(b"".join(part for part in parts if part is not None), np.array(sizes, np.int64))


# --- headers ---------------------------------------------------------------------------------------------------


@lru_cache(4096)
def _varint(value: int) -> bytes:
    left = value << 1 if value >= 0 else ~(value << 1)
    encoded = bytearray()
    while left > 127:
        encoded.append(left & 127 | 128)
        left >>= 7
    encoded.append(left)
    return bytes(encoded)


@lru_cache(256)
def _header_key(key: str) -> bytes:
    name = key.encode("utf-8", "surrogateescape")
    return _varint(len(name)) + name


def encode_headers(headers: Headers) -> bytes:
    """Return headers as a record has them; those of `decode_headers` as they were, even if a key is no UTF-8."""
    parts = [_varint(len(headers))]
    for key, value in headers:
        parts += (
            (_header_key(key), _varint(-1), b"") if value is None else (_header_key(key), _varint(len(value)), value)
        )
    return b"".join(parts)


def decode_headers(encoded: bytes) -> list[tuple[str, bytes | None]]:
    """Return the headers of a record that the library has read."""
    at = 0

    def number() -> int:
        nonlocal at
        left, shift = 0, 0
        while True:
            byte = encoded[at]
            at += 1
            left |= (byte & 127) << shift
            if byte < 128:
                return left >> 1 ^ -(left & 1)
            shift += 7

    def part() -> bytes | None:
        nonlocal at
        size = number()
        if size < 0:
            return None
        at += size
        return encoded[at - size : at]

    return [((part() or b"").decode("utf-8", "surrogateescape"), part()) for _ in range(number())]
