"""Figures of the customers who are in segments."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, StringConstraints, model_serializer

from stream_app.contracts.outputs.fields import (
    MAX_COUNT,
    Count,
    Instant,
    NonNegative,
    Number,
    Output,
    SegmentationName,
    SegmentId,
    Share,
)


class SegmentSums(Output):
    """Sums over the customers of one partition who are in a segment; those of all partitions add up to the whole."""

    segment: SegmentId
    customers: Count
    purchases: Count
    """Orders over their lifetime."""
    revenue_minor: Annotated[int, Field(ge=-MAX_COUNT, le=MAX_COUNT)]
    """Net revenue over their lifetime, in minor units of the base currency."""
    first_at_seconds: Count
    """Instants of their first purchases, refunds or engagements, in seconds since 1970; of those who have any."""
    active_at_seconds: Count
    """Instants of their last purchases or engagements, summed in the same way."""
    profiles_only: Count
    """How many have none: only profiles are known of them."""


class Software(Output):
    """What a worker runs."""

    version: str
    """Of the software; `unknown` where it runs from a source tree that is not installed."""
    library: Count
    """Of the compiled library's interface."""


class SegmentFigures(Output):
    """Who is in the segments of a segmentation, in one partition: segments without customers are left out."""

    segmentation: SegmentationName
    partition: Count
    as_of: Instant
    """How far the partition had come; as long as no later record comes, the sums have stayed the same."""
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    """The base currency."""
    segments: list[SegmentSums]
    written_by: Software | None = None
    """What the worker of the partition runs, which writes again when it takes the partition over; left out by earlier
    releases."""

    @model_serializer(mode="wrap")
    def _leave_out(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        record: dict[str, Any] = serialize(self)
        if self.written_by is None:
            record.pop("written_by")
        return record


class SegmentMembers(Output):
    """Who was in a segment at an instant; means of a segment without customers are null."""

    customers: Count
    share: Share
    """Of all who are in a segment."""
    revenue: Number
    """Net revenue over their lifetime, in major units of the base currency."""
    revenue_share: Number
    recency_days: NonNegative | None
    """Since the last purchase or engagement; the mean, like all that follow."""
    tenure_days: NonNegative | None
    """Since the first event."""
    orders_per_customer: Number | None
    revenue_per_customer: Number | None
    average_order_value: Number | None
    """Null where nobody has ordered."""
