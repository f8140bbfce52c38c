"""The ids of a table's customers."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, overload

import numpy as np
import numpy.typing as npt

from stream_app.core.arrays import Indices
from stream_app.core.events import Events
from stream_app.core.native_rows import LIBRARY, checked, cut
from stream_app.native.library import address

if TYPE_CHECKING:
    from stream_app.core.customers import CustomerTable


class CustomerIds(Sequence[str]):
    """The ids of a table's customers by row number, decoded when they are asked for.

    Parameters
    ----------
    table
        Of these customers.
    """

    def __init__(self, table: CustomerTable) -> None:
        self._table = weakref.proxy(table)

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            first, last, step = index.indices(len(self))
            if step != 1:
                return [self[number] for number in range(first, last, step)]
            return [encoded.decode() for encoded in self.encoded(first, max(last, first))]
        number = range(len(self))[index]
        return self.encoded(number, number + 1)[0].decode()

    def __iter__(self) -> Iterator[str]:
        return iter(self[:])

    def encoded(self, first: int, last: int) -> list[bytes]:
        """Return the ids of the rows in `[first, last)` as UTF-8."""
        return cut(*self.joined(np.arange(first, last)))

    def of(self, rows: Indices) -> list[str]:
        """Return the ids of some rows."""
        return [encoded.decode() for encoded in cut(*self.joined(rows))]

    def joined(self, rows: Indices) -> tuple[bytes, npt.NDArray[np.int64]]:
        """Return the ids of n rows as UTF-8, one after the other, and the bytes of each, shape `(n,)`.

        Raises
        ------
        IndexError
            If there is no such row.
        """
        chosen, sizes = np.ascontiguousarray(rows, np.int64), np.empty(len(rows), np.int64)
        arguments = (self._table.handle, address(chosen), len(chosen))
        room = LIBRARY.ids(*arguments, None, 0, address(sizes))
        if room < 0:
            raise IndexError(f"rows: {chosen.min()} to {chosen.max()}, expected 0 to {len(self) - 1}")
        out = np.empty(room, np.uint8)
        checked(LIBRARY.ids(*arguments, address(out), room, address(sizes)))
        return out.tobytes(), sizes

    def rows_of(self, events: Events) -> Indices:
        """Return the row number of each event's customer, −1 where there is none.

        Raises
        ------
        IndexError
            If an event is not within its texts.
        """
        records, texts = np.ascontiguousarray(events.records), np.ascontiguousarray(events.texts)
        rows = np.empty(len(records), np.int64)
        arguments = (address(records), len(records), address(texts), len(texts), address(rows))
        if LIBRARY.find_events(self._table.handle, *arguments):
            raise IndexError(f"events: {len(records)}, expected within their {len(texts)} bytes of texts")
        return rows

    def hashes(self, first: int = 0) -> npt.NDArray[np.uint64]:
        """Return XXH3 of the ids of all rows from `first` on."""
        out = np.empty(max(len(self) - first, 0), np.uint64)
        LIBRARY.hashes(self._table.handle, first, len(out), address(out))
        return out
