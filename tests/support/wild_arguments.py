"""Arguments that are the same everywhere, and one number that stands for all results; same_bits.c has both."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

FUNCTIONS: Final = ("exp", "exp2", "log", "log2", "log1p", "expm1", "pow")
"""In the order of `seg_map`."""
COUNT: Final = 1 << 17


def arguments() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs of arguments: any 64 bits, among them NaNs and subnormals, and numbers of everyday sizes."""
    first, second = _mixed(0), _mixed(COUNT)
    yield first.view(np.float64), second.view(np.float64)
    yield _everyday(first), _everyday(second)


def digest(library: Path | str, function: int) -> int:
    """Return the number of a function of a library."""
    loaded = ctypes.CDLL(str(library))
    loaded.seg_map.argtypes = [ctypes.c_int32, ctypes.c_int64, *[ctypes.c_void_p] * 3]
    found = 0
    for x, y in arguments():
        out = np.empty_like(x)
        assert loaded.seg_map(function, x.size, x.ctypes.data, y.ctypes.data, out.ctypes.data) == 0
        weights = 2 * np.arange(x.size, dtype=np.uint64) + np.uint64(1)
        found = found * 3 + int((out.view(np.uint64) * weights).sum(dtype=np.uint64))
    return found % (1 << 64)


def _mixed(first: int) -> np.ndarray:
    """Return splitmix64 of consecutive numbers."""
    z = np.arange(first + 1, first + COUNT + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _everyday(bits: np.ndarray) -> np.ndarray:
    """Return numbers of either sign from 2^-32 to 2^32."""
    exponent = np.uint64(1023 - 32) + ((bits >> np.uint64(52)) & np.uint64(63))
    keep = np.uint64(0x800FFFFFFFFFFFFF)
    return ((bits & keep) | (exponent << np.uint64(52))).view(np.float64)
