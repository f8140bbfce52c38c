"""Folding: how an event changes a customer's totals. The order of arrival does not matter.

The reference that `native/fold.c`, which states the theory, is compared with byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from stream_app.core.clock import MINUTE_MS
from stream_app.core.events import ENGAGEMENT, PURCHASE, REFUND, Event
from tests.reference.days import ACTIVE_DAYS, ENGAGED_DAYS, shown_day
from tests.reference.orders import (
    ORDER_RATE,
    Order,
    complete_order,
    enter_order,
    log_order_value,
    total_correction,
)
from tests.reference.row import ACTIVITY, DIGEST_BYTES, RECENT_EVENT_LIMIT, CustomerHistory, Row, digest, join_history
from tests.reference.scalars import exp2

SESSION_MS: Final = 30 * MINUTE_MS
"""Longest pause within a session: the usual inactivity limit of web analytics (Google Analytics' default)."""
_RECENT_BYTES: Final = RECENT_EVENT_LIMIT * DIGEST_BYTES

REPEATED: Final = -1
"""Stands for the state after an event that the customer held already; less than any byte of `states_out`."""


class Folded(NamedTuple):
    """What folding events into a row gave.

    Attributes
    ----------
    row
        With all events.
    duplicates
        Indices of the events that the row held already; they changed nothing.
    states
        For each of the others, which record of `states_out`, from 0, is the state after it.
    in_session
        For each event, whether it only continues a session.
    """

    row: Row
    duplicates: list[int]
    states: list[int]
    in_session: list[bool]


class FoldedCustomers(NamedTuple):
    """What folding the events of many customers gave.

    Attributes
    ----------
    histories
        Of each customer, with all events.
    after
        For each event, customer by customer, the byte of `states_out` at which the state after it begins; `REPEATED` if
        the customer held it already.
    in_session
        For each event, whether it only continues a session.
    ends
        For each customer, the byte of `states_out` after its last state; where the next customer's first one begins.
    """

    histories: list[CustomerHistory]
    after: list[int]
    in_session: list[bool]
    ends: list[int]


def fold_events(row: Row, events: Sequence[Event], states_out: bytearray, offset: int, timezone: str = "UTC") -> Folded:
    """Add events of one customer to its row, which is not changed; see `fold_customers`."""
    activity = bytearray(ACTIVITY.size)
    row.pack_activity_into(activity, 0)
    (history,), after, in_session, (end,) = fold_customers(
        activity, [row.history], [events], states_out, offset, timezone
    )
    if end > offset:
        activity = states_out[end - ACTIVITY.size : end]
    return Folded(
        row=join_history(ACTIVITY.unpack(activity), history),
        duplicates=[index for index, start in enumerate(after) if start == REPEATED],
        states=[(start - offset) // ACTIVITY.size for start in after if start != REPEATED],
        in_session=in_session,
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
    in_session: list[bool] = []
    ends: list[int] = []
    for numbers, history, group in zip(ACTIVITY.iter_unpack(activity), histories, events, strict=True):
        new_history, offset = _fold_customer(numbers, history, group, states_out, offset, after, in_session, timezone)
        new_histories.append(new_history)
        ends.append(offset)
    return FoldedCustomers(new_histories, after, in_session, ends)


def _fold_customer(
    numbers: tuple[Any, ...],
    known: CustomerHistory,
    events: Sequence[Event],
    states_out: bytearray | memoryview,
    offset: int,
    after: list[int],
    in_session: list[bool],
    timezone: str,
) -> tuple[CustomerHistory, int]:
    """Add events to one customer's row, and to `after` and `in_session` what became of each.

    Returns the new history and the byte after the last state. Local variables, because the loop runs once an event:
    half the time of attributes.
    """
    pack_into, size = ACTIVITY.pack_into, ACTIVITY.size
    (
        first_at_ms, first_purchased_at_ms, purchased_at_ms, ordered_at_ms, engaged_at_ms, revenue_minor,
        orders_decayed, revenue_decayed, log_order_values, engaged_days, log_gaps, log_gaps_squared,
        gaps, purchases, refunds, engagements,
    ) = numbers  # fmt: skip
    recent_events, orders = known.recent_events, known.orders
    active_day_bits, engaged_day_bits = known.active_day_bits, known.engaged_day_bits
    engaged_day = shown_day(engaged_at_ms, timezone)
    active_day = engaged_day if engaged_at_ms > purchased_at_ms else shown_day(purchased_at_ms, timezone)
    for event in events:
        event_digest = digest(event.event_id.encode())
        if recent_events.find(event_digest) >= 0:  # half the time of `in`
            after.append(REPEATED)
            in_session.append(False)
            continue
        if len(recent_events) >= _RECENT_BYTES:
            recent_events = recent_events[DIGEST_BYTES - _RECENT_BYTES :]
        recent_events += event_digest
        at_ms, kind = event.at_ms, event.kind
        day = shown_day(at_ms, timezone)
        in_session.append(kind == ENGAGEMENT and day == engaged_day and 0 <= at_ms - engaged_at_ms < SESSION_MS)
        if at_ms < first_at_ms:
            first_at_ms = at_ms
        if kind != REFUND and day != active_day:
            active_day_bits, gaps, log_gaps, log_gaps_squared = ACTIVE_DAYS.add(
                active_day_bits, gaps, log_gaps, log_gaps_squared, active_day, day
            )
            if day > active_day:
                active_day = day
        if kind == ENGAGEMENT:
            engagements += 1
            if day != engaged_day:
                engaged_day_bits, engaged_days = ENGAGED_DAYS.add(engaged_day_bits, engaged_days, engaged_day, day)
            if at_ms > engaged_at_ms:
                engaged_at_ms, engaged_day = at_ms, day
        else:
            (
                first_purchased_at_ms, purchased_at_ms, ordered_at_ms, revenue_minor, orders_decayed, revenue_decayed,
                log_order_values, purchases, refunds, orders,
            ) = _fold_order(
                event, first_purchased_at_ms, purchased_at_ms, ordered_at_ms, revenue_minor, orders_decayed,
                revenue_decayed, log_order_values, purchases, refunds, orders,
            )  # fmt: skip
        pack_into(
            states_out, offset,
            first_at_ms, first_purchased_at_ms, purchased_at_ms, ordered_at_ms, engaged_at_ms, revenue_minor,
            orders_decayed, revenue_decayed, log_order_values, engaged_days, log_gaps, log_gaps_squared,
            gaps, purchases, refunds, engagements,
        )  # fmt: skip
        after.append(offset)
        offset += size
    return CustomerHistory(recent_events, orders, active_day_bits, engaged_day_bits), offset


def _fold_order(
    event: Event,
    first_purchased_at_ms: int,
    purchased_at_ms: int,
    ordered_at_ms: int,
    revenue_minor: int,
    orders_decayed: float,
    revenue_decayed: float,
    log_order_values: float,
    purchases: int,
    refunds: int,
    orders: bytes,
) -> tuple[int, int, int, int, float, float, float, int, int, bytes]:
    """Return the fields of a row that a purchase or refund changes, after it; in the order of the parameters."""
    at_ms, amount_minor, weight = event.at_ms, event.amount_minor, 1.0
    if at_ms >= ordered_at_ms:
        decay = exp2((ordered_at_ms - at_ms) * ORDER_RATE)
        orders_decayed *= decay
        revenue_decayed *= decay
        ordered_at_ms = at_ms
    else:
        weight = exp2((at_ms - ordered_at_ms) * ORDER_RATE)
    order_digest = digest(event.order_id.encode())
    if event.kind == PURCHASE:
        purchases += 1
        revenue_minor += amount_minor
        orders_decayed += weight
        revenue_decayed += amount_minor * weight
        log_order_values += log_order_value(amount_minor)
        first_purchased_at_ms = min(first_purchased_at_ms, at_ms)
        purchased_at_ms = max(purchased_at_ms, at_ms)
        orders, corrections = complete_order(orders, order_digest, at_ms, amount_minor)
    else:
        refunds += 1
        revenue_minor -= amount_minor
        orders, corrections = enter_order(orders, Order(order_digest, at_ms, 0, amount_minor, 0))
    if corrections:
        correction = total_correction(corrections, ordered_at_ms)
        purchases += correction.purchases
        orders_decayed += correction.orders_decayed
        revenue_decayed += correction.revenue_decayed
        log_order_values += correction.log_order_values
    return (
        first_purchased_at_ms, purchased_at_ms, ordered_at_ms, revenue_minor, orders_decayed, revenue_decayed,
        log_order_values, purchases, refunds, orders,
    )  # fmt: skip
