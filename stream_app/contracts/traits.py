"""Traits: what a profile says of a customer, by name; what is valid, what the catalogue asks for, and how it is kept.

A trait that the catalogue lists has the type that it says there, and any other is taken as it comes. Null takes a trait
away, whatever its type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import Field, PlainValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from stream_app.contracts.fields import parse_instant
from stream_app.contracts.policy import DecodingPolicy, TraitType
from stream_app.contracts.rejections import reject
from stream_app.core import kept
from stream_app.core.consent import STATEMENTS
from stream_app.core.kept import TEXT_CHARACTERS_MAX, encode_field, nearest_double
from stream_app.errors import InvalidRecord, TraitProtected
from stream_app.native.structures import TRAIT_DATE
from stream_app.segmentations.sensitive import sensitive_topic

TRAITS_MAX: Final = 64
"""Of one record."""
TRAIT_NAME_CHARACTERS: Final = 64
TRAIT_NAME: Final = re.compile(rf"^[A-Za-z][A-Za-z0-9_.-]{{0,{TRAIT_NAME_CHARACTERS - 1}}}$")
"""Names of traits (use `fullmatch`)."""
TRAIT_TEXTS_MAX: Final = 64
"""Of a list."""
TRAITS_BYTES_MAX: Final = 32_768
"""Of a record's traits as they are kept: half of what a customer's row has room for."""
TRAITS_FIELD: Final = "traits"
_KINDS: Final = "null, a boolean, a number, a text or a list of texts"


def _require_text(text: object) -> None:
    if not isinstance(text, str):
        raise PydanticCustomError("wrong_type", _KINDS)
    if len(text) > TEXT_CHARACTERS_MAX:
        raise PydanticCustomError("out_of_range", f"texts of at most {TEXT_CHARACTERS_MAX} characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("invalid_encoding", "text without lone surrogates") from None


def _validate_trait(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float, Decimal)):
        if nearest_double(value) is None:
            raise PydanticCustomError("out_of_range", "a finite number")
        return value
    if isinstance(value, list):
        if len(value) > TRAIT_TEXTS_MAX:
            raise PydanticCustomError("out_of_range", f"at most {TRAIT_TEXTS_MAX} elements")
        for text in value:
            _require_text(text)
    else:
        _require_text(value)
    return value


TraitName = Annotated[str, StringConstraints(pattern=TRAIT_NAME.pattern, strict=True)]
TraitValue = Annotated[bool | float | Decimal | str | list[str] | None, PlainValidator(_validate_trait)]
_TEXT_SCHEMA: Final = {"type": "string", "maxLength": TEXT_CHARACTERS_MAX}
_TEXTS_SCHEMA: Final = {"type": "array", "maxItems": TRAIT_TEXTS_MAX, "items": _TEXT_SCHEMA}
_VALUE_SCHEMAS: Final = [{"type": "null"}, {"type": "boolean"}, {"type": "number"}, _TEXT_SCHEMA, _TEXTS_SCHEMA]
Traits = Annotated[
    dict[TraitName, TraitValue],
    Field(min_length=1, max_length=TRAITS_MAX, strict=True),
    WithJsonSchema(
        {
            "type": "object",
            "minProperties": 1,
            "maxProperties": TRAITS_MAX,
            "propertyNames": {"pattern": TRAIT_NAME.pattern},
            "additionalProperties": {"anyOf": _VALUE_SCHEMAS},
        }
    ),
]
"""1 to 64 traits by name."""


def encode_traits(traits: Mapping[str, Any], policy: DecodingPolicy) -> bytes:
    """Return valid traits as they are kept, in the order of their names.

    Raises
    ------
    InvalidRecord
        If one is not of the catalogue's type or specially protected, or they are too long together.
    """
    fields = []
    for name in sorted(traits):
        value = traits[name]
        _require_allowed(name, policy)
        if (type_ := policy.traits.get(name)) is not None and value is not None:
            _require_type(name, value, type_)
        fields.append(encode_field(name.encode(), value))
    encoded = b"".join(field or b"" for field in fields)
    if None in fields or len(encoded) > TRAITS_BYTES_MAX:
        raise InvalidRecord(
            "too_large", TRAITS_FIELD, f"{TRAITS_FIELD}: expected at most {TRAITS_BYTES_MAX} bytes of them"
        )
    return encoded


def kinds_by_trait(policy: DecodingPolicy) -> Iterator[tuple[str, int]]:
    """Yield the names that the catalogue lists and that are allowed, each with bits of the kinds that it may have."""
    for name, type_ in policy.traits.items():
        if name.startswith(STATEMENTS) or not TRAIT_NAME.fullmatch(name):
            continue
        if sensitive_topic(name) is None or name in policy.sensitive_allowed:
            yield name, _KINDS_BY_TYPE[type_]


_KINDS_BY_TYPE: Final[dict[TraitType, int]] = {
    "string": 1 << kept.TEXT,
    "number": 1 << kept.NUMBER,
    "boolean": 1 << kept.FALSE | 1 << kept.TRUE,
    "date": 1 << kept.TEXT | TRAIT_DATE,
    "list": 1 << kept.TEXTS,
}


def _require_allowed(name: str, policy: DecodingPolicy) -> None:
    if name.startswith(STATEMENTS):
        raise InvalidRecord(
            "out_of_range",
            TRAITS_FIELD,
            f"{TRAITS_FIELD}.{name}: is what consents say, expected a name that does not begin with {STATEMENTS!r}",
        )
    if (topic := sensitive_topic(name)) is not None and name not in policy.sensitive_allowed:
        # without the value, which must not spread
        raise TraitProtected(
            "out_of_range",
            TRAITS_FIELD,
            f"{TRAITS_FIELD}.{name}: suggests {topic}, expected no such trait unless the configuration lists it "
            "with a legal_basis",
        )


def _is_date(value: object) -> bool:
    """Tell whether a value is a date, or an RFC 3339 time with a zone."""
    if not isinstance(value, str):
        return False
    try:
        if _DATE.fullmatch(value):
            date.fromisoformat(value)
        else:
            parse_instant(value)
    except ValueError:
        return False
    return True


_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TYPES: Final[dict[TraitType, tuple[Callable[[object], bool], str]]] = {
    "string": (lambda value: isinstance(value, str), "a text"),
    "number": (lambda value: isinstance(value, (int, float, Decimal)) and not isinstance(value, bool), "a number"),
    "boolean": (lambda value: isinstance(value, bool), "true or false"),
    "date": (_is_date, "a date such as 2024-05-01, or an RFC 3339 time with a zone"),
    "list": (lambda value: isinstance(value, list), "a list of texts"),
}
"""By the catalogue's type, what is one, and how it is called."""


def _require_type(name: str, value: object, type_: TraitType) -> None:
    is_one, expectation = _TYPES[type_]
    if not is_one(value):
        found = reject("wrong_type", f"{TRAITS_FIELD}.{name}", value, f"{expectation}, as the catalogue of traits says")
        raise InvalidRecord(found.reason, TRAITS_FIELD, found.message)
