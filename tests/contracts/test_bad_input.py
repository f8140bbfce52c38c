"""Every bad input gets one reason and one field, on both paths alike."""

from __future__ import annotations

import pytest

from stream_app.contracts.rejections import REJECTION_REASONS, shown
from stream_app.errors import InvalidRecord
from tests.contracts.records import ENGAGEMENT, NOW_MS, PURCHASE, encode, engagement, engagements, purchase, purchases


def rejection(decoder, payload: bytes, key: bytes | None = None) -> InvalidRecord:
    with pytest.raises(InvalidRecord) as fast:
        decoder.decode(payload, NOW_MS, key)
    with pytest.raises(InvalidRecord) as reference:
        decoder.decode_reference(payload, NOW_MS, key)
    found = fast.value
    assert (found.reason, found.field, found.message) == (
        reference.value.reason,
        reference.value.field,
        reference.value.message,
    )
    assert found.reason in REJECTION_REASONS
    assert found.message.startswith(f"{found.field}")
    assert "expected" in found.message
    assert len(found.message) < 500
    assert found.message.isprintable()
    return found


def with_token(field: str, token: str) -> bytes:
    """Return a purchase in which a field's value is these very characters."""
    return encode(PURCHASE | {field: "@"}).replace(b'"@"', token.encode("utf-8", "surrogatepass"))


DEEP = "[" * 10_000 + "]" * 10_000

