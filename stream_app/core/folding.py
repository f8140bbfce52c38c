"""Folding: how an event changes a customer's totals. The order of arrival does not matter.

Every total is a sum over distinct events of something that depends on that event alone, kept as of the
latest instant seen; a late event is added with the weight it would have had by then. Two things are not plain
sums, and are made order-free as follows.

Distinct days
    A bit a day says which days count already, so a day counts once whichever of its events comes first.
Refunds
    The ledger keeps, for each recent order, what was completed and what was refunded. Its *correction*
    (money and frequency to take back) is a function of that entry alone. When an entry changes, the old
    correction is taken out and the new one put in; so a refund before its purchase ends as one after it.

Exact within the bounds of the memories: 32 event ids, 16 orders, 366 active and 128 engaged days a customer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import exp2
from typing import Final, NamedTuple, TypeAlias

from stream_app.core.clock import DAY_MS, MINUTE_MS
from stream_app.core.events import ENGAGEMENT, PURCHASE, REFUND, Event
from stream_app.core.features import (
    ACTIVITY_HALF_LIFE_DAYS,
    ACTIVITY_WINDOW_DAYS,
    ENGAGED_WINDOW_DAYS,
    ENGAGEMENT_HALF_LIFE_DAYS,
    ORDER_HALF_LIFE_DAYS,
)
from stream_app.core.row import (
    ACTIVITY,
    DIGEST_BYTES,
    ORDER,
    ORDER_LIMIT,
    RECENT_EVENT_LIMIT,
    Memories,
    Row,
    digest,
    join_memories,
)

_ORDER_RATE: Final = 1 / (ORDER_HALF_LIFE_DAYS * DAY_MS)
_ENGAGEMENT_RATE: Final = 1 / (ENGAGEMENT_HALF_LIFE_DAYS * DAY_MS)
SESSION_MS: Final = 30 * MINUTE_MS
"""Longest pause within a session: the usual inactivity limit of web analytics (Google Analytics' default)."""
_RECENT_BYTES: Final = RECENT_EVENT_LIMIT * DIGEST_BYTES
_LEDGER_BYTES: Final = ORDER_LIMIT * ORDER.size

REPEATED: Final = -2
IN_SESSION: Final = -1
"""Stand for the state after an event at which nobody is assessed; less than any byte of a trail."""


class DayWindow:
    """Counts distinct days with exponentially falling weight; a day's weight halves every `half_life_days`.

    Parameters
    ----------
    half_life_days
        Of a day's weight, > 0.
    window_days
        How many days before the last one are remembered; an older day counts nothing, however it arrives.
    """

    def __init__(self, half_life_days: float, window_days: int) -> None:
        self.weights = [exp2(-age / half_life_days) for age in range(window_days)]
        self._mask = (1 << window_days) - 1
        self._window_days = window_days
        self._half_life_days = half_life_days

    def total(self, bits: int) -> float:
        """Return the weighted number of days set in `bits`, as of the last day. This is the definition."""
        return sum(weight for age, weight in enumerate(self.weights) if bits >> age & 1)

    def add(self, bits: int, total: float, last_day: int, day: int) -> tuple[int, float]:
        """Count `day`; return the new bits and total, both as of the later of the two days."""
        ahead = day - last_day
        if ahead <= 0:
            age = -ahead
            if age >= self._window_days or bits >> age & 1:
                return bits, total
            return bits | 1 << age, total + self.weights[age]
        if ahead >= self._window_days:
            return 1, 1.0
        moved = bits << ahead
        total = total * self.weights[ahead] + 1.0
        if moved <= self._mask:
            return moved | 1, total
        forgotten = moved >> self._window_days
        while forgotten:
            age = self._window_days + forgotten.bit_length() - 1
            total -= exp2(-age / self._half_life_days)
            forgotten ^= 1 << (forgotten.bit_length() - 1)
        return moved & self._mask | 1, total

    def merge(self, bits: int, last_day: int, other_bits: int, other_last_day: int) -> tuple[int, float]:
        """Return bits and total of the union of two sets of days, as of the later last day."""
        ahead = other_last_day - last_day
        if ahead < 0:
            return self.merge(other_bits, other_last_day, bits, last_day)
        union = other_bits | (bits << ahead & self._mask if ahead < self._window_days else 0)
        return union, self.total(union)


ACTIVE_DAYS: Final = DayWindow(ACTIVITY_HALF_LIFE_DAYS, ACTIVITY_WINDOW_DAYS)
ENGAGED_DAYS: Final = DayWindow(ENGAGEMENT_HALF_LIFE_DAYS, ENGAGED_WINDOW_DAYS)


class Order(NamedTuple):
    """An entry of the ledger. `at_ms` is that of the last completion, or of the last refund if none is known."""

    digest: bytes
    at_ms: int
    completed_minor: int
    refunded_minor: int
    completions: int

    def __add__(self, other: Order) -> Order:  # type: ignore[override]
        """Return both entries as one; commutative and associative."""
        if bool(self.completions) == bool(other.completions):
            at_ms = max(self.at_ms, other.at_ms)
        else:
            at_ms = self.at_ms if self.completions else other.at_ms
        return Order(
            self.digest,
            at_ms,
            self.completed_minor + other.completed_minor,
            self.refunded_minor + other.refunded_minor,
            self.completions + other.completions,
        )

    def correction(self) -> tuple[int, int]:
        """Return the orders and the minor units, both ≥ 0, that refunds take back at `at_ms`."""
        if not self.completions:
            return 0, self.refunded_minor
        undone = self.completions if self.refunded_minor >= self.completed_minor and self.refunded_minor else 0
        return undone, min(self.refunded_minor, self.completed_minor)


_Entered: TypeAlias = tuple[bytes, tuple[tuple[int, Order], ...]]


class Folded(NamedTuple):
    """What folding events into a row gave.

    Attributes
    ----------
    row
        With all events.
    duplicates
        Indices of the events that the row held already; they changed nothing.
    assessed
        Indices of the events at which the customer is to be assessed: all but duplicates and those that only go on
        with a session.
    states
        For each of these, which record of the trail, from 0, is the state after it. The record before that one is
        the state before it (for the first record of the trail, the row as it was).
    records
        Number of records written; the last one is the final state.
    """

    row: Row
    duplicates: list[int]
    assessed: list[int]
    states: list[int]
    records: int


class FoldedCustomers(NamedTuple):
    """What folding the events of many customers gave.

    Attributes
    ----------
    memories
        Of each customer, with all events.
    after
        For each event, customer by customer, the byte of the trail at which the state after it begins; `REPEATED` if
        the customer held it already, `IN_SESSION` if the customer is not assessed at it.
    ends
        For each customer, the byte of the trail behind its last state; where the next customer's first one begins.
    """

    memories: list[Memories]
    after: list[int]
    ends: list[int]


def fold_events(
    row: Row, events: Sequence[Event], trail: bytearray, offset: int, session_ms: int = SESSION_MS
) -> Folded:
    """Add events of one customer to its row, which is not changed; see `fold_customers`."""
    activity = bytearray(ACTIVITY.size)
    row.pack_activity_into(activity, 0)
    (memories,), after, (end,) = fold_customers(activity, [row.memories], [events], trail, offset, session_ms)
    if end > offset:
        activity = trail[end - ACTIVITY.size : end]
    assessed = [index for index, start in enumerate(after) if start >= 0]
    return Folded(
        row=join_memories(ACTIVITY.unpack(activity), memories),
        duplicates=[index for index, start in enumerate(after) if start == REPEATED],
        assessed=assessed,
        states=[(after[index] - offset) // ACTIVITY.size for index in assessed],
        records=(end - offset) // ACTIVITY.size,
    )


def fold_customers(
    activity: bytearray | memoryview,
    memories: Sequence[Memories],
    events: Iterable[Sequence[Event]],
    trail: bytearray | memoryview,
    offset: int,
    session_ms: int = SESSION_MS,
) -> FoldedCustomers:
    """Add events to customers' rows.

    An engagement within half an hour of the last one, on the same day, goes on with a session. It counts, but the
    customer is not assessed at it: it brings no new day, order or money, and customers are in the same place at
    the session's end as at its beginning, but for the decay of minutes.

    Parameters
    ----------
    activity, memories
        The rows; `activity` are `ACTIVITY_DTYPE` records, one behind the other. Not changed.
    events
        Of each customer, in the order of the log.
    trail
        Where the `ACTIVITY_DTYPE` records of the states passed through are written, one behind the other.
    offset
        Byte of `trail` to begin at; there must be room for two records an event.
    session_ms
        Longest pause within a session; 0 to assess at every event, as features need that weigh single engagements.
    """
    # One function and local variables, because this loop runs once an event: half the time of attributes and calls.
    pack_into, size = ACTIVITY.pack_into, ACTIVITY.size
    new_memories: list[Memories] = []
    after: list[int] = []
    ends: list[int] = []
    for (
        (
            first_at_ms, purchased_at_ms, ordered_at_ms, engaged_at_ms, revenue_minor, orders_decayed, revenue_decayed,
            engagement_decayed, active_days, engaged_days, first_active_day, purchases, refunds, engagements,
        ),
        known,
        group,
    ) in zip(ACTIVITY.iter_unpack(activity), memories, events, strict=True):  # fmt: skip
        recent_events, orders = known.recent_events, known.orders
        active_day_bits, engaged_day_bits = known.active_day_bits, known.engaged_day_bits
        engaged_day = engaged_at_ms // DAY_MS
        active_day = engaged_day if engaged_at_ms > purchased_at_ms else purchased_at_ms // DAY_MS
        unwritten = False
        for event in group:
            event_digest = digest(event.event_id.encode())
            if recent_events.find(event_digest) >= 0:  # half the time of `in`
                after.append(REPEATED)
                continue
            if len(recent_events) >= _RECENT_BYTES:
                recent_events = recent_events[DIGEST_BYTES - _RECENT_BYTES :]
            recent_events += event_digest
            at_ms, kind = event.at_ms, event.kind
            day = at_ms // DAY_MS
            session = kind == ENGAGEMENT and day == engaged_day and 0 <= at_ms - engaged_at_ms < session_ms
            if unwritten and not session:
                pack_into(
                    trail, offset,
                    first_at_ms, purchased_at_ms, ordered_at_ms, engaged_at_ms, revenue_minor, orders_decayed,
                    revenue_decayed, engagement_decayed, active_days, engaged_days, first_active_day, purchases,
                    refunds, engagements,
                )  # fmt: skip
                offset += size
                unwritten = False
            if at_ms < first_at_ms:
                first_at_ms = at_ms
            if kind != REFUND:
                if day != active_day:
                    active_day_bits, active_days = ACTIVE_DAYS.add(active_day_bits, active_days, active_day, day)
                    if day > active_day:
                        active_day = day
                if day < first_active_day:
                    first_active_day = day
            if kind == ENGAGEMENT:
                engagements += 1
                if day != engaged_day:
                    engaged_day_bits, engaged_days = ENGAGED_DAYS.add(engaged_day_bits, engaged_days, engaged_day, day)
                if at_ms >= engaged_at_ms:
                    decay = exp2((engaged_at_ms - at_ms) * _ENGAGEMENT_RATE)
                    engagement_decayed = engagement_decayed * decay + event.weight
                    engaged_at_ms, engaged_day = at_ms, day
                else:
                    engagement_decayed += event.weight * exp2((at_ms - engaged_at_ms) * _ENGAGEMENT_RATE)
            else:
                weight = 1.0
                if at_ms >= ordered_at_ms:
                    decay = exp2((ordered_at_ms - at_ms) * _ORDER_RATE)
                    orders_decayed *= decay
                    revenue_decayed *= decay
                    ordered_at_ms = at_ms
                else:
                    weight = exp2((at_ms - ordered_at_ms) * _ORDER_RATE)
                order_digest, amount_minor = digest(event.order_id.encode()), event.amount_minor
                if kind == PURCHASE:
                    purchases += 1
                    revenue_minor += amount_minor
                    orders_decayed += weight
                    revenue_decayed += amount_minor * weight
                    if at_ms > purchased_at_ms:
                        purchased_at_ms = at_ms
                    orders, corrections = _complete_order(orders, order_digest, at_ms, amount_minor)
                else:
                    refunds += 1
                    revenue_minor -= amount_minor
                    orders, corrections = _enter_order(orders, Order(order_digest, at_ms, 0, amount_minor, 0))
                if corrections:
                    count, undone, taken_back = _total_correction(corrections, ordered_at_ms)
                    purchases += count
                    orders_decayed += undone
                    revenue_decayed += taken_back
            if session:
                unwritten = True
                after.append(IN_SESSION)
                continue
            pack_into(
                trail, offset,
                first_at_ms, purchased_at_ms, ordered_at_ms, engaged_at_ms, revenue_minor, orders_decayed,
                revenue_decayed, engagement_decayed, active_days, engaged_days, first_active_day, purchases, refunds,
                engagements,
            )  # fmt: skip
            after.append(offset)
            offset += size
        if unwritten:
            pack_into(
                trail, offset,
                first_at_ms, purchased_at_ms, ordered_at_ms, engaged_at_ms, revenue_minor, orders_decayed,
                revenue_decayed, engagement_decayed, active_days, engaged_days, first_active_day, purchases, refunds,
                engagements,
            )  # fmt: skip
            offset += size
        new_memories.append(Memories(recent_events, orders, active_day_bits, engaged_day_bits))
        ends.append(offset)
    return FoldedCustomers(new_memories, after, ends)


def last_active_day(row: Row) -> int:
    """Return the day of the last purchase or engagement."""
    return max(row.purchased_at_ms, row.engaged_at_ms) // DAY_MS


def _orders(ledger: bytes) -> list[Order]:
    return [Order._make(fields) for fields in ORDER.iter_unpack(ledger)]


def _pack_orders(orders: list[Order]) -> bytes:
    """Return the ledger of the latest orders, oldest first: what is forgotten depends on content, not arrival."""
    latest = sorted(orders, key=lambda order: (order.at_ms, order.digest))[-ORDER_LIMIT:]
    return b"".join(ORDER.pack(*order) for order in latest)


def _complete_order(ledger: bytes, order_digest: bytes, at_ms: int, amount_minor: int) -> _Entered:
    """Do as `_enter_order` for a completion."""
    if ledger.find(order_digest) < 0 and (not ledger or at_ms > ORDER.unpack_from(ledger, len(ledger) - ORDER.size)[1]):
        # The usual case by far, a new order after all known ones, stays clear of unpacking the ledger.
        return (ledger + ORDER.pack(order_digest, at_ms, amount_minor, 0, 1))[-_LEDGER_BYTES:], ()
    return _enter_order(ledger, Order(order_digest, at_ms, amount_minor, 0, 1))


def _enter_order(ledger: bytes, order: Order) -> _Entered:
    """Enter a completion or refund; return the ledger and the entries whose corrections to add (1) or subtract (−1)."""
    orders = _orders(ledger)
    known = next((entry for entry in orders if entry.digest == order.digest), None)
    if known is None:
        return _pack_orders([*orders, order]), ((-1, order),)
    orders.remove(known)
    both = known + order
    return _pack_orders([*orders, both]), ((1, known), (-1, both))


def _total_correction(changes: Sequence[tuple[int, Order]], as_of_ms: int) -> tuple[int, float, float]:
    """Return what to add to the orders, the decayed orders and the decayed revenue, as of `as_of_ms`.

    `changes` are entries whose correction is taken out (1) or put in (−1).
    """
    count, orders_decayed, revenue_decayed = 0, 0.0, 0.0
    for sign, order in changes:
        undone, minor = order.correction()
        weight = sign * exp2((order.at_ms - as_of_ms) * _ORDER_RATE)
        count += sign * undone
        orders_decayed += undone * weight
        revenue_decayed += minor * weight
    return count, orders_decayed, revenue_decayed


def merge_rows(left: Row, right: Row) -> Row:
    """Return the row of two customers who turn out to be one; commutative and associative.

    The two must not hold the same event: totals are added. The ids of both are remembered, and trimmed by the
    next event.
    """
    merged = Row(
        first_at_ms=min(left.first_at_ms, right.first_at_ms),
        purchased_at_ms=max(left.purchased_at_ms, right.purchased_at_ms),
        ordered_at_ms=max(left.ordered_at_ms, right.ordered_at_ms),
        engaged_at_ms=max(left.engaged_at_ms, right.engaged_at_ms),
        first_active_day=min(left.first_active_day, right.first_active_day),
    )
    merged.active_day_bits, merged.active_days = ACTIVE_DAYS.merge(
        left.active_day_bits, last_active_day(left), right.active_day_bits, last_active_day(right)
    )
    merged.engaged_day_bits, merged.engaged_days = ENGAGED_DAYS.merge(
        left.engaged_day_bits, left.engaged_at_ms // DAY_MS, right.engaged_day_bits, right.engaged_at_ms // DAY_MS
    )
    ledger: dict[bytes, Order] = {}
    for row in (left, right):
        order_weight = exp2((row.ordered_at_ms - merged.ordered_at_ms) * _ORDER_RATE)
        engagement_weight = exp2((row.engaged_at_ms - merged.engaged_at_ms) * _ENGAGEMENT_RATE)
        merged.orders_decayed += row.orders_decayed * order_weight
        merged.revenue_decayed += row.revenue_decayed * order_weight
        merged.engagement_decayed += row.engagement_decayed * engagement_weight
        merged.revenue_minor += row.revenue_minor
        merged.purchases += row.purchases
        merged.refunds += row.refunds
        merged.engagements += row.engagements
        for order in _orders(row.orders):
            known = ledger.get(order.digest)
            if known is None:
                ledger[order.digest] = order
                continue
            both = ledger[order.digest] = known + order
            changes = ((1, known), (1, order), (-1, both))
            count, undone, taken_back = _total_correction(changes, merged.ordered_at_ms)
            merged.purchases += count
            merged.orders_decayed += undone
            merged.revenue_decayed += taken_back
    merged.orders = _pack_orders(list(ledger.values()))
    ids = {
        row.recent_events[start : start + DIGEST_BYTES]
        for row in (left, right)
        for start in range(0, len(row.recent_events), DIGEST_BYTES)
    }
    merged.recent_events = b"".join(sorted(ids))
    return merged
