"""What is kept of a record for conditions is the same whichever tier has read it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream_app.contracts.decoding import Decoder
from stream_app.contracts.inputs.table import INPUT_CONTRACTS
from stream_app.contracts.kept import KEYS_MAX, PATHS_MAX, KeptPath
from stream_app.contracts.policy import DecodingPolicy
from stream_app.contracts.scanner import Scanner
from stream_app.core.events import Events, pack_events
from stream_app.core.kept import KEPT_BYTES_MAX, Value, read_kept
from stream_app.errors import ConfigurationError
from stream_app.native.structures import EVENT
from tests.contracts.records import ENGAGEMENT, NOW_MS, PURCHASE, engagement, engagements, purchase, purchases
from tests.support.batches import join_parts

CERTAIN, DOUBTED = True, False


def kept_by(decoder: Decoder, payload: bytes, *, is_certain: bool = CERTAIN) -> list[tuple[str, Value]]:
    """Return what all tiers keep of a record, and see to it that they agree; the scanner may doubt it."""
    by_models = decoder.decode_reference(payload, NOW_MS)
    by_types = decoder.read_fast(payload, NOW_MS, None)
    assert by_types is None or by_types == by_models
    buffer, (values,) = join_parts([payload])
    records, texts = Scanner(decoder).accept(buffer, values, NOW_MS)
    assert bool(records["status"][0] == EVENT) is is_certain
    if is_certain:
        assert by_types == by_models
        assert Events(records, texts).event(0).kept == by_models.kept
        packed = pack_events([by_models], 0, 0)
        assert (records.tobytes(), texts.tobytes()) == (packed.records.tobytes(), packed.texts.tobytes())
    return list(read_kept(by_models.kept))


def of_engagement(*paths: str, is_certain: bool = CERTAIN, **changes: Any) -> list[tuple[str, Value]]:
    payload = json.dumps(ENGAGEMENT | changes, ensure_ascii=False).encode()
    return kept_by(engagements(kept=paths), payload, is_certain=is_certain)


def test_fields_stand_in_the_order_of_the_paths_under_the_paths() -> None:
    free = {"page": {"path": "/a", "depth": 3}, "tags": ["x", "y"], "ok": True, "bad": False}
    paths = ("properties.tags", "value", "properties.page.depth", "channel", "type", "properties.ok", "properties.bad")
    expected = [
        ("properties.tags", ["x", "y"]),
        ("value", 4.5),
        ("properties.page.depth", 3.0),
        ("channel", "app"),
        ("type", "product_viewed"),
        ("properties.ok", True),
        ("properties.bad", False),
    ]
    assert of_engagement(*paths, properties=free, channel="app", value=4.5) == expected
    turned = dict(reversed((ENGAGEMENT | {"properties": free, "channel": "app", "value": 4.5}).items()))
    assert kept_by(engagements(kept=paths), json.dumps(turned, indent=1).encode()) == expected


def test_fields_of_orders_are_kept() -> None:
    paths = ("products", "store_id", "items", "currency", "order_id", "type", "channel")
    decoder = purchases(kept=paths)
    order = PURCHASE | {"items": 3, "channel": "web", "store_id": "7", "products": ["a", "ü"], "type": "order_refunded"}
    assert kept_by(decoder, json.dumps(order, ensure_ascii=False).encode()) == [
        ("products", ["a", "ü"]),
        ("store_id", "7"),
        ("items", 3.0),
        ("currency", "EUR"),
        ("order_id", "o1"),
        ("type", "order_refunded"),
        ("channel", "web"),
    ]
    assert kept_by(decoder, json.dumps(order | {"products": []}).encode())[0] == ("products", [])


@pytest.mark.parametrize("type_field", [{}, {"type": None}])
def test_type_that_is_meant_is_kept(type_field: dict[str, None]) -> None:
    record = {name: value for name, value in PURCHASE.items() if name != "type"} | type_field
    assert kept_by(purchases(kept=("type",)), json.dumps(record).encode()) == [("type", "order_completed")]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"properties": None, "channel": None, "value": None},
        {"properties": {}},
        {"properties": {"a": None, "b": {"c": None}}},
        {"properties": {"a": {"x": 1}, "b": 7}},
        {"properties": {"a": ["x", 1], "b": ["c"]}},
        {"properties": {"a": "x" * 257, "b": {"c": [["d"]]}}},
        {"properties": {"a.b": 1, "b.c": 2, "": 3}},
    ],
)
def test_what_is_absent_null_or_has_no_form_is_left_out(changes: dict[str, Any]) -> None:
    assert of_engagement("properties.a", "channel", "value", "properties.b.c", **changes) == []


def test_key_may_be_asked_for_and_lead_on() -> None:
    paths = ("properties.a.b", "properties.a", "properties.a.b.c")
    assert of_engagement(*paths, properties={"a": 1}) == [("properties.a", 1.0)]
    assert of_engagement(*paths, properties={"a": {"b": "x"}}) == [("properties.a.b", "x")]
    assert of_engagement(*paths, properties={"a": {"b": {"c": True}}}) == [("properties.a.b.c", True)]


def test_fields_of_other_topics_are_never_there() -> None:
    paths = ("order_id", "campaign_id", "traits", "total", "customer_id", "occurred_at")
    assert of_engagement(*paths, campaign_id="spring", order_id="o1") == [("campaign_id", "spring")]
    assert kept_by(purchases(kept=paths), purchase(campaign_id="x")) == [("order_id", "o1")]


@pytest.mark.parametrize(
    ("token", "value"),
    [
        ("0", 0.0),
        ("-0", 0.0),
        ("-0.0", 0.0),
        ("0e5", 0.0),
        ("-1.5", -1.5),
        ("0.1", 0.1),
        ("123456789012345", 123456789012345.0),
        ("0.000123456789012345", None),
        ("1e22", 1e22),
        ("1E+2", 100.0),
        ("1.25e-3", 0.00125),
        ("999999999999999e22", 999999999999999e22),
        ("1e-22", 1e-22),
    ],
)
def test_number_that_is_certain_is_its_double(token: str, value: float | None) -> None:
    payload = engagement(properties={"n": "@"}).replace(b'"@"', token.encode())
    is_certain = value is not None
    found = kept_by(engagements(kept=("properties.n",)), payload, is_certain=is_certain)
    assert found == [("properties.n", float(token) if value is None else value)]


@pytest.mark.parametrize("token", ["1234567890123456", "0.30000000000000004", "1e23", "1e-23", "1e300", "9" * 400])
def test_number_that_is_not_certain_is_left_to_the_slower_tiers(token: str) -> None:
    payload = engagement(properties={"n": "@"}).replace(b'"@"', token.encode())
    found = kept_by(engagements(kept=("properties.n",)), payload, is_certain=DOUBTED)
    assert found == ([("properties.n", float(token))] if float(token) < float("inf") else [])
    assert kept_by(engagements(), payload, is_certain=len(token) < 30) == [], "nobody asks for it"


def test_text_with_an_escape_is_left_to_the_slower_tiers_where_it_is_kept() -> None:
    payload = engagement(properties={"a": "x\ny", "b": ["\u00e9"]})
    assert kept_by(engagements(kept=("properties.a",)), payload, is_certain=DOUBTED) == [("properties.a", "x\ny")]
    assert kept_by(engagements(kept=("properties.b",)), payload, is_certain=DOUBTED) == [("properties.b", ["é"])]
    assert kept_by(engagements(kept=("properties.c",)), payload) == []


def test_half_a_surrogate_pair_is_no_text() -> None:
    payload = engagement(properties={"a": "\ud800", "b": ["\udc00"], "c": 1})
    paths = ("properties.a", "properties.b", "properties.c")
    assert kept_by(engagements(kept=paths), payload, is_certain=DOUBTED) == [("properties.c", 1.0)]


def test_fields_beyond_the_room_are_left_out_by_all_tiers() -> None:
    long = ["é" * 250] * 100
    free = {"a": long, "b": long, "c": "short"}
    decoder = engagements(kept=("properties.a", "properties.b", "properties.c"), max_payload_bytes=10**6)
    payload = json.dumps(ENGAGEMENT | {"properties": free}, ensure_ascii=False).encode()
    assert [name for name, _ in kept_by(decoder, payload)] == ["properties.a", "properties.c"]
    free = {"a": ["x" * 256] * 300, "c": "short"}
    payload = json.dumps(ENGAGEMENT | {"properties": free}).encode()
    found = decoder.decode(payload, NOW_MS).kept
    assert kept_by(decoder, payload) == [("properties.c", "short")]
    assert len(found) < KEPT_BYTES_MAX


def test_many_records_keep_what_is_their_own() -> None:
    decoder = engagements(kept=("properties.n", "type"))
    payloads = [engagement(properties={"n": number} if number % 3 else {}) for number in range(200)]
    buffer, (values,) = join_parts(payloads)
    events = Events(*Scanner(decoder).accept(buffer, values, NOW_MS))
    found = [dict(read_kept(events.event(index).kept)).get("properties.n") for index in range(200)]
    assert found == [float(number) if number % 3 else None for number in range(200)]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (("",), "field ''"),
        (("properties",), "properties.NAME"),
        (("properties.",), "properties.NAME"),
        (("properties..a",), "properties.NAME"),
        (("channel.a",), "properties.NAME"),
        (("properties" + ".a" * (KEYS_MAX + 1),), "up to 8 names"),
        (("properties." + "é" * 130,), "271 bytes, expected at most 255"),
        (("type", "value", "type"), "given 2 times"),
        (tuple(f"properties.p{number}" for number in range(PATHS_MAX + 1)), "65 are used, expected at most 64"),
    ],
)
def test_path_that_cannot_be_one_is_refused(paths: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        DecodingPolicy(kept=paths)


def test_most_and_longest_paths_are_laid_out() -> None:
    paths = (
        *(f"properties.{number}.a.b.c.d.e.f.g" for number in range(PATHS_MAX - 1)),
        "properties." + "é" * 122,
    )
    assert of_engagement(*paths, properties={"é" * 122: 1, "62": 2}) == [("properties." + "é" * 122, 1.0)]


@pytest.mark.parametrize(
    "path",
    [
        KeptPath(b"channel", "value"),
        KeptPath(b"channels", "channel"),
        KeptPath(b"properties", "properties"),
        KeptPath(b"properties..a", "properties"),
        KeptPath(b"properties.a.", "properties"),
        KeptPath(b"occurred_at", "occurred_at"),
    ],
)
def test_scanner_refuses_a_path_that_does_not_lead_to_its_field(path: KeptPath) -> None:
    decoder = Decoder(INPUT_CONTRACTS["engagements"], DecodingPolicy())
    decoder.kept = (path,)
    with pytest.raises(ValueError, match="scan_form of engagements"):
        Scanner(decoder)


def test_scanner_refuses_a_path_that_is_given_twice() -> None:
    for path in (KeptPath(b"channel", "channel"), KeptPath(b"properties.a", "properties", ("a",))):
        decoder = Decoder(INPUT_CONTRACTS["engagements"], DecodingPolicy())
        decoder.kept = (path, path)
        with pytest.raises(ValueError, match="scan_form of engagements"):
            Scanner(decoder)
