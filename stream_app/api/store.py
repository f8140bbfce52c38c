"""What the API serves, and where it gets it from: the same for the view in Redis and for a run without servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from stream_app.api.feed import MigrationFeed
from stream_app.core.migration import Cause, Holdout
from stream_app.core.segments import SegmentReference
from stream_app.segmentations.learned.explanation import Explanation


class CustomerSegment(msgspec.Struct, gc=False):
    """A customer's place in one segmentation; what led there is null where its migration is not kept any more."""

    segmentation: str
    segment: SegmentReference
    since: str
    sequence: int
    model_version: int
    as_of: str
    change: str | None = None
    from_segment: SegmentReference | None = None
    cause: Cause | None = None
    margin: float | None = None
    explanation: Explanation | None = None
    holdout: Holdout | None = None


class Member(msgspec.Struct, gc=False):
    """A customer of a segment."""

    customer_id: str
    since: str


class Segment(msgspec.Struct, gc=False):
    """A segment of the model in use, or one of an earlier model that customers may still be in."""

    id: str
    name: str
    customers: int
    is_retired: bool
    share: float | None
    profile: Mapping[str, float] | None


class SegmentList(msgspec.Struct, gc=False):
    """All segments of a segmentation."""

    segmentation: str
    model_version: int
    as_of: str
    segments: Sequence[Segment]


class Flow(msgspec.Struct, gc=False):
    """How many customers went from one segment to another."""

    from_segment: SegmentReference | None
    to_segment: SegmentReference
    cause: str
    migrations: int


class MemberPage(NamedTuple):
    """Members in the order of entering.

    Attributes
    ----------
    customers
        How many there are in all.
    members
        Instant (ms) and customer id.
    """

    customers: int
    members: Sequence[tuple[int, str]]


class StoreUnavailable(Exception):
    """The answer cannot be had now; the message says why and may be shown."""


class SegmentStore(Protocol):
    """Where answers come from. Every method may raise `StoreUnavailable`; None means that there is no such thing."""

    feed: MigrationFeed

    async def start(self) -> None:
        """Get ready to answer; return at once even if that takes longer."""
        ...

    async def close(self) -> None:
        """Give everything back."""
        ...

    def unready_reason(self) -> str:
        """Return why look-ups cannot be answered, empty if they can."""
        ...

    async def look_up(self, customer_ids: Sequence[str]) -> list[list[CustomerSegment]]:
        """Return the segments of each customer, none for one that is unknown."""
        ...

    async def segments(self, segmentation: str) -> SegmentList | None:
        """Return all segments with their profiles."""
        ...

    async def members(
        self, segmentation: str, segment: str, limit: int, after: tuple[int, str] | None
    ) -> MemberPage | None:
        """Return up to `limit` members that come after a place in the order of (instant entered, customer id)."""
        ...

    async def flows(self, segmentation: str, days: Sequence[str]) -> list[Flow] | None:
        """Return the flows of some days (`YYYY-MM-DD`, UTC) together, the greatest first."""
        ...

    async def models(self, segmentation: str) -> list[dict[str, Any]] | None:
        """Return the documents of all versions that are known, the newest first."""
        ...
