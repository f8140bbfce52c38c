"""A customer's totals, counted again from its input records alone.

This shares nothing with the worker's folding but the decoded events, so that a fault there does not hide here. It is
plain: sums over the distinct events, and a ledger of orders for what refunds take back.

The worker's memory is bounded, and the recount has to be bounded in the same way:

Days
    The last active day and the 365 before it. Days beyond are forgotten however they arrive.
Orders
    16 a customer. Only purchases and refunds enter the ledger, and they come from one partition of one topic, so
    the order in which they were folded is known.
Event ids
    32 a customer, over all topics. How the topics were interleaved is not known. It matters only where an id comes
    again after about 32 others, or in another topic. A recount takes the two likely orders (by event time, as
    a backlog is merged, and by the records' timestamps, as they arrive one by one); where neither gives what the row
    says, it tries the few other ways in which such repetitions may have been folded. A row that only one of these
    explains is *ambiguous*.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import combinations, islice, pairwise
from typing import Final, NamedTuple

from xxhash import xxh3_64_digest

from stream_app.audit.brute_time import local_day
from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.events import ENGAGEMENT, PURCHASE, Event
from stream_app.core.local_days import UTC

REMEMBERED_IDS: Final = 32
REMEMBERED_ORDERS: Final = 16
REMEMBERED_DAYS: Final = 366
ORDER_HALF_LIFE_DAYS: Final = 60
GAP_MEMORY: Final = 0.95
TOLERANCE: Final = 1e-9
"""Of what is no whole number, as a share of everything that was ever added: it was summed in another order."""
MOST_CHANGES: Final = 3
"""Repetitions of one customer that may have been folded otherwise than in either likely order."""
MOST_ALTERNATIVES: Final = 3_000
"""Ways to fold one customer's repetitions that are tried; bounds the time, as each is a recount."""


class Entry(NamedTuple):
    """An input record of a customer.

    Attributes
    ----------
    stream
        Number of the input topic, its place among the inputs.
    watermark_ms
        The latest event time in the partition's topic so far.
    timestamp_ms
        The record's own.
    timezone
        Of the shop.
    """

    stream: int
    offset: int
    watermark_ms: int
    timestamp_ms: int
    event: Event
    timezone: str = UTC

    @property
    def day(self) -> int:
        """The shop's day that it happened on, by the tz database alone."""
        at_ms = self.event.at_ms
        return at_ms // DAY_MS if self.timezone == UTC else local_day(at_ms, self.timezone)


class Totals(NamedTuple):
    """What a row and a recount are compared by; names and units are the row's. None is what an earlier row lacks."""

    purchases: int = 0
    refunds: int = 0
    engagements: int = 0
    revenue_minor: int = 0
    first_at_ms: int = -NO_TIME
    purchased_at_ms: int = NO_TIME
    ordered_at_ms: int = NO_TIME
    engaged_at_ms: int = NO_TIME
    first_purchased_at_ms: int | None = -NO_TIME
    gaps: int | None = 0
    orders_decayed: float = 0.0
    revenue_decayed: float = 0.0
    log_order_values: float | None = 0.0
    log_gaps: float | None = 0.0
    log_gaps_squared: float | None = 0.0
    order_half_life_days: int = ORDER_HALF_LIFE_DAYS


class Recount(NamedTuple):
    """Totals of some entries, and of some of them the sum of all that was ever added or taken away."""

    totals: Totals
    gross: Mapping[str, float]

    def differences(self, row: Totals) -> list[str]:
        """Return how a row differs, field by field; empty if it does not."""
        return [
            f"{name} {found}, recounted {wanted}"
            for name, found, wanted in zip(Totals._fields, row, self.totals, strict=True)
            if found is not None and wanted is not None and abs(found - wanted) > TOLERANCE * self.gross.get(name, 0.0)
        ]


class Outcome(NamedTuple):
    """How a row compares with its customer's inputs.

    Attributes
    ----------
    differences
        Empty if the row is right.
    duplicates
        Number of repeated records that were not folded.
    order_dependent
        Whether more than one total would be right, for the order between the topics is unknown.
    ambiguous
        Whether the row is right in another than the likely orders only.
    """

    differences: list[str]
    duplicates: int
    order_dependent: bool = False
    ambiguous: bool = False


def compare(entries: Sequence[Entry], row: Totals) -> Outcome:
    """Recount a customer and compare with its row.

    Parameters
    ----------
    entries
        The customer's valid records, those of each topic in the order of the log.
    row
        The customer's totals in the state.
    """
    if len({entry.event.event_id for entry in entries}) == len(entries):
        return Outcome(_differences(entries, row), 0)
    outcomes = []
    for order in likely_orders(entries):
        folded = distinct(order)
        differences = _differences([entry for entry, fold in zip(order, folded, strict=True) if fold], row)
        outcomes.append((differences, order, folded))
        if not differences:
            break
    differences, order, folded = outcomes[-1] if not outcomes[-1][0] else outcomes[0]
    duplicates = folded.count(False)
    free = uncertain(order)
    if not differences or not free:
        return Outcome(differences, duplicates, bool(free))
    for other in alternatives(order, folded, free, row):
        if not _differences([entry for entry, fold in zip(order, other, strict=True) if fold], row):
            return Outcome([], other.count(False), True, True)
    return Outcome(differences, duplicates, True)


