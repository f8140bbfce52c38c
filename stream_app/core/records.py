"""Decoded records as the core takes them, column by column: one object a record would cost more than decoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from stream_app.core.clock import NO_TIME
from stream_app.core.events import Event, Position
from stream_app.errors import InvalidRecord


class Rejection(NamedTuple):
    """A record that broke its contract, with its bytes; key and timestamp where its carrier has such things."""

    error: InvalidRecord
    payload: bytes
    key: bytes | None = None
    timestamp_ms: int | None = None

    @property
    def at_ms(self) -> int:
        """No time that would move a watermark."""
        return NO_TIME


class Skipped(NamedTuple):
    """A record that is neither folded nor refused here, such as a tombstone or one on the wrong partition."""

    record: Any

    @property
    def at_ms(self) -> int:
        """No time that would move a watermark."""
        return NO_TIME


Content = Event | Rejection | Skipped
Offsets = npt.NDArray[np.int64]


class Batch(NamedTuple):
    """Records in the order of the stream.

    Attributes
    ----------
    watermarks_ms
        Watermark of the record's source, shape `(n,)`, ascending.
    contents
        What became of each of the n records.
    sources, offsets
        Number of its file or topic, and its place in there (a line's number, a record's offset), shape `(n,)`.
    """

    watermarks_ms: npt.NDArray[np.int64]
    contents: Sequence[Content]
    sources: npt.NDArray[np.intp]
    offsets: Offsets

    def part(self, start: int, stop: int) -> Batch:
        """Return the records `[start, stop)`."""
        return Batch(*(column[start:stop] for column in self))  # type: ignore[arg-type]


NO_RECORDS: Final = Batch(np.empty(0, np.int64), [], np.empty(0, np.intp), np.empty(0, np.int64))


def batch_of(contents: Sequence[Content], source: int, offsets: Sequence[int] | Offsets, watermark_ms: int) -> Batch:
    """Return consecutive records of one source, with the watermark that it has after each.

    Parameters
    ----------
    contents
        What became of each of the n records; only an event moves the watermark.
    source
        Number of the source.
    offsets
        Their places in it, shape `(n,)`.
    watermark_ms
        The source's watermark before the first record, `NO_TIME` if it has none yet.
    """
    times_ms = np.array([content.at_ms for content in contents], np.int64)
    if len(times_ms):
        times_ms[0] = max(times_ms[0], watermark_ms)
    return Batch(
        np.maximum.accumulate(times_ms),
        contents,
        np.full(len(contents), source, np.intp),
        np.asarray(offsets, np.int64),
    )


class Positions(Sequence[Position]):
    """Where the records of a batch came from, made on demand: few are ever asked for.

    Parameters
    ----------
    batch
        The records.
    chosen
        Indices of the records in question, in order.
    names
        Name of each source.
    partition
        Of all records.
    """

    def __init__(self, batch: Batch, chosen: Sequence[int], names: Sequence[str], partition: int = 0) -> None:
        self._batch = batch
        self._chosen = chosen
        self._names = names
        self._partition = partition

    def __len__(self) -> int:
        return len(self._chosen)

    @overload
    def __getitem__(self, index: int) -> Position: ...
    @overload
    def __getitem__(self, index: slice) -> Positions: ...
    def __getitem__(self, index: int | slice) -> Position | Positions:
        if isinstance(index, slice):
            return Positions(self._batch, self._chosen[index], self._names, self._partition)
        record = self._chosen[index]
        return Position(self._names[self._batch.sources[record]], self._partition, int(self._batch.offsets[record]))
