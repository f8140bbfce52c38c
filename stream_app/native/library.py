"""Loads the library once a process and checks that it is the one that this code was written for."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stream_app.errors import NativeLibraryUnusable
from stream_app.native.structures import SHARED

Buffer = bytes | memoryview | npt.NDArray[np.uint8]
NO_MEMORY, NO_ROOM, DAMAGED, UNKNOWN, OUT_OF_RANGE = range(-1, -6, -1)
"""`seg_status`: what functions of the library answer that could not do what they were asked for."""
ABI: Final = 1
"""Must be `SEG_ABI` of the library."""
PATH: Final = Path(__file__).with_name("libsegmenter.so")


@cache
def library() -> ctypes.CDLL:
    """Return the library.

    Raises
    ------
    NativeLibraryUnusable
        If it is missing, or another one than this code was written for.
    """
    try:
        loaded = ctypes.CDLL(str(PATH))
    except OSError as error:
        raise NativeLibraryUnusable(
            f"the compiled library cannot be loaded ({error}): run `make setup`, or install a wheel for this platform"
        ) from error
    loaded.seg_size_of.restype = ctypes.c_int64
    found = loaded.seg_abi()
    if found != ABI:
        raise NativeLibraryUnusable(f"{PATH.name}: version {found}, expected {ABI}; run `make setup` to build it anew")
    for name, size in SHARED.items():
        if (there := loaded.seg_size_of(name.encode())) != size:
            raise NativeLibraryUnusable(
                f"{PATH.name}: {name} has {there} bytes, expected {size}; run `make setup` to build it anew"
            )
    return loaded


def function(name: str, returns: Any, *arguments: Any) -> Callable[..., Any]:
    """Return a function of the library with its signature; arrays are handed over by `address`."""
    found = library()[name]
    found.restype, found.argtypes = returns, arguments
    return found


def buffer_address(data: Buffer) -> int:
    """Return where bytes begin; they must be kept until the call has returned."""
    return int(np.frombuffer(data, np.uint8).ctypes.data) if len(data) else 0


def address(array: np.ndarray) -> int:
    """Return where a contiguous array begins; it must be kept until the call has returned.

    Raises
    ------
    ValueError
        If its elements do not stand one after the other.
    """
    if not array.flags.c_contiguous:
        raise ValueError("array: not contiguous, expected one in C's order")
    return int(array.ctypes.data)
