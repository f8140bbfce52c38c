"""The figures of a customer that conditions can compare: unit, meaning, and what changes them.

They are made of what a row holds, see `stream_app.core.quantities`. Money is in major units of the base currency,
such as EUR; days are 24 hours. What is *decayed* counts less the older it is: half after its half-life. Silence changes
a figure in one of three ways: days count up, decayed totals halve again and again, and the rest stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

FigureName: TypeAlias = Literal[
    "recency_days",
    "tenure_days",
    "orders_decayed",
    "revenue_decayed",
    "engaged_days_decayed",
    "purchases",
    "refunds",
    "engagements",
    "revenue",
    "average_order_value",
    "order_recency_days",
    "order_tenure_days",
    "engagement_recency_days",
    "engaged_days",
    "active_days",
    "usual_gap_days",
    "probability_active",
]

MONEY: Final = "money"
"""Unit of figures in major units of the base currency, whose name only the settings know."""


class Figure(NamedTuple):
    """What is to be known of a figure.

    Attributes
    ----------
    noun
        What it is called in sentences.
    unit
        What it is measured in; `MONEY` for the base currency, empty where it is a number of what its noun says.
    meaning
        One sentence without its end.
    changed_by
        What changes it.
    counts_up
        Whether silence alone makes it grow.
    fades
        Whether silence alone makes it shrink.
    is_count
        Whether it counts what its noun says, in whole numbers; such a figure exists for everybody.
    bounds
        The least and the greatest that it can be.
    needs_model
        Whether it is made of the model in force of the first learned segmentation.
    """

    noun: str
    unit: str
    meaning: str
    changed_by: str
    counts_up: bool = False
    fades: bool = False
    is_count: bool = False
    bounds: tuple[float, float] = (0.0, math.inf)
    needs_model: bool = False


_ORDERS = "purchases and refunds"
FIGURES: Final[Mapping[FigureName, Figure]] = MappingProxyType(
    {
        "recency_days": Figure(
            "recency",
            "days",
            "time since the last purchase or engagement",
            "purchases and engagements; time",
            counts_up=True,
        ),
        "tenure_days": Figure("tenure", "days", "time since the first event of any kind", "time", counts_up=True),
        "orders_decayed": Figure(
            "decayed orders", "orders", "purchases, each worth half after 60 days", "purchases; time", fades=True
        ),
        "revenue_decayed": Figure(
            "decayed revenue",
            MONEY,
            "revenue without refunds, each amount worth half after 60 days",
            f"{_ORDERS}; time",
            fades=True,
        ),
        "engaged_days_decayed": Figure(
            "decayed engaged days",
            "days",
            "days with an engagement, each worth half after 30 days",
            "engagements; time",
            fades=True,
        ),
        "purchases": Figure(
            "purchases", "orders", "purchases ever, without those that refunds have undone", _ORDERS, is_count=True
        ),
        "refunds": Figure("refunds", "refunds", "refunds ever", "refunds", is_count=True),
        "engagements": Figure("engagements", "events", "engagements ever", "engagements", is_count=True),
        "revenue": Figure(
            "revenue", MONEY, "revenue ever, without what was refunded", _ORDERS, bounds=(-math.inf, math.inf)
        ),
        "average_order_value": Figure(
            "average order value",
            MONEY,
            "revenue ever, divided by purchases; none without a purchase",
            _ORDERS,
            bounds=(-math.inf, math.inf),
        ),
        "order_recency_days": Figure(
            "order recency", "days", "time since the last purchase; none without one", "purchases; time", counts_up=True
        ),
        "order_tenure_days": Figure(
            "order tenure", "days", "time since the first purchase; none without one", "purchases; time", counts_up=True
        ),
        "engagement_recency_days": Figure(
            "engagement recency",
            "days",
            "time since the last engagement; none without one",
            "engagements; time",
            counts_up=True,
        ),
        "engaged_days": Figure(
            "engaged days",
            "days",
            "days with an engagement among the last 182",
            "engagements; time",
            fades=True,
            is_count=True,
        ),
        "active_days": Figure(
            "active days",
            "days",
            "days with a purchase among the last 366",
            "purchases; time",
            fades=True,
            is_count=True,
        ),
        "usual_gap_days": Figure(
            "usual gap",
            "days",
            "the customer's usual time between purchases, by its own gaps and those of all",
            "purchases; a new model",
            needs_model=True,
        ),
        "probability_active": Figure(
            "probability of being active",
            "",
            "how likely the customer still buys, given its usual gap and its silence, 0 to 1",
            "purchases; time; a new model",
            fades=True,
            bounds=(0.0, 1.0),
            needs_model=True,
        ),
    }
)
"""All of them, in the order of their names above. A comparison with a figure that does not exist is false."""
assert tuple(FIGURES) == get_args(FigureName)
