"""Strict reading of one JSON object: what JSON and our limits allow, before any field is looked at.

Python's reader alone is too lenient (NaN, repeated keys, other encodings than UTF-8) and too weak (10,000 brackets
exhaust its stack, an integer of 5,000 digits is an error). Numbers come out exact: short integers as `int`, all
others as `Decimal`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

import msgspec

from stream_app.contracts.rejections import RECORD, reject
from stream_app.errors import InvalidRecord

_LONGEST_INT_DIGITS: Final = 30
"""Longer integers are read as `Decimal`: far above every bound, and far below Python's limit of 4,300 digits."""
_STRINGS_AND_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)
"""Strings, so that brackets in them are skipped, and brackets; possessive, hence linear on any input."""


class _NotJson(ValueError):
    """NaN, Infinity or -Infinity stands where a value is expected; the argument is the token."""


class _RepeatedKey(ValueError):
    """One object holds a key twice; the argument is the key."""


def read_object(payload: bytes, fields: Collection[str], max_bytes: int, max_depth: int) -> dict[str, Any]:
    """Return the JSON object in `payload`.

    Parameters
    ----------
    payload
        UTF-8 without a byte order mark.
    fields
        The contract's fields, in its order: only they and `"$"` are named as the field of a rejection.
    max_bytes, max_depth
        Limits of length and of nesting, the object itself being level 1.

    Raises
    ------
    InvalidRecord
        With reason `too_large`, `invalid_encoding`, `too_deep`, `malformed`, `duplicate_key` or `wrong_type`.
    """
    if len(payload) > max_bytes:
        raise _too_large(payload, fields, max_bytes)
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        seen = payload.decode("utf-8", "backslashreplace")
        raise reject("invalid_encoding", RECORD, seen, f"UTF-8; the byte at {error.start} is not") from None
    if _is_deeper(payload, max_depth):
        raise reject("too_deep", RECORD, text, f"at most {max_depth} levels of nesting")
    try:
        record = _READER.decode(text)
    except _NotJson as error:
        field, token = _field_of_constant(text, fields), error.args[0]
        raise InvalidRecord("malformed", field, f"{field}: {token}, expected JSON, which has no {token}") from None
    except _RepeatedKey as error:
        key = error.args[0]
        raise reject("duplicate_key", key if key in fields else RECORD, key, "each key once in an object") from None
    except json.JSONDecodeError as error:
        raise reject("malformed", RECORD, text, f"one JSON object; {error.msg} at character {error.pos}") from None
    if not isinstance(record, dict):
        raise reject("wrong_type", RECORD, record, "a JSON object")
    return record


def _is_deeper(payload: bytes, max_depth: int) -> bool:
    """Tell whether brackets are nested deeper than `max_depth`: linear and without recursion, on any bytes."""
    if payload.count(b"{") + payload.count(b"[") <= max_depth:
        return False
    depth = 0
    for match in _STRINGS_AND_BRACKETS.finditer(payload):
        token = match[0]
        if token in (b"{", b"["):
            depth += 1
            if depth > max_depth:
                return True
        elif token in (b"}", b"]"):
            depth -= 1
    return False


def _read_int(token: str) -> int | Decimal:
    return int(token) if len(token) <= _LONGEST_INT_DIGITS else Decimal(token)


def _read_decimal(token: str) -> Decimal:
    try:
        return Decimal(token)
    except InvalidOperation:  # an exponent of 19 digits or so: all that matters is whether it is 0, tiny or huge
        mantissa, _, exponent = token.lower().partition("e")
        digits = Decimal(mantissa)
        return Decimal(f"{mantissa}e{exponent[:1].strip('+0123456789')}999999") if digits else digits


def _refuse_constant(token: str) -> NoReturn:
    raise _NotJson(token)


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise _RepeatedKey(Counter(key for key, _ in pairs).most_common(1)[0][0])
    return record


_READER: Final = json.JSONDecoder(
    object_pairs_hook=_unique_pairs,
    parse_int=_read_int,
    parse_float=_read_decimal,
    parse_constant=_refuse_constant,
)


def _field_of_constant(text: str, fields: Collection[str]) -> str:
    """Return the first field of the contract whose value is NaN or an infinity, `"$"` if there is none."""
    constant = object()
    try:
        record = json.loads(text, parse_int=_read_int, parse_constant=lambda _: constant)
    except json.JSONDecodeError:
        return RECORD
    if not isinstance(record, dict):
        return RECORD
    return next((field for field in fields if record.get(field) is constant), RECORD)


def _too_large(payload: bytes, fields: Collection[str], max_bytes: int) -> InvalidRecord:
    """Name the longest field, which is most likely to blame, without decoding any."""
    field, share = RECORD, ""
    try:
        lengths = {
            name: len(bytes(raw)) for name, raw in msgspec.json.decode(payload, type=dict[str, msgspec.Raw]).items()
        }
        longest = max(lengths, key=lengths.__getitem__)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # broken, no object, or an empty one
        pass
    else:
        field = longest if longest in fields else RECORD
        share = f", {lengths[longest]} of them in one field"
    return InvalidRecord("too_large", field, f"{field}: {len(payload)} bytes{share}, expected at most {max_bytes}")
