"""Revenue and orders by segment and day: what members of a segment brought while they were in it.

An order counts for the segment in which the customer was when it came, before it moved the customer anywhere: orders of
customers at risk are what won them back, and they would be nobody's if they counted where they led. An order of a
customer who was in no segment yet, or outside an audience, counts for none.

Where a customer was at an event follows from the moves of the same chunk: it is where the last move before it led, or
else where the first one behind it began, or else where the customer still is. So it depends on the customer's own
records alone, and on no chunk's ends.

Sums are of records as they come. What is taken back later without a record of its own, such as a record that came
twice, is not in the days of the whole run (`stream_app.replay.history.DailyEvents`); a day's difference is taken out
of its segments in proportion to what they have.

A number pair for each day and segment that has any: bounded by days, whatever the number of customers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from stream_app.core.arrays import Indices, grouped
from stream_app.core.events import PURCHASE, REFUND, Events
from stream_app.core.local_days import local_days
from stream_app.core.partition import Partition
from stream_app.core.processor import Outcome
from stream_app.core.segmentation import Segmentation
from stream_app.core.segments import NO_SEGMENT, Roster
from stream_app.native.structures import EVENT
from stream_app.replay.shares import shared_out
from stream_app.replay.spreads import codes_of

REVENUE, ORDERS = range(2)
_DAY_SHIFT: Final = 16
_CODE_MASK: Final = (1 << _DAY_SHIFT) - 1


class Sales:
    """The purchases and refunds of a chunk, with the rows of their customers and their places among the moves.

    Parameters
    ----------
    partition
        After the chunk.
    events
        The chunk.
    outcome
        What came of it.
    """

    def __init__(self, partition: Partition, events: Events, outcome: Outcome) -> None:
        kinds = events.records["kind"]
        is_order = (kinds == PURCHASE) | (kinds == REFUND)
        chosen = np.flatnonzero(is_order & (events.records["status"] == EVENT))  # but for what is nobody's
        records = events.records[chosen]
        self._partition, self._outcome = partition, outcome
        self._rows: Indices = partition.table.customer_ids.rows_of(Events(records, events.texts))
        if len(outcome.owners):
            self._rows[records["customer_size"] == 0] = outcome.owners[outcome.owners >= 0]
        self._places = chosen + np.searchsorted(outcome.swept_before, chosen, "right")
        self._places_end = len(events.records) + len(outcome.swept_before) + 1
        is_purchase = records["kind"] == PURCHASE
        amounts = np.maximum(records["amount_minor"], 0)  # below 0 it is a word, such as `CANCELS`
        self.revenue_minor = np.where(is_purchase, amounts, -amounts)
        self.orders = is_purchase.astype(np.int64)
        self.days = local_days(records["at_ms"], partition.table.timezone)

    def __len__(self) -> int:
        return len(self.days)

    def codes(self, number: int, segmentation: Segmentation) -> Indices:
        """Return in which segment of a segmentation each customer was before the record."""
        now = np.where(self._rows < 0, NO_SEGMENT, codes_of(self._partition, segmentation)[self._rows]).astype(np.int64)
        moves = self._outcome.moves[self._outcome.moves["segmentation"] == number]
        if not len(moves):
            return now
        by_event = (moves["event"] >= 0).astype(np.int64)  # stands behind what silence had done by the same instant
        keys = self._keys(moves["row"], moves["position"], by_event)
        order = np.argsort(keys, kind="stable")
        keys, rows, origins, targets = keys[order], *(moves[name][order] for name in ("row", "from_code", "target"))
        behind = np.searchsorted(keys, self._keys(self._rows, self._places, 1))
        before = np.maximum(behind - 1, 0)
        is_led = (behind > 0) & (rows[before] == self._rows)
        behind = np.minimum(behind, len(rows) - 1)
        is_known = rows[behind] == self._rows
        led = segmentation.roster.codes[targets[before]]
        return np.where(is_led, led, np.where(is_known, origins[behind], now)).astype(np.int64)

    def _keys(self, rows: Indices, places: Indices, by_event: Indices | int) -> Indices:
        return np.asarray((rows * self._places_end + np.maximum(places, 0)) * 2 + by_event)


class DailyTrade:
    """Revenue and orders within one segmentation, by day and segment."""

    def __init__(self) -> None:
        self._sums: dict[int, list[int]] = {}

    def observe(self, sales: Sales, codes: Indices) -> None:
        """Count the sales of a chunk, each for a segment's code."""
        keys = sales.days << _DAY_SHIFT | codes
        found, places = grouped(keys)
        sums = (np.bincount(places, weights=values).tolist() for values in (sales.revenue_minor, sales.orders))
        for key, *values in zip(found.tolist(), *sums, strict=True):
            own = self._sums.setdefault(key, [0, 0])
            for place, value in enumerate(values):
                own[place] += int(value)

    def document(
        self, roster: Roster, totals: Mapping[int, Sequence[int]], span: tuple[int, int]
    ) -> dict[str, list[Any]]:
        """Return the sums as columns, by day; a segment is named by its id, none by null.

        Parameters
        ----------
        totals
            Revenue and orders of each day, which its segments' are made to add up to.
        span
            First and last day; what lies outside of it counts at its ends.
        """
        ids = roster.ids
        by_day: dict[int, dict[int, list[int]]] = {}
        for key in sorted(self._sums):
            by_day.setdefault(key >> _DAY_SHIFT, {})[key & _CODE_MASK] = list(self._sums[key])
        told: dict[tuple[int, int], list[int]] = {}
        for day, own in by_day.items():
            for place in (REVENUE, ORDERS):
                _settle(own, place, totals[day][place])
            for code, values in own.items():
                sums = told.setdefault((min(max(day, span[0]), span[1]), code), [0, 0])
                for place, value in enumerate(values):
                    sums[place] += value
        days = [key for key in sorted(told) if any(told[key])]
        return {
            "day": [day for day, _ in days],
            "segment": [ids.get(code) for _, code in days],
            "revenue_minor": [told[key][REVENUE] for key in days],
            "orders": [told[key][ORDERS] for key in days],
        }

    def state(self) -> list[list[int]]:
        """Return all sums as JSON values, for `load_state`."""
        return [[key, *sums] for key, sums in self._sums.items()]

    def load_state(self, state: Sequence[Sequence[int]]) -> None:
        """Continue from where `state` was taken."""
        self._sums = {key: list(sums) for key, *sums in state}


def _settle(own: dict[int, list[int]], place: int, total: int) -> None:
    """Take what is too much out of a day's segments, in proportion to what they have."""
    excess = sum(sums[place] for sums in own.values()) - total
    if not excess:
        return
    weights = {code: max(sums[place], 0) for code, sums in own.items()}
    if not any(weights.values()):  # nothing was brought that it could be taken out of
        own.setdefault(NO_SEGMENT, [0, 0])[place] -= excess
        return
    for code, part in shared_out(excess, weights):
        own[code][place] -= part
