"""Records of the output topics: migrations, memberships, figures, models, population samples, dead letters.

Every field is always present; a value that is unknown or does not apply is null. Instants are RFC 3339 in UTC with
milliseconds. Consumers must ignore fields they do not know.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from stream_app.contracts.rejections import REJECTION_REASONS
from stream_app.segmentations.learned.features import FEATURE_COUNT, FeatureSet

MAX_COUNT: Final = 2**63 - 1
"""Counts fit a signed 64-bit integer on the consumer's side."""

Instant = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"),
]
Number = Annotated[float, Field(allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
PerFeature = Annotated[list[Number], Field(min_length=FEATURE_COUNT, max_length=FEATURE_COUNT)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
SLUG: Final = r"^[a-z][a-z0-9_-]{0,63}$"
"""Names of segmentations and ids of segments: without a slash, so that `value/s3` can be taken apart."""
SegmentationName = Annotated[str, StringConstraints(pattern=SLUG)]
SegmentId = Annotated[str, StringConstraints(pattern=SLUG)]
"""Unique within its segmentation alone; learned ones are `s` and a number."""

CauseKind = Literal[
    "purchase",
    "refund",
    "engagement",
    "lapse",
    "model",
    "definition",
    "profile",
    "merge",
    "consent",
    "cooldown",
]
Change = Literal["entered", "moved", "lapsed", "returned", "left"]


def _require_reason(value: str) -> str:
    if value not in REJECTION_REASONS:
        raise PydanticCustomError("out_of_range", "one of " + ", ".join(REJECTION_REASONS))
    return value


Reason = Annotated[
    str,
    AfterValidator(_require_reason),
    WithJsonSchema({"type": "string", "enum": list(REJECTION_REASONS)}),
]
"""The closed list is that of `rejections`; a second one here could differ."""


class Output(BaseModel):
    """Base of all output records: no coercion, no unknown fields, no changes afterwards."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True)


class SourcePosition(Output):
    """Where a record came from; for a file, its name, 0, and its line number from 1."""

    topic: str
    partition: Count
    offset: Count


class SegmentReference(Output):
    """A segment: its id is stable, its name may change with the model."""

    id: SegmentId
    name: str


class Figures(Output):
    """Figures of a customer, in natural units."""

    recency_days: NonNegative
    """Days since the last purchase or engagement."""
    usual_gap_days: NonNegative
    """Usual number of days between two active days."""
    probability_active: Share
    """That the customer still is one."""
    orders_90d: Number
    """Orders, decayed with a half-life of 90 days."""
    revenue_90d: Number
    """Net revenue in major units of the base currency, decayed likewise."""
    engaged_days_21d: NonNegative
    """Days with an engagement, decayed with a half-life of 21 days."""
    tenure_days: NonNegative
    """Days since the first event."""


class Cause(Output):
    """The cause of a move: an event, the passing of time (lapse), a new model or definition.

    `profile`, `merge`, `consent` and `cooldown` are reserved.
    """

    kind: CauseKind
    event_id: str | None
    """Null unless an event was the cause."""
    position: SourcePosition | None
    """Likewise."""


class LearnedExplanation(Output):
    """Of a learned segmentation: why the customer is nearer to the new segment, and by how much."""

    kind: Literal["learned"]
    before: Figures | None
    after: Figures
    distance_from: NonNegative | None
    """Distance to the centroid of the segment left, in weighted standard deviations."""
    distance_to: NonNegative
    """Distance to the centroid of the segment entered."""
    margin: Number | None
    """How far past the border between both; moves of small margin are most likely noise."""
    decisive_feature: str | None
    """The feature that moved the customer most."""
    sentence: str


class Condition(Output):
    """A condition on one figure of the customer that began or ceased to hold."""

    figure: str
    """Name of the figure."""
    operator: Literal["<", "<=", ">", ">="]
    value: Number
    """The figure is compared with this."""
    before: Number | None
    """The figure before the move; null for a first entry."""
    after: Number


class RulesExplanation(Output):
    """Of a segmentation by rules: the conditions that decided."""

    kind: Literal["rules"]
    sentence: str
    gained: list[Condition]
    """Conditions that hold now and did not before."""
    lost: list[Condition]
    """Conditions that held before and do not now."""


class DefinitionExplanation(Output):
    """The segmentation was added to the configuration, or removed from it."""

    kind: Literal["definition"]
    sentence: str


Explanation = Annotated[
    LearnedExplanation | RulesExplanation | DefinitionExplanation,
    Field(discriminator="kind"),
]


class Holdout(Output):
    """Whether the customer is kept out of campaigns, so that their effect can be measured."""

    bucket: Annotated[int, Field(ge=0, le=99)]
    held_out: bool


class SegmentMigration(Output):
    """One customer's move from one segment of a segmentation to another, first entry, or leaving for good."""

    migration_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    """Stable hash of segmentation, customer and sequence: equal for a repeated delivery."""
    sequence: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    """Per segmentation and customer, from 1, without gaps."""
    customer_id: str
    segmentation: SegmentationName
    from_segment: SegmentReference | None
    """Null for the first entry."""
    to_segment: SegmentReference | None
    """Null if the customer is in no segment of the segmentation any more (`left`)."""
    change: Change
    effective_at: Instant
    """Instant at which it became true."""
    decided_at: Instant
    """Instant at which it was found."""
    cause: Cause
    model_version: Count
    """Of the model or definition in force."""
    explanation: Explanation
    holdout: Holdout


class SegmentMembership(Output):
    """The segment of a segmentation that a customer is in; a null value instead says that it is in none any more."""

    customer_id: str
    segmentation: SegmentationName
    segment: SegmentReference
    since: Instant
    sequence: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    """Sequence of the migration that led here."""
    model_version: Count
    as_of: Instant


class SegmentSums(Output):
    """Sums over the customers of one partition who are in a segment; those of all partitions add up to the whole."""

    segment: SegmentId
    customers: Count
    purchases: Count
    """Orders over their lifetime."""
    revenue_minor: Annotated[int, Field(ge=-MAX_COUNT, le=MAX_COUNT)]
    """Net revenue over their lifetime, in minor units of the base currency."""
    first_at_seconds: Count
    """Instants of their first events, in seconds since 1970."""
    active_at_seconds: Count
    """Instants of their last purchases or engagements, likewise."""


class SegmentFigures(Output):
    """Who is in the segments of a segmentation, in one partition: segments without customers are left out."""

    segmentation: SegmentationName
    partition: Count
    as_of: Instant
    """How far the partition had come; as long as no later record comes, the sums have stayed the same."""
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    """The base currency."""
    segments: list[SegmentSums]


class SegmentProfile(Output):
    """A segment's typical customer; units as in `Figures`."""

    recency_days: NonNegative
    orders_90d: Number
    revenue_90d: Number
    engaged_days_21d: NonNegative
    tenure_days: NonNegative


class ModelSegment(Output):
    """One segment of a model."""

    id: SegmentId
    name: str
    centroid: PerFeature
    """In raw feature space, in the order of `feature_names`."""
    share: Share
    """Of the sampled customers."""
    profile: SegmentProfile | None


class Training(Output):
    """How the model was learned."""

    algorithm: str
    sample_size: Count
    inertia: NonNegative
    step: Share
    """How far the centroids went towards the converged ones."""
    challenger_adopted: bool
    seed: int


class Drift(Output):
    """How far the population has moved since the model before."""

    centroid_shift: NonNegative
    psi: dict[str, Number]
    """Population stability index by feature name."""


class LearnedModel(Output):
    """One version of a learned segmentation's model, or a proposal that is held back."""

    kind: Literal["learned"]
    segmentation: SegmentationName
    version: Count
    status: Literal["published", "held"]
    as_of: Instant
    feature_set: FeatureSet
    prior_gap_days: NonNegative
    order_value_minor: NonNegative
    feature_names: Annotated[list[str], Field(min_length=FEATURE_COUNT, max_length=FEATURE_COUNT)]
    weights: PerFeature
    mean: PerFeature
    scale: PerFeature
    hysteresis: NonNegative
    no_return_days: NonNegative
    segments: Annotated[list[ModelSegment], Field(min_length=1)]
    retired_segments: list[SegmentReference]
    """Segments of earlier models: a customer stays in one until it is next assessed."""
    expected_churn: Share | None
    """Share of customers that adopting it is forecast to move."""
    training: Training | None
    """Null for version 0, the cold-start rules."""
    drift: Drift | None


class RulesSegment(Output):
    """One segment of a segmentation by rules."""

    id: SegmentId
    name: str
    sentence: str
    """Its conditions in words."""


class RulesModel(Output):
    """One version of the definition of a segmentation by rules."""

    kind: Literal["rules"]
    segmentation: SegmentationName
    version: Count
    status: Literal["published", "held"]
    as_of: Instant
    segments: Annotated[list[RulesSegment], Field(min_length=1)]
    retired_segments: list[SegmentReference]
    """Segments of earlier definitions: a customer stays in one until it is next assessed."""
    definition: dict[str, Any]
    """As configured."""


class SegmentModel(RootModel[Annotated[LearnedModel | RulesModel, Field(discriminator="kind")]]):
    """One version of a segmentation's model or definition, by `kind`."""

    model_config = ConfigDict(strict=True, frozen=True)


class SampledMemberships(Output):
    """Customers' places in one segmentation: a column each."""

    segments: list[SegmentId | None]
    previous_segments: list[SegmentId | None]
    """Null for a customer that has been in one segment alone."""
    since: list[Instant | None]
    """When the segment was entered."""


class SampledQuantities(Output):
    """Customers' quantities, as in `stream_app.core.features.Quantities`: a column each."""

    recency_days: list[NonNegative]
    orders: list[Number]
    revenue_minor: list[NonNegative]
    engagement: list[NonNegative]
    engaged_days: list[NonNegative]
    active_days: list[NonNegative]
    exposure_days: list[NonNegative]
    tenure_days: list[NonNegative]


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
    quantities: SampledQuantities


class DeadLetter(Output):
    """A record that was refused, and why."""

    reason: Reason
    field: str
    """The field at fault, `$` for the record as a whole."""
    message: str
    """Names the value seen and the value expected."""
    position: SourcePosition
    source_timestamp: Instant | None
    payload: str | None
    """At most its first 64 KiB; null if payloads are not kept."""
    payload_encoding: Literal["utf-8", "base64"] | None
    payload_sha256: Sha256
    """Of the whole payload."""
    payload_bytes: Count
    """Length of the whole payload."""


OUTPUT_MODELS: Final[dict[str, type[BaseModel]]] = {
    "segment-migrations": SegmentMigration,
    "segment-memberships": SegmentMembership,
    "segment-figures": SegmentFigures,
    "segment-models": SegmentModel,
    "population-samples": PopulationSample,
    "dead-letters": DeadLetter,
}
"""Contract by topic."""
