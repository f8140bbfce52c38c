"""A customer's totals, counted again from its input records alone.

This shares nothing with the worker's folding but the decoded events, so that a fault there does not hide here. It is
plain: what was said of each order is kept as it was said, and at the end everything is summed up.

The worker's memory is bounded, and the recount has to be bounded in the same way:

Days
    The last active day and the 365 before it. Days beyond are forgotten however they arrive.
Orders
    16 a customer, the latest by when they were stated first; then 240 ids, by which a record about an older order is
    known to be too old.
Event ids
    255 of refunds; of engagements those of a week of the customer's own time, at least 24 and at most 256.

Refunds and orders come from one partition of one topic, and engagements from one of another, and neither has a part in
what is remembered of the other: so the order in which a customer's records were folded is known wherever it matters.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import pairwise
from typing import Final, NamedTuple

from xxhash import xxh3_64_digest

from stream_app.audit.brute_time import local_day
from stream_app.core.clock import DAY_MS, MINUTE_MS, NO_TIME
from stream_app.core.events import ALL_LEFT, CANCELS, ENGAGEMENT, PURCHASE, Event
from stream_app.core.local_days import UTC
from stream_app.core.trust import ANEW_MS, GAP_MS

ORDER_COMPLETED: Final = "order_completed"
ORDER_UPDATED: Final = "order_updated"
REMEMBERED_ORDERS: Final = 16
REMEMBERED_ORDER_IDS: Final = 240
"""Beyond those that are remembered as a whole."""
REMEMBERED_REFUNDS: Final = 255
REMEMBERED_ENGAGEMENTS: Final = 256
REMEMBERED_ENGAGEMENTS_LEAST: Final = 24
REMEMBERED_ENGAGEMENT_DAYS: Final = 7
REMEMBERED_DAYS: Final = 366
REMEMBERED_ENGAGED_DAYS: Final = 182
ORDER_HALF_LIFE_DAYS: Final = 60
GAP_MEMORY: Final = 0.95
MONTHS_MS: Final = 60 * DAY_MS
"""A customer who leads all others of a topic by this much has a wrong date."""
QUEUED_MS: Final = 60 * MINUTE_MS
"""How long a record may wait in a queue while those of another topic pass it: after a kill, or under load."""
TOLERANCE: Final = 1e-9
"""Of what is no whole number, as a share of everything that was ever added: it was summed in another order."""
NEGLIGIBLE: Final = 1e-30
"""Orders or minor units: what is left of an order of 1970 may be 10⁻¹⁰⁰ or nothing."""


class Entry(NamedTuple):
    """An input record of a customer.

    Attributes
    ----------
    stream
        Number of the input topic, its place among the inputs.
    watermark_ms
        The latest event time in the partition's topic so far that is believed, see `stream_app.core.trust`.
    timestamp_ms
        The record's own.
    timezone
        Of the shop.
    gap_ms
        How far one record may lead its topic's time.
    """

    stream: int
    offset: int
    watermark_ms: int
    timestamp_ms: int
    event: Event
    timezone: str = UTC
    gap_ms: int = GAP_MS

    @property
    def day(self) -> int:
        """The shop's day that it happened on, by the tz database alone."""
        return day_of(self.event.at_ms, self.timezone)


def day_of(at_ms: int, timezone: str) -> int:
    """Return the day of a zone that an instant is of, by the tz database alone."""
    return at_ms // DAY_MS if timezone == UTC else local_day(at_ms, timezone)


class Totals(NamedTuple):
    """What a row and a recount are compared by; names and units are the row's.

    None is what an earlier row lacks, or what a recount leaves open: where an order that was stated proves to be older,
    the row may no longer know what other days there were, or what else happened on that one.
    """

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
            if found is not None
            and wanted is not None
            and abs(found - wanted) > TOLERANCE * self.gross.get(name, 0.0) + NEGLIGIBLE
        ]


class Outcome(NamedTuple):
    """How a row compares with its customer's inputs.

    Attributes
    ----------
    differences
        Empty if the row is right.
    duplicates
        Number of repeated records that were not folded.
    """

    differences: list[str]
    duplicates: int


