"""Where customers are in a segmentation, whatever its kind: for those who write down what a partition has come to."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_app.core.arrays import Codes, Instants
from stream_app.core.clock import NO_TIME
from stream_app.core.columns import CustomerColumns
from stream_app.core.partition import Partition
from stream_app.core.segmentation import NEVER_MS, Due, Held, Segmentation
from stream_app.native.library import address, function
from stream_app.native.structures import DUE_DTYPE


class Standing(NamedTuple):
    """Of n customers, shape `(n,)` each.

    Attributes
    ----------
    segment
        Codes, `NO_SEGMENT` for none.
    since_ms
        When it was entered; `NO_TIME` where that is not kept (see `Partition`).
    sequence, version
        Of the last move: its number, and the segmentation's version.
    following
        When each moves next if nothing happens.
    """

    segment: Codes
    since_ms: Instants
    sequence: npt.NDArray[np.int32]
    version: npt.NDArray[np.int32]
    following: Due


def standing_of(partition: Partition, segmentation: Segmentation, first: int, last: int, as_of_ms: int) -> Standing:
    """Return where the customers of the rows `[first, last)` stand.

    Parameters
    ----------
    as_of_ms
        The instant after which `following` begins.
    """
    table, rows = partition.table, slice(first, last)
    after_ms = np.full(len(table.activity[rows]), as_of_ms)
    if segmentation.is_ruled:
        number = table.ruled_names.index(segmentation.name)
        place, since_ms = table.places[number, rows], np.full(len(after_ms), NO_TIME)
        if segmentation.name in table.since_names:
            since_ms = table.since_ms[table.since_names.index(segmentation.name), rows]
        version = np.full(len(after_ms), segmentation.version, np.int32)
        following = _ask_rules(partition, number, first, len(after_ms), as_of_ms)
        return Standing(place["segment"], since_ms, place["sequence"], version, following)
    membership = table.memberships[table.names.index(segmentation.name), rows]
    customers = CustomerColumns(table.activity[rows], after_ms)
    following = segmentation.silence(customers, Held.of(membership), after_ms, np.full(len(after_ms), NEVER_MS))
    return Standing(
        membership["segment"], membership["since_ms"], membership["sequence"], membership["model_version"], following
    )


def _ask_rules(partition: Partition, number: int, first: int, count: int, after_ms: int) -> Due:
    assert partition.rules is not None
    handles = np.array([segmentation.compiled.handle for segmentation in partition.by_column], np.uintp)
    out, columns = np.empty(count, DUE_DTYPE), partition.table.columns()
    status = _ask()(
        *(partition.rules.handle, partition.table.handle, ctypes.byref(columns), address(handles)),
        *(number, first, count, after_ms, address(out)),
    )
    if status:
        raise IndexError(f"rows: {first} to {first + count - 1}, expected rows of the table")
    return Due(out["at_ms"], out["target"].astype(np.intp))


@cache
def _ask() -> Any:
    pointer, size, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
    return function("seg_ask_rules", number, *(pointer,) * 4, number, size, size, size, pointer)
