"""Sums over the members of segments, counted anew, or kept by changes.

The reference that `native/members.c`, which states the theory, is compared with.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from stream_app.core.arrays import Codes, Instants
from stream_app.core.clock import SECOND_MS
from stream_app.core.members import MemberSums
from stream_app.core.segmentation import NEVER_MS
from stream_app.core.segments import NO_SEGMENT
from tests.reference.quantities import last_act_ms

BLOCK_CUSTOMERS: Final = 65_536
"""Counted at a time: a recount takes 6 MB beside the table, however many customers there are."""


class MemberTotals:
    """Sums over the members of every segment of m segmentations.

    Parameters
    ----------
    segmentations
        m.
    """

    def __init__(self, segmentations: int) -> None:
        self._sums = np.zeros((segmentations, len(MemberSums._fields), NO_SEGMENT + 1), np.int64)

    @classmethod
    def count(cls, activity: np.ndarray, memberships: np.ndarray) -> MemberTotals:
        """Return the totals of n customers, counted anew.

        Parameters
        ----------
        activity
            `ACTIVITY_DTYPE`, shape `(n,)`.
        memberships
            `MEMBERSHIP_DTYPE`, shape `(m, n)`.
        """
        totals = cls(len(memberships))
        for start in range(0, len(activity), BLOCK_CUSTOMERS):
            block = slice(start, start + BLOCK_CUSTOMERS)
            values = _values(activity[block])
            for segmentation, segments in enumerate(memberships["segment"][:, block]):
                totals._add(segmentation, segments, values)
        return totals

    def of(self, segmentation: int) -> dict[int, MemberSums]:
        """Return the sums by segment code of a segmentation, of segments that have members."""
        sums = self._sums[segmentation]
        present = np.flatnonzero(sums[0])
        rows = sums[:, present].T.tolist()
        return {code: MemberSums(*row) for code, row in zip(present.tolist(), rows, strict=True) if code != NO_SEGMENT}

    def replace_activity(self, segments: np.ndarray, before: np.ndarray, after: np.ndarray) -> None:
        """Note that the activity of n customers is another one.

        Parameters
        ----------
        segments
            Codes of where they are, shape `(m, n)`.
        before, after
            `ACTIVITY_DTYPE`, shape `(n,)`.
        """
        difference = _values(after) - _values(before)
        difference[0] = 0
        for segmentation, codes in enumerate(segments):
            self._add(segmentation, codes, difference)

    def move(self, segmentation: int, before: Codes, after: Codes, activity: np.ndarray) -> None:
        """Note that n customers of this activity have gone from one segment of a segmentation to another."""
        values = _values(activity)
        self._add(segmentation, before, -values)
        self._add(segmentation, after, values)

    def _add(self, segmentation: int, codes: Codes, values: Instants) -> None:
        if not len(codes):
            return
        # Sorted and added in runs: exact, as `bincount` with its floats is not, and a seventh of `np.add.at`.
        order = codes.argsort(kind="stable")
        ordered = codes.take(order)
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        present = ordered.take(starts)
        if (highest := int(present[-1])) >= self._sums.shape[2]:
            more = highest + 1 - self._sums.shape[2]
            self._sums = np.concatenate((self._sums, np.zeros((*self._sums.shape[:2], more), np.int64)), axis=2)
        self._sums[segmentation, :, present] += np.add.reduceat(values.take(order, axis=1), starts, axis=1).T


def _values(activity: np.ndarray) -> Instants:
    """Return what each of n customers puts into the sums, shape `(f, n)` in the order of `MemberSums`."""
    values = np.empty((len(MemberSums._fields), len(activity)), np.int64)
    values[0] = 1
    values[1] = activity["purchases"]
    values[2] = activity["revenue_minor"]
    has_acted = activity["first_at_ms"] < NEVER_MS
    values[3] = np.where(has_acted, activity["first_at_ms"], 0)
    values[4] = np.where(has_acted, last_act_ms(activity), 0)
    values[3:5] //= SECOND_MS
    values[5] = ~has_acted
    return values