def compare(entries: Sequence[Entry], row: Totals) -> Outcome:
    """Recount a customer and compare with its row.

    Parameters
    ----------
    entries
        The customer's valid records, those of each topic in the order of the log.
    row
        The customer's totals in the state.
    """
    life = _Life()
    duplicates = [life.take(entry) for entry in entries].count(False)
    return Outcome(life.recount(row.order_half_life_days).differences(row), duplicates)


def knows_order(entries: Iterable[Entry], order_id: str) -> bool:
    """Return whether an order is known of a customer once these records are folded, each topic's in order."""
    life = _Life()
    for entry in entries:
        life.take(entry)
    return life.knows(order_id)


def recount(entries: Iterable[Entry], order_half_life_days: int = ORDER_HALF_LIFE_DAYS) -> Recount:
    """Return the totals of entries, those of each topic in the order of the log."""
    life = _Life()
    for entry in entries:
        life.take(entry)
    return life.recount(order_half_life_days)


def is_misdated(entries: Sequence[Entry]) -> bool:
    """Return whether a customer's record is dated far from the next ones: what was known then is left open.

    It led its topic's time without being followed, by months or with earlier ones after it; or it is a year late.
    """
    if any(not -ANEW_MS < entry.event.at_ms - entry.watermark_ms < MONTHS_MS for entry in entries):
        return True
    return any(
        other.event.at_ms < entry.event.at_ms - entry.gap_ms and _may_follow(other, entry)
        for entry in entries
        if entry.event.at_ms > entry.watermark_ms + entry.gap_ms
        for other in entries
    )


def _may_follow(other: Entry, entry: Entry) -> bool:
    """Return whether a record may have been folded after another one.

    Within a topic offsets say so. Of two topics it is about as they were written, but for records in queues.
    """
    if other.stream == entry.stream:
        return other.offset > entry.offset
    return other.timestamp_ms > entry.timestamp_ms - QUEUED_MS


def distinct(order: Sequence[Entry]) -> list[bool]:
    """Return which entries are folded: those that say something that the row does not hold yet."""
    life = _Life()
    return [life.take(entry) for entry in order]


def acts_of(order: Sequence[Entry]) -> list[tuple[Entry, str]]:
    """Return what counts as an act of a customer, with its type: an order once, as it was first stated.

    What is stated of it later is an update if it changes what the order is worth or when it was. A return of an order
    that nobody has stated is no act as long as the customer has done nothing else.
    """
    life = _Life()
    found = []
    for entry in order:
        event = entry.event
        before, was_cancelled = life.state_of(event), life.is_cancelled(event.order_id)
        if not life.take(entry) or (event.amount_minor == CANCELS and was_cancelled):
            continue
        if event.kind == PURCHASE:
            if before is not None and before == life.state_of(event):
                continue
            found.append((entry, ORDER_COMPLETED if before is None else ORDER_UPDATED))
        elif event.kind == ENGAGEMENT or life.has_acted:
            found.append((entry, event.type))
    return found


