"""Every customer's row: numbers as columns that Python and the compiled library share, the rest in the library.

The numbers of all rows (activity, memberships, places, due dates) are in numpy arrays that are lent to the library for
a call (`stream_app.core.table_columns`); ids, those of events, orders, days, ledgers of series and traits are in the
library's own memory (`native/rows.c`), 32 bytes of reference and a few blocks a customer. Rows are numbered from 0 in
the order in which customers were first seen. What a row says in bytes is `stream_app.core.row`'s; the table knows no
model and no condition.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from stream_app.core.arrays import Indices, Instants
from stream_app.core.clock import NO_TIME
from stream_app.core.customer_ids import CustomerIds
from stream_app.core.local_days import UTC, zone_runs
from stream_app.core.members import MemberSums
from stream_app.core.native_rows import LIBRARY, checked, cut, fail, refusal_error
from stream_app.core.row import FIRST_SEGMENTATION, digest
from stream_app.core.segments import NO_SEGMENT
from stream_app.core.table_columns import TableColumns
from stream_app.core.traits import TraitValue, read_counts, read_traits
from stream_app.errors import ConfigurationError, SegmenterError
from stream_app.native.library import NO_MEMORY, NO_ROOM, OUT_OF_RANGE, address
from stream_app.native.structures import MEMORY_PARTS, SERIES_MAX, Columns, Memory, RecordParts, Refusal, RowNames

_CODES: Final = 32_768
"""Segment codes are 16-bit numbers ≥ 0."""
_BARRED_MS: Final = -NO_TIME + 2
"""In place of the first instant, `SEG_BARRED_MS`."""

NOTICED: Final = "~upcoming"
"""After a segmentation's name: the name of the place that keeps the notices given ahead of its moves."""


