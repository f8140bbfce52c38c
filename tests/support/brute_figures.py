"""A customer's figures at any instant, from all that is known of it by then; nothing of the engine's state is used."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from stream_app.core.clock import DAY_MS
from stream_app.core.events import ENGAGEMENT, PURCHASE, REFUND, Event
from tests.reference.row import Row
from tests.scenarios.inputs import PROFILES, PURCHASES, Input
from tests.support.brute_moves import Counted, Figures
from tests.support.totals import expected_row, halved

_PLAIN: Final = ("purchases", "refunds", "engagements")


def figures_of(customer_id: str, inputs: Sequence[Counted]) -> Figures:
    """Return what the figures of a customer are at instants, and how far each may be off; None where there is none."""
    own = [each for each in inputs if each.input.customer_id == customer_id and each.input.topic != PROFILES]

    def figure(name: str, now_ms: int) -> tuple[float, float] | None:
        row = expected_row([event_of(each.input) for each in own if each.known_ms <= now_ms])
        value = _figure(row, name, now_ms)
        return None if value is None else (value, 0.0)

    return figure


def event_of(record: Input) -> Event:
    """Return an act as the totals take it."""
    if record.topic != PURCHASES:
        return Event(ENGAGEMENT, record.customer_id, record.event_id, record.at_ms, str(record.fields["type"]))
    kind = REFUND if record.fields["type"] == "order_refunded" else PURCHASE
    return Event(
        kind,
        record.customer_id,
        record.event_id,
        record.at_ms,
        str(record.fields["type"]),
        int(Decimal(record.fields["total"]) * 100),
        str(record.fields["order_id"]),
    )


def _figure(row: Row, name: str, now_ms: int) -> float | None:
    """Return a figure: days since an instant, a decayed total, or a number that stands in the row."""
    since = {
        "recency_days": max(row.purchased_at_ms, row.engaged_at_ms, row.first_at_ms),
        "tenure_days": row.first_at_ms,
        "order_recency_days": row.purchased_at_ms,
        "order_tenure_days": row.first_purchased_at_ms,
        "engagement_recency_days": row.engaged_at_ms,
    }
    if name in since:
        return (now_ms - since[name]) / DAY_MS if abs(since[name]) < 2**61 else None
    if name in _PLAIN:
        return float(getattr(row, name))
    if name == "revenue":
        return row.revenue_minor / 100
    if name == "average_order_value":
        return row.revenue_minor / 100 / row.purchases if row.purchases > 0 else None
    if name == "engaged_days_decayed":
        return row.engaged_days * halved(now_ms - row.engaged_at_ms, 30) if row.engaged_days else 0.0
    if name in ("orders_decayed", "revenue_decayed"):
        total = row.orders_decayed if name == "orders_decayed" else row.revenue_decayed / 100
        return max(total, 0.0) * halved(now_ms - row.ordered_at_ms, 60) if total else 0.0
    raise ValueError(f"{name}: a figure that is not known here")
