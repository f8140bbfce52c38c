"""What happened day by day, who is in the segments, and what a sample of customers did: the content of `history.json`.

`summary.json` counts a whole run; pages compare periods. So moves are added up by day, ends, cause and change, with the
net revenue that those customers had brought before, and revenue and orders by day, also by segment. A day is one of the
shop, and a move counts on the day on which it became true. All of it is a few numbers a day, whatever the number of
customers. The population at the end is in it, too: the grid of recency and frequency, how segments overlap,
and a bounded list of customers.

Times in doubt (`stream_app.core.trust`) get no days of their own, for which pages would draw decades: what is dated
after the last day that time has reached counts on that day, and what is dated before the first day on the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from stream_app.core.arrays import grouped
from stream_app.core.clock import format_instant
from stream_app.core.events import ENGAGEMENT, PURCHASE, REFUND, Events
from stream_app.core.local_days import FIRST_DAY, LAST_DAY, UTC, local_day, local_days
from stream_app.core.partition import Partition
from stream_app.core.processor import Outcome
from stream_app.core.segmentation import NEVER_MS
from stream_app.core.segments import Roster
from stream_app.native.structures import EVENT
from stream_app.replay.acts import ActsSample
from stream_app.replay.listing import listing_document
from stream_app.replay.move_keys import PERIOD_SHIFT, move_keys, read_move_key
from stream_app.replay.overlaps import overlaps_document
from stream_app.replay.rfm import rfm_document
from stream_app.replay.shares import shared_out
from stream_app.replay.spreads import members_document, population_of
from stream_app.replay.trade import DailyTrade, Sales

Span: TypeAlias = tuple[int, int]
"""The first and the last day that there is a history of."""
ALL_DAYS: Final[Span] = (FIRST_DAY, LAST_DAY)
_REST_MASK: Final = (1 << PERIOD_SHIFT) - 1
_REVENUE, _ORDERS, _ENGAGEMENTS = range(3)


class History:
    """All that `history.json` says of a run.

    Parameters
    ----------
    names
        Of the segmentations.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._flows = {name: DailyFlows() for name in names}
        self._trade = {name: DailyTrade() for name in names}
        self._events = DailyEvents()
        self._sample = ActsSample()

    def observe_moves(self, name: str, moves: np.ndarray, roster: Roster, partition: Partition) -> None:
        """Count moves within a segmentation, `MOVE_DTYPE`."""
        self._flows[name].observe(moves, roster, partition.table.timezone)

    def observe_events(self, events: Events, outcome: Outcome, partition: Partition) -> None:
        """Count events and what came of them; profiles do not count as events, nor do records without a customer."""
        is_act = (events.records["kind"] <= ENGAGEMENT) & (events.records["status"] == EVENT)
        acts = events.records if is_act.all() else events.records[is_act]
        self._events.observe(acts, partition.table.timezone)
        self._sample.observe(acts)
        sales = Sales(partition, events, outcome)
        if not len(sales):
            return
        for number, segmentation in enumerate(partition.segmentations):
            self._trade[segmentation.name].observe(sales, sales.codes(number, segmentation))

    def settle(self, partition: Partition) -> None:
        """Make the days add up to what the customers have brought so far, see `DailyEvents`."""
        _settle(self._events, partition)

    def document(self, partition: Partition) -> dict[str, Any]:
        """Return the document, as of now."""
        events = deepcopy(self._events)  # so that what follows is the same whether somebody has looked or not
        _settle(events, partition)
        first_ms, timezone = _first_ms(partition), partition.table.timezone
        span = ALL_DAYS
        if first_ms is not None:
            span = local_day(first_ms, timezone), local_day(max(partition.clock), timezone)
        totals, is_empty = events.totals(), not len(partition.table)
        population = population_of(partition)
        return {
            "days": events.document(span),
            "events": self._sample.document(),
            "customers": listing_document(partition),
            "rfm": rfm_document(partition),
            "overlaps": overlaps_document(partition),
            "segmentations": {
                segmentation.name: {
                    "flows": self._flows[segmentation.name].document(segmentation.roster, span),
                    "trade": self._trade[segmentation.name].document(segmentation.roster, totals, span),
                    "members": {} if is_empty else members_document(partition, segmentation, population),
                }
                for segmentation in partition.segmentations
            },
        }

    def state(self) -> dict[str, Any]:
        """Return all counts as JSON values, for `load_state`."""
        flows = {name: flows.state() for name, flows in self._flows.items()}
        trade = {name: trade.state() for name, trade in self._trade.items()}
        return {"days": self._events.state(), "events": self._sample.state(), "flows": flows, "trade": trade}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from where `state` was taken."""
        self._events.load_state(state["days"])
        self._sample.load_state(state["events"])
        for name, flows in self._flows.items():
            flows.load_state(state["flows"][name])
        for name, trade in self._trade.items():
            trade.load_state(state["trade"][name])


class DailyFlows:
    """Moves within one segmentation, by day, ends, cause and change."""

    def __init__(self) -> None:
        self._customers: Counter[int] = Counter()
        self._revenue_minor: Counter[int] = Counter()

    def observe(self, moves: np.ndarray, roster: Roster, timezone: str) -> None:
        """Count moves, `MOVE_DTYPE`.

        Parameters
        ----------
        moves, roster
            Of the segmentation.
        timezone
            Whose days.
        """
        codes = roster.codes.astype(np.int64)[moves["target"]]
        keys = move_keys(local_days(moves["effective_at_ms"], timezone), codes, moves)
        found, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
        is_first = moves["after"]["first_at_ms"] == moves["effective_at_ms"]  # then there is no state before
        revenue = _sums(places, np.where(is_first, 0, moves["before"]["revenue_minor"]))
        for key, count, minor in zip(found.tolist(), counts.tolist(), revenue, strict=True):
            self._customers[key] += count
            self._revenue_minor[key] += minor

    def document(self, roster: Roster, span: Span = ALL_DAYS) -> dict[str, list[Any]]:
        """Return the counts as columns, by day; a segment is named by its id, none by null."""
        ids = roster.ids
        customers, revenue_minor = (_within(span, counts) for counts in (self._customers, self._revenue_minor))
        keys = sorted(customers)
        told = [read_move_key(key) for key in keys]
        return {
            "day": [each.period for each in told],
            "from": [ids.get(each.from_code) for each in told],
            "to": [ids.get(each.target) for each in told],
            "cause": [each.cause for each in told],
            "change": [each.change for each in told],
            "customers": [customers[key] for key in keys],
            "revenue_minor": [revenue_minor[key] for key in keys],
        }

    def state(self) -> list[list[int]]:
        """Return all counts as JSON values, for `load_state`."""
        return [[key, count, self._revenue_minor[key]] for key, count in self._customers.items()]

    def load_state(self, state: Sequence[Sequence[int]]) -> None:
        """Continue from where `state` was taken."""
        for key, count, minor in state:
            self._customers[key], self._revenue_minor[key] = count, minor


class DailyEvents:
    """Revenue, orders and engagement by day.

    Records that came twice and orders that were updated, cancelled or returned are in the events, but not in what they
    add up to: `settle` takes the difference out of the days since it was called last.
    """

    def __init__(self) -> None:
        self._days: dict[int, list[int]] = {}
        self._open: dict[int, list[int]] = {}
        self._told = [0, 0]

    def observe(self, records: np.ndarray, timezone: str = UTC) -> None:
        """Count events, `EVENT_DTYPE`, by the days of a time zone."""
        if not len(records):
            return
        kinds = records["kind"]
        signs = (kinds == PURCHASE).astype(np.int64) - (kinds == REFUND)
        found, places = grouped(local_days(records["at_ms"], timezone))
        amounts = np.maximum(records["amount_minor"], 0)  # below 0 it is a word, such as `CANCELS`
        sums = [_sums(places, part) for part in (signs * amounts, kinds == PURCHASE, kinds == ENGAGEMENT)]
        for day, *counts in zip(found.tolist(), *sums, strict=True):
            own = self._days.setdefault(day, [0, 0, 0])
            for place, count in enumerate(counts):
                own[place] += count
            since = self._open.setdefault(day, [0, 0])
            for place in (_REVENUE, _ORDERS):
                since[place] += counts[place]
                self._told[place] += counts[place]

    def settle(self, revenue_minor: int, orders: int) -> None:
        """Make the days add up to the revenue and the orders that all customers have brought so far."""
        self._spread(_REVENUE, self._told[_REVENUE] - revenue_minor)
        placed = sum(counts[_ORDERS] for counts in self._open.values())
        self._spread(_ORDERS, min(self._told[_ORDERS] - orders, placed))  # no day has fewer orders than none
        self._open.clear()

    def totals(self) -> dict[int, list[int]]:
        """Return revenue and orders by day."""
        return {day: [counts[_REVENUE], counts[_ORDERS]] for day, counts in self._days.items()}

    def document(self, span: Span = ALL_DAYS) -> dict[str, Any]:
        """Return the days as columns."""
        columns = [
            _within(span, {day << PERIOD_SHIFT: counts[place] for day, counts in self._days.items()})
            for place in (_REVENUE, _ORDERS, _ENGAGEMENTS)
        ]
        keys = sorted(columns[_REVENUE])
        names = ("revenue_minor", "orders", "engagements")
        return {"day": [key >> PERIOD_SHIFT for key in keys]} | {
            name: [column[key] for key in keys] for name, column in zip(names, columns, strict=True)
        }

    def state(self) -> dict[str, Any]:
        """Return all counts as JSON values, for `load_state`."""
        return {
            "days": [[day, *counts] for day, counts in self._days.items()],
            "open": [[day, *counts] for day, counts in self._open.items()],
            "told": self._told,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from where `state` was taken."""
        self._days = {day: counts for day, *counts in state["days"]}
        self._open = {day: counts for day, *counts in state["open"]}
        self._told = list(state["told"])

    def _spread(self, place: int, excess: int) -> None:
        """Take the excess out of the open days, in proportion to what they have."""
        weights = {day: max(counts[place], 0) for day, counts in sorted(self._open.items())}
        if not excess or not any(weights.values()):
            return
        for day, part in shared_out(excess, weights):
            self._days[day][place] -= part
        self._told[place] -= excess


