"""Versions of segmentations in the compiled library: asked about one customer, or about many at once.

A kind says what it is made of as bytes (`native_form`), which the library checks and copies; nothing of Python is kept.
The answers are those of `stream_app.core.segmentation.Segmentation`, customer by customer.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from stream_app.native.library import address, function
from stream_app.native.structures import ACTIVITY_DTYPE, DECISION_DTYPE, DUE_DTYPE, HELD_DTYPE

LEARNED, RULES, ENDED, FOREIGN = range(4)
"""Kinds that the library knows, `SEG_KIND_…`."""
_NO_LEVEL: Final = -(2**15)

Instants = npt.NDArray[np.int64]


class NativeForm(NamedTuple):
    """What a version is made of beside its segments.

    Attributes
    ----------
    kind
        `LEARNED`, `RULES` or `ENDED`.
    own
        What its kind knows, as the library documents it; empty where there is nothing.
    """

    kind: int
    own: bytes


class _Roster(Protocol):
    @property
    def codes(self) -> npt.NDArray[np.int16]: ...

    @property
    def by_code(self) -> Mapping[int, Any]: ...


class HasNativeForm(Protocol):
    """What is asked of a version that the library is to evaluate."""

    @property
    def version(self) -> int:
        """Its number."""
        ...

    @property
    def revised_by(self) -> int:
        """Cause of the moves that a new version makes."""
        ...

    @property
    def weighs_sessions(self) -> bool:
        """Whether customers are assessed at every event."""
        ...

    @property
    def roster(self) -> _Roster:
        """The segments."""
        ...

    def native_form(self) -> NativeForm:
        """Return what it is made of."""
        ...


@cache
def _functions() -> dict[str, Callable[..., Any]]:
    pointer, size, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
    signatures: dict[str, tuple[Any, ...]] = {
        "segmentation_new": (
            *(pointer, number, number, number, number),
            *(pointer, size, pointer, pointer, size, ctypes.c_char_p, size),
        ),
        "segmentation_free": (None, pointer),
        "ask_acts": (None, pointer, size, pointer, pointer, pointer, pointer),
        "ask_silence": (None, pointer, size, pointer, pointer, pointer, pointer, pointer),
        "ask_revise": (None, pointer, size, pointer, pointer, pointer, pointer),
        "ask_untrue": (number, pointer, size, pointer, pointer, pointer, pointer),
    }
    return {name: function(f"seg_{name}", *signature) for name, signature in signatures.items()}


class RosterColumns(NamedTuple):
    """The segments of a version as the library takes them.

    Attributes
    ----------
    codes
        Of the targets.
    known_codes, levels
        Of every segment that a customer may be in.
    """

    codes: npt.NDArray[np.int16]
    known_codes: npt.NDArray[np.int16]
    levels: npt.NDArray[np.int16]


def roster_columns(roster: _Roster) -> RosterColumns:
    """Return the segments of a version as columns."""
    levels = [_NO_LEVEL if segment.level is None else segment.level for segment in roster.by_code.values()]
    return RosterColumns(
        np.ascontiguousarray(roster.codes[:-1], np.int16),
        np.array(list(roster.by_code), np.int16),
        np.array(levels, np.int16),
    )


class NativeSegmentation:
    """A version of a segmentation in the library. May be asked by one thread at a time.

    Parameters
    ----------
    segmentation
        The version; what is made of it stands by itself.

    Attributes
    ----------
    handle
        Its `seg_segmentation`; it ends with this object.

    Raises
    ------
    ValueError
        If the library cannot evaluate it.
    """

    def __init__(self, segmentation: HasNativeForm) -> None:
        form, (codes, known, levels) = segmentation.native_form(), roster_columns(segmentation.roster)
        handle = _functions()["segmentation_new"](
            form.kind,
            segmentation.version,
            segmentation.revised_by,
            segmentation.weighs_sessions,
            *(address(codes), len(codes), address(known), address(levels), len(known)),
            *(form.own, len(form.own)),
        )
        if not handle:
            raise ValueError(
                f"segmentation: {len(codes)} segments and a form of {len(form.own)} bytes of kind {form.kind}, "
                "expected what the compiled library can evaluate: see its seg_segmentation_new"
            )
        self.handle: Final = int(handle)
        weakref.finalize(self, _functions()["segmentation_free"], self.handle)

    def acts(
        self, activity: np.ndarray, at_ms: Instants, held: np.ndarray
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        """Say where an own act leads n customers, and which of them move.

        Parameters
        ----------
        activity, at_ms, held
            `ACTIVITY_DTYPE`, instants and `HELD_DTYPE`, shape `(n,)` each.
        """
        return self._decide("ask_acts", activity, at_ms, held)

    def revise(
        self, activity: np.ndarray, at_ms: Instants, held: np.ndarray
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        """Say where n customers belong under this version, and which of them move; see `acts`."""
        return self._decide("ask_revise", activity, at_ms, held)

    def silence(
        self, activity: np.ndarray, held: np.ndarray, after_ms: Instants, by_ms: Instants
    ) -> tuple[Instants, npt.NDArray[np.int32]]:
        """Return when silence first moves n customers, and where to; see `Segmentation.silence`."""
        count = len(activity)
        arrays = (
            *(_records(activity, ACTIVITY_DTYPE, count), _records(held, HELD_DTYPE, count)),
            *(_records(after_ms, np.int64, count), _records(by_ms, np.int64, count)),
        )
        out = np.empty(count, DUE_DTYPE)
        _functions()["ask_silence"](self.handle, count, *(address(each) for each in arrays), address(out))
        return out["at_ms"], out["target"]

    def untrue(self, activity: np.ndarray, at_ms: Instants, held: np.ndarray) -> npt.NDArray[np.bool_]:
        """Say of whom the name of the segment they are in is not true; see `acts`.

        Raises
        ------
        ValueError
            If the segmentation is not a learned one: only their segments' names say anything.
        """
        arrays = _customers(activity, at_ms, held)
        out = np.empty(len(activity), np.bool_)
        if _functions()["ask_untrue"](self.handle, len(out), *(address(each) for each in arrays), address(out)):
            raise ValueError("segmentation: its segments' names say nothing, expected a learned one")
        return out

    def _decide(
        self, question: str, activity: np.ndarray, at_ms: Instants, held: np.ndarray
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        arrays = _customers(activity, at_ms, held)
        out = np.empty(len(activity), DECISION_DTYPE)
        _functions()[question](self.handle, len(out), *(address(each) for each in arrays), address(out))
        return out["target"], out["moves"] != 0


def _customers(activity: np.ndarray, at_ms: Instants, held: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = len(activity)
    return (
        _records(activity, ACTIVITY_DTYPE, count),
        _records(at_ms, np.int64, count),
        _records(held, HELD_DTYPE, count),
    )


def _records(array: np.ndarray, dtype: npt.DTypeLike, count: int) -> np.ndarray:
    """Return an array as the library reads it.

    Raises
    ------
    ValueError
        If it has another length or other records.
    """
    if array.shape != (count,) or array.dtype != dtype:
        raise ValueError(f"array: {array.dtype} of shape {array.shape}, expected {np.dtype(dtype)} of shape ({count},)")
    return np.ascontiguousarray(array)
