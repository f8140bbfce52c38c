"""Kafka's record batches by the compiled library, see `native/batches.c`: bytes → columns of records, and back.

Records are told as eight columns of one array, `(8, n)`: where in a buffer each part of a record stands, and how long
it is. So nothing is copied, and no object is made for a record.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stream_app.errors import BatchDamaged, BatchFormatUnknown
from stream_app.native.library import DAMAGED, UNKNOWN, address, function
from stream_app.native.structures import BATCH_DTYPE

OFFSET, TIMESTAMP_MS, KEY_AT, KEY_SIZE, VALUE_AT, VALUE_SIZE, HEADERS_AT, HEADERS_SIZE = range(8)
"""The columns. A key or value that is null has size −1."""
COLUMNS: Final = 8
CODEC, APPEND_TIME, TRANSACTIONAL, CONTROL = 7, 8, 16, 32
"""Bits of a batch's attributes."""
ABORTED: Final = 0
"""`marker` of the control batch that ends an aborted transaction."""
BATCH_HEADER_BYTES: Final = 61
RECORD_BYTES_MIN: Final = 7
RECORD_OVERHEAD_MAX: Final = 32
"""Bytes of a record at most beside its key, value and headers."""

Records = npt.NDArray[np.int64]
"""Shape `(8, n)`."""

_POINTER: Final = ctypes.c_void_p
_NUMBER: Final = ctypes.c_int64


@cache
def _crc_kind() -> int:
    """Return how this processor computes checksums; asking it takes longer than a small batch."""
    return int(function("seg_crc_kind", ctypes.c_int32)())


@cache
def _find() -> Callable[..., int]:
    return function("seg_find_batches", _NUMBER, ctypes.c_char_p, _NUMBER, ctypes.c_int32, _POINTER, _NUMBER)


@cache
def _read() -> Callable[..., int]:
    return function(
        "seg_read_records", _NUMBER, ctypes.c_char_p, _NUMBER, _POINTER, _NUMBER, _NUMBER, _POINTER, _NUMBER
    )


@cache
def _build() -> Callable[..., int]:
    text, pointer, number = ctypes.c_char_p, _POINTER, _NUMBER
    arguments = (text, number, pointer, number, number, number, pointer, number, ctypes.POINTER(number))
    return function("seg_build_batch", number, *arguments)


@cache
def _seal() -> Callable[..., int]:
    integer = ctypes.c_int32
    return function("seg_seal_batch", integer, _POINTER, _NUMBER, _NUMBER, integer, integer, integer, integer)


def find_batches(fetched: bytes, *, check_crc: bool = True) -> npt.NDArray[Any]:
    """Return what the headers of all batches say, as `BATCH_DTYPE`; one that is cut off at the end is left out.

    Raises
    ------
    BatchDamaged
        If one is not what it says, or its checksum is wrong.
    BatchFormatUnknown
        If one is not of format 2.
    """
    batches = np.empty(len(fetched) // BATCH_HEADER_BYTES + 1, BATCH_DTYPE)
    found = _find()(fetched, len(fetched), _crc_kind() if check_crc else 0, address(batches), len(batches))
    return batches[: _checked(found)]


def read_records(buffer: bytes, batches: npt.NDArray[Any], first_offset: int = 0) -> Records:
    """Return the records of the batches that are chosen (`is_chosen`), from an offset on; none may be compressed.

    Raises
    ------
    BatchDamaged
        If a batch's records are not as many, or not as long, as they say.
    """
    batches = np.ascontiguousarray(batches)
    most = np.minimum(batches["record_count"], batches["records_size"] // RECORD_BYTES_MIN)
    room = int(most[batches["is_chosen"] != 0].sum())
    records = np.empty((COLUMNS, room), np.int64)
    found = _read()(buffer, len(buffer), address(batches), len(batches), first_offset, address(records), room)
    return records[:, : _checked(found)]


def build_batches(buffer: bytes, records: Records, bytes_max: int) -> Iterator[tuple[npt.NDArray[np.uint8], int]]:
    """Yield batches with the number of records in each, every record in order; `seal_batch` completes them.

    Parameters
    ----------
    buffer
        What the records stand in.
    records
        At least one; their offsets are not looked at.
    bytes_max
        Of a batch. A larger record has one of its own.
    """
    records = np.ascontiguousarray(records)
    parts = records[[KEY_SIZE, VALUE_SIZE, HEADERS_SIZE]].clip(0, len(buffer))  # larger ones are refused
    sizes = parts.sum(axis=0) + RECORD_OVERHEAD_MAX
    ends = BATCH_HEADER_BYTES + np.cumsum(sizes)
    first, count = 0, records.shape[1]
    used = _NUMBER()
    while first < count:
        before = int(ends[first] - sizes[first])
        room = min(int(ends[-1]) - before + BATCH_HEADER_BYTES, max(bytes_max, int(sizes[first]) + BATCH_HEADER_BYTES))
        batch = np.empty(room, np.uint8)
        where, to = address(records), address(batch)
        taken = _build()(buffer, len(buffer), where, count, first, bytes_max, to, room, ctypes.byref(used))
        yield batch[: used.value], _checked(taken)
        first += taken


def seal_batch(
    batch: npt.NDArray[np.uint8], producer_id: int, producer_epoch: int, base_sequence: int, *, is_transactional: bool
) -> None:
    """Say in a batch who sends it (−1 each for a producer without an id), and compute its checksum."""
    sender = (producer_id, producer_epoch, base_sequence, is_transactional)
    _checked(_seal()(address(batch), len(batch), *sender, _crc_kind()))


def _checked(status: int) -> int:
    if status == DAMAGED:
        raise BatchDamaged("record batch: damaged, or another checksum than its header says")
    if status == UNKNOWN:
        raise BatchFormatUnknown("record batch: format 0, 1 or above 2, expected 2")
    if status < 0:
        raise ValueError(f"record batch: the library refuses what it was given (status {status})")
    return status
