"""Every structure that the library and Python share, each field named once on this side; see `native/segmenter.h`."""

from __future__ import annotations

import ctypes
from typing import Final

import numpy as np

from stream_app.native.output_structures import OUTPUTS

EVENT_DTYPE: Final = np.dtype(
    [
        ("at_ms", "<i8"),
        ("amount_minor", "<i8"),
        ("stated_at_ms", "<i8"),
        ("event_digest", "<u8"),
        ("order_digest", "<u8"),
        ("customer_hash", "<u8"),
        ("offset", "<i8"),
        ("text_at", "<u4"),
        ("customer_size", "<u2"),
        ("event_id_size", "<u2"),
        ("type_size", "<u2"),
        ("kind", "u1"),
        ("status", "u1"),
        ("source", "<u2"),
        ("kept_size", "<u2"),
    ]
)
"""One record of an input; its texts (customer id, event id, type, what is kept) stand in a buffer of the batch."""
EVENT, DOUBTED, SKIPPED, REJECTED, UNNAMED = range(5)
"""What a record is, `status` of `EVENT_DTYPE`; the last one: a refund or cancellation that names no customer."""

ACTIVITY_DTYPE: Final = np.dtype(
    [
        ("first_at_ms", "<i8"),
        ("first_purchased_at_ms", "<i8"),
        ("purchased_at_ms", "<i8"),
        ("ordered_at_ms", "<i8"),
        ("engaged_at_ms", "<i8"),
        ("revenue_minor", "<i8"),
        ("orders_decayed", "<f8"),
        ("revenue_decayed", "<f8"),
        ("log_order_values", "<f8"),
        ("engaged_days", "<f8"),
        ("log_gaps", "<f8"),
        ("log_gaps_squared", "<f8"),
        ("gaps", "<i4"),
        ("purchases", "<i4"),
        ("refunds", "<i4"),
        ("engagements", "<i4"),
    ]
)
"""The numbers of a row, and their encoding."""

MEMBERSHIP_DTYPE: Final = np.dtype(
    [
        ("since_ms", "<i8"),
        ("assessed_at_ms", "<i8"),
        ("sequence", "<i4"),
        ("model_version", "<i4"),
        ("segment", "<i2"),
        ("previous", "<i2"),
        ("change", "<i2"),
        ("kept", "<i2"),
    ]
)
"""A customer's place in one segmentation, and its encoding."""

MOVE_DTYPE: Final = np.dtype(
    [
        ("row", "<i8"),
        ("position", "<i8"),
        ("event", "<i8"),
        ("effective_at_ms", "<i8"),
        ("decided_at_ms", "<i8"),
        ("before_ms", "<i8"),
        ("next_at_ms", "<i8"),
        ("segmentation", "<i4"),
        ("cause", "<i4"),
        ("change", "<i4"),
        ("sequence", "<i4"),
        ("from_code", "<i4"),
        ("target", "<i4"),
        ("next_target", "<i4"),
        ("is_own", "<i4"),
        ("facts_at", "<i8"),
        ("fact_count", "<i4"),
        ("consents", "<u2"),
        ("is_barred", "<i2"),
        ("before", ACTIVITY_DTYPE),
        ("after", ACTIVITY_DTYPE),
    ]
)
"""A move that was found."""

PLACE_DTYPE: Final = np.dtype([("sequence", "<i4"), ("segment", "<i2"), ("change", "<i2")])
"""A customer's place in a segmentation by rules, and its encoding."""

WARNING_DTYPE: Final = np.dtype(
    [("lead_ms", "<i8"), ("column", "<i4"), ("place", "<i4"), ("since", "<i4"), ("reserved", "<i4")]
)
"""A segmentation whose moves by time alone are told beforehand, for a step."""

FACT_DTYPE: Final = np.dtype(
    [
        ("condition", "<i4"),
        ("held", "i1"),
        ("holds", "i1"),
        ("reserved", "<i2"),
        ("before", "<f8"),
        ("after", "<f8"),
    ]
)
"""A condition that is told of a move."""

QUANTITIES_DTYPE: Final = np.dtype(
    [
        (name, "<f8")
        for name in (
            "recency_days",
            "tenure_days",
            "orders",
            "repeat_orders",
            "revenue_minor",
            "engaged_days",
            "gaps",
            "log_gaps",
            "log_gaps_squared",
            "purchases",
            "log_order_values",
        )
    ]
)
"""What is known of a customer at an instant."""

