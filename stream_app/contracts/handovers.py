"""The `identity-handovers` contract: a row on its way to another partition, and records that are passed on rewritten.

An event of an id that has ended goes to the partition of the id that its customer goes by, under that id. All else of
it stays as it was, to the digits of its numbers, and its event id with it: a record that comes again is still the same.
"""

from __future__ import annotations

from typing import Final

import msgspec

from stream_app.core.handing_over import Handed

ALIAS_HEADER: Final = "alias"
"""Of a record that was passed on under another id: the id that it came under first."""
_CUSTOMER: Final = "customer_id"


class _Handover(msgspec.Struct):
    ended: str
    into: str
    at_ms: int
    row: bytes


_encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(_Handover)
_read_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def encode_handover(handed: Handed) -> bytes:
    """Return a row as its record's value."""
    return _encode(_Handover(*handed))


def decode_handover(value: bytes) -> Handed:
    """Return the row of a record.

    Raises
    ------
    msgspec.MsgspecError
        If it is not one.
    """
    handover = _decoder.decode(value)
    return Handed(handover.ended, handover.into, handover.at_ms, handover.row)


def with_customer(value: bytes, customer_id: str) -> bytes:
    """Return a valid record of an input as that of another customer; one that names none stays as it is."""
    fields = _read_fields.decode(value)
    if _CUSTOMER in fields:
        fields[_CUSTOMER] = msgspec.Raw(_encode(customer_id))
    return _encode(fields)


def with_alias(headers: list[tuple[str, bytes | None]], alias: str) -> list[tuple[str, bytes | None]]:
    """Return a record's headers with the id that it came under first."""
    if any(name == ALIAS_HEADER for name, _ in headers):
        return headers
    return [*headers, (ALIAS_HEADER, alias.encode())]
