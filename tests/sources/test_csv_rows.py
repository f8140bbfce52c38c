from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.inputs.table import INPUT_CONTRACTS
from stream_app.errors import ConfigurationError, InvalidRecord
from stream_app.sources.csv_rows import Columns, CsvRow, read_rows

HEADER = "event_id,customer_id,occurred_at,total,currency"


def rows_of(text: str) -> list[CsvRow]:
    return list(read_rows(io.StringIO(text, newline="")))


def columns(header: str, topic: str = "purchases", **asked: str) -> Columns:
    return Columns("file.csv", INPUT_CONTRACTS[topic], rows_of(header)[0], asked, {})


@given(st.lists(st.lists(st.text("a,\"'\n\r é", max_size=6), min_size=2, max_size=4), max_size=8))
def test_whatever_a_writer_writes_is_read_back_with_its_lines(table: list[list[str]]) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(table)
    text = buffer.getvalue()
    found = rows_of(text)
    assert [row.cells for row in found] == table
    assert "".join(row.text for row in found) == text
    starts = [text[: sum(len(row.text) for row in found[:number])] for number in range(len(found))]
    assert [row.line for row in found] == [len(io.StringIO(start, newline="").readlines()) + 1 for start in starts]


@given(st.lists(st.text('a,"b', max_size=8).filter(bool), max_size=12))
def test_every_line_is_read_once_however_broken(lines: list[str]) -> None:
    text = "".join(line + "\n" for line in lines)
    assert "".join(row.text for row in rows_of(text)) == text


def test_quote_that_is_never_closed_costs_its_own_line_only() -> None:
    found = rows_of('a,b\n"c,d\n' + "e,f\n" * 50_000)
    assert [row.cells for row in found[:3]] == [["a", "b"], None, ["e", "f"]]
    assert len(found) == 50_002
    assert [row.line for row in found] == list(range(1, 50_003))


def test_quoted_line_break_stays_in_its_cell_and_blank_lines_are_left_out() -> None:
    found = rows_of('\n"a\nb",c\r\n\nd,e')
    assert [(row.line, row.cells) for row in found] == [(2, ["a\nb", "c"]), (5, ["d", "e"])]


def test_payload_is_the_row_without_its_end_and_with_its_own_bytes() -> None:
    text = b"a,\xff\r\n".decode("utf-8", "surrogateescape")
    assert CsvRow(1, text, None).payload == b"a,\xff"


def test_field_is_read_from_the_column_asked_for() -> None:
    found = columns("ts,customer_id,amount,currency,occurred_at ", total="amount", occurred_at="ts")
    (row,) = rows_of("then,c1,5,EUR,never")
    fields = found.fields_of(row)
    assert (fields["occurred_at"], fields["total"], fields["customer_id"]) == ("then", "5", "c1")


def test_row_without_ids_is_named_after_its_place() -> None:
    row = rows_of("\n\nc1,2024-05-01,5,EUR")[0]
    fields = columns("customer_id,occurred_at,total,currency").fields_of(row)
    assert (fields["event_id"], fields["order_id"]) == ("file.csv:3", "file.csv:3")
    row = rows_of("e1,c1,2024-05-01,5,EUR")[0]
    assert columns(HEADER).fields_of(row)["order_id"] == "e1"


def test_constant_serves_where_there_is_no_column() -> None:
    row = rows_of("c1,2024-05-01,5")[0]
    header = rows_of("customer_id,occurred_at,total")[0]
    found = Columns("file.csv", INPUT_CONTRACTS["purchases"], header, {}, {"currency": "GBP", "total": "7"})
    fields = found.fields_of(row)
    assert (fields["currency"], fields["total"]) == ("GBP", "5")


def test_columns_of_other_topics_are_not_looked_for() -> None:
    columns("event_id,customer_id,occurred_at,type", "engagements", total="amount")


@pytest.mark.parametrize(
    ("header", "asked", "told"),
    [
        (HEADER, {"total": "amount"}, "column 'amount' (for total) is not in the header"),
        (HEADER + ",amount,amount", {"total": "amount"}, "column 'amount' (for total) is twice in the header"),
        (HEADER + ",total", {}, "column 'total' (for total) is twice in the header"),
        ("ts,customer_id,currency", {}, "no column for occurred_at, total in the header"),
        ("ts;customer_id;amount", {}, "which is ts;customer_id;amount"),
        (HEADER, {"items": "total"}, "no column for total"),
        ('"ts"x,customer_id', {}, "the first line is not a CSV header"),
    ],
)
def test_wrong_column_is_refused_by_name(header: str, asked: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        columns(header, **asked)
    assert told in str(refusal.value)
    assert "file.csv" in str(refusal.value)


def test_long_header_is_cut_in_the_message() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        columns(",".join(f"column {number}" for number in range(10_000)))
    assert len(str(refusal.value)) < 600


@pytest.mark.parametrize("row", ["c1,2024-05-01,5", "e,c1,2024-05-01,5,EUR,x", '"e"x,c1'])
def test_row_that_does_not_fit_the_header_is_malformed(row: str) -> None:
    with pytest.raises(InvalidRecord) as rejection:
        columns(HEADER).fields_of(rows_of(row)[0])
    assert (rejection.value.reason, rejection.value.field) == ("malformed", "$")
