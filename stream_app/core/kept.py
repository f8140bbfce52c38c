"""What is kept of a record after an event's texts: fields that conditions look at, or a profile's traits.

One after the other, each as: size of the name, one byte; kind of the value, one byte; size of the value, two bytes; the
name in UTF-8; the value. A number is a double, a text is UTF-8, of a list of texts each follows its size in two
bytes, and the other kinds have no value. All numbers are little-endian; `native/segmenter.h` says the same as
`SEG_FIELD_…`.

The bytes must not depend on who read the record, as the same record may be read by another tier on another day. So a
number is the double that is nearest to what is written, zero has no sign, and what has no such form is left out: a text
that is too long or holds half a surrogate pair, a list with anything but texts, an object, a number beyond all doubles.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

NULL, FALSE, TRUE, NUMBER, TEXT, TEXTS = range(6)
"""Kinds of value, `SEG_FIELD_…`."""
TEXT_CHARACTERS_MAX: Final = 256
"""Longer texts are left out: conditions compare names, ids and words."""
KEPT_BYTES_MAX: Final = 65_535
"""Of one record; a field that would go beyond is left out, those after it may fit."""
NAME_BYTES_MAX: Final = 255

_HEAD: Final = struct.Struct("<BBH")
_NUMBER: Final = struct.Struct("<d")
_SIZE: Final = struct.Struct("<H")

Value = bool | float | str | list[str] | None
"""What can be kept, as it is read back."""


def encode_kept(fields: Iterable[tuple[bytes, Any]]) -> bytes:
    """Return fields, each with its name in UTF-8, in their order; what cannot be kept is left out.

    Parameters
    ----------
    fields
        Values as JSON is read: None, bool, int, float, `Decimal`, str, list, dict.
    """
    kept = bytearray()
    for name, value in fields:
        field = encode_field(name, value)
        if field is not None and len(kept) + len(field) <= KEPT_BYTES_MAX:
            kept += field
    return bytes(kept)


def encode_field(name: bytes, value: Any) -> bytes | None:
    """Return one field, None if it cannot be kept."""
    encoded = _encode(value)
    if encoded is None:
        return None
    kind, own = encoded
    return _HEAD.pack(len(name), kind, len(own)) + name + own


def read_kept(kept: bytes) -> Iterator[tuple[str, Value]]:
    """Yield the fields that were kept: name and value."""
    at = 0
    while at < len(kept):
        name_size, kind, size = _HEAD.unpack_from(kept, at)
        start = at + _HEAD.size + name_size
        yield kept[start - name_size : start].decode(), _decode(kind, kept[start : start + size])
        at = start + size


def nearest_double(number: float | Decimal) -> float | None:
    """Return the double nearest to a number, None where there is none; zero has no sign."""
    try:
        found = float(number) + 0.0
    except OverflowError:  # an integer
        return None
    return found if math.isfinite(found) else None


def _encode(value: Any) -> tuple[int, bytes] | None:
    if value is None:
        return NULL, b""
    if isinstance(value, bool):
        return (TRUE if value else FALSE), b""
    if isinstance(value, str):
        text = _utf8(value)
        return None if text is None else (TEXT, text)
    if isinstance(value, (int, float, Decimal)):
        number = nearest_double(value)
        return None if number is None else (NUMBER, _NUMBER.pack(number))
    if isinstance(value, list):
        texts = [_utf8(text) if isinstance(text, str) else None for text in value]
        if None not in texts:
            own = b"".join(_SIZE.pack(len(text)) + text for text in texts if text is not None)
            return (TEXTS, own) if len(own) <= KEPT_BYTES_MAX else None
    return None


def _utf8(text: str) -> bytes | None:
    if len(text) > TEXT_CHARACTERS_MAX:
        return None
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


def _decode(kind: int, own: bytes) -> Value:
    if kind == NUMBER:
        return float(_NUMBER.unpack(own)[0])
    if kind == TEXT:
        return own.decode()
    if kind == TEXTS:
        texts, at = [], 0
        while at < len(own):
            (size,) = _SIZE.unpack_from(own, at)
            texts.append(own[at + _SIZE.size : at + _SIZE.size + size].decode())
            at += _SIZE.size + size
        return texts
    return None if kind == NULL else kind == TRUE
