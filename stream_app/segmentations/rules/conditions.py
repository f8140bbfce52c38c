"""Conditions: leaves, joined by `all`, `any`, `not` and `score`.

Which form a mapping has is found by its key first, so that a mistake inside is reported once, and not once for every
form that it could have had.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, TypeAlias, TypeGuard

from pydantic import BaseModel, Discriminator, Field, Tag

from stream_app.segmentations.configuration import Configuration
from stream_app.segmentations.durations import Duration, Instant
from stream_app.segmentations.rules.leaves import (
    DecayedLeaf,
    EventLeaf,
    FigureLeaf,
    FirstEventLeaf,
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

PARTS_MAX: Final = 256
"""Parts of one `all`, `any` or `score`."""


class AllOf(Configuration):
    """True where all of its parts are."""

    tag: ClassVar = "all"

    all: Annotated[tuple[Condition, ...], Field(min_length=1, max_length=PARTS_MAX)]
    """The parts."""


class AnyOf(Configuration):
    """True where one of its parts is."""

    tag: ClassVar = "any"

    any: Annotated[tuple[Condition, ...], Field(min_length=1, max_length=PARTS_MAX)]
    """The parts."""


class NotThat(Configuration):
    """True where its part is false, which includes what is absent."""

    tag: ClassVar = "not"

    negated: Annotated[Condition, Field(alias="not")]
    """The part."""


class Scored(Configuration):
    """A condition and what it is worth."""

    when: Condition
    """The condition."""
    points: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
    """The points it adds while it holds."""


class Score(Configuration):
    """True where the points of those conditions that hold are enough."""

    tag: ClassVar = "score"

    score: Annotated[tuple[Scored, ...], Field(min_length=1, max_length=PARTS_MAX)]
    """The conditions and their points."""
    at_least: Annotated[int, Field(strict=True, ge=1)]
    """How many points are enough."""


FORMS: Final[tuple[type[Configuration], ...]] = (
    AllOf,
    AnyOf,
    NotThat,
    Score,
    FigureLeaf,
    EventLeaf,
    DecayedLeaf,
    FirstEventLeaf,
    RestartedLeaf,
    RegularlyLeaf,
    SequenceLeaf,
    LastEventLeaf,
    SinceLastLeaf,
    TraitLeaf,
    MembershipLeaf,
    ListLeaf,
    RandomLeaf,
)
"""All forms of conditions, in the order in which their keys are looked for."""
KEYS: Final = tuple(form.tag for form in FORMS if form is not DecayedLeaf)  # type: ignore[attr-defined]
"""The keys that a condition is known by."""


def _form_of(condition: Any) -> str | None:
    """Return the mark of the form that a condition has, None if it has none."""
    if isinstance(condition, BaseModel):
        return f"<{getattr(condition, 'tag', '')}>"
    if not isinstance(condition, Mapping):
        return None
    key = next((key for key in KEYS if key in condition), None)
    if key == EventLeaf.tag and ("decayed_sum" in condition or "half_life" in condition):
        return f"<{DecayedLeaf.tag}>"
    return f"<{key}>" if key else None


_Union: TypeAlias = (
    Annotated[AllOf, Tag("<all>")]
    | Annotated[AnyOf, Tag("<any>")]
    | Annotated[NotThat, Tag("<not>")]
    | Annotated[Score, Tag("<score>")]
    | Annotated[FigureLeaf, Tag("<figure>")]
    | Annotated[EventLeaf, Tag("<event>")]
    | Annotated[DecayedLeaf, Tag("<decayed_sum>")]
    | Annotated[FirstEventLeaf, Tag("<first_event>")]
    | Annotated[RestartedLeaf, Tag("<restarted>")]
    | Annotated[RegularlyLeaf, Tag("<regularly>")]
    | Annotated[SequenceLeaf, Tag("<sequence>")]
    | Annotated[LastEventLeaf, Tag("<last_event>")]
    | Annotated[SinceLastLeaf, Tag("<since_last>")]
    | Annotated[TraitLeaf, Tag("<trait>")]
    | Annotated[MembershipLeaf, Tag("<segmentation>")]
    | Annotated[ListLeaf, Tag("<list>")]
    | Annotated[RandomLeaf, Tag("<random>")]
)
Condition: TypeAlias = Annotated[_Union, Discriminator(_form_of)]
"""Any condition."""

for _joined in (AllOf, AnyOf, NotThat, Scored, Score):
    _joined.model_rebuild()


def parts_of(condition: Condition) -> tuple[Condition, ...]:
    """Return what a condition joins, in order; nothing of a leaf."""
    match condition:
        case AllOf(all=parts) | AnyOf(any=parts):
            return parts
        case NotThat(negated=part):
            return (part,)
        case Score(score=scored):
            return tuple(entry.when for entry in scored)
        case _:
            return ()


def is_leaf(condition: Condition) -> TypeGuard[Leaf]:
    """Return whether a condition joins no others."""
    return not isinstance(condition, AllOf | AnyOf | NotThat | Score)


def leaves(condition: Condition) -> Iterator[Leaf]:
    """Yield the leaves of a condition, in order, each as often as it stands there."""
    for _, leaf in paths(condition):
        yield leaf


def paths(condition: Condition, path: str = "") -> Iterator[tuple[str, Leaf]]:
    """Yield the leaves of a condition with their paths in the document, such as `.all[0].not`."""
    match condition:
        case AllOf(all=parts):
            for index, part in enumerate(parts):
                yield from paths(part, f"{path}.all[{index}]")
        case AnyOf(any=parts):
            for index, part in enumerate(parts):
                yield from paths(part, f"{path}.any[{index}]")
        case NotThat(negated=part):
            yield from paths(part, f"{path}.not")
        case Score(score=scored):
            for index, entry in enumerate(scored):
                yield from paths(entry.when, f"{path}.score[{index}].when")
        case _:
            yield path, condition


def canonical(part: Configuration) -> str:
    """Return what a condition, or a part of one, means as a text: equal for equal meaning of its values.

    Durations and instants are milliseconds in it, so `14d` and `2w` are equal; `1` and `true` differ, unlike in Python.
    """
    document = part.model_dump(mode="python", by_alias=True, exclude_none=True)
    return json.dumps(document, default=_milliseconds, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _milliseconds(value: Any) -> int:
    if isinstance(value, Duration):
        return value.milliseconds
    if isinstance(value, Instant):
        return value.at_ms
    raise TypeError(f"{type(value).__name__} is in a condition, expected what JSON has, durations and instants")
