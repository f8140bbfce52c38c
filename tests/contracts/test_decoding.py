from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from stream_app.contracts.scanner import Scanner
from stream_app.core import events
from stream_app.core.events import ALL_LEFT, CANCELS, Event, Events
from stream_app.native.structures import EVENT
from tests.contracts.records import (
    AT_MS,
    ENGAGEMENT,
    NOW_MS,
    PURCHASE,
    encode,
    engagement,
    engagements,
    purchase,
    purchases,
)
from tests.support.batches import join_parts

METHODS = ["decode", "decode_reference"]


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return request.param


def test_purchase_becomes_an_event(method: str) -> None:
    expected = Event(events.PURCHASE, "c1", "e1", AT_MS, "order_completed", 1999, "o1")
    assert getattr(purchases(), method)(purchase(), NOW_MS) == expected


def test_refund_becomes_an_event_with_positive_money(method: str) -> None:
    expected = Event(events.REFUND, "c1", "e1", AT_MS, "order_refunded", 1999, "o1")
    assert getattr(purchases(), method)(purchase(type="order_refunded"), NOW_MS) == expected


@pytest.mark.parametrize("kind", ["checkout_started", "waved"])
def test_engagement_of_any_type_becomes_an_event(kind: str, method: str) -> None:
    expected = Event(events.ENGAGEMENT, "c1", "e1", AT_MS, kind)
    assert getattr(engagements(), method)(engagement(type=kind), NOW_MS) == expected


@pytest.mark.parametrize("type_field", [{}, {"type": None}])
def test_purchase_without_type_is_completed(type_field: dict[str, None], method: str) -> None:
    record = {name: value for name, value in PURCHASE.items() if name != "type"} | type_field
    assert getattr(purchases(), method)(encode(record), NOW_MS).type == "order_completed"


@pytest.mark.parametrize(
    ("total", "currency", "amount_minor"),
    [
        ("19.99", "EUR", 1999),
        ("0", "EUR", 0),
        ("5.5", "EUR", 550),
        ("007.50", "EUR", 750),
        ("19.9900", "EUR", 1999),
        ("-0.00", "EUR", 0),
        ("1000000000000.00", "EUR", 10**14),
        (19, "EUR", 1900),
        (22.2, "EUR", 2220),
        (0.1, "EUR", 10),
        ("15.299999999999999", "EUR", 1530),
        (45.900000000000006, "EUR", 4590),
        ("12.3400", "EUR", 1234),
        ("123.450000000000002842170943040400743484497070312", "EUR", 12_345),
        (5.684341886080802e-14, "EUR", 0),
        (-2.7e-17, "EUR", 0),
        ("1000000000000.000001", "EUR", 10**14),
        ("499.9999999", "JPY", 305),
        ("1.00", "usd", 90),
        ("500", "Jpy", 305),
        (-0.0, "EUR", 0),
        ("1.00", "USD", 90),
        ("0.05", "USD", 4),  # 4.5 rounds half to even
        ("0.15", "USD", 14),  # 13.5 does too
        ("500", "JPY", 305),
        ("500.0", "JPY", 305),
        ("1.234", "KWD", 371),
    ],
)
def test_total_becomes_exact_minor_units_of_the_base_currency(
    total: object, currency: str, amount_minor: int, method: str
) -> None:
    payload = purchase(total=total, currency=currency)
    assert getattr(purchases(), method)(payload, NOW_MS).amount_minor == amount_minor


@pytest.mark.parametrize(
    ("token", "amount_minor"),
    [("1e2", 10_000), ("1999E-2", 1999), ("1.9990e1", 1999), ("-0", 0), ("0e99999999999999999999", 0)],
)
def test_number_counts_by_its_value_however_it_is_written(token: str, amount_minor: int, method: str) -> None:
    payload = purchase(total=0).replace(b'"total": 0', b'"total": ' + token.encode())
    assert getattr(purchases(), method)(payload, NOW_MS).amount_minor == amount_minor


@pytest.mark.parametrize(
    ("occurred_at", "at_ms"),
    [
        ("2024-05-01T12:00:00Z", AT_MS),
        ("2024-05-01t12:00:00z", AT_MS),
        ("2024-05-01T14:00:00+02:00", AT_MS),
        ("2024-05-01T12:00:00-00:00", AT_MS),
        ("2024-05-01T11:59:59.9Z", AT_MS - 100),
        ("2024-05-01T12:00:00.123456789Z", AT_MS + 123),
        ("2024-05-01T12:00:00.0009999Z", AT_MS),
        ("2024-05-01T11:59:59.999999999999Z", AT_MS - 1),
        ("1970-01-01T00:00:00.000Z", 0),
        ("2024-05-01T21:51:40.000Z", NOW_MS + 300_000),
    ],
)
def test_time_is_read_to_the_millisecond(occurred_at: str, at_ms: int, method: str) -> None:
    assert getattr(engagements(), method)(engagement(occurred_at=occurred_at), NOW_MS).at_ms == at_ms


