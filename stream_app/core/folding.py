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

from math import exp2
from typing import Final, NamedTuple

from stream_app.core.clock import DAY_MS
from stream_app.core.events import ENGAGEMENT, PURCHASE, Event
from stream_app.core.features import (
    ACTIVITY_HALF_LIFE_DAYS,
    ACTIVITY_WINDOW_DAYS,
    ENGAGED_WINDOW_DAYS,
    ENGAGEMENT_HALF_LIFE_DAYS,
    ORDER_HALF_LIFE_DAYS,
)
from stream_app.core.row import DIGEST_BYTES, ORDER, ORDER_LIMIT, RECENT_EVENT_LIMIT, Row, digest

_ORDER_RATE: Final = 1 / (ORDER_HALF_LIFE_DAYS * DAY_MS)
_ENGAGEMENT_RATE: Final = 1 / (ENGAGEMENT_HALF_LIFE_DAYS * DAY_MS)
_RECENT_BYTES: Final = RECENT_EVENT_LIMIT * DIGEST_BYTES


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


def fold_event(row: Row, event: Event) -> bool:
    """Add `event` to `row` in place; return False, and change nothing, if the row holds it already."""
    event_digest = digest(event.event_id)
    recent = row.recent_events
    if event_digest in recent:
        return False
    row.recent_events = (recent + event_digest)[-_RECENT_BYTES:]
    at_ms = event.at_ms
    if at_ms < row.first_at_ms:
        row.first_at_ms = at_ms
    behind_ms = at_ms - row.decayed_at_ms
    if behind_ms > 0:
        _advance(row, at_ms)
        behind_ms = 0
    kind = event.kind
    if kind == ENGAGEMENT:
        row.engagements += 1
        row.engagement_decayed += event.weight * exp2(behind_ms * _ENGAGEMENT_RATE)
        day = at_ms // DAY_MS
        if day != row.last_engaged_day:
            row.engaged_day_bits, row.engaged_days = ENGAGED_DAYS.add(
                row.engaged_day_bits, row.engaged_days, row.last_engaged_day, day
            )
            row.last_engaged_day = max(row.last_engaged_day, day)
        _mark_active(row, at_ms)
    elif kind == PURCHASE:
        weight = exp2(behind_ms * _ORDER_RATE)
        row.purchases += 1
        row.orders_decayed += weight
        row.revenue_minor += event.amount_minor
        row.revenue_decayed += event.amount_minor * weight
        if at_ms > row.last_purchase_at_ms:
            row.last_purchase_at_ms = at_ms
        _mark_active(row, at_ms)
        _enter_order(row, Order(digest(event.order_id), at_ms, event.amount_minor, 0, 1))
    else:
        row.refunds += 1
        row.revenue_minor -= event.amount_minor
        _enter_order(row, Order(digest(event.order_id), at_ms, 0, event.amount_minor, 0))
    return True


def _advance(row: Row, at_ms: int) -> None:
    """Re-express the decayed totals as of `at_ms`, later than `row.decayed_at_ms`."""
    elapsed_ms = at_ms - row.decayed_at_ms
    factor = exp2(-elapsed_ms * _ORDER_RATE)
    row.orders_decayed *= factor
    row.revenue_decayed *= factor
    row.engagement_decayed *= exp2(-elapsed_ms * _ENGAGEMENT_RATE)
    row.decayed_at_ms = at_ms


def _mark_active(row: Row, at_ms: int) -> None:
    """Count the day of `at_ms` as active. Call after nothing else has moved `last_active_at_ms`."""
    last_day = row.last_active_at_ms // DAY_MS
    day = at_ms // DAY_MS
    if day != last_day:
        row.active_day_bits, row.active_days = ACTIVE_DAYS.add(row.active_day_bits, row.active_days, last_day, day)
        if day < row.first_active_day:
            row.first_active_day = day
    if at_ms > row.last_active_at_ms:
        row.last_active_at_ms = at_ms


def _orders(ledger: bytes) -> list[Order]:
    return [Order._make(fields) for fields in ORDER.iter_unpack(ledger)]


