"""Records of the output topics: migrations, memberships, figures, models, population samples, dead letters.

Every field is always present; a value that is unknown or does not apply is null. Instants are RFC 3339 in UTC with
milliseconds. Consumers must ignore fields they do not know.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    StringConstraints,
    Tag,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from stream_app.contracts.rejections import REJECTION_REASONS
from stream_app.segmentations.learned.roles import KINDS, ROLES

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
Axis = Literal["order_rate", "engagement_rate", "order_value"]
PerAxis = Annotated[list[Number], Field(min_length=3, max_length=3)]
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
Direction = Literal["up", "down", "sideways"]


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
    """A customer at an instant, in natural units; money in major units of the base currency."""

    recency_days: NonNegative
    """Days since the last purchase or engagement."""
    tenure_days: NonNegative
    """Days since the first event."""
    usual_gap_days: NonNegative
    """Median number of days between two days with a purchase or engagement: of the customer's own gaps of a year, where
    few are known drawn towards the population's."""
    probability_active: Share
    """That the customer still is one, by its own rhythm and the silence since."""
    orders: Count
    """Orders so far, without those that refunds have undone."""
    order_recency_days: NonNegative | None
    """Days since the last purchase; null before any."""
    order_tenure_days: NonNegative | None
    """Days since the first purchase; null before any."""
    order_interval_days: NonNegative
    """Estimated days from one order to the next, as of late; what is older counts less, half after 60 days."""
    order_value: NonNegative | None
    """Estimated value of an order, drawn towards the population's; null while the model knows none."""
    engagement_recency_days: NonNegative | None
    """Days since the last engagement; null before any."""
    engagement_interval_days: NonNegative
    """Estimated days from one day with an engagement to the next, as of late; half the weight after 30 days."""


class Cause(Output):
    """The cause of a move: an event, the passing of time (lapse), a new model or definition.

    `profile`, `merge`, `consent` and `cooldown` are reserved: nothing makes such moves. A role that a customer has left
    is closed to it for some days; that they are over moves nobody, the next event does, and is the cause.
    """

    kind: CauseKind
    event_id: str | None
    """Null unless an event was the cause."""
    position: SourcePosition | None
    """Likewise."""


class LearnedExplanation(Output):
    """Of a learned segmentation: what decided."""

    kind: Literal["learned"]
    before: Figures | None
    """Null for a first entry. Of the instant of the event, without it; of the last event, where time has passed; and as
    the model before had them, where a model is the cause."""
    after: Figures
    decisive: Literal["silence", "tenure", "order_rate", "engagement_rate", "order_value", "model"] | None
    """What the move is put down to; null for a first entry."""
    margin: Number | None
    """How far past the middle between both segments' centres, in log units. Null where no distance decided: at entries,
    where silence has become telling or ends, and where what the segment left says had become false."""
    statement: str
    """What the segment entered says of each of its members."""
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


class NextMove(Output):
    """The customer's next move, if nothing happens until then."""

    at: Instant
    to_segment: SegmentReference | None
    """Null if it leaves the segmentation."""


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
    direction: Direction | None
    """In the order of the segments (`level`); null for entries and leavings, and where segments have no order."""
    effective_at: Instant
    """Instant at which it became true."""
    decided_at: Instant
    """Instant at which it was found."""
    cause: Cause
    model_version: Count
    """Of the model or definition in force."""
    explanation: Explanation
    next_move: NextMove | None
    """If nothing happens after `effective_at`; null if silence moves the customer no more."""
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
    next_move: NextMove | None
    """As it stood at `since`, or, in the files of a replay, at `as_of`; null if silence moves the customer no more. An
    own act or a new model since then may change it, either way; the record is written anew when the customer moves."""


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


class ModelSegment(Output):
    """One segment of a learned model."""

    id: SegmentId
    name: str
    level: Annotated[int, Field(ge=-3, le=4)]
    """Its place in the order of segments: higher is better, below 0 is lapsed."""
    action: str
    """What to do with its customers."""
    statement: str
    """What is true of each of its members."""
    centre: PerAxis | None
    """Of a role, on the axes; null for the others."""
    open: bool
    """Whether it admits customers."""
    members: SegmentMembers | None
    """As of the model's `as_of`, before it takes over; null if not known, as for version 0 and a version pinned."""


