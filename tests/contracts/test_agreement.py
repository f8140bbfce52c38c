"""Neither the scanner nor the fast path accepts anything that the models refuse, or anything differently."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_app.contracts.fields import parse_instant
from stream_app.contracts.scanner import Scanner
from stream_app.core.clock import format_instant
from stream_app.core.events import Event, pack_events
from stream_app.core.records import Rejection
from stream_app.errors import InvalidRecord
from tests.contracts.records import (
    CATALOGUE,
    ENGAGEMENT,
    KEPT_OF_ENGAGEMENTS,
    KEPT_OF_PURCHASES,
    NOW_MS,
    PROFILE,
    PURCHASE,
    encode,
    engagements,
    profiles,
    purchases,
)
from tests.contracts.test_bad_input import BAD_PAYLOADS
from tests.support.batches import join_parts

DECODERS = {
    "purchases": purchases(),
    "engagements": engagements(),
    "profiles": profiles(traits=CATALOGUE, sensitive_allowed=frozenset({"religion"})),
    "purchases of which fields are kept": purchases(kept=KEPT_OF_PURCHASES),
    "engagements of which fields are kept": engagements(kept=KEPT_OF_ENGAGEMENTS),
}
BASES = {"purchases": PURCHASE, "engagements": ENGAGEMENT, "profiles": PROFILE}
SCANNERS = {topic: Scanner(decoder) for topic, decoder in DECODERS.items()}
TOPICS = st.sampled_from(sorted(DECODERS))


def verdict(decode: Any, payload: bytes, key: bytes | None) -> object:
    try:
        return decode(payload, NOW_MS, key)
    except InvalidRecord as rejection:
        return rejection.reason, rejection.field, rejection.message


def assert_paths_agree(topic: str, payload: bytes, key: bytes | None = None) -> None:
    decoder = DECODERS[topic]
    expected = verdict(decoder.decode_reference, payload, key)
    assert verdict(decoder.decode, payload, key) == expected
    buffer, (values, keys) = join_parts([payload], [key])
    scanned = SCANNERS[topic].scan(buffer, values, NOW_MS, None if key is None else keys)
    if isinstance(expected, Event):
        packed = pack_events([expected], 0, 0)
        assert scanned.records.tobytes() == packed.records.tobytes()
        assert scanned.texts.tobytes() == packed.texts.tobytes()
    else:
        (refused,) = scanned.others
        assert isinstance(refused, Rejection)
        assert (refused.error.reason, refused.error.field, refused.error.message) == expected


texts = st.text(max_size=6) | st.text(st.sampled_from('a"\\\x00\x1f\x7f\x85\ud800é '), max_size=4)
ids = st.one_of(
    texts,
    st.sampled_from(
        ["c1", " c1", "c1\u00a0", "Zoe\u0308", "Zo\u00eb", "\u1100\u1161", "guest", "GUEST ", "0", "0-0", "-1"]
    ),
    st.from_regex(r"[ ]?-?[0-9]{1,3}([.,][0-9]{1,2})?([Ee]\+?[0-9]{1,4})?[ ]?", fullmatch=True),
    st.integers() | st.floats(),
    st.text(st.sampled_from("a\u0301\u0323\u00e9\u3000\u212b\u1161\uac00\u11a8 "), max_size=5),
)
times = st.one_of(
    st.datetimes().map(lambda at: at.isoformat() + "Z"),
    st.from_regex(
        r"(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-5][0-9]:[0-6][0-9]([.,][0-9]{1,9})?"
        r"([Zz]|[+-][0-2][0-9]:?[0-6][0-9])?",
        fullmatch=True,
    ),
    st.sampled_from(["2024-05-01T12:00:00Z", "2024-05-01T21:51:40.000Z", "2024-05-01T21:51:40.001Z"]),
)
amounts = st.one_of(
    st.from_regex(r"-?[0-9]{0,14}\.?[0-9]{0,5}", fullmatch=True),
    st.decimals(-1, 10**13, places=2).map(str),
    st.integers(-5, 10**13),
    st.floats(),
    st.integers(-5, 10**5).map(lambda minor: minor / 100),
    st.integers(-5, 10**5).map(lambda minor: str(minor / 100 * 3)),
    st.from_regex(r"[0-9]{1,3}\.[0-9]{2}[049]{0,14}[0-9]{0,2}", fullmatch=True),
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
numbers = st.floats() | st.integers() | st.integers(-(10**6), 10**6).map(lambda cents: cents / 100)
things = st.fixed_dictionaries({}, optional={"b": texts | numbers | anything, "c": anything})
names = st.sampled_from([*CATALOGUE, "plan", "company.size", "religion", "health_status"]) | st.text(max_size=3)
FIELD_VALUES = {
    "event_id": ids,
    "customer_id": ids,
    "occurred_at": times,
    "type": st.sampled_from(["order_refunded", "product_viewed", "unlisted", "A", "", "a" * 128, "a" * 129, "Ü 🙂"]),
    "order_id": ids,
    "currency": st.sampled_from(["EUR", "USD", "JPY", "KWD", "CHF", "eur", "Usd", "jpy", "XXX", "eu"]),
    "total": amounts,
    "items": st.integers(-1, 1_000_001) | st.floats(),
    "channel": texts,
    "store_id": texts,
    "products": st.lists(texts, max_size=3),
    "campaign_id": texts,
    "value": st.floats() | st.integers(),
    "properties": st.fixed_dictionaries(
        {}, optional={"a": anything | things, "price": numbers, "tags": st.lists(texts)}
    ),
    "observed_at": times,
    "source": texts,
    "traits": st.dictionaries(names, st.one_of(numbers, texts, st.booleans(), st.none(), st.lists(texts), anything)),
    "unknown": anything,
}


@st.composite
def records(draw: st.DrawFn, topic: str) -> list[tuple[str, Any]]:
    """Draw a valid record's items with some fields changed, dropped, repeated or added, in any order."""
    items = dict(BASES[topic.partition(" ")[0]])
    for field in draw(st.lists(st.sampled_from(sorted(FIELD_VALUES)), max_size=3)):
        items[field] = draw(st.one_of(FIELD_VALUES[field], FIELD_VALUES[field], anything))
    if draw(st.integers(0, 9)) == 5:
        items.pop(draw(st.sampled_from(sorted(items))))
    pairs = list(items.items())
    if draw(st.integers(0, 9)) == 5:
        pairs.append((draw(st.sampled_from(sorted(items))), draw(anything)))
    return draw(st.permutations(pairs))


