"""Every structure that the library and Python share, each field named once on this side; see `native/segmenter.h`."""

from __future__ import annotations

import ctypes
from typing import Final

import numpy as np

EVENT_DTYPE: Final = np.dtype(
    [
        ("at_ms", "<i8"),
        ("amount_minor", "<i8"),
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
        ("reserved", "<u2"),
    ]
)
"""One record of an input; its texts (customer id, event id, type) stand in a buffer of the batch."""
EVENT, DOUBTED, SKIPPED, REJECTED = range(4)
"""What a record is, `status` of `EVENT_DTYPE`."""

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
        ("before", ACTIVITY_DTYPE),
        ("after", ACTIVITY_DTYPE),
    ]
)
"""A move that was found."""

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
        ("member_sums", ctypes.c_void_p),
        ("capacity", ctypes.c_int64),
        ("segmentations", ctypes.c_int64),
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
        ("clock", Clock),
        ("moves", ctypes.c_void_p),
        ("move_count", ctypes.c_int64),
        ("changed", ctypes.c_void_p),
        ("changed_count", ctypes.c_int64),
        ("swept_customers", ctypes.c_void_p),
        ("applied", ctypes.c_int64),
        ("late", ctypes.c_int64),
        ("duplicates", ctypes.c_int64),
    )


MEMORY_PARTS: Final = ("ids", "index", "slots", "events", "orders", "days", "others")


class Memory(ctypes.Structure):
    """`seg_memory`: bytes that a table has taken, beside its columns."""

    _fields_ = tuple((part, ctypes.c_int64) for part in MEMORY_PARTS)


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


DESCRIBED_DTYPE: Final = np.dtype(
    [
        ("migration_at", "<i8"),
        ("membership_at", "<i8"),
        ("key_at", "<i8"),
        ("headers_at", "<i8"),
        ("migration_size", "<i4"),
        ("membership_size", "<i4"),
        ("key_size", "<i4"),
        ("customer_size", "<i4"),
        ("headers_size", "<i4"),
        ("reserved", "<i4"),
    ]
)
"""Where the texts of a described move stand."""


class ToldFrame(ctypes.Structure):
    """`seg_told_frame`."""

    _fields_ = (
        ("log_gap", ctypes.c_double),
        ("log_gap_variance", ctypes.c_double),
        ("prior_weight", ctypes.c_double),
        ("stop_rate_per_day", ctypes.c_double),
        ("stop_after_first", ctypes.c_double),
        ("order_value_minor", ctypes.c_double),
        ("log_order_value", ctypes.c_double),
        ("knows_order_value", ctypes.c_int64),
    )


class PresentationForm(ctypes.Structure):
    """`seg_presentation_form`."""

    _fields_ = (
        ("kind", ctypes.c_int32),
        ("version", ctypes.c_int32),
        ("digits", ctypes.c_int32),
        ("holdout_percent", ctypes.c_int32),
        ("counts_engagement", ctypes.c_int32),
        ("target_count", ctypes.c_int32),
        ("known_count", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
        ("codes", ctypes.c_void_p),
        ("known_codes", ctypes.c_void_p),
        ("levels", ctypes.c_void_p),
        ("texts", ctypes.c_void_p),
        ("text_ends", ctypes.c_void_p),
        ("text_count", ctypes.c_int64),
        ("model", ctypes.c_char_p),
        ("frame", ToldFrame),
        ("previous", ToldFrame),
    )


class TextsForm(ctypes.Structure):
    """`seg_texts`."""

    _fields_ = (("data", ctypes.c_void_p), ("ends", ctypes.c_void_p), ("count", ctypes.c_int64))


class Description(ctypes.Structure):
    """`seg_description`."""

    _fields_ = (
        ("moves", ctypes.c_void_p),
        ("move_count", ctypes.c_int64),
        ("events", ctypes.c_void_p),
        ("event_count", ctypes.c_int64),
        ("texts", ctypes.c_void_p),
        ("texts_size", ctypes.c_int64),
        ("customers", TextsForm),
        ("sources", TextsForm),
        ("told", TextsForm),
        ("presentations", ctypes.c_void_p),
        ("presentation_count", ctypes.c_int64),
        ("partition", ctypes.c_int64),
        ("source", TextsForm),
        ("described", ctypes.c_void_p),
        ("migrations", ctypes.c_void_p),
        ("migrations_size", ctypes.c_int64),
        ("memberships", ctypes.c_void_p),
        ("memberships_size", ctypes.c_int64),
        ("keys", ctypes.c_void_p),
        ("keys_size", ctypes.c_int64),
        ("headers", ctypes.c_void_p),
        ("headers_size", ctypes.c_int64),
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
    "seg_memory": ctypes.sizeof(Memory),
    "seg_refusal": ctypes.sizeof(Refusal),
    "seg_parts": ctypes.sizeof(RecordParts),
    "seg_described": DESCRIBED_DTYPE.itemsize,
    "seg_presentation_form": ctypes.sizeof(PresentationForm),
    "seg_description": ctypes.sizeof(Description),
    "seg_batch": BATCH_DTYPE.itemsize,
}
"""Sizes of the structures, by their names in the library."""
