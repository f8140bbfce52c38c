"""The leaves of conditions: what can be asked of a customer, a closed set.

Each is known by the key that it begins with. Its docstring alone says what it means, for the JSON Schema and the
reference page as well.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from stream_app.segmentations.configuration import Configuration, Slug
from stream_app.segmentations.durations import Duration, Instant
from stream_app.segmentations.rules.catalogue import FigureName
from stream_app.segmentations.rules.comparing import (
    Comparator,
    Compared,
    FieldTest,
    RequiredComparison,
    Tested,
)
from stream_app.segmentations.rules.values import (
    DecayedField,
    EventType,
    Name,
    NumericField,
    Text,
    ZoneName,
    many,
)
from stream_app.segmentations.rules.windows import DEFAULT_ZONE, Windowed

Times = Annotated[int, Field(strict=True, ge=1, le=1000)]
Percent = Annotated[float, Field(strict=True, ge=0, le=100)]
Tests = Annotated[tuple[FieldTest, ...], Field(max_length=32)]
Aggregate: TypeAlias = Literal["sum", "min", "max", "average"]
AGGREGATES: tuple[Aggregate, ...] = ("sum", "min", "max", "average")


class FigureLeaf(RequiredComparison):
    """A figure of the customer, compared with a number; false where there is no figure."""

    tag: ClassVar = "figure"

    figure: FigureName
    """Which one; `segmenter features` lists them with their units."""


class EventLeaf(Windowed, Compared):
    """How often something has happened, or the sum, least, greatest or average of a field of it."""

    tag: ClassVar = "event"

    event: EventType
    """The type of events, such as `order_completed`, or the beginning of some, such as `cart_*`."""
    where: Tests = ()
    """Only events whose fields pass all of these tests."""
    sum: NumericField | None = None
    """Compare the sum of a field instead of the number of events; over no event it is 0."""
    min: NumericField | None = None
    """Compare the least value of a field; false over no event."""
    max: NumericField | None = None
    """Compare the greatest value of a field; false over no event."""
    average: NumericField | None = None
    """Compare the average of a field; false over no event."""

    @property
    def aggregate(self) -> tuple[Aggregate, str] | None:
        """What is compared instead of the number of events, and of which field."""
        given = ((name, getattr(self, name)) for name in AGGREGATES)
        return next(((name, field) for name, field in given if field is not None), None)

    @property
    def comparisons(self) -> tuple[tuple[Comparator, float], ...]:
        """The comparators, all of which must hold; with none, it is enough that it has happened."""
        return super().comparisons or (("at_least", 1.0),)

    @model_validator(mode="after")
    def _require_one_number(self) -> EventLeaf:
        given = [name for name in AGGREGATES if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are combined, expected one of them")
        if given and not Compared.comparisons.fget(self):  # type: ignore[attr-defined]  # a property
            raise ValueError(f"{given[0]}: compared with nothing, expected a comparator such as at_least")
        return self


class DecayedLeaf(RequiredComparison):
    """A sum in which every event counts less the older it is: value × 2^(−age / half_life)."""

    tag: ClassVar = "decayed_sum"

    event: EventType
    """The type of events, or the beginning of some, ended by `*`."""
    decayed_sum: DecayedField
    """The field that is summed up, or `count` for 1 an event."""
    half_life: Duration
    """The time after which an event counts half."""
    where: Tests = ()
    """Only events whose fields pass these tests."""


class FirstEventLeaf(Configuration):
    """It has happened for the first time ever, and recently."""

    tag: ClassVar = "first_event"

    first_event: EventType
    """The type of events, or the beginning of some, ended by `*`."""
    last: Duration
    """How long ago at most."""
    where: Tests = ()
    """Only events whose fields pass these tests."""


class RestartedLeaf(Configuration):
    """It has happened recently, not in the pause before, but before that."""

    tag: ClassVar = "restarted"

    restarted: EventType
    """The type of events, or the beginning of some, ended by `*`."""
    last: Duration
    """How long ago at most it has happened again."""
    pause: Duration
    """How long it had not happened before that."""
    where: Tests = ()
    """Only events whose fields pass these tests."""


class RegularlyLeaf(Configuration):
    """It has happened often enough in enough of the last periods."""

    tag: ClassVar = "regularly"

    regularly: EventType
    """The type of events, or the beginning of some, ended by `*`."""
    times: Times = 1
    """How often at least in a period."""
    each: Duration
    """How long a period is; the latest ends now."""
    in_at_least: Annotated[int, Field(strict=True, ge=1, le=64)]
    """In how many of the periods, at least."""
    of_last: Annotated[int, Field(strict=True, ge=1, le=64)]
    """How many periods are looked at."""
    where: Tests = ()
    """Only events whose fields pass these tests."""

    @model_validator(mode="after")
    def _require_enough_periods(self) -> RegularlyLeaf:
        if self.in_at_least > self.of_last:
            raise ValueError(f"in_at_least: {self.in_at_least} of {self.of_last} periods, expected of_last at most")
        return self


class SequenceLeaf(Configuration):
    """One thing has happened recently, and another soon after it."""

    tag: ClassVar = "sequence"

    sequence: tuple[EventType, EventType]
    """The first and the second type of events."""
    within: Duration
    """How long after the first the second came at most; not at the same instant."""
    last: Duration
    """How long ago the first was at most."""


class LastEventLeaf(Configuration):
    """The fields of the latest event of a kind pass some tests."""

    tag: ClassVar = "last_event"

    last_event: EventType
    """The type of events, or the beginning of some, ended by `*`."""
    has: Annotated[tuple[FieldTest, ...], Field(min_length=1, max_length=32)]
    """Tests of its fields; all must hold."""
    where: Tests = ()
    """Only events whose fields are so are looked at."""


class SinceLastLeaf(Configuration):
    """How long ago it happened last; false if it never did."""

    tag: ClassVar = "since_last"

    since_last: EventType
    """The type of events, or the beginning of some, ended by `*`."""
    at_least: Duration | None = None
    """At least this long ago."""
    at_most: Duration | None = None
    """At most this long ago."""
    more_than: Duration | None = None
    """Longer ago."""
    less_than: Duration | None = None
    """Less than this long ago."""
    where: Tests = ()
    """Only events whose fields pass these tests."""

    @property
    def comparisons(self) -> tuple[tuple[Comparator, Duration], ...]:
        """The comparators that are given; all must hold."""
        names: tuple[Comparator, ...] = ("at_least", "at_most", "more_than", "less_than")
        given = ((name, getattr(self, name)) for name in names)
        return tuple((name, duration) for name, duration in given if duration is not None)

    @model_validator(mode="after")
    def _require_one(self) -> SinceLastLeaf:
        if not self.comparisons:
            raise ValueError("nothing is compared, expected at_least, at_most, more_than or less_than a duration")
        return self


class Anniversary(Configuration):
    """The day of the year on which a date comes round; 29 February is kept on 1 March in other years."""

    in_next: Duration | None = None
    """It comes round within this many whole days, today included."""
    in_month: Annotated[bool, Field(strict=True)] | None = None
    """`true`: it comes round in the present month."""
    timezone: ZoneName | None = None
    """Whose midnight begins a date; the file's time zone if none is given."""

    @property
    def zone(self) -> str:
        """The time zone."""
        return self.timezone or DEFAULT_ZONE

    @model_validator(mode="after")
    def _require_one(self) -> Anniversary:
        if (self.in_next is not None) == (self.in_month is True) or self.in_month is False:
            raise ValueError("expected either in_next: a number of days, such as 7d, or in_month: true")
        if self.in_next is not None and (
            self.in_next.milliseconds % 86_400_000 or self.in_next.milliseconds > 366 * 86_400_000
        ):
            raise ValueError(f"in_next: {self.in_next}, expected whole days, 366d at most")
        return self


