"""The hot path: one typed decode by msgspec, which only ever accepts.

Whatever it cannot prove valid at once it leaves to the reference path, whose verdict counts. So each test here may
be stricter than the contract, never laxer; a property test holds both together.

msgspec keeps the last of repeated keys in silence. That there are none is proved by counting: in valid JSON every
string, key or value, has two `"` bytes, and an escaped quote is one more. If the payload holds exactly two for each
key and string that was decoded, there is no room for another key. If it holds more, an untyped decode tells how many
strings the whole tree has; equality again proves that nothing was dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import astuple

from stream_app.contracts.fields import MAX_ITEMS, MAX_PRODUCTS, MAX_TEXT_CHARACTERS, MAX_VALUE, parse_instant
from stream_app.contracts.inputs import ORDER_COMPLETED, ORDER_REFUNDED, PurchaseType
from stream_app.contracts.rules import ENGAGEMENT_TYPE, DecodingPolicy
from stream_app.core.events import ENGAGEMENT, PURCHASE, REFUND, Event

Reader = Callable[[bytes, int, bytes | None], Event | None]
"""From payload, now in milliseconds, and key to the event; None where the reference path must decide."""

_DOUBTS: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding raises over a payload that cannot be accepted here."""

_Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARACTERS)]
_OptionalText = _Text | UnsetType | None


class _Wire(Struct, gc=False):
    event_id: _Text
    customer_id: _Text
    occurred_at: str


class _Purchase(_Wire, gc=False, kw_only=True):
    order_id: _Text
    currency: str
    total: Raw
    type: PurchaseType | UnsetType | None = UNSET
    items: Annotated[int, Meta(ge=0, le=MAX_ITEMS)] | UnsetType | None = UNSET
    channel: _OptionalText = UNSET
    store_id: _OptionalText = UNSET
    products: Annotated[list[_Text], Meta(max_length=MAX_PRODUCTS)] | UnsetType | None = UNSET


class _Engagement(_Wire, gc=False, kw_only=True):
    type: str
    channel: _OptionalText = UNSET
    campaign_id: _OptionalText = UNSET
    value: Annotated[float, Meta(ge=-MAX_VALUE, le=MAX_VALUE)] | UnsetType | None = UNSET


Complete = Callable[[Any, int, bytes], Event | None]
"""A topic's own part of the verdict: from decoded record, its time in milliseconds, and payload to the event."""
Explain = Callable[[bytes, int], bool]
"""Tells whether a payload's quotes are all explained by the strings of its whole tree."""

_QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_DELETE: Final = 0x7F
_LONGEST_TOTAL: Final = 20
"""Characters of 10^12 with four minor digits, and some to spare; longer totals are odd and can wait."""


def build_reader(rules: DecodingPolicy) -> Reader:
    """Build the reader of the topic of `rules`; all it needs is bound in closures, which are quickest to reach."""
    decode_tree = msgspec.json.Decoder().decode
    max_bytes, max_depth, earliest_ms = rules.max_payload_bytes, rules.max_depth, rules.earliest_ms
    tolerance_ms = rules.future_tolerance_ms

    def explain(payload: bytes, quotes: int) -> bool:
        return quotes == 2 * _count_strings(decode_tree(payload), max_depth)

    decode: Callable[[bytes], _Wire]
    if rules.topic == "purchases":
        decode, complete = msgspec.json.Decoder(_Purchase).decode, _complete_purchase(rules, explain)
    else:
        decode, complete = msgspec.json.Decoder(_Engagement).decode, _complete_engagement(rules, explain)

    def read(payload: bytes, now_ms: int, key: bytes | None) -> Event | None:
        try:
            if len(payload) > max_bytes:
                return None
            record = decode(payload)
            customer_id = record.customer_id
            if not payload.isascii() or _BACKSLASH in payload or _DELETE in payload:
                _require_printable(record)  # any other payload can hold no control character and no lone surrogate
            if key is not None and key != customer_id.encode():
                return None
            at_ms = parse_instant(record.occurred_at)
            if not earliest_ms <= at_ms <= now_ms + tolerance_ms:
                return None
            return complete(record, at_ms, payload)
        except _DOUBTS:
            return None

    return read


