"""The answers' form, as the OpenAPI document shows it; `stream_app.api.store` makes the answers.

Fields that have a default are those that a client may do without (`include`).
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from stream_app.contracts.outputs.fields import Count, Instant, NonNegative, Number, SegmentId, SegmentReference, Share
from stream_app.contracts.outputs.migrations import Cause, CauseKind, Change, Direction, Explanation, Holdout, NextMove

CUSTOMER_ID_CHARACTERS: Final = 256
BATCH_CUSTOMERS: Final = 500
Include = Literal["reason", "figures", "next_move", "holdout"]

CustomerId = Annotated[str, Field(min_length=1, max_length=CUSTOMER_ID_CHARACTERS)]


class Document(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class CustomerSegmentDocument(Document):
    """A customer's place in one segmentation; the reason is null if its migration is no longer kept.

    With `include`, only the groups that it names are there beside the first fields: `reason` (`change`, `direction`,
    `from_segment`, `cause`, `margin`, `sentence`), `figures` (`explanation`), `next_move`, `holdout`.
    """

    segmentation: str
    segment: SegmentReference
    since: Instant
    """When the segment was entered."""
    sequence: Count
    """Of the migration that led here, from 1 for each segmentation and customer."""
    model_version: Count
    as_of: Instant
    """When it was decided."""
    next_move: NextMove | None = None
    """When and where the customer moves if nothing happens after `since` (in a replay: after `as_of`); null if
    silence moves it no more. An act of its own or a new model since then may change this; that is known once the
    customer moves. An instant in the past means that something has happened, or that the move is about to come."""
    change: Change | None = None
    direction: Direction | None = None
    from_segment: SegmentReference | None = None
    cause: Cause | None = None
    margin: Number | None = None
    """How far past the middle between both segments' centres, in log units; null where no distance decided, and where
    the segmentation is not a learned one."""
    sentence: str | None = None
    """The explanation's, where it is not there itself: only with `include=reason`."""
    consents: dict[str, bool] | None = None
    """Whether the customer agrees to each purpose, as of its last move; left out where nothing is told of any. Purposes
    that are not named are agreed to."""
    explanation: Explanation | None = None
    holdout: Holdout | None = None


class CustomerDocument(Document):
    """A customer's segments: one for each segmentation, and one for each audience that it is in."""

    customer_id: str
    segments: list[CustomerSegmentDocument]


class BatchRequest(Document):
    """Customers to look up."""

    customer_ids: Annotated[list[CustomerId], Field(min_length=1, max_length=BATCH_CUSTOMERS)]


class BatchDocument(Document):
    """Known customers in the order of the request, and the ids that are not known."""

    customers: list[CustomerDocument]
    unknown: list[str]


class CustomerMigrationDocument(Document):
    """A move of a customer from one segment of a segmentation to another."""

    segmentation: str
    sequence: Count
    """From 1 for each segmentation and customer, without gaps: one that is missing is no longer kept."""
    from_segment: SegmentReference | None
    to_segment: SegmentReference | None
    change: Change
    direction: Direction | None
    effective_at: Instant
    """Instant at which it became true."""
    decided_at: Instant
    """Instant at which it was found."""
    cause: Cause
    """Without the position of its event."""
    model_version: Count
    margin: Number | None
    explanation: Explanation
    holdout: Holdout
    merged_into: str | None
    """The id that the customer goes by from then on, which is why it leaves; null otherwise."""
    revenue_before: Number | None
    """Net revenue of the customer before what moved it, in major units; null where an earlier release wrote it."""


class HistoryDocument(Document):
    """A page of a customer's moves, the newest first, as far back as they are kept."""

    customer_id: str
    migrations: list[CustomerMigrationDocument]
    next_cursor: str | None
    """For the next page; null at the end."""


class SegmentFigures(Document):
    """Figures of the customers who are in a segment, over their lifetime; means are null where there are none."""

    customers: Count
    share: Share
    """Of all customers who are in a segment, in thousandths; shares add up to 1."""
    revenue: Number
    """Net of refunds, in major units of the base currency; likewise below."""
    revenue_share: Number
    """Of the revenue of all who are in a segment; shares add up to 1, or are 0 where there is no revenue."""
    recency_days: NonNegative | None
    """Mean days since the last purchase or engagement."""
    tenure_days: NonNegative | None
    """Mean days since the first event."""
    orders_per_customer: NonNegative | None
    revenue_per_customer: Number | None
    average_order_value: Number | None
    """Revenue an order; null where nobody has ordered."""


class ActionEditDocument(Document):
    """Who has said what to do with a segment's customers."""

    edited_by: str
    """Name of the token."""
    edited_at: Instant
    default: str | None
    """What the segment's definition says."""


class SegmentDocument(Document):
    """A segment of the model in use, or a retired one that customers are still in."""

    id: SegmentId
    name: str
    is_retired: bool
    """Whether the present model lacks it."""
    level: int | None
    """Its place in the order of segments: higher is better, below 0 is lapsed. Null where there is no order, and for a
    retired segment; likewise below."""
    statement: str | None
    """What is true of each of its members; null where nothing is learned."""
    action: str | None
    """What to do with its customers: what somebody has said, else what the definition says; likewise."""
    open: bool | None
    """Whether it admits customers; likewise."""
    sentence: str | None
    """The conditions of a segment by rules, or of an audience, in words; null for a learned one."""
    action_edit: ActionEditDocument | None
    """Null where the action is the definition's."""
    figures: SegmentFigures | None
    """Null until a worker has published some."""


