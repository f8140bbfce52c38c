"""Every customer's row, as columns that a sweep reads and as bytes that a changelog keeps; knows no model.

The reference that `native/rows.c` is compared with, byte by byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np

from stream_app.core.arrays import Indices, Instants
from stream_app.core.clock import NO_TIME
from stream_app.core.members import MemberSums
from stream_app.errors import RowDamaged
from tests.reference.members import MemberTotals
from tests.reference.row import (
    ACTIVITY,
    ACTIVITY_DTYPE,
    FIRST_SEGMENTATION,
    MEMBERSHIP_DTYPE,
    NO_ACTIVITY,
    NO_HISTORY,
    NO_MEMBERSHIP,
    NOTHING_BESIDE,
    Beside,
    CustomerHistory,
    Place,
    Row,
    digest,
    join_history,
    join_row,
    split_row,
)

_INITIAL_CAPACITY: Final = 1024
_NO_MEMBERSHIP_BYTES: Final = NO_MEMBERSHIP.tobytes()


class CustomerTable:
    """Rows of customers, numbered from 0 in the order in which they were first seen.

    Parameters
    ----------
    names
        Of the m segmentations, in the order of `memberships`.
    ruled_names
        Of those by rules, whose places, like ledgers and traits, are only kept as rows said.

    Attributes
    ----------
    names, ruled_names
        Of the segmentations.
    activity
        `ACTIVITY_DTYPE`, shape `(len(table),)`; a view that is valid until the next `insert`.
    memberships
        `MEMBERSHIP_DTYPE`, shape `(m, len(table))`, likewise.
    due_at_ms
        Shape `(len(table),)`, likewise: silence moves a customer in no segmentation before that instant. Not part of
        the row, as it follows from it; `NO_TIME` where it has not been worked out.
    customer_ids
        By row number.
    """

    def __init__(self, names: Sequence[str] = (FIRST_SEGMENTATION,), ruled_names: Sequence[str] = ()) -> None:
        self.names: list[str] = []
        self.ruled_names: list[str] = []
        self.since_names: list[str] = []
        self.customer_ids: list[str] = []
        self._digests: list[bytes] = []
        self._numbers: dict[str, int] = {}
        self._activity = np.zeros(_INITIAL_CAPACITY, ACTIVITY_DTYPE)
        self._activity_bytes = self._activity.view(np.uint8).data
        self._memberships = np.zeros((0, _INITIAL_CAPACITY), MEMBERSHIP_DTYPE)
        self._membership_bytes: list[memoryview] = []
        self._due_at_ms = np.full(_INITIAL_CAPACITY, NO_TIME)
        self._outdated = np.zeros((0, _INITIAL_CAPACITY), np.bool_)
        self._histories: list[CustomerHistory] = []
        self._other_memberships: dict[int, dict[bytes, bytes]] = {}
        self._closed_at_ms = np.full(_INITIAL_CAPACITY, NO_TIME)
        self._beside: dict[int, Beside] = {}
        self._totals: MemberTotals | None = None  # to be counted anew, by whoever asks next
        for name in names:
            self.admit(name)
        for name in ruled_names:
            self.admit_ruled(name)

    def __len__(self) -> int:
        return len(self.customer_ids)

    @property
    def activity(self) -> np.ndarray:
        """Records of what events add up to."""
        return self._activity[: len(self.customer_ids)]

    @property
    def memberships(self) -> np.ndarray:
        """Records of which segment each customer is in, a row of them for each segmentation."""
        return self._memberships[:, : len(self.customer_ids)]

    @property
    def due_at_ms(self) -> Instants:
        """Instants before which time alone moves nobody."""
        return self._due_at_ms[: len(self.customer_ids)]

    @property
    def closed_at_ms(self) -> Instants:
        """Instants up to which moves have been told."""
        return self._closed_at_ms[: len(self.customer_ids)]

    @property
    def holds(self) -> Callable[[str], bool]:
        """What tells whether a customer has a row: for loops, which it costs a third of a call of `find`."""
        return self._numbers.__contains__

    def admit(self, name: str) -> None:
        """Add a segmentation behind the others; nobody is in a segment of it who has not been before.

        Customers restored earlier enter with what their rows said of it.
        """
        entered = np.full((1, len(self._activity)), NO_MEMBERSHIP)
        name_digest = digest(name.encode())
        for number, others in self._other_memberships.items():
            if (known := others.pop(name_digest, None)) is not None:
                entered[0, number] = np.frombuffer(known, MEMBERSHIP_DTYPE)[0]
        self.names.append(name)
        self._digests.append(name_digest)
        self._set_memberships(np.concatenate((self._memberships, entered)))
        self._outdated = np.concatenate((self._outdated, np.zeros((1, self._outdated.shape[1]), np.bool_)))
        self._totals = None
        self.forget_due()

    def admit_ruled(self, name: str) -> None:
        """Add a segmentation by rules; a membership in another one of this name becomes a place."""
        self.ruled_names.append(name)
        self.since_names.append(name)
        for number in range(len(self)):
            self._place_members(number)
        self._totals = None

    def keep_since(self, names: Sequence[str]) -> None:
        """Say which segmentations by rules keep when the present segment was entered."""
        self.since_names = list(names)
        for number in range(len(self)):
            self._place_members(number)

    def places_of(self, number: int) -> dict[str, Place]:
        """Return a customer's places in the segmentations by rules."""
        places = self._beside.get(number, NOTHING_BESIDE).places
        return {name: places[digest(name.encode())] for name in self.ruled_names if digest(name.encode()) in places}

    def _place_members(self, number: int) -> None:
        beside, others = self._beside.get(number, NOTHING_BESIDE), self._other_memberships.get(number, {})
        known, own = dict(beside.places), dict[bytes, Place]()
        for name in self.ruled_names:
            name_digest = digest(name.encode())
            membership = others.pop(name_digest, None)
            place = known.pop(name_digest, None)
            if place is None and membership is not None:
                record = np.frombuffer(membership, MEMBERSHIP_DTYPE)[0]
                fields = ("sequence", "segment", "change", "since_ms")
                place = Place(*(int(record[field]) for field in fields)) if record["sequence"] else None
            if place is not None:
                own[name_digest] = place if name in self.since_names else place._replace(since_ms=NO_TIME)
        self._beside[number] = beside._replace(places=own | known)

    def find(self, customer_id: str) -> int:
        """Return the row number of a customer, −1 if there is none."""
        return self._numbers.get(customer_id, -1)

    def load(self, number: int) -> Row:
        """Return a copy of a row's activity; changing it does not change the table."""
        return join_history(ACTIVITY.unpack_from(self._activity_bytes, number * ACTIVITY.size), self._histories[number])

    def load_all(self, customer_ids: Iterable[str]) -> tuple[Indices, np.ndarray, list[CustomerHistory]]:
        """Return the row numbers of n customers, −1 for those without, and copies of their activity and history."""
        find, histories = self._numbers.get, self._histories
        found = [find(customer_id, -1) for customer_id in customer_ids]
        numbers = np.array(found, np.intp)
        activity = self._activity.take(numbers)
        activity[numbers < 0] = NO_ACTIVITY
        return numbers, activity, [histories[number] if number >= 0 else NO_HISTORY for number in found]

    def memberships_of(self, numbers: Indices) -> np.ndarray:
        """Return copies of the memberships of n customers, shape `(m, n)`; those without a row have a number < 0."""
        memberships = np.stack([column.take(numbers) for column in self._memberships])
        memberships[:, numbers < 0] = NO_MEMBERSHIP
        return memberships

    def insert(self, customer_id: str) -> int:
        """Add an empty row; return its number."""
        number = len(self.customer_ids)
        if number == len(self._activity):
            self._grow()
        self.customer_ids.append(customer_id)
        self._numbers[customer_id] = number
        self._histories.append(NO_HISTORY)
        self._activity[number] = NO_ACTIVITY
        return number

    def store(self, numbers: Indices, activity: np.ndarray, histories: Sequence[CustomerHistory]) -> None:
        """Replace the activity of n rows, given by their numbers; each argument has one entry for each."""
        stored = self._histories
        for number, new in zip(numbers.tolist(), histories, strict=True):
            stored[number] = new
        if self._totals is not None:
            segments = np.stack([column["segment"].take(numbers) for column in self._memberships])
            self._totals.replace_activity(segments, self._activity.take(numbers), activity)
        self._activity.put(numbers, activity)

    def store_memberships(self, numbers: Indices, memberships: np.ndarray) -> None:
        """Replace all memberships of n rows; shape `(m, n)`."""
        for segmentation, (stored, new) in enumerate(zip(self._memberships, memberships, strict=True)):
            if self._totals is not None:
                before, after = stored["segment"].take(numbers), new["segment"]
                moved = np.flatnonzero(before != after)
                activity = self._activity.take(numbers[moved])
                self._totals.move(segmentation, before[moved], after[moved], activity)
            stored.put(numbers, new)

    def store_due(self, numbers: Indices, due_at_ms: Instants) -> None:
        """Note that n customers were assessed in all segmentations, and until when nobody is to look at them."""
        self._due_at_ms.put(numbers, due_at_ms)

    def due_by(self, at_ms: int, first: int = 0, last: int | None = None) -> Indices:
        """Return the numbers of the rows in `[first, last)` that silence may have moved by an instant, ascending."""
        return first + np.flatnonzero(self.due_at_ms[first:last] <= at_ms)

    def note_assessed(self, number: int, segmentation: int) -> None:
        """Note that a customer was assessed under the present version of a segmentation."""
        self._outdated[segmentation, number] = False

    def forget_totals(self) -> None:
        """Have the sums over members counted anew."""
        self._totals = None

    def forget_due(self) -> None:
        """Have everybody looked at again."""
        self._due_at_ms[:] = NO_TIME

    def outdate(self, segmentation: int) -> None:
        """Note that nobody has been assessed under the present version of a segmentation."""
        self._outdated[segmentation, : len(self)] = True
        self.forget_due()

    def outdated_of(self, numbers: Indices) -> np.ndarray:
        """Say which of n customers have not been assessed under the present version of each segmentation, `(m, n)`."""
        return np.asarray((numbers >= 0) & self._outdated.take(numbers, axis=1))

    def encode(self, number: int) -> bytes:
        """Return the whole row as bytes, for the changelog."""
        return self.encode_all([number])[0]

    def encode_all(self, numbers: Sequence[int]) -> list[bytes]:
        """Return `encode` of each, at a lower cost a row."""
        chosen = np.array(numbers, np.intp)
        # Cut from bytes, not from the arrays' memory: a slice of bytes takes half the time of one of a memoryview.
        activity, a = self._activity.take(chosen).tobytes(), ACTIVITY.size
        m = MEMBERSHIP_DTYPE.itemsize
        columns = [
            (name_digest, memberships.take(chosen).tobytes())
            for name_digest, memberships in zip(self._digests, self._memberships, strict=True)
        ]
        histories, others = self._histories, self._other_memberships
        encoded = []
        for row, number in enumerate(numbers):
            entries = [name_digest + column[row * m : row * m + m] for name_digest, column in columns]
            if others and number in others:
                entries += [name_digest + record for name_digest, record in others[number].items()]
            beside = self._beside.get(number, NOTHING_BESIDE)._replace(closed_at_ms=int(self._closed_at_ms[number]))
            encoded.append(join_row(activity[row * a : row * a + a], entries, histories[number], beside))
        return encoded

    def restore(self, customer_id: str, encoded: bytes) -> None:
        """Put an encoded row in, new or in place of the customer's present one.

        Memberships in segmentations that the table does not have are kept as they are, so that one which is configured
        again later finds its customers' sequences.

        Raises
        ------
        RowVersionUnknown
            If a later version of the software wrote it.
        RowDamaged
            If it is not as long as it says.
        """
        try:
            activity, memberships, history, beside = split_row(encoded)
        except RowDamaged as error:
            raise RowDamaged(f"customer {customer_id!r}: {error}") from None
        number = self.find(customer_id)
        if number < 0:
            number = self.insert(customer_id)
        start = number * ACTIVITY.size
        self._activity_bytes[start : start + ACTIVITY.size] = activity
        self._histories[number] = history
        others, size = dict(memberships), MEMBERSHIP_DTYPE.itemsize
        for name_digest, column in zip(self._digests, self._membership_bytes, strict=True):
            known = others.pop(name_digest, None)
            column[number * size : (number + 1) * size] = _NO_MEMBERSHIP_BYTES if known is None else known
        self._due_at_ms[number] = NO_TIME
        self._totals = None
        self._other_memberships.pop(number, None)
        if others:
            self._other_memberships[number] = others
        self._beside[number], self._closed_at_ms[number] = beside, beside.closed_at_ms
        self._place_members(number)

    def remove(self, customer_id: str) -> None:
        """Forget a customer, if there is one of this id; the last row takes the number of the one that is removed."""
        number = self._numbers.pop(customer_id, -1)
        if number < 0:
            return
        self._totals = None
        last_id, last_history = self.customer_ids.pop(), self._histories.pop()
        last = len(self.customer_ids)
        self._other_memberships.pop(number, None)
        self._beside.pop(number, None)
        if number != last:
            self.customer_ids[number], self._histories[number] = last_id, last_history
            self._numbers[last_id] = number
            if last in self._other_memberships:
                self._other_memberships[number] = self._other_memberships.pop(last)
            if last in self._beside:
                self._beside[number] = self._beside.pop(last)
        for column in (self._activity, self._due_at_ms, self._closed_at_ms, *self._memberships, *self._outdated):
            column[number] = column[last]
        self._activity[last], self._due_at_ms[last] = np.zeros((), ACTIVITY_DTYPE), NO_TIME
        self._memberships[:, last], self._outdated[:, last] = NO_MEMBERSHIP, False
        self._closed_at_ms[last] = NO_TIME

    def members(self, segmentation: int = 0) -> dict[int, MemberSums]:
        """Return sums over the members of each segment of a segmentation, by its code; of segments that have some.

        They are kept as the table changes, but for rows that are restored or removed one by one: those are counted
        when somebody asks for the first time.
        """
        if self._totals is None:
            self._totals = MemberTotals.count(self.activity, self.memberships)
        return self._totals.of(segmentation)

    def segment_sizes(self, segmentation: int = 0) -> dict[int, int]:
        """Return the number of customers by segment code of a segmentation, without those that have none."""
        return {code: sums.customers for code, sums in self.members(segmentation).items()}

    def _grow(self) -> None:
        more = len(self._activity) // 2
        self._activity = np.concatenate((self._activity, np.zeros(more, ACTIVITY_DTYPE)))
        self._activity_bytes = self._activity.view(np.uint8).data
        entered = np.full((len(self._digests), more), NO_MEMBERSHIP)
        self._set_memberships(np.concatenate((self._memberships, entered), axis=1))
        self._due_at_ms = np.concatenate((self._due_at_ms, np.full(more, NO_TIME)))
        self._closed_at_ms = np.concatenate((self._closed_at_ms, np.full(more, NO_TIME)))
        self._outdated = np.concatenate((self._outdated, np.zeros((len(self._digests), more), np.bool_)), axis=1)

    def _set_memberships(self, memberships: np.ndarray) -> None:
        self._memberships = memberships
        self._membership_bytes = [column.view(np.uint8).data for column in memberships]