def as_object(pairs: list[tuple[str, Any]], ensure_ascii: bool) -> bytes:
    members = (f"{json.dumps(name)}:{json.dumps(value, ensure_ascii=ensure_ascii)}" for name, value in pairs)
    return ("{" + ",".join(members) + "}").encode("utf-8", "surrogatepass")


@settings(max_examples=1_000, deadline=None)
@given(topic=TOPICS, data=st.data(), ensure_ascii=st.booleans(), key=st.sampled_from([None, None, None, b"c1", b""]))
def test_paths_agree_on_records_with_mutated_fields(
    topic: str, data: st.DataObject, ensure_ascii: bool, key: bytes | None
) -> None:
    assert_paths_agree(topic, as_object(data.draw(records(topic)), ensure_ascii), key)


@settings(max_examples=800, deadline=None)
@given(topic=TOPICS, data=st.data())
def test_paths_agree_on_records_with_mutated_bytes(topic: str, data: st.DataObject) -> None:
    payload = bytearray(as_object(data.draw(records(topic)), data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(payload)))
        width = data.draw(st.integers(0, 3))
        payload[at : at + width] = data.draw(
            st.binary(max_size=2) | st.sampled_from([b'"', b"\\", b"{", b"1", b"e", b","])
        )
    assert_paths_agree(topic, bytes(payload))


@settings(max_examples=300, deadline=None)
@given(topic=TOPICS, payload=st.binary(max_size=40))
@example(topic="purchases", payload=b"{}")
def test_paths_agree_on_any_bytes(topic: str, payload: bytes) -> None:
    assert_paths_agree(topic, payload)


@pytest.mark.parametrize("payload", [case[0] for case in BAD_PAYLOADS.values()], ids=BAD_PAYLOADS.keys())
def test_paths_agree_on_every_known_nasty_of_any_topic(payload: bytes) -> None:
    for topic in DECODERS:
        assert_paths_agree(topic, payload)
        assert_paths_agree(topic, payload, b"c1")


@settings(max_examples=300, deadline=None)
@given(anything)
def test_repeating_any_member_is_always_found(value: object) -> None:
    payload = as_object([*PURCHASE.items(), ("x", value), ("x", value)], ensure_ascii=True)
    found = verdict(DECODERS["purchases"].decode, payload, None)
    assert isinstance(found, tuple)
    assert found[0] in {"duplicate_key", "malformed"}  # malformed where the value holds NaN


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from("0123456789-:.TZW+, "), min_size=24, max_size=24) | times)
def test_shortcut_for_the_common_time_accepts_only_what_the_pattern_does(text: str) -> None:
    try:
        at_ms = parse_instant(text)
    except ValueError:
        return
    # one more digit takes any text off the shortcut, and is cut off in reading
    assert parse_instant(text.replace("Z", "0Z") if "." in text and text.endswith("Z") else text) == at_ms


def test_shortcut_refuses_a_common_time_with_any_other_character_in_it() -> None:
    generator = random.Random(5)
    valid = "2024-05-01T12:34:56.789Z"
    for at in range(len(valid)):
        for char in [*"-:.,TZtzW+_ aeE\0/", "٣", "é", "\ud800", chr(generator.randrange(256, 0xD800))]:
            if char == valid[at] or (char, at) in {("t", 10), ("z", 23)}:
                continue
            with pytest.raises(ValueError, match="RFC 3339"):
                parse_instant(valid[:at] + char + valid[at + 1 :])


def test_times_are_read_right_however_many_different_hours_came_before() -> None:
    hour_ms = 3_600_000
    for number in (*range(1_100), 0, 1_099):
        at_ms = number * hour_ms + 754_321
        assert parse_instant(format_instant(at_ms)) == at_ms


def test_encoded_record_is_what_the_tests_mean() -> None:
    assert json.loads(encode(PURCHASE)) == PURCHASE
