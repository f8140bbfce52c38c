"""The numbers of all rows of a table: numpy arrays that are lent to the library for a call.

Each array has a place for each row along its last axis; those of segmentations have one row of places for each. What is
not filled stays zero pages that nobody has touched: the library fills the columns of a row that it adds.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stream_app.core.clock import NO_TIME
from stream_app.core.row import ACTIVITY_DTYPE, MEMBERSHIP_DTYPE, PLACE_DTYPE
from stream_app.native.library import address
from stream_app.native.structures import Columns

_INITIAL_CAPACITY: Final = 1024
_RULES: Final = ("places", "since_ms", "rules_due_at_ms", "bits", "rules_outdated")
"""Nobody fills or reads these where there are no rules."""


class TableColumns:
    """Columns of m segmentations, r by rules, k that keep when the present segment was entered, and some words of bits.

    The attributes are those of `seg_columns` in `native/segmenter.h`, by name.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {
            "activity": np.zeros(_INITIAL_CAPACITY, ACTIVITY_DTYPE),
            "memberships": np.zeros((0, _INITIAL_CAPACITY), MEMBERSHIP_DTYPE),
            "due_at_ms": np.zeros(_INITIAL_CAPACITY, np.int64),
            "outdated": np.zeros((0, _INITIAL_CAPACITY), np.bool_),
            "closed_at_ms": np.zeros(_INITIAL_CAPACITY, np.int64),
            "places": np.zeros((0, _INITIAL_CAPACITY), PLACE_DTYPE),
            "since_ms": np.zeros((0, _INITIAL_CAPACITY), np.int64),
            "rules_due_at_ms": np.zeros(_INITIAL_CAPACITY, np.int64),
            "bits": np.zeros((0, _INITIAL_CAPACITY), np.uint64),
            "rules_outdated": np.zeros(_INITIAL_CAPACITY, np.bool_),
        }

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    @property
    def capacity(self) -> int:
        """For how many rows there is room."""
        return len(self.arrays["activity"])

    def reserve(self, count: int, extra: int) -> None:
        """Make room for this many rows beyond `count`; columns grow by half at least."""
        if count + extra <= self.capacity:
            return
        capacity = max(count + extra, self.capacity + self.capacity // 2)
        for name, array in self.arrays.items():
            grown = np.zeros((*array.shape[:-1], capacity), array.dtype)
            grown[..., :count] = array[..., :count]
            self.arrays[name] = grown

    def add(self, *names: str) -> None:
        """Add a segmentation after the others to some of the columns."""
        for name in names:
            array = self.arrays[name]
            self.arrays[name] = np.concatenate((array, np.zeros((1, self.capacity), array.dtype)))

    def insert(self, name: str, number: int) -> None:
        """Add a segmentation to a column, before the one of a number."""
        self.arrays[name] = np.insert(self.arrays[name], number, np.zeros((), self.arrays[name].dtype), axis=0)

    def keep_since(self, sources: list[int | None], count: int) -> None:
        """Have other segmentations keep when their segments were entered.

        Parameters
        ----------
        sources
            Of each, its number among those that kept it until now, or None.
        count
            Of rows.
        """
        known, kept = self.arrays["since_ms"], np.zeros((len(sources), self.capacity), np.int64)
        for own, source in zip(kept, sources, strict=True):
            own[:count] = NO_TIME if source is None else known[source, :count]
        self.arrays["since_ms"] = kept

    def set_words(self, words: int) -> None:
        """Set the number of words for each row's conditions, none of which holds."""
        self.arrays["bits"] = np.zeros((words, self.capacity), np.uint64)

    def lent(self, member_sums: npt.NDArray[np.int64] | None) -> Columns:
        """Return where the columns stand, for one call of the library; valid until any of them is replaced."""
        shape: dict[str, Any] = {
            "capacity": self.capacity,
            "segmentations": len(self.arrays["memberships"]),
            "ruled": len(self.arrays["places"]),
            "since": len(self.arrays["since_ms"]),
            "words": len(self.arrays["bits"]),
        }
        sums = None if member_sums is None else address(member_sums)
        return Columns(member_sums=sums, **{name: address(array) for name, array in self.arrays.items()}, **shape)

    def filled_bytes(self, count: int) -> dict[str, int]:
        """Return how many bytes of the columns this many rows fill: those of rules, and the others."""
        filled = {"columns": 0, "rules": 0}
        for name, array in self.arrays.items():
            if name not in _RULES:
                filled["columns"] += array[..., :count].nbytes
            elif len(self.arrays["places"]):
                filled["rules"] += array[..., :count].nbytes
        return filled
