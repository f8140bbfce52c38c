"""Ids as they are compared, kept and sent on, so that who is the same for people is the same here."""

from __future__ import annotations

import unicodedata


def normal_id(text: str) -> str:
    """Return an id without white space at its ends, in Unicode's normal form C."""
    text = text.strip()
    return text if text.isascii() else unicodedata.normalize("NFC", text)
