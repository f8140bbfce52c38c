from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.currencies import MAX_MAJOR_UNITS, MINOR_DIGITS, Conversion, minor_units

CURRENCIES = st.sampled_from(sorted(MINOR_DIGITS))
RATES = st.decimals(Decimal("1e-9"), Decimal("1e9"), allow_nan=False, allow_infinity=False)


def test_codes_are_listed_once_with_their_digits() -> None:
    assert len(MINOR_DIGITS) > 160
    assert all(len(code) == 3 and code.isupper() for code in MINOR_DIGITS)
    assert {MINOR_DIGITS[code] for code in ("EUR", "USD", "GBP", "HUF")} == {2}
    assert (MINOR_DIGITS["JPY"], MINOR_DIGITS["KWD"], MINOR_DIGITS["CLF"]) == (0, 3, 4)


@given(CURRENCIES, CURRENCIES, RATES, st.integers(0, 10**15))
def test_conversion_rounds_the_exact_product_half_to_even(source: str, base: str, rate: Decimal, amount: int) -> None:
    converted = Conversion.between(source, base, rate).to_base(amount)
    with localcontext(Context(prec=200)):
        exact = Decimal(amount) * rate * 10 ** MINOR_DIGITS[base] / 10 ** MINOR_DIGITS[source]
        assert converted == exact.quantize(Decimal(1), ROUND_HALF_EVEN)


@given(CURRENCIES, CURRENCIES, RATES)
def test_limit_is_the_largest_amount_within_the_bound_on_both_sides(source: str, base: str, rate: Decimal) -> None:
    conversion = Conversion.between(source, base, rate)
    limit, base_limit = conversion.limit_minor, MAX_MAJOR_UNITS * 10 ** MINOR_DIGITS[base]
    assert limit <= MAX_MAJOR_UNITS * 10 ** MINOR_DIGITS[source]
    assert limit * conversion.numerator <= base_limit * conversion.denominator
    assert limit == MAX_MAJOR_UNITS * 10 ** MINOR_DIGITS[source] or (
        (limit + 1) * conversion.numerator > base_limit * conversion.denominator
    )


@given(st.integers(0, 10**16), st.integers(0, 4))
def test_minor_units_are_exact_in_any_decimal_context(amount_minor: int, digits: int) -> None:
    amount = Decimal(f"{amount_minor}e-{digits}")
    with localcontext(Context(prec=3)):
        assert minor_units(amount, digits) == amount_minor


@pytest.mark.parametrize("amount", ["0.001", "19.990000000000000000000000000000000000000000000001", "1e-999999"])
def test_fraction_of_a_minor_unit_is_none(amount: str) -> None:
    assert minor_units(Decimal(amount), 2) is None
