"""What a live document tells beside figures of now: overlaps, how long members stay, and the grid of buyers.

Counting all customers for it would hold Redis up, so it is counted from customers who are drawn by chance
(`stream_app.api.sampling`), beside answering, every `REFRESH_SECONDS`; where there are fewer customers than are drawn,
it is exact. With n drawn, a share p of all customers is off by more than 2·√(p·(1 − p)/n) once in twenty times: by one
percent of all at the most, with 10,000.

- Overlaps are counted among those drawn and multiplied.
- How long members stay follows from the moves that the view keeps of each customer: only stays that began within them
  count, as of an earlier one nobody knows when it began. What share of present members has been there for how long is
  exact, by their places in the sorted sets.
- Buyers are those whom workers have drawn at the last tick of learning, with their orders and their revenue then; in
  which segments they are is of now.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Final, NamedTuple

import numpy as np

from stream_app.adapters.view_schema import Buyers
from stream_app.api.sampling import Move, ViewSampler
from stream_app.api.store import SegmentStore, StoreUnavailable
from stream_app.core.clock import DAY_MS, SECOND_MS
from stream_app.core.moves import VERSION_CAUSES
from stream_app.core.rfm import cell_rows, cells_of
from stream_app.web.document import AUDIENCE, KINDS
from stream_app.web.staying import describe_stays, stays_of

logger = logging.getLogger(__name__)

PLACED_CUSTOMERS: Final = 10_000
"""So many are drawn for overlaps."""
FOLLOWED_CUSTOMERS: Final = 2_500
"""Of those, customers whose moves are looked at for stays."""
REFRESH_SECONDS: Final = 300.0
RETRY_SECONDS: Final = 2.0
"""Until the next attempt where the view does not answer."""
QUARTILES_COME: Final = (0.75, 0.5, 0.25)
"""By when a share of members had come: the first quartile of their days there is that of the last three quarters."""
PAIRS_MAX: Final = 2_000
"""Pairs of segments that are listed for two segmentations: those with the most customers."""


class Parts(NamedTuple):
    """What was counted.

    Attributes
    ----------
    drawn, customers
        How many customers were looked at, and of how many.
    overlaps
        As `stream_app.web.document.describe_overlaps` takes them.
    stays
        By segmentation, as `stream_app.web.staying.describe_stays` says it.
    since
        By segmentation and segment, quartiles of the days for which members have been there.
    rfm
        As `stream_app.web.document.describe_rfm` takes it; None where nobody has been drawn.
    """

    drawn: int = 0
    customers: int = 0
    overlaps: Sequence[dict[str, Any]] = ()
    stays: Mapping[str, dict[str, Any]] = {}
    since: Mapping[str, dict[str, list[float]]] = {}
    rfm: dict[str, Any] | None = None


Places = Sequence[Sequence[str | None]]
"""Of each customer, the segment in each segmentation."""


class LiveParts:
    """Counts now and then.

    Parameters
    ----------
    store
        What is known of segmentations.
    sampler
        Draws customers.
    """

    def __init__(self, store: SegmentStore, sampler: ViewSampler) -> None:
        self._store = store
        self._sampler = sampler
        self.parts = Parts()
        """What was counted last."""

    async def run(self) -> None:
        """Count again and again, without end."""
        while True:
            try:
                self.parts = await self._count()
                await asyncio.sleep(REFRESH_SECONDS)
            except StoreUnavailable as error:
                logger.debug("nothing can be counted: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def close(self) -> None:
        """Close everything."""
        await self._sampler.close()

    async def _count(self) -> Parts:
        models = self._store.index.models
        names = sorted(models, key=lambda name: (KINDS.index(models[name].kind), name))
        if not names:
            raise StoreUnavailable("the view holds no model yet")
        sizes = {name: (await self._store.daily(name, ())).sizes for name in names}
        since = {name: await self._since_of(name, list(sizes[name])) for name in names}
        buyers = await self._sampler.buyers()
        rfm = await asyncio.to_thread(grid_of, buyers, names, await self._places_of(buyers, names)) if buyers else None
        base = next((name for name in names if models[name].kind != AUDIENCE), None)
        if base is None:  # audiences alone: who is in none cannot be drawn
            return Parts(since=since, rfm=rfm)
        drawn = await self._sampler.draw(base, sizes[base], PLACED_CUSTOMERS)
        places = await self._sampler.places(drawn, names)
        followed = drawn[:: -(-len(drawn) // FOLLOWED_CUSTOMERS) or 1]
        histories = await self._sampler.histories(followed)
        customers = sum(sizes[base].values())
        overlaps = await asyncio.to_thread(overlaps_of, names, places, customers)
        stays = await asyncio.to_thread(stays_by_name, names, histories, self._store.now_ms() // SECOND_MS)
        return Parts(len(drawn), customers, overlaps, stays, since, rfm)

    async def _since_of(self, name: str, segments: Sequence[str]) -> dict[str, list[float]]:
        now_ms = self._store.now_ms()
        found = await self._sampler.since(name, segments, QUARTILES_COME)
        return {
            segment: [round(max(now_ms - instant, 0) / DAY_MS, 1) for instant in instants]
            for segment, instants in found.items()
        }

    async def _places_of(self, buyers: Sequence[Buyers], names: Sequence[str]) -> Places:
        return await self._sampler.places([customer for each in buyers for customer in each.ids], names)


def overlaps_of(names: Sequence[str], places: Places, customers: int) -> list[dict[str, Any]]:
    """Return, of every two segmentations, pairs of segments with how many of all customers are in both."""
    if not places:
        return []
    times = customers / len(places)
    codes, segments = _coded(names, places)
    found = []
    for one, other in combinations(range(len(names)), 2):
        is_in_both = (codes[one] >= 0) & (codes[other] >= 0)
        width = len(segments[other]) or 1
        keys, counts = np.unique(codes[one][is_in_both] * width + codes[other][is_in_both], return_counts=True)
        largest = np.sort(np.argsort(-counts, kind="stable")[:PAIRS_MAX])
        told = keys[largest].tolist()
        found.append(
            {
                "of": names[one],
                "with": names[other],
                "segment": [segments[one][key // width] for key in told],
                "other": [segments[other][key % width] for key in told],
                "customers": np.rint(counts[largest] * times).astype(np.int64).tolist(),
            }
        )
    return found


def _coded(names: Sequence[str], places: Places) -> tuple[list[np.ndarray], list[list[str]]]:
    """Return, of each segmentation, customers' segments as numbers, −1 for none, and which segment each number is."""
    codes, segments = [], []
    for number in range(len(names)):
        known: dict[str, int] = {}
        column = [-1 if row[number] is None else known.setdefault(str(row[number]), len(known)) for row in places]
        codes.append(np.array(column, np.int64))
        segments.append(list(known))
    return codes, segments


