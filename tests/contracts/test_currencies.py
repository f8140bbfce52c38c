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


@given(st.integers(0, 10**9), st.integers(0, 4), st.integers(-(10**9), 10**9))
def test_float_noise_of_a_millionth_is_rounded_off_in_any_decimal_context(
    amount_minor: int, digits: int, noise: int
) -> None:
    amount = Decimal(f"{amount_minor}e-{digits}") + Decimal(f"{noise}e-15")
    with localcontext(Context(prec=3)):
        assert minor_units(amount, digits) == amount_minor


@pytest.mark.parametrize("total", [15.299999999999999, 45.900000000000006, 133.80000000000001, 0.1 + 0.2, 6 * 2.55])
def test_sum_of_floats_is_the_amount_that_it_is_written_as(total: float) -> None:
    assert minor_units(Decimal(repr(total)), 2) == round(total * 100)


@pytest.mark.parametrize("amount", ["0.001", "0.0000010000000001", "12.3450", "-0.004"])
def test_fraction_of_a_minor_unit_is_none(amount: str) -> None:
    assert minor_units(Decimal(amount), 2) is None
