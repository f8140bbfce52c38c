"""What a partition publishes about the members of its segments: sums that readers add up over all partitions.

They are written in the partition's own transaction, so they are never ahead of its memberships. A document that says
what the one before said is not written: the newest record of a key stands until another comes. A worker
that takes a partition over writes all of them once, so the newest record says which software its worker runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from stream_app.adapters.delivery import OutgoingRecord
from stream_app.adapters.metrics import package_version
from stream_app.contracts.readers import FiguresRecord, SegmentSums, Software, figures_key
from stream_app.core.clock import NO_TIME, format_instant
from stream_app.core.members import MemberSums
from stream_app.core.partition import Partition
from stream_app.core.segmentation import Segmentation
from stream_app.native.library import ABI
from stream_app.segmentations.ended import EndedSegmentation

_encode: Final = msgspec.json.Encoder().encode


class PartitionFigures:
    """Says which records of `segment-figures` a partition owes.

    Parameters
    ----------
    partition, number
        Whose members, and its number.
    interval_ms
        Least time between two times of writing.
    now_ms
        The wall clock.
    """

    def __init__(self, partition: Partition, number: int, interval_ms: int, now_ms: Callable[[], int]) -> None:
        self._partition = partition
        self._number = number
        self._interval_ms = interval_ms
        self._now_ms = now_ms
        self._next_ms = now_ms() + interval_ms
        self._software = Software(package_version(), ABI)
        self._told: dict[str, tuple[SegmentSums, ...]] = {}
        self._has_changed = True  # the worker before this one may have left without writing

    def note_change(self) -> None:
        """Note that rows have changed."""
        self._has_changed = True

    def due(self, *, at_once: bool = False) -> Iterator[OutgoingRecord]:
        """Yield the records to write now: none before the interval is over, or where nothing has changed.

        Parameters
        ----------
        at_once
            Whether the interval does not matter: there may be no later time to write.
        """
        now_ms = self._now_ms()
        if not self._has_changed or (now_ms < self._next_ms and not at_once):
            return
        as_of_ms = max(self._partition.clock)
        if as_of_ms == NO_TIME:
            return  # nobody has ever been here
        self._has_changed, self._next_ms = False, now_ms + self._interval_ms
        for segmentation in self._partition.segmentations:
            column = self._partition.column_of(segmentation.name)
            segments = _sums(segmentation, self._partition.table.members(column))
            if self._told.get(segmentation.name) == segments:
                continue
            self._told[segmentation.name] = segments
            is_over = not segments and isinstance(segmentation, EndedSegmentation)
            yield OutgoingRecord(
                figures_key(segmentation.name, self._number).encode(),
                None if is_over else _encode(self._document(segmentation.name, as_of_ms, segments)),
            )

    def _document(self, name: str, as_of_ms: int, segments: tuple[SegmentSums, ...]) -> FiguresRecord:
        currency = self._partition.context.currency
        return FiguresRecord(name, self._number, format_instant(as_of_ms), currency, segments, self._software)


def _sums(segmentation: Segmentation, members: dict[int, MemberSums]) -> tuple[SegmentSums, ...]:
    """Return the sums by segment id; a segment that is no longer known here is named by its code."""
    ids = segmentation.roster.ids
    return tuple(SegmentSums(ids.get(code, f"s{code}"), *sums) for code, sums in members.items())