def stays_by_name(
    names: Sequence[str], histories: Sequence[Sequence[Move]], until_seconds: int
) -> dict[str, dict[str, Any]]:
    """Return how long members stay in the segments of each segmentation."""
    own: dict[str, list[list[tuple[int, str | None, bool]]]] = {name: [] for name in names}
    for history in histories:
        by_name: dict[str, list[tuple[int, str | None, bool]]] = {}
        for move in history:
            is_own = move.cause not in VERSION_CAUSES
            by_name.setdefault(move.segmentation, []).append((move.at_ms // SECOND_MS, move.segment, is_own))
        for name in by_name.keys() & own.keys():
            own[name].append(by_name[name])
    return {
        name: describe_stays((stay for moves in found for stay in stays_of(moves, until_seconds)), len(histories))
        for name, found in own.items()
    }


def grid_of(drawn: Sequence[Buyers], names: Sequence[str], places: Places) -> dict[str, Any]:
    """Return the grid of all buyers, from those who were drawn.

    Parameters
    ----------
    drawn
        Of each partition.
    names, places
        The segmentations, and where each of those drawn is, in their order.
    """
    population, known = sum(each.population for each in drawn), sum(len(each.ids) for each in drawn)
    times = population / known if known else 0.0
    orders = np.array([value for each in drawn for value in each.orders], np.int64)
    ages = np.array([each.as_of_ms - at_ms for each in drawn for at_ms in each.ordered_at_ms], np.int64)
    revenue = np.array([value for each in drawn for value in each.revenue_minor], np.int64)
    rows = np.flatnonzero(orders > 0)
    whole = {"as_of_ms": max((each.as_of_ms for each in drawn), default=0), "drawn": known, "population": population}
    if not len(rows):
        return whole | {"without_order": population, "recency_days": [], "orders": [], "cells": [], "segments": {}}
    numbers, age_limits, order_limits = cells_of(np.maximum(ages[rows], 0), orders[rows])
    found, cells = np.unique(numbers, return_inverse=True)

    def total(column: np.ndarray) -> list[int]:
        return list(map(round, (np.bincount(cells, weights=column) * times).tolist()))

    sums = total(np.ones(len(rows))), total(orders[rows]), total(revenue[rows])
    return whole | {
        "without_order": round((known - len(rows)) * times),
        "recency_days": [round(limit / DAY_MS, 1) for limit in age_limits],
        "orders": order_limits,
        "cells": cell_rows(found.tolist(), *sums),
        "segments": _segments_of_cells(cells, names, [places[row] for row in rows.tolist()], times),
    }


def _segments_of_cells(cells: np.ndarray, names: Sequence[str], places: Places, times: float) -> dict[str, Any]:
    codes, segments = _coded(names, places)
    told = {}
    for name, column, ids in zip(names, codes, segments, strict=True):
        is_in_one, width = column >= 0, len(ids) or 1
        keys, counts = np.unique(cells[is_in_one] * width + column[is_in_one], return_counts=True)
        told[name] = {
            "cell": (keys // width).tolist(),
            "segment": [ids[key % width] for key in keys.tolist()],
            "customers": np.rint(counts * times).astype(np.int64).tolist(),
        }
    return told
