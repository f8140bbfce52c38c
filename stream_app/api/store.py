"""The API's source of answers: one interface for the view in Redis and for a run without servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from stream_app.adapters.view_schema import FollowerCondition
from stream_app.api.feed import FeedEntry, MigrationFeed
from stream_app.api.sign_outs import SignOuts
from stream_app.contracts.readers import Cause, Explanation, Holdout, NextMove, SegmentReference, Software
from stream_app.contracts.segment_index import SegmentIndex
from stream_app.core.members import MemberFigures


class CustomerSegment(msgspec.Struct, gc=False):
    """A customer's place in one segmentation; the reason is null if its migration is no longer kept."""

    segmentation: str
    segment: SegmentReference
    since: str
    sequence: int
    model_version: int
    as_of: str
    next_move: NextMove | None = None
    change: str | None = None
    direction: str | None = None
    from_segment: SegmentReference | None = None
    cause: Cause | None = None
    margin: float | None = None
    explanation: Explanation | None = None
    holdout: Holdout | None = None
    consents: Mapping[str, bool] | msgspec.UnsetType = msgspec.UNSET
    """Left out where nothing is told of any."""


class ActionEdit(msgspec.Struct, frozen=True, gc=False):
    """Who has said what to do with a segment's customers, and when; `default` is what its definition says."""

    edited_by: str
    edited_at: str
    default: str | None


class Segment(msgspec.Struct, gc=False):
    """A segment of the model in use, or one of an earlier model that customers may still be in."""

    id: str
    name: str
    is_retired: bool
    figures: MemberFigures | None
    level: int | None = None
    statement: str | None = None
    action: str | None = None
    open: bool | None = None
    sentence: str | None = None
    action_edit: ActionEdit | None = None


class SegmentList(msgspec.Struct, gc=False):
    """All segments of a segmentation."""

    segmentation: str
    model_version: int
    model_as_of: str
    figures_as_of: str | None
    currency: str | None
    all_segments: MemberFigures | None
    segments: Sequence[Segment]


class Flow(msgspec.Struct, gc=False):
    """How many customers went from one segment to another; null stands for none at entries and leavings."""

    from_segment: SegmentReference | None
    to_segment: SegmentReference | None
    cause: str
    migrations: int


class CustomerMigration(msgspec.Struct, gc=False):
    """A move of a customer, as its history has it; the cause is without the position of its event."""

    segmentation: str
    sequence: int
    from_segment: SegmentReference | None
    to_segment: SegmentReference | None
    change: str
    direction: str | None
    effective_at: str
    decided_at: str
    cause: Cause
    model_version: int
    margin: float | None
    explanation: Explanation
    holdout: Holdout
    merged_into: str | None
    revenue_before: float | None


class MemberQuery(NamedTuple):
    """Which members are wanted.

    Attributes
    ----------
    limit
        At most.
    after
        The place (instant, customer id) that they come after in their order; None for the first ones.
    since_ms
        Only those who entered then or later; None for all.
    newest_first
        Whether the order is reversed.
    """

    limit: int
    after: tuple[int, str] | None = None
    since_ms: int | None = None
    newest_first: bool = False


class DayTrade(NamedTuple):
    """What a day brought from all members of a segmentation.

    Attributes
    ----------
    day
        `YYYY-MM-DD`, of the shop.
    orders
        How many.
    revenue_minor
        Net of refunds.
    """

    day: str
    orders: int
    revenue_minor: int


class Daily(NamedTuple):
    """A segmentation day by day, and now; all of one instant.

    Attributes
    ----------
    entry_id
        Of the newest migration of the feed that is counted in the rest.
    sizes
        How many are in each segment, by id.
    flows
        Migrations by the fields of flows (`adapters.view_schema.FlowField`), for each day that was asked for.
    money
        By the same fields, what those customers had brought before, in `adapters.view_schema.MONEY_UNITS`; None where
        some do not say. Fields without any money are left out.
    trade
        By day, as far as it is known; a day after the first one that is missing brought nothing.
    known_from
        First day of all that there are flows of; empty if there are none.
    """

    entry_id: str
    sizes: Mapping[str, int]
    flows: Sequence[Mapping[str, int]]
    money: Sequence[Mapping[str, int | None]]
    trade: Sequence[DayTrade]
    known_from: str


class ViewCondition(NamedTuple):
    """The condition of what is served.

    Attributes
    ----------
    is_live
        Whether it changes.
    written_at_ms
        When it was written last.
    newest_at_ms
        When the newest migration came; None where none is kept.
    follower
        What the process that writes it says of itself; None if it says nothing.
    positions
        Records read so far, by `kind/partition`.
    """

    is_live: bool
    written_at_ms: int | None
    newest_at_ms: int | None
    follower: FollowerCondition | None
    positions: Mapping[str, int]


class FiguresOrigin(NamedTuple):
    """Where the newest figures of a partition come from.

    Attributes
    ----------
    as_of
        How far the partition had come.
    written_by
        What its worker runs; None where it does not say.
    """

    as_of: str
    written_by: Software | None