class CustomerTable:
    """Rows of customers.

    Parameters
    ----------
    names
        Of the m segmentations that are not by rules, in the order of `memberships`.
    ruled_names
        Of the r segmentations by rules, in the order of `places`.
    timezone
        Name of the zone whose days are counted: the active and the engaged ones of each customer.

    Attributes
    ----------
    names, ruled_names
        Of the segmentations.
    since_names
        Of those by rules that keep when the present segment was entered: all, until `keep_since` says which.
    activity
        `ACTIVITY_DTYPE`, shape `(len(table),)`; a view that is valid until rows are added.
    memberships
        `MEMBERSHIP_DTYPE`, shape `(m, len(table))`, a view as well.
    places
        `PLACE_DTYPE`, shape `(r, len(table))`, a view as well.
    since_ms
        Shape `(k, len(table))`: when the present segment was entered, `NO_TIME` where that is not known.
    due_at_ms, rules_due_at_ms
        Shape `(len(table),)`: silence moves a customer in no segmentation before that instant, and changes no
        rule. Not part of the row, as it follows from it; `NO_TIME` where it has not been worked out. The second one is
        without meaning where there are no rules.
    closed_at_ms
        Shape `(len(table),)`: up to when a customer's moves have been published.
    customer_ids
        By row number, decoded when they are asked for.
    """

    def __init__(
        self, names: Sequence[str] = (FIRST_SEGMENTATION,), ruled_names: Sequence[str] = (), timezone: str = UTC
    ) -> None:
        self.handle: int = LIBRARY.new()
        if not self.handle:
            raise MemoryError
        weakref.finalize(self, LIBRARY.free, self.handle)
        self.timezone: Final = timezone
        runs = np.array(zone_runs(timezone), np.int32)
        checked(LIBRARY.count_days(self.handle, address(runs), len(runs)))
        self.names: list[str] = []
        self.ruled_names: list[str] = []
        self._noticed_names: list[str] = []
        self.since_names: list[str] = []
        self.customer_ids = CustomerIds(self)
        self._columns = TableColumns()
        self._digests = self._ruled_digests = np.zeros(0, np.uint64)
        self._since_of = np.zeros(0, np.int32)
        self._member_sums: npt.NDArray[np.int64] | None = None  # counted again at the next question
        for name in names:
            self.admit(name)
        for name in ruled_names:
            self.admit_ruled(name)

    def __len__(self) -> int:
        return int(LIBRARY.count(self.handle))

    @property
    def activity(self) -> np.ndarray:
        """Records of what events add up to."""
        return self._columns["activity"][: len(self)]

    @property
    def memberships(self) -> np.ndarray:
        """Records of which segment each customer is in, a row of them for each segmentation."""
        return self._columns["memberships"][:, : len(self)]

    @property
    def places(self) -> np.ndarray:
        """Records of which segment each customer is in, a row of them for each segmentation by rules."""
        return self._columns["places"][:, : len(self)]

    @property
    def since_ms(self) -> Instants:
        """Instants of entering the present segments, a row of them for each of `since_names`."""
        return self._columns["since_ms"][:, : len(self)]

    def count_known(self) -> int:
        """Return of how many customers more is known than returns of orders that nobody has stated.

        Who goes by another id is not counted.
        """
        first_at_ms = self.activity["first_at_ms"]
        is_known = (first_at_ms < -NO_TIME) | (self.closed_at_ms != NO_TIME)
        return int(np.count_nonzero(is_known & (first_at_ms <= -NO_TIME)))

    @property
    def closed_at_ms(self) -> Instants:
        """Instants up to which moves have been published."""
        return self._columns["closed_at_ms"][: len(self)]

    @property
    def due_at_ms(self) -> Instants:
        """Instants before which time alone moves nobody."""
        return self._columns["due_at_ms"][: len(self)]

    @property
    def rules_due_at_ms(self) -> Instants:
        """Instants before which time alone changes no rule."""
        return self._columns["rules_due_at_ms"][: len(self)]

    @property
    def series_digests(self) -> list[int]:
        """Digests of the series by which events are counted, by number."""
        digests = ctypes.POINTER(ctypes.c_uint64)()
        return digests[: LIBRARY.series_digests(self.handle, ctypes.byref(digests))]

    @property
    def memory(self) -> dict[str, int]:
        """Bytes taken, by what they hold; columns as far as they are filled, those of rules apart."""
        taken = Memory()
        LIBRARY.memory(self.handle, ctypes.byref(taken))
        return self._columns.filled_bytes(len(self)) | {part: getattr(taken, part) for part in MEMORY_PARTS}

    def columns(self) -> Columns:
        """Return where the columns stand, for one call of the library; valid until rows are added or names admitted."""
        return self._columns.lent(self._member_sums)

    def _names(self) -> RowNames:
        """Return how rows call the segmentations by rules."""
        return RowNames(address(self._digests), address(self._ruled_digests), address(self._since_of))

    def reserve(self, extra: int) -> None:
        """Make room for this many more rows; columns grow by half at least."""
        self._columns.reserve(len(self), extra)

    def admit(self, name: str) -> None:
        """Add a segmentation after the others; nobody is in a segment of it who has not been before.

        Customers restored earlier enter with what their rows said of it.
        """
        self._columns.add("memberships", "outdated")
        self.names.append(name)
        self._digests = np.append(self._digests, _number(name))
        self._member_sums = None
        LIBRARY.admit(self.handle, self.columns(), self._names(), len(self.names) - 1)
        self.forget_due()

    def admit_ruled(self, name: str) -> None:
        """Add a segmentation by rules after the others of this kind, as `admit` does.

        Customers who were in a segmentation of this name and of another kind continue from there. Rules are to be
        evaluated for everybody.
        """
        self._admit_place(len(self.ruled_names), name)
        self.ruled_names.append(name)

    def keep_notices(self, names: Sequence[str]) -> dict[str, int]:
        """Keep the notices given ahead of moves in some segmentations, in places after those of rules.

        Returns
        -------
        dict
            The name of each place, and its number.
        """
        kept = [f"{name}{NOTICED}" for name in names]
        for name in kept:
            if name not in self._noticed_names:
                self._admit_place(len(self.ruled_names) + len(self._noticed_names), name)
                self._noticed_names.append(name)
        return {name: len(self.ruled_names) + self._noticed_names.index(name) for name in kept}

    def _admit_place(self, number: int, name: str) -> None:
        self._columns.insert("places", number)
        self._columns.add("since_ms")
        self.since_names.append(name)
        self._ruled_digests = np.insert(self._ruled_digests, number, _number(name))
        self._since_of = np.insert(self._since_of, number, np.int32(len(self.since_names) - 1))
        self._member_sums = None
        LIBRARY.admit_ruled(self.handle, self.columns(), self._names(), number)

    def keep_since(self, names: Sequence[str]) -> None:
        """Say which segmentations by rules keep when the present segment was entered, in the order of `since_ms`.

        Those that have kept it until now continue; for the others it is not known yet.
        """
        every = [*self.ruled_names, *self._noticed_names]
        positions = [every.index(name) for name in names]
        sources = [self.since_names.index(name) if name in self.since_names else None for name in names]
        self._columns.keep_since(sources, len(self))
        self._since_of = np.full(len(every), -1, np.int32)
        self._since_of[positions] = np.arange(len(positions))
        self.since_names = list(names)

    def set_words(self, words: int) -> None:
        """Set the number of words of 64 conditions for each customer; all are to be evaluated again."""
        self._columns.set_words(words)
        self.rules_due_at_ms[:] = NO_TIME

    def series_number(self, series_digest: int) -> int:
        """Return the number of a series of events, which it keeps as long as the table lives.

        Raises
        ------
        ConfigurationError
            If it would be one too many.
        """
        number = int(LIBRARY.series(self.handle, series_digest))
        if number < 0:
            raise ConfigurationError(
                f"segmentations: conditions have counted {SERIES_MAX + 1} different series of events since this process"
                f" started, expected at most {SERIES_MAX}"
            )
        return number

    def find(self, customer_id: str) -> int:
        """Return the row number of a customer, −1 if there is none."""
        encoded = customer_id.encode()
        return int(LIBRARY.find(self.handle, encoded, len(encoded), xxh3_64_intdigest(encoded)))

    def insert(self, customer_id: str) -> int:
        """Return the row number of a customer; if there is none, add an empty row."""
        self.reserve(1)
        encoded = customer_id.encode()
        size, id_hash = len(encoded), xxh3_64_intdigest(encoded)
        return checked(LIBRARY.insert(self.handle, self.columns(), encoded, size, id_hash), customer_id)

    def due_by(self, at_ms: int, first: int = 0, last: int | None = None) -> Indices:
        """Return the numbers of the rows in `[first, last)` that silence may have moved by an instant, ascending."""
        return first + np.flatnonzero(self.due_at_ms[first:last] <= at_ms)

    def forget_due(self) -> None:
        """Have everybody looked at again."""
        self.due_at_ms[:] = NO_TIME

    def outdate(self, segmentation: int) -> None:
        """Note that nobody has been assessed under the present version of a segmentation."""
        self._columns["outdated"][segmentation, : len(self)] = True
        self.forget_due()

    def outdate_rules(self) -> None:
        """Note that no rules have been evaluated under their present version."""
        self._columns["rules_outdated"][: len(self)] = True
        self.rules_due_at_ms[:] = NO_TIME
        self.forget_due()

    def encode(self, number: int) -> bytes:
        """Return the whole row as bytes, for the changelog."""
        return self.encode_all([number])[0]

    def encode_all(self, numbers: Sequence[int] | Indices) -> list[bytes]:
        """Return `encode` of each, at a lower cost a row."""
        encoded, sizes = self.encode_rows(np.asarray(numbers, np.int64))
        return cut(encoded, sizes)

    def encode_rows(self, numbers: npt.NDArray[np.int64]) -> tuple[bytes, npt.NDArray[np.int64]]:
        """Return n encoded rows one after the other, and the bytes of each, shape `(n,)`.

        Raises
        ------
        IndexError
            If there is no such row.
        ValueError
            If a row has more memberships or places than it can say, 255.
        """
        columns, chosen, n = self.columns(), np.ascontiguousarray(numbers, np.int64), len(numbers)
        if n and not (chosen.min() >= 0 and chosen.max() < len(self)):
            raise IndexError(f"rows: {chosen.min()} to {chosen.max()}, expected 0 to {len(self) - 1}")
        sizes = np.empty(n, np.int64)
        arguments = (self.handle, columns, self._names(), address(chosen), n)
        room = LIBRARY.encode(*arguments, None, 0, address(sizes))
        out = np.empty(max(room, 0), np.uint8)
        written = room if room < 0 else LIBRARY.encode(*arguments, address(out), room, address(sizes))
        if written == OUT_OF_RANGE:
            raise ValueError("row: memberships or places in more than 255 segmentations, expected at most 255")
        return out[: checked(written)].tobytes(), sizes

    def restore(self, customer_id: str, encoded: bytes) -> None:
        """Put an encoded row in, new or in place of the customer's present one; see `restore_many`."""
        self.restore_many([(customer_id.encode(), encoded)])

    def restore_many(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Put encoded rows in, one after the other, and remove customers whose row is None.

        Memberships and places in segmentations that the table does not have are kept as they are, so that one which is
        configured again later finds its customers' sequences.

        Parameters
        ----------
        records
            Customer ids as UTF-8, and encoded rows.

        Raises
        ------
        RowVersionUnknown
            If a later version of the software wrote one; all before it are in.
        RowDamaged
            If one is not as long as it says, says what no row can, or its id is not UTF-8.
        """
        keys = [key for key, _ in records]
        values = [value for _, value in records]
        buffer = b"".join((*keys, *(value for value in values if value is not None)))
        sizes = np.array([*map(len, keys), *(-1 if value is None else len(value) for value in values)], np.int64)
        held = np.maximum(sizes, 0)
        self.restore_parts(buffer, *np.split(np.stack((np.cumsum(held) - held, sizes)), 2, axis=1))

    def restore_parts(self, buffer: bytes, keys: npt.NDArray[np.int64], values: npt.NDArray[np.int64]) -> None:
        """Do as `restore_many` for n records whose parts are in a buffer.

        Parameters
        ----------
        keys, values
            Where each begins, and its size, −1 where there is no row; shape `(2, n)`.
        """
        count, refusal = keys.shape[1], Refusal()
        self.reserve(count)
        self._member_sums = None
        (key_at, key_sizes), (value_at, value_sizes) = np.ascontiguousarray(keys), np.ascontiguousarray(values)
        data = np.frombuffer(buffer, np.uint8)
        status = LIBRARY.restore(
            *(self.handle, self.columns(), self._names(), count),
            RecordParts(address(data), len(data), address(key_at), address(key_sizes)),
            RecordParts(address(data), len(data), address(value_at), address(value_sizes)),
            ctypes.byref(refusal),
        )
        if status == 0:
            return
        start, size = (int(keys[part, refusal.index]) for part in range(2))
        customer_id = buffer[start : start + size].decode(errors="backslashreplace")
        if status in (NO_MEMORY, NO_ROOM, OUT_OF_RANGE):
            fail(status, customer_id)
        raise refusal_error(refusal, customer_id)

    def has_ended(self, number: int) -> bool:
        """Return whether a row's customer goes by another id; one that is barred has statements on consent."""
        return int(self.activity["first_at_ms"][number]) > -NO_TIME and not self.is_barred(number)

    def is_barred(self, number: int) -> bool:
        """Return whether a row's customer has not agreed to be known (`native/barring.c`)."""
        return int(self.activity["first_at_ms"][number]) == _BARRED_MS

    def bring(self, customer_ids: Sequence[str], rows: Sequence[bytes]) -> None:
        """Put encoded rows in that stand in no segment, whatever they say; sums over members stay as they are.

        Raises
        ------
        RowVersionUnknown, RowDamaged
            If one cannot be read; none of them is in then.
        """
        sums = self._member_sums
        try:
            self.restore_many([(each.encode(), row) for each, row in zip(customer_ids, rows, strict=True)])
        except SegmenterError:
            self.take_back(customer_ids)
            raise
        finally:
            self._member_sums = sums
        numbers = [self.find(each) for each in customer_ids]
        self.memberships[:, numbers] = np.zeros((), self.memberships.dtype)
        self.places[:, numbers] = np.zeros((), self.places.dtype)

    def take_back(self, customer_ids: Sequence[str]) -> None:
        """Take out what `bring` put in as the last rows; the others keep their numbers."""
        columns = self.columns()
        for each in reversed(customer_ids):
            encoded = each.encode()
            LIBRARY.remove(self.handle, columns, encoded, len(encoded), xxh3_64_intdigest(encoded))

    def remove(self, customer_id: str) -> None:
        """Forget a customer, if there is one of this id; the last row takes the number of the one that is removed."""
        encoded = customer_id.encode()
        if LIBRARY.remove(self.handle, self.columns(), encoded, len(encoded), xxh3_64_intdigest(encoded)) >= 0:
            self._member_sums = None

    def traits_of(self, customer_id: str) -> dict[str, TraitValue]:
        """Return a customer's traits, those that were taken away left out; none of one who is not in the table."""
        traits = LIBRARY.traits(self.handle, self.find(customer_id))
        return read_traits(ctypes.string_at(traits.data, traits.size) if traits.size else b"")

    def count_traits(self) -> dict[str, int]:
        """Return how many customers have each trait, by its name, in the order of names."""
        room = checked(LIBRARY.count_traits(self.handle, None, 0))
        out = np.empty(room, np.uint8)
        checked(LIBRARY.count_traits(self.handle, address(out), room))
        return read_counts(out.tobytes())

    def members(self, segmentation: int = 0) -> dict[int, MemberSums]:
        """Return sums over the members of each segment of a segmentation, by its code; of segments that have some.

        Segmentations by rules come after the others: m + r of them.

        The library keeps them as events and time change the table. After anything else they are counted when somebody
        asks for the first time.
        """
        if self._member_sums is None:
            segmentations = len(self.names) + len(self.ruled_names) + len(self._noticed_names)
            self._member_sums = np.zeros((segmentations, _CODES, len(MemberSums._fields)), np.int64)
            LIBRARY.count_members(self.handle, self.columns())
        sums = self._member_sums[segmentation]
        present = np.flatnonzero(sums[:, 0])
        rows = zip(present.tolist(), sums[present].tolist(), strict=True)
        return {code: MemberSums(*row) for code, row in rows if code != NO_SEGMENT}

    def segment_sizes(self, segmentation: int = 0) -> dict[int, int]:
        """Return the number of customers by segment code of a segmentation, without those that have none."""
        return {code: sums.customers for code, sums in self.members(segmentation).items()}


def _number(name: str) -> np.ndarray:
    """Return the number whose bytes are the digest of a name, shape `(1,)`."""
    return np.frombuffer(digest(name.encode()), np.uint64)
