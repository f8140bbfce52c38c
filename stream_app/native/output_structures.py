"""The structures by which the library writes outputs; see `stream_app.native.structures`, which has the others."""

from __future__ import annotations

import ctypes
from typing import Final

import numpy as np

NOTICE_DTYPE: Final = np.dtype(
    [
        ("row", "<i8"),
        ("event", "<i8"),
        ("decided_at_ms", "<i8"),
        ("leaves_at_ms", "<i8"),
        ("lead_ms", "<i8"),
        ("next_at_ms", "<i8"),
        ("segmentation", "<i4"),
        ("cause", "<i4"),
        ("sequence", "<i4"),
        ("code", "<i4"),
        ("target", "<i4"),
        ("next_target", "<i4"),
        ("status", "<i4"),
        ("reserved", "<i4"),
    ]
)
"""That a customer will leave a segment by time alone, or was about to and does not."""

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
        ("condition_count", ctypes.c_int32),
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
        ("facts", ctypes.c_void_p),
        ("fact_count", ctypes.c_int64),
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
        ("purposes", TextsForm),
        ("notices", ctypes.c_void_p),
        ("notice_count", ctypes.c_int64),
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


OUTPUTS: Final = {
    "seg_notice": NOTICE_DTYPE.itemsize,
    "seg_described": DESCRIBED_DTYPE.itemsize,
    "seg_presentation_form": ctypes.sizeof(PresentationForm),
    "seg_description": ctypes.sizeof(Description),
}
"""Sizes of the structures, by their names in the library."""
