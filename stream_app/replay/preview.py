"""What definitions would make of a population: who is where, how segments overlap, and who moves soon by time alone.

Looks at partitions at the end of a replay; `backtest` beside this looks at what led there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_app.core.clock import DAY_MS
from stream_app.core.partition import Partition
from stream_app.core.segmentation import Segmentation
from stream_app.core.segments import NO_SEGMENT
from stream_app.core.standing import standing_of

OVERLAPS_MAX: Final = 16
"""Segments whose overlaps are shown: the largest ones; a matrix of more cannot be read."""
Flags = npt.NDArray[np.bool_]


class SegmentSize(NamedTuple):
    """A segment's members: how many, their share of all customers, and their revenue in major units."""

    segmentation: str
    segment: str
    name: str
    customers: int
    share: float
    revenue: float


class Overlap(NamedTuple):
    """Customers who are in two segments at once.

    Attributes
    ----------
    segments
        `segmentation/segment` of n of them, the largest first.
    customers
        How many are in both, n rows of n; the diagonal has their sizes.
    """

    segments: list[str]
    customers: list[list[int]]


class Changes(NamedTuple):
    """Customers that a change of definitions would move in a segmentation, and their revenue in major units."""

    segmentation: str
    customers: int
    revenue: float


class Leavers(NamedTuple):
    """Customers who leave a segment by time alone within some days, and their revenue in major units."""

    segmentation: str
    segment: str
    customers: int
    revenue: float


class Preview(NamedTuple):
    """All of it."""

    customers: int
    as_of_ms: int
    sizes: list[SegmentSize]
    overlap: Overlap
    changes: list[Changes]
    leavers: list[Leavers]


def preview_of(partition: Partition, in_force: Partition, days: int) -> Preview:
    """Return what definitions would make of a population.

    Parameters
    ----------
    partition
        Divided by them, at the end of a replay.
    in_force
        The same customers in the same order, divided by the definitions in force.
    days
        How far ahead moves by time alone are looked for.
    """
    as_of_ms = max(partition.clock)
    return Preview(
        len(partition.table),
        as_of_ms,
        list(_sizes(partition)),
        _overlap(partition),
        list(_changes(partition, in_force)),
        list(_leavers(partition, as_of_ms, as_of_ms + days * DAY_MS)),
    )


def _revenue_of(partition: Partition, chosen: Flags) -> float:
    return int(partition.table.activity["revenue_minor"][chosen].sum()) / partition.context.minor_per_major


def _codes(partition: Partition, segmentation: Segmentation) -> npt.NDArray[np.int16]:
    standing = standing_of(partition, segmentation, 0, len(partition.table), max(partition.clock))
    return standing.segment


def _segments(partition: Partition) -> Iterator[tuple[Segmentation, str, str, Flags]]:
    """Yield each segment with its id, its name, and who is in it."""
    for segmentation in partition.segmentations:
        codes = _codes(partition, segmentation)
        for segment in segmentation.roster.segments:
            yield segmentation, segment.segment_id, segment.name, codes == segment.code


def _sizes(partition: Partition) -> Iterator[SegmentSize]:
    everybody = max(len(partition.table), 1)
    for segmentation, segment_id, name, members in _segments(partition):
        count = int(members.sum())
        revenue = _revenue_of(partition, members)
        yield SegmentSize(segmentation.name, segment_id, name, count, count / everybody, revenue)


def _overlap(partition: Partition) -> Overlap:
    found = [(f"{segmentation.name}/{segment}", members) for segmentation, segment, _, members in _segments(partition)]
    largest = sorted(found, key=lambda each: -int(each[1].sum()))[:OVERLAPS_MAX]
    return Overlap(
        [name for name, _ in largest],
        [[int((one & other).sum()) for _, other in largest] for _, one in largest],
    )


def _ids(segmentation: Segmentation, codes: npt.NDArray[np.int16]) -> npt.NDArray[np.str_]:
    names = segmentation.roster.ids
    return np.array([names.get(code, "") for code in codes.tolist()], np.str_)


def _changes(partition: Partition, in_force: Partition) -> Iterator[Changes]:
    earlier = {segmentation.name: segmentation for segmentation in in_force.segmentations}
    for segmentation in partition.segmentations:
        codes = _codes(partition, segmentation)
        now = _ids(segmentation, codes)
        was = np.full(len(now), "", np.str_)
        if segmentation.name in earlier:
            was = _ids(earlier[segmentation.name], _codes(in_force, earlier[segmentation.name]))
        moved = now != was
        yield Changes(segmentation.name, int(moved.sum()), _revenue_of(partition, moved))


def _leavers(partition: Partition, as_of_ms: int, until_ms: int) -> Iterator[Leavers]:
    for segmentation in partition.segmentations:
        standing = standing_of(partition, segmentation, 0, len(partition.table), as_of_ms)
        leaves = (standing.segment != NO_SEGMENT) & (standing.following.at_ms <= until_ms)
        for segment in segmentation.roster.segments:
            chosen = leaves & (standing.segment == segment.code)
            if chosen.any():
                revenue = _revenue_of(partition, chosen)
                yield Leavers(segmentation.name, segment.segment_id, int(chosen.sum()), revenue)
