"""Every bad record becomes one dead letter that says what, why and where; the run goes on, and the counts add up.

All cases of a format lie in one file, with a sound record before each, and go through the real command once.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any, Final

import pytest

from stream_app.contracts.outputs.dead_letter import DeadLetter
from tests.contracts.records import ENGAGEMENT, PURCHASE
from tests.support.replays import Outputs, engagement_at, purchase_at, replay, write_lines

AT: Final = "2024-05-01T12:00:00.000Z"
DEEP: Final = "[" * 10_000 + "]" * 10_000
MEGABYTE: Final = "c" * 1_000_000


def tokens(record: dict[str, Any], field: str, token: str | bytes) -> bytes:
    """Return a record in which a field's value is these very characters."""
    raw = token if isinstance(token, bytes) else token.encode()
    return json.dumps(record | {field: "@"}).encode().replace(b'"@"', raw)


def common_cases(record: dict[str, Any]) -> dict[str, tuple[bytes, str, str]]:
    """Return bad forms of a sound record that both contracts refuse: line, reason, field."""
    whole = json.dumps(record).encode()

    def changed(**changes: object) -> bytes:
        return json.dumps(record | changes).encode()

    def without(field: str) -> bytes:
        return json.dumps({name: value for name, value in record.items() if name != field}).encode()

    return {
        "broken line": (whole[:40], "malformed", "$"),
        "two records on a line": (whole * 2, "malformed", "$"),
        "no JSON": (b"customer_id,occurred_at", "malformed", "$"),
        "array": (b"[" + whole + b"]", "wrong_type", "$"),
        "no event id": (without("event_id"), "missing_field", "event_id"),
        "no customer": (without("customer_id"), "no_customer", "customer_id"),
        "no time": (without("occurred_at"), "missing_field", "occurred_at"),
        "null customer": (changed(customer_id=None), "no_customer", "customer_id"),
        "decimal number for a customer": (changed(customer_id=17850.0), "damaged_id", "customer_id"),
        "number that a spreadsheet cut": (changed(customer_id="1.15311E+17"), "damaged_id", "customer_id"),
        "5,000-digit integer for a customer": (
            tokens(record, "customer_id", "9" * 5_000),
            "out_of_range",
            "customer_id",
        ),
        "nobody": (changed(customer_id="[object Object]"), "placeholder_id", "customer_id"),
        "10,000 brackets": (DEEP.encode(), "too_deep", "$"),
        "10,000 brackets in a field": (tokens(record, "x", DEEP), "too_deep", "$"),
        "invalid UTF-8": (tokens(record, "customer_id", b'"\xff"'), "invalid_encoding", "$"),
        "lone surrogate": (tokens(record, "customer_id", '"\\ud800"'), "invalid_encoding", "customer_id"),
        "repeated key": (b'{"customer_id": "c0", ' + whole[1:], "duplicate_key", "customer_id"),
        "naive time": (changed(occurred_at="2024-05-01T12:00:00"), "invalid_time", "occurred_at"),
        "no such day": (changed(occurred_at="2024-02-30T12:00:00Z"), "invalid_time", "occurred_at"),
        "far future": (changed(occurred_at="2999-01-01T00:00:00Z"), "time_in_future", "occurred_at"),
        "end of time": (changed(occurred_at="9999-12-31T23:59:59-23:59"), "time_in_future", "occurred_at"),
        "before 1970": (changed(occurred_at="1969-12-31T23:59:59Z"), "invalid_time", "occurred_at"),
        "empty customer": (changed(customer_id=""), "no_customer", "customer_id"),
        "long customer": (changed(customer_id="c" * 257), "out_of_range", "customer_id"),
        "1 MB customer": (changed(customer_id=MEGABYTE), "too_large", "customer_id"),
        "NUL in a customer": (changed(customer_id="a\0b"), "out_of_range", "customer_id"),
        "NaN in an unknown field": (tokens(record, "x", "NaN"), "malformed", "$"),
    }