class SegmentationDocument(Document):
    """A segmentation, or an audience."""

    segmentation: str
    kind: Literal["learned", "rules", "audience"]
    model_version: Count
    segments: Count
    """How many there are; 1 for an audience."""
    customers: Count | None
    """How many are in its segments, or in the audience. Null until a worker has published figures; likewise below."""
    revenue: Number | None
    """Of these, net of refunds, in major units."""
    currency: str | None
    figures_as_of: Instant | None


class SegmentationsDocument(Document):
    """All segmentations, by name."""

    segmentations: list[SegmentationDocument]


class SegmentListDocument(Document):
    """All segments of a segmentation by life cycle and value, the retired ones last."""

    segmentation: str
    model_version: Count
    model_as_of: Instant
    """When the model was learned, or the definition published."""
    figures_as_of: Instant | None
    """When the figures held; they follow the memberships within seconds. Null until a worker has published some."""
    currency: str | None
    """Of all money (ISO 4217); likewise."""
    all_segments: SegmentFigures | None
    """Of everybody who is in a segment; likewise."""
    segments: list[SegmentDocument]


class MemberDocument(Document):
    """A customer of a segment."""

    customer_id: str
    since: Instant


class MembersDocument(Document):
    """A page of a segment's customers, in the order asked for."""

    customers: Count
    """How many are in the segment at the moment of the answer, of those who entered at `since` or later."""
    members: list[MemberDocument]
    next_cursor: str | None
    """For the next page; null at the end."""


class FlowDocument(Document):
    """How many customers went from one segment to another."""

    from_segment: SegmentReference | None
    """Null for first entries."""
    to_segment: SegmentReference | None
    """Null for customers who left the segmentation."""
    cause: CauseKind
    migrations: Count


class FlowsDocument(Document):
    """Flows between segments in a period, the greatest first."""

    segmentation: str
    first_day: date
    last_day: date
    flows: list[FlowDocument]


class DayOfFlowsDocument(Document):
    """Flows of one day."""

    day: date
    flows: list[FlowDocument]


class DailyFlowsDocument(Document):
    """Flows between segments, day by day; days without any are left out."""

    segmentation: str
    first_day: date
    last_day: date
    days: list[DayOfFlowsDocument]


class SegmentSizesDocument(Document):
    """How many customers were in a segment."""

    segment: SegmentReference
    customers: list[Count | None]
    """At the end of each of the days, in their order, of today at present; null before `known_from`, unless nobody can
    have been there."""


class SizesDocument(Document):
    """Sizes of segments over time, by the flows of each day."""

    segmentation: str
    first_day: date
    last_day: date
    known_from: date | None
    """First day that flows are known of; null if there are none."""
    days: list[date]
    segments: list[SegmentSizesDocument]


class AheadDocument(Document):
    """Customers whom silence will move from one segment to another."""

    segmentation: str
    segment: SegmentReference
    to_segment: SegmentReference | None
    """Null if they leave the segmentation, such as an audience."""
    customers: Count
    revenue: Number | None
    """Of these customers over their lifetime, by the mean of the segment's; null while no figures are known."""
    currency: str | None
    """Of the revenue (ISO 4217)."""


class UpcomingDocument(Document):
    """Who leaves which segment by time alone if nothing happens, the most first."""

    after: Instant
    """Now; in a replay, its end."""
    until: Instant
    moves: list[AheadDocument]


class LeaverDocument(Document):
    """A customer who will leave a segment if nothing happens."""

    customer_id: str
    at: Instant
    to_segment: SegmentReference | None


class LeaversDocument(Document):
    """A page of those who leave a segment by time alone, the first ones first."""

    customers: Count
    """How many do at the moment of the answer."""
    after: Instant
    until: Instant
    leavers: list[LeaverDocument]
    next_cursor: str | None
    """For the next page; null at the end."""


class ModelSummary(Document):
    """A version of the model or definition."""

    kind: Literal["learned", "rules", "audience"]
    version: Count
    status: Literal["published", "held", "rejected"]
    as_of: Instant
    segments: Count
    """How many it has."""
    expected_churn: Share | None
    """Share of customers that taking over was forecast to move; null where nothing is learned or was forecast."""


class ModelsDocument(Document):
    """Versions of the model that are known, the newest first."""

    segmentation: str
    models: list[ModelSummary]


class ActionRequest(Document):
    """What to do with a segment's customers."""

    action: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")
    ]
    """In one line."""


class SegmentActionDocument(Document):
    """What to do with a segment's customers, and who has said so."""

    segmentation: str
    segment: SegmentReference
    action: str | None
    """Null where nobody has said anything, nor the definition."""
    action_edit: ActionEditDocument | None
    """Null where the action is the definition's."""


class StreamTokenDocument(Document):
    """A token that opens the live stream for a minute, and nothing else."""

    token: str
    """For the query parameter `token` of `/v1/migrations/stream`."""
    expires_at: Instant


class ProblemDocument(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: Annotated[str, Field(json_schema_extra={"format": "uri-reference"})]
    """The code as a URI reference, at which a server explains it."""
    title: str
    """What all problems of this code have in common."""
    status: int
    detail: str
    """The mistake, and what was expected: for people."""
    code: str
    """For programs: it stays."""
    request_id: str
    """As in the header `X-Request-Id`, and in the server's log."""
