"""How the figures of each segment's members spread, how they compare with everybody's, and who brings the most."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.partition import Partition
from stream_app.core.segmentation import NEVER_MS, Segmentation
from stream_app.core.segments import NO_SEGMENT

SPREAD_CUSTOMERS_MAX: Final = 100_000
"""Where there are more customers, quantiles are taken from every k-th."""
QUANTILES: Final = (0.1, 0.25, 0.5, 0.75, 0.9)
FIGURES: Final = ("recency_days", "tenure_days", "orders", "revenue", "order_value", "engagements")
"""What members are compared by."""
TOP_CUSTOMERS: Final = 25
"""Customers of each segment that are listed, those with the greatest revenue."""

Figures: TypeAlias = dict[str, npt.NDArray[np.float64]]
"""A figure of each customer, by its name."""


class Population(NamedTuple):
    """What the members of segments are compared with.

    Attributes
    ----------
    looked_at
        Who of all customers.
    figures
        Of those.
    ranks
        Of each of these figures, the share of all that are smaller.
    everybody
        How they spread, in a document's form.
    """

    looked_at: slice
    figures: Figures
    ranks: Figures
    everybody: dict[str, Any]


def population_of(partition: Partition) -> Population:
    """Return all customers to compare with, which are the same for every segmentation."""
    table = partition.table
    looked_at = slice(None, None, max(1, -(-len(table) // SPREAD_CUSTOMERS_MAX)))
    figures = _figures(table.activity[looked_at], max(partition.clock), partition.context.minor_per_major)
    ranks = {name: _ranks(values) for name, values in figures.items()}
    count = len(table.activity[looked_at])
    return Population(looked_at, figures, ranks, _spread(figures, ranks, np.ones(count, np.bool_)))


def members_document(
    partition: Partition, segmentation: Segmentation, population: Population
) -> dict[str, dict[str, Any]]:
    """Return, of each segment that has members, how their figures spread and who brings the greatest revenue.

    `rank` is the mean share of all customers with a smaller figure, those with the same counted half: the chance that
    a member has more than somebody drawn from all. 0.5 is like everybody.
    """
    codes = codes_of(partition, segmentation)
    looked_at, figures, ranks, everybody = population
    document = {"": everybody}
    for code in np.unique(codes[codes != NO_SEGMENT]).tolist():
        segment_id = segmentation.roster.ids[code]
        rows = np.flatnonzero(codes == code)
        document[segment_id] = _spread(figures, ranks, codes[looked_at] == code) | {
            "top": _top(partition, rows, partition.context.minor_per_major)
        }
    return document


def codes_of(partition: Partition, segmentation: Segmentation) -> npt.NDArray[np.int16]:
    """Return the segment code of each customer, `NO_SEGMENT` where there is none, shape `(n,)`."""
    table = partition.table
    if segmentation.is_ruled:
        return np.asarray(table.places[table.ruled_names.index(segmentation.name)]["segment"])
    return np.asarray(table.memberships[table.names.index(segmentation.name)]["segment"])


def _figures(activity: np.ndarray, at_ms: int, minor_per_major: int) -> Figures:
    """Return `FIGURES` of customers; NaN where there is none."""
    last_ms = np.maximum(activity["purchased_at_ms"], activity["engaged_at_ms"])
    first_ms, orders = activity["first_at_ms"], activity["purchases"].astype(np.float64)
    revenue = activity["revenue_minor"] / minor_per_major
    columns = (
        np.where(last_ms == NO_TIME, np.nan, np.maximum(at_ms - last_ms, 0) / DAY_MS),
        np.where(first_ms == NEVER_MS, np.nan, np.maximum(at_ms - first_ms, 0) / DAY_MS),
        orders,
        revenue,
        np.where(orders > 0, revenue / np.maximum(orders, 1), np.nan),
        activity["engagements"].astype(np.float64),
    )
    return dict(zip(FIGURES, columns, strict=True))


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    known = np.sort(values[~np.isnan(values)])
    below, upto = np.searchsorted(known, values), np.searchsorted(known, values, "right")
    return np.where(np.isnan(values), np.nan, (below + upto) / 2 / max(len(known), 1))


def _spread(
    figures: dict[str, npt.NDArray[np.float64]],
    ranks: dict[str, npt.NDArray[np.float64]],
    chosen: npt.NDArray[np.bool_],
) -> dict[str, Any]:
    quantiles: dict[str, list[float]] = {}
    rank: dict[str, float] = {}
    for name, values in figures.items():
        own = values[chosen]
        own = own[~np.isnan(own)]
        if len(own):
            quantiles[name] = [round(float(value), 2) for value in np.quantile(own, QUANTILES)]
            rank[name] = round(float(np.nanmean(ranks[name][chosen])), 3)
    return {"quantiles": quantiles, "rank": rank}


def _top(partition: Partition, rows: npt.NDArray[np.intp], minor_per_major: int) -> list[dict[str, Any]]:
    activity, ids = partition.table.activity[rows], partition.table.customer_ids
    by_revenue = np.argsort(-activity["revenue_minor"], kind="stable")[:TOP_CUSTOMERS]
    last_ms = np.maximum(activity["purchased_at_ms"], activity["engaged_at_ms"])
    chosen: Iterable[int] = by_revenue.tolist()
    return [
        {
            "customer_id": ids[int(rows[index])],
            "orders": int(activity["purchases"][index]),
            "revenue": int(activity["revenue_minor"][index]) / minor_per_major,
            "last_at_ms": None if last_ms[index] == NO_TIME else int(last_ms[index]),
        }
        for index in chosen
    ]
