"""Profiles become events that are no acts, and hold all their traits."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from stream_app.contracts.decoding import Decoder
from stream_app.contracts.policy import DecodingPolicy
from stream_app.contracts.scanner import Scanner
from stream_app.contracts.traits import TRAITS_BYTES_MAX, TRAITS_MAX
from stream_app.core.events import PROFILE as KIND
from stream_app.core.events import Event, pack_events
from stream_app.core.kept import Value, read_kept
from stream_app.errors import ConfigurationError, InvalidRecord, TraitProtected
from stream_app.native.structures import DOUBTED, EVENT
from tests.contracts.records import AT_MS, CATALOGUE, NOW_MS, PROFILE, encode, profile, profiles
from tests.contracts.test_bad_input import rejection
from tests.support.batches import join_parts

METHODS = ["decode", "decode_reference"]


def traits_of(event: Event) -> list[tuple[str, Value]]:
    return list(read_kept(event.kept))


@pytest.mark.parametrize("method", METHODS)
def test_profile_becomes_an_event_of_its_own_kind(method: str) -> None:
    event = getattr(profiles(), method)(profile(), NOW_MS, b"c1")
    assert event == Event(KIND, "c1", "e1", AT_MS, "profile", kept=event.kept)
    assert traits_of(event) == [
        ("country", "IT"),
        ("employees", 25.0),
        ("gone", None),
        ("tags", ["a", "b"]),
        ("vip", True),
    ]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("absent", [{}, {"event_id": None, "source": None}])
def test_profile_needs_neither_id_nor_source(absent: dict[str, None], method: str) -> None:
    record = {name: PROFILE[name] for name in ("customer_id", "observed_at", "traits")} | absent
    event = getattr(profiles(), method)(encode(record), NOW_MS)
    assert (event.event_id, event.customer_id, len(traits_of(event))) == ("", "c1", 5)


@pytest.mark.parametrize("method", METHODS)
def test_traits_stand_in_the_order_of_their_names_whatever_the_record_s(method: str) -> None:
    traits = {"b": 1, "a.x": "t", "A": True, "a": [], "a-b": None, "Z9": -0.0}
    event = getattr(profiles(), method)(profile(traits=traits), NOW_MS)
    assert [name for name, _ in traits_of(event)] == sorted(traits)
    assert dict(traits_of(event)) == traits
    turned = dict(reversed(traits.items()))
    assert getattr(profiles(), method)(profile(traits=turned), NOW_MS) == event


@pytest.mark.parametrize("text", ["", "line\nbreak", "\x7f\x85", "🙂" * 256, 'say "x" \\'])
def test_text_of_a_trait_may_be_any(text: str) -> None:
    for method in METHODS:
        event = getattr(profiles(), method)(profile(traits={"a": text, "b": [text] * 3}), NOW_MS)
        assert traits_of(event) == [("a", text), ("b", [text] * 3)]


def test_most_traits_are_taken_and_one_more_is_not() -> None:
    most = {f"trait_{number}": number for number in range(TRAITS_MAX)}
    assert len(traits_of(profiles().decode(profile(traits=most), NOW_MS))) == TRAITS_MAX
    found = rejection(profiles(), profile(traits=most | {"more": 1}))
    assert (found.reason, found.field) == ("out_of_range", "traits")


BAD_TRAITS: dict[str, tuple[Any, str, str]] = {
    "none": ({}, "out_of_range", "traits: {}, expected at least 1"),
    "a list": ([], "wrong_type", "traits: [], expected an object"),
    "null": (None, "wrong_type", "traits: null, expected an object"),
    "empty name": ({"": 1}, "out_of_range", 'traits: "", expected a string of the form'),
    "name of digits": ({"1a": 1}, "out_of_range", 'traits: "1a"'),
    "name with a line break": ({"a\n": 1}, "out_of_range", 'traits: "a\\n"'),
    "long name": ({"a" * 65: 1}, "out_of_range", 'traits: "aaa'),
    "name that is no text": ({"\ud800": 1}, "invalid_encoding", "traits: "),
    "object": (
        {"a": {"b": 1}},
        "wrong_type",
        'traits.a: {"b": 1}, expected null, a boolean, a number, a text or a list',
    ),
    "list of numbers": ({"a": ["x", 1]}, "wrong_type", 'traits.a: ["x", 1]'),
    "list of lists": ({"a": [["x"]]}, "wrong_type", 'traits.a: [["x"]]'),
    "long list": ({"a": ["x"] * 65}, "out_of_range", "expected at most 64 elements"),
    "long text": ({"a": "x" * 257}, "out_of_range", "expected texts of at most 256 characters"),
    "long text in a list": ({"a": ["x" * 257]}, "out_of_range", "expected texts of at most 256 characters"),
    "number beyond all doubles": ({"a": 10**400}, "out_of_range", "expected a finite number"),
    "half a surrogate pair": ({"a": "\ud800"}, "invalid_encoding", "expected text without lone surrogates"),
    "half a pair in a list": ({"a": ["\ud800"]}, "invalid_encoding", "expected text without lone surrogates"),
}


@pytest.mark.parametrize(("traits", "reason", "message"), BAD_TRAITS.values(), ids=BAD_TRAITS.keys())
def test_bad_traits_are_refused_with_reason_and_value(traits: Any, reason: str, message: str) -> None:
    found = rejection(profiles(), profile(traits=traits))
    assert (found.reason, found.field) == (reason, "traits")
    assert found.message.startswith(message) or message in found.message


@pytest.mark.parametrize(
    ("payload", "reason", "field"),
    [
        (encode({**PROFILE, "observed_at": "2024-05-01"}), "invalid_time", "observed_at"),
        (encode({**PROFILE, "observed_at": "2999-05-01T00:00:00Z"}), "time_in_future", "observed_at"),
        (encode({name: PROFILE[name] for name in ("customer_id", "traits")}), "missing_field", "observed_at"),
        (encode({name: PROFILE[name] for name in ("customer_id", "observed_at")}), "missing_field", "traits"),
        (profile(event_id=""), "out_of_range", "event_id"),
        (profile(source=7), "wrong_type", "source"),
        (profile().replace(b'"vip": true', b'"vip": true, "country": "DE"'), "duplicate_key", "$"),
        (profile().replace(b'"vip": true', b'"vip": NaN'), "malformed", "$"),
    ],
)
def test_bad_profile_is_refused_with_reason_and_field(payload: bytes, reason: str, field: str) -> None:
    found = rejection(profiles(), payload)
    assert (found.reason, found.field) == (reason, field)


def test_key_is_the_customer() -> None:
    assert rejection(profiles(), profile(), b"c2").reason == "key_mismatch"


def test_traits_that_are_too_long_together_are_refused() -> None:
    long = ["é" * 250] * 60
    decoder = profiles(max_payload_bytes=10**6)
    fits = profile(traits={"a": long})
    assert len(decoder.decode(fits, NOW_MS).kept) < TRAITS_BYTES_MAX
    for traits in ({"a": long, "b": long}, {"a": ["🙂" * 256] * 64}):
        found = rejection(decoder, json.dumps(PROFILE | {"traits": traits}, ensure_ascii=False).encode())
        assert (found.reason, found.field) == ("too_large", "traits")


def test_common_profile_does_not_need_the_reference_path(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = profiles()
    monkeypatch.setattr(type(decoder), "decode_reference", lambda *_: pytest.fail("took the slow path"))
    assert decoder.decode(profile(extra={"a": ["b"]}), NOW_MS).customer_id == "c1"


# --- the scanner ---------------------------------------------------------------------------------------------------

LISTED = profiles(traits=CATALOGUE, sensitive_allowed=frozenset({"religion"}))


def is_accepted(traits: Any, decoder: Decoder = LISTED, **changes: Any) -> bool:
    """Tell whether the scanner alone reads a profile; it must not be otherwise than the models do."""
    payload = json.dumps(PROFILE | {"traits": traits} | changes, ensure_ascii=False).encode()
    buffer, (values,) = join_parts([payload])
    records, texts = Scanner(decoder).accept(buffer, values, NOW_MS)
    if records["status"][0] != EVENT:
        return False
    packed = pack_events([decoder.decode_reference(payload, NOW_MS)], 0, 0)
    assert (records.tobytes(), texts.tobytes()) == (packed.records.tobytes(), packed.texts.tobytes())
    return True


def test_profile_of_listed_traits_is_read_by_the_scanner() -> None:
    assert is_accepted({"vip": True, "country": "Köln", "employees": -1.5, "tags": ["a", ""], "gone": None})
    assert is_accepted({"born": "2024-02-29", "religion": "x", "a.b-c_D": ""}, event_id=None, source=None)
    assert is_accepted({"tags": ["é" * 256] * 60})


def test_profile_of_the_most_traits_is_read_by_the_scanner() -> None:
    catalogue = {f"trait_{number}": "number" for number in range(500)}
    names = random.Random(1).sample(sorted(catalogue), TRAITS_MAX + 1)
    decoder = profiles(traits=catalogue)
    assert is_accepted(dict.fromkeys(names[1:], 7), decoder)
    assert not is_accepted(dict.fromkeys(names, 7), decoder)


@pytest.mark.parametrize(
    "traits",
    [
        {},
        {"plan": "pro"},
        {"country": "IT", "plan": "pro"},
        {"disease": "x"},
        {"country": 1},
        {"employees": "1"},
        {"employees": 0.1 + 0.2},
        {"vip": "true"},
        {"tags": "a"},
        {"tags": ["a", 1]},
        {"tags": ["a"] * 65},
        {"tags": ["x" * 257]},
        {"tags": ["é" * 256] * 64},
        {"country": {"a": 1}},
        {"country": "x" * 257},
        {"country": "a\nb"},
        {"born": "2023-02-29"},
        {"born": "2024-02-29T12:00:00Z"},
        {"born": ""},
    ],
    ids=lambda traits: json.dumps(traits)[:30],
)
def test_profile_of_anything_else_is_left_to_the_tiers_behind(traits: Any) -> None:
    assert not is_accepted(traits)


def test_trait_that_is_there_twice_is_doubted() -> None:
    payload = profile(traits={"country": "IT", "vip": True}).replace(b'"vip"', b'"country"').replace(b"true", b'"DE"')
    buffer, (values,) = join_parts([payload])
    assert Scanner(LISTED).accept(buffer, values, NOW_MS)[0]["status"].tolist() == [DOUBTED]
    assert rejection(LISTED, payload).reason == "duplicate_key"


def test_list_is_no_deeper_than_the_policy_allows() -> None:
    shallow = profiles(traits=CATALOGUE, max_depth=2)
    assert is_accepted({"country": "IT"}, shallow)
    assert not is_accepted({"tags": ["a"]}, shallow)
    assert rejection(shallow, profile(traits={"tags": ["a"]})).reason == "too_deep"


def test_without_a_catalogue_profiles_are_read_by_the_tiers_behind() -> None:
    payloads = [profile(customer_id=f"c{number}") for number in range(3)]
    buffer, (values,) = join_parts(payloads)
    scanned = Scanner(profiles()).scan(buffer, values, NOW_MS)
    assert scanned.doubted == 3
    packed = pack_events([profiles().decode(payload, NOW_MS) for payload in payloads], 0, 0)
    assert (scanned.records.tobytes(), scanned.texts.tobytes()) == (packed.records.tobytes(), packed.texts.tobytes())


def test_catalogue_may_list_what_no_record_can_name() -> None:
    traits: dict[str, Any] = {"Company Size": "number", "x" * 200: "string", "country": "string"}
    assert is_accepted({"country": "IT"}, profiles(traits=traits))


# --- the catalogue -------------------------------------------------------------------------------------------------

TYPES: dict[str, Any] = {"s": "string", "n": "number", "b": "boolean", "d": "date", "l": "list"}
OF_TYPE: dict[str, list[Any]] = {
    "s": ["", "x", "120"],
    "n": [0, -1.5, 1e300],
    "b": [True, False],
    "d": ["2024-02-29", "2024-02-29T12:00:00+02:00", "0001-01-01"],
    "l": [[], ["x"]],
}
OF_NO_TYPE: dict[str, list[Any]] = {
    "s": [1, True, ["x"]],
    "n": ["120", True, [], ""],
    "b": ["true", 0, 1, ""],
    "d": ["2023-02-29", "2024-2-9", "29.02.2024", "2024-02-29 12:00", "2024-02-29T12:00:00", "", 20240229],
    "l": ["x", "a;b", 1],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in OF_TYPE.items() for value in values])
def test_trait_of_the_catalogue_s_type_is_taken(name: str, value: object) -> None:
    decoder = profiles(traits=TYPES)
    for method in METHODS:
        assert traits_of(getattr(decoder, method)(profile(traits={name: value}), NOW_MS)) == [(name, value)]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in OF_NO_TYPE.items() for value in values])
def test_trait_of_another_type_is_refused_with_name_and_value(name: str, value: object) -> None:
    found = rejection(profiles(traits=TYPES), profile(traits={"x": 1, name: value}))
    assert (found.reason, found.field) == ("wrong_type", "traits")
    assert found.message.startswith(f"traits.{name}: {json.dumps(value)}, expected ")
    assert traits_of(profiles().decode(profile(traits={name: value}), NOW_MS)) == [(name, value)]


def test_trait_of_any_type_can_be_taken_away() -> None:
    event = profiles(traits=TYPES).decode(profile(traits=dict.fromkeys(TYPES)), NOW_MS)
    assert traits_of(event) == [(name, None) for name in sorted(TYPES)]


def test_type_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="traits: age 'integer', expected one of string, number"):
        DecodingPolicy(traits={"age": "integer"})  # type: ignore[dict-item]


@pytest.mark.parametrize("value", ["x", None])
def test_sensitive_trait_is_refused_without_its_value_unless_it_is_allowed(value: str | None) -> None:
    payload = profile(traits={"country": "IT", "religion": value})
    found = rejection(profiles(), payload)
    assert (type(found), found.reason, found.field) == (TraitProtected, "out_of_range", "traits")
    assert found.message.startswith("traits.religion: suggests religion, expected no such trait")
    allowed = profiles(sensitive_allowed=frozenset({"religion"}))
    assert dict(traits_of(allowed.decode(payload, NOW_MS)))["religion"] == value
    with pytest.raises(InvalidRecord):
        allowed.decode(profile(traits={"religious": "x"}), NOW_MS)