BAD_PAYLOADS = {
    "empty": (b"", "malformed", "$"),
    "broken line": (purchase()[:40], "malformed", "$"),
    "trailing text": (purchase() + b"{}", "malformed", "$"),
    "byte order mark": (b"\xef\xbb\xbf" + purchase(), "malformed", "$"),
    "UTF-16": (purchase().decode().encode("utf-16"), "invalid_encoding", "$"),
    "array": (b"[1]", "wrong_type", "$"),
    "string": (b'"text"', "wrong_type", "$"),
    "null": (b"null", "wrong_type", "$"),
    "NaN total": (with_token("total", "NaN"), "malformed", "total"),
    "Infinity total": (with_token("total", "Infinity"), "malformed", "total"),
    "minus Infinity in an unknown field": (purchase(x=-float("inf")), "malformed", "$"),
    "NaN alone": (b"NaN", "malformed", "$"),
    "NaN and broken": (b'{"total": NaN', "malformed", "$"),
    "1e400 total": (with_token("total", "1e400"), "out_of_range", "total"),
    "exponent beyond decimals": (with_token("total", "1e99999999999999999999"), "out_of_range", "total"),
    "three digits and an exponent beyond decimals": (
        with_token("total", "190e999999999999999999"),
        "out_of_range",
        "total",
    ),
    "5,000 digits and an exponent beyond decimals": (
        with_token("items", "9" * 5_000 + "e99999999999999999999"),
        "out_of_range",
        "items",
    ),
    "5,000 digits total": (with_token("total", "9" * 5_000), "out_of_range", "total"),
    "5,000 digits items": (with_token("items", "9" * 5_000), "out_of_range", "items"),
    "minus 5,000 digits items": (with_token("items", "-" + "9" * 5_000), "out_of_range", "items"),
    "5,000 digits customer": (with_token("customer_id", "9" * 5_000), "out_of_range", "customer_id"),
    "257 digits customer": (with_token("customer_id", "9" * 257), "out_of_range", "customer_id"),
    "10,000 brackets": (DEEP.encode(), "too_deep", "$"),
    "10,000 brackets in an unknown field": (with_token("x", DEEP), "too_deep", "$"),
    "17 levels": (with_token("x", "[" * 16 + "]" * 16), "too_deep", "$"),
    "brackets in an open string": (b'{"a": "\\"' + b"[" * 100, "malformed", "$"),
    "string ending in a backslash": (b'["' + b"[" * 100 + b"\\", "malformed", "$"),
    "too many closing brackets": (b"[" + b"[]" * 40 + b"]]", "malformed", "$"),
    "invalid UTF-8 in a value": (purchase(customer_id="@").replace(b"@", b"\xff"), "invalid_encoding", "$"),
    "invalid UTF-8 in an unknown key": (b'{"\xff": 1, ' + purchase()[1:], "invalid_encoding", "$"),
    "overlong UTF-8": (purchase(customer_id="@").replace(b"@", b"\xc0\x80"), "invalid_encoding", "$"),
    "lone surrogate customer": (purchase(customer_id="\ud800"), "invalid_encoding", "customer_id"),
    "lone surrogate time": (purchase(occurred_at="\udc00"), "invalid_encoding", "occurred_at"),
    "lone surrogate currency": (purchase(currency="\ud800"), "invalid_encoding", "currency"),
    "lone surrogate total": (purchase(total="\ud800"), "invalid_encoding", "total"),
    "lone surrogate type": (purchase(type="\ud800"), "invalid_encoding", "type"),
    "lone surrogate product": (purchase(products=["a", "\ud800"]), "invalid_encoding", "products"),
    "repeated key": (b'{"customer_id": "c0", ' + purchase()[1:], "duplicate_key", "customer_id"),
    "repeated key, same value": (b'{"customer_id": "c1", ' + purchase()[1:], "duplicate_key", "customer_id"),
    "repeated key, escaped": (b'{"\\u0063ustomer_id": "c1", ' + purchase()[1:], "duplicate_key", "customer_id"),
    "repeated number": (b'{"items": 1, "items": 1, ' + purchase()[1:], "duplicate_key", "items"),
    "repeated unknown key": (b'{"x": 1, "x": 2, ' + purchase()[1:], "duplicate_key", "$"),
    "repeated key below": (b'{"x": [{"y": 1, "y": 2}], ' + purchase()[1:], "duplicate_key", "$"),
    "naive time": (purchase(occurred_at="2024-05-01T12:00:00.000"), "invalid_time", "occurred_at"),
    "space for T": (purchase(occurred_at="2024-05-01 12:00:00.000Z"), "invalid_time", "occurred_at"),
    "no seconds": (purchase(occurred_at="2024-05-01T12:00Z"), "invalid_time", "occurred_at"),
    "comma": (purchase(occurred_at="2024-05-01T12:00:00,000Z"), "invalid_time", "occurred_at"),
    "zone without colon": (purchase(occurred_at="2024-05-01T12:00:00+0200"), "invalid_time", "occurred_at"),
    "zone of 60 minutes": (purchase(occurred_at="2024-05-01T12:00:00+02:60"), "invalid_time", "occurred_at"),
    "week date": (purchase(occurred_at="2024-W18-3T12:00:00.000Z"), "invalid_time", "occurred_at"),
    "basic date": (purchase(occurred_at="20240501T12:00:00.00000Z"), "invalid_time", "occurred_at"),
    "basic time": (purchase(occurred_at="2024-05-01T120000.00000Z"), "invalid_time", "occurred_at"),
    "hour 24": (purchase(occurred_at="2024-05-01T24:00:00.000Z"), "invalid_time", "occurred_at"),
    "day 30 of February": (purchase(occurred_at="2024-02-30T12:00:00.000Z"), "invalid_time", "occurred_at"),
    "day 30 of February, no fraction": (purchase(occurred_at="2024-02-30T12:00:00Z"), "invalid_time", "occurred_at"),
    "other digits": (purchase(occurred_at="２０２４-05-01T12:00:00.000Z"), "invalid_time", "occurred_at"),
    "year 0000": (purchase(occurred_at="0000-01-01T00:00:00.000Z"), "invalid_time", "occurred_at"),
    "leap second": (purchase(occurred_at="2016-12-31T23:59:60Z"), "invalid_time", "occurred_at"),
    "before 1970": (purchase(occurred_at="1969-12-31T23:59:59.999Z"), "invalid_time", "occurred_at"),
    "year 1 east": (purchase(occurred_at="0001-01-01T00:00:00+23:59"), "invalid_time", "occurred_at"),
    "empty time": (purchase(occurred_at=""), "invalid_time", "occurred_at"),
    "time as number": (purchase(occurred_at=1_714_564_800), "wrong_type", "occurred_at"),
    "future": (purchase(occurred_at="2024-05-01T21:51:40.001Z"), "time_in_future", "occurred_at"),
    "far future": (purchase(occurred_at="9999-12-31T23:59:59-23:59"), "time_in_future", "occurred_at"),
    "negative amount": (purchase(total=-1), "out_of_range", "total"),
    "negative string": (purchase(total="-19.99"), "out_of_range", "total"),
    "negative refund": (purchase(total="-19.99", type="order_refunded"), "out_of_range", "total"),
    "amount above the bound": (purchase(total="1000000000000.01"), "out_of_range", "total"),
    "amount above the bound, another currency": (purchase(total=10**12, currency="KWD"), "out_of_range", "total"),
    "third digit": (purchase(total="19.999"), "out_of_range", "total"),
    "third digit, number": (purchase(total=0.125), "out_of_range", "total"),
    "half a cent and a zero": (purchase(total="12.3450"), "out_of_range", "total"),
    "further from a cent than noise": (purchase(total="19.9900011"), "out_of_range", "total"),
    "noise beyond the bound": (purchase(total="1000000000000.0000011"), "out_of_range", "total"),
    "below zero by more than noise": (with_token("total", "-0.0000011"), "out_of_range", "total"),
    "half a yen": (purchase(total="0.5", currency="JPY"), "out_of_range", "total"),
    "65 characters of amount": (purchase(total="0" * 64 + "1"), "out_of_range", "total"),
    "amount in words": (purchase(total="nineteen"), "wrong_type", "total"),
    "exponent in a string": (purchase(total="1e2"), "wrong_type", "total"),
    "string NaN": (purchase(total="NaN"), "wrong_type", "total"),
    "no digit after the point": (purchase(total="5."), "wrong_type", "total"),
    "no digit before the point": (purchase(total=".5"), "wrong_type", "total"),
    "plus sign": (purchase(total="+5"), "wrong_type", "total"),
    "thousands separator": (purchase(total="1,234.56"), "wrong_type", "total"),
    "thousands separator or decimal comma": (purchase(total="1,234"), "wrong_type", "total"),
    "currency sign": (purchase(total="$12.50"), "wrong_type", "total"),
    "negative in brackets": (purchase(total="(12.50)"), "wrong_type", "total"),
    "underscore": (purchase(total="1_000"), "wrong_type", "total"),
    "other script's digits": (purchase(total="١٩"), "wrong_type", "total"),
    "empty amount": (purchase(total=""), "wrong_type", "total"),
    "true amount": (purchase(total=True), "wrong_type", "total"),
    "null amount": (purchase(total=None), "missing_field", "total"),
    "amount object": (purchase(total={"value": 5}), "wrong_type", "total"),
    "unknown currency": (purchase(currency="XYZ"), "unknown_currency", "currency"),
    "currency without a rate": (purchase(currency="CHF"), "unknown_currency", "currency"),
    "lower case, unknown": (purchase(currency="xyz"), "unknown_currency", "currency"),
    "currency with a sign": (purchase(currency="US$"), "unknown_currency", "currency"),
    "letters that are capitals of others": (purchase(currency="ﬁm"), "unknown_currency", "currency"),
    "currency number": (purchase(currency=978), "wrong_type", "currency"),
    "unknown type": (purchase(type="order_dreamt"), "out_of_range", "type"),
    "type number": (purchase(type=1), "wrong_type", "type"),
    "empty customer": (purchase(customer_id=""), "no_customer", "customer_id"),
    "blank customer": (purchase(customer_id=" \u3000"), "no_customer", "customer_id"),
    "null customer": (purchase(customer_id=None), "no_customer", "customer_id"),
    "true customer": (purchase(customer_id=True), "wrong_type", "customer_id"),
    "customer in a list": (purchase(customer_id=["c1"]), "wrong_type", "customer_id"),
    "blank order": (purchase(order_id="  "), "out_of_range", "order_id"),
    "null event": (purchase(event_id=None), "wrong_type", "event_id"),
    "long customer": (purchase(customer_id="c" * 257), "out_of_range", "customer_id"),
    "long astral customer": (purchase(customer_id="😀" * 257), "out_of_range", "customer_id"),
    "1 MB customer": (purchase(customer_id="c" * 1_000_000), "too_large", "customer_id"),
    "1 MB unknown field": (purchase(x="c" * 1_000_000), "too_large", "$"),
    "1 MB array": (encode([0] * 400_000), "too_large", "$"),
    "1 MB of brackets": (b"[" * 1_000_000, "too_large", "$"),
    "1 MB of blanks": (b"{" + b" " * 1_000_000 + b"}", "too_large", "$"),
    "NUL in an id": (purchase(event_id="a\0b"), "out_of_range", "event_id"),
    "DEL in an id": (purchase(order_id="a\x7fb"), "out_of_range", "order_id"),
    "C1 in a channel": (purchase(channel="a\x85b"), "out_of_range", "channel"),
    "newline in a product": (purchase(products=["a\n"]), "out_of_range", "products"),
    "raw tab in an id": (purchase(event_id="@").replace(b"@", b"\t"), "malformed", "$"),
    "negative items": (purchase(items=-1), "out_of_range", "items"),
    "half an item": (purchase(items=0.5), "wrong_type", "items"),
    "true items": (purchase(items=True), "wrong_type", "items"),
    "products string": (purchase(products="a"), "wrong_type", "products"),
    "1,001 products": (purchase(products=["a"] * 1_001), "out_of_range", "products"),
    "number product": (purchase(products=["a", 1]), "wrong_type", "products"),
}


