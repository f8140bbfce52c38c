"""Records on their way from files to the core, column by column: one object a record would cost more than decoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from stream_app.core.events import Event, Position
from stream_app.errors import InvalidRecord


class Rejection(NamedTuple):
    """A record that broke its contract, with its bytes."""

    error: InvalidRecord
    payload: bytes


class Batch(NamedTuple):
    """Records in the order of the stream.

    Attributes
    ----------
    watermarks_ms
        Watermark of the record's file, shape `(n,)`, ascending.
    contents
        What became of each of the n records.
    files, lines
        Number of its file, and of its line in there (from 1), shape `(n,)`.
    """

    watermarks_ms: npt.NDArray[np.int64]
    contents: list[Event | Rejection]
    files: npt.NDArray[np.intp]
    lines: npt.NDArray[np.int64]

    def part(self, start: int, stop: int) -> Batch:
        """Return the records `[start, stop)`."""
        return Batch(*(column[start:stop] for column in self))  # type: ignore[arg-type]


NO_RECORDS: Final = Batch(np.empty(0, np.int64), [], np.empty(0, np.intp), np.empty(0, np.int64))


def interleave(parts: Sequence[Batch]) -> Batch:
    """Return all records ordered by watermark, those of an earlier part first where it is the same."""
    watermarks_ms = np.concatenate([part.watermarks_ms for part in parts])
    order = np.argsort(watermarks_ms, kind="stable")
    contents = [content for part in parts for content in part.contents]
    return Batch(
        watermarks_ms[order],
        [contents[index] for index in order.tolist()],
        np.concatenate([part.files for part in parts])[order],
        np.concatenate([part.lines for part in parts])[order],
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
        Name of each file.
    """

    def __init__(self, batch: Batch, chosen: Sequence[int], names: Sequence[str]) -> None:
        self._batch = batch
        self._chosen = chosen
        self._names = names

    def __len__(self) -> int:
        return len(self._chosen)

    @overload
    def __getitem__(self, index: int) -> Position: ...
    @overload
    def __getitem__(self, index: slice) -> Positions: ...
    def __getitem__(self, index: int | slice) -> Position | Positions:
        if isinstance(index, slice):
            return Positions(self._batch, self._chosen[index], self._names)
        record = self._chosen[index]
        return Position(self._names[self._batch.files[record]], 0, int(self._batch.lines[record]))
