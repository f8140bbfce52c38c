"""Amounts and numbers as text, as exports write them, to decimal text with a point, in SQL.

Currency signs and codes, white space, a sign in front, at the end or as brackets are taken off. What surrounds a
point or a comma then decides whether it is a decimal sign or separates thousands:

- both occur: the last one is the decimal sign, and the others must separate groups of three;
- one occurs several times: it separates thousands;
- one occurs once, not followed by three digits, or preceded by none, by more than three or by a zero: it is the decimal
  sign;
- one occurs once between one to three digits and three: this alone is ambiguous.

An ambiguous value is read by the locale; if none is given, by what all values of the file that are not ambiguous agree
on; else it is refused with both readings named. Nothing depends on the order of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from stream_app.contracts.currencies import MINOR_DIGITS
from stream_app.sources import sql

DECIMAL: Final = "DECIMAL(38, 10)"
"""Sums of it do not depend on their order; at ten digits after the point, the noise of binary fractions is gone."""
Sign = Literal[".", ","]

_PLAIN: Final = r"-?\d{1,27}(\.(\d{1,2}|\d{4,30}))?"
_SPACES: Final = r"[\s\p{Z}]"
_SIGNS: Final = r"([A-Z]{1,3}[$]|[A-Za-z]{3}|\p{Sc}|kr\.?|zł|Kč|Fr\.?)"
_BOTH_POINT: Final = r"\d{1,3}(,\d{3})+\.\d*"
_BOTH_COMMA: Final = r"\d{1,3}(\.\d{3})+,\d*"
_THOUSANDS: Final = r"\d{1,3}((,\d{3}){2,}|(\.\d{3}){2,})"
_AMBIGUOUS: Final = r"[1-9]\d{0,2}[.,]\d{3}"
_ONE_SIGN: Final = r"(\d+[.,]\d*|[.,]\d+)"
_EXPONENT: Final = r"\d{1,20}(\.\d{1,20})?[eE][+-]?\d{1,2}"
_THREE_DIGITS: Final = tuple(code for code, digits in MINOR_DIGITS.items() if digits == 3)

CURRENCY_SIGNS: Final = {
    "€": "EUR", "£": "GBP", "US$": "USD", "$": "USD", "A$": "AUD", "AU$": "AUD", "C$": "CAD", "CA$": "CAD",
    "NZ$": "NZD", "HK$": "HKD", "S$": "SGD", "R$": "BRL", "MX$": "MXN", "₹": "INR", "₩": "KRW", "₽": "RUB",
    "₺": "TRY", "₴": "UAH", "₪": "ILS", "₫": "VND", "₱": "PHP", "฿": "THB", "zł": "PLN", "Kč": "CZK",
}  # fmt: skip
"""What a column of currencies may have in place of a code. The yen's sign is the yuan's, too, and is left out."""


def bare(cell: str) -> str:
    """Return a number's digits and signs without currency, white space and sign, as SQL."""
    without = f"regexp_replace({cell}, '{_SPACES}', '', 'g')"
    without = f"regexp_replace({without}, '^\\((.*)\\)$', '\\1')"
    without = f"regexp_replace({without}, '^[-+\u2212]?{_SIGNS}?[-+\u2212]?|{_SIGNS}?[-\u2212]?$', '', 'g')"
    return f"regexp_replace({without}, '(\\d)[''\u2019](\\d{{3}})', '\\1\\2', 'g')"


def is_negative(cell: str) -> str:
    """Return whether a number has a minus sign, before or after it, or is in brackets, as SQL."""
    signed = f"regexp_replace({cell}, '{_SPACES}|{_SIGNS}', '', 'g')"
    return f"regexp_matches({signed}, '^[-\u2212(]|[-\u2212]$')"


