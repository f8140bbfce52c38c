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
PROFILE: dict[str, Any] = {
    "event_id": "e1",
    "customer_id": "c1",
    "observed_at": "2024-05-01T12:00:00.000Z",
    "traits": {"country": "IT", "employees": 25, "vip": True, "tags": ["a", "b"], "gone": None},
    "source": "crm",
}
AT_MS = 1_714_564_800_000
"""When they happened."""

RATES = {"USD": Decimal("0.9"), "JPY": Decimal("0.0061"), "KWD": Decimal("3.01")}


def purchases(**policy: Any) -> Decoder:
    return Decoder(INPUT_CONTRACTS["purchases"], DecodingPolicy(currency_rates=RATES, **policy))


def engagements(**policy: Any) -> Decoder:
    return Decoder(INPUT_CONTRACTS["engagements"], DecodingPolicy(**policy))


KEPT_OF_PURCHASES = (
    "properties.a.b",
    "items",
    "type",
    "currency",
    "products",
    "properties.price",
    "order_id",
    "channel",
    "properties.a",
    "store_id",
    "properties.tags",
    "properties.ü",
)
KEPT_OF_ENGAGEMENTS = (
    "value",
    "properties.a.b.c",
    "campaign_id",
    "properties.price",
    "type",
    "properties.a",
    "properties.tags",
    "channel",
    "properties.flag",
)
"""Fields that a deployment's conditions might look at, in no order that records have."""


CATALOGUE: dict[str, Any] = {
    "country": "string",
    "employees": "number",
    "vip": "boolean",
    "tags": "list",
    "born": "date",
    "a.b-c_D": "string",
    "gone": "string",
    "religion": "string",
    "disease": "string",
}
"""Of traits; the last one is not allowed where the one before is."""


def profiles(**policy: Any) -> Decoder:
    return Decoder(INPUT_CONTRACTS["profiles"], DecodingPolicy(**policy))


def encode(record: object) -> bytes:
    return json.dumps(record).encode()


def purchase(**changes: Any) -> bytes:
    return encode(PURCHASE | changes)


def engagement(**changes: Any) -> bytes:
    return encode(ENGAGEMENT | changes)


def profile(**changes: Any) -> bytes:
    return encode(PROFILE | changes)
