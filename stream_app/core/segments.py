"""The segments that a segmentation divides customers into, and how rows, reports and contracts refer to them.

Inside, a segment is a *code*, a small number that a row can hold; outside, it is an *id*. Neither is ever used again
for another group of customers. A *target* is a segment's place in the roster, which is what a decision gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import msgspec
import numpy as np

from stream_app.core.arrays import Codes, Indices

NO_SEGMENT: Final = 0
"""Segment code of a customer who is in no segment (yet, or no longer)."""
NOWHERE: Final = -1
"""Target of a customer who leaves a segmentation altogether."""
MAX_SEGMENT_CODE: Final = 32_767
"""Codes are kept as int16 in customer rows."""


class SegmentReference(msgspec.Struct, frozen=True, gc=False):
    """A segment as others see it."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A group of customers with an identity that outlives models and definitions.

    Parameters
    ----------
    code
        1 to 32,767; never used again for another group.
    name
        Readable, unique within a version; may change while the code stays.
    slug
        The public identity where a definition gives one; otherwise it is made of the code.
    level
        Its place in the order of the segmentation's segments, higher is better; None where there is no order. Segments
        below 0 are *lapsed*: silence leads there, and an own act leads back.
    """

    code: int
    name: str
    slug: str | None = None
    level: int | None = None

    @property
    def segment_id(self) -> str:
        """The public identity, such as `s3` or `slipping`."""
        return self.slug or f"s{self.code}"

    @property
    def reference(self) -> SegmentReference:
        """The segment as others see it."""
        return SegmentReference(self.segment_id, self.name)


@dataclass(frozen=True)
class Roster:
    """The segments of one version of a segmentation.

    Parameters
    ----------
    segments
        k segments that customers can move to; a target is an index of this.
    retired
        Segments of earlier versions; customers may still be in them.
    """

    segments: tuple[Segment, ...]
    retired: tuple[Segment, ...] = ()

    @cached_property
    def codes(self) -> Codes:
        """Segment code of each target, shape `(k + 1,)`; the last is `NO_SEGMENT`, for `NOWHERE`."""
        return np.array([*(segment.code for segment in self.segments), NO_SEGMENT], np.int16)

    @cached_property
    def index_of_code(self) -> Indices:
        """Target by segment code, `NOWHERE` where this version has no such segment."""
        lookup = np.full(MAX_SEGMENT_CODE + 1, NOWHERE, np.intp)
        lookup[self.codes[:-1]] = np.arange(len(self.segments))
        return lookup

    @cached_property
    def by_code(self) -> Mapping[int, Segment]:
        """Every segment that a customer may be in, by its code."""
        return {segment.code: segment for segment in (*self.retired, *self.segments)}

    @cached_property
    def ids(self) -> Mapping[int, str]:
        """Public identity of each segment of `by_code`."""
        return {code: segment.segment_id for code, segment in self.by_code.items()}

    @cached_property
    def references(self) -> Mapping[int, SegmentReference]:
        """How others see each segment of `by_code`."""
        return {code: segment.reference for code, segment in self.by_code.items()}
