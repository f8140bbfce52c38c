"""All customers of one partition: two arrays of records, and a list for what has no fixed size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from stream_app.core.row import (
    ACTIVITY,
    ACTIVITY_DTYPE,
    MEMBERSHIP_DTYPE,
    NO_ACTIVITY,
    NO_MEMORIES,
    Memories,
    Row,
    join_memories,
    join_row,
    split_row,
)
from stream_app.core.snapshot import NO_SEGMENT
from stream_app.errors import RowDamaged

_INITIAL_CAPACITY = 1024


class CustomerTable:
    """Rows of customers, numbered from 0 in the order in which they were first seen.

    Attributes
    ----------
    activity
        `ACTIVITY_DTYPE`, shape `(len(table),)`; a view that is valid until the next `insert`.
    membership
        `MEMBERSHIP_DTYPE`, likewise.
    customer_ids
        By row number.
    """

    def __init__(self) -> None:
        self.customer_ids: list[str] = []
        self._numbers: dict[str, int] = {}
        self._activity = np.zeros(_INITIAL_CAPACITY, ACTIVITY_DTYPE)
        self._activity_bytes = self._activity.view(np.uint8).data
        self._membership = np.zeros(_INITIAL_CAPACITY, MEMBERSHIP_DTYPE)
        self._membership_bytes = self._membership.view(np.uint8).data
        self._memories: list[Memories] = []

    def __len__(self) -> int:
        return len(self.customer_ids)

    @property
    def activity(self) -> np.ndarray:
        """Records of what events add up to."""
        return self._activity[: len(self.customer_ids)]

    @property
    def membership(self) -> np.ndarray:
        """Records of which segment each customer is in."""
        return self._membership[: len(self.customer_ids)]

    @property
    def holds(self) -> Callable[[str], bool]:
        """What tells whether a customer has a row: for loops, which it costs a third of a call of `find`."""
        return self._numbers.__contains__

    def find(self, customer_id: str) -> int:
        """Return the row number of a customer, −1 if there is none."""
        return self._numbers.get(customer_id, -1)

    def load(self, number: int) -> Row:
        """Return a copy of a row's activity; changing it does not change the table."""
        return join_memories(ACTIVITY.unpack_from(self._activity_bytes, number * ACTIVITY.size), self._memories[number])

    def load_all(self, customer_ids: Iterable[str]) -> tuple[npt.NDArray[np.intp], np.ndarray, list[Memories]]:
        """Return the row numbers of n customers, −1 for those without, and copies of their activity and memories."""
        find, memories = self._numbers.get, self._memories
        found = [find(customer_id, -1) for customer_id in customer_ids]
        numbers = np.array(found, np.intp)
        activity = self._activity.take(numbers)
        activity[numbers < 0] = NO_ACTIVITY
        return numbers, activity, [memories[number] if number >= 0 else NO_MEMORIES for number in found]

    def insert(self, customer_id: str) -> int:
        """Add an empty row; return its number."""
        number = len(self.customer_ids)
        if number == len(self._activity):
            self._grow()
        self.customer_ids.append(customer_id)
        self._numbers[customer_id] = number
        self._memories.append(NO_MEMORIES)
        return number

    def store(
        self,
        numbers: npt.NDArray[np.intp],
        activity: np.ndarray,
        memories: Sequence[Memories],
        membership: np.ndarray,
    ) -> None:
        """Replace n rows, given by their numbers, by their new state; each array has shape `(n,)`."""
        stored = self._memories
        for number, new in zip(numbers.tolist(), memories, strict=True):
            stored[number] = new
        self._activity.put(numbers, activity)
        self._membership.put(numbers, membership)

    def encode(self, number: int) -> bytes:
        """Return the whole row as bytes, for the changelog."""
        return self.encode_all([number])[0]

    def encode_all(self, numbers: Sequence[int]) -> list[bytes]:
        """Return `encode` of each, at a lower cost a row."""
        chosen = np.array(numbers, np.intp)
        # Cut from bytes, not from the arrays' memory: a slice of bytes takes half the time of one of a memoryview.
        activity, membership = self._activity.take(chosen).tobytes(), self._membership.take(chosen).tobytes()
        a, m, memories = ACTIVITY.size, MEMBERSHIP_DTYPE.itemsize, self._memories
        return [
            join_row((activity[row * a : row * a + a], membership[row * m : row * m + m], memories[number]))
            for row, number in enumerate(numbers)
        ]

    def restore(self, customer_id: str, encoded: bytes) -> None:
        """Put an encoded row in, new or in place of the customer's present one.

        Raises
        ------
        RowVersionUnknown
            If a later version of the software wrote it.
        RowDamaged
            If it is not as long as it says.
        """
        try:
            activity, membership, memories = split_row(encoded)
        except RowDamaged as error:
            raise RowDamaged(f"customer {customer_id!r}: {error}") from None
        number = self.find(customer_id)
        if number < 0:
            number = self.insert(customer_id)
        start, size = number * ACTIVITY.size, MEMBERSHIP_DTYPE.itemsize
        self._activity_bytes[start : start + ACTIVITY.size] = activity
        self._membership_bytes[number * size : (number + 1) * size] = membership
        self._memories[number] = memories

    def remove(self, customer_id: str) -> None:
        """Forget a customer, if there is one of this id; the last row takes the number of the one that is removed."""
        number = self._numbers.pop(customer_id, -1)
        if number < 0:
            return
        last_id, last_memories = self.customer_ids.pop(), self._memories.pop()
        last = len(self.customer_ids)
        if number != last:
            self.customer_ids[number], self._memories[number] = last_id, last_memories
            self._numbers[last_id] = number
        for column in (self._activity, self._membership):
            column[number] = column[last]
            column[last] = np.zeros((), column.dtype)

    def segment_sizes(self) -> dict[int, int]:
        """Return the number of customers by segment code, without those that have none."""
        counts = np.bincount(self.membership["segment"].astype(np.intp))
        return {code: int(count) for code, count in enumerate(counts) if count and code != NO_SEGMENT}

    def sample(self, size: int, generator: np.random.Generator) -> npt.NDArray[np.intp]:
        """Return the row numbers of a uniform sample without repetition, ascending."""
        chosen = generator.choice(len(self), min(size, len(self)), replace=False)
        return np.sort(chosen)

    def _grow(self) -> None:
        capacity = len(self._activity) * 3 // 2
        for name in ("_activity", "_membership"):
            old = getattr(self, name)
            new = np.zeros(capacity, old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)
        self._activity_bytes = self._activity.view(np.uint8).data
        self._membership_bytes = self._membership.view(np.uint8).data