@pytest.mark.parametrize(
    "extra",
    [
        {"items": 3},
        {"items": 3.0},
        {"items": None, "channel": None, "store_id": None, "products": None},
        {"channel": "web", "store_id": "s 1", "products": ["a", "b"]},
        {"channel": "no\u00a0break"},
        {"products": []},
        {"country": "DE", "nested": {"a": [1, {"b": 'say "x"'}], "customer_id": "c2"}},
        {"nested": {"a": [1, {"b": "x"}], "customer_id": "c2"}},
    ],
)
def test_optional_and_unknown_fields_leave_the_event_as_it_is(extra: dict[str, object], method: str) -> None:
    decoder = purchases()
    assert getattr(decoder, method)(purchase(**extra), NOW_MS) == decoder.decode(purchase(), NOW_MS)


@pytest.mark.parametrize("extra", [{"value": 4}, {"value": -4.5, "campaign_id": "x"}, {"value": None}, {"page": 1e300}])
def test_engagement_may_have_a_value_and_more(extra: dict[str, object], method: str) -> None:
    decoder = engagements()
    assert getattr(decoder, method)(engagement(**extra), NOW_MS) == decoder.decode(engagement(), NOW_MS)


def test_matching_key_is_accepted(method: str) -> None:
    payload = encode(ENGAGEMENT | {"customer_id": "Zoë"})
    assert getattr(engagements(), method)(payload, NOW_MS, "Zoë".encode()).customer_id == "Zoë"


@pytest.mark.parametrize(
    ("decoder", "payload"),
    [
        (engagements(), engagement()),
        (engagements(), engagement(page="x", context={"a": ["b"]})),
        (engagements(), engagement(channel="web", value=2)),
        (engagements(), engagement(type="unlisted")),
        (purchases(), purchase()),
        (purchases(), purchase(items=3, products=["a"])),
        (purchases(), purchase(total=22.2, currency="USD")),
        (purchases(), purchase(country="DE")),
    ],
)
def test_common_records_do_not_need_the_reference_path(decoder, payload: bytes, monkeypatch) -> None:
    monkeypatch.setattr(type(decoder), "decode_reference", lambda *_: pytest.fail("took the slow path"))
    assert decoder.decode(payload, NOW_MS, b"c1").customer_id == "c1"


def of_all_tiers(changes: dict[str, Any]) -> list[Event]:
    """Return what each tier that accepts a purchase with some fields changed, or taken out by `...`, makes of it."""
    record = {name: value for name, value in {**PURCHASE, **changes}.items() if value is not ...}
    decoder, payload = purchases(), json.dumps(record).encode()
    buffer, (values,) = join_parts([payload])
    records, texts = Scanner(decoder).accept(buffer, values, NOW_MS)
    found = [decoder.decode_reference(payload, NOW_MS), decoder.read_fast(payload, NOW_MS, None)]
    if records["status"][0] == EVENT:
        scanned = Events(records, texts).event(0)
        found.append(msgspec.structs.replace(scanned, order_id=record["order_id"]))
    return [event for event in found if event is not None]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"type": "order_completed"}, (0, "order_completed", 1_999, AT_MS)),
        ({"type": "order_updated"}, (0, "order_updated", 1_999, AT_MS)),
        ({"type": "order_updated", "updated_at": "2024-05-01T11:59:59Z"}, (0, "order_updated", 1_999, AT_MS - 1_000)),
        ({"updated_at": None}, (0, "order_completed", 1_999, AT_MS)),
        ({"type": "order_refunded", "updated_at": "2024-05-01T11:59:59Z"}, (1, "order_refunded", 1_999, AT_MS)),
        ({"type": "order_refunded", "total": ...}, (1, "order_refunded", ALL_LEFT, AT_MS)),
        ({"type": "order_refunded", "total": None, "currency": None}, (1, "order_refunded", ALL_LEFT, AT_MS)),
        ({"type": "order_cancelled"}, (1, "order_cancelled", CANCELS, AT_MS)),
        ({"type": "order_cancelled", "total": ..., "currency": ...}, (1, "order_cancelled", CANCELS, AT_MS)),
    ],
)
def test_what_is_said_of_an_order_is_read_alike_by_all_tiers(
    changes: dict[str, Any], expected: tuple[int, str, int, int]
) -> None:
    found = {(event.kind, event.type, event.amount_minor, event.stated_at_ms) for event in of_all_tiers(changes)}
    assert found == {expected}


@pytest.mark.parametrize("changes", [{"type": "order_updated"}, {"type": "order_cancelled", "total": ...}])
def test_common_form_of_what_is_said_of_an_order_is_accepted_by_the_scanner(changes: dict[str, Any]) -> None:
    record = {name: value for name, value in {**PURCHASE, **changes}.items() if value is not ...}
    buffer, (values,) = join_parts([json.dumps(record).encode()])
    assert Scanner(purchases()).accept(buffer, values, NOW_MS)[0]["status"].tolist() == [EVENT]
