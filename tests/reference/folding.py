"""Folding: how an event changes a customer's totals. The order of arrival does not matter.

The reference that `native/fold.c`, which states the theory, is compared with byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from stream_app.core.clock import MINUTE_MS
from stream_app.core.events import CANCELS, ENGAGEMENT, PURCHASE, REFUND, Event
from tests.reference.days import ACTIVE_DAYS, ENGAGED_DAYS, shown_day
from tests.reference.ids import ID_BYTES, Ids, unpack_ids
from tests.reference.orders import CANCELLED, Order, Worth, order_of, sort_orders, unpack_orders, weight_at
from tests.reference.row import ACTIVITY, CustomerHistory, Row, digest, join_history

SESSION_MS: Final = 30 * MINUTE_MS
"""Longest pause within a session: the usual inactivity limit of web analytics (Google Analytics' default)."""

REPEATED: Final = -1
"""Stands for the state after an event that the customer held already; less than any byte of `states_out`."""


class Folded(NamedTuple):
    """What folding events into a row gave.

    Attributes
    ----------
    row
        With all events.
    duplicates
        Indices of the events that the row held already, or whose order is too old; they changed nothing.
    states
        For each of the others, which record of `states_out`, from 0, is the state after it.
    in_session
        For each event, whether it only continues a session, or says of an order what leaves all totals as they were.
    restated
        For each event, whether it says again what an order is that was known.
    too_old
        Those of the duplicates of whose order only the id is left.
    """

    row: Row
    duplicates: list[int]
    states: list[int]
    in_session: list[bool]
    restated: list[bool]
    too_old: list[int]


class Said(NamedTuple):
    """What there is to say of an event, see `Folded`."""

    is_quiet: bool = False
    is_restated: bool = False
    is_too_old: bool = False


class FoldedCustomers(NamedTuple):
    """What folding the events of many customers gave.

    Attributes
    ----------
    histories
        Of each customer, with all events.
    after
        For each event, customer by customer, the byte of `states_out` at which the state after it begins; `REPEATED` if
        the customer held it already.
    said
        What there is to say of each event.
    ends
        For each customer, the byte of `states_out` after its last state; where the next customer's first one begins.
    """

    histories: list[CustomerHistory]
    after: list[int]
    said: list[Said]
    ends: list[int]


def fold_events(row: Row, events: Sequence[Event], states_out: bytearray, offset: int, timezone: str = "UTC") -> Folded:
    """Add events of one customer to its row, which is not changed; see `fold_customers`."""
    activity = bytearray(ACTIVITY.size)
    row.pack_activity_into(activity, 0)
    (history,), after, said, (end,) = fold_customers(activity, [row.history], [events], states_out, offset, timezone)
    if end > offset:
        activity = states_out[end - ACTIVITY.size : end]
    return Folded(
        row=join_history(ACTIVITY.unpack(activity), history),
        duplicates=[index for index, start in enumerate(after) if start == REPEATED],
        states=[(start - offset) // ACTIVITY.size for start in after if start != REPEATED],
        in_session=[each.is_quiet for each in said],
        restated=[each.is_restated for each in said],
        too_old=[index for index, each in enumerate(said) if each.is_too_old],
    )


def fold_customers(
    activity: bytearray | memoryview,
    histories: Sequence[CustomerHistory],
    events: Iterable[Sequence[Event]],
    states_out: bytearray | memoryview,
    offset: int,
    timezone: str = "UTC",
) -> FoldedCustomers:
    """Add events to customers' rows.

    An engagement within half an hour of the last one, on the same day, continues a session. It counts, and says so: it
    brings no new day, order or money, and most segmentations do not assess a customer at it (see
    `Segmentation.weighs_sessions`).

    Parameters
    ----------
    activity, histories
        The rows; `activity` are `ACTIVITY_DTYPE` records, one after the other. Not changed.
    events
        Of each customer, in the order of the log.
    states_out
        Where the `ACTIVITY_DTYPE` record of the state after each event is written, one after the other.
    offset
        Byte of `states_out` to begin at; there must be room for a record an event.
    timezone
        Whose days are counted.
    """
    new_histories: list[CustomerHistory] = []
    after: list[int] = []
    said: list[Said] = []
    ends: list[int] = []
    for numbers, history, group in zip(ACTIVITY.iter_unpack(activity), histories, events, strict=True):
        customer = _Customer(join_history(numbers, history), timezone)
        for event in group:
            told = customer.fold(event)
            said.append(told or Said(is_too_old=customer.is_too_old(event)))
            after.append(REPEATED if told is None else offset)
            if told is not None:
                customer.row.pack_activity_into(states_out, offset)
                offset += ACTIVITY.size
        new_histories.append(customer.history)
        ends.append(offset)
    return FoldedCustomers(new_histories, after, said, ends)


def holds_order(row: Row, order_id: str) -> bool:
    """Return whether a row has an order, or the id of one that it has forgotten."""
    wanted = digest(order_id.encode())
    is_known = any(order.digest == wanted for order in unpack_orders(row.orders))
    return is_known or wanted[:ID_BYTES] in unpack_ids(row.recent_events).orders


def advance(row: Row, at_ms: int) -> None:
    """Have a row's totals over orders be as of an instant, if it is later."""
    if at_ms < row.ordered_at_ms:
        return
    decay = weight_at(row.ordered_at_ms, at_ms)
    row.orders_decayed *= decay
    row.revenue_decayed *= decay
    row.ordered_at_ms = at_ms


def change_worth(row: Row, was: Worth, taken_out: float, now: Worth, put_in: float) -> None:
    """Take out of the totals what an order was worth, and put in what it is worth, each with its weight."""
    row.purchases += now.orders - was.orders
    row.revenue_minor += now.minor - was.minor
    row.orders_decayed += now.orders * put_in - was.orders * taken_out
    row.revenue_decayed += now.minor * put_in - was.minor * taken_out
    row.log_order_values += now.logs - was.logs


class _Customer:
    """One customer's row, taken apart."""

    def __init__(self, row: Row, timezone: str) -> None:
        self.row = row
        self._timezone = timezone
        self._ids: Ids = unpack_ids(row.recent_events)
        self._orders: list[Order] = unpack_orders(row.orders)

    @property
    def history(self) -> CustomerHistory:
        """What lies beside the numbers."""
        return CustomerHistory(
            self._ids.pack(),
            b"".join(order.pack() for order in self._orders),
            self.row.active_day_bits,
            self.row.engaged_day_bits,
        )

    def fold(self, event: Event) -> Said | None:
        """Add an event; None if it changes nothing."""
        return self._fold_engagement(event) if event.kind == ENGAGEMENT else self._fold_order(event)

    def is_too_old(self, event: Event) -> bool:
        """Return whether of the order of an event only the id is left."""
        return event.kind != ENGAGEMENT and self._is_old(event) and not self._is_known_refund(event)

    def _is_old(self, event: Event) -> bool:
        order = digest(event.order_id.encode())
        return order[:ID_BYTES] in self._ids.orders and all(each.digest != order for each in self._orders)

    def _is_known_refund(self, event: Event) -> bool:
        return _is_refund(event) and digest(event.event_id.encode())[:ID_BYTES] in self._ids.refunds

    def _day(self, at_ms: int) -> int:
        return shown_day(at_ms, self._timezone)

    @property
    def _last_active_day(self) -> int:
        return self._day(max(self.row.engaged_at_ms, self.row.purchased_at_ms))

    def _add_active_day(self, last: int, day: int) -> None:
        row = self.row
        row.active_day_bits, row.gaps, row.log_gaps, row.log_gaps_squared = ACTIVE_DAYS.add(
            row.active_day_bits, row.gaps, row.log_gaps, row.log_gaps_squared, last, day
        )

    # --- engagements ---

    def _fold_engagement(self, event: Event) -> Said | None:
        row, event_digest = self.row, digest(event.event_id.encode())
        day, last = self._day(event.at_ms), self._day(row.engaged_at_ms)
        if self._ids.knows_engagement(event_digest):
            return None
        self._ids = self._ids.with_engagement(event_digest, max(day, last))
        is_quiet = day == last and 0 <= event.at_ms - row.engaged_at_ms < SESSION_MS
        row.first_at_ms = min(row.first_at_ms, event.at_ms)
        if day != self._last_active_day:
            self._add_active_day(self._last_active_day, day)
        if day != last:
            row.engaged_day_bits, row.engaged_days = ENGAGED_DAYS.add(row.engaged_day_bits, row.engaged_days, last, day)
        row.engagements += 1
        row.engaged_at_ms = max(row.engaged_at_ms, event.at_ms)
        return Said(is_quiet)

    # --- orders ---

    def _fold_order(self, event: Event) -> Said | None:
        order_digest = digest(event.order_id.encode())
        if self._is_known_refund(event):
            return None
        if self._is_old(event):
            if not _is_refund(event) or event.amount_minor < 0:
                return None
            self._ids = self._ids.with_refund(digest(event.event_id.encode()))
            self.row.refunds += 1
            self.row.revenue_minor -= event.amount_minor
            return Said()
        own = order_of(event, order_digest)
        before = next((order for order in self._orders if order.digest == order_digest), None)
        after = own if before is None else before.join(own)
        was_stated = before is not None and before.is_stated
        was_cancelled = before is not None and bool(before.flags & CANCELLED)
        is_restated = was_stated if event.kind == PURCHASE else not _is_refund(event) and was_cancelled
        if not _is_refund(event) and before == after:
            if not after.is_stated or event.at_ms <= self.row.ordered_at_ms:
                return None
            advance(self.row, event.at_ms)
            return Said(is_quiet=True, is_restated=is_restated)
        if _is_refund(event):
            self._ids = self._ids.with_refund(digest(event.event_id.encode()))
        if after.is_stated or after.refunded_minor:
            advance(self.row, event.at_ms)
            if before is not None and not was_stated and before.at_ms > event.at_ms:
                advance(self.row, before.at_ms)
        self._enter(after)
        return Said(self._follow(before, after), is_restated)

    def _enter(self, order: Order) -> None:
        others = [each for each in self._orders if each.digest != order.digest]
        self._orders, forgotten = sort_orders([*others, order])
        for each in forgotten:
            if each.is_stated:
                self._ids = self._ids.with_order(each.digest)

    def _follow(self, before: Order | None, after: Order) -> bool:
        """Follow what has become of an order in the totals; return whether it left them as they were."""
        row, known = self.row, before if before is not None and before.is_stated else None
        refunds = after.refunds - (before.refunds if before is not None else 0)
        is_quiet = not self._follow_worth(before or Order(after.digest, after.at_ms), after) and not refunds
        row.refunds += refunds
        if not after.is_stated:
            return is_quiet
        row.first_at_ms = min(row.first_at_ms, after.at_ms)
        row.first_purchased_at_ms = min(row.first_purchased_at_ms, after.at_ms)
        if known is None:
            self._place(after.at_ms)
        elif known.at_ms != after.at_ms:
            self._move(known.at_ms, after.at_ms)
        return is_quiet and known is not None

    def _follow_worth(self, before: Order, after: Order) -> bool:
        row, was, now = self.row, before.worth, after.worth
        is_nothing = not (after.is_stated or was.minor or now.minor)
        if is_nothing or (before.at_ms == after.at_ms and was[:2] == now[:2]):
            return False
        put_in = weight_at(after.at_ms, row.ordered_at_ms)
        taken_out = 0.0
        if before.at_ms == after.at_ms:
            taken_out = put_in
        elif was.orders or was.minor:
            taken_out = weight_at(before.at_ms, row.ordered_at_ms)
        change_worth(row, was, taken_out, now, put_in)
        return True

    def _place(self, at_ms: int) -> None:
        if self._day(at_ms) != self._last_active_day:
            self._add_active_day(self._last_active_day, self._day(at_ms))
        self.row.purchased_at_ms = max(self.row.purchased_at_ms, at_ms)

    def _move(self, from_ms: int, to_ms: int) -> None:
        """Have an order that was stated be where it was stated earlier."""
        row, last = self.row, self._last_active_day
        day, engaged_age = self._day(from_ms), self._day(row.engaged_at_ms) - self._day(from_ms)
        stated = [order.at_ms for order in self._orders if order.is_stated]
        if from_ms == row.purchased_at_ms:
            row.purchased_at_ms = max([to_ms, *stated])
        if day == self._day(to_ms):
            return
        is_engaged = engaged_age >= 0 and row.engaged_day_bits >> engaged_age & 1
        if not is_engaged and all(self._day(at_ms) != day for at_ms in stated):
            age = last - day
            if age >= 0:
                row.active_day_bits &= ~(1 << age)
            row.active_day_bits = row.active_day_bits >> max(last - self._last_active_day, 0) | 1
            row.gaps, row.log_gaps, row.log_gaps_squared = ACTIVE_DAYS.total(row.active_day_bits)
        self._add_active_day(self._last_active_day, self._day(to_ms))


def _is_refund(event: Event) -> bool:
    return event.kind == REFUND and event.amount_minor != CANCELS
