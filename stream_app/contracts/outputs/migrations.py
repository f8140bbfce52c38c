"""Migrations and memberships."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, SerializerFunctionWrapHandler, StringConstraints, model_serializer

from stream_app.contracts.outputs.fields import (
    MAX_COUNT,
    Count,
    Instant,
    NonNegative,
    Number,
    Output,
    SegmentationName,
    SegmentReference,
    Share,
    SourcePosition,
)

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
    """Recent estimate of the days from one order to the next; older orders count less, half after 60 days."""
    order_value: NonNegative | None
    """Estimated value of an order, drawn towards the population's; null while the model knows none."""
    engagement_recency_days: NonNegative | None
    """Days since the last engagement; null before any."""
    engagement_interval_days: NonNegative
    """Recent estimate of the days from one day with an engagement to the next; half the weight after 30 days."""


class Cause(Output):
    """The cause of a move: an event, an update of the profile, the passing of time (lapse), a new model or definition.

    In a merge two ids turn out to be one customer's. `consent` and `cooldown` are reserved: nothing makes such moves. A
    role that a customer has left is closed to it for some days; the end of that time moves nobody: the next event does,
    and is the cause.
    """

    kind: CauseKind
    event_id: str | None
    """Null unless an event or a profile was the cause."""
    position: SourcePosition | None
    """Where that event, or the statement of a merge, was read; null otherwise."""


class LearnedExplanation(Output):
    """What decided, in a learned segmentation."""

    kind: Literal["learned"]
    before: Figures | None
    """Null for a first entry. Of the instant of the event, without it; of the last event, where time has passed; and as
    the model before had them, where a model is the cause."""
    after: Figures
    decisive: Literal["silence", "tenure", "order_rate", "engagement_rate", "order_value", "model"] | None
    """What the move is put down to; null for a first entry."""
    margin: Number | None
    """How far past the middle between both segments' centres, in log units. Null where no distance decided: at entries,
    where silence decided, and where the statement of the segment left had become false."""
    statement: str
    """What the segment entered says of each of its members."""
    sentence: str


class Condition(Output):
    """A condition whose outcome the move changed."""

    condition: str
    """What is true while it holds, in words: `4 or more order_completed in the last 30 days`."""
    before: Number | None
    """What was counted or compared, before the move (money in major units of the base currency); null where that is no
    number, and where nothing was before."""
    after: Number | None
    """The same as of the move."""
    held: bool | None
    """Whether it held before; null where nothing was before."""
    holds: bool
    """Whether it holds now."""


class RulesExplanation(Output):
    """The conditions that decided, in a segmentation by rules or an audience."""

    kind: Literal["rules"]
    sentence: str
    conditions: list[Condition]
    """Those that changed, in the definition's order; all of them at an entry. Empty where the definition is new."""


class DefinitionExplanation(Output):
    """The segmentation was added to the configuration, or removed from it; or the customer goes by another id."""

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


def without_absent(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without the fields that are left out where they have no value."""
    return {name: value for name, value in record.items() if value is not None or name not in _LEFT_OUT}


_LEFT_OUT: Final = ("revenue_before", "consents", "merged_into")


class SegmentMigration(Output):
    """One customer's move from one segment of a segmentation to another, or into one, or out of all of them.

    An audience is a segmentation with one segment: a customer enters it, leaves it, and may enter it again.
    """

    migration_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    """Stable hash of segmentation, customer and sequence: equal for a repeated delivery."""
    sequence: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    """Per segmentation and customer, from 1, without gaps."""
    customer_id: str
    segmentation: SegmentationName
    from_segment: SegmentReference | None
    """Null where the customer was in none: at the first entry, and each time that it enters an audience."""
    to_segment: SegmentReference | None
    """Null if the customer is no longer in any segment (`left`): it left an audience, or the segmentation ended."""
    change: Change
    """`entered` from no segment, `moved`, `lapsed` by silence into a lapsed one, `returned` from one by an own act,
    `left` for none."""
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
    revenue_before: Number | None = None
    """Net revenue of the customer before what moved it, in major units of the base currency; missing in records of
    earlier releases."""
    consents: dict[str, bool] | None = None
    """Whether the customer agrees to each purpose, of those that somebody spoke of or that need consent; left out where
    there are none. Purposes that are not named are agreed to."""
    merged_into: str | None = None
    """The id that the customer goes by from now on, which is why it leaves; left out otherwise."""

    @model_serializer(mode="wrap")
    def _leave_out(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        record: dict[str, Any] = serialize(self)
        return without_absent(record)


class SegmentMembership(Output):
    """The segment of a segmentation that a customer is in.

    A null value says that the customer is no longer in any segment of it, for example out of an audience.
    """

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
    own act or a new model since then may change it, either way; the record is rewritten when the customer moves."""
    consents: dict[str, bool] | None = None
    """As in the migration that led here."""

    @model_serializer(mode="wrap")
    def _leave_out(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_absent(serialize(self))
