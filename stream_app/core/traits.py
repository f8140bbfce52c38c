"""Traits of customers: what profiles say of them, read from the library's form (`native/traits.c`)."""

from __future__ import annotations

from struct import Struct
from typing import Final, TypeAlias

TraitValue: TypeAlias = bool | float | str | list[str]
FIELD_NULL, FIELD_FALSE, FIELD_TRUE, FIELD_NUMBER, FIELD_TEXT, FIELD_TEXTS = range(6)
"""Kinds of values, `SEG_FIELD_…` of `native/segmenter.h`."""

_ENTRY: Final = Struct("<BBHq")
_COUNT: Final = Struct("<QB")
_NUMBER: Final = Struct("<d")
_SIZE: Final = Struct("<H")


def read_traits(encoded: bytes) -> dict[str, TraitValue]:
    """Return the value of each trait by its name, without those that were taken away."""
    traits: dict[str, TraitValue] = {}
    at = 0
    while at < len(encoded):
        name_size, kind, value_size, _ = _ENTRY.unpack_from(encoded, at)
        name_at = at + _ENTRY.size
        value_at = name_at + name_size
        at = value_at + value_size
        if kind != FIELD_NULL:
            traits[encoded[name_at:value_at].decode(errors="replace")] = _value(kind, encoded[value_at:at])
    return traits


def _value(kind: int, encoded: bytes) -> TraitValue:
    if kind in (FIELD_FALSE, FIELD_TRUE):
        return kind == FIELD_TRUE
    if kind == FIELD_NUMBER:
        return float(_NUMBER.unpack(encoded)[0])
    if kind == FIELD_TEXT:
        return encoded.decode(errors="replace")
    texts, at = [], 0
    while at < len(encoded):
        start = at + _SIZE.size
        at = start + _SIZE.unpack_from(encoded, at)[0]
        texts.append(encoded[start:at].decode(errors="replace"))
    return texts


def read_counts(encoded: bytes) -> dict[str, int]:
    """Return how many customers have each trait, as `seg_table_count_traits` writes it."""
    counts: dict[str, int] = {}
    at = 0
    while at < len(encoded):
        customers, size = _COUNT.unpack_from(encoded, at)
        start = at + _COUNT.size
        at = start + size
        counts[encoded[start:at].decode(errors="replace")] = customers
    return counts
