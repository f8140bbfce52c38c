"""The library's own elementary functions, element by element: the same bits on every processor and libc.

Results that are compared byte by byte, or written into rows, come of these and not of numpy's, which differ from one
processor to the next in the last place.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stream_app.native.library import address, function

_FUNCTIONS: Final = ("exp", "exp2", "log", "log2", "log1p", "expm1", "power")


@cache
def _map() -> Callable[..., Any]:
    pointer = ctypes.c_void_p
    return function("seg_map", ctypes.c_int32, ctypes.c_int32, ctypes.c_int64, pointer, pointer, pointer)


def _apply(name: str, *arguments: npt.ArrayLike) -> npt.NDArray[np.float64]:
    numbers = np.broadcast_arrays(*(np.asarray(each, np.float64) for each in arguments))
    arrays = [np.ascontiguousarray(each) for each in numbers]
    out = np.empty(numbers[0].shape)
    _map()(_FUNCTIONS.index(name), out.size, address(arrays[0]), address(arrays[-1]), address(out))
    return out


def exp(x: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return e^x."""
    return _apply("exp", x)


def exp2(x: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return 2^x."""
    return _apply("exp2", x)


def log(x: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return ln x."""
    return _apply("log", x)


def log2(x: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return log₂ x."""
    return _apply("log2", x)


def log1p(x: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return ln(1 + x)."""
    return _apply("log1p", x)


def expm1(x: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return e^x − 1."""
    return _apply("expm1", x)


def power(x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return x^y."""
    return _apply("power", x, y)
