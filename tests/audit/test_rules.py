"""Where rules put a customer, as the audit works it out."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.audit.recount import Totals
from stream_app.audit.rows import CustomerRow
from stream_app.audit.rules import figures_of, possible_segments
from stream_app.core.clock import DAY_MS

AT_MS = 1_000 * DAY_MS
TOTALS = Totals(
    purchases=3,
    refunds=1,
    engagements=5,
    revenue_minor=9_000,
    first_at_ms=900 * DAY_MS,
    purchased_at_ms=940 * DAY_MS,
    ordered_at_ms=940 * DAY_MS,
    engaged_at_ms=970 * DAY_MS,
    orders_decayed=2.0,
    revenue_decayed=5_000.0,
)
ROW = CustomerRow(TOTALS, 4.0, {})


def compare(figure: str, operator: str, value: float) -> dict[str, Any]:
    return {"figure": figure, "operator": operator, "value": value}


def ruled(*conditions: dict[str, Any]) -> list[str]:
    segments = [{"id": f"s{number}", "name": "x", "when": condition} for number, condition in enumerate(conditions)]
    return possible_segments({"segments": segments, "otherwise": {"id": "rest", "name": "Rest"}}, ROW, AT_MS)


YES = compare("purchases", ">", 2)
NO = compare("purchases", ">", 3)
BORDER = compare("orders_decayed", ">=", 1.0)


def test_figures_are_as_of_the_instant() -> None:
    assert figures_of(ROW, AT_MS) == pytest.approx(
        {
            "recency_days": 30,
            "tenure_days": 100,
            "orders_decayed": 1,
            "revenue_decayed_minor": 2_500,
            "engaged_days_decayed": 2,
            "purchases": 3,
            "refunds": 1,
            "engagements": 5,
            "revenue_minor": 9_000,
        }
    )


def test_figures_of_an_earlier_row_halve_as_they_did() -> None:
    row = CustomerRow(TOTALS._replace(order_half_life_days=90), 4.0, {}, 21)
    figures = figures_of(row, 970 * DAY_MS + 21 * DAY_MS)
    assert figures["engaged_days_decayed"] == 2
    assert figures_of(row, 1_030 * DAY_MS)["orders_decayed"] == 1


def test_what_was_given_back_counts_as_nothing() -> None:
    row = ROW._replace(totals=TOTALS._replace(revenue_decayed=-5.0, orders_decayed=-0.1))
    figures = figures_of(row, AT_MS)
    assert figures["revenue_decayed_minor"] == figures["orders_decayed"] == 0


def test_first_condition_that_holds_decides() -> None:
    assert ruled(NO, YES, YES) == ["s1"]
    assert ruled(NO, NO) == ["rest"]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"all": [YES, YES]}, ["s0"]),
        ({"all": [YES, NO]}, ["rest"]),
        ({"any": [NO, YES]}, ["s0"]),
        ({"any": [NO, NO]}, ["rest"]),
        ({"not": NO}, ["s0"]),
        ({"not": {"all": [YES, {"any": [NO, YES]}]}}, ["rest"]),
        (compare("refunds", "<=", 1), ["s0"]),
        (compare("refunds", "<", 1), ["rest"]),
        (compare("recency_days", ">=", 31), ["rest"]),
    ],
)
def test_conditions_are_joined_as_they_say(condition: dict[str, Any], expected: list[str]) -> None:
    assert ruled(condition) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (BORDER, ["s0", "rest"]),
        (compare("recency_days", "<", 30), ["s0", "rest"]),
        ({"not": BORDER}, ["s0", "rest"]),
        ({"all": [BORDER, YES]}, ["s0", "rest"]),
        ({"all": [BORDER, NO]}, ["rest"]),
        ({"any": [BORDER, YES]}, ["s0"]),
        ({"any": [BORDER, NO]}, ["s0", "rest"]),
        (compare("purchases", ">=", 3), ["s0"]),
    ],
)
def test_figure_on_the_border_may_fall_to_either_side(condition: dict[str, Any], expected: list[str]) -> None:
    assert ruled(condition) == expected


def test_unknown_figure_is_an_error() -> None:
    with pytest.raises(KeyError, match="mood"):
        ruled(compare("mood", ">", 1))
