"""Ids as they are compared, kept and sent on, so that who is the same for people is the same here."""

from __future__ import annotations

import unicodedata
from typing import Final

_SPACE: Final = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_INVISIBLE: Final = "\u2060\ufeff" + "".join(map(chr, (*range(0x200B, 0x2010), *range(0x202A, 0x202F))))
"""No white space to Unicode, but without width: what is copied from pages and messages often has one at its end."""
_ENDS: Final = _SPACE + _INVISIBLE


def normal_id(text: str) -> str:
    """Return an id without white space and invisible characters at its ends, in Unicode's normal form C."""
    text = text.strip(_ENDS)
    return text if text.isascii() else unicodedata.normalize("NFC", text)
