"""Two rows as one: what the events of both ids would have left under one.

The reference that `native/merging.c`, which states the theory, is compared with byte by byte.
"""

from __future__ import annotations

import msgspec

from stream_app.core.clock import NO_TIME
from tests.reference.days import ACTIVE_DAYS, ENGAGED_DAYS, shown_day
from tests.reference.folding import advance, change_worth
from tests.reference.ids import ID_BYTES, OLD_ORDER_LIMIT, REFUND_LIMIT, Ids, add_ids, join_engagements, unpack_ids
from tests.reference.orders import CANCELLED, NO_WORTH, RETURNED, STATED, Order, sort_orders, unpack_orders, weight_at
from tests.reference.row import Row


def merge_rows(into: Row, other: Row, timezone: str = "UTC") -> Row:
    """Return the row of both customers; neither is changed."""
    return _Merge(msgspec.structs.replace(into), other, timezone).row


class _Merge:
    def __init__(self, row: Row, other: Row, timezone: str) -> None:
        self.row = row
        self._timezone = timezone
        active_last = max(self._last_active_day(row), self._last_active_day(other))
        active = _united(active_last, ACTIVE_DAYS.window_days, self._days(row), self._days(other))
        engaged_last = max(self._day(row.engaged_at_ms), self._day(other.engaged_at_ms))
        engaged = _united(
            engaged_last,
            ENGAGED_DAYS.window_days,
            (row.engaged_day_bits, self._day(row.engaged_at_ms)),
            (other.engaged_day_bits, self._day(other.engaged_at_ms)),
        )
        self._join_numbers(other)
        own_ids, other_ids = unpack_ids(row.recent_events), unpack_ids(other.recent_events)
        refunds, known_refunds = add_ids(own_ids.refunds, other_ids.refunds, REFUND_LIMIT)
        engagements, known_engagements = join_engagements(own_ids.engagements, other_ids.engagements)
        row.refunds -= known_refunds
        row.engagements -= known_engagements
        self._repeats_refunds = known_refunds > 0
        self._old, _ = add_ids(own_ids.orders, other_ids.orders, OLD_ORDER_LIMIT)
        self._left_ms: list[int] = []
        own, others = unpack_orders(row.orders), unpack_orders(other.orders)
        self._orders = self._without_old(own, others, other_ids)
        for order in self._without_old(others, own, own_ids):
            self._join_order(order)
        if any(at_ms == row.purchased_at_ms for at_ms in self._left_ms):
            row.purchased_at_ms = max(order.at_ms for order in self._orders if order.is_stated)
        if self._is_plain:
            self._refold_orders()
        row.recent_events = Ids(refunds, self._old, engagements).pack()
        row.orders = b"".join(order.pack() for order in self._orders)
        self._refold_days(active, engaged)

    def _day(self, at_ms: int) -> int:
        return shown_day(at_ms, self._timezone)

    def _last_active_day(self, row: Row) -> int:
        return self._day(max(row.engaged_at_ms, row.purchased_at_ms))

    def _days(self, row: Row) -> tuple[int, int]:
        return row.active_day_bits, self._last_active_day(row)

    def _join_numbers(self, other: Row) -> None:
        row, other = self.row, msgspec.structs.replace(other)
        as_of_ms = max(row.ordered_at_ms, other.ordered_at_ms)
        advance(row, as_of_ms)
        advance(other, as_of_ms)
        for name in (
            *("orders_decayed", "revenue_decayed", "log_order_values", "revenue_minor"),
            *("purchases", "refunds", "engagements"),
        ):
            setattr(row, name, getattr(row, name) + getattr(other, name))
        for name in ("first_at_ms", "first_purchased_at_ms"):
            setattr(row, name, min(getattr(row, name), getattr(other, name), -NO_TIME))
        for name in ("purchased_at_ms", "engaged_at_ms"):
            setattr(row, name, max(getattr(row, name), getattr(other, name)))

    def _count_worth(self, order: Order, sign: int) -> None:
        row, worth = self.row, order.worth
        if not worth.orders and not worth.minor:
            return
        weight = weight_at(order.at_ms, row.ordered_at_ms)
        if sign > 0:
            change_worth(row, NO_WORTH, 0.0, worth, weight)
        else:
            change_worth(row, worth, weight, NO_WORTH, 0.0)

    def _without_old(self, own: list[Order], others: list[Order], other_ids: Ids) -> list[Order]:
        """Return the orders of one row without those of which the other has only the id left, which it has counted."""
        kept, known = [], {order.digest for order in others}
        for order in own:
            if order.digest[:ID_BYTES] not in other_ids.orders or order.digest in known:
                kept.append(order)
            elif order.is_stated:
                self._count_worth(order, -1)
                if not order.flags & (CANCELLED | RETURNED):
                    self.row.revenue_minor -= order.refunded_minor
        return kept

    def _enter(self, order: Order) -> None:
        others = [each for each in self._orders if each.digest != order.digest]
        self._orders, forgotten = sort_orders([*others, order])
        for each in forgotten:
            if each.is_stated:
                self._old, _ = add_ids(self._old, (each.digest[:ID_BYTES],), OLD_ORDER_LIMIT)

    def _join_order(self, other: Order) -> None:
        own = next((order for order in self._orders if order.digest == other.digest), None)
        if own is None:
            self._enter(other)
            return
        both = own.join(other)
        if self._repeats_refunds and own.refunds and other.refunds:
            both = both._replace(
                refunds=max(own.refunds, other.refunds), refunded_minor=max(own.refunded_minor, other.refunded_minor)
            )
        if both.is_stated:
            advance(self.row, max(own.at_ms, other.at_ms))
        self._count_worth(own, -1)
        self._count_worth(other, -1)
        self._count_worth(both, 1)
        if own.is_stated and other.is_stated and own.at_ms != other.at_ms:
            self._left_ms.append(max(own.at_ms, other.at_ms))
        self._enter(both)

    @property
    def _is_plain(self) -> bool:
        return (
            not self._old
            and not self.row.refunds
            and all(
                each.flags == STATED and not each.refunds and each.stated_at_ms == each.at_ms for each in self._orders
            )
            and len(self._orders) == self.row.purchases
            and sum(order.stated_minor for order in self._orders) == self.row.revenue_minor
        )

    def _refold_orders(self) -> None:
        row = self.row
        last_ms = row.ordered_at_ms
        empty = Row()
        for name in ("orders_decayed", "revenue_decayed", "log_order_values", "ordered_at_ms", "purchases"):
            setattr(row, name, getattr(empty, name))
        row.revenue_minor = 0
        for order in self._orders:
            advance(row, order.at_ms)
            self._count_worth(order, 1)
        advance(row, last_ms)

    def _refold_days(self, active: list[int], engaged: list[int]) -> None:
        row = self.row
        last = min(engaged, default=0) - 2 * ENGAGED_DAYS.window_days
        row.engaged_day_bits, row.engaged_days = 0, 0.0
        for day in engaged:
            row.engaged_day_bits, row.engaged_days = ENGAGED_DAYS.add(row.engaged_day_bits, row.engaged_days, last, day)
            last = day
        ordered = {self._day(order.at_ms) for order in self._orders if order.is_stated}
        left = {self._day(at_ms) for at_ms in self._left_ms} - ordered - set(engaged)
        last = min(active, default=0) - 2 * ACTIVE_DAYS.window_days
        sums: tuple[int, int, float, float] = (0, 0, 0.0, 0.0)
        for day in active:
            if day not in left:
                sums = ACTIVE_DAYS.add(*sums, last, day)
                last = day
        row.active_day_bits, row.gaps, row.log_gaps, row.log_gaps_squared = sums


def _united(newest: int, window: int, *sets: tuple[int, int]) -> list[int]:
    """Return the days of several sets of bits and last days that lie within a window, ascending."""
    days = {last - age for bits, last in sets for age in range(bits.bit_length()) if bits >> age & 1}
    return sorted(day for day in days if newest - day < window)
