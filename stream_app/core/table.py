"""All customers of one partition: two arrays of records, and lists for what has no fixed size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stream_app.core.row import ACTIVITY, ACTIVITY_DTYPE, MEMBERSHIP_DTYPE, EncodedParts, Row, join_row, split_row
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
        self._recent_events: list[bytes] = []
        self._orders: list[bytes] = []
        self._active_day_bits: list[int] = []
        self._engaged_day_bits: list[int] = []

    def __len__(self) -> int:
        return len(self.customer_ids)

    @property
    def activity(self) -> np.ndarray:
        """Records of what events add up to."""
        return self._activity[: len(self.customer_ids)]

    @property
    def activity_bytes(self) -> memoryview:
        """The records of `activity`, and some more behind, as bytes."""
        return self._activity_bytes

    @property
    def membership(self) -> np.ndarray:
        """Records of which segment each customer is in."""
        return self._membership[: len(self.customer_ids)]

    def find(self, customer_id: str) -> int:
        """Return the row number of a customer, −1 if there is none."""
        return self._numbers.get(customer_id, -1)

    def load(self, number: int) -> Row:
        """Return a copy of a row's activity; changing it does not change the table."""
        return Row(  # type: ignore[call-arg]  # mypy takes the unpacked record for all fields
            *ACTIVITY.unpack_from(self._activity_bytes, number * ACTIVITY.size),
            self._recent_events[number],
            self._orders[number],
            self._active_day_bits[number],
            self._engaged_day_bits[number],
        )

    def insert(self, customer_id: str) -> int:
        """Add an empty row; return its number."""
        number = len(self.customer_ids)
        if number == len(self._activity):
            self._grow()
        self.customer_ids.append(customer_id)
        self._numbers[customer_id] = number
        self._recent_events.append(b"")
        self._orders.append(b"")
        self._active_day_bits.append(0)
        self._engaged_day_bits.append(0)
        return number

    def store(
        self, numbers: npt.NDArray[np.intp], rows: Sequence[Row], activity: np.ndarray, membership: np.ndarray
    ) -> None:
        """Replace rows by their new state.

        Parameters
        ----------
        numbers
            Of the n rows.
        rows
            Their new state.
        activity, membership
            The same as records, shape `(n,)`.
        """
        recent_events, orders = self._recent_events, self._orders
        active_day_bits, engaged_day_bits = self._active_day_bits, self._engaged_day_bits
        for number, row in zip(numbers.tolist(), rows, strict=True):
            recent_events[number] = row.recent_events
            orders[number] = row.orders
            active_day_bits[number] = row.active_day_bits
            engaged_day_bits[number] = row.engaged_day_bits
        self._activity[numbers] = activity
        self._membership[numbers] = membership

    def encode(self, number: int) -> bytes:
        """Return the whole row as bytes, for the changelog."""
        start, size = number * ACTIVITY.size, MEMBERSHIP_DTYPE.itemsize
        return join_row(
            EncodedParts(
                self._activity_bytes[start : start + ACTIVITY.size],
                self._membership_bytes[number * size : (number + 1) * size],
                self._recent_events[number],
                self._orders[number],
                self._active_day_bits[number],
                self._engaged_day_bits[number],
            )
        )

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
            activity, membership, recent_events, orders, active_day_bits, engaged_day_bits = split_row(encoded)
        except RowDamaged as error:
            raise RowDamaged(f"customer {customer_id!r}: {error}") from None
        number = self.find(customer_id)
        if number < 0:
            number = self.insert(customer_id)
        start, size = number * ACTIVITY.size, MEMBERSHIP_DTYPE.itemsize
        self._activity_bytes[start : start + ACTIVITY.size] = activity
        self._membership_bytes[number * size : (number + 1) * size] = membership
        self._recent_events[number] = recent_events
        self._orders[number] = orders
        self._active_day_bits[number] = active_day_bits
        self._engaged_day_bits[number] = engaged_day_bits

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
