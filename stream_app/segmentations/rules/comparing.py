"""What leaves compare with: numbers, values of fields and traits.

Several comparators may be combined; all must hold: `{at_least: 2, less_than: 5}`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field, model_validator

from stream_app.segmentations.configuration import Configuration
from stream_app.segmentations.rules import values
from stream_app.segmentations.rules.values import FieldName, Number, Text

Comparator: TypeAlias = Literal["at_least", "at_most", "more_than", "less_than", "equals", "not_equals"]

COMPARATORS: Final[Mapping[Comparator, Callable[[Any, Any], Any]]] = {
    "at_least": operator.ge,
    "at_most": operator.le,
    "more_than": operator.gt,
    "less_than": operator.lt,
    "equals": operator.eq,
    "not_equals": operator.ne,
}
"""How each compares what there is with what the definition says."""


class Compared(Configuration):
    """Part of a leaf that compares a number."""

    at_least: Number | None = None
    """Holds from this number on (≥)."""
    at_most: Number | None = None
    """Holds up to this number (≤)."""
    more_than: Number | None = None
    """Holds above this number (>)."""
    less_than: Number | None = None
    """Holds below this number (<)."""
    equals: Number | None = None
    """Holds for this number alone."""
    not_equals: Number | None = None
    """Holds for all numbers but this one."""

    @property
    def comparisons(self) -> tuple[tuple[Comparator, float], ...]:
        """The comparators that are given; all must hold."""
        given = ((comparator, getattr(self, comparator)) for comparator in COMPARATORS)
        return tuple((comparator, value) for comparator, value in given if value is not None)


class RequiredComparison(Compared):
    """A comparison that must be there."""

    @model_validator(mode="after")
    def _require_one(self) -> RequiredComparison:
        if not self.comparisons:
            raise ValueError(f"nothing is compared, expected at least one of {', '.join(COMPARATORS)}")
        return self


class Tested(Configuration):
    """Part of a leaf that looks at a value, whatever it is: a text, a number, a truth value or a list."""

    at_least: Number | None = None
    """The value is a number from this one on (≥); text is not a number."""
    at_most: Number | None = None
    """The value is a number up to this one (≤)."""
    more_than: Number | None = None
    """The value is a number above this one (>)."""
    less_than: Number | None = None
    """The value is a number below this one (<)."""
    equals: values.Literal | None = None
    """The value is this one."""
    not_equals: values.Literal | None = None
    """The value is another one, or absent."""
    among: Annotated[tuple[values.Literal, ...] | None, Field(alias="in", min_length=1, max_length=1000)] = None
    """The value is one of these."""
    not_in: Annotated[tuple[values.Literal, ...] | None, Field(min_length=1, max_length=1000)] = None
    """The value is not one of these, or is absent."""
    exists: Annotated[bool, Field(strict=True)] | None = None
    """`true`: there is a value, and it is not an empty text; `false`: there is no value."""
    contains: values.Literal | None = None
    """The value is a list that holds this; never true of a text."""
    begins_with: Text | None = None
    """The value is a text that begins like this; capitals differ from small letters."""

    @property
    def tests(self) -> tuple[tuple[str, Any], ...]:
        """What is asked of the value, by the key in documents (`in`, not `among`); all must hold."""
        return tuple(
            (field.alias or name, value)
            for name, field in type(self).model_fields.items()
            if name in TESTS and (value := getattr(self, name)) is not None
        )

    @model_validator(mode="after")
    def _require_one_kind(self) -> Tested:
        names = [name for name, _ in self.tests]
        others = [name for name in names if name not in _RANGES]
        if not names:
            raise ValueError(f"nothing is asked of the value, expected one of {', '.join(self.test_keys())}")
        if others and len(names) > 1:
            raise ValueError(
                f"{' and '.join(names)} are combined, expected one test (at_least, at_most, more_than and less_than "
                "alone may be combined); join two conditions by `all`"
            )
        return self

    @classmethod
    def test_keys(cls) -> list[str]:
        """Return the keys of all tests, as documents have them."""
        return [field.alias or name for name, field in cls.model_fields.items() if name in TESTS]


_RANGES: Final = frozenset({"at_least", "at_most", "more_than", "less_than"})
TESTS: Final = frozenset(Tested.model_fields) | {"in_last", "in_next", "before", "after", "anniversary"}
"""The attributes that ask something of a value; others of a leaf name the value, or say since when it has been so."""


class FieldTest(Tested):
    """A test of one field of an event."""

    field: FieldName
    """`amount` (of orders and refunds, in units such as EUR), `channel`, `campaign_id`, `value`, `currency`, `items`,
    `store_id`, `products`, `type`, `order_id`, or a path into the record's free part, such as `properties.plan.name`.
    """
