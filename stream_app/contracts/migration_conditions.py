"""Conditions on migrations: the segmentations' own form, as far as a migration says what it takes to evaluate it.

A migration in a learned segmentation carries the customer's figures as of the move, and every migration its customer's
id. So comparisons of these figures and random shares can be evaluated, joined by `all`, `any`, `not` and `score`. All
other conditions look at what only the workers know (events, traits, other segmentations): they are refused when they
are read, never taken for false.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import PydanticCustomError
from xxhash import xxh3_64_intdigest

from stream_app.contracts.readers import Figures, LearnedExplanation, MigrationRecord
from stream_app.segmentations.configuration import Configuration
from stream_app.segmentations.mistakes import Mistake, mistakes_of
from stream_app.segmentations.rules.catalogue import FigureName
from stream_app.segmentations.rules.comparing import COMPARATORS
from stream_app.segmentations.rules.conditions import AllOf, AnyOf, Condition, NotThat, Score, paths
from stream_app.segmentations.rules.leaves import Bucket, FigureLeaf, RandomLeaf

HELD_FIGURES: Final[Mapping[FigureName, Callable[[Figures], float | None]]] = MappingProxyType(
    {
        "recency_days": lambda figures: figures.recency_days,
        "tenure_days": lambda figures: figures.tenure_days,
        "purchases": lambda figures: figures.orders,
        "order_recency_days": lambda figures: figures.order_recency_days,
        "order_tenure_days": lambda figures: figures.order_tenure_days,
        "engagement_recency_days": lambda figures: figures.engagement_recency_days,
        "usual_gap_days": lambda figures: figures.usual_gap_days,
        "probability_active": lambda figures: figures.probability_active,
    }
)
"""The figures that a migration holds, by the names that conditions have for them."""
MESSAGE_CHARACTERS_MAX: Final = 500
"""A place in conditions that stand very deep in each other is long."""
BUCKETS: Final = 10_000
"""A customer's place among all is counted in hundredths of a percent."""


class _Wrapped(Configuration):
    """Gives a mistake in a condition its place."""

    where: Condition


def read_condition(document: Any) -> Condition:
    """Return the condition that a document says.

    Raises
    ------
    PydanticCustomError
        If it is not one, or cannot be evaluated on a migration; the message is one line that names the condition.
    """
    try:
        condition = _Wrapped.model_validate({"where": document}).where
    except ValidationError as error:
        raise _refusal(str(next(mistakes_of(error, _Wrapped)))) from None
    for path, leaf in paths(condition, "where"):
        if isinstance(leaf, FigureLeaf):
            if leaf.figure not in HELD_FIGURES:
                held = ", ".join(HELD_FIGURES)
                raise _refusal(str(Mistake(path, f"a migration does not hold the figure {leaf.figure!r}, but {held}")))
        elif not isinstance(leaf, RandomLeaf):
            expected = "expected figure or random; make an audience of the rest, and subscribe to that"
            raise _refusal(str(Mistake(path, f"{leaf.tag!r} cannot be evaluated on a migration, {expected}")))
    return condition


def holds(condition: Condition, migration: MigrationRecord) -> bool:
    """Return whether a condition of `read_condition` is true of a migration, as of its move.

    A comparison is false where the migration has no such figure: in segmentations that are not learned, and of records
    of earlier releases.
    """
    match condition:
        case AllOf(all=parts):
            return all(holds(part, migration) for part in parts)
        case AnyOf(any=parts):
            return any(holds(part, migration) for part in parts)
        case NotThat(negated=part):
            return not holds(part, migration)
        case Score(score=scored, at_least=enough):
            return sum(entry.points for entry in scored if holds(entry.when, migration)) >= enough
        case RandomLeaf(random=bucket):
            return _is_in(bucket, migration.customer_id)
        case FigureLeaf():
            return _compares(condition, migration)
        case _:
            raise TypeError(f"{condition.tag}: read by read_condition, expected a figure or a random share")


def _compares(leaf: FigureLeaf, migration: MigrationRecord) -> bool:
    if not isinstance(migration.explanation, LearnedExplanation):
        return False
    value = HELD_FIGURES[leaf.figure](migration.explanation.after)
    return value is not None and all(COMPARATORS[name](value, limit) for name, limit in leaf.comparisons)


def _is_in(bucket: Bucket, customer_id: str) -> bool:
    percent = xxh3_64_intdigest(f"{bucket.salt}:{customer_id}".encode()) % BUCKETS / 100
    return bucket.from_percent <= percent < bucket.to_percent


def _refusal(message: str) -> PydanticCustomError:
    shown = message.removeprefix("where").lstrip(".: ")
    if len(shown) > MESSAGE_CHARACTERS_MAX:
        shown = f"{shown[: MESSAGE_CHARACTERS_MAX - 1]}…"
    return PydanticCustomError("where", "{message}", {"message": shown})
