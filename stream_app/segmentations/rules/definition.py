"""A segmentation by rules, as configured: segments in order, and the conditions under which customers are in them.

A customer is in the first segment whose condition holds, or else in the default. Conditions are data: figures of the
customer compared with numbers, joined by `all`, `any` and `not`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field, model_validator

from stream_app.segmentations.configuration import Configuration, SegmentationConfiguration, Slug

Figure: TypeAlias = Literal[
    "recency_days",
    "tenure_days",
    "orders_decayed",
    "revenue_decayed_minor",
    "engaged_days_decayed",
    "purchases",
    "refunds",
    "engagements",
    "revenue_minor",
]
Operator: TypeAlias = Literal["<", "<=", ">", ">="]

OPERATORS: Final[Mapping[Operator, Callable[[Any, Any], Any]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Comparison(Configuration):
    """A figure of the customer, compared with a number: true or false at every instant."""

    figure: Figure
    """Which one; units are in its name, what is older counts less in decayed ones, see `stream_app.core.quantities`."""
    operator: Operator
    """How it is compared."""
    value: Annotated[float, Field(allow_inf_nan=False)]
    """With what."""

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.figure} {self.operator} {self.value:g}"


class AllOf(Configuration):
    """True where all of its parts are."""

    all: Annotated[list[Condition], Field(min_length=1)]
    """The parts."""

    def __str__(self) -> str:
        """Return it in words."""
        return " and ".join(_in_brackets(part) for part in self.all)


class AnyOf(Configuration):
    """True where one of its parts is."""

    any: Annotated[list[Condition], Field(min_length=1)]
    """The parts."""

    def __str__(self) -> str:
        """Return it in words."""
        return " or ".join(_in_brackets(part) for part in self.any)


class NotThat(Configuration):
    """True where its part is not."""

    model_config = ConfigDict(populate_by_name=True)

    negated: Annotated[Condition, Field(alias="not")]
    """The part."""

    def __str__(self) -> str:
        """Return it in words."""
        return f"not {_in_brackets(self.negated)}"


Condition: TypeAlias = Comparison | AllOf | AnyOf | NotThat
for _joined in (AllOf, AnyOf, NotThat):
    _joined.model_rebuild()


class DefaultSegment(Configuration):
    """The segment of everybody for whom no condition holds."""

    id: Slug
    """Never used again for another group."""
    name: Annotated[str, Field(min_length=1, max_length=80)]
    """For people; may change."""


class RuleSegment(DefaultSegment):
    """A segment and its condition."""

    when: Condition
    """A customer is in the first segment of which this holds."""


class RulesConfiguration(SegmentationConfiguration):
    """A segmentation by rules; every customer is in exactly one of its segments."""

    kind: Literal["rules"]
    """Which kind of segmentation it is."""
    segments: Annotated[list[RuleSegment], Field(min_length=1, max_length=64)]
    """In the order in which they are tried."""
    otherwise: DefaultSegment
    """Where customers are of whom none holds."""

    @model_validator(mode="after")
    def _require_distinct(self) -> RulesConfiguration:
        for field in ("id", "name"):
            seen = [getattr(segment, field) for segment in (*self.segments, self.otherwise)]
            for value in seen:
                if seen.count(value) > 1:
                    raise ValueError(f"segments: the {field} {value!r} stands twice, expected distinct ones")
        return self


def comparisons(condition: Condition) -> Iterator[Comparison]:
    """Yield the comparisons that a condition is made of, in order."""
    match condition:
        case Comparison():
            yield condition
        case AllOf(all=parts) | AnyOf(any=parts):
            for part in parts:
                yield from comparisons(part)
        case _:
            yield from comparisons(condition.negated)


def _in_brackets(condition: Condition) -> str:
    return f"({condition})" if isinstance(condition, AllOf | AnyOf) else str(condition)
