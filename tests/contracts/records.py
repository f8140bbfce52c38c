"""Records that break no rule, as starting points."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from stream_app.contracts.decoding import Decoder
from stream_app.contracts.inputs.table import INPUT_CONTRACTS
from stream_app.contracts.policy import DecodingPolicy

NOW_MS = 1_714_600_000_000
"""2024-05-01T21:46:40Z."""

PURCHASE: dict[str, Any] = {
    "event_id": "e1",
    "customer_id": "c1",
    "occurred_at": "2024-05-01T12:00:00.000Z",
    "type": "order_completed",
    "order_id": "o1",
    "total": "19.99",
    "currency": "EUR",
}
ENGAGEMENT: dict[str, Any] = {
    "event_id": "e1",
    "customer_id": "c1",
    "occurred_at": "2024-05-01T12:00:00.000Z",
    "type": "product_viewed",
}
AT_MS = 1_714_564_800_000
"""When both happened."""

RATES = {"USD": Decimal("0.9"), "JPY": Decimal("0.0061"), "KWD": Decimal("3.01")}


def purchases(**policy: Any) -> Decoder:
    return Decoder(INPUT_CONTRACTS["purchases"], DecodingPolicy(currency_rates=RATES, **policy))


def engagements(**policy: Any) -> Decoder:
    return Decoder(INPUT_CONTRACTS["engagements"], DecodingPolicy(**policy))


def encode(record: object) -> bytes:
    return json.dumps(record).encode()


def purchase(**changes: Any) -> bytes:
    return encode(PURCHASE | changes)


def engagement(**changes: Any) -> bytes:
    return encode(ENGAGEMENT | changes)