@pytest.mark.parametrize(("payload", "reason", "field"), BAD_PAYLOADS.values(), ids=BAD_PAYLOADS.keys())
def test_bad_purchase_is_refused_with_reason_and_field(payload: bytes, reason: str, field: str) -> None:
    found = rejection(purchases(), payload)
    assert (found.reason, found.field) == (reason, field)


@pytest.mark.parametrize("field", ["event_id", "customer_id", "occurred_at", "order_id", "currency", "total"])
def test_missing_field_is_named(field: str) -> None:
    found = rejection(purchases(), encode({name: value for name, value in PURCHASE.items() if name != field}))
    assert (found.reason, found.field) == ("no_customer" if field == "customer_id" else "missing_field", field)


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"type": ""}, "out_of_range", "type"),
        ({"type": "viewed\n"}, "out_of_range", "type"),
        ({"type": "viewed\x7f"}, "out_of_range", "type"),
        ({"type": "v" * 129}, "out_of_range", "type"),
        ({"type": "\ud800"}, "invalid_encoding", "type"),
        ({"properties": []}, "wrong_type", "properties"),
        ({"properties": "{}"}, "wrong_type", "properties"),
        ({"properties": 0}, "wrong_type", "properties"),
        ({"properties": {"a": [[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}}, "too_deep", "$"),
        ({"type": None}, "wrong_type", "type"),
        ({"value": "4"}, "wrong_type", "value"),
        ({"value": True}, "wrong_type", "value"),
        ({"value": 1e13}, "out_of_range", "value"),
        ({"value": -(10**5_00)}, "out_of_range", "value"),
        ({"campaign_id": ""}, "out_of_range", "campaign_id"),
    ],
)
def test_bad_engagement_is_refused_with_reason_and_field(changes: dict[str, object], reason: str, field: str) -> None:
    found = rejection(engagements(), engagement(**changes))
    assert (found.reason, found.field) == (reason, field)