class Rhythm(Output):
    """How the population comes back; see `stream_app.segmentations.learned.rhythm`."""

    log_gap: Number
    """Mean log gap in days."""
    log_gap_variance: NonNegative
    prior_weight: NonNegative
    """How many gaps the population's mean counts for."""
    stop_rate_per_day: NonNegative
    stop_after_first: Share


class Frame(Output):
    """What is learned of the population."""

    rhythm: Rhythm
    order_value_minor: NonNegative | None
    """Usual order value in minor units of the base currency; null until one is known."""
    engagement_weight: Share
    """How much engagement counts beside orders."""
    new_days: NonNegative
    """A customer is new for so long."""
    centres: Annotated[list[PerAxis], Field(min_length=ROLES, max_length=ROLES)]
    """Of the roles, in the order of `segments`."""
    open: Annotated[list[bool], Field(min_length=ROLES, max_length=ROLES)]
    """Which of them admit customers."""


class Thresholds(Output):
    """What is configured rather than learned."""

    hysteresis: NonNegative
    no_return_days: NonNegative
    risk_probability: Share
    lapsed_probability: Share
    one_time_probability: Share
    risk_days_min: NonNegative
    lapsed_days_min: NonNegative
    lost_days: NonNegative
    loyal_slack: NonNegative
    regular_slack: NonNegative
    big_slack: NonNegative
    visits_slack: NonNegative
    browsers_slack: NonNegative
    rare_slack: NonNegative
    value_slack: NonNegative


class Drift(Output):
    """How far the population has moved since the last published model."""

    psi: dict[str, Number]
    """Population stability index by axis."""
    roles: dict[str, Number]
    """How far each role's centre would move to fit the population, in log units, by the role's key."""


class LearnedModel(Output):
    """One version of a learned segmentation's model, or a proposal that is held back."""

    kind: Literal["learned"]
    segmentation: SegmentationName
    version: Count
    status: Literal["published", "held", "rejected"]
    """Held: not in force, an operator may approve it; rejected: one has refused it."""
    as_of: Instant
    axes: Annotated[list[Axis], Field(min_length=3, max_length=3)]
    frame: Frame
    previous_frame: Frame | None
    """Of the version before; null if there was none."""
    thresholds: Thresholds
    names: dict[str, str]
    """As configured, by the segments' keys; likewise below."""
    actions: dict[str, str]
    segments: Annotated[list[ModelSegment], Field(min_length=len(KINDS), max_length=len(KINDS))]
    retired_segments: list[SegmentReference]
    """Segments of earlier models: a customer stays in one until it is next assessed."""
    expected_churn: Share | None
    """Share of customers that adopting it is forecast to move."""
    training: dict[str, str | int | Number | bool | None] | None
    """How it was learned; null for version 0, the prior numbers."""
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


class Tick(Output):
    """An instant at which models are learned: what is in force from it on, or that partitions wait at it."""

    kind: Literal["tick"]
    tick: Count
    """Number of the tick since the epoch."""
    as_of: Instant
    status: Literal["awaited", "decided"]
    """Awaited: some partitions have come to it, and others are asked to let time pass up to it."""
    versions: dict[SegmentationName, Count]
    """By segmentation, the version in force from `as_of` on, up to the next tick; empty while it is awaited."""


DecisionAction = Literal["approve", "reject", "pin", "unpin"]
DECIDED_BY_CHARACTERS_MAX: Final = 100
DecidedBy = Annotated[str, StringConstraints(max_length=DECIDED_BY_CHARACTERS_MAX)]


class DecisionOutcome(Output):
    """What became of an operator's decision on a model, and what is pinned since."""

    kind: Literal["decision"]
    segmentation: SegmentationName
    action: DecisionAction
    version: Count | None
    """The one decided on; null for `unpin`."""
    status: Literal["done", "refused"]
    reason: str | None
    """Why it was refused; null if it was not."""
    published_version: Count | None
    """In force afterwards; null if no such segmentation is learned."""
    pinned_version: Count | None
    """Whose frame stays in force whatever is learned; null if none is pinned."""
    decided_by: DecidedBy
    decided_at: Instant
    offset: Count
    """Of the decision in `population-samples`."""


class SegmentModel(
    RootModel[Annotated[LearnedModel | RulesModel | Tick | DecisionOutcome, Field(discriminator="kind")]]
):
    """One version of a segmentation's model or definition, or what is said of a tick or a decision, by `kind`."""

    model_config = ConfigDict(strict=True, frozen=True)


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
    "population-samples": PopulationRecord,
    "dead-letters": DeadLetter,
}
"""Contract by topic."""