PURCHASES: Final = common_cases(PURCHASE) | {
    "NaN": (tokens(PURCHASE, "total", "NaN"), "malformed", "total"),
    "Infinity": (tokens(PURCHASE, "total", "Infinity"), "malformed", "total"),
    "-Infinity": (tokens(PURCHASE, "total", "-Infinity"), "malformed", "total"),
    "1e400": (tokens(PURCHASE, "total", "1e400"), "out_of_range", "total"),
    "5,000-digit integer": (tokens(PURCHASE, "total", "9" * 5_000), "out_of_range", "total"),
    "negative amount": (tokens(PURCHASE, "total", "-1"), "out_of_range", "total"),
    "negative amount as a string": (tokens(PURCHASE, "total", '"-19.99"'), "out_of_range", "total"),
    "amount in words": (tokens(PURCHASE, "total", '"ten"'), "wrong_type", "total"),
    "unknown currency": (tokens(PURCHASE, "currency", '"XYZ"'), "unknown_currency", "currency"),
    "currency without a rate": (tokens(PURCHASE, "currency", '"USD"'), "unknown_currency", "currency"),
    "unknown type": (tokens(PURCHASE, "type", '"order_dreamt"'), "out_of_range", "type"),
    "negative items": (tokens(PURCHASE, "items", "-1"), "out_of_range", "items"),
    "an engagement": (json.dumps(ENGAGEMENT).encode(), "out_of_range", "type"),
}
ENGAGEMENTS: Final = common_cases(ENGAGEMENT) | {
    "NaN": (tokens(ENGAGEMENT, "value", "NaN"), "malformed", "value"),
    "Infinity": (tokens(ENGAGEMENT, "value", "Infinity"), "malformed", "value"),
    "1e400": (tokens(ENGAGEMENT, "value", "1e400"), "out_of_range", "value"),
    "5,000-digit integer": (tokens(ENGAGEMENT, "value", "9" * 5_000), "out_of_range", "value"),
    "empty type": (tokens(ENGAGEMENT, "type", '""'), "out_of_range", "type"),
    "no type": (tokens(ENGAGEMENT, "type", "null"), "wrong_type", "type"),
}
HEADER: Final = b"event_id,customer_id,occurred_at,total,currency,note"
ROWS: Final = {
    "too few cells": (b"e,c1,2024-05-01T12:00:00Z,5,EUR", "malformed", "$"),
    "too many cells": (b"e,c1,2024-05-01T12:00:00Z,5,EUR,,x", "malformed", "$"),
    "text behind a quote": (b'"e"x,c1,2024-05-01T12:00:00Z,5,EUR,', "malformed", "$"),
    "quote that is never closed": (b'"e,c1,2024-05-01T12:00:00Z,5,EUR,', "malformed", "$"),
    "NUL": (b"e,c\x001,2024-05-01T12:00:00Z,5,EUR,", "malformed", "$"),
    "invalid UTF-8": (b"e,c\xff1,2024-05-01T12:00:00Z,5,EUR,", "invalid_encoding", "$"),
    "naive time": (b"e,c1,2024-05-01 12:00:00,5,EUR,", "invalid_time", "occurred_at"),
    "date": (b"e,c1,2024-05-01,5,EUR,", "invalid_time", "occurred_at"),
    "far future": (b"e,c1,2999-05-01T12:00:00Z,5,EUR,", "time_in_future", "occurred_at"),
    "no customer": (b"e,,2024-05-01T12:00:00Z,5,EUR,", "no_customer", "customer_id"),
    "guest": (b"e,Guest,2024-05-01T12:00:00Z,5,EUR,", "placeholder_id", "customer_id"),
    "1 MB customer": (b"e," + MEGABYTE.encode() + b",2024-05-01T12:00:00Z,5,EUR,", "too_large", "$"),
    "100 KB note": (b"e,c1,2024-05-01T12:00:00Z,5,EUR," + b"n" * 100_000, "too_large", "$"),
    "NaN": (b"e,c1,2024-05-01T12:00:00Z,NaN,EUR,", "wrong_type", "total"),
    "1e400": (b"e,c1,2024-05-01T12:00:00Z,1e400,EUR,", "wrong_type", "total"),
    "5,000 digits": (b"e,c1,2024-05-01T12:00:00Z," + b"9" * 5_000 + b",EUR,", "out_of_range", "total"),
    "two readings": (b'e,c1,2024-05-01T12:00:00Z,"5,000",EUR,', "wrong_type", "total"),
    "unknown currency": (b"e,c1,2024-05-01T12:00:00Z,5,XYZ,", "unknown_currency", "currency"),
    "no currency": (b"e,c1,2024-05-01T12:00:00Z,5,,", "missing_field", "currency"),
}


def between_sound_lines(cases: dict[str, tuple[bytes, str, str]], sound: list[bytes]) -> list[bytes]:
    return [line for good, (bad, _, _) in zip(sound, cases.values(), strict=True) for line in (good, bad)]


