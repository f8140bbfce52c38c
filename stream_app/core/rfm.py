"""Scores of recency and frequency: fifths of those who have ordered, by how lately and by how often.

Theory. The limits of a score are order statistics: the values at the ranks ⌈n·k/5⌉, k = 1 … 4. Customers with
the same value have the same score, as no one knows which of two with one order each orders more often; so where many
have the same, scores stay empty, and the fifths are not equal. Here a score is one more than the number of limits that
lie below the value. Selecting four ranks takes linear time, and nothing is random: the same customers give the same
scores.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

SCORES: Final = 5
_LATELY: Final = ("new", "potential_loyalists", "potential_loyalists", "champions", "champions")
NAMES: Final = (
    ("hibernating", "hibernating", "at_risk", "at_risk", "cannot_lose"),
    ("hibernating", "hibernating", "at_risk", "at_risk", "cannot_lose"),
    ("about_to_sleep", "about_to_sleep", "need_attention", "loyal", "loyal"),
    ("promising", "potential_loyalists", "potential_loyalists", "loyal", "loyal"),
    _LATELY,
)
"""What cells are called, by the score of recency, from those who ordered longest ago, and then by that of frequency."""

Scores: TypeAlias = npt.NDArray[np.int64]


def cells_of(ages: Scores, orders: Scores) -> tuple[Scores, list[int], list[int]]:
    """Return in which cell each buyer is, and the four limits of both scores; there is at least one buyer.

    A cell's number is five times its recency score and once its frequency score, both counted from 0.

    Parameters
    ----------
    ages
        How long ago each ordered last, in any unit.
    orders
        How many orders each has made.
    """
    by_age, age_limits = scores(ages)
    frequency, order_limits = scores(orders)
    return (SCORES - by_age) * SCORES + frequency - 1, age_limits, order_limits  # a long silence is a low score


def name_of(cell: int) -> str:
    """Return what a cell is called."""
    return NAMES[cell // SCORES][cell % SCORES]


def cell_rows(cells: Iterable[int], *sums: Iterable[int]) -> list[dict[str, int | str]]:
    """Return a document of each cell that has customers: its scores, what it is called, and what it adds up to.

    Parameters
    ----------
    cells
        Their numbers.
    sums
        Of each cell: customers, their orders, and their net revenue.
    """
    return [
        {
            "recency": number // SCORES + 1,
            "frequency": number % SCORES + 1,
            "name": name_of(number),
            "customers": customers,
            "orders": orders,
            "revenue_minor": revenue_minor,
        }
        for number, customers, orders, revenue_minor in zip(cells, *sums, strict=True)
    ]


def scores(values: Scores) -> tuple[Scores, list[int]]:
    """Return the score of each value, from 1 for the smallest to 5, and the four limits; values are not empty."""
    ranks = [-(-len(values) * k // SCORES) - 1 for k in range(1, SCORES)]
    limits = np.partition(values, ranks)[ranks]
    return np.searchsorted(limits, values) + 1, limits.tolist()
