"""Traits, kept as the greatest of what was observed of each; the reference that `native/traits.c` is compared with.

Statements on consent are traits of reserved names, counted apart; of equal instants the lesser kind of value stays.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

from stream_app.core.traits import FIELD_FALSE, FIELD_NULL, FIELD_NUMBER, FIELD_TEXT, FIELD_TEXTS, FIELD_TRUE

TRAIT_LIMIT: Final = 128
STATEMENT_LIMIT: Final = 16
STATEMENTS: Final = b"consent."
VALUE_BYTES_MAX: Final = 4_096

Value: TypeAlias = bool | float | str | list[str] | None


class Observation(NamedTuple):
    """What was observed of a trait; observations are ordered: the greatest of a trait stays."""

    observed_ms: int
    kind: int
    value: bytes


def observation(value: Value, observed_ms: int) -> Observation:
    """Return a value as it is kept."""
    kind, encoded = as_field(value)
    return Observation(observed_ms, *((FIELD_NULL, b"") if len(encoded) > VALUE_BYTES_MAX else (kind, encoded)))


def as_field(value: Value) -> tuple[int, bytes]:
    """Return the kind and the bytes of a value."""
    if value is None:
        return FIELD_NULL, b""
    if isinstance(value, bool):
        return (FIELD_TRUE if value else FIELD_FALSE), b""
    if isinstance(value, str):
        return FIELD_TEXT, value.encode()
    if isinstance(value, list):
        texts = [text.encode() for text in value]
        return FIELD_TEXTS, b"".join(struct.pack("<H", len(text)) + text for text in texts)
    return FIELD_NUMBER, struct.pack("<d", value)


def kept_fields(traits: Iterable[tuple[str, Value]]) -> bytes:
    """Return the kept fields of a profile that says these traits."""
    fields = [(name.encode(), *as_field(value)) for name, value in traits]
    return b"".join(struct.pack("<BBH", len(name), kind, len(value)) + name + value for name, kind, value in fields)


def traits_after(profiles: Iterable[tuple[int, Iterable[tuple[str, Value]]]]) -> bytes:
    """Return a customer's traits after all these profiles, each of an instant, whatever their order."""
    greatest: dict[bytes, Observation] = {}
    for observed_ms, traits in profiles:
        for name, value in traits:
            seen = observation(value, observed_ms)
            greatest[name.encode()] = max(
                seen, greatest.get(name.encode(), seen), key=_rank_of(name.encode().startswith(STATEMENTS))
            )
    return encode_traits(greatest)


def _rank_of(states: bool) -> Callable[[Observation], Observation]:
    return lambda seen: seen._replace(kind=-seen.kind) if states else seen


def encode_traits(traits: Mapping[bytes, Observation]) -> bytes:
    """Return the latest 128 of some traits as a row has them, and the latest 16 statements on consent."""
    ordered = sorted(traits.items(), key=lambda item: (item[1].observed_ms, item[0]))
    statements = [item for item in ordered if item[0].startswith(STATEMENTS)]
    latest = statements[-STATEMENT_LIMIT:] + [item for item in ordered if item not in statements][-TRAIT_LIMIT:]
    return b"".join(
        struct.pack("<BBHq", len(name), seen.kind, len(seen.value), seen.observed_ms) + name + seen.value
        for name, seen in sorted(latest)
    )
