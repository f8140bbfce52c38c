"""What somebody probably meant who wrote a name that does not exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_WORDS_MAX_CHARACTERS = 64
"""Longer words are compared by their beginning: matching takes the square of it."""


def guess(word: object, words: Iterable[str], likeness: float = 0.6) -> str:
    """Return the end of a message that names the word probably meant, or nothing."""
    if not isinstance(word, str):
        return ""
    by_small = {known.lower(): known for known in words}
    found = get_close_matches(word[:_WORDS_MAX_CHARACTERS].lower(), by_small, n=1, cutoff=likeness)
    return f"; did you mean {by_small[found[0]]!r}?" if found else ""