def _settle(events: DailyEvents, partition: Partition) -> None:
    activity = partition.table.activity
    events.settle(int(activity["revenue_minor"].sum()), int(activity["purchases"].sum()))


def _within(span: Span, counts: Mapping[int, int]) -> dict[int, int]:
    """Return counts by keys that begin with days, with those of days outside of a span at its ends."""
    first, last = span
    found: dict[int, int] = {}
    for key, count in counts.items():
        day = min(max(key >> PERIOD_SHIFT, first), last)
        own = day << PERIOD_SHIFT | key & _REST_MASK
        found[own] = found.get(own, 0) + count
    return found


def _sums(places: npt.NDArray[np.intp], values: np.ndarray) -> list[int]:
    """Return the sum of the values at each place; exact while it stays below 2^53."""
    return [int(total) for total in np.bincount(places, weights=values).tolist()]


def _first_ms(partition: Partition) -> int | None:
    """Return the instant of the first event that is believed; None if there is none."""
    first_ms = int(partition.table.activity["first_at_ms"].min(initial=NEVER_MS))
    if first_ms == NEVER_MS:  # nobody, or only customers with nothing but profiles
        return None
    return partition.trust.begun_ms if partition.trust.behind_in_doubt else first_ms


def period(partition: Partition) -> dict[str, Any]:
    """Return the instants of the first and last event that is believed, and how many days of the shop that is."""
    first_ms, last_ms = _first_ms(partition), partition.clock.watermark_ms
    if first_ms is None:
        return {"from": None, "to": None, "days": 0}
    timezone = partition.table.timezone
    return {
        "from": format_instant(first_ms),
        "to": format_instant(last_ms),
        "days": local_day(last_ms, timezone) - local_day(first_ms, timezone) + 1,
    }
