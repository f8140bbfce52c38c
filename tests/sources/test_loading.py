"""The order and the ways of loading: whichever way rows take, the same records come out in the same order."""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.sources import arranging
from stream_app.sources.arrow import Texts, batches
from stream_app.sources.blocks import numbered_topics
from stream_app.sources.cleaning import Cleaner, Refusal
from stream_app.sources.forms import Look, look_at, open_unpacked
from stream_app.sources.generic import Given, generic_source
from stream_app.sources.loading import InputFile, Line, Loading
from stream_app.sources.mapping import Form
from stream_app.sources.numbering import PlainLines
from tests.support.replays import write_lines

HEADER = "customer_id,occurred_at,total,event_id"


def load(path: Path) -> list[Line]:
    look = look_at(path)
    given = Given(defaults={"currency": "EUR"})
    file = InputFile(0, path.name, generic_source(path.name, "purchases", look, given), "purchases", look)
    with Loading([file]) as loading:
        return [line for block in loading.lines() for line in block]


def at_second(number: int) -> str:
    return f"2024-05-01T12:{number // 60:02d}:{number % 60:02d}Z"


def rows_of(instant: Callable[[int], str]) -> list[str]:
    return [f"c{number % 7},{instant(number)},{number},e{number:03d}" for number in range(300)]


INSTANTS = {
    "each its own": at_second,
    "a pair now and then": lambda number: at_second(number - (number % 20 == 0)),
    "many": lambda number: f"2024-05-{1 + number % 9:02d}",
    "one with too many": lambda number: at_second(0 if number < 40 else number),
    "none that can be read": lambda number: f"soon, or in {number} days".replace(",", ""),
}


@pytest.mark.parametrize("name", INSTANTS)
def test_order_of_rows_changes_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arranging, "INSTANT_RECORDS_MAX", 30)
    monkeypatch.setattr(arranging, "BLOCK_LINES", 16)
    rows = rows_of(INSTANTS[name])
    texts = [line.text for line in load(write_lines(tmp_path / "sorted.csv", [HEADER, *rows]))]
    assert len(texts) == len(rows)
    assert texts == sorted(texts, key=lambda text: (text.partition('"occurred_at":"')[2][:24], text)) or "none" in name
    random.Random(1).shuffle(rows)
    assert [line.text for line in load(write_lines(tmp_path / "shuffled.csv", [HEADER, *rows]))] == texts


def test_table_in_columns_gives_the_records_of_its_text(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "orders.csv", [HEADER, *rows_of(at_second)])
    duckdb.execute(f"COPY (FROM read_csv('{path}', all_varchar = true)) TO '{tmp_path / 'orders.parquet'}'")
    texts = [line.text for line in load(path)]
    assert [line.text for line in load(tmp_path / "orders.parquet")] == texts


@pytest.mark.parametrize("packing", ["gz", "zip"])
def test_table_in_columns_is_unpacked(packing: str, tmp_path: Path) -> None:
    plain = tmp_path / "orders.parquet"
    duckdb.execute(f"COPY (SELECT 'c1' AS customer_id, '2024-05-01' AS occurred_at, 5 AS total) TO '{plain}'")
    packed = tmp_path / f"orders.{packing}"
    if packing == "gz":
        packed.write_bytes(gzip.compress(plain.read_bytes()))
    else:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
            file.write(plain, "orders.parquet")
    assert [line.text for line in load(packed)] == [line.text for line in load(plain)]


@pytest.mark.parametrize("other", ["", "c2,2024-05-01T12:00:01Z,7", "c2,2024-05-01T12:00:01Z,7\n" * 40])
def test_equal_rows_without_an_id_are_told_apart(other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arranging, "BLOCK_LINES", 3)
    rows = ["c1,2024-05-01T12:00:00Z,5"] * 10 + other.split("\n")
    found = load(write_lines(tmp_path / "orders.csv", ["customer_id,occurred_at,total", *rows]))
    ids = [line.text.partition('"event_id":"')[2].partition('"')[0] for line in found]
    assert len({*ids}) == len(ids) == len([row for row in rows if row])
    assert [each.partition(":")[2] for each in ids[:10]] == ["", *map(str, range(2, 11))]


def test_row_that_cannot_be_cut_is_named_where_rows_are_read_twice(tmp_path: Path) -> None:
    rows = [HEADER, "c1,2024-05-01,5,e1", "c2,2024-05-02,6", "c3,2024-05-03,7,e3,more", 'c4,2024-05-04,8,"e4"']
    found = load(write_lines(tmp_path / "orders.csv", rows))
    assert [(line.row, line.error is None) for line in found] == [(3, False), (4, False), (2, True), (5, True)]


