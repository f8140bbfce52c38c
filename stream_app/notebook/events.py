"""An event as a dictionary → a record as producers send it.

What a file may leave out, an event may leave out, too: `event_id` (then made of the content, so that the same event
twice is one), `order_id` (then the event's), `currency` (then the base currency). All else is the contracts' business.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, get_args

import msgspec
import numpy as np
from xxhash import xxh3_128_hexdigest

from stream_app.contracts.inputs.contract import InputContract
from stream_app.contracts.inputs.purchases import TYPE_ALIASES, PurchaseType

_PURCHASE_TYPES: Final = frozenset((*get_args(PurchaseType), *TYPE_ALIASES))
_PURCHASE_FIELDS: Final = ("order_id", "total")


def topic_of(event: Mapping[str, Any]) -> str:
    """Return the topic that an event belongs to: by its traits, alias, purpose or type, or what only orders have."""
    if "alias" in event:
        return "identities"
    if "purpose" in event and "decision" in event:
        return "consents"
    if "traits" in event:
        return "profiles"
    kind = event.get("type")
    if kind in _PURCHASE_TYPES or (kind is None and any(field in event for field in _PURCHASE_FIELDS)):
        return "purchases"
    return "engagements"


def payload_of(event: Mapping[str, Any], contract: InputContract, base_currency: str) -> bytes:
    """Return an event as JSON, with what may be left out.

    Parameters
    ----------
    event
        Values are what JSON has, and dates, times, decimals and numbers of numpy.
    contract
        Of its topic.
    base_currency
        Of an amount that says none.

    Raises
    ------
    TypeError
        If a value has no form in JSON.
    """
    record = {name: value for name, value in event.items() if value is not None}
    if isinstance(kind := record.get("type"), str) and contract.topic == "purchases":
        record["type"] = TYPE_ALIASES.get(kind, kind)
    if "currency" in contract.fields:
        record.setdefault("currency", base_currency)
    identity: str | None = None
    for field in contract.table_form.own_ids:  # the event's first: without an id of its own, an order has that
        if field not in record:
            identity = identity or record.get("event_id") or xxh3_128_hexdigest(_ORDERED.encode(record))
            record[field] = identity
    return _ENCODER.encode(record)


def _encode_other(value: Any) -> Any:
    """Return what JSON has in place of a value that only Python has."""
    if isinstance(value, datetime):  # a kind of its own, such as pandas' Timestamp
        return value.isoformat()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} of type {type(value).__name__}, expected text, a number, a time, a list or an object")


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_encode_other)
_ORDERED: Final = msgspec.json.Encoder(enc_hook=_encode_other, order="sorted")
