"""Population samples, and decisions on their way to the trainer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, RootModel, StringConstraints, Tag

from stream_app.contracts.outputs.fields import Count, Instant, Output, SegmentationName, Share
from stream_app.contracts.outputs.figures import SegmentSums
from stream_app.contracts.outputs.models import DecidedBy, DecisionAction

Column = Annotated[
    str, StringConstraints(pattern="^[A-Za-z0-9+/]*={0,2}$"), Field(json_schema_extra={"contentEncoding": "base64"})
]
"""One number a customer, little-endian one after the other, in base64 (RFC 4648)."""
Integers16 = Annotated[Column, Field(description="Signed integers of 16 bits.")]
Integers32 = Annotated[Column, Field(description="Signed integers of 32 bits.")]
Integers64 = Annotated[Column, Field(description="Signed integers of 64 bits.")]
Floats64 = Annotated[Column, Field(description="Floating-point numbers of 64 bits (IEEE 754).")]


class SampledMemberships(Output):
    """Customers' places in one segmentation: a column each. A segment `s7` is the number 7; 0 stands for none."""

    segments: Integers16
    previous_segments: Integers16
    since_ms: Integers64
    """When the segment was entered, milliseconds since the epoch; −2^62 for never."""
    kept: Integers16
    """What the segmentation remembers beside the segment."""


class SampledActivity(Output):
    """Customers' activity as it is in their rows (see `stream_app.core.row.Row`): a column each.

    Instants are milliseconds since the epoch; one that there has never been is ±2^62.
    """

    first_at_ms: Integers64
    first_purchased_at_ms: Integers64
    purchased_at_ms: Integers64
    ordered_at_ms: Integers64
    engaged_at_ms: Integers64
    revenue_minor: Integers64
    orders_decayed: Floats64
    revenue_decayed: Floats64
    log_order_values: Floats64
    engaged_days: Floats64
    log_gaps: Floats64
    log_gaps_squared: Floats64
    gaps: Integers32
    purchases: Integers32
    refunds: Integers32
    engagements: Integers32


class PopulationSample(Output):
    """Customers of one partition, drawn at a tick, from which models are learned. Each column has a number for each."""

    tick: Count
    """Number of the tick since the epoch."""
    as_of: Instant
    partition: Count
    population_size: Count
    """How many customers the partition has; 0 if it has none yet."""
    share: Share
    """Of all hashes of customers, the part that was drawn from; what is above it is in no partition's sample."""
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