def _pack_orders(orders: list[Order]) -> bytes:
    """Return the ledger of the latest orders, oldest first: what is forgotten depends on content, not arrival."""
    latest = sorted(orders, key=lambda order: (order.at_ms, order.digest))[-ORDER_LIMIT:]
    return b"".join(ORDER.pack(*order) for order in latest)


def _correct(row: Row, order: Order, sign: int) -> None:
    """Put in (−1) or take out (+1) what refunds of `order` take back."""
    orders, minor = order.correction()
    if orders or minor:
        weight = sign * exp2((order.at_ms - row.decayed_at_ms) * _ORDER_RATE)
        row.purchases += sign * orders
        row.orders_decayed += orders * weight
        row.revenue_decayed += minor * weight


def _enter_order(row: Row, order: Order) -> None:
    """Enter a completion or refund into the ledger and keep the totals corrected for refunds."""
    ledger = row.orders
    if order.digest not in ledger and order.completions:
        # The usual case by far, a new order after all known ones, stays clear of unpacking the ledger.
        last_at_ms = ORDER.unpack_from(ledger, len(ledger) - ORDER.size)[1] if ledger else order.at_ms - 1
        if order.at_ms > last_at_ms:
            row.orders = (ledger + ORDER.pack(*order))[-ORDER_LIMIT * ORDER.size :]
            return
    orders = _orders(ledger)
    known = next((entry for entry in orders if entry.digest == order.digest), None)
    if known is not None:
        orders.remove(known)
        _correct(row, known, 1)
        order = known + order
    _correct(row, order, -1)
    row.orders = _pack_orders([*orders, order])


def merge_rows(left: Row, right: Row) -> Row:
    """Return the row of two customers who turn out to be one; commutative and associative.

    The two must not hold the same event: totals are added. The ids of both are remembered, and trimmed by the
    next event.
    """
    at_ms = max(left.decayed_at_ms, right.decayed_at_ms)
    merged = Row(
        first_at_ms=min(left.first_at_ms, right.first_at_ms),
        last_active_at_ms=max(left.last_active_at_ms, right.last_active_at_ms),
        last_purchase_at_ms=max(left.last_purchase_at_ms, right.last_purchase_at_ms),
        decayed_at_ms=at_ms,
        first_active_day=min(left.first_active_day, right.first_active_day),
        last_engaged_day=max(left.last_engaged_day, right.last_engaged_day),
    )
    merged.active_day_bits, merged.active_days = ACTIVE_DAYS.merge(
        left.active_day_bits,
        left.last_active_at_ms // DAY_MS,
        right.active_day_bits,
        right.last_active_at_ms // DAY_MS,
    )
    merged.engaged_day_bits, merged.engaged_days = ENGAGED_DAYS.merge(
        left.engaged_day_bits, left.last_engaged_day, right.engaged_day_bits, right.last_engaged_day
    )
    ledger: dict[bytes, Order] = {}
    for row in (left, right):
        order_weight = exp2((row.decayed_at_ms - at_ms) * _ORDER_RATE)
        merged.orders_decayed += row.orders_decayed * order_weight
        merged.revenue_decayed += row.revenue_decayed * order_weight
        merged.engagement_decayed += row.engagement_decayed * exp2((row.decayed_at_ms - at_ms) * _ENGAGEMENT_RATE)
        merged.revenue_minor += row.revenue_minor
        merged.purchases += row.purchases
        merged.refunds += row.refunds
        merged.engagements += row.engagements
        for order in _orders(row.orders):
            known = ledger.get(order.digest)
            if known is None:
                ledger[order.digest] = order
                continue
            for entry in (known, order):
                _correct(merged, entry, 1)
            ledger[order.digest] = known + order
            _correct(merged, ledger[order.digest], -1)
    merged.orders = _pack_orders(list(ledger.values()))
    ids = {
        row.recent_events[start : start + DIGEST_BYTES]
        for row in (left, right)
        for start in range(0, len(row.recent_events), DIGEST_BYTES)
    }
    merged.recent_events = b"".join(sorted(ids))
    return merged
