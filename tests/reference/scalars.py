"""The library's elementary functions of one number, where the reference computes with Python's floats."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from stream_app.native.library import function

_EXP2, _LOG, _POWER = 1, 2, 6


@cache
def _map() -> Any:
    pointer = ctypes.POINTER(ctypes.c_double)
    return function("seg_map", ctypes.c_int32, ctypes.c_int32, ctypes.c_int64, pointer, pointer, pointer)


def _apply(number: int, x: float, y: float = 0.0) -> float:
    out = ctypes.c_double()
    arguments = (ctypes.byref(ctypes.c_double(x)), ctypes.byref(ctypes.c_double(y)), ctypes.byref(out))
    _map()(number, 1, *arguments)
    return out.value


def exp2(x: float) -> float:
    """Return 2^x."""
    return _apply(_EXP2, x)


def log(x: float) -> float:
    """Return ln x."""
    return _apply(_LOG, x)


def power(x: float, y: float) -> float:
    """Return x^y."""
    return _apply(_POWER, x, y)
