"""What happened day by day, who is in the segments, and what a sample of customers did: the content of `history.json`.

`summary.json` counts a whole run; pages compare periods. So moves are added up by day, ends, cause and change, with the
net revenue that those customers had brought before, and revenue and orders by day. A day is one of UTC, and a move
counts on the day on which it became true. All of it is a few numbers a day, whatever the number of customers.

Customers are sampled by a hash of their id, the smallest first (bottom-k sampling): whoever is in the sample is in it
with all events, and the choice depends on neither their order nor chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.events import ENGAGEMENT, PURCHASE, REFUND
from stream_app.core.moves import CAUSE_KINDS, CHANGES
from stream_app.core.partition import Partition
from stream_app.core.segmentation import Segmentation
from stream_app.core.segments import NO_SEGMENT, Roster

EVENTS_KEPT_MAX: Final = 80_000
"""Events of the sample; it holds between half as many and all of them."""
SPREAD_CUSTOMERS_MAX: Final = 100_000
"""Of more customers than these, every k-th is looked at for quantiles."""
QUANTILES: Final = (0.1, 0.25, 0.5, 0.75, 0.9)
FIGURES: Final = ("recency_days", "tenure_days", "orders", "revenue", "order_value", "engagements")
"""What members are compared by."""
TOP_CUSTOMERS: Final = 25
"""So many customers of each segment are listed, those with the greatest revenue."""

Figures: TypeAlias = dict[str, npt.NDArray[np.float64]]
"""A figure of each customer, by its name."""

_DAY_SHIFT, _FROM_SHIFT, _TARGET_SHIFT, _CAUSE_SHIFT = 40, 23, 6, 3
_CODE_MASK, _KIND_MASK = 2**17 - 1, 2**3 - 1
_SAMPLE_DTYPE: Final = np.dtype([("customer", "<u8"), ("at_ms", "<i8"), ("kind", "u1"), ("amount_minor", "<i8")])


class DailyFlows:
    """Moves within one segmentation, by day, ends, cause and change."""

    def __init__(self) -> None:
        self._customers: Counter[int] = Counter()
        self._revenue_minor: Counter[int] = Counter()

    def observe(self, moves: np.ndarray, roster: Roster) -> None:
        """Count moves, `MOVE_DTYPE`."""
        codes = roster.codes.astype(np.int64)[moves["target"]]
        keys = moves["effective_at_ms"] // DAY_MS << _DAY_SHIFT
        keys |= (moves["from_code"].astype(np.int64) + 1 << _FROM_SHIFT) | (codes + 1 << _TARGET_SHIFT)
        keys |= (moves["cause"].astype(np.int64) << _CAUSE_SHIFT) | moves["change"]
        found, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
        is_first = moves["after"]["first_at_ms"] == moves["effective_at_ms"]  # then there is no state before
        revenue = _sums(places, np.where(is_first, 0, moves["before"]["revenue_minor"]))
        for key, count, minor in zip(found.tolist(), counts.tolist(), revenue, strict=True):
            self._customers[key] += count
            self._revenue_minor[key] += minor

    def document(self, roster: Roster) -> dict[str, list[Any]]:
        """Return the counts as columns, by day; a segment is named by its id, none by null."""
        ids = {code: segment.segment_id for code, segment in roster.by_code.items()}
        keys = sorted(self._customers)
        return {
            "day": [key >> _DAY_SHIFT for key in keys],
            "from": [ids.get((key >> _FROM_SHIFT & _CODE_MASK) - 1) for key in keys],
            "to": [ids.get((key >> _TARGET_SHIFT & _CODE_MASK) - 1) for key in keys],
            "cause": [CAUSE_KINDS[key >> _CAUSE_SHIFT & _KIND_MASK] for key in keys],
            "change": [CHANGES[key & _KIND_MASK] for key in keys],
            "customers": [self._customers[key] for key in keys],
            "revenue_minor": [self._revenue_minor[key] for key in keys],
        }


class DailyEvents:
    """Revenue, orders and engagement by day, and the events of a sample of customers.

    Records that came twice and orders that were edited are in the events, but not in what they add up to: `settle`
    takes the difference out of the days since it was called last.
    """

    def __init__(self, kept_max: int = EVENTS_KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._days: dict[int, list[int]] = {}
        self._open: Counter[int] = Counter()
        self._told_minor = 0
        self._sample = np.empty(0, _SAMPLE_DTYPE)
        self._below: int | None = None

    def observe(self, records: np.ndarray) -> None:
        """Count events, `EVENT_DTYPE`."""
        if not len(records):
            return
        kinds, days = records["kind"], records["at_ms"] // DAY_MS
        signs = (kinds == PURCHASE).astype(np.int64) - (kinds == REFUND)
        found, places = np.unique(days, return_inverse=True)
        parts = (signs * records["amount_minor"], kinds == PURCHASE, kinds == ENGAGEMENT)
        sums = [_sums(places, part) for part in parts]
        for day, minor, orders, engagements in zip(found.tolist(), *sums, strict=True):
            own = self._days.setdefault(day, [0, 0, 0])
            own[0] += minor
            own[1] += orders
            own[2] += engagements
            self._open[day] += minor
            self._told_minor += minor
        self._keep(records[kinds <= ENGAGEMENT])

    def settle(self, revenue_minor: int) -> None:
        """Make the days add up to the revenue that all customers have brought so far."""
        excess, weights = self._told_minor - revenue_minor, {day: max(minor, 0) for day, minor in self._open.items()}
        total = sum(weights.values())
        if excess and total:
            left = excess
            for day, weight in sorted(weights.items()):
                part = excess * weight // total
                self._days[day][0] -= part
                left -= part
            self._days[max(weights)][0] -= left
            self._told_minor -= excess
        self._open.clear()

    def document(self) -> dict[str, Any]:
        """Return the days, and the sample's events as columns in the order of customers and instants."""
        days = sorted(self._days)
        sample = np.sort(self._sample, order=["customer", "at_ms"], kind="stable")
        return {
            "days": {
                "day": days,
                "revenue_minor": [self._days[day][0] for day in days],
                "orders": [self._days[day][1] for day in days],
                "engagements": [self._days[day][2] for day in days],
            },
            "events": {"customers_below": self._below}
            | {name: sample[name].tolist() for name in _SAMPLE_DTYPE.names or ()},
        }

    def _keep(self, records: np.ndarray) -> None:
        if self._below is not None:
            records = records[records["customer_hash"] < np.uint64(self._below)]
        kept = np.empty(len(records), _SAMPLE_DTYPE)
        kept["customer"] = records["customer_hash"]
        for name in ("at_ms", "kind", "amount_minor"):
            kept[name] = records[name]
        self._sample = np.concatenate([self._sample, kept])
        if len(self._sample) <= self._kept_max:
            return
        hashes = np.sort(self._sample["customer"])
        self._below = int(hashes[self._kept_max // 2])
        self._sample = self._sample[self._sample["customer"] < np.uint64(self._below)]


def members_document(partition: Partition, segmentation: Segmentation) -> dict[str, dict[str, Any]]:
    """Return, of each segment that has members, how their figures spread and who brings the greatest revenue.

    `rank` is the mean share of all customers with a smaller figure, those with the same counted half: the chance that
    a member has more than somebody drawn from all. 0.5 is like everybody.
    """
    table = partition.table
    codes = _codes(partition, segmentation)
    step = max(1, -(-len(table) // SPREAD_CUSTOMERS_MAX))
    looked_at, minor_per_major = slice(None, None, step), partition.context.minor_per_major
    figures = _figures(table.activity[looked_at], max(partition.clock), minor_per_major)
    ranks = {name: _ranks(values) for name, values in figures.items()}
    document = {"": _spread(figures, ranks, np.ones(len(codes[looked_at]), np.bool_))}
    for code in np.unique(codes[codes != NO_SEGMENT]).tolist():
        segment_id = segmentation.roster.by_code[code].segment_id
        rows = np.flatnonzero(codes == code)
        document[segment_id] = _spread(figures, ranks, codes[looked_at] == code) | {
            "top": _top(partition, rows, minor_per_major)
        }
    return document


def _sums(places: npt.NDArray[np.intp], values: np.ndarray) -> list[int]:
    """Return the sum of the values at each place; exact while it stays below 2^53."""
    return [int(total) for total in np.bincount(places, weights=values).tolist()]


def _codes(partition: Partition, segmentation: Segmentation) -> npt.NDArray[np.int16]:
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
        np.where(last_ms == NO_TIME, np.nan, (at_ms - last_ms) / DAY_MS),
        np.where(first_ms == NO_TIME, np.nan, (at_ms - first_ms) / DAY_MS),
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
