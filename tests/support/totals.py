"""What a customer's events add up to, computed from all of them at once and straight from the definitions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec
import pytest

from stream_app.core.clock import DAY_MS, NO_TIME
from stream_app.core.events import ENGAGEMENT, PURCHASE, REFUND, Event, pack_events
from stream_app.core.partition import Partition
from stream_app.core.processor import process_events
from tests.reference.row import ACTIVITY, DIGEST_BYTES, Row, decode_row, encode_row

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


def expected_row(events: Sequence[Event]) -> Row:
    """Return what distinct events of at most 16 orders add up to, without recent ids and ledger."""
    purchases = [event for event in events if event.kind == PURCHASE]
    refunds = [event for event in events if event.kind == REFUND]
    engagements = [event for event in events if event.kind == ENGAGEMENT]
    row = Row(
        first_at_ms=min((event.at_ms for event in events), default=-NO_TIME),
        first_purchased_at_ms=min((event.at_ms for event in purchases), default=-NO_TIME),
        purchased_at_ms=max((event.at_ms for event in purchases), default=NO_TIME),
        ordered_at_ms=max((event.at_ms for event in purchases + refunds), default=NO_TIME),
        engaged_at_ms=max((event.at_ms for event in engagements), default=NO_TIME),
        revenue_minor=sum(e.amount_minor for e in purchases) - sum(e.amount_minor for e in refunds),
        refunds=len(refunds),
        engagements=len(engagements),
    )
    row.purchases = len(purchases)
    row.log_order_values = sum(log_value(event.amount_minor) for event in purchases)
    by_order: dict[str, tuple[list[Event], list[Event]]] = defaultdict(lambda: ([], []))
    for event in purchases + refunds:
        by_order[event.order_id][event.kind].append(event)
    for completed, refunded in by_order.values():
        paid, returned = (sum(e.amount_minor for e in part) for part in (completed, refunded))
        for event in completed:
            weight = halved(row.ordered_at_ms - event.at_ms, 60)
            row.orders_decayed += weight
            row.revenue_decayed += weight * event.amount_minor
        corrected = max(event.at_ms for event in completed or refunded)
        weight = halved(row.ordered_at_ms - corrected, 60)
        row.revenue_decayed -= weight * (min(paid, returned) if completed else returned)
        if completed:
            kept = max(paid - returned, 0)
            row.log_order_values -= len(completed) * (
                log_value(paid / len(completed)) - log_value(kept / len(completed))
            )
        if completed and returned and returned >= paid:
            row.purchases -= len(completed)
            row.orders_decayed -= weight * len(completed)
    active = [event.at_ms // DAY_MS for event in purchases + engagements]
    engaged = [event.at_ms // DAY_MS for event in engagements]
    if active:
        row.active_day_bits = day_bits(active, 366)
        row.gaps, row.log_gaps, row.log_gaps_squared = gap_sums(active)
    if engaged:
        row.engaged_day_bits, row.engaged_days = day_bits(engaged, 182), day_total(engaged, 30, 182)
    return row


def assert_same_totals(row: Row, expected: Row, events: Sequence[Event], exact: Sequence[str] = EXACT) -> None:
    """Check two rows that `events` led to: integers exactly, decayed totals to 1e-9 of what was ever added."""
    for name in exact:
        assert getattr(row, name) == getattr(expected, name), name
    money = sum(e.amount_minor * halved(row.ordered_at_ms - e.at_ms, 60) for e in events if e.kind != ENGAGEMENT)
    orders = sum(halved(row.ordered_at_ms - e.at_ms, 60) for e in events if e.kind != ENGAGEMENT)
    assert row.revenue_decayed == pytest.approx(expected.revenue_decayed, rel=1e-9, abs=1e-9 * money)
    assert row.orders_decayed == pytest.approx(expected.orders_decayed, rel=1e-9, abs=1e-9 * orders)
    logs = 2 * sum(log_value(e.amount_minor) for e in events if e.kind == PURCHASE)
    assert row.log_order_values == pytest.approx(expected.log_order_values, rel=1e-9, abs=1e-9 * logs)
    assert row.engaged_days == pytest.approx(expected.engaged_days, rel=1e-9, abs=0)
    for name in ("log_gaps", "log_gaps_squared"):
        assert getattr(row, name) == pytest.approx(getattr(expected, name), rel=1e-9, abs=1e-12), name


def remembered_ids(row: Row) -> set[bytes]:
    ids = row.recent_events
    return {ids[start : start + DIGEST_BYTES] for start in range(0, len(ids), DIGEST_BYTES)}
