"""Events of customers, built by hand or drawn."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS
from stream_app.core.events import (
    ALL_LEFT,
    CANCELS,
    ENGAGEMENT,
    EVENT_KINDS,
    PROFILE,
    PURCHASE,
    REFUND,
    Event,
    Position,
)
from stream_app.core.kept import encode_kept

START_MS = 1_704_067_200_000
"""2024-01-01T00:00:00Z: day 0 of every history."""


def instant(day: float) -> int:
    """Return the instant that lies `day` days after the start."""
    return START_MS + round(day * DAY_MS)


def purchase(
    day: float,
    amount_minor: int = 5_000,
    customer_id: str = "c1",
    order_id: str | None = None,
    event_id: str | None = None,
) -> Event:
    return Event(
        PURCHASE,
        customer_id,
        event_id or f"purchase {customer_id} {day}",
        instant(day),
        "order_completed",
        amount_minor,
        order_id or f"order {customer_id} {day}",
    )


def refund(day: float, amount_minor: int, order_id: str, customer_id: str = "c1", event_id: str | None = None) -> Event:
    return Event(
        REFUND,
        customer_id,
        event_id or f"refund {customer_id} {day}",
        instant(day),
        "order_refunded",
        amount_minor,
        order_id,
    )


def cancellation(day: float, order_id: str, customer_id: str = "c1") -> Event:
    event_id = f"cancellation {customer_id} {day}"
    return Event(REFUND, customer_id, event_id, instant(day), "order_cancelled", CANCELS, order_id)


def edit(day: float, amount_minor: int, order_id: str, updated_day: float | None = None) -> Event:
    """Return what says that an order is now so."""
    updated_at_ms = None if updated_day is None else instant(updated_day)
    event_id = f"edit {day} {amount_minor} {updated_day}"
    return Event(PURCHASE, "c1", event_id, instant(day), "order_updated", amount_minor, order_id, b"", updated_at_ms)


def engagement(day: float, customer_id: str = "c1", event_id: str | None = None) -> Event:
    return Event(ENGAGEMENT, customer_id, event_id or f"engagement {customer_id} {day}", instant(day), "product_viewed")


def positions(count: int, first: int = 0) -> list[Position]:
    """Return positions of consecutive records."""
    return [Position("log", 0, first + index) for index in range(count)]


@st.composite
def histories(
    draw: st.DrawFn,
    min_size: int = 0,
    max_size: int = 32,
    days: float = 500,
    order_count: int = 16,
    prefix: str = "e",
) -> list[Event]:
    """Draw distinct events of one customer, in any order.

    Orders are stated, refunded and cancelled any number of times. All is within what a row remembers if there are at
    most 16 orders within 180 days.
    """
    size = draw(st.integers(min_size, max_size))
    return [draw(_events(f"{prefix}{index}", "c1", days, order_count)) for index in range(size)]


def profile(day: float, customer_id: str = "c1", **traits: Any) -> Event:
    """Return what is said of a customer, without an id of its own."""
    kept = encode_kept((name.encode(), traits[name]) for name in sorted(traits))
    return Event(PROFILE, customer_id, "", instant(day), "profile", kept=kept)


@st.composite
def _events(draw: st.DrawFn, event_id: str, customer_id: str, days: float, order_count: int) -> Event:
    kind = draw(st.sampled_from(range(len(EVENT_KINDS))))
    at_ms = START_MS + draw(st.integers(0, round(days * DAY_MS)))
    if kind == ENGAGEMENT:
        return Event(kind, customer_id, event_id, at_ms, "product_viewed")
    amounts = st.sampled_from([0, 1, 999, 2_500]) | st.integers(0, 10**9)
    amount_minor = draw(amounts | st.sampled_from([ALL_LEFT, CANCELS]) if kind == REFUND else amounts)
    order_id = f"o{draw(st.integers(0, order_count - 1))}"
    delays_ms = st.none() | st.sampled_from([0, 1, DAY_MS, 60 * DAY_MS, -DAY_MS])
    delay_ms = draw(delays_ms) if kind == PURCHASE else None
    updated_at_ms = None if delay_ms is None else at_ms + delay_ms
    return Event(kind, customer_id, event_id, at_ms, EVENT_KINDS[kind], amount_minor, order_id, b"", updated_at_ms)


@st.composite
def visits(draw: st.DrawFn, max_size: int = 12) -> list[Event]:
    """Draw distinct events of one customer that lie minutes apart and mostly ascend."""
    size = draw(st.integers(0, max_size))
    minute = draw(st.integers(0, 60) | st.integers(1_400, 1_440))
    events: list[Event] = []
    for index in range(size):
        minute += draw(st.sampled_from([0, 1, 5, 29, 30, 31, 400, -3, -60]))
        day = max(minute, 0) / 1_440
        buys = draw(st.sampled_from([False, False, False, True]))
        events.append(purchase(day, order_id=f"o{index}") if buys else engagement(day, event_id=f"e{index}"))
    return events
