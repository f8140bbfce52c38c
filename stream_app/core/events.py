"""What the core knows of an input event, whatever carried it: one flat, immutable value.

Decoding (`stream_app.contracts.decoding`) turns bytes into these or raises `InvalidRecord`.
"""

from __future__ import annotations

from typing import Final

import msgspec

PURCHASE: Final = 0
REFUND: Final = 1
ENGAGEMENT: Final = 2
EVENT_KINDS: Final = ("purchase", "refund", "engagement")
"""Names of the kinds, indexed by `Event.kind`; the same words stand in a migration's cause."""


class Position(msgspec.Struct, frozen=True, gc=False):
    """Where a record came from: for a file, its name, 0, and its line number from 1."""

    topic: str
    partition: int
    offset: int


class Event(msgspec.Struct, frozen=True, gc=False):
    """One purchase, refund or engagement of one customer.

    A `msgspec.Struct` because one is built per event: 0.12 µs, against 0.8 µs for a frozen dataclass.

    Parameters
    ----------
    kind
        `PURCHASE`, `REFUND` or `ENGAGEMENT`.
    customer_id, event_id
        1 to 256 characters.
    at_ms
        When it happened, milliseconds since the epoch.
    type
        The contract's type, such as `order_completed` or `product_viewed`.
    amount_minor
        Purchases and refunds: minor units of the base currency, ≥ 0 (a refund's too).
    order_id
        Purchases and refunds: the order.
    """

    kind: int
    customer_id: str
    event_id: str
    at_ms: int
    type: str
    amount_minor: int = 0
    order_id: str = ""