def test_infinite_value_is_out_of_range() -> None:
    payload = engagement(value=0).replace(b'"value": 0', b'"value": 1e400')
    found = rejection(engagements(), payload)
    assert (found.reason, found.field) == ("out_of_range", "value")
    assert "1E+400" in found.message


@pytest.mark.parametrize("key", [b"", b"c2", b"\xff", b"C1", b"c" * 100_000])
def test_other_key_is_refused(key: bytes) -> None:
    found = rejection(engagements(), engagement(), key)
    assert (found.reason, found.field) == ("key_mismatch", "customer_id")


def test_first_wrong_field_in_contract_order_is_reported() -> None:
    record = ENGAGEMENT | {"type": "", "occurred_at": "2999-01-01T00:00:00Z", "customer_id": "c2", "value": "x"}
    order = [("customer_id", b"c1"), ("occurred_at", None), ("type", None), ("value", None)]
    for field, key in order:
        assert rejection(engagements(), encode(record), key).field == field
        record[field] = {**ENGAGEMENT, "value": 1}[field]


def test_bad_currency_is_reported_before_the_total_it_rules() -> None:
    assert rejection(purchases(), purchase(currency="XYZ", total="0.001")).field == "currency"
    assert rejection(purchases(), purchase(currency="XYZ", total="-1")).field == "currency"


def test_limits_follow_the_rules() -> None:
    assert rejection(purchases(max_payload_bytes=100), purchase()).reason == "too_large"
    assert rejection(purchases(max_depth=2), purchase(x={"y": []})).reason == "too_deep"
    assert rejection(purchases(earliest_ms=NOW_MS - 1_000), purchase()).reason == "invalid_time"
    assert (
        rejection(purchases(future_tolerance_ms=0), purchase(occurred_at="2024-05-01T21:46:41Z")).field == "occurred_at"
    )


def test_brackets_in_strings_are_no_nesting() -> None:
    event = purchases().decode_reference(purchase(x='\\"[' * 20 + "{" * 20, y=[[], []]), NOW_MS)
    assert event.customer_id == "c1"


def test_message_names_value_and_expectation() -> None:
    assert rejection(purchases(), purchase(total="-5.00")).message == (
        'total: "-5.00", expected an amount from 0 to 1000000000000'
    )
    assert (
        rejection(engagements(), engagement(), b"c2").message == "customer_id: \"c1\", expected the record's key, 'c2'"
    )
    assert rejection(purchases(), purchase(products=["a", ""])).message == (
        'products.1: "", expected at least 1 character'
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", '"a"'),
        ("é\x85\u2028\ud800", '"é\\u0085\\u2028\\ud800"'),
        (None, "null"),
        (True, "true"),
        ([1, "a"], '[1, "a"]'),
    ],
)
def test_shown_value_is_json_fit_for_a_log(value: object, text: str) -> None:
    assert shown(value) == text


def test_shown_value_is_cut_to_eighty_characters() -> None:
    assert shown("x" * 1_000_000) == '"' + "x" * 78 + "…"
    assert len(shown(list(range(1_000)))) == 80


def test_reasons_are_distinct_and_few() -> None:
    assert len(set(REJECTION_REASONS)) == len(REJECTION_REASONS) <= 24
