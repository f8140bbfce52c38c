"""What an id is: a text that is one and the same however its producer wrote it, and that stands for somebody.

Two texts that people and databases take for the same id must be the same customer. So white space at the ends, and what
else cannot be seen there, is cut off, and the rest is brought into Unicode's normal form C, in which each letter with a
diacritic is written one way; case is kept, as many shops' ids differ by nothing else. A JSON number is an id if it is
written as a whole number: its digits are the id.

What cannot be an id is refused rather than folded, because it would make one customer of many:

- Damaged ones. A spreadsheet shows `115310627314723954` as `1.15311E+17` and saves what it shows, so that ids that
  differ in the last digits become equal; a data frame that reads ids as decimal numbers writes `17850.0`, which is
  another text than `17850`.
- Placeholders, by which exports say "nobody": `0`, `null`, `guest`. They are compared without regard to case, and of
  those made of zeros and hyphens alone, such as an empty UUID, each counts as `0`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from decimal import Decimal
from typing import Final

from stream_app.core.ids import normal_id

PLACEHOLDER_IDS: Final = (
    "0",
    "-1",
    "-",
    "null",
    "(null)",
    "<null>",
    r"\N",
    "none",
    "(none)",
    "nan",
    "<NA>",
    "n/a",
    "#N/A",
    "undefined",
    "guest",
    "anonymous",
    "unknown",
    "not set",
    "(not set)",
    "[object Object]",
)
"""What exports write where there is no customer. The zero stands for everything that is made of zeros and hyphens."""
PLACEHOLDER_BYTES_MAX: Final = 56
"""Of a placeholder in UTF-8, as the scanner keeps it."""
PLACEHOLDERS_MAX: Final = 256
ID_EXPECTED: Final = "a string, or a whole number"

_ZEROS: Final = re.compile("-*0[0-]*")
_CUT: Final = re.compile(r"-?[0-9]+([.,][0-9]+)?[Ee]\+[0-9]{1,3}")
_DECIMAL: Final = re.compile(r"-?[0-9]+[.,]0")
_LONGEST_INT_DIGITS: Final = 30
"""The reader of JSON gives longer whole numbers as decimals; of those that are no longer, one was no plain integer."""


def placeholder_form(normal: str) -> str:
    """Return the form in which ids in their normal form are compared with placeholders."""
    return "0" if normal[:1] in "0-" and _ZEROS.fullmatch(normal) else normal.lower()


def placeholder_forms(placeholders: Collection[str]) -> frozenset[str]:
    """Return what `placeholder_form` gives of the ids that stand for nobody."""
    return frozenset(placeholder_form(normal_id(each)) for each in placeholders)


def digits_of(number: int | Decimal | float) -> str | None:
    """Return the id that a JSON number is: its digits, None if it is not written as a whole number."""
    if isinstance(number, int):
        return str(number)
    if isinstance(number, Decimal) and number.as_tuple().exponent == 0:
        digits = str(number)
        return digits if len(digits) > _LONGEST_INT_DIGITS else None  # else it was written as 12e0
    return None


def is_cut(normal: str) -> bool:
    """Return whether an id is a number that a spreadsheet has shortened to a few digits and an exponent."""
    return normal[-1:].isdigit() and _CUT.fullmatch(normal) is not None


def is_decimal(normal: str) -> bool:
    """Tell whether an id is a whole number that has been taken for a decimal one."""
    return normal.endswith("0") and _DECIMAL.fullmatch(normal) is not None


def is_plain(text: str) -> bool:
    """Tell whether a text is an id as it stands: for the quick way of decoding, which leaves others to the models."""
    if text.isascii() and "+" not in text and text[:1] > " " < text[-1:]:
        return True  # what most ids are
    return normal_id(text) == text and not is_cut(text)


def is_customer(normal: str, placeholders: Collection[str]) -> bool:
    """Tell whether an id may be a customer's: neither damaged nor one of the placeholders' forms."""
    return not is_decimal(normal) and placeholder_form(normal) not in placeholders