def likely_orders(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Give the entries in the orders in which they were folded most likely; each topic stays in order.

    By event time, as a backlog is merged, and by the records' timestamps. What was known at an instant depends on it.
    """
    numbers = sorted({entry.stream for entry in entries})
    streams = [[entry for entry in entries if entry.stream == number] for number in numbers]
    yield list(merge(*streams, key=lambda entry: entry.watermark_ms))
    yield list(merge(*streams, key=lambda entry: entry.timestamp_ms))


# --- what there is to count ---------------------------------------------------------------------------------------


class _Order:
    """All that was said of an order."""

    def __init__(self, order_id: str) -> None:
        self.key = xxh3_64_digest(order_id.encode())
        self.statements: list[Event] = []
        self.returns: list[Event] = []

    @property
    def at_ms(self) -> int:
        """When it was stated first; of one that nobody has stated, when it was last returned or cancelled."""
        if self.statements:
            return min(event.at_ms for event in self.statements)
        return max(event.at_ms for event in self.returns)

    @property
    def latest_ms(self) -> int:
        """When it was stated last, or returned: it counted as of then until an earlier time was stated."""
        return max(event.at_ms for event in self.statements or self.returns)

    @property
    def said_ms(self) -> int:
        """When anything was said of it last."""
        return max(event.at_ms for event in (*self.statements, *self.returns))

    @property
    def counts(self) -> bool:
        """Whether it was stated, or money has gone back for it: then totals are as of what was said of it last."""
        return bool(self.statements or any(event.amount_minor > 0 for event in self.returns))

    @property
    def refunds(self) -> int:
        """How often something was returned."""
        return sum(event.amount_minor != CANCELS for event in self.returns)

    @property
    def worth(self) -> tuple[int, int]:
        """Whether it is one, and the minor units that are left of it."""
        said = {event.amount_minor for event in self.returns}
        if said & {CANCELS, ALL_LEFT}:
            return 0, 0
        returned = sum(event.amount_minor for event in self.returns)
        if not self.statements:  # the money has gone back, whatever it was for
            return 0, -returned
        _, minor = max((event.stated_at_ms, event.amount_minor) for event in self.statements)
        left = max(minor - returned, 0)
        return int(left > 0 or not returned), left

    def says(self, event: Event) -> bool:
        """Return whether a statement or cancellation says what is not said yet, or says it later than anything else."""
        if event.kind != PURCHASE:
            return all(known.amount_minor != CANCELS for known in self.returns)
        if not self.statements:
            return True
        latest = max((known.stated_at_ms, known.amount_minor) for known in self.statements)
        return event.at_ms < self.at_ms or (event.stated_at_ms, event.amount_minor) > latest


class _Life:
    """A customer's records, taken one after the other."""

    def __init__(self) -> None:
        self._orders: dict[str, _Order] = {}
        self._old: list[_Order] = []
        self._too_old: deque[str] = deque(maxlen=REMEMBERED_ORDER_IDS)
        self._refund_ids: deque[str] = deque(maxlen=REMEMBERED_REFUNDS)
        self._engaged: deque[tuple[str, int]] = deque(maxlen=REMEMBERED_ENGAGEMENTS)
        self._engaged_ms: list[int] = []
        self._returned_late: list[int] = []
        self._said_ms = NO_TIME
        self._timezone = UTC
        self._lost_days = False

    def take(self, entry: Entry) -> bool:
        """Take a record in; return whether it says something new."""
        self._timezone, event = entry.timezone, entry.event
        return self._engage(event) if event.kind == ENGAGEMENT else self._order(event)

    def state_of(self, event: Event) -> tuple[int, int, int] | None:
        """Return when the order of a statement was stated first and what is left of it; None if nobody has."""
        order = self._orders.get(event.order_id) if event.kind == PURCHASE else None
        return None if order is None or not order.statements else (order.at_ms, *order.worth)

    def is_cancelled(self, order_id: str) -> bool:
        """Return whether an order is known to be cancelled."""
        order = self._orders.get(order_id)
        return order is not None and any(event.amount_minor == CANCELS for event in order.returns)

    def knows(self, order_id: str) -> bool:
        """Return whether anything is remembered of an order, if only its id."""
        return order_id in self._orders or order_id in self._too_old

    @property
    def has_acted(self) -> bool:
        """Whether the customer has done anything but return orders that nobody has stated."""
        return bool(self._engaged_ms or self.stated())

    def _day(self, at_ms: int) -> int:
        return day_of(at_ms, self._timezone)

    def stated(self) -> list[_Order]:
        """Return the orders that anybody has stated."""
        return [order for order in (*self._old, *self._orders.values()) if order.statements]

    def _engage(self, event: Event) -> bool:
        if any(event.event_id == event_id for event_id, _ in self._engaged):
            return False
        day = self._day(max([event.at_ms, *self._engaged_ms[-1:]]))
        while len(self._engaged) >= REMEMBERED_ENGAGEMENTS_LEAST and self._is_past(day):
            self._engaged.popleft()
        self._engaged.append((event.event_id, day))
        self._engaged_ms.append(event.at_ms)
        self._engaged_ms.sort()
        return True

    def _is_past(self, day: int) -> bool:
        """Return whether the oldest id of an engagement is of more than a week before a day."""
        return day - self._engaged[0][1] > REMEMBERED_ENGAGEMENT_DAYS

    def _order(self, event: Event) -> bool:
        is_refund = event.kind != PURCHASE and event.amount_minor != CANCELS
        if is_refund and event.event_id in self._refund_ids:
            return False
        order = self._orders.get(event.order_id)
        if order is None and event.order_id in self._too_old:
            if not is_refund or event.amount_minor == ALL_LEFT:
                return False
            self._refund_ids.append(event.event_id)
            self._returned_late.append(event.amount_minor)
            return True
        if order is None:
            order = self._orders[event.order_id] = _Order(event.order_id)
        elif not is_refund and not order.says(event) and not self._is_later(order, event):
            return False
        if is_refund:
            self._refund_ids.append(event.event_id)
        elif event.kind == PURCHASE and order.statements and event.at_ms < order.at_ms:
            self._leave(self._day(order.at_ms))
        (order.statements if event.kind == PURCHASE else order.returns).append(event)
        if order.counts:
            self._said_ms = max(self._said_ms, order.said_ms)
        self._forget()
        return True

    def _leave(self, day: int) -> None:
        """Note whether the row cannot know what days are left once an order leaves one.

        Those out of reach of that day are lost for good; and whether anything else happened on it is not known of
        engagements before the window of their days, nor of orders that have left the ledger.
        """
        ordered = {self._day(order.at_ms) for order in self.stated()}
        engaged = {self._day(at_ms) for at_ms in self._engaged_ms}
        left = {self._day(order.at_ms) for order in self._old}
        is_unknown = day in left or (day in engaged and max(engaged) - day >= REMEMBERED_ENGAGED_DAYS)
        self._lost_days |= is_unknown or day - min(ordered | engaged) >= REMEMBERED_DAYS

    def _is_later(self, order: _Order, event: Event) -> bool:
        """Return whether a restatement is later than every statement of the orders.

        Of an order that nobody has stated a cancellation counts as of the latest time that it was said.
        """
        return event.at_ms > (self._said_ms if order.statements else order.at_ms)

    def _forget(self) -> None:
        if len(self._orders) <= REMEMBERED_ORDERS:
            return
        oldest = min(self._orders, key=lambda order_id: (self._orders[order_id].at_ms, self._orders[order_id].key))
        order = self._orders.pop(oldest)
        self._old.append(order)
        if order.statements:
            self._too_old.append(oldest)

    def recount(self, order_half_life_days: int) -> Recount:
        """Return what all records add up to."""
        known = [*self._old, *self._orders.values()]
        orders = [order for order in known if order.counts]
        ordered, engaged = [order.at_ms for order in orders if order.statements], self._engaged_ms
        gaps, log_gaps, log_gaps_squared = _gaps({self._day(at_ms) for at_ms in (*ordered, *engaged)})
        sums, gross = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
        for order in orders:
            weight, heaviest = (
                2.0 ** ((at_ms - self._said_ms) / (order_half_life_days * DAY_MS))
                for at_ms in (order.at_ms, order.latest_ms)
            )
            one, left = order.worth
            most = max(event.amount_minor for event in (*order.statements, *order.returns))
            times = len(order.statements) + len(order.returns)
            parts = (one * weight, heaviest), (left * weight, most * heaviest), (_log_of(left), _log_of(most))
            for index, (part, largest) in enumerate(parts):
                sums[index] += part
                gross[index] += times * largest
        totals = Totals(
            purchases=sum(order.worth[0] for order in orders),
            refunds=sum(order.refunds for order in known) + len(self._returned_late),
            engagements=len(engaged),
            revenue_minor=sum(order.worth[1] for order in orders) - sum(self._returned_late),
            first_at_ms=min((*ordered, *engaged), default=-NO_TIME),
            purchased_at_ms=max(ordered, default=NO_TIME),
            ordered_at_ms=self._said_ms,
            engaged_at_ms=max(engaged, default=NO_TIME),
            first_purchased_at_ms=min(ordered, default=-NO_TIME),
            gaps=None if self._lost_days else gaps,
            orders_decayed=sums[0],
            revenue_decayed=sums[1],
            log_order_values=sums[2],
            log_gaps=None if self._lost_days else log_gaps,
            log_gaps_squared=None if self._lost_days else log_gaps_squared,
            order_half_life_days=order_half_life_days,
        )
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
