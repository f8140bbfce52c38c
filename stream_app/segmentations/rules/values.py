"""The texts and values that leaves of conditions are made of.

Nothing is turned into something else: `true` is no number, and `"120"` is text. Where a document may hold values of
several kinds, one function checks them, so that a mistake is reported once and not once a kind.
"""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Annotated, Any, Final, TypeAlias
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from stream_app.segmentations.guessing import guess

TEXT_MAX: Final = 256
"""Characters of a text that is compared; longer ones are nothing that people are divided by."""
_PATH: Final = re.compile(r"properties(\.[^.\x00-\x1f\x7f]{1,64}){1,8}")

FIELDS: Final = (
    "amount",
    "campaign_id",
    "channel",
    "currency",
    "items",
    "order_id",
    "products",
    "store_id",
    "type",
    "value",
)
"""Fields of the inputs' contracts that conditions can look at."""
NUMERIC_FIELDS: Final = ("amount", "items", "value")
"""Those of them that are numbers."""

Number: TypeAlias = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A number; neither `true` nor text."""


def _literal(value: object) -> bool | float | str:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
        raise ValueError(f"{str(value)[:20]} is too large or not a number, expected a finite number")
    if isinstance(value, str):
        if len(value) <= TEXT_MAX:
            return value
        raise ValueError(f"a text of {len(value)} characters, expected {TEXT_MAX} at most")
    raise ValueError(f"{value!r} is not a value, expected a text, a number, true or false")


Literal: TypeAlias = Annotated[
    bool | float | str,
    PlainValidator(_literal),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
"""What can be compared for equality. Mind that Python has `True == 1.0`: compare the types, too."""


def _without_controls(text: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError(f"{text!r} holds a control character, expected none")
    return text


Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=TEXT_MAX), AfterValidator(_without_controls)]
"""Any text but an empty one."""
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_without_controls)]
"""The name of a trait or a list."""


def _event_type(text: str) -> str:
    if "*" in text[:-1]:
        raise ValueError(f"{text!r}, expected * at the end only, as in 'cart_*'")
    return text


EventType: TypeAlias = Annotated[Name, AfterValidator(_event_type)]
"""A type of events as its contract spells it, or the beginning of some, ended by `*`."""


def is_prefix(event: str) -> bool:
    """Return whether a type stands for all that begin like it."""
    return event.endswith("*")


def _field(name: str) -> str:
    if name in FIELDS or _PATH.fullmatch(name):
        return name
    raise ValueError(
        f"{name!r} is not a field, expected one of {', '.join(FIELDS)}, or properties.NAME{guess(name, FIELDS)}"
    )


def _numeric_field(name: str) -> str:
    if name in NUMERIC_FIELDS or _PATH.fullmatch(name):
        return name
    raise ValueError(f"{name!r} holds no numbers, expected one of {', '.join(NUMERIC_FIELDS)}, or properties.NAME")


def _decayed_field(name: str) -> str:
    return name if name == "count" else _numeric_field(name)


FieldName: TypeAlias = Annotated[str, AfterValidator(_field)]
"""A field of events: one of their contract, or a path into their `properties`."""
NumericField: TypeAlias = Annotated[str, AfterValidator(_numeric_field)]
"""A field that can be summed up."""
DecayedField: TypeAlias = Annotated[str, AfterValidator(_decayed_field)]
"""A numeric field, or `count`."""


@cache
def zone_names() -> frozenset[str]:
    """Return the names of all time zones."""
    return frozenset(available_timezones())


def _zone(name: str) -> str:
    if name in zone_names():
        return name
    raise ValueError(
        f"{name!r} is not a time zone, expected a name such as 'Europe/Berlin' or 'UTC'{guess(name, zone_names())}"
    )


ZoneName: TypeAlias = Annotated[str, AfterValidator(_zone)]
"""A time zone by its name in the tz database."""


def many(value: Any) -> Any:
    """Return a single value as a list of one, for fields that take both."""
    return [value] if isinstance(value, str) else value
