"""Durations and instants as definitions write them: `30d`, and RFC 3339 with a zone.

Both keep the text as it was written, for people, and compare by what it means: `14d` and `2w` are equal. A day is 24
hours here; days of a calendar are conditions of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, ClassVar, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, PlainValidator, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
"""Milliseconds of each unit that a duration can be written in."""
DAYS_MAX: Final = 36_525
"""The longest duration, a hundred years; nothing on record is older."""
_DURATION: Final = re.compile(r"(0|[1-9][0-9]{0,9})([smhdw])")
_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?([Zz]|[+-]\d{2}:\d{2})")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, order=True, slots=True)
class Duration:
    """A length of time.

    Parameters
    ----------
    milliseconds
        0 or more.
    text
        As it was written, such as `30d`.
    """

    pattern: ClassVar[str] = f"^{_DURATION.pattern}$"

    milliseconds: int
    text: str = field(compare=False)

    @classmethod
    def parse(cls, value: object, least_ms: int = 1) -> Duration:
        """Return what a text says.

        Raises
        ------
        ValueError
            If it is not a duration, shorter than `least_ms` or longer than a hundred years.
        """
        if isinstance(value, Duration):
            return value
        matched = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if matched is None:
            raise ValueError(
                f"{value!r} is not a duration, expected a whole number and one of s, m, h, d, w, such as '30d'"
            )
        milliseconds = int(matched[1]) * UNITS_MS[matched[2]]
        if milliseconds < least_ms:
            raise ValueError(f"{value!r} has no length, expected a duration such as '30d'")
        if milliseconds > DAYS_MAX * UNITS_MS["d"]:
            raise ValueError(f"{value!r} is too long, expected {DAYS_MAX}d at most")
        return cls(milliseconds, matched[0])

    def __str__(self) -> str:
        """Return it as it was written."""
        return self.text

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate a text; in JSON it is one again."""
        return _as_text(cls.parse)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the text."""
        return {"type": "string", "pattern": cls.pattern, "examples": ["30d", "36h"]}


DurationOrZero = Annotated[
    Duration,
    PlainValidator(partial(Duration.parse, least_ms=0)),
    WithJsonSchema({"type": "string", "pattern": Duration.pattern, "examples": ["0d", "30d"]}),
]
"""A duration that may be none at all, such as the nearer end of `between_ago`."""


@dataclass(frozen=True, order=True, slots=True)
class Instant:
    """A moment.

    Parameters
    ----------
    at_ms
        Milliseconds since the epoch.
    text
        As it was written.
    """

    at_ms: int
    text: str = field(compare=False)

    @classmethod
    def parse(cls, value: object) -> Instant:
        """Return what a text says.

        Raises
        ------
        ValueError
            If it is no date and time of RFC 3339, or names no zone.
        """
        if isinstance(value, Instant):
            return value
        if isinstance(value, str) and _INSTANT.fullmatch(value):
            try:
                at = datetime.fromisoformat(value.upper())
                return cls((at - _EPOCH) // timedelta(milliseconds=1), value)
            except (ValueError, OverflowError):
                pass  # the thirteenth month, the hour 25, a zone of 99 hours
        raise ValueError(
            f"{value!r} is not an instant, expected date, time and zone such as '2026-01-31T00:00:00Z' or "
            "'2026-01-31T00:00:00+01:00'"
        )

    def __str__(self) -> str:
        """Return it as it was written."""
        return self.text

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate a text; in JSON it is one again."""
        return _as_text(cls.parse)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the text."""
        return {"type": "string", "format": "date-time", "examples": ["2026-01-31T00:00:00+01:00"]}


def _as_text(parse: Any) -> CoreSchema:
    return core_schema.no_info_plain_validator_function(
        parse, serialization=core_schema.to_string_ser_schema(when_used="json")
    )