HELD_DTYPE: Final = np.dtype(
    [("since_ms", "<i8"), ("segment", "<i2"), ("previous", "<i2"), ("kept", "<i2"), ("reserved", "<i2")]
)
"""Where a customer is in a segmentation: what questions look at of its membership."""

DECISION_DTYPE: Final = np.dtype([("target", "<i4"), ("moves", "<i4")])
DUE_DTYPE: Final = np.dtype([("at_ms", "<i8"), ("target", "<i4"), ("reserved", "<i4")])


FIELD_DTYPE: Final = np.dtype(
    [
        ("name", "u1", 48),
        ("most", "<i8"),
        ("name_size", "<i4"),
        ("reads", "<i4"),
        ("meaning", "<i4"),
        ("required", "<i4"),
    ]
)
"""A field of a contract, for a scanner."""
WORD_DTYPE: Final = np.dtype([("text", "u1", 56), ("size", "<i4"), ("kind", "<i4")])
"""A word that says what an event is."""
CURRENCY_DTYPE: Final = np.dtype(
    [("limit_minor", "<i8"), ("numerator", "<i8"), ("denominator", "<i8"), ("code", "u1", 4), ("minor_digits", "<i4")]
)
"""A currency that a scanner converts."""


KEPT_PATH_DTYPE: Final = np.dtype([("text", "u1", 256), ("size", "<i4"), ("field", "<i4")])
"""A field that a scanner keeps of records."""


TRAIT_DTYPE: Final = np.dtype([("name", "u1", 64), ("size", "<i4"), ("kinds", "<i4")])
"""A trait that a scanner accepts, and the kinds of value that it may have."""
TRAIT_DATE: Final = 1 << 8
"""Of `kinds`: a text must be a date."""


class ScanPolicy(ctypes.Structure):
    """`seg_scan_policy`."""

    _fields_ = (
        ("max_payload_bytes", ctypes.c_int64),
        ("earliest_ms", ctypes.c_int64),
        ("tolerance_ms", ctypes.c_int64),
        ("max_depth", ctypes.c_int64),
        ("kind", ctypes.c_int32),
        ("absent_word", ctypes.c_int32),
    )


BATCH_DTYPE: Final = np.dtype(
    [
        ("base_offset", "<i8"),
        ("last_offset", "<i8"),
        ("base_timestamp_ms", "<i8"),
        ("max_timestamp_ms", "<i8"),
        ("producer_id", "<i8"),
        ("records_at", "<i8"),
        ("records_size", "<i8"),
        ("record_count", "<i4"),
        ("base_sequence", "<i4"),
        ("producer_epoch", "<i2"),
        ("attributes", "<u2"),
        ("marker", "<i2"),
        ("is_chosen", "<u2"),
    ]
)
"""A batch of records that was fetched."""


class Columns(ctypes.Structure):
    """`seg_columns`: where the columns of a table stand."""

    _fields_ = (
        ("activity", ctypes.c_void_p),
        ("memberships", ctypes.c_void_p),
        ("due_at_ms", ctypes.c_void_p),
        ("outdated", ctypes.c_void_p),
        ("closed_at_ms", ctypes.c_void_p),
        ("places", ctypes.c_void_p),
        ("since_ms", ctypes.c_void_p),
        ("rules_due_at_ms", ctypes.c_void_p),
        ("bits", ctypes.c_void_p),
        ("rules_outdated", ctypes.c_void_p),
        ("member_sums", ctypes.c_void_p),
        ("capacity", ctypes.c_int64),
        ("segmentations", ctypes.c_int64),
        ("ruled", ctypes.c_int64),
        ("since", ctypes.c_int64),
        ("words", ctypes.c_int64),
    )


class Clock(ctypes.Structure):
    """`seg_clock`."""

    _fields_ = (("watermark_ms", ctypes.c_int64), ("swept_at_ms", ctypes.c_int64))


