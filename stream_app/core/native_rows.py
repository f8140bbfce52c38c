"""The table's functions of the compiled library, by name, and what its refusals of rows say."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from functools import cached_property
from typing import Any, Final, NoReturn

import numpy as np
import numpy.typing as npt

from stream_app.errors import RowDamaged, RowVersionUnknown, SegmenterError
from stream_app.native.library import NO_MEMORY, OUT_OF_RANGE, function
from stream_app.native.structures import Bytes, Columns, Memory, RecordParts, Refusal, RowNames

(
    _SHORT, _VERSION, _LENGTH, _EVENTS, _ORDERS, _ACTIVE, _ENGAGED, _NO_ORDER, _SEGMENT, _MEMBERSHIPS, _ID, _PLACES,
    _SEQUENCE, _LEDGER, _TRAITS, _SERIES,
) = range(16)  # fmt: skip
_REFUSALS: Final = {
    _SHORT: "row: {found} bytes, expected at least {expected}",
    _VERSION: "row version: {found}, expected at most {expected}",
    _LENGTH: "row: {found} bytes, expected {expected}",
    _EVENTS: "row: {found} bytes of event ids, expected whole ids and at most {expected} bytes",
    _ORDERS: "row: {found} bytes of orders, expected whole orders and at most {expected} bytes",
    _ACTIVE: "row: active days: {found}, expected at most {expected}",
    _ENGAGED: "row: engaged days: {found}, expected at most {expected}",
    _NO_ORDER: "row: a purchase but no completed order, expected at least {expected}",
    _SEGMENT: "row: segment {found}, expected at least {expected}",
    _MEMBERSHIPS: "row: {found} memberships, expected at most {expected}",
    _ID: "id: not UTF-8, expected what JSON has as text",
    _PLACES: "row: {found} places in segmentations by rules, expected at most {expected}",
    _SEQUENCE: "row: a place of sequence {found}, expected one that is not 0",
    _LEDGER: "row: {found} bytes of series of events, expected series that follow one another to the end",
    _TRAITS: "row: {found} bytes of traits, expected traits in the order of their names to the end",
    _SERIES: "row: {found} different series of events in a partition, expected at most {expected}",
}


def refusal_error(refusal: Refusal, customer_id: str) -> SegmenterError:
    """Return the error that says why a customer's row was refused."""
    message = _REFUSALS[refusal.why].format(found=refusal.found, expected=refusal.expected)
    if refusal.why == _VERSION:
        return RowVersionUnknown(message)
    return RowDamaged(f"customer {customer_id!r}: {message}")


def cut(joined: bytes, sizes: npt.NDArray[np.int64]) -> list[bytes]:
    """Return texts that stand one after the other, by the bytes of each."""
    ends = np.cumsum(sizes).tolist()
    return [joined[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def checked(result: int, customer_id: str = "") -> int:
    """Return what the library answers, unless that is a status."""
    return result if result >= 0 else fail(result, customer_id)


def fail(status: int, customer_id: str) -> NoReturn:
    """Raise the error that a status of the library stands for."""
    if status == NO_MEMORY:
        raise MemoryError
    if status == OUT_OF_RANGE:
        raise ValueError(
            f"customer {customer_id[:40]!r}…: id of {len(customer_id.encode())} bytes, expected at most 65535"
        )
    raise RuntimeError(f"table: {status} of the library, expected a result")


class _Library:
    """Each function when it is first asked for: a module that is imported needs no library."""

    @cached_property
    def new(self) -> Callable[..., Any]:
        return function("seg_table_new", c_void_p)

    @cached_property
    def free(self) -> Callable[..., Any]:
        return function("seg_table_free", None, c_void_p)

    @cached_property
    def count_days(self) -> Callable[..., Any]:
        return function("seg_table_count_days", c_int32, c_void_p, c_void_p, c_int64)

    @cached_property
    def count(self) -> Callable[..., Any]:
        return function("seg_table_count", c_int64, c_void_p)

    @cached_property
    def find(self) -> Callable[..., Any]:
        return function("seg_table_find", c_int64, c_void_p, c_char_p, c_size_t, c_uint64)

    @cached_property
    def find_events(self) -> Callable[..., Any]:
        return function("seg_table_find_events", c_int32, c_void_p, c_void_p, c_int64, c_void_p, c_int64, c_void_p)

    @cached_property
    def insert(self) -> Callable[..., Any]:
        return function("seg_table_insert", c_int64, c_void_p, POINTER(Columns), c_char_p, c_size_t, c_uint64)

    @cached_property
    def remove(self) -> Callable[..., Any]:
        return function("seg_table_remove", c_int64, c_void_p, POINTER(Columns), c_char_p, c_size_t, c_uint64)

    @cached_property
    def admit(self) -> Callable[..., Any]:
        return function("seg_table_admit", None, c_void_p, POINTER(Columns), POINTER(RowNames), c_int64)

    @cached_property
    def admit_ruled(self) -> Callable[..., Any]:
        return function("seg_table_admit_ruled", None, c_void_p, POINTER(Columns), POINTER(RowNames), c_int64)

    @cached_property
    def series(self) -> Callable[..., Any]:
        return function("seg_table_series", c_int32, c_void_p, c_uint64)

    @cached_property
    def series_digests(self) -> Callable[..., Any]:
        return function("seg_table_series_digests", c_int32, c_void_p, POINTER(POINTER(c_uint64)))

    @cached_property
    def traits(self) -> Callable[..., Any]:
        return function("seg_table_traits", Bytes, c_void_p, c_int64)

    @cached_property
    def count_traits(self) -> Callable[..., Any]:
        return function("seg_table_count_traits", c_int64, c_void_p, c_void_p, c_int64)

    @cached_property
    def ids(self) -> Callable[..., Any]:
        return function("seg_table_ids", c_int64, c_void_p, c_void_p, c_int64, c_void_p, c_int64, c_void_p)

    @cached_property
    def hashes(self) -> Callable[..., Any]:
        return function("seg_table_hashes", None, c_void_p, c_int64, c_int64, c_void_p)

    @cached_property
    def memory(self) -> Callable[..., Any]:
        return function("seg_table_memory", None, c_void_p, POINTER(Memory))

    @cached_property
    def count_members(self) -> Callable[..., Any]:
        return function("seg_table_count_members", None, c_void_p, POINTER(Columns))

    @cached_property
    def encode(self) -> Callable[..., Any]:
        pointers = (c_void_p, POINTER(Columns), POINTER(RowNames), c_void_p)
        return function("seg_table_encode", c_int64, *pointers, c_int64, c_void_p, c_int64, c_void_p)

    @cached_property
    def restore(self) -> Callable[..., Any]:
        parts = POINTER(RecordParts)
        return function(
            *("seg_table_restore", c_int32, c_void_p, POINTER(Columns), POINTER(RowNames), c_int64),
            *(parts, parts, POINTER(Refusal)),
        )


LIBRARY: Final = _Library()