class MemberPage(NamedTuple):
    """Members in the order of entering, or in the reverse one.

    Attributes
    ----------
    customers
        How many there are in all, of those asked for.
    members
        Instant (ms) and customer id.
    """

    customers: int
    members: Sequence[tuple[int, str]]


class Ahead(NamedTuple):
    """Customers whom silence will move by a path.

    Attributes
    ----------
    segmentation, segment
        What they leave.
    to_segment
        Where to; None for out of the segmentation.
    customers
        How many.
    """

    segmentation: str
    segment: str
    to_segment: str | None
    customers: int


class Leaver(NamedTuple):
    """A customer whom silence will move; they are ordered by instant and id.

    Attributes
    ----------
    at_ms
        When.
    customer_id
        Who.
    to_segment
        Where to; None for out of the segmentation.
    """

    at_ms: int
    customer_id: str
    to_segment: str | None


class LeaverPage(NamedTuple):
    """Those who leave a segment, the first ones first.

    Attributes
    ----------
    customers
        How many there are in all.
    leavers
        Some of them.
    """

    customers: int
    leavers: Sequence[Leaver]


class StoreUnavailable(Exception):
    """There is no answer at the moment; the message says why and may be shown."""


class Actions(Protocol):
    """What people have said to do with a segment's customers, in place of its definition."""

    async def edit(self, segmentation: str, segment: str, action: str | None, edited_by: str, edited_at: str) -> None:
        """Keep what to do; None for what the definition says. May raise `StoreUnavailable`."""
        ...


class SegmentStore(Protocol):
    """Where answers come from. Every method may raise `StoreUnavailable`.

    Segmentations and segments are those of `index`: callers look names up there first.
    """

    feed: MigrationFeed
    index: SegmentIndex
    sign_outs: SignOuts

    @property
    def actions(self) -> Actions | None:
        """What to do with segments, as people may say it; None where nobody may, as in a replay's folder."""
        ...

    async def start(self) -> None:
        """Get ready to answer; return at once even if that takes longer."""
        ...

    async def close(self) -> None:
        """Close everything."""
        ...

    def unready_reason(self) -> str:
        """Return why look-ups cannot be answered, empty if they can."""
        ...

    async def look_up(self, customer_ids: Sequence[str]) -> list[list[CustomerSegment]]:
        """Return each customer's segments in the order of their segmentations, none for one that is unknown."""
        ...

    async def segments(self, segmentation: str) -> SegmentList:
        """Return all segments with the figures of their members."""
        ...

    async def members(self, segmentation: str, segment: str, wanted: MemberQuery) -> MemberPage:
        """Return members in the order of (instant entered, customer id), or in the reverse one."""
        ...

    async def history(self, customer_id: str) -> Sequence[CustomerMigration]:
        """Return the moves of a customer that are kept, in no order; none for one that is unknown."""
        ...

    def now_ms(self) -> int:
        """Return the instant from which moves lie ahead."""
        ...

    async def ahead(self, segmentations: Sequence[str], from_ms: int, to_ms: int) -> list[Ahead]:
        """Return how many customers silence moves after an instant, up to another one, and from where to where."""
        ...

    async def leavers(
        self, segmentation: str, segment: str, from_ms: int, to_ms: int, limit: int, after: tuple[int, str] | None
    ) -> LeaverPage:
        """Return up to `limit` of those who leave a segment, that come after a place in their order."""
        ...

    async def flows(self, segmentation: str, days: Sequence[str]) -> list[Flow]:
        """Return the flows of some days (`YYYY-MM-DD`, of the shop) together, the greatest first."""
        ...

    async def daily(self, segmentation: str, days: Sequence[str], *, has_money: bool = False) -> Daily:
        """Return a segmentation on each of some days (`YYYY-MM-DD`, of the shop).

        Parameters
        ----------
        has_money
            Whether money and trade are read, too; they are empty otherwise.
        """
        ...

    async def flows_by_day(self, segmentation: str, days: Sequence[str]) -> Sequence[Mapping[str, int]]:
        """Return the flows of each of some days, by their fields."""
        ...

    async def newest(self, before: str | None, count: int) -> Sequence[FeedEntry]:
        """Return up to `count` of the migrations that are kept, before one of them or from the end, newest first."""
        ...

    async def condition(self) -> ViewCondition:
        """Return the condition of what is served."""
        ...

    async def figures_from(self, segmentation: str) -> Mapping[int, FiguresOrigin]:
        """Return of which instant the newest figures of each partition are, and what has written them."""
        ...

    async def models(self, segmentation: str) -> list[dict[str, Any]]:
        """Return the documents of all versions that are known, the newest first."""
        ...

    async def model(self, segmentation: str, version: int) -> msgspec.Raw | None:
        """Return the document of a version, the published one if it was held first; None for one that is unknown."""
        ...
