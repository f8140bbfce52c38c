"""Documents, durations and lists: what is refused before anybody looks at what it means."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_app.segmentations.documents import BYTES_MAX, DocumentInvalid, parse_document, read_document
from stream_app.segmentations.durations import Duration, Instant
from stream_app.segmentations.lists import ListInvalid, read_list
from stream_app.segmentations.mistakes import shown


def test_refusal_of_a_file_names_it(tmp_path: Path) -> None:
    path = tmp_path / "segmentations.json"
    path.write_bytes(b"{")
    with pytest.raises(DocumentInvalid, match=r"segmentations\.json: line 1: not JSON"):
        read_document(path)


def test_document_that_is_too_long_is_refused() -> None:
    with pytest.raises(DocumentInvalid, match=f"longer than {BYTES_MAX} bytes"):
        parse_document(b" " * (BYTES_MAX + 1))


def test_key_that_stands_twice_in_json_is_refused() -> None:
    assert parse_document(b'{"a": {"a": 1}}', is_json=True) == {"a": {"a": 1}}
    with pytest.raises(DocumentInvalid, match="the key 'a' occurs twice"):
        parse_document(b'{"a": 1, "a": 2}', is_json=True)


def test_what_is_a_duration_or_an_instant_already_stays_so() -> None:
    duration, instant = Duration.parse("14d"), Instant.parse("2026-01-01T00:00:00Z")
    assert Duration.parse(duration) is duration
    assert Instant.parse(instant) is instant


def test_list_has_ids_in_the_form_in_which_customers_have_them(tmp_path: Path) -> None:
    path = tmp_path / "staff.csv"
    path.write_text(" c7\u3000\nZoe\u0308\nZo\u00eb\n", "utf-8")
    assert read_list(path) == ("c7", "Zo\u00eb")


def test_list_of_too_many_ids_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_app.segmentations.lists.IDS_MAX", 2)
    path = tmp_path / "staff.csv"
    path.write_text("a\nb\na\n", "utf-8")
    assert read_list(path) == ("a", "b")
    path.write_text("a\nb\nc\n", "utf-8")
    with pytest.raises(ListInvalid, match="more than 2 ids"):
        read_list(path)


def test_list_whose_name_no_file_can_have_is_refused() -> None:
    with pytest.raises(ListInvalid, match="null"):
        read_list(Path("a\0b"))


def test_number_of_more_digits_than_are_written_is_shown_as_such() -> None:
    assert shown(10**5_000) == "a number of very many digits"
    assert shown(10**3) == "1000"
