"""Segmentations by conditions, as configured: rules and audiences.

By *rules*, a customer is in the first segment whose condition holds, or else in the default: always in exactly one. An
*audience* has one segment, which a customer is in or out of. Everything a condition can say is a value of these models:
nothing is evaluated as an expression.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from stream_app.segmentations.configuration import (
    Action,
    Configuration,
    SegmentationConfiguration,
    SegmentName,
    Slug,
)
from stream_app.segmentations.durations import Duration, Instant
from stream_app.segmentations.rules.catalogue import FIGURES, FigureName
from stream_app.segmentations.rules.comparing import COMPARATORS, Comparator, FieldTest
from stream_app.segmentations.rules.conditions import (
    AllOf,
    AnyOf,
    Condition,
    NotThat,
    Score,
    Scored,
    canonical,
    leaves,
    parts_of,
    paths,
)
from stream_app.segmentations.rules.leaves import (
    Anniversary,
    Bucket,
    DecayedLeaf,
    EventLeaf,
    FigureLeaf,
    FirstEventLeaf,
    HeldFor,
    LastEventLeaf,
    Leaf,
    ListLeaf,
    MembershipLeaf,
    RandomLeaf,
    RegularlyLeaf,
    RestartedLeaf,
    SequenceLeaf,
    SinceLastLeaf,
    TraitLeaf,
)
from stream_app.segmentations.rules.values import is_prefix
from stream_app.segmentations.rules.windows import Calendar, Fixed, Moving, Window

__all__ = [
    "COMPARATORS",
    "FIGURES",
    "AllOf",
    "Anniversary",
    "AnyOf",
    "AudienceConfiguration",
    "Bucket",
    "Calendar",
    "Comparator",
    "Condition",
    "DecayedLeaf",
    "DefaultSegment",
    "Duration",
    "EventLeaf",
    "FieldTest",
    "FigureLeaf",
    "FigureName",
    "FirstEventLeaf",
    "Fixed",
    "HeldFor",
    "Instant",
    "LastEventLeaf",
    "Leaf",
    "ListLeaf",
    "MembershipLeaf",
    "Moving",
    "NotThat",
    "RandomLeaf",
    "RegularlyLeaf",
    "RestartedLeaf",
    "RuleSegment",
    "Ruled",
    "RulesConfiguration",
    "Score",
    "Scored",
    "SequenceLeaf",
    "SinceLastLeaf",
    "TraitLeaf",
    "Window",
    "canonical",
    "conditions_of",
    "is_prefix",
    "leaves",
    "leaves_of",
    "parts_of",
    "paths",
]


class DefaultSegment(Configuration):
    """The segment of everybody for whom no condition holds."""

    id: Slug
    """Never used again for another group."""
    name: SegmentName
    """For people; may change."""
    description: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    """Who these customers are, for people."""
    action: Action | None = None
    """What to do with these customers."""
    level: Annotated[int, Field(strict=True, ge=-128, le=127)] | None = None
    """Its place in the order of the segments, higher is better; below 0 customers have lapsed."""


class RuleSegment(DefaultSegment):
    """A segment and its condition."""

    when: Condition
    """A customer is in the first segment whose condition holds."""


class RulesConfiguration(SegmentationConfiguration):
    """A segmentation by rules; every customer is in exactly one of its segments."""

    kind: Literal["rules"]
    """Which kind of segmentation it is."""
    segments: Annotated[tuple[RuleSegment, ...], Field(min_length=1, max_length=64)]
    """In the order in which they are tried."""
    otherwise: DefaultSegment
    """The segment of customers for whom no condition holds."""

    @property
    def roster(self) -> tuple[DefaultSegment, ...]:
        """All segments, the default last."""
        return (*self.segments, self.otherwise)

    @model_validator(mode="after")
    def _require_distinct(self) -> RulesConfiguration:
        for field in ("id", "name"):
            seen: set[str] = set()
            for value in (getattr(segment, field) for segment in self.roster):
                if value in seen:
                    raise ValueError(f"segments: the {field} {value!r} occurs twice, expected distinct ones")
                seen.add(value)
        return self


class AudienceConfiguration(SegmentationConfiguration):
    """An audience: a customer is in it or out of it."""

    kind: Literal["audience"]
    """Which kind of segmentation it is."""
    when: Condition
    """Who is in it."""

    @property
    def roster(self) -> tuple[DefaultSegment, ...]:
        """Its one segment, whose id is the audience's name."""
        return (
            DefaultSegment(
                id=self.name, name=self.title or self.name, description=self.description, action=self.action
            ),
        )


Ruled: TypeAlias = RulesConfiguration | AudienceConfiguration
"""What is decided by conditions."""


def conditions_of(definition: Ruled) -> Iterator[tuple[str, Condition]]:
    """Yield the conditions of a definition with their paths in its document, in the order of its segments."""
    if isinstance(definition, AudienceConfiguration):
        yield "when", definition.when
    else:
        for index, segment in enumerate(definition.segments):
            yield f"segments[{index}].when", segment.when


def leaves_of(definition: Ruled) -> Iterator[Leaf]:
    """Yield all leaves of a definition, in order, each as often as it occurs."""
    for _, condition in conditions_of(definition):
        yield from leaves(condition)
