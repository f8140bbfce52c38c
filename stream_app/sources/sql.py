"""Pieces of SQL: every text that comes from a file or a mapping is quoted here, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

BLANKS: Final = (
    " \t\r\n\v\f\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\ufeff"
)
"""What is cut off around a cell: white space, and a byte order mark in the middle of joined files."""


def text(value: str) -> str:
    """Return a text as a literal."""
    return "'" + value.replace("'", "''").replace("\0", "") + "'"


def texts(values: Iterable[str]) -> str:
    """Return texts as a list of literals, without brackets."""
    return ", ".join(text(value) for value in values)


def name(value: str) -> str:
    """Return the name of a column or table, quoted."""
    return '"' + value.replace('"', '""') + '"'


def coalesce(expressions: Sequence[str]) -> str:
    """Return the first of several values that is not null."""
    return expressions[0] if len(expressions) == 1 else f"coalesce({', '.join(expressions)})"


def trimmed(expression: str) -> str:
    """Return a cell without white space around it; null if nothing is left.

    Most cells begin and end with a sign of ASCII: looking at these takes a twentieth of the time of looking for blanks.
    """
    sound = f"{expression} BETWEEN '!' AND '~' AND ({expression})[-1] BETWEEN '!' AND '~'"
    return f"CASE WHEN {sound} THEN {expression} ELSE nullif(trim({expression}, {text(BLANKS)}), '') END"


def either(conditions: Iterable[str]) -> str:
    """Return whether one of several holds."""
    return " OR ".join(f"({condition})" for condition in conditions) or "false"


def both(conditions: Iterable[str]) -> str:
    """Return whether all hold."""
    return " AND ".join(f"({condition})" for condition in conditions) or "true"