class Step(ctypes.Structure):
    """`seg_step`."""

    _fields_ = (
        ("events", ctypes.c_void_p),
        ("event_count", ctypes.c_int64),
        ("texts", ctypes.c_void_p),
        ("texts_size", ctypes.c_int64),
        ("sweep_at_ms", ctypes.c_void_p),
        ("sweep_before", ctypes.c_void_p),
        ("sweep_count", ctypes.c_int64),
        ("first_row", ctypes.c_int64),
        ("last_row", ctypes.c_int64),
        ("segmentations", ctypes.c_void_p),
        ("revised_at_ms", ctypes.c_void_p),
        ("program", ctypes.c_void_p),
        ("rules_revised_at_ms", ctypes.c_int64),
        ("warnings", ctypes.c_void_p),
        ("warning_count", ctypes.c_int64),
        ("numbers", ctypes.c_void_p),
        ("watermarks_ms", ctypes.c_void_p),
        ("purposes", ctypes.c_void_p),
        ("purposes_size", ctypes.c_int64),
        ("jurisdictions", ctypes.c_void_p),
        ("jurisdictions_size", ctypes.c_int64),
        ("opts_in", ctypes.c_int64),
        ("clock", Clock),
        ("moves", ctypes.c_void_p),
        ("move_count", ctypes.c_int64),
        ("facts", ctypes.c_void_p),
        ("fact_count", ctypes.c_int64),
        ("notices", ctypes.c_void_p),
        ("notice_count", ctypes.c_int64),
        ("changed", ctypes.c_void_p),
        ("changed_count", ctypes.c_int64),
        ("swept_customers", ctypes.c_void_p),
        ("applied", ctypes.c_int64),
        ("late", ctypes.c_int64),
        ("duplicates", ctypes.c_int64),
        ("too_old", ctypes.c_int64),
        ("owners", ctypes.c_void_p),
        ("owner_count", ctypes.c_int64),
        ("unwanted", ctypes.c_void_p),
        ("unwanted_count", ctypes.c_int64),
        ("erasures", ctypes.c_int64),
    )


SERIES_MAX: Final = 1024
"""`SEG_SERIES_MAX`: by how many series conditions of a table may count."""
MEMORY_PARTS: Final = ("ids", "index", "slots", "events", "orders", "days", "ledgers", "traits", "others")


class Memory(ctypes.Structure):
    """`seg_memory`: bytes that a table has taken, beside its columns."""

    _fields_ = tuple((part, ctypes.c_int64) for part in MEMORY_PARTS)


class RowNames(ctypes.Structure):
    """`seg_names`: how rows call segmentations."""

    _fields_ = (("names", ctypes.c_void_p), ("ruled", ctypes.c_void_p), ("since_of", ctypes.c_void_p))


class Bytes(ctypes.Structure):
    """`seg_bytes`: part of a memory."""

    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_int64))


class RecordParts(ctypes.Structure):
    """`seg_parts`: one part of n records, such as their keys."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_int64),
        ("at", ctypes.c_void_p),
        ("sizes", ctypes.c_void_p),
    )


class Refusal(ctypes.Structure):
    """`seg_refusal`: which row could not be put in, and why."""

    _fields_ = (
        ("index", ctypes.c_int64),
        ("found", ctypes.c_int64),
        ("expected", ctypes.c_int64),
        ("why", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
    )


SHARED: Final = {
    "seg_event": EVENT_DTYPE.itemsize,
    "seg_activity": ACTIVITY_DTYPE.itemsize,
    "seg_membership": MEMBERSHIP_DTYPE.itemsize,
    "seg_move": MOVE_DTYPE.itemsize,
    "seg_quantities": QUANTITIES_DTYPE.itemsize,
    "seg_held": HELD_DTYPE.itemsize,
    "seg_decision": DECISION_DTYPE.itemsize,
    "seg_due": DUE_DTYPE.itemsize,
    "seg_columns": ctypes.sizeof(Columns),
    "seg_clock": ctypes.sizeof(Clock),
    "seg_step": ctypes.sizeof(Step),
    "seg_field": FIELD_DTYPE.itemsize,
    "seg_word": WORD_DTYPE.itemsize,
    "seg_currency": CURRENCY_DTYPE.itemsize,
    "seg_scan_policy": ctypes.sizeof(ScanPolicy),
    "seg_kept_path": KEPT_PATH_DTYPE.itemsize,
    "seg_listed_trait": TRAIT_DTYPE.itemsize,
    "seg_memory": ctypes.sizeof(Memory),
    "seg_refusal": ctypes.sizeof(Refusal),
    "seg_parts": ctypes.sizeof(RecordParts),
    "seg_names": ctypes.sizeof(RowNames),
    "seg_bytes": ctypes.sizeof(Bytes),
    "seg_batch": BATCH_DTYPE.itemsize,
    "seg_place": PLACE_DTYPE.itemsize,
    "seg_fact": FACT_DTYPE.itemsize,
    "seg_warning": WARNING_DTYPE.itemsize,
    **OUTPUTS,
}
"""Sizes of the structures, by their names in the library."""