def _differences(entries: Iterable[Entry], row: Totals) -> list[str]:
    return recount(entries, row.order_half_life_days).differences(row)


def recount(entries: Iterable[Entry], order_half_life_days: int = ORDER_HALF_LIFE_DAYS) -> Recount:
    """Return the totals of distinct entries; purchases and refunds in the order of the log."""
    purchases = refunds = engagements = revenue_minor = 0
    first_at_ms = first_purchased_at_ms = -NO_TIME
    purchased_at_ms = ordered_at_ms = engaged_at_ms = NO_TIME
    orders: list[_Change] = []
    active_days: set[int] = set()
    ledger = _Ledger()
    for entry in entries:
        event = entry.event
        kind, at_ms = event.kind, event.at_ms
        first_at_ms = min(first_at_ms, at_ms)
        if kind == ENGAGEMENT:
            engagements += 1
            engaged_at_ms = max(engaged_at_ms, at_ms)
            active_days.add(entry.day)
            continue
        ordered_at_ms = max(ordered_at_ms, at_ms)
        if kind == PURCHASE:
            purchases += 1
            revenue_minor += event.amount_minor
            first_purchased_at_ms = min(first_purchased_at_ms, at_ms)
            purchased_at_ms = max(purchased_at_ms, at_ms)
            active_days.add(entry.day)
            orders.append(_Change(at_ms, 1, event.amount_minor, _log_of(event.amount_minor)))
        else:
            refunds += 1
            revenue_minor -= event.amount_minor
        for correction in ledger.enter(event):
            purchases += correction.orders
            orders.append(correction)
    gaps, log_gaps, log_gaps_squared = _gaps(active_days)
    sums, gross = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
    for order in orders:
        weight = 2.0 ** ((order.at_ms - ordered_at_ms) / (order_half_life_days * DAY_MS))
        for index, part in enumerate((order.orders * weight, order.minor * weight, order.logs)):
            sums[index] += part
            gross[index] += abs(part)
    orders_decayed, revenue_decayed, log_order_values = sums
    totals = Totals(
        purchases, refunds, engagements, revenue_minor, first_at_ms, purchased_at_ms, ordered_at_ms, engaged_at_ms,
        first_purchased_at_ms, gaps, orders_decayed, revenue_decayed, log_order_values, log_gaps, log_gaps_squared,
        order_half_life_days,
    )  # fmt: skip
    names = ("orders_decayed", "revenue_decayed", "log_order_values", "log_gaps", "log_gaps_squared")
    return Recount(totals, dict(zip(names, (*gross, 1 + log_gaps, 1 + log_gaps_squared), strict=True)))


def _gaps(days: set[int]) -> tuple[int, float, float]:
    """Return the number of gaps between active days, and the weighted sums of their logarithms and their squares."""
    remembered = sorted(day for day in days if max(days) - day < REMEMBERED_DAYS)
    logs = [math.log(later - earlier) for earlier, later in pairwise(remembered)]
    weights = [GAP_MEMORY**age for age in reversed(range(len(logs)))]
    return (
        len(logs),
        sum(weight * log for weight, log in zip(weights, logs, strict=True)),
        sum(weight * log**2 for weight, log in zip(weights, logs, strict=True)),
    )


def _log_of(minor: float) -> float:
    return math.log(max(minor, 1))


class _Change(NamedTuple):
    """What an event adds to a customer's orders or takes away: how many, minor units, logarithms of their values."""

    at_ms: int
    orders: int
    minor: int
    logs: float


class _Ledger:
    """The orders that a row remembers: the 16 latest by instant, then by digest.

    For each order: the instant of its last completion (of its last refund, if no completion is known), what was paid
    and returned in minor units, and the number of completions.
    """

    def __init__(self) -> None:
        self._orders: dict[str, tuple[int, int, int, int]] = {}

    def enter(self, event: Event) -> list[_Change]:
        """Enter a purchase or refund; return what refunds change."""
        order_id, at_ms = event.order_id, event.at_ms
        known = self._orders.get(order_id)
        completes = event.kind == PURCHASE
        paid, returned = (event.amount_minor, 0) if completes else (0, event.amount_minor)
        if known is None:
            entry = at_ms, paid, returned, int(completes)
        else:
            known_at_ms, known_paid, known_returned, completions = known
            if bool(completions) == completes:
                at_ms = max(at_ms, known_at_ms)
            elif completions:
                at_ms = known_at_ms
            entry = at_ms, known_paid + paid, known_returned + returned, completions + completes
        self._orders[order_id] = entry
        if len(self._orders) > REMEMBERED_ORDERS:
            oldest = min(self._orders, key=lambda order: (self._orders[order][0], xxh3_64_digest(order.encode())))
            del self._orders[oldest]
        changes = [] if known is None else [_taken_back(known, 1)]
        changes.append(_taken_back(entry, -1))
        return [change for change in changes if change.minor or change.orders]


