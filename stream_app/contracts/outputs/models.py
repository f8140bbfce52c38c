"""Versions of models and definitions, ticks, and what became of decisions on models."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, RootModel, StringConstraints

from stream_app.contracts.outputs.fields import (
    Count,
    Instant,
    NonNegative,
    Number,
    Output,
    SegmentationName,
    SegmentId,
    SegmentReference,
    Share,
)
from stream_app.contracts.outputs.figures import SegmentMembers
from stream_app.segmentations.learned.roles import KINDS, ROLES

Axis = Literal["order_rate", "engagement_rate", "order_value"]
PerAxis = Annotated[list[Number], Field(min_length=3, max_length=3)]


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
    """How long a customer counts as new."""
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
    """As configured, by the segments' keys; the same holds below."""
    actions: dict[str, str]
    segments: Annotated[list[ModelSegment], Field(min_length=len(KINDS), max_length=len(KINDS))]
    retired_segments: list[SegmentReference]
    """Segments of earlier models: a customer stays in one until it is next assessed."""
    expected_churn: Share | None
    """Share of customers that adopting it is forecast to move."""
    training: dict[str, str | int | Number | bool | None] | None
    """How it was learned; null for version 0, the prior numbers."""
    drift: Drift | None


Level = Annotated[int, Field(ge=-128, le=127)]


class RulesSegment(Output):
    """One segment of a segmentation by rules, or the one of an audience."""

    id: SegmentId
    """Of an audience: its name."""
    name: str
    level: Level | None
    """Its place in the order of segments: higher is better, below 0 is lapsed; null if the definition gives none."""
    action: str | None
    """What to do with its customers, as configured."""
    sentence: str
    """Its conditions in words."""


class RetiredSegment(Output):
    """A segment of earlier definitions."""

    id: SegmentId
    name: str
    level: Annotated[int, Field(ge=-128, le=127)] | None
    """As it was last; null if the definition gave none."""


Hashes = Annotated[
    str, StringConstraints(pattern="^[A-Za-z0-9+/]*={0,2}$"), Field(json_schema_extra={"contentEncoding": "base64"})
]


class RulesModel(Output):
    """One version of the definition of a segmentation by rules, or of an audience.

    Which version was in force when follows from the records' timestamps; customers whom a version moves do so with the
    cause `definition`.
    """

    kind: Literal["rules", "audience"]
    segmentation: SegmentationName
    version: Count
    status: Literal["published", "held"]
    as_of: Instant
    segments: Annotated[list[RulesSegment], Field(min_length=1)]
    retired_segments: list[RetiredSegment]
    """Segments of earlier definitions: a customer stays in one until it is next assessed."""
    definition: dict[str, Any]
    """As configured, all of it."""
    lists: dict[str, Hashes]
    """By name, the lists that it looks at: of each the hashes of its customers' ids (XXH3, 64 bits, little-endian),
    ascending, in base64."""
    together: dict[SegmentationName, Count]
    """Versions of all definitions that were published with this one: they take over at one instant."""


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
    sample_share: Share
    """Of all hashes of customers, the part that the next tick's sample is drawn from."""


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
    """One version of a segmentation's model or definition, or the record of a tick or a decision, by `kind`."""

    model_config = ConfigDict(strict=True, frozen=True)
