"""The library's closed forms for many customers at once, for those who learn and explain: the ones it decides by.

Columns come and go as arrays of shape `(n,)`; what each is, say the modules that hand them on:
`stream_app.core.quantities` and `stream_app.segmentations.learned`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stream_app.native.library import address, function
from stream_app.native.structures import ACTIVITY_DTYPE, QUANTITIES_DTYPE

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

ROLES: Final = 7
"""`SEG_ROLES`."""
AXES: Final = 3
RHYTHM_DTYPE: Final = np.dtype([(name, "<f8") for name in ("log_scale", "regularity", "shape", "stopped")])
"""`seg_own_rhythm`."""
SILENCES_DTYPE: Final = np.dtype([(name, "<f8") for name in ("risk", "one_time", "lapsed", "lost")])
"""`seg_silences`."""

_POINTER: Final = ctypes.c_void_p
_SIGNATURES: Final[dict[str, tuple[Any, ...]]] = {
    "quantities": (_POINTER, _POINTER, _POINTER),
    "axes": (_POINTER, ctypes.c_int32, ctypes.c_double, _POINTER),
    "distances": (_POINTER, _POINTER, _POINTER, _POINTER),
    "hold": (_POINTER, _POINTER, _POINTER),
    "rhythm": (_POINTER, _POINTER, _POINTER),
    "usual_gap": (_POINTER, _POINTER),
    "survival": (_POINTER, _POINTER, _POINTER),
    "probability_active": (_POINTER, _POINTER, _POINTER),
    "silence_days": (_POINTER, ctypes.c_double, _POINTER),
    "silences": (_POINTER, _POINTER, _POINTER),
}


@cache
def _function(name: str) -> Callable[..., Any]:
    return function(f"seg_ask_{name}", None, ctypes.c_int64, *_SIGNATURES[name])


def _ask(name: str, out: np.ndarray, *arguments: np.ndarray | float) -> np.ndarray:
    """Call a function for the n customers of `out`, which it fills."""
    arrays = [np.ascontiguousarray(each) if isinstance(each, np.ndarray) else each for each in arguments]
    handed = (address(each) if isinstance(each, np.ndarray) else each for each in arrays)
    _function(name)(len(out), *handed, address(out))
    return out


def _expect(array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype != np.float64:
        raise ValueError(f"array: {array.dtype} of shape {array.shape}, expected float64 of shape {shape}")


def _packed(columns: Sequence[Floats], dtype: np.dtype[Any]) -> np.ndarray:
    records = np.empty(len(columns[0]), dtype)
    for name, column in zip(dtype.names or (), columns, strict=True):
        records[name] = column
    return records


def _columns(records: np.ndarray) -> list[Floats]:
    return [np.ascontiguousarray(records[name]) for name in records.dtype.names or ()]


def quantities_of(activity: np.ndarray, at_ms: npt.ArrayLike) -> np.ndarray:
    """Return the `QUANTITIES_DTYPE` records of customers at one instant, or at one instant each, shape `(n,)`.

    Raises
    ------
    ValueError
        If `activity` holds other records than those of `ACTIVITY_DTYPE`.
    """
    if activity.dtype != ACTIVITY_DTYPE:
        raise ValueError(f"activity: {activity.dtype}, expected {ACTIVITY_DTYPE}")
    instants = np.ascontiguousarray(np.broadcast_to(np.asarray(at_ms, np.int64), len(activity)))
    return _ask("quantities", np.empty(len(activity), QUANTITIES_DTYPE), activity, instants)


def quantities(activity: np.ndarray, at_ms: npt.ArrayLike) -> list[Floats]:
    """Return the columns of `Quantities` of n records, see `quantities_of`."""
    return _columns(quantities_of(activity, at_ms))


def axes(known: Sequence[Floats], log_order_value: float | None) -> Floats:
    """Return r, e and a of customers with these quantities, shape `(n, 3)`."""
    records = _packed(known, QUANTITIES_DTYPE)
    is_known, value = (0, 0.0) if log_order_value is None else (1, log_order_value)
    return _ask("axes", np.empty((len(records), 3)), records, is_known, value)


def distances(own_axes: Floats, weights: Floats, centres: Floats) -> Floats:
    """Return squared distances to the roles' centres, shape `(n, ROLES)`."""
    _expect(weights, (AXES,))
    _expect(centres, (ROLES, AXES))
    _expect(own_axes, (len(own_axes), AXES))
    return _ask("distances", np.empty((len(own_axes), len(centres))), own_axes, weights, centres)


def hold(own_axes: Floats, bounds: np.ndarray) -> Flags:
    """Say which roles' statements are true, shape `(n, ROLES)`; `bounds` are those of `Statements`, `(4, ROLES)`."""
    _expect(bounds, (4, ROLES))
    _expect(own_axes, (len(own_axes), AXES))
    return _ask("hold", np.empty((len(own_axes), bounds.shape[1]), np.bool_), own_axes, bounds)


def own_rhythm(known: Sequence[Floats], rhythm: Sequence[float]) -> list[Floats]:
    """Return the columns of `OwnRhythm` of customers with these quantities; `rhythm` are the numbers of `Rhythm`."""
    records = _packed(known, QUANTITIES_DTYPE)
    return _columns(_ask("rhythm", np.empty(len(records), RHYTHM_DTYPE), records, np.array(rhythm, np.float64)))


def usual_gap_days(own: Sequence[Floats]) -> Floats:
    """Return the median gap of rhythms."""
    records = _packed(own, RHYTHM_DTYPE)
    return _ask("usual_gap", np.empty(len(records)), records)


def survival(own: Sequence[Floats], silence_days: npt.ArrayLike) -> Floats:
    """Return the probability that a gap is longer."""
    records = _packed(own, RHYTHM_DTYPE)
    return _ask("survival", np.empty(len(records)), records, _days(silence_days, len(records)))


def probability_active(own: Sequence[Floats], silence_days: npt.ArrayLike) -> Floats:
    """Return the probability of being active after a silence."""
    records = _packed(own, RHYTHM_DTYPE)
    return _ask("probability_active", np.empty(len(records)), records, _days(silence_days, len(records)))


def silence_days(own: Sequence[Floats], probability: float) -> Floats:
    """Return the silence at which the probability of being active has fallen so far, days."""
    records = _packed(own, RHYTHM_DTYPE)
    return _ask("silence_days", np.empty(len(records)), records, probability)


def silences(own: Sequence[Floats], patience: Sequence[float]) -> list[Floats]:
    """Return the columns of `Silences` of rhythms; `patience` are the numbers of `seg_patience`."""
    records = _packed(own, RHYTHM_DTYPE)
    return _columns(_ask("silences", np.empty(len(records), SILENCES_DTYPE), records, np.array(patience, np.float64)))


def _days(days: npt.ArrayLike, count: int) -> Floats:
    return np.ascontiguousarray(np.broadcast_to(np.asarray(days, np.float64), count))
