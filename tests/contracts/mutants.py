"""Mutants of valid records: whatever the scanner accepts of them, the models accept too, and as the same event.

A million of them: `python -m tests.contracts.mutants --count 1000000`. With `--apart` each lies in memory of its own,
so that a build with AddressSanitizer sees any look beyond its end.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from stream_app.contracts.decoding import Decoder
from stream_app.contracts.scanner import Scanner, Spans
from stream_app.core.events import Events, pack_events
from stream_app.errors import InvalidRecord
from stream_app.native.structures import DOUBTED, EVENT
from tests.contracts.records import (
    CATALOGUE,
    ENGAGEMENT,
    KEPT_OF_ENGAGEMENTS,
    KEPT_OF_PURCHASES,
    NOW_MS,
    PROFILE,
    PURCHASE,
    engagements,
    profiles,
    purchases,
)
from tests.support.batches import join_parts

BLOCK: Final = 512
"""Mutants scanned at once: what the scanner remembers from one record to the next must not matter."""
DECODERS: Final = {
    "purchases": purchases(),
    "engagements": engagements(),
    "purchases of which fields are kept": purchases(kept=KEPT_OF_PURCHASES),
    "engagements of which fields are kept": engagements(kept=KEPT_OF_ENGAGEMENTS),
    "profiles": profiles(traits=CATALOGUE, sensitive_allowed=frozenset({"religion"})),
}
FREE: Final[list[dict[str, Any]]] = [
    {"a": {"b": "x", "c": [1]}, "price": 79.9, "tags": ["sale", "ü 🙂"], "flag": True, "ü": ""},
    {"a": {"b": {"c": 12, "b": 0}}, "price": -0.0, "tags": [], "flag": False, "z": "\n\u0085"},
    {"a": "text", "price": 1e-7, "tags": ["a", 1], "flag": None, "b": {"price": 1}},
    {"a": None, "price": 123456789012345, "tags": [""], "x": [[["y"]]], "flag": 1.5e22},
    {"a": {"b": {}}, "price": 0.30000000000000004, "tags": {"a": ["b"]}, "ü": 1e23},
]
"""Free objects."""
SEEDS: Final[dict[str, list[dict[str, Any]]]] = {
    "purchases": [
        PURCHASE,
        PURCHASE | {"type": "order_updated", "updated_at": "2024-05-01T11:00:00Z"},
        {name: value for name, value in PURCHASE.items() if name not in ("total", "currency")}
        | {"type": "order_refunded"},
        {name: value for name, value in PURCHASE.items() if name != "total"} | {"type": "order_cancelled"},
        PURCHASE | {"type": "order_refunded", "total": 19.99, "items": 3, "channel": "web", "products": ["a", "b-2"]},
        PURCHASE | {"customer_id": 115310627314723954, "event_id": 42, "order_id": 450789469, "currency": "usd"},
        PURCHASE
        | {"total": "45.900000000000006", "customer_id": "Zo\u00eb 7", "order_id": "-17850", "currency": "USD"},
        PURCHASE | {"currency": "USD", "total": "1234567.89", "store_id": "Köln 7", "order_id": "o-ß", "items": None},
        PURCHASE
        | {
            "currency": "JPY",
            "total": 5000,
            "x": {"a": [1e-5, {"b": "\n/", "": None}]},
            "y": "z",
            "channel": None,
            "type": None,
        },
        PURCHASE | {"currency": "KWD", "total": "007.125", "occurred_at": "2024-02-29T23:59:59+02:00", "products": []},
        PURCHASE
        | {"customer_id": "客" * 256, "event_id": "e" * 256, "total": "0", "products": [f"p{n}" for n in range(30)]},
        *(PURCHASE | {"properties": free, "items": number} for number, free in enumerate(FREE)),
    ],
    "engagements": [
        ENGAGEMENT,
        ENGAGEMENT | {"channel": "app", "campaign_id": "spring", "value": 4.5},
        ENGAGEMENT
        | {"value": -1e11, "type": "a" * 64, "customer_id": "🙂 c1", "flag": True, "note": [[], ['é"\\'], -1.5]},
        ENGAGEMENT | {"value": None, "occurred_at": "2023-12-31T23:30:00.5-01:30", "z": None, "n": 12.25},
        *(ENGAGEMENT | {"properties": free, "value": 1.25 * 10**number} for number, free in enumerate(FREE)),
    ],
}
SEEDS["profiles"] = [
    PROFILE | {"traits": traits}
    for traits in (
        PROFILE["traits"],
        {"born": "2024-02-29", "country": "Köln 🙂"},
        {"vip": False, "tags": [], "a.b-c_D": "", "employees": -0.0},
        {"tags": [f"t{number}" for number in range(64)], "religion": "x", "born": None},
        {"employees": 1e7, "born": "1970-01-01", "vip": None},
    )
]
for seed in SEEDS["profiles"][1:3]:
    del seed["event_id"], seed["source"]
PIECES: Final = [*b'"\\{}[]:, 0123456789.eE+-nulltrfasTZ\x00\x1f\x7f\x80\x85\xa0\xc2\xe0\xed\xf0\xf4\xff\r\n\t']
SNIPPETS: Final = [
    "\\u00e9", "\\x", "\\u12g4", "\\u123", '"a":[{"b":1}],', '"x":[[[[[[[1]]]]]]],', '"x":[[[[[[[[1]]]]]]]],',
    '{"a":{"b":1}}',
    "\x85", "\xa0", "é", "\u2028", "\ufeff", "😀", "null", "true", "NaN", "1e5", "1E400", "-1", "-0", "0", "00",
    ".5", "5.", "1.0", "{}", "[]", "[1]", '{"a":1,"a":2}', '"a":1,', '"x":1,', '"x":"\\u0041",',
    '"type":"order_refunded",', '"items":null,', '"value":1.5,', '"channel":null,', '"products":["a"],',
    '"products":["a",],', '"total":12,', '"total":"007.50",', '"event\\u005fid":"e2",', '"event_id":"e2",',
    "\\ud800", "\\n", "\\/", "+02:00", "-00:00", "+24:00", "Z", "z", "t", "24:00", "23:59:60", "2024-02-30",
    "2023-02-29", "0000-01-01", "0001-01-01", "9999-12-31", "1969-12-31", ".123456789", ".1234567890", "2024-05-01",
    "1000000000000", "1000000000000.01", "999999999999.999", "1000000", "1000001", "18446744073709551616",
    "a" * 255, "a" * 256, "a" * 257, "é" * 256, "é" * 257, "order_completed", "order_refunded", "EUR", "USD", "JPY",
    "KWD", "eur", '"properties":{"a":1},', '"price":1e22', '"price":-12.5E-3', '"price":1.5', '"tags":["x","y"]',
    '"a":{"b":2}', '"a":{"b":{"c":"d"}}', "9007199254740993", "123456789012345678", "1e23", "0.1", "-0.0", "1E2",
    '"country":"x",', '"employees":12', '"born":"2023-02-29"', '"disease":null,', '"tags":["b"]', "2024-02-29",
    " c1", "c1 ", "\u00a0", "\u0301", "\u3000", "guest", "NULL", "\\N", "-1", "0000", "0-0", "17850.0", "1.2E+17",
    "15.299999999999999", "45.900000000000006", "12.3400", "12.3450", "19.9900010", "19.9900011", "0.0000010", "usd",
    "1e-22", '"b":"c",', '"price":', '"properties":null,', '["\\n"]', '[" ",""]', "true,", "false,",
]  # fmt: skip
VALUES: Final[list[Any]] = [
    None, 1, 0, -1, 2.0, 1.5, 1e300, 1e-7, True, "", "x", " ", [], ["a"], ["a", "a"], [1], {}, {"a": 1}, "EUR",
    "JPY", "12.345", "1e3", "0.1", "é", "\x7f", "\x80", "\ud800", 999_999, 10**12, 10**12 + 1, 10**30,
    "2024-05-01T12:00:00+05:30", "2024-05-01t12:00:00z", "2024-05-01 12:00:00Z", "2024-W01-1T00:00:00Z",
    "2024-05-01T12:00:00.5Z", "2024-05-01T21:51:40.000Z", "2024-05-01T21:51:40.001Z", "a" * 64, "a" * 65, "A",
    "a_9", "9a", ["a", None], ["x" * 257], "é" * 257, {"b": 1.5}, {"b": {"c": ["d"]}}, 0.1, 12.5, 1e22, 1e23,
    2**53 + 1, 123456789012345, "a" * 128, "a" * 129, "Product Viewed",
    " c1", "c1\u3000", "Zoe\u0308", "Zo\u00eb", "\u1100\u1161\u11a8", "guest", "Guest ", "00000000-0000", "\\N",
    "17850.0", "1.2E+17", "-1", -1, 17850.0, 115310627314723954, 10**18, 10**31, "usd", "Jpy", "15.299999999999999",
    "12.3450", 45.900000000000006, 0.30000000000000004, "12.3400", "19.9900010", "19.9900011", "999999999999.9999999",
    1e-9, "999999999999.99", "1000000000000",
    "1000000000000.00", "00000000000000000012.5", "-0.0",
]  # fmt: skip


class Tally(NamedTuple):
    """What became of mutants."""

    accepted: int
    doubted: int
    doubted_though_plain: int
    wrong: list[bytes]


def of_bytes(payload: bytes, rng: random.Random) -> bytes:
    """Change, drop, insert, cut or exchange bytes."""
    found = bytearray(payload)
    at = rng.randrange(len(found) + 1)
    match rng.randrange(7):
        case 0:
            del found[at : at + rng.choice((1, 1, 1, 2, 5))]
        case 1:
            found[at:at] = rng.choice(SNIPPETS).encode()
        case 2:
            found[at : at + 1] = bytes([rng.choice(PIECES)])
        case 3:
            found[at : at + rng.randrange(12)] = rng.choice(SNIPPETS).encode()
        case 4:
            del found[at:]
        case 5:
            found[at : at + 1] = bytes([rng.randrange(256)])
        case _:
            parts = bytes(found).split(b",")
            parts.insert(rng.randrange(len(parts) + 1), rng.choice(parts))
            found = bytearray(b",".join(parts))
    return bytes(found)


def of_fields(record: dict[str, Any], rng: random.Random) -> bytes:
    """Change a value, drop a field, put the fields in another order, or write the record in another form."""
    names = list(record)
    changed = dict(record)
    match rng.randrange(4):
        case 0:
            del changed[rng.choice(names)]
        case 1:
            rng.shuffle(names)
            changed = {name: record[name] for name in names}
        case 2:
            changed[rng.choice([*names, "items", "value", "channel", "products", "properties", "traits"])] = rng.choice(
                VALUES
            )
            if isinstance(traits := changed.get("traits"), dict) and traits:
                changed["traits"] = traits | {rng.choice([*traits, "disease", "born", "x"]): rng.choice(VALUES)}
            if isinstance(free := changed.get("properties"), dict) and free:
                changed["properties"] = free | {rng.choice([*free, "b"]): rng.choice(VALUES)}
        case _:
            if isinstance(text := changed[name := rng.choice(names)], str):
                at = rng.randrange(len(text) + 1)
                changed[name] = text[:at] + rng.choice(SNIPPETS) + text[at + rng.randrange(8) :]
    separators = rng.choice([None, (",", ":"), (" , ", "\t:\r\n")])
    text = json.dumps(changed, ensure_ascii=rng.random() < 0.3, separators=separators)
    return text.encode("utf-8", "surrogatepass")


def mutants(topic: str, rng: random.Random) -> Iterator[tuple[bytes, bytes]]:
    """Yield payloads and keys without end; every third differs only in what values its fields have."""
    while True:
        record = rng.choice(SEEDS[topic.partition(" ")[0]])
        key = str(record["customer_id"]).encode() if rng.random() < 0.97 else of_bytes(b"c1", rng)
        kind = rng.randrange(3)
        payload = json.dumps(record, ensure_ascii=False).encode() if kind == 0 else of_fields(record, rng)
        for _ in range(0 if kind == 1 else rng.choice((1, 1, 1, 2, 3))):
            payload = of_bytes(payload, rng)
        yield payload, key


def check(topic: str, payloads: Sequence[bytes], keys: Sequence[bytes] | None, *, apart: bool = False) -> Tally:
    """Compare the scanner's verdicts with those of the models."""
    decoder = DECODERS[topic]
    scanner = Scanner(decoder)
    if apart:
        parts = [_scan_apart(scanner, payload) for payload in payloads]
    else:
        buffer, (values, *key_spans) = join_parts(payloads, *([keys] if keys is not None else []))
        whole = Events(*scanner.accept(buffer, values, NOW_MS, *key_spans))
        parts = [whole[index : index + 1] for index in range(len(payloads))]
    accepted = doubted_though_plain = 0
    wrong = []
    for index, (payload, found) in enumerate(zip(payloads, parts, strict=True)):
        key = None if keys is None or apart else keys[index]
        if found.records["status"][0] == EVENT:
            accepted += 1
            if not _is_right(decoder, payload, key, found):
                wrong.append(payload)
        else:
            assert found.records["status"][0] == DOUBTED
            doubted_though_plain += decoder.read_fast(payload, NOW_MS, key) is not None
    return Tally(accepted, len(payloads) - accepted, doubted_though_plain, wrong)


