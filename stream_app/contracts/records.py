"""Decoded records on their way to the core, column by column: one object a record would cost more than decoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from stream_app.core.events import Event, Position
from stream_app.errors import InvalidRecord


class Rejection(NamedTuple):
    """A record that broke its contract, with its bytes; key and timestamp where its carrier has such things."""

    error: InvalidRecord
    payload: bytes
    key: bytes | None = None
    timestamp_ms: int | None = None


class Skipped(NamedTuple):
    """A record that is neither folded nor refused here, such as a tombstone or one on the wrong partition."""

    record: Any


Content = Event | Rejection | Skipped


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
    offsets: npt.NDArray[np.int64]

    def part(self, start: int, stop: int) -> Batch:
        """Return the records `[start, stop)`."""
        return Batch(*(column[start:stop] for column in self))  # type: ignore[arg-type]


NO_RECORDS: Final = Batch(np.empty(0, np.int64), [], np.empty(0, np.intp), np.empty(0, np.int64))


def interleave(parts: Sequence[Batch]) -> Batch:
    """Return all records ordered by watermark, those of an earlier part first where it is the same."""
    watermarks_ms = np.concatenate([part.watermarks_ms for part in parts])
    order = np.argsort(watermarks_ms, kind="stable")
    contents: list[Content] = [content for part in parts for content in part.contents]
    return Batch(
        watermarks_ms[order],
        [contents[index] for index in order.tolist()],
        np.concatenate([part.sources for part in parts])[order],
        np.concatenate([part.offsets for part in parts])[order],
    )


class Positions(Sequence[Position]):
    """Where the records of a batch came from, made on demand: few are ever asked for.

    Parameters
    ----------
    batch
        The records.
    chosen
        Indices of the records that are meant, in order.
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