def decimal_of(cell: str, decimal: Sign | None, currency: str | None = None) -> str:
    """Return the decimal text that a cell means, as SQL; null if it cannot be read or is ambiguous.

    Parameters
    ----------
    cell
        SQL of the text.
    decimal
        The decimal sign of ambiguous values, None if it is not known.
    currency
        SQL of the currency's code; for some, three digits after a point are minor units.
    """
    number = bare(cell)
    point, comma = f"replace({number}, ',', '')", f"replace(replace({number}, '.', ''), ',', '.')"
    ambiguous = {".": point, ",": comma, None: "NULL"}[decimal]
    if decimal is None and currency is not None:
        by_currency = f"{currency} IN ({sql.texts(_THREE_DIGITS)}) AND contains({number}, '.')"
        ambiguous = f"CASE WHEN {by_currency} THEN {number} END"
    read = (
        f"CASE WHEN regexp_full_match({number}, '\\d+') THEN {number}"
        f" WHEN regexp_full_match({number}, '{_EXPONENT}') THEN {written(f'try_cast({number} AS {DECIMAL})')}"
        f" WHEN regexp_full_match({number}, '{_BOTH_POINT}') THEN {point}"
        f" WHEN regexp_full_match({number}, '{_BOTH_COMMA}') THEN {comma}"
        f" WHEN regexp_full_match({number}, '{_THOUSANDS}') THEN replace(replace({number}, ',', ''), '.', '')"
        f" WHEN regexp_full_match({number}, '{_AMBIGUOUS}') THEN {ambiguous}"
        f" WHEN regexp_full_match({number}, '{_ONE_SIGN}') THEN {_whole(number)} END"
    )
    signed = f"CASE WHEN {is_negative(cell)} THEN '-' || {read} ELSE {read} END"
    return f"CASE WHEN regexp_full_match({cell}, '{_PLAIN}') THEN {cell} ELSE {signed} END"


def _whole(number: str) -> str:
    """Return a number with digits on both sides of its point, or without one, as SQL."""
    point = f"rtrim(replace({number}, ',', '.'), '.')"
    return f"CASE WHEN starts_with({point}, '.') THEN '0' || {point} ELSE {point} END"


def number_of(cell: str, decimal: Sign | None, currency: str | None = None) -> str:
    """Return the number that a cell means, as SQL of type `DECIMAL`; null if it cannot be read or is ambiguous."""
    return f"try_cast({decimal_of(cell, decimal, currency)} AS {DECIMAL})"


def written(number: str) -> str:
    """Return a number as text without zeros at its end, as SQL."""
    return f"rtrim(rtrim(({number})::VARCHAR, '0'), '.')"


def is_ambiguous(cell: str) -> str:
    """Return whether a cell can be read in two ways, as SQL."""
    return f"regexp_full_match({bare(cell)}, '{_AMBIGUOUS}')"


def may_be_ambiguous(cell: str) -> str:
    """Return whether a cell looks as if it could be read in two ways, quickly, as SQL."""
    return rf"coalesce(regexp_full_match({cell}, '\D*[1-9]\d{{0,2}}[.,]\d{{3}}\D*'), false)"


def readings(cell: str) -> str:
    """Return both readings of an ambiguous cell, in words, as SQL."""
    number = bare(cell)
    return f"replace({number}, ',', '.') || ' or ' || replace(replace({number}, ',', ''), '.', '')"


def evidence(cells: Sequence[str]) -> str:
    """Return the decimal sign that all values that are not ambiguous agree on, as SQL over all rows; null if none."""
    point: list[str] = []
    comma: list[str] = []
    for cell in cells:
        number = bare(cell)
        one_sign = f"regexp_full_match({number}, '{_ONE_SIGN}') AND NOT regexp_full_match({number}, '{_AMBIGUOUS}')"
        for found, sign, both in ((point, ".", _BOTH_POINT), (comma, ",", _BOTH_COMMA)):
            clear = f"({one_sign}) OR regexp_full_match({number}, '{both}')"
            found.append(f"(contains({cell}, '{sign}') AND ({clear}))")
    has_point = (
        f"coalesce(bool_or(coalesce({' OR '.join(f'coalesce({each}, false)' for each in point)}, false)), false)"
    )
    has_comma = (
        f"coalesce(bool_or(coalesce({' OR '.join(f'coalesce({each}, false)' for each in comma)}, false)), false)"
    )
    return f"CASE WHEN {has_point} AND NOT {has_comma} THEN '.' WHEN {has_comma} AND NOT {has_point} THEN ',' END"


def currency_of(cell: str) -> str:
    """Return the code that a cell means, as SQL: signs and lower case is read."""
    signs = " ".join(f"WHEN {sql.text(sign)} THEN {sql.text(code)}" for sign, code in CURRENCY_SIGNS.items())
    return f"CASE {cell} {signs} ELSE upper({cell}) END"