def _is_right(decoder: Decoder, payload: bytes, key: bytes | None, found: Events) -> bool:
    try:
        event = decoder.decode_reference(payload, NOW_MS, key)
    except InvalidRecord:
        return False
    expected = pack_events([event], 0, 0)
    records = found.records.copy()
    start = int(records["text_at"][0])
    records["text_at"] = 0
    same_texts = found.texts[start : start + len(expected.texts)].tobytes() == expected.texts.tobytes()
    return same_texts and records.tobytes() == expected.records.tobytes()


def _scan_apart(scanner: Scanner, payload: bytes) -> Events:
    """Scan a payload that lies in memory of its own, to the byte."""
    own = np.array(np.frombuffer(payload, np.uint8))
    return Events(*scanner.accept(own, Spans(np.array([0]), np.array([len(own)])), NOW_MS))


def check_many(count: int, seed: int, *, apart: bool = False) -> Tally:
    """Draw mutants of the topics, with fields that are kept and without, half of them with keys, and check them."""
    rng = random.Random(seed)
    sources = {topic: mutants(topic, rng) for topic in DECODERS}
    accepted = doubted = doubted_though_plain = 0
    wrong: list[bytes] = []
    for number, start in enumerate(range(0, count, BLOCK)):
        topic = list(DECODERS)[number % len(DECODERS)]
        drawn = [next(sources[topic]) for _ in range(min(BLOCK, count - start))]
        payloads, keys = [payload for payload, _ in drawn], [key for _, key in drawn]
        tally = check(topic, payloads, keys if number // len(DECODERS) % 2 else None, apart=apart)
        accepted += tally.accepted
        doubted += tally.doubted
        doubted_though_plain += tally.doubted_though_plain
        wrong += tally.wrong
    return Tally(accepted, doubted, doubted_though_plain, wrong)


def main() -> int:
    """Check as many as asked for; 1 if one was accepted wrongly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--apart", action="store_true")
    asked = parser.parse_args()
    tally = check_many(asked.count, asked.seed, apart=asked.apart)
    for payload in tally.wrong[:20]:
        print(payload)
    print(
        f"{asked.count} mutants, seed {asked.seed}: {tally.accepted} accepted, {tally.doubted} doubted, "
        f"{tally.doubted_though_plain} of them common in the typed decode's eyes, {len(tally.wrong)} accepted wrongly"
    )
    return int(bool(tally.wrong))


if __name__ == "__main__":
    sys.exit(main())
