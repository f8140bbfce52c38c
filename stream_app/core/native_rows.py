"""The table's functions of the compiled library, by name, and what its refusals of rows say."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from functools import cached_property
from typing import Any, Final

from stream_app.errors import RowDamaged, RowVersionUnknown, SegmenterError
from stream_app.native.library import function
from stream_app.native.structures import Columns, Memory, RecordParts, Refusal

(
    _SHORT, _VERSION, _LENGTH, _EVENTS, _ORDERS, _ACTIVE, _ENGAGED, _NO_ORDER, _SEGMENT, _MEMBERSHIPS, _ID,
) = range(11)  # fmt: skip
_REFUSALS: Final = {
    _SHORT: "row: {found} bytes, expected at least {expected}",
    _VERSION: "row version: {found}, expected at most {expected}",
    _LENGTH: "row: {found} bytes, expected {expected}",
    _EVENTS: "row: {found} bytes of event ids, expected a multiple of 8 and at most {expected}",
    _ORDERS: "row: {found} bytes of orders, expected a multiple of 34 and at most {expected}",
    _ACTIVE: "row: active days: {found}, expected at most {expected}",
    _ENGAGED: "row: engaged days: {found}, expected at most {expected}",
    _NO_ORDER: "row: a purchase but no completed order, expected at least {expected}",
    _SEGMENT: "row: segment {found}, expected at least {expected}",
    _MEMBERSHIPS: "row: {found} memberships, expected at most {expected}",
    _ID: "id: not UTF-8, expected what JSON has as text",
}


def refusal_error(refusal: Refusal, customer_id: str) -> SegmenterError:
    """Return the error that says why a customer's row was refused."""
    message = _REFUSALS[refusal.why].format(found=refusal.found, expected=refusal.expected)
    if refusal.why == _VERSION:
        return RowVersionUnknown(message)
    return RowDamaged(f"customer {customer_id!r}: {message}")


class _Library:
    """Each function when it is first asked for: a module that is imported needs no library."""

    @cached_property
    def new(self) -> Callable[..., Any]:
        return function("seg_table_new", c_void_p)

    @cached_property
    def free(self) -> Callable[..., Any]:
        return function("seg_table_free", None, c_void_p)

    @cached_property
    def count(self) -> Callable[..., Any]:
        return function("seg_table_count", c_int64, c_void_p)

    @cached_property
    def find(self) -> Callable[..., Any]:
        return function("seg_table_find", c_int64, c_void_p, c_char_p, c_size_t, c_uint64)

    @cached_property
    def insert(self) -> Callable[..., Any]:
        return function("seg_table_insert", c_int64, c_void_p, POINTER(Columns), c_char_p, c_size_t, c_uint64)

    @cached_property
    def remove(self) -> Callable[..., Any]:
        return function("seg_table_remove", c_int64, c_void_p, POINTER(Columns), c_char_p, c_size_t, c_uint64)

    @cached_property
    def admit(self) -> Callable[..., Any]:
        return function("seg_table_admit", None, c_void_p, POINTER(Columns), c_int64, c_uint64)

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
        pointers = (c_void_p, POINTER(Columns), c_void_p, c_void_p)
        return function("seg_table_encode", c_int64, *pointers, c_int64, c_void_p, c_int64, c_void_p)

    @cached_property
    def restore(self) -> Callable[..., Any]:
        parts = POINTER(RecordParts)
        return function(
            "seg_table_restore", c_int32, c_void_p, POINTER(Columns), c_void_p, c_int64, parts, parts, POINTER(Refusal)
        )


LIBRARY: Final = _Library()
