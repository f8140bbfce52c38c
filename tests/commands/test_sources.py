"""`segmenter sources`: what is known, what a file is, and what would be read of it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from stream_app.cli import main
from stream_app.sources.mapping import load_presets, load_sources
from tests.sources.presets.workbooks import write_workbook
from tests.support.replays import ROOT, refused

FILES = ROOT / "tests" / "sources" / "presets" / "files"


@pytest.fixture(autouse=True)
def _rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMENTER_MONEY__BASE_CURRENCY", "EUR")


def ended(*args: object) -> int:
    try:
        main(["sources", *map(str, args)])
    except SystemExit as exit_:
        return int(exit_.code or 0)
    return 0


def test_all_presets_are_listed_with_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*load_presets()]
    assert all(str(source.title) in line for line, source in zip(lines, load_presets().values(), strict=True))


@pytest.mark.parametrize("name", load_presets())
def test_a_preset_is_printed_as_a_file_that_says_the_same(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended("show", name) == 0
    path = tmp_path / "sources.yaml"
    path.write_text(capsys.readouterr().out, "utf-8")
    assert load_sources(path) == {name: load_presets()[name]}


def test_unknown_preset_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert "preset 'shopfy' is unknown, expected one of amazon," in refused(capsys, "sources", "show", "shopfy")


def test_folder_is_read_as_all_files_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = FILES / "instacart"
    assert ended("check", *sorted(folder.iterdir())) == 0
    by_name = capsys.readouterr().out
    assert ended("check", folder) == 0
    assert capsys.readouterr().out == by_name
    (tmp_path / ".DS_Store").write_bytes(b"hidden")
    assert f"folder {str(tmp_path)!r} holds no file" in refused(capsys, "sources", "check", tmp_path)


def test_check_names_the_preset_and_shows_what_would_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    path = FILES / "shopify" / "orders_export.csv"
    assert ended("check", path) == 0
    first, guests, read, *records = capsys.readouterr().out.splitlines()
    assert first == f"{path}: CSV (',', utf-8), 79 columns; read as shopify: Shopify, export of orders (CSV)"
    assert guests.startswith(f"refused: 1 as no customer, such as {path}, row 12: customer_id: missing")
    assert read == "read: 10 purchases, the first of them:"
    shown = [json.loads(record.removeprefix("  purchases ")) for record in records]
    assert [record["order_id"] for record in shown] == ["#1001", "#1002", "#1004", "#1006", "#1006"]


def test_check_names_files_that_are_not_there_and_fields_that_stay_empty(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("check", FILES / "instacart" / "orders.csv") == 0
    missing = [line for line in capsys.readouterr().out.splitlines() if line.startswith("missing: ")]
    assert missing == [
        "missing: items (purchases): the file of products is not named, which has order_id, product_id, "
        "add_to_cart_order, reordered",
        "missing: products (purchases): the file of products is not named, which has order_id, product_id, "
        "add_to_cart_order, reordered",
        "missing: currency: not read, so amounts are in EUR, the setting money.base_currency",
    ]


def test_check_guesses_a_mapping_that_can_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my shop.csv"
    path.write_text("Order No;Customer;Date;Amount\n1;c1;01.05.2024;12,50\n2;c2;13.05.2024;7,00\n", "utf-8")
    assert ended("check", path) == 0
    captured = capsys.readouterr()
    assert f"{path}: CSV (';', utf-8), 4 columns; no source knows it" in captured.err
    assert "missing: currency: no column, so amounts are in the setting money.base_currency" in captured.err
    assert "read: 2 purchases, the first of them:" in captured.err
    assert '"customer_id":"c1","occurred_at":"2024-05-01T00:00:00.000Z"' in captured.err
    mapping = tmp_path / "sources.yaml"
    mapping.write_text(captured.out, "utf-8")
    assert ended("check", path, "--sources", mapping) == 0
    out = capsys.readouterr().out
    assert "read as my_shop" in out
    assert '"occurred_at":"2024-05-01T00:00:00.000Z"' in out
    assert '"total":"12.50"' in out


def test_check_fails_where_no_mapping_can_be_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "weather.csv"
    path.write_text("station,rain\n1,2\n", "utf-8")
    assert ended("check", path) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "missing: customer_id: no column is called like a customer; say which one it is" in captured.err


def test_check_fails_where_nothing_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("customer_id,date,items,amount\nc1,yesterday,1,5\n", "utf-8")
    assert ended("check", path) == 1
    assert "refused: 1 as invalid time, such as" in capsys.readouterr().out


def test_check_of_a_missing_file_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "cannot be read" in refused(capsys, "sources", "check", tmp_path / "none.csv")


def test_check_fails_where_a_guess_reads_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("customer,day,amount\nc1,yesterday,5\n", "utf-8")
    assert ended("check", path) == 1
    assert "refused: 1 as invalid time, such as" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["parquet", "xlsx"])
def test_lines_of_an_order_are_seen_whatever_the_form(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"orders.{form}"
    rows = [("1", "c1", "2024-05-01", "12.50"), ("1", "c1", "2024-05-01", "2.50"), ("2", "c2", "2024-05-02", "7.00")]
    titles = ("order no", "customer", "date", "amount")
    if form == "parquet":
        pyarrow.parquet.write_table(pyarrow.table(dict(zip(titles, zip(*rows, strict=True), strict=True))), path)
    else:
        write_workbook(path, [titles, *rows])
    assert ended("check", path) == 0
    captured = capsys.readouterr()
    assert "group_by: order_id" in captured.out
    assert '"total":"15' in captured.err


def test_a_replay_uses_a_guess_only_if_it_is_asked_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "orders.csv", tmp_path / "out"
    path.write_text("Bestellnr;Kunde;Datum;Betrag\n1;c1;01.05.2024;12,50\n2;c2;13.05.2024;7,00\n", "utf-8")
    assert "--source guess reads it so" in refused(capsys, "replay", path, "--out", out)
    main(["replay", str(path), "--source", "guess", "--out", str(out)])
    told = capsys.readouterr().err
    assert f"{path}: guessed: customer_id from 'Kunde', occurred_at from 'Datum', total from 'Betrag'" in told
    assert json.loads((out / "summary.json").read_text("utf-8"))["counts"]["applied"] == 2


def test_a_replay_says_what_a_guess_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "weather.csv"
    path.write_text("station,rain\n1,2\n", "utf-8")
    line = refused(capsys, "replay", path, "--source", "guess", "--out", tmp_path / "out")
    assert "--source guess: customer_id: no column is called like a customer" in line


def test_an_empty_file_is_called_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "orders.csv").touch()
    assert "orders.csv: is empty, expected records" in refused(capsys, "replay", tmp_path / "orders.csv")
