"""What a customer's events add up to, computed from all of them at once and straight from the definitions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec
import pytest

from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.events import ALL_LEFT, CANCELS, ENGAGEMENT, PURCHASE, Event, pack_events
from stream_app.core.partition import Partition
from stream_app.core.processor import process_events
from tests.reference.ids import unpack_ids
from tests.reference.row import ACTIVITY, Row, decode_row, encode_row

EXACT = (
    "first_at_ms",
    "first_purchased_at_ms",
    "purchased_at_ms",
    "ordered_at_ms",
    "engaged_at_ms",
    "revenue_minor",
    "gaps",
    "purchases",
    "refunds",
    "engagements",
    "orders",
    "active_day_bits",
    "engaged_day_bits",
)
"""Fields of a row that do not depend on rounding."""
_CUSTOMER = "c1"


def fold(events: Sequence[Event], row: Row | None = None, timezone: str = "UTC") -> Row:
    """Return the row of one customer with `events`, as a table has it that has taken them in."""
    partition = Partition([], timezone=timezone)
    if row is None:
        partition.table.insert(_CUSTOMER)
    else:
        partition.table.restore(_CUSTOMER, encode_row(row, {}))
    own = [msgspec.structs.replace(event, customer_id=_CUSTOMER) for event in events]
    process_events(partition, pack_events(own, range(len(own)), 0))
    return decode_row(partition.table.encode(0))[0]


def trail_for(events: Sequence[Event]) -> bytearray:
    """Return room for all states that `fold_events` of the reference may write."""
    return bytearray(2 * len(events) * ACTIVITY.size)


def halved(age_ms: float, half_life_days: float) -> float:
    """Return the weight of what happened `age_ms` ago."""
    return float(2.0 ** (-age_ms / DAY_MS / half_life_days))


def day_bits(days: Iterable[int], window_days: int) -> int:
    """Return the days as bits before the last of them."""
    known = set(days)
    return sum(1 << max(known) - day for day in known if max(known) - day < window_days)


def day_total(days: Iterable[int], half_life_days: float, window_days: int) -> float:
    """Return the weighted number of distinct days as of the last of them."""
    known = set(days)
    ages = [max(known) - day for day in known]
    return sum(halved(age * DAY_MS, half_life_days) for age in ages if age < window_days)


def gap_sums(days: Iterable[int], window_days: int = 366) -> tuple[int, float, float]:
    """Return the number of gaps between distinct days, and the weighted sums of their logarithms and of the squares."""
    last = max(days)
    remembered = sorted({day for day in days if last - day < window_days}, reverse=True)
    logs = [math.log(later - earlier) for later, earlier in pairwise(remembered)]
    return len(logs), *(sum(0.95**age * log**power for age, log in enumerate(logs)) for power in (1, 2))


def log_value(minor: float) -> float:
    """Return the logarithm of an order's value in minor units, at least one of which it is taken to be worth."""
    return math.log(max(1, minor))


class Order(NamedTuple):
    """What has become of an order: when it was, what is left of it, and its refunds.

    One that nobody has stated was when it was returned last, and takes away what was.
    """

    at_ms: int
    left_minor: int
    is_one: bool
    refunds: int
    is_stated: bool


def order_of(events: Sequence[Event]) -> Order:
    """Return what distinct events of an order say together."""
    statements = [event for event in events if event.kind == PURCHASE]
    said = {event.amount_minor for event in events if event.kind != PURCHASE}
    refunds = [event.amount_minor for event in events if event.kind != PURCHASE and event.amount_minor != CANCELS]
    returned = sum(amount for amount in refunds if amount != ALL_LEFT)
    is_nothing = bool(said & {CANCELS, ALL_LEFT})
    if not statements:
        taken_away = 0 if is_nothing else -returned
        return Order(max(event.at_ms for event in events), taken_away, False, len(refunds), False)
    _, minor = max((event.stated_at_ms, event.amount_minor) for event in statements)
    left = 0 if is_nothing else max(minor - returned, 0)
    is_one = not is_nothing and (left > 0 or returned == 0)
    return Order(min(event.at_ms for event in statements), left, is_one, len(refunds), True)


def expected_row(events: Sequence[Event]) -> Row:
    """Return what distinct events of at most 16 orders add up to, without ids and ledger."""
    engaged = [event.at_ms for event in events if event.kind == ENGAGEMENT]
    by_order: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.kind != ENGAGEMENT:
            by_order[event.order_id].append(event)
    orders = [order_of(said) for said in by_order.values()]
    ordered = [order.at_ms for order in orders if order.is_stated]
    counted = [
        said for said in by_order.values() if any(event.kind == PURCHASE or event.amount_minor > 0 for event in said)
    ]
    row = Row(
        first_at_ms=min([*ordered, *engaged], default=-NO_TIME),
        first_purchased_at_ms=min(ordered, default=-NO_TIME),
        purchased_at_ms=max(ordered, default=NO_TIME),
        ordered_at_ms=max((event.at_ms for said in counted for event in said), default=NO_TIME),
        engaged_at_ms=max(engaged, default=NO_TIME),
        engagements=len(engaged),
    )
    for order in orders:
        row.refunds += order.refunds
        if not (order.is_stated or order.left_minor):
            continue
        weight = halved(row.ordered_at_ms - order.at_ms, 60)
        row.purchases += order.is_one
        row.revenue_minor += order.left_minor
        row.orders_decayed += order.is_one * weight
        row.revenue_decayed += order.left_minor * weight
        row.log_order_values += log_value(order.left_minor)
    if active := [at_ms // DAY_MS for at_ms in (*ordered, *engaged)]:
        row.active_day_bits = day_bits(active, 366)
        row.gaps, row.log_gaps, row.log_gaps_squared = gap_sums(active)
    if days := [at_ms // DAY_MS for at_ms in engaged]:
        row.engaged_day_bits, row.engaged_days = day_bits(days, 182), day_total(days, 30, 182)
    return row


def assert_same_totals(row: Row, expected: Row, events: Sequence[Event], exact: Sequence[str] = EXACT) -> None:
    """Check two rows that `events` led to: integers exactly, decayed totals to 1e-9 of what was ever added."""
    for name in exact:
        assert getattr(row, name) == getattr(expected, name), name
    ages_ms = [(abs(e.amount_minor), max(row.ordered_at_ms - e.at_ms, 0)) for e in events if e.kind != ENGAGEMENT]
    said = [(minor, halved(age_ms, 60)) for minor, age_ms in ages_ms]
    money, orders = sum(minor * weight for minor, weight in said), sum(weight for _, weight in said)
    assert row.revenue_decayed == pytest.approx(expected.revenue_decayed, rel=1e-9, abs=1e-9 * money)
    assert row.orders_decayed == pytest.approx(expected.orders_decayed, rel=1e-9, abs=1e-9 * orders)
    logs = 2 * sum(log_value(e.amount_minor) for e in events if e.kind == PURCHASE)
    assert row.log_order_values == pytest.approx(expected.log_order_values, rel=1e-9, abs=1e-9 * logs)
    assert row.engaged_days == pytest.approx(expected.engaged_days, rel=1e-9, abs=0)
    for name in ("log_gaps", "log_gaps_squared"):
        assert getattr(row, name) == pytest.approx(getattr(expected, name), rel=1e-9, abs=1e-12), name


def remembered_ids(row: Row) -> set[bytes]:
    """Return the ids of the engagements that a row knows, without the days they came."""
    return {each[:-2] for each in unpack_ids(row.recent_events).engagements}