class HeldFor(Configuration):
    """Since when a trait has had its present value; stating it again changes nothing."""

    at_least: Duration | None = None
    """For this long or longer."""
    less_than: Duration | None = None
    """For less than this long."""

    @model_validator(mode="after")
    def _require_one(self) -> HeldFor:
        if (self.at_least is None) == (self.less_than is None):
            raise ValueError("expected either at_least or less_than a duration")
        return self


class TraitLeaf(Tested):
    """What is known of the customer from profiles."""

    tag: ClassVar = "trait"

    trait: Name
    """The name of the trait."""
    in_last: Duration | None = None
    """The value is a date, not after now, and at most this long ago."""
    in_next: Duration | None = None
    """The value is a date after now, and not further ahead."""
    before: Instant | None = None
    """The value is a date before this instant."""
    after: Instant | None = None
    """The value is a date on or after this instant."""
    anniversary: Anniversary | None = None
    """The value is a date that comes round soon, such as a birthday."""
    held_for: HeldFor | None = None
    """With `equals`: since when it has been so."""

    @model_validator(mode="after")
    def _require_value(self) -> TraitLeaf:
        if self.held_for is not None and self.equals is None:
            raise ValueError("held_for is given without equals, expected the value that has been held")
        return self


class MembershipLeaf(Configuration):
    """The customer is in a segment of another segmentation, or in an audience."""

    tag: ClassVar = "segmentation"

    segmentation: Slug
    """The name of the segmentation or audience."""
    segment: Annotated[
        tuple[Slug, ...] | None,
        BeforeValidator(many, json_schema_input_type=Slug | list[Slug]),
        Field(min_length=1, max_length=64),
    ] = None
    """The id of its segment, or a list of them; an audience has none."""
    for_at_least: Duration | None = None
    """Since when, at least."""


class ListLeaf(Configuration):
    """The customer's id is in a list, see `lists`."""

    tag: ClassVar = "list"

    list_name: Annotated[Name, Field(alias="list")]
    """The name of the list."""


class RandomLeaf(Configuration):
    """The customer is in a random share of all, always the same: by XXH3-64 of salt, colon and id."""

    tag: ClassVar = "random"

    random: Bucket
    """Which share."""


class Bucket(Configuration):
    """A share of all customers; of two with one salt the smaller is part of the larger."""

    salt: Text
    """Another salt draws another share."""
    from_percent: Percent = 0.0
    """Where the share begins, 0 to 100."""
    to_percent: Percent
    """Where the share ends, 0 to 100; this end is not part of it."""

    @model_validator(mode="after")
    def _require_share(self) -> Bucket:
        if self.from_percent >= self.to_percent:
            raise ValueError(
                f"from_percent: {self.from_percent:g} is not below to_percent: {self.to_percent:g}, so nobody is in it"
            )
        return self


RandomLeaf.model_rebuild()

Leaf: TypeAlias = (
    FigureLeaf
    | EventLeaf
    | DecayedLeaf
    | FirstEventLeaf
    | RestartedLeaf
    | RegularlyLeaf
    | SequenceLeaf
    | LastEventLeaf
    | SinceLastLeaf
    | TraitLeaf
    | MembershipLeaf
    | ListLeaf
    | RandomLeaf
)
"""What can be asked of a customer."""
