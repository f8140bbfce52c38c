"""The catalogue of traits: what is known of their values before anybody has sent one.

A trait that is not listed is accepted as it comes. One that is has a type, and what does not fit it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from stream_app.segmentations.configuration import Configuration
from stream_app.segmentations.rules.values import Name

TraitType: TypeAlias = Literal["string", "number", "boolean", "date", "list"]


class TraitDefinition(Configuration):
    """What values of a trait are."""

    type: TraitType
    """`string`, `number`, `boolean`, `date` (RFC 3339, or a date alone) or `list` (of texts)."""
    description: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """What the trait says, for people."""
    legal_basis: Annotated[str, Field(min_length=3, max_length=500)] | None = None
    """What permits keeping it; needed where the name is that of a sensitive trait, such as `religion`."""


def _from_type(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


TraitCatalogue: TypeAlias = dict[
    Name, Annotated[TraitDefinition, BeforeValidator(_from_type, json_schema_input_type=TraitType | TraitDefinition)]
]
"""Definitions by the name of the trait; `country: string` is short for `country: {type: string}`."""

TESTS_OF: Final[Mapping[TraitType, frozenset[str]]] = {
    "string": frozenset({"equals", "not_equals", "in", "not_in", "exists", "begins_with"}),
    "number": frozenset(
        {"at_least", "at_most", "more_than", "less_than", "equals", "not_equals", "in", "not_in", "exists"}
    ),
    "boolean": frozenset({"equals", "not_equals", "in", "not_in", "exists"}),
    "date": frozenset({"exists", "in_last", "in_next", "before", "after", "anniversary", "equals", "not_equals"}),
    "list": frozenset({"exists", "contains"}),
}
"""Tests that can hold for values of a type."""
PLAIN_TYPES: Final[Mapping[TraitType, type]] = {"string": str, "number": float, "boolean": bool, "date": str}
"""What values of a type are compared with for equality."""
