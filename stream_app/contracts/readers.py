"""Output records as they are read back: by the view, the API, the webhooks and the tools.

`stream_app.contracts.outputs` defines the values that the fields may have. These structs are apart from it because a
pydantic model takes several times as long to read a record; unknown fields are ignored, as every consumer should.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from stream_app.core.members import MemberSums

KEY_SEPARATOR: Final = "/"
"""Follows the segmentation in a key: a segmentation's name has no slash, a customer's id may."""

NOTE_PREFIX: Final = b"~"
"""Before the key of a record in `segment-models` that is no model."""
TICK_DECIDED_KEY: Final = NOTE_PREFIX + b"tick"
TICK_AWAITED_KEY: Final = TICK_DECIDED_KEY + KEY_SEPARATOR.encode() + b"awaited"


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
    """A customer in natural units; what records of earlier releases lack is None."""

    recency_days: float
    tenure_days: float
    usual_gap_days: float
    probability_active: float
    orders: int | None = None
    order_recency_days: float | None = None
    order_tenure_days: float | None = None
    order_interval_days: float | None = None
    order_value: float | None = None
    engagement_recency_days: float | None = None
    engagement_interval_days: float | None = None


class LearnedExplanation(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="learned"):
    """What decided; the margin is in log units (in standard deviations in records of earlier releases)."""

    before: Figures | None
    after: Figures
    margin: float | None
    sentence: str
    decisive: str | None = None
    statement: str | None = None


class Condition(msgspec.Struct, frozen=True, gc=False):
    """A condition whose outcome changed."""

    condition: str
    before: float | None
    after: float | None
    held: bool | None
    holds: bool


class RulesExplanation(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="rules"):
    """The conditions that changed."""

    sentence: str
    conditions: tuple[Condition, ...]


class DefinitionExplanation(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="definition"):
    """The segmentation was added to the configuration, or removed from it."""

    sentence: str


Explanation = LearnedExplanation | RulesExplanation | DefinitionExplanation


def margin_of(explanation: Explanation) -> float | None:
    """Return how far past the border a move went; None where no distance decided, and where nothing is learned."""
    return explanation.margin if isinstance(explanation, LearnedExplanation) else None


class Holdout(msgspec.Struct, frozen=True, gc=False):
    """The customer's constant bucket, 0 to 99, and whether campaigns are to leave it alone."""

    bucket: int
    held_out: bool


class NextMove(msgspec.Struct, frozen=True, gc=False):
    """When and where to the customer moves if nothing happens until then."""

    at: str
    to_segment: SegmentReference | None


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
    direction: str | None = None
    next_move: NextMove | None = None
    consents: dict[str, bool] | None = None
    merged_into: str | None = None
    revenue_before: float | None = None

    @property
    def margin(self) -> float | None:
        """How far past the border; None where no distance decided, and where nothing is learned."""
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
    next_move: NextMove | None = None
    consents: dict[str, bool] | None = None


class UpcomingRecord(msgspec.Struct, frozen=True, gc=False):
    """One record of `segment-upcoming`."""

    notice_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    sequence: int
    customer_id: str
    segmentation: str
    segment: SegmentReference
    leaves_at: str
    to_segment: SegmentReference | None
    lead: str
    status: str
    decided_at: str
    cause: Cause
    model_version: int
    next_move: NextMove | None
    holdout: Holdout


class SegmentSums(msgspec.Struct, frozen=True, gc=False):
    """Sums over the customers of a partition who are in a segment."""

    segment: str
    customers: int
    purchases: int
    revenue_minor: int
    first_at_seconds: int
    active_at_seconds: int
    profiles_only: int = 0

    @property
    def sums(self) -> MemberSums:
        """The same without the segment."""
        return MemberSums(*msgspec.structs.astuple(self)[1:])


class Software(msgspec.Struct, frozen=True, gc=False):
    """What a worker runs: versions of the software, and of the compiled library's interface."""

    version: str
    library: int


class FiguresRecord(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One record of `segment-figures`."""

    segmentation: str
    partition: int
    as_of: str
    currency: str
    segments: tuple[SegmentSums, ...]
    written_by: Software | None = None


class DeadLetterRecord(msgspec.Struct, frozen=True, gc=False):
    """One record of `dead-letters`, without the refused payload."""

    reason: str
    field: str
    message: str
    position: SourcePosition


class SampledColumns(msgspec.Struct, frozen=True, gc=False):
    """What the customers of a sample have brought: a column each, see the `population-samples` contract."""

    purchased_at_ms: bytes
    purchases: bytes
    revenue_minor: bytes


class SampleRecord(msgspec.Struct, frozen=True, gc=False):
    """One record of `population-samples`, as far as it says what customers have brought."""

    tick: int
    as_of: str
    partition: int
    population_size: int
    customer_ids: list[str]
    activity: SampledColumns


class ModelSegment(msgspec.Struct, frozen=True, gc=False):
    """A segment of a model, as far as readers need it; fields that its kind does not have are None."""

    id: str
    name: str
    level: int | None = None
    statement: str | None = None
    action: str | None = None
    open: bool | None = None
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
"""Return the membership of a record's value; raises the same."""
read_upcoming: Final = msgspec.json.Decoder(UpcomingRecord).decode
"""Return the notice of a record's value; raises the same."""
read_figures: Final = msgspec.json.Decoder(FiguresRecord).decode
"""Return the figures of a record's value; raises the same."""
read_dead_letter: Final = msgspec.json.Decoder(DeadLetterRecord).decode
"""Return the dead letter of a record's value; raises the same."""
read_sample: Final = msgspec.json.Decoder(SampleRecord).decode
"""Return the sample of a record's value; raises the same, also for one of an earlier release."""
read_model: Final = msgspec.json.Decoder(ModelRecord).decode
"""Return the model of a record's value; raises the same."""


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