def test_records_in_no_order_are_no_result() -> None:
    with duckdb.connect() as connection:
        connection.execute("SET arrow_large_buffer_size = true")
        rows = batches(
            connection,
            f"SELECT at_ms, {numbered_topics().index('purchases')}::TINYINT, 0::SMALLINT, 1::BIGINT, 0::TINYINT, "
            "'{}', '' "
            "FROM (VALUES (2::BIGINT), (1::BIGINT)) AS t(at_ms)",
        )
        with pytest.raises(RuntimeError, match="not in order of time"):
            list(arranging.arranged(rows, by_text=True))


# --- columns ------------------------------------------------------------------------------------------------------


def test_columns_of_other_types_are_not_taken_for_numbers() -> None:
    with duckdb.connect() as connection, pytest.raises(TypeError, match="expected whole numbers and large texts"):
        list(batches(connection, "SELECT 1.5::DOUBLE AS x"))


def test_query_that_fails_says_why() -> None:
    with duckdb.connect() as connection:
        connection.execute("SET arrow_large_buffer_size = true")
        with pytest.raises(duckdb.Error, match="no number"):
            list(batches(connection, "SELECT if(n > 200000, error('no number'), 1)::BIGINT FROM range(300000) t(n)"))


def test_columns_hold_what_was_asked_for() -> None:
    with duckdb.connect() as connection:
        connection.execute("SET arrow_large_buffer_size = true")
        query = "SELECT * FROM (VALUES (1::BIGINT, 'ä'), (-2, ''), (3, 'bc')) AS t"
        found = batches(connection, query)
        numbers, texts = next(found)
        assert isinstance(texts, Texts)
        assert not isinstance(numbers, Texts)
        assert numbers.tolist() == [1, -2, 3]
        assert (texts.bytes.tobytes().decode(), texts.ends.tolist()) == ("äbc", [0, 2, 2, 4])
        assert next(found, None) is None
        assert list(batches(connection, "SELECT 1::BIGINT WHERE false")) == []


# --- lines and their numbers --------------------------------------------------------------------------------------

FORMS: Sequence[Form] = ("csv", "jsonl")
USUAL = ["a", "b;c", ",", '"', '""', "\n", "\n", "\r\n"]
ODD = ["\r", " ", "\t", "\x1c", "\0", "\x01", "é", "\u2003", "\ufeff"]
PIECES = [*(piece.encode() for piece in USUAL + ODD), b"\xff", b"\xc3"]
RAW = st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join)


@given(
    text=RAW,
    form=st.sampled_from(FORMS),
    skipped=st.integers(0, 3),
    block_bytes=st.sampled_from([1, 3, 1000]),
)
def test_plain_lines_are_copied_as_lines_that_are_looked_at_are(
    text: bytes, form: Form, skipped: int, block_bytes: int
) -> None:
    look = Look(Path(), form, skipped_lines=skipped, columns=("a", "b"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stream_app.sources.numbering.BLOCK_BYTES", block_bytes)
        quick = cleaned(look, text)
        patch.setattr(PlainLines, "copy", lambda *_: None)
        patch.setattr("stream_app.sources.numbering.BLOCK_BYTES", 1000)
        assert quick == cleaned(look, text)


def cleaned(look: Look, text: bytes) -> tuple[bytes, list[tuple[int, str, bytes]]]:
    refusals: list[Refusal] = []
    out = io.BytesIO()
    Cleaner(look, refusals.append, 20).copy(io.BytesIO(text), out)
    return out.getvalue(), [(each.row, each.error.message, each.payload) for each in refusals]


def test_damage_behind_plain_lines_is_named(tmp_path: Path) -> None:
    packed = gzip.compress("".join(f"{number},{random.Random(number).random()}\n" for number in range(5000)).encode())
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(packed[: len(packed) // 2])
    refusals: list[Refusal] = []
    out = io.BytesIO()
    look = Look(path, "csv", "gz", has_header=False)
    with open_unpacked(look) as file:
        Cleaner(look, refusals.append, 100).copy(file, out)
    (refusal,) = refusals
    assert "the rest of the file cannot be read" in refusal.error.message
    assert refusal.row == out.getvalue().count(b"\n") + 1
