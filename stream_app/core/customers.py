"""Every customer's row: numbers as columns that Python and the compiled library share, the rest in the library.

The numbers of all rows (activity, memberships, due dates) lie in numpy arrays that are allocated here and lent to the
library for a call; ids, recent event ids, orders and days lie in the library's own memory (`native/rows.c`), 24 bytes
of reference and a few blocks a customer. Rows are numbered from 0 in the order in which customers were first seen. What
a row says in bytes is `stream_app.core.row`'s; the table knows no model.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Iterator, Sequence
from typing import Final, NoReturn, overload

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from stream_app.core.arrays import Indices, Instants
from stream_app.core.clock import NO_TIME
from stream_app.core.members import MemberSums
from stream_app.core.native_rows import LIBRARY, refusal_error
from stream_app.core.row import (
    ACTIVITY_DTYPE,
    FIRST_SEGMENTATION,
    MEMBERSHIP_DTYPE,
    digest,
)
from stream_app.core.segments import NO_SEGMENT
from stream_app.native.library import NO_MEMORY, NO_ROOM, OUT_OF_RANGE, address
from stream_app.native.structures import MEMORY_PARTS, Columns, Memory, RecordParts, Refusal

_INITIAL_CAPACITY: Final = 1024
_CODES: Final = 32_768
"""Segment codes are 16-bit numbers ≥ 0."""


class CustomerTable:
    """Rows of customers.

    Parameters
    ----------
    names
        Of the m segmentations, in the order of `memberships`.

    Attributes
    ----------
    names
        Of the segmentations.
    activity
        `ACTIVITY_DTYPE`, shape `(len(table),)`; a view that is valid until rows are added.
    memberships
        `MEMBERSHIP_DTYPE`, shape `(m, len(table))`, likewise.
    due_at_ms
        Shape `(len(table),)`, likewise: silence moves a customer in no segmentation before that instant. Not part of
        the row, as it follows from it; `NO_TIME` where it has not been worked out.
    customer_ids
        By row number, decoded when they are asked for.
    """

    def __init__(self, names: Sequence[str] = (FIRST_SEGMENTATION,)) -> None:
        self.handle: int = LIBRARY.new()
        if not self.handle:
            raise MemoryError
        weakref.finalize(self, LIBRARY.free, self.handle)
        self.names: list[str] = []
        self.customer_ids = CustomerIds(self)
        self.digests = np.zeros(0, np.uint64)
        self._activity = np.zeros(_INITIAL_CAPACITY, ACTIVITY_DTYPE)
        self._memberships = np.zeros((0, _INITIAL_CAPACITY), MEMBERSHIP_DTYPE)
        self._due_at_ms = np.zeros(_INITIAL_CAPACITY, np.int64)
        self._outdated = np.zeros((0, _INITIAL_CAPACITY), np.bool_)
        self._member_sums: npt.NDArray[np.int64] | None = None  # to be counted anew, by whoever asks next
        for name in names:
            self.admit(name)

    def __len__(self) -> int:
        return int(LIBRARY.count(self.handle))

    @property
    def activity(self) -> np.ndarray:
        """Records of what events add up to."""
        return self._activity[: len(self)]

    @property
    def memberships(self) -> np.ndarray:
        """Records of which segment each customer is in, a row of them for each segmentation."""
        return self._memberships[:, : len(self)]

    @property
    def due_at_ms(self) -> Instants:
        """Instants before which time alone moves nobody."""
        return self._due_at_ms[: len(self)]

    @property
    def memory(self) -> dict[str, int]:
        """Bytes taken, by what they hold; columns as far as they are filled."""
        taken = Memory()
        LIBRARY.memory(self.handle, ctypes.byref(taken))
        filled = sum(column.itemsize for column in (self._activity, self._due_at_ms)) + len(self.names) * (
            self._memberships.itemsize + self._outdated.itemsize
        )
        return {"columns": filled * len(self)} | {part: getattr(taken, part) for part in MEMORY_PARTS}

    def columns(self) -> Columns:
        """Return where the columns stand, for one call of the library; valid until rows are added or names admitted."""
        sums = self._member_sums
        return Columns(
            activity=address(self._activity),
            memberships=address(self._memberships),
            due_at_ms=address(self._due_at_ms),
            outdated=address(self._outdated),
            member_sums=None if sums is None else address(sums),
            capacity=len(self._activity),
            segmentations=len(self.names),
        )

    def reserve(self, extra: int) -> None:
        """Have room for so many more rows; columns grow by half at least."""
        capacity, count = len(self._activity), len(self)
        if count + extra > capacity:
            self._set_capacity(max(count + extra, capacity + capacity // 2), count)

    def admit(self, name: str) -> None:
        """Add a segmentation behind the others; nobody is in a segment of it who has not been before.

        Customers restored earlier enter with what their rows said of it.
        """
        m, capacity = len(self.names), len(self._activity)
        entered = np.zeros((1, capacity), MEMBERSHIP_DTYPE)
        self._memberships = np.concatenate((self._memberships, entered))
        self._outdated = np.concatenate((self._outdated, np.zeros((1, capacity), np.bool_)))
        self.names.append(name)
        self.digests = np.append(self.digests, np.frombuffer(digest(name.encode()), np.uint64))
        self._member_sums = None
        LIBRARY.admit(self.handle, self.columns(), m, int(self.digests[m]))
        self.forget_due()

    def find(self, customer_id: str) -> int:
        """Return the row number of a customer, −1 if there is none."""
        encoded = customer_id.encode()
        return int(LIBRARY.find(self.handle, encoded, len(encoded), xxh3_64_intdigest(encoded)))

    def insert(self, customer_id: str) -> int:
        """Return the row number of a customer; if there is none, add an empty row."""
        self.reserve(1)
        encoded = customer_id.encode()
        size, id_hash = len(encoded), xxh3_64_intdigest(encoded)
        return _checked(LIBRARY.insert(self.handle, self.columns(), encoded, size, id_hash), customer_id)

    def due_by(self, at_ms: int, first: int = 0, last: int | None = None) -> Indices:
        """Return the numbers of the rows in `[first, last)` that silence may have moved by an instant, ascending."""
        return first + np.flatnonzero(self.due_at_ms[first:last] <= at_ms)

    def forget_due(self) -> None:
        """Have everybody looked at again."""
        self.due_at_ms[:] = NO_TIME

    def outdate(self, segmentation: int) -> None:
        """Note that nobody has been assessed under the present version of a segmentation."""
        self._outdated[segmentation, : len(self)] = True
        self.forget_due()

    def encode(self, number: int) -> bytes:
        """Return the whole row as bytes, for the changelog."""
        return self.encode_all([number])[0]

    def encode_all(self, numbers: Sequence[int] | Indices) -> list[bytes]:
        """Return `encode` of each, at a lower cost a row."""
        encoded, sizes = self.encode_rows(np.asarray(numbers, np.int64))
        return _cut(encoded, sizes)

    def encode_rows(self, numbers: npt.NDArray[np.int64]) -> tuple[bytes, npt.NDArray[np.int64]]:
        """Return n encoded rows one after the other, and the bytes of each, shape `(n,)`.

        Raises
        ------
        IndexError
            If there is no such row.
        ValueError
            If a row has more memberships than it can say, 255.
        """
        columns, chosen, n = self.columns(), np.ascontiguousarray(numbers, np.int64), len(numbers)
        if n and not (chosen.min() >= 0 and chosen.max() < len(self)):
            raise IndexError(f"rows: {chosen.min()} to {chosen.max()}, expected 0 to {len(self) - 1}")
        sizes = np.empty(n, np.int64)
        arguments = (self.handle, columns, address(self.digests), address(chosen), n)
        room = LIBRARY.encode(*arguments, None, 0, address(sizes))
        if room == OUT_OF_RANGE:
            raise ValueError("row: memberships of more than 255 segmentations, expected at most 255")
        out = np.empty(room, np.uint8)
        written = _checked(LIBRARY.encode(*arguments, address(out), room, address(sizes)))
        return out[:written].tobytes(), sizes

    def restore(self, customer_id: str, encoded: bytes) -> None:
        """Put an encoded row in, new or in place of the customer's present one; see `restore_many`."""
        self.restore_many([(customer_id.encode(), encoded)])

    def restore_many(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Put encoded rows in, one after the other, and remove customers whose row is None.

        Memberships in segmentations that the table does not have are kept as they are, so that one which is configured
        again later finds its customers' sequences.

        Parameters
        ----------
        records
            Customer ids as UTF-8, and encoded rows.

        Raises
        ------
        RowVersionUnknown
            If a later version of the software wrote one; all before it are in.
        RowDamaged
            If one is not as long as it says, says what no row can, or its id is not UTF-8; likewise.
        """
        keys = [key for key, _ in records]
        values = [value for _, value in records]
        buffer = b"".join((*keys, *(value for value in values if value is not None)))
        sizes = np.array([*map(len, keys), *(-1 if value is None else len(value) for value in values)], np.int64)
        held = np.maximum(sizes, 0)
        self.restore_parts(buffer, *np.split(np.stack((np.cumsum(held) - held, sizes)), 2, axis=1))

    def restore_parts(self, buffer: bytes, keys: npt.NDArray[np.int64], values: npt.NDArray[np.int64]) -> None:
        """Do as `restore_many` for n records whose parts stand in a buffer.

        Parameters
        ----------
        keys, values
            Where each begins, and its size, −1 for a row that is none; shape `(2, n)`.
        """
        count, refusal = keys.shape[1], Refusal()
        self.reserve(count)
        self._member_sums = None
        (key_at, key_sizes), (value_at, value_sizes) = np.ascontiguousarray(keys), np.ascontiguousarray(values)
        data = np.frombuffer(buffer, np.uint8)
        status = LIBRARY.restore(
            *(self.handle, self.columns(), address(self.digests), count),
            RecordParts(address(data), len(data), address(key_at), address(key_sizes)),
            RecordParts(address(data), len(data), address(value_at), address(value_sizes)),
            ctypes.byref(refusal),
        )
        if status == 0:
            return
        start, size = (int(keys[part, refusal.index]) for part in range(2))
        customer_id = buffer[start : start + size].decode(errors="backslashreplace")
        if status in (NO_MEMORY, NO_ROOM, OUT_OF_RANGE):
            _fail(status, customer_id)
        raise refusal_error(refusal, customer_id)

    def remove(self, customer_id: str) -> None:
        """Forget a customer, if there is one of this id; the last row takes the number of the one that is removed."""
        encoded = customer_id.encode()
        if LIBRARY.remove(self.handle, self.columns(), encoded, len(encoded), xxh3_64_intdigest(encoded)) >= 0:
            self._member_sums = None

    def members(self, segmentation: int = 0) -> dict[int, MemberSums]:
        """Return sums over the members of each segment of a segmentation, by its code; of segments that have some.

        The library keeps them as events and time change the table. After anything else they are counted when somebody
        asks for the first time.
        """
        if self._member_sums is None:
            self._member_sums = np.zeros((len(self.names), _CODES, len(MemberSums._fields)), np.int64)
            LIBRARY.count_members(self.handle, self.columns())
        sums = self._member_sums[segmentation]
        present = np.flatnonzero(sums[:, 0])
        rows = zip(present.tolist(), sums[present].tolist(), strict=True)
        return {code: MemberSums(*row) for code, row in rows if code != NO_SEGMENT}

    def segment_sizes(self, segmentation: int = 0) -> dict[int, int]:
        """Return the number of customers by segment code of a segmentation, without those that have none."""
        return {code: sums.customers for code, sums in self.members(segmentation).items()}

    def _set_capacity(self, capacity: int, count: int) -> None:
        # What is not filled stays zero pages that nobody has touched: `insert` fills a row's columns.
        activity, due_at_ms = np.zeros(capacity, ACTIVITY_DTYPE), np.zeros(capacity, np.int64)
        memberships = np.zeros((len(self.names), capacity), MEMBERSHIP_DTYPE)
        outdated = np.zeros((len(self.names), capacity), np.bool_)
        activity[:count], due_at_ms[:count] = self.activity, self.due_at_ms
        memberships[:, :count], outdated[:, :count] = self.memberships, self._outdated[:, :count]
        self._activity, self._due_at_ms = activity, due_at_ms
        self._memberships, self._outdated = memberships, outdated


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
        return _cut(*self.joined(np.arange(first, last)))

    def of(self, rows: Indices) -> list[str]:
        """Return the ids of some rows."""
        return [encoded.decode() for encoded in _cut(*self.joined(rows))]

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
        _checked(LIBRARY.ids(*arguments, address(out), room, address(sizes)))
        return out.tobytes(), sizes

    def hashes(self, first: int = 0) -> npt.NDArray[np.uint64]:
        """Return XXH3 of the ids of all rows from `first` on."""
        out = np.empty(max(len(self) - first, 0), np.uint64)
        LIBRARY.hashes(self._table.handle, first, len(out), address(out))
        return out


def _cut(joined: bytes, sizes: npt.NDArray[np.int64]) -> list[bytes]:
    ends = np.cumsum(sizes).tolist()
    return [joined[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _checked(result: int, customer_id: str = "") -> int:
    return result if result >= 0 else _fail(result, customer_id)


def _fail(status: int, customer_id: str) -> NoReturn:
    if status == NO_MEMORY:
        raise MemoryError
    if status == OUT_OF_RANGE:
        raise ValueError(
            f"customer {customer_id[:40]!r}…: id of {len(customer_id.encode())} bytes, expected at most 65535"
        )
    raise RuntimeError(f"table: {status} of the library, expected a result")
