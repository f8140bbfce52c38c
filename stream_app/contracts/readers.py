"""Output records as they are read back: by the view, the API, the webhooks and the tools.

`stream_app.contracts.outputs` defines the values that the fields may have. These structs are apart from it because a
pydantic model takes several times as long to read a record; unknown fields are ignored, as every consumer should.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

KEY_SEPARATOR: Final = "/"
"""Follows the segmentation in a key: a segmentation's name has no slash, a customer's id may."""


class SegmentReference(msgspec.Struct, frozen=True, gc=False):
    """A segment: its id is stable within its segmentation, its name may change with the model."""

    id: str
    name: str


class SourcePosition(msgspec.Struct, frozen=True, gc=False):
    """Where an event was read from."""

    topic: str
    partition: int
    offset: int


class Cause(msgspec.Struct, frozen=True, gc=False):
    """The cause of a move; event and position are null unless it was an event."""

    kind: str
    event_id: str | None
    position: SourcePosition | None


class Figures(msgspec.Struct, frozen=True, gc=False):
    """A customer in natural units: days, decayed counts, major units of the base currency."""

    recency_days: float
    usual_gap_days: float
    probability_active: float
    orders_90d: float
    revenue_90d: float
    engaged_days_21d: float
    tenure_days: float


class LearnedExplanation(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="learned"):
    """Distances and margin are in weighted standard deviations of the features."""

    before: Figures | None
    after: Figures
    distance_from: float | None
    distance_to: float
    margin: float | None
    decisive_feature: str | None
    sentence: str


class Condition(msgspec.Struct, frozen=True, gc=False):
    """A condition that began or ceased to hold."""

    figure: str
    operator: str
    value: float
    before: float | None
    after: float


class RulesExplanation(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="rules"):
    """The conditions that decided."""

    sentence: str
    gained: tuple[Condition, ...]
    lost: tuple[Condition, ...]


class DefinitionExplanation(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="definition"):
    """The segmentation was added to the configuration, or removed from it."""

    sentence: str


Explanation = LearnedExplanation | RulesExplanation | DefinitionExplanation


def margin_of(explanation: Explanation) -> float | None:
    """Return how far past the border a move went; None for first entries and where nothing is learned."""
    return explanation.margin if isinstance(explanation, LearnedExplanation) else None


class Holdout(msgspec.Struct, frozen=True, gc=False):
    """The customer's constant bucket, 0 to 99, and whether campaigns are to leave it alone."""

    bucket: int
    held_out: bool


class MigrationRecord(msgspec.Struct, frozen=True, gc=False):
    """One record of `segment-migrations`."""

    migration_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    sequence: int
    customer_id: str
    segmentation: str
    from_segment: SegmentReference | None
    to_segment: SegmentReference | None
    change: str
    effective_at: str
    decided_at: str
    cause: Cause
    model_version: int
    explanation: Explanation
    holdout: Holdout

    @property
    def margin(self) -> float | None:
        """How far past the border, in standard deviations; None for first entries and where nothing is learned."""
        return margin_of(self.explanation)


class MembershipRecord(msgspec.Struct, frozen=True, gc=False):
    """One record of `segment-memberships`."""

    customer_id: str
    segmentation: str
    segment: SegmentReference
    since: str
    sequence: int
    model_version: int
    as_of: str


class SegmentSums(msgspec.Struct, frozen=True, gc=False):
    """Sums over the customers of a partition who are in a segment."""

    segment: str
    customers: int
    purchases: int
    revenue_minor: int
    first_at_seconds: int
    active_at_seconds: int


class FiguresRecord(msgspec.Struct, frozen=True, gc=False):
    """One record of `segment-figures`."""

    segmentation: str
    partition: int
    as_of: str
    currency: str
    segments: tuple[SegmentSums, ...]


class ModelSegment(msgspec.Struct, frozen=True, gc=False):
    """A segment of a model, as far as readers need it; fields that its kind does not have are None."""

    id: str
    name: str
    share: float | None = None
    profile: Mapping[str, float] | None = None
    sentence: str | None = None


class ModelRecord(msgspec.Struct, frozen=True, gc=False):
    """One record of `segment-models`: which segments there are. The numbers of a learned model are left out."""

    kind: str
    segmentation: str
    version: int
    status: str
    as_of: str
    segments: tuple[ModelSegment, ...]
    retired_segments: tuple[SegmentReference, ...]
    feature_set: str | None = None
    expected_churn: float | None = None

    @property
    def is_published(self) -> bool:
        """Whether it is, or was, in use."""
        return self.status == "published"

    @property
    def references(self) -> tuple[SegmentReference, ...]:
        """All segments that customers may be in, the retired ones last."""
        return (*(SegmentReference(segment.id, segment.name) for segment in self.segments), *self.retired_segments)


read_migration: Final = msgspec.json.Decoder(MigrationRecord).decode
"""Return the migration of a record's value; raises `msgspec.DecodeError`, a ValueError."""
read_membership: Final = msgspec.json.Decoder(MembershipRecord).decode
"""Return the membership of a record's value; likewise."""
read_figures: Final = msgspec.json.Decoder(FiguresRecord).decode
"""Return the figures of a record's value; likewise."""
read_model: Final = msgspec.json.Decoder(ModelRecord).decode
"""Return the model of a record's value; likewise."""


def figures_key(segmentation: str, partition: int) -> str:
    """Return the key of a record of `segment-figures`."""
    return f"{segmentation}{KEY_SEPARATOR}{partition}"


def membership_key(segmentation: str, customer_id: str) -> str:
    """Return the key of a record of `segment-memberships`."""
    return f"{segmentation}{KEY_SEPARATOR}{customer_id}"


def split_membership_key(key: str) -> tuple[str, str]:
    """Return segmentation and customer id.

    Raises
    ------
    ValueError
        If the key is not of this form.
    """
    segmentation, separator, customer_id = key.partition(KEY_SEPARATOR)
    if not (separator and segmentation and customer_id):
        raise ValueError("expected the key <segmentation>/<customer_id>")
    return segmentation, customer_id