@pytest.fixture(scope="module")
def purchases(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    folder = tmp_path_factory.mktemp("purchases")
    sound = [json.dumps(purchase_at(number, AT)).encode() for number in range(len(PURCHASES))]
    path = write_lines(folder / "purchases.jsonl", between_sound_lines(PURCHASES, sound))
    return replay(folder / "out", "--purchases", path, status=1)


@pytest.fixture(scope="module")
def engagements(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    folder = tmp_path_factory.mktemp("engagements")
    sound = [json.dumps(engagement_at(number, AT)).encode() for number in range(len(ENGAGEMENTS))]
    path = write_lines(folder / "engagements.jsonl.gz", between_sound_lines(ENGAGEMENTS, sound))
    return replay(folder / "out", "--engagements", path, status=1)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    folder = tmp_path_factory.mktemp("table")
    sound = [f"e{number},c1,{AT},5,EUR,a nöte".encode() for number in range(len(ROWS))]
    path = write_lines(folder / "purchases.csv", [HEADER, *between_sound_lines(ROWS, sound)])
    return replay(folder / "out", "--purchases", path, "--timezone", "none", status=1)


def check(outputs: Outputs, file: str, line: int, case: tuple[bytes, str, str], *, is_row: bool = False) -> None:
    payload, reason, field = case
    (letter,) = [letter for letter in outputs.dead_letters if letter["position"]["offset"] == line]
    DeadLetter.model_validate(letter)
    assert (letter["reason"], letter["field"]) == (reason, field)
    assert letter["position"] == {"topic": file, "partition": 0, "offset": line}
    assert letter["message"].startswith(field)
    assert "expected" in letter["message"] or "say which" in letter["message"]
    if is_row and field != "$":
        assert json.loads(letter["payload"])["total"], "what was made of the row"
        return
    assert letter["payload_sha256"] == hashlib.sha256(payload).hexdigest()
    assert letter["payload_bytes"] == len(payload)
    kept = letter["payload"]
    raw = kept.encode() if letter["payload_encoding"] == "utf-8" else base64.b64decode(kept)
    assert raw == payload[:65_536]


@pytest.mark.parametrize("case", PURCHASES)
def test_bad_purchase_becomes_one_dead_letter(purchases: Outputs, case: str) -> None:
    check(purchases, "purchases.jsonl", 2 * list(PURCHASES).index(case) + 2, PURCHASES[case])


@pytest.mark.parametrize("case", ENGAGEMENTS)
def test_bad_engagement_becomes_one_dead_letter(engagements: Outputs, case: str) -> None:
    check(engagements, "engagements.jsonl.gz", 2 * list(ENGAGEMENTS).index(case) + 2, ENGAGEMENTS[case])


@pytest.mark.parametrize("case", ROWS)
def test_bad_row_becomes_one_dead_letter(table: Outputs, case: str) -> None:
    check(table, "purchases.csv", 2 * list(ROWS).index(case) + 3, ROWS[case], is_row=True)


@pytest.mark.parametrize(("run", "cases"), [("purchases", PURCHASES), ("engagements", ENGAGEMENTS), ("table", ROWS)])
def test_run_goes_on_past_bad_records(run: str, cases: dict[str, object], request: pytest.FixtureRequest) -> None:
    counts = request.getfixturevalue(run).summary["counts"]
    n = len(cases)
    assert counts == {"in": 2 * n, "applied": n, "duplicate": 0, "late_applied": 0, "rejected": n}


def test_payload_is_left_out_where_settings_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMENTER_RECORDS__KEEP_REJECTED_PAYLOAD", "false")
    outputs = replay(tmp_path / "out", "--purchases", write_lines(tmp_path / "p.jsonl", [b"secret"]), status=1)
    (letter,) = outputs.dead_letters
    assert (letter["payload"], letter["payload_encoding"], letter["payload_bytes"]) == (None, None, 6)


def test_file_with_nothing_sound_gives_complete_outputs(tmp_path: Path) -> None:
    outputs = replay(tmp_path / "out", "--purchases", write_lines(tmp_path / "p.jsonl", [b"{", b"[]", b"1"]), status=1)
    assert outputs.summary["rejected_by_reason"] == {"malformed": 1, "wrong_type": 2}
    assert outputs.summary["period"] == {"from": None, "to": None, "days": 0}
    assert outputs.summary["segments"] == outputs.migrations == outputs.memberships == []


@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz", "p.csv", "p.csv.gz"])
def test_empty_file_gives_complete_outputs(tmp_path: Path, name: str) -> None:
    outputs = replay(tmp_path / "out", "--purchases", write_lines(tmp_path / name, []), status=1)
    assert outputs.summary["counts"]["in"] == 0
    assert outputs.summary["inputs"] == [{"file": name, "topic": "purchases", "records": 0}]


@pytest.mark.parametrize(
    ("refused", "accepted", "options", "status"),
    [
        (10, 100, [], 0),  # so few are let through, whatever their share
        (11, 100, [], 1),
        (11, 1_089, [], 0),  # 1 % of 1,100
        (11, 1_088, [], 1),
        (11, 100, ["--max-rejected", "0.1"], 0),
        (11, 98, ["--max-rejected", "0.1"], 1),
        (11, 9, ["--max-rejected", "1"], 0),
        (1, 0, ["--max-rejected", "1"], 1),  # nothing accepted is a failure in any case
    ],
)
def test_run_fails_when_too_many_records_are_refused(
    refused: int, accepted: int, options: list[str], status: int, tmp_path: Path
) -> None:
    sound = [purchase_at(number, AT) for number in range(accepted)]
    path = write_lines(tmp_path / "p.jsonl", [*sound, *[b"{"] * refused])
    outputs = replay(tmp_path / "out", "--purchases", path, *options, status=status)
    assert outputs.summary["counts"]["rejected"] == refused


def test_failed_run_names_the_three_commonest_reasons_with_an_example_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    naive = [purchase_at(number, "2024-05-01T12:00:00") for number in range(30)]
    rates = [purchase_at(number, AT, currency="XYZ\x1b[2J") for number in range(20)]
    lines = [b"{", *naive, *rates, *[b"[]"] * 10, *[b"{"] * 4]
    replay(tmp_path / "out", "--purchases", write_lines(tmp_path / "p.jsonl", lines), status=1)
    error = capsys.readouterr().err
    told, *reasons = error.splitlines()
    assert told.startswith("segmenter: 65 of 65 records were refused (100.0%)")
    assert [line.split(":")[0] for line in reasons] == [
        "  invalid time 30",
        "  unknown currency 20",
        "  wrong type 10",
    ]
    assert "p.jsonl, line 2: occurred_at" in reasons[0]
    assert "p.jsonl, line 32: currency" in reasons[1]
    assert "\x1b" not in error


def test_run_of_an_empty_file_says_what_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replay(tmp_path / "out", "--purchases", write_lines(tmp_path / "p.jsonl", []), status=1)
    assert capsys.readouterr().err == "segmenter: no record was accepted: the files contain no records\n"


def test_blank_lines_are_no_records_but_count_as_lines(tmp_path: Path) -> None:
    lines = [b"", json.dumps(purchase_at(1, AT)).encode() + b"\r", b" \t\r", b"{"]
    outputs = replay(tmp_path / "out", "--purchases", write_lines(tmp_path / "p.jsonl", lines))
    assert outputs.summary["counts"]["applied"] == 1
    assert [letter["position"]["offset"] for letter in outputs.dead_letters] == [4]


@pytest.mark.parametrize("name", ["cut.jsonl.gz", "cut.csv.gz"])
def test_truncated_file_is_one_dead_letter_and_all_before_it_is_applied(tmp_path: Path, name: str) -> None:
    records = [purchase_at(number, f"2024-05-01T12:00:00.{number % 1000:03}Z") for number in range(4_000)]
    lines: list[Any] = records
    if ".csv" in name:
        rows = (",".join((r["event_id"], r["customer_id"], r["occurred_at"], r["total"], "EUR", "")) for r in records)
        lines = [HEADER, *(row.encode() for row in rows)]
    path = write_lines(tmp_path / name, lines)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    views = write_lines(tmp_path / "v.jsonl", [engagement_at(1, AT), engagement_at(2, AT)])
    outputs = replay(tmp_path / "out", "--purchases", path, "--engagements", views)
    (letter,) = outputs.dead_letters
    files = {file["file"]: file["records"] for file in outputs.summary["inputs"]}
    assert files["v.jsonl"] == 2
    assert files[name] > 1_000
    assert (letter["reason"], letter["field"]) == ("malformed", "$")
    assert letter["position"] == {"topic": name, "partition": 0, "offset": files[name] + (".csv" in name)}
    assert outputs.summary["counts"]["in"] == files[name] + 2


@pytest.mark.parametrize("name", ["cut.jsonl.gz", "cut.csv.gz"])
def test_file_cut_off_in_its_first_bytes_is_one_dead_letter(tmp_path: Path, name: str) -> None:
    path = write_lines(tmp_path / name, [HEADER] * 50)
    path.write_bytes(path.read_bytes()[:12])
    outputs = replay(tmp_path / "out", "--purchases", path, status=1)
    assert [letter["position"]["offset"] for letter in outputs.dead_letters] == [1]


def test_damage_within_compressed_data_is_one_dead_letter(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "p.jsonl.gz", [purchase_at(number, AT) for number in range(5_000)])
    content = bytearray(path.read_bytes())
    content[-8:-4] = b"\0\0\0\0"  # the checksum
    path.write_bytes(content)
    outputs = replay(tmp_path / "out", "--purchases", path)
    assert outputs.summary["counts"]["rejected"] == 1
    assert outputs.dead_letters[0]["position"]["offset"] == 5_001
