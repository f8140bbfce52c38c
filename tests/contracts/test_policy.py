from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from stream_app.contracts.policy import DecodingPolicy
from stream_app.errors import ConfigurationError


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"base_currency": "EURO"}, "base_currency"),
        ({"currency_rates": {"usd": Decimal(1)}}, "currency_rates: 'usd'"),
        ({"currency_rates": {"USD": Decimal(0)}}, "currency_rates: USD"),
        ({"currency_rates": {"USD": Decimal("NaN")}}, "currency_rates: USD"),
        ({"currency_rates": {"USD": Decimal("1e10")}}, "currency_rates: USD"),
        ({"currency_rates": {"EUR": Decimal(2)}}, "base currency"),
        ({"max_payload_bytes": 0}, "max_payload_bytes"),
        ({"max_depth": 1}, "max_depth"),
        ({"max_depth": 101}, "max_depth"),
        ({"future_tolerance_ms": -1}, "future_tolerance_ms"),
    ],
)
def test_wrong_setting_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        DecodingPolicy(**changes)


def test_base_currency_is_always_accepted() -> None:
    assert set(DecodingPolicy(currency_rates={"USD": Decimal("0.9")}).conversions) == {"EUR", "USD"}
    assert set(DecodingPolicy("USD", {"USD": Decimal(1)}).conversions) == {"USD"}
