"""On which partition customers belong: Kafka's default partitioner, see `native/placement.c`."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from stream_app.core.events import Events
from stream_app.native.library import address, function
from stream_app.native.structures import EVENT_DTYPE


def places_of(events: Events, partitions: int) -> npt.NDArray[np.int32]:
    """Return the partition that the customer of each of n events belongs to, shape `(n,)`.

    Raises
    ------
    ValueError
        If there are no partitions.
    """
    records, texts = np.ascontiguousarray(events.records), np.ascontiguousarray(events.texts)
    places = np.empty(len(records), np.int32)
    if _place()(len(records), address(records), address(texts), len(texts), partitions, address(places)):
        raise ValueError(f"partitions: {partitions}, expected one at least")
    return places


def places_of_ids(customer_ids: Sequence[str], partitions: int) -> npt.NDArray[np.int32]:
    """Return the partition that each of n ids belongs to, shape `(n,)`."""
    encoded = [each.encode() for each in customer_ids]
    records = np.zeros(len(encoded), EVENT_DTYPE)
    records["customer_size"] = sizes = np.fromiter(map(len, encoded), np.int64, len(encoded))
    records["text_at"] = np.cumsum(sizes) - sizes
    return places_of(Events(records, np.frombuffer(b"".join(encoded), np.uint8)), partitions)


def place_of(key: bytes, partitions: int) -> int:
    """Return the partition, one of so many, that a key belongs to."""
    records = np.zeros(1, EVENT_DTYPE)
    records["customer_size"] = len(key)
    return int(places_of(Events(records, np.frombuffer(key, np.uint8)), partitions)[0])


@cache
def _place() -> Callable[..., int]:
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    return function("seg_place_events", ctypes.c_int32, size, pointer, pointer, size, ctypes.c_int32, pointer)
