"""Files of shops from end to end: who is one is one, nobody is nobody, and money that is meant clearly is counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.replays import Outputs, purchase_at, replay, write_lines

DAYS = [f"2024-05-{day:02}" for day in range(1, 32)]
PEOPLE = {
    "Mia@Example.com": "Mia@Example.com",
    " mia@example.com\u00a0": "mia@example.com",
    "Chloe\u0301": "Chlo\u00e9",
    "Chlo\u00e9": "Chlo\u00e9",
    "20417": "20417",
    "020417": "020417",
}
"""Ids as files have them, and as they are meant."""
NOBODY = [
    "0",
    "NaN",
    "null",
    r"\N",
    "None",
    "undefined",
    "Guest",
    "(not set)",
    "#N/A",
    "00000000-0000-0000-0000-000000000000",
]
DAMAGED = ["20417.0", "2.20417E+17", "2.20417E+17"]


def customers(outputs: Outputs) -> set[str]:
    return {membership["customer_id"] for membership in outputs.memberships}


@pytest.fixture(scope="module", params=["csv", "jsonl"])
def outputs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    folder = tmp_path_factory.mktemp("ids")
    ids = [*PEOPLE, *NOBODY, *DAMAGED, ""]
    if request.param == "csv":
        rows = [f'"{text}",{day},10,EUR' for text, day in zip(ids, DAYS, strict=False)]
        file = write_lines(folder / "orders.csv", ["customer_id,occurred_at,total,currency", *rows])
    else:
        lines = [purchase_at(n, f"{DAYS[n]}T12:00:00Z", text) for n, text in enumerate(ids)]
        file = write_lines(folder / "orders.jsonl", lines)
    return replay(folder / "out", "--purchases", file)  # guests do not make a run fail


def test_customer_is_one_however_its_id_is_written(outputs: Outputs) -> None:
    assert customers(outputs) == set(PEOPLE.values())


def test_nobody_and_what_is_damaged_are_refused_with_their_reasons(outputs: Outputs) -> None:
    reasons = Counter(letter["reason"] for letter in outputs.dead_letters)
    assert reasons == {"placeholder_id": len(NOBODY), "damaged_id": len(DAMAGED), "no_customer": 1}
    assert outputs.summary["without_customer"] == len(NOBODY) + 1
    assert all(letter["message"].startswith("customer_id: ") for letter in outputs.dead_letters)


def test_whole_number_is_the_same_customer_as_its_digits(tmp_path: Path) -> None:
    whole = 220417310627314723
    lines = [
        purchase_at(1, "2024-05-01T12:00:00Z", whole, event_id=1, order_id=450789469),  # type: ignore[arg-type]
        purchase_at(2, "2024-05-02T12:00:00Z", str(whole)),
        purchase_at(3, "2024-05-03T12:00:00Z", whole + 1),  # type: ignore[arg-type]
    ]
    found = replay(tmp_path / "out", "--purchases", write_lines(tmp_path / "p.jsonl", lines))
    assert customers(found) == {str(whole), str(whole + 1)}


def test_settings_say_who_is_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = ["guest", "0", "till 1", "c1"]
    lines = [purchase_at(number, f"{DAYS[number]}T12:00:00Z", text) for number, text in enumerate(ids)]
    file = write_lines(tmp_path / "p.jsonl", lines)
    monkeypatch.setenv("SEGMENTER_RECORDS__MORE_PLACEHOLDER_IDS", '["Till 1"]')
    assert customers(replay(tmp_path / "more", "--purchases", file)) == {"c1"}
    monkeypatch.setenv("SEGMENTER_RECORDS__PLACEHOLDER_IDS", "[]")
    assert customers(replay(tmp_path / "others", "--purchases", file)) == {"guest", "0", "c1"}


def test_float_noise_is_rounded_and_half_a_cent_is_refused(tmp_path: Path) -> None:
    totals = ["15.299999999999999", 45.900000000000006, 6 * 2.55, "12.3400", "12.3450"]
    lines = [purchase_at(n, f"{DAYS[n]}T12:00:00Z", total=total) for n, total in enumerate(totals)]
    found = replay(tmp_path / "out", "--purchases", write_lines(tmp_path / "p.jsonl", lines))
    (letter,) = found.dead_letters
    assert letter["message"] == 'total: "12.3450", expected whole minor units of EUR: at most 2 digits after the point'
    assert found.summary["all_segments"]["revenue"] == pytest.approx(15.30 + 45.90 + 15.30 + 12.34)