def _taken_back(entry: tuple[int, int, int, int], sign: int) -> _Change:
    """Return what an order's refunds undo of it, times `sign`: money up to what was paid, and the order if all was."""
    at_ms, paid, returned, completions = entry
    if not completions:
        return _Change(at_ms, 0, sign * returned, 0.0)
    undone = completions if returned and returned >= paid else 0
    logs = _log_of(paid / completions) - _log_of((paid - returned) / completions)
    return _Change(at_ms, sign * undone, sign * min(paid, returned), sign * completions * logs)


# --- repetitions ------------------------------------------------------------------------------------------------


def likely_orders(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Give the entries in the orders in which they were folded most likely; each topic stays in order."""
    numbers = sorted({entry.stream for entry in entries})
    streams = [[entry for entry in entries if entry.stream == number] for number in numbers]
    yield list(merge(*streams, key=lambda entry: entry.watermark_ms))
    yield list(merge(*streams, key=lambda entry: entry.timestamp_ms))


def distinct(order: Sequence[Entry]) -> list[bool]:
    """Return which entries are folded: those whose id is not among the last 32 folded."""
    recent: deque[str] = deque(maxlen=REMEMBERED_IDS)
    folded = []
    for entry in order:
        event_id = entry.event.event_id
        fold = event_id not in recent
        if fold:
            recent.append(event_id)
        folded.append(fold)
    return folded


def uncertain(order: Sequence[Entry]) -> list[int]:
    """Return indices of the entries that are folded or not depending on how the topics were interleaved.

    Between two records of a topic lie at least those of the same topic that are certainly folded, and at most all of
    these and all of the other topics. If 32 lie between them for certain, both are folded; if they cannot, one is.
    """
    places: dict[str, list[int]] = {}
    for index, entry in enumerate(order):
        places.setdefault(entry.event.event_id, []).append(index)
    streams = [{order[index].stream for index in indices} for indices in places.values()]
    both = {event_id for event_id, seen in zip(places, streams, strict=True) if len(seen) > 1}
    sizes = Counter(entry.stream for entry in order)
    rank: list[int] = []
    certain: list[int] = []
    count: Counter[int] = Counter()
    firsts: Counter[int] = Counter()
    for index, entry in enumerate(order):  # how many came before in the same topic, and how many for certain
        rank.append(count[entry.stream])
        certain.append(firsts[entry.stream])
        count[entry.stream] += 1
        event_id = entry.event.event_id
        firsts[entry.stream] += event_id not in both and places[event_id][0] == index
    free: list[int] = []
    for event_id, indices in places.items():
        if event_id in both:
            free += indices
            continue
        for before, index in pairwise(indices):
            first = indices[0]
            most = rank[index] - rank[first] - 1 + len(order) - sizes[order[index].stream]
            least = certain[index] - certain[before] - (before == first)
            if least < REMEMBERED_IDS <= most:
                free.append(index)
    return sorted(free)


def alternatives(
    order: Sequence[Entry], folded: Sequence[bool], free: Sequence[int], row: Totals
) -> Iterator[list[bool]]:
    """Give other ways to fold the uncertain entries, fewest changes first; each id is folded at least once.

    Refunds, engagements and revenue are plain sums, so whether a way leads to the row's is known before a recount.
    """
    missing = [row.refunds, row.engagements, row.revenue_minor]
    for entry, fold in zip(order, folded, strict=True):
        if fold:
            _subtract(missing, _summands(entry))
    gains = {index: tuple(-part if folded[index] else part for part in _summands(order[index])) for index in free}
    ids = {order[index].event.event_id for index in free}

    def changed() -> Iterator[list[bool] | None]:
        for changes in range(1, MOST_CHANGES + 1):
            for chosen in combinations(free, changes):
                left = list(missing)
                for index in chosen:
                    _subtract(left, gains[index])
                if any(left):
                    yield None
                    continue
                other = list(folded)
                for index in chosen:
                    other[index] = not other[index]
                held = ids <= {entry.event.event_id for entry, fold in zip(order, other, strict=True) if fold}
                yield other if held else None

    return (other for other in islice(changed(), MOST_ALTERNATIVES) if other is not None)


def _summands(entry: Entry) -> tuple[int, ...]:
    event = entry.event
    if event.kind == ENGAGEMENT:
        return 0, 1, 0
    return (0, 0, event.amount_minor) if event.kind == PURCHASE else (1, 0, -event.amount_minor)


def _subtract(sums: list[int], parts: Iterable[int]) -> None:
    for index, part in enumerate(parts):
        sums[index] -= part