def _complete_purchase(rules: DecodingPolicy, explain: Explain) -> Complete:
    conversions, base_currency = rules.conversions, rules.base_currency

    def complete(record: _Purchase, at_ms: int, payload: bytes) -> Event | None:
        total = bytes(record.total)
        known_strings = 11  # required: six keys, five strings
        if total[0] == _QUOTE:
            total = total[1:-1]
            known_strings = 12
        currency = record.currency
        conversion = conversions.get(currency)
        if conversion is None or len(total) > _LONGEST_TOTAL:
            return None
        whole, point, fraction = total.partition(b".")
        digits_missing = conversion.minor_digits - len(fraction)
        if digits_missing < 0 or not whole.isdigit() or (point and not fraction.isdigit()):
            return None
        amount_minor = int(whole + fraction)
        if digits_missing:
            amount_minor *= 10**digits_missing
        if amount_minor > conversion.limit_minor:
            return None
        if currency != base_currency:
            amount_minor = conversion.to_base(amount_minor)
        kind, kind_name = PURCHASE, record.type
        if kind_name is UNSET or kind_name is None:
            known_strings += kind_name is None
            kind_name = ORDER_COMPLETED
        else:
            known_strings += 2
            if kind_name == ORDER_REFUNDED:
                kind = REFUND
        if record.items is not UNSET:
            known_strings += 1
        if (channel := record.channel) is not UNSET:
            known_strings += 1 if channel is None else 2
        if (store_id := record.store_id) is not UNSET:
            known_strings += 1 if store_id is None else 2
        if (products := record.products) is not UNSET:
            known_strings += 1 + len(products or ())
        quotes = payload.count(b'"')
        if quotes != 2 * known_strings and not explain(payload, quotes):
            return None
        return Event(kind, record.customer_id, record.event_id, at_ms, kind_name, amount_minor, record.order_id)

    return complete


def _complete_engagement(rules: DecodingPolicy, explain: Explain) -> Complete:
    weights, default_weight = dict(rules.engagement_weights), rules.default_weight

    def complete(record: _Engagement, at_ms: int, payload: bytes) -> Event | None:
        kind_name = record.type
        weight = weights.get(kind_name)
        if weight is None:
            if ENGAGEMENT_TYPE.fullmatch(kind_name) is None:
                return None
            weight = default_weight
        known_strings = 8  # required: four keys, four strings
        if (channel := record.channel) is not UNSET:
            known_strings += 1 if channel is None else 2
        if (campaign_id := record.campaign_id) is not UNSET:
            known_strings += 1 if campaign_id is None else 2
        if record.value is not UNSET:
            known_strings += 1
        quotes = payload.count(b'"')
        if quotes != 2 * known_strings and not explain(payload, quotes):
            return None
        return Event(ENGAGEMENT, record.customer_id, record.event_id, at_ms, kind_name, 0, "", weight)

    return complete


def _require_printable(record: _Wire) -> None:
    """Raise `ValueError` unless all texts are printable: stricter than "no control character, no lone surrogate"."""
    for value in astuple(record):
        if type(value) is str:
            texts = value
        elif type(value) is list:
            texts = "".join(value)
        else:
            continue
        if not texts.isprintable():
            raise ValueError(texts)


def _count_strings(node: Any, levels: int) -> int:
    """Return how many strings, keys included, decoded JSON holds; raise `ValueError` if it has more levels."""
    if levels == 0:
        raise ValueError("too deep")
    strings, children = (len(node), node.values()) if type(node) is dict else (0, node)
    for child in children:
        kind = type(child)
        if kind is str:
            strings += 1
        elif kind is dict or kind is list:
            strings += _count_strings(child, levels - 1)
    return strings
