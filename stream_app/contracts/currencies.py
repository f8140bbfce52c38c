"""Money: ISO 4217 currencies, and exact conversion into minor units of one base currency.

An amount never passes through binary floating point: it goes from decimal text to an integer of minor units.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Final

MAX_MAJOR_UNITS: Final = 10**12
"""Largest amount of one order, in major units: far above any sale, and sums of many still fit 64 bits."""

_NO_MINOR_UNIT: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_DIGITS: Final = "BHD IQD JOD KWD LYD OMR TND"
_FOUR_DIGITS: Final = "CLF UYW"
_TWO_DIGITS: Final = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW "
    "CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF "
    "IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK "
    "MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP "
    "SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER "
    "ZAR ZMW ZWG"
)
_WITHDRAWN: Final = "ANG BGN CUC EEK HRK LTL LVL SLL STD VEF ZWL"
"""Withdrawn since 2010; histories that are replayed still hold them. All have two minor digits."""

MINOR_DIGITS: Final[dict[str, int]] = {
    code: digits
    for codes, digits in (
        (_NO_MINOR_UNIT, 0),
        (_TWO_DIGITS, 2),
        (_WITHDRAWN, 2),
        (_THREE_DIGITS, 3),
        (_FOUR_DIGITS, 4),
    )
    for code in codes.split()
}
"""Digits of the minor unit of each currency (ISO 4217 list one, without metals, funds of no unit and test codes)."""

_EXACT: Final = Context(prec=40)
"""Enough for 13 integer and 4 fraction digits, whatever context the calling thread has set."""


FLOAT_NOISE: Final = Decimal("1e-6")
"""Major units by which an amount may miss a whole minor unit: what sums and products of floats leave, and no price."""


def minor_units(amount: Decimal, minor_digits: int) -> int | None:
    """Return `amount`, at most 10^12 and not NaN, in minor units; None if none of them is within `FLOAT_NOISE`."""
    rounded = amount.quantize(Decimal(1).scaleb(-minor_digits), context=_EXACT)
    is_near = _EXACT.subtract(rounded, amount).copy_abs() <= FLOAT_NOISE
    return int(rounded.scaleb(minor_digits, context=_EXACT)) if is_near else None


@dataclass(frozen=True, slots=True)
class Conversion:
    """From minor units of one currency to minor units of the base currency, as an exact fraction.

    Parameters
    ----------
    minor_digits
        Digits of the minor unit converted from.
    numerator, denominator
        Minor units of the base currency that one minor unit is worth; both > 0.
    limit_minor
        Largest amount, in minor units converted from, that stays within `MAX_MAJOR_UNITS` on both sides.
    """

    minor_digits: int
    numerator: int
    denominator: int
    limit_minor: int

    @classmethod
    def between(cls, currency: str, base_currency: str, rate: Decimal) -> Conversion:
        """Build the conversion for a `rate` in units of the base currency per unit of `currency`, > 0."""
        minor_digits, base_digits = MINOR_DIGITS[currency], MINOR_DIGITS[base_currency]
        numerator, denominator = rate.as_integer_ratio()
        numerator *= 10**base_digits
        denominator *= 10**minor_digits
        base_limit = MAX_MAJOR_UNITS * 10**base_digits
        limit_minor = min(MAX_MAJOR_UNITS * 10**minor_digits, base_limit * denominator // numerator)
        return cls(minor_digits, numerator, denominator, limit_minor)

    def to_base(self, amount_minor: int) -> int:
        """Return `amount_minor` ≥ 0 in minor units of the base currency, rounded half to even."""
        whole, rest = divmod(amount_minor * self.numerator, self.denominator)
        return whole + (2 * rest > self.denominator or (2 * rest == self.denominator and whole % 2 == 1))
