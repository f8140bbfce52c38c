"""Records that say that a customer is to be forgotten: key, and no value, in a topic that is not compacted.

A worker writes one behind all that a topic has of a customer who was erased. Readers who keep anything of what came
before it let go of that; the others can pass it by, as records without a value say nothing in these topics.
"""

from __future__ import annotations

from typing import Final

import msgspec

PRIVACY_HEADER: Final = "privacy"
"""Header of such a record, so that people see what it is."""
ERASED: Final = b"erased"
"""Its value."""
LAST_CAUSE: Final = "consent"
"""Kind of cause of the last moves of a customer who was erased, which subscribers are still to have: a word that the
contract's version has. A new one would be refused by those who have to learn that they are to forget."""


class _Cause(msgspec.Struct):
    kind: str


class _Caused(msgspec.Struct):
    cause: _Cause


_cause_of: Final = msgspec.json.Decoder(_Caused).decode


def is_last_move(document: bytes | None) -> bool:
    """Return whether a migration, or a notice, may be one of the last of a customer who was erased."""
    try:
        return document is not None and _cause_of(document).cause.kind == LAST_CAUSE
    except msgspec.MsgspecError:
        return False
