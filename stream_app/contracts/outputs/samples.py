"""Population samples, and decisions on their way to the trainer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, RootModel, Tag

from stream_app.contracts.outputs.fields import Count, Instant, NonNegative, Number, Output, SegmentationName, SegmentId
from stream_app.contracts.outputs.figures import SegmentSums
from stream_app.contracts.outputs.models import DecidedBy, DecisionAction


class SampledMemberships(Output):
    """Customers' places in one segmentation: a column each."""

    segments: list[SegmentId | None]
    previous_segments: list[SegmentId | None]
    """Null for a customer that has been in one segment alone."""
    since: list[Instant | None]
    """When the segment was entered."""
    kept: list[SegmentId | None]
    """What the segmentation remembers beside the segment; null for nothing."""


class SampledActivity(Output):
    """Customers' activity as it stands in their rows (see `stream_app.core.row.Row`): a column each.

    Instants are milliseconds since the epoch; one that there has never been is ±2^62.
    """

    first_at_ms: list[int]
    first_purchased_at_ms: list[int]
    purchased_at_ms: list[int]
    ordered_at_ms: list[int]
    engaged_at_ms: list[int]
    revenue_minor: list[int]
    orders_decayed: list[Number]
    revenue_decayed: list[Number]
    log_order_values: list[Number]
    engaged_days: list[NonNegative]
    log_gaps: list[Number]
    log_gaps_squared: list[Number]
    gaps: list[Count]
    purchases: list[int]
    refunds: list[int]
    engagements: list[Count]


class PopulationSample(Output):
    """Customers of one partition, drawn at a tick, from which models are learned. Each column has an entry for each."""

    tick: Count
    """Number of the tick since the epoch."""
    as_of: Instant
    partition: Count
    population_size: Count
    """How many customers of the partition the sample was drawn from; 0 if it has none yet."""
    customer_ids: list[str]
    memberships: dict[SegmentationName, SampledMemberships]
    """By segmentation."""
    activity: SampledActivity
    members: dict[SegmentationName, list[SegmentSums]]
    """By segmentation, of all customers of the partition."""


class ModelDecision(Output):
    """An operator's decision on a model of a learned segmentation, which the trainer is to carry out."""

    kind: Literal["decision"]
    segmentation: SegmentationName
    action: DecisionAction
    """Approve publishes the held version, reject drops it; pin keeps a published version in force, unpin ends that."""
    version: Count | None
    """The one decided on; null for `unpin`."""
    as_of: Instant | None
    """Of a held version, the instant that it was learned at: another one may have taken its place. Null: whichever."""
    decided_by: DecidedBy
    at: Instant
    """When it was decided."""


def _sample_or_decision(record: Any) -> str:
    kind = record.get("kind") if isinstance(record, dict) else getattr(record, "kind", None)
    return "decision" if kind == "decision" else "sample"


class PopulationRecord(
    RootModel[
        Annotated[
            Annotated[PopulationSample, Tag("sample")] | Annotated[ModelDecision, Tag("decision")],
            Discriminator(_sample_or_decision),
        ]
    ]
):
    """What the trainer reads: samples, and the decisions of operators."""

    model_config = ConfigDict(strict=True, frozen=True)
