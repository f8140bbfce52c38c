"""The scanner accepts the common form, quickly and rightly; all else goes on to the tiers behind it."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.decoding import Decoder
from stream_app.contracts.fields import MAX_ITEMS, Text, parse_instant
from stream_app.contracts.inputs.contract import InputContract, InputRecord
from stream_app.contracts.inputs.table import INPUT_CONTRACTS
from stream_app.contracts.policy import DecodingPolicy
from stream_app.contracts.scan_form import TEXT, WORD, ScanForm
from stream_app.contracts.scanner import ABSENT, Scanned, Scanner, Spans, split_lines
from stream_app.core.clock import NO_TIME
from stream_app.core.events import ENGAGEMENT, Event, Events, pack_events
from stream_app.core.records import Rejection, Skipped
from stream_app.errors import InvalidRecord
from stream_app.native.structures import DOUBTED, EVENT, REJECTED, SKIPPED
from stream_app.simulator.simulation import Faults, simulate
from tests.contracts.mutants import check_many
from tests.contracts.records import ENGAGEMENT as BROWSED
from tests.contracts.records import NOW_MS, PURCHASE, engagement, engagements, purchase, purchases
from tests.support.batches import join_parts

FAR_MS = 10**15


def scan(decoder: Decoder, payloads: list[bytes | None], keys: list[bytes | None] | None = None) -> Scanned:
    buffer, (values, *spans) = join_parts(payloads, *([keys] if keys is not None else []))
    return Scanner(decoder).scan(buffer, values, NOW_MS, *spans)


def accepted(decoder: Decoder, payloads: list[bytes], now_ms: int = NOW_MS) -> list[Event | None]:
    """Return the events that the scanner alone finds, None where it doubts."""
    buffer, (values,) = join_parts(payloads)
    events = Events(*Scanner(decoder).accept(buffer, values, now_ms))
    return [
        events.event(index) if status == EVENT else None
        for index, status in enumerate(events.records["status"].tolist())
    ]


def is_accepted(payload: bytes, decoder: Decoder | None = None) -> bool:
    return accepted(decoder or purchases(), [payload])[0] is not None


def test_no_mutant_is_accepted_that_the_models_refuse_or_read_otherwise() -> None:
    tally = check_many(12_000, seed=1)
    assert tally.wrong == []
    assert tally.accepted > 1_500, "a scanner that doubts everything would prove nothing"


# --- what is common is accepted ------------------------------------------------------------------------------------


COMMON = {
    "text total": {"total": "5"},
    "number total": {"total": 12.5},
    "total with zeros before it": {"total": "007.50"},
    "all fields": {"items": 2, "channel": "web", "store_id": "7", "products": ["a", "b"]},
    "no products": {"products": []},
    "fields that are null": {"items": None, "channel": None, "store_id": None, "products": None, "type": None},
    "refund": {"type": "order_refunded"},
    "other currency": {"currency": "JPY", "total": 120},
    "currency in small letters": {"currency": "jpy", "total": 120},
    "zeros beyond the minor unit": {"total": "5.0000"},
    "noise above": {"total": "45.900000000000006"},
    "noise below": {"total": 15.299999999999999},
    "noise of thousands": {"total": "1234.5600000000001", "currency": "USD"},
    "noise of next to nothing": {"total": "0.0000000000000001"},
    "noise of a currency without minor units": {"total": "119.9999999999", "currency": "JPY"},
    "numbers as ids": {"customer_id": 115310627314723954, "event_id": 1, "order_id": 450789469},
    "text beyond ASCII": {"channel": "Café 🙂 \u00a0", "order_id": "Ł 7"},
    "unknown scalars": {"a": 1, "b": -2.5, "c": "x", "d": "", "e": None, "f": True, "g": False, "": 0},
    "unknown lists and objects": {"a": [{"b": [], "c": {}}, [1e-5, -2, '\n"\\/'], None], "d": {"a": 1, "": 1e300}},
    "most items": {"items": MAX_ITEMS},
    "longest ids": {"customer_id": "é" * 256, "event_id": "🙂" * 256},
}


@pytest.mark.parametrize("changes", COMMON.values(), ids=COMMON.keys())
def test_common_purchase_is_accepted_as_the_models_do(changes: dict[str, Any]) -> None:
    payloads = [
        json.dumps(PURCHASE | changes, ensure_ascii=False).encode(),
        json.dumps(dict(reversed((PURCHASE | changes).items())), ensure_ascii=False, indent=1).encode() + b" \r\n",
    ]
    expected = pack_events([purchases().decode_reference(payload, NOW_MS) for payload in payloads], 0, 0)
    buffer, (values,) = join_parts(payloads)
    records, texts = Scanner(purchases()).accept(buffer, values, NOW_MS)
    assert (records == expected.records).all()
    assert texts.tobytes() == expected.texts.tobytes()


def test_type_that_is_absent_means_a_completed_order() -> None:
    without = {name: value for name, value in PURCHASE.items() if name != "type"}
    (event,) = accepted(purchases(), [json.dumps(without).encode()])
    assert event is not None
    assert event.type == "order_completed"


def test_common_engagement_is_accepted() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"value": 5},
        {"value": -1.25},
        {"value": None, "channel": "app"},
        {"type": "a" * 128},
        {"type": "Product Viewed"},
        {"properties": {"a": [1, {"b": None}], "c": "x"}},
        {"properties": {}, "channel": "app"},
        {"properties": None},
    ]
    payloads = [engagement(**change) for change in changes]
    expected = [engagements().decode_reference(payload, NOW_MS) for payload in payloads]
    assert accepted(engagements(), payloads) == expected


DOUBTED_THOUGH_VALID = {
    "escape": purchase(order_id='"'),
    "deeply nested unknown field": purchase(x=[[[[[[[[1]]]]]]]]),
    "escape in an unknown key": purchase(x={"\n": 1}),
    "huge exponent in an unknown field": purchase(x=1).replace(b'"x": 1', b'"x": 1e1000'),
    "exponent": purchase(total=1e-7, currency="EUR").replace(b"1e-07", b"1e1"),
    "noise of more digits than fit": purchase(total="123.450000000000002842"),
    "space beside an id": purchase(customer_id=" c1"),
    "decomposed id": json.dumps(PURCHASE | {"order_id": "Zoe\u0308"}, ensure_ascii=False).encode(),
    "number below zero as an id": purchase(order_id=-7),
    "many unknown fields": purchase(**{f"x{number}": 0 for number in range(65)}),
    "small letters in a time": purchase(occurred_at="2024-05-01t12:00:00z"),
}


@pytest.mark.parametrize("payload", DOUBTED_THOUGH_VALID.values(), ids=DOUBTED_THOUGH_VALID.keys())
def test_what_the_scanner_doubts_is_still_decoded(payload: bytes) -> None:
    assert not is_accepted(payload)
    scanned = scan(purchases(), [purchase(), payload, purchase(event_id="e2")])
    expected = pack_events([purchases().decode_reference(payload, NOW_MS)], 0, 0)
    assert (scanned.records["status"] == EVENT).all()
    assert scanned.doubted == 1
    assert scanned.records["event_digest"][1] == expected.records["event_digest"][0]
    assert scanned.records["amount_minor"][1] == expected.records["amount_minor"][0]
    events = Events(scanned.records, scanned.texts)
    assert [events.event(index).event_id for index in range(3)] == ["e1", "e1", "e2"]


def test_scanner_finds_the_same_events_as_the_typed_decode_and_doubts_little_else(tmp_path: Path) -> None:
    counts = simulate(60, 120, 3, tmp_path, faults=Faults(0.02, 0.02, 0.02))
    doubted = 0
    for topic in ("purchases", "engagements"):
        decoder = Decoder(INPUT_CONTRACTS[topic], DecodingPolicy())
        payloads = gzip.decompress((tmp_path / f"{topic}.jsonl.gz").read_bytes()).splitlines()
        found = accepted(decoder, payloads, FAR_MS)
        doubted += found.count(None)
        fast = [decoder.read_fast(payload, FAR_MS, None) for payload in payloads]
        same = pack_events([event for event in fast if event is not None], 0, 0)
        buffer, (values,) = join_parts(payloads)
        records, texts = Scanner(decoder).accept(buffer, values, FAR_MS)
        assert (records[records["status"] == EVENT] == same.records).all()
        assert texts.tobytes() == same.texts.tobytes()
    assert doubted == counts.malformed > 0


UNKNOWN_BUT_BAD = [
    '{"a": 1, "a": 1}', '[{"b": {}, "c": 1, "b": 2}]', "[1,]", "[1 2]", "[,1]", '{"a" 1}', '{"a": }', "{1: 2}", "[1",
    '{"a": 1', "[1}", '{"a": 1]', "NaN", "-Infinity", "01", "1.", ".5", "1e", "1e+", "-", "+1", "tru", "nul", '"\\x"',
    '"\\u12g4"', '"\\u123"', '"\x00"', '"', "'a'", "",
]  # fmt: skip


@pytest.mark.parametrize("value", UNKNOWN_BUT_BAD)
def test_unknown_field_that_is_no_sound_json_is_never_skipped(value: str) -> None:
    payload = purchase(x="@").replace(b'"@"', value.encode())
    assert not is_accepted(payload)
    with pytest.raises(InvalidRecord):
        purchases().decode_reference(payload, NOW_MS)


@pytest.mark.parametrize("levels", range(1, 9))
def test_unknown_fields_are_nested_no_deeper_than_the_policy_allows(levels: int) -> None:
    payload = purchase(x="@").replace(b'"@"', b"[" * levels + b"]" * levels)
    decoder = purchases(max_depth=5)
    assert is_accepted(payload, decoder) is (levels < 5)
    if levels >= 5:
        with pytest.raises(InvalidRecord, match="nesting"):
            decoder.decode_reference(payload, NOW_MS)
    assert is_accepted(payload) is (levels < 8), "beyond, the scanner leaves it to the others"


# --- times ---------------------------------------------------------------------------------------------------------


def at_times(texts: list[str]) -> list[int | None]:
    decoder = engagements(earliest_ms=-FAR_MS)
    payloads = [json.dumps(BROWSED | {"occurred_at": text}, ensure_ascii=False).encode() for text in texts]
    return [None if event is None else event.at_ms for event in accepted(decoder, payloads, FAR_MS)]


def test_every_day_is_read_as_the_calendar_says() -> None:
    day, days = date(1, 1, 1), []
    while day < date(9990, 1, 1):
        days.append(day)
        day += timedelta(days=37)
    days += [date(1899, 12, 31) + timedelta(days=number) for number in range(80_000)]
    random.Random(1).shuffle(days)
    expected = [round(datetime(*each.timetuple()[:3], tzinfo=UTC).timestamp()) * 1_000 for each in days]
    assert at_times([f"{each.isoformat()}T00:00:00Z" for each in days]) == expected


@given(st.lists(st.from_regex(r"[0-9]{3}[0-9]-[0-3][0-9]-[0-3][0-9]T[0-6][0-9]:[0-6][0-9]:[0-6][0-9]"
                              r"(\.[0-9]{1,12})?(Z|[+-][0-9]{2}:[0-9]{2})", fullmatch=True), max_size=30))  # fmt: skip
def test_no_time_is_read_otherwise_than_by_the_contract(texts: list[str]) -> None:
    for text, found in zip(texts, at_times(texts), strict=True):
        try:
            expected = parse_instant(text)
        except ValueError:
            assert found is None, text
        else:
            assert found == expected or (found is None and len(text) > 30), text


@pytest.mark.parametrize(
    "text",
    ["2023-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2024-02-30T00:00:00Z", "2024-04-31T00:00:00Z",
     "2024-00-01T00:00:00Z", "2024-13-01T00:00:00Z", "2024-01-00T00:00:00Z", "0000-01-01T00:00:00Z",
     "2024-05-01T24:00:00Z", "2024-05-01T23:60:00Z", "2016-12-31T23:59:60Z", "2024-05-01T12:00:00",
     "2024-05-01 12:00:00Z", "2024-05-01T12:00Z", "2024-05-01T12:00:00.Z", "2024-05-01T12:00:00,5Z",
     "2024-05-01T12:00:00+24:00", "2024-05-01T12:00:00+01:60", "2024-05-01T12:00:00+0100", "2024-05-01T12:00:00Zx"],
)  # fmt: skip
def test_no_time_that_is_none_is_accepted(text: str) -> None:
    assert at_times(["2024-05-01T12:00:00Z", text])[1] is None


def test_time_is_within_what_the_policy_allows() -> None:
    policy = {"earliest_ms": NOW_MS - 1_000, "future_tolerance_ms": 1_000}
    for millisecond, is_fine in ((38_999, False), (39_000, True), (41_000, True), (41_001, False)):
        at = f"2024-05-01T21:46:{millisecond // 1_000:02}.{millisecond % 1_000:03}Z"
        assert is_accepted(engagement(occurred_at=at), engagements(**policy)) is is_fine


# --- money ---------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 10**12) | st.integers(0, 10**17), min_size=1, max_size=20),
    st.decimals("1e-9", "1e9", allow_nan=False) | st.sampled_from([Decimal("0.5"), Decimal("0.25"), Decimal("1.5")]),
)
def test_money_is_converted_exactly_or_doubted(minors: list[int], rate: Decimal) -> None:
    decoder = Decoder(INPUT_CONTRACTS["purchases"], DecodingPolicy(currency_rates={"USD": rate}))
    conversion = decoder.policy.conversions["USD"]
    payloads = [purchase(currency="USD", total=f"{minor // 100}.{minor % 100:02}") for minor in minors]
    for minor, event in zip(minors, accepted(decoder, payloads), strict=True):
        if event is not None:
            assert minor <= conversion.limit_minor
            assert event.amount_minor == conversion.to_base(minor)


def test_ordinary_money_is_not_doubted() -> None:
    decoder = Decoder(INPUT_CONTRACTS["purchases"], DecodingPolicy(currency_rates={"USD": Decimal("0.918273")}))
    payloads = [purchase(currency="USD", total=f"{minor / 100:.2f}") for minor in range(1, 10_000_000, 99_991)]
    assert None not in accepted(decoder, payloads)


def test_halves_are_rounded_to_even() -> None:
    decoder = Decoder(INPUT_CONTRACTS["purchases"], DecodingPolicy(currency_rates={"USD": Decimal("0.5")}))
    events = accepted(decoder, [purchase(currency="USD", total=f"0.0{cents}") for cents in (1, 2, 3, 5, 7)])
    assert [event.amount_minor for event in events if event] == [0, 1, 2, 2, 4]


@pytest.mark.parametrize("total", ["12.3450", "0.000002", "19.9900011", "19.9899989", "15.2999", 19.995])
def test_what_is_further_from_a_cent_than_noise_is_doubted(total: str | float) -> None:
    assert not is_accepted(purchase(total=total))
    with pytest.raises(InvalidRecord, match="expected whole minor units of EUR"):
        purchases().decode(purchase(total=total), NOW_MS)


def test_currency_that_is_kept_is_doubted_in_small_letters() -> None:
    decoder = purchases(kept=("currency",))
    assert not is_accepted(purchase(currency="usd"), decoder)
    usual, small = (scan(decoder, [purchase(currency=code)]) for code in ("USD", "usd"))
    assert usual.records.tobytes() == small.records.tobytes()
    assert usual.texts.tobytes() == small.texts.tobytes()


def test_largest_amount_is_accepted_and_more_is_not() -> None:
    assert is_accepted(purchase(total="1000000000000.00"))
    assert not is_accepted(purchase(total="1000000000000.01"))


def test_currency_with_a_rate_beyond_64_bits_is_left_to_the_models() -> None:
    rate = Decimal("1.0000000000000000000000000001")
    decoder = Decoder(INPUT_CONTRACTS["purchases"], DecodingPolicy(currency_rates={"USD": rate}))
    assert accepted(decoder, [purchase(currency="USD"), purchase()])[0] is None
    assert (scan(decoder, [purchase(currency="USD"), purchase()]).records["amount_minor"] == 1999).all()


# --- carriers ------------------------------------------------------------------------------------------------------


def test_key_is_the_customer_or_the_record_is_refused() -> None:
    scanned = scan(engagements(), [engagement()] * 4, [b"c1", b"c2", b"", None])
    assert scanned.records["status"].tolist() == [EVENT, REJECTED, REJECTED, REJECTED]
    rejections = [other for other in scanned.others if isinstance(other, Rejection)]
    assert [(rejection.error.reason, rejection.key) for rejection in rejections] == [
        ("key_mismatch", b"c2"),
        ("key_mismatch", b""),
        ("key_mismatch", None),
    ]


def test_tombstones_and_refused_records_point_at_what_they_are() -> None:
    scanned = scan(purchases(), [None, b"{", purchase(), None, b"", purchase(customer_id="c2")], [b"c1"] * 6)
    assert scanned.records["status"].tolist() == [SKIPPED, REJECTED, EVENT, SKIPPED, REJECTED, REJECTED]
    found = [scanned.others[at] for at in scanned.records["text_at"][[0, 1, 3, 4, 5]]]
    assert [type(other) for other in found] == [Skipped, Rejection, Skipped, Rejection, Rejection]
    assert [other.payload for other in found if isinstance(other, Rejection)][:2] == [b"{", b""]
    assert scanned.records["at_ms"][[0, 1, 3, 4, 5]].tolist() == [NO_TIME] * 5


def test_records_of_nothing_are_nothing() -> None:
    scanned = scan(purchases(), [])
    assert len(scanned.records) == len(scanned.texts) == len(scanned.others) == 0
    assert scan(purchases(), [b"", b""]).records["status"].tolist() == [REJECTED] * 2


def test_payload_longer_than_the_policy_allows_is_doubted() -> None:
    payload = purchase()
    assert is_accepted(payload, purchases(max_payload_bytes=len(payload)))
    assert not is_accepted(payload, purchases(max_payload_bytes=len(payload) - 1))


@pytest.mark.parametrize(("at", "size"), [(-1, 2), (0, -2), (0, 11), (10, 1), (11, 0), (2**62, 2**62)])
def test_record_that_does_not_lie_in_the_buffer_is_never_read(at: int, size: int) -> None:
    inside, outside = np.array([0]), Spans(np.array([at]), np.array([size]))
    assert ABSENT not in outside.size
    scanner = Scanner(purchases())
    with pytest.raises(ValueError, match="to be in the buffer"):
        scanner.accept(b"0123456789", Spans(inside, np.array([10])), NOW_MS, outside)
    if size < 2**32:
        with pytest.raises(ValueError, match="to be in the buffer"):
            scanner.accept(b"0123456789", outside, NOW_MS)


@given(st.lists(st.binary(max_size=5) | st.sampled_from([b"\n", b"\r\n", b"\n\n"])))
def test_lines_are_those_that_splitting_gives(parts: list[bytes]) -> None:
    block = b"".join(parts)
    lines = split_lines(block)
    found = [block[at : at + size] for at, size in zip(lines.at.tolist(), lines.size.tolist(), strict=True)]
    assert found == block.split(b"\n")[:-1]


@given(st.lists(st.none() | st.binary(max_size=4)), st.lists(st.none() | st.binary(max_size=4)))
def test_joined_parts_are_found_where_they_lie(first: list[bytes | None], second: list[bytes | None]) -> None:
    buffer, spans = join_parts(first, second)
    for parts, (at, size) in zip((first, second), spans, strict=True):
        places = zip(at.tolist(), size.tolist(), strict=True)
        assert [None if length == ABSENT else buffer[start : start + length] for start, length in places] == parts


# --- a topic is a description --------------------------------------------------------------------------------------


class ProfileRecord(InputRecord):
    """What a customer has said of itself."""

    city: Text
    """Where it lives."""
    nick: Text | None = None
    """How it likes to be called."""


PROFILES = InputContract(
    topic="profiles",
    version=1,
    title="Profiles",
    summary="What customers say of themselves.",
    model=ProfileRecord,
    to_event=lambda record, _: Event(
        ENGAGEMENT, record.customer_id, record.event_id, record.occurred_at, "profile_changed"
    ),
    scan_form=ScanForm(
        ENGAGEMENT, {"city": TEXT, "nick": TEXT}, words={"profile_changed": ENGAGEMENT}, absent_word="profile_changed"
    ),
)
PROFILE = {name: BROWSED[name] for name in ("event_id", "customer_id", "occurred_at")} | {"city": "Bern"}


def test_new_topic_needs_nothing_but_a_description() -> None:
    decoder = Decoder(PROFILES, DecodingPolicy())
    payload = json.dumps(PROFILE).encode()
    assert accepted(decoder, [payload]) == [decoder.decode_reference(payload, NOW_MS)]
    bad = json.dumps({**PROFILE, "city": None}).encode()
    assert accepted(decoder, [bad]) == [None]
    with pytest.raises(InvalidRecord):
        decoder.decode_reference(bad, NOW_MS)


def test_topic_without_a_description_is_decoded_by_the_tiers_behind() -> None:
    decoder = Decoder(replace(PROFILES, scan_form=None), DecodingPolicy())
    scanned = scan(decoder, [json.dumps(PROFILE).encode(), None, b"{}"])
    assert scanned.records["status"].tolist() == [EVENT, SKIPPED, REJECTED]
    assert scanned.doubted == 2
    assert Events(scanned.records, scanned.texts).event(0).type == "profile_changed"
    assert Scanner(decoder).accept(*_one(json.dumps(PROFILE).encode()))[0]["status"].tolist() == [DOUBTED]


def _one(payload: bytes) -> tuple[bytes, Spans, int]:
    buffer, (values,) = join_parts([payload])
    return buffer, values, NOW_MS


@pytest.mark.parametrize(
    "form",
    [
        ScanForm(ENGAGEMENT, {"city": TEXT, "nick": TEXT}),
        ScanForm(ENGAGEMENT, {"city": TEXT, "nick": WORD}, absent_word=None, words={"": 0}),
        ScanForm(9, {"city": TEXT, "nick": TEXT}, words={"x": ENGAGEMENT}, absent_word="x"),
    ],
    ids=["no type", "empty word", "unknown kind"],
)
def test_description_that_makes_no_events_is_refused_at_the_start_or_accepts_nothing(form: ScanForm) -> None:
    decoder = Decoder(replace(PROFILES, scan_form=form), DecodingPolicy())
    try:
        scanner = Scanner(decoder)
    except ValueError as error:
        assert "profiles" in str(error)  # noqa: PT017
    else:
        assert scanner.accept(*_one(json.dumps(PROFILE).encode()))[0]["status"].tolist() == [DOUBTED]


def test_description_of_other_fields_than_the_models_is_refused() -> None:
    form = ScanForm(ENGAGEMENT, {"town": TEXT}, words={"x": ENGAGEMENT}, absent_word="x")
    with pytest.raises(ValueError, match="scan_form of profiles"):
        Scanner(Decoder(replace(PROFILES, scan_form=form), DecodingPolicy()))
