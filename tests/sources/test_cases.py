"""Files as shops export them, row for row invented: what becomes of each through the whole command."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from stream_app.sources.forms import look_at
from stream_app.sources.generic import Given, generic_source
from stream_app.sources.loading import InputFile, Line, Loading, LoadingOptions
from stream_app.sources.mapping import Topic
from tests.support.replays import replay, write_lines

ORDERS = ["customer_id,occurred_at,total", "c1,2024-05-01,12.50", "c2,2024-05-02,7"]


def load(path: Path, given: Given | None = None, topic: Topic = "purchases", zone: str | None = "UTC") -> list[Line]:
    look = look_at(path)
    said = given or Given(defaults={"currency": "EUR"})
    file = InputFile(0, path.name, generic_source(path.name, topic, look, said), topic, look)
    with Loading([file], LoadingOptions(zone=zone, placeholders=frozenset({"0", "guest"}))) as loading:
        return [line for block in loading.lines() for line in block]


def table(folder: Path, *rows: str, name: str = "orders.csv") -> Path:
    return write_lines(folder / name, list(rows))


def records(lines: Sequence[Line]) -> list[dict[str, str]]:
    return [json.loads(line.text) for line in lines if line.error is None]


def refused(lines: Sequence[Line]) -> dict[int, str]:
    return {line.row: str(line.error) for line in lines if line.error is not None}


# --- order of rows ------------------------------------------------------------------------------------------------


def test_outputs_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    rows = [f"e{n},o{n},c{n % 7},2024-0{n % 6 + 1}-1{n % 3}T08:{n % 50:02}:00Z,{n}.25" for n in range(120)]
    written = {}
    for name, ordered in (
        ("sorted", sorted(rows, key=lambda row: row.split(",")[3])),
        ("newest first", sorted(rows, key=lambda row: row.split(",")[3], reverse=True)),
        ("by customer", sorted(rows, key=lambda row: row.split(",")[2])),
    ):
        folder = tmp_path / name
        folder.mkdir()
        path = table(folder, "event_id,order_id,customer_id,occurred_at,total", *ordered)
        outputs = replay(folder / "out", "--purchases", path)
        assert outputs.summary["counts"]["late_applied"] == 0
        written[name] = {file.name: file.read_bytes() for file in sorted((folder / "out").iterdir())}
    assert written["newest first"] == written["sorted"] == written["by customer"]


# --- lines of orders ----------------------------------------------------------------------------------------------


def test_lines_of_an_order_are_one_order_and_a_row_told_twice_counts_once(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "order_id,customer_id,occurred_at,total,sku",
        "1,A,2024-05-01 08:26:00,20.34,lamp",
        "1,A,2024-05-01 08:26:00,20.34,hook",
        "1,A,2024-05-01 08:26:00,15.30,mug",
        "1,A,2024-05-01 08:26:00,15.30,mug",
        "2,B,2024-05-01 09:00:00,9,cup",
    )
    found = records(load(path))
    assert [(each["order_id"], each["customer_id"], each["total"]) for each in found] == [
        ("1", "A", "55.98"),
        ("2", "B", "9"),
    ]


def test_rows_with_ids_of_their_own_are_events_of_their_own(tmp_path: Path) -> None:
    path = table(
        tmp_path, "event_id,order_id,customer_id,occurred_at,total", *(f"e{n},1,A,2024-05-01,5" for n in (1, 2))
    )
    assert [each["event_id"] for each in records(load(path))] == ["e1", "e2"]


def test_negative_total_is_a_return_where_no_column_has_the_type(tmp_path: Path) -> None:
    path = table(
        tmp_path, "order_id,customer_id,occurred_at,total", "1,A,2024-05-01 08:26,139.12", "C2,A,2024-05-02,-27.50"
    )
    assert [(each.get("type"), each["total"]) for each in records(load(path))] == [
        (None, "139.12"),
        ("order_refunded", "27.5"),
    ]


def test_refund_finds_its_customer_by_its_order(tmp_path: Path) -> None:
    rows = ("purchase,901,bob,2024-05-01,40.00", "refund,901,,2024-05-02,-40.00", "purchase,902,,2024-05-03,5")
    lines = load(table(tmp_path, "type,order_id,customer_id,occurred_at,total", *rows))
    assert [(each["type"], each["customer_id"], each["total"]) for each in records(lines)] == [
        ("order_completed", "bob", "40"),
        ("order_refunded", "bob", "40"),
    ]
    assert [*refused(lines)] == [4]


def test_refunds_of_an_order_at_different_times_stay_apart(tmp_path: Path) -> None:
    rows = ("refund,1,bob,2024-05-02,4", "refund,1,bob,2024-05-03,4")
    found = records(load(table(tmp_path, "type,order_id,customer_id,occurred_at,total", *rows)))
    assert len({each["event_id"] for each in found}) == 2


def test_equal_rows_without_ids_stay_apart_whatever_their_order(tmp_path: Path) -> None:
    rows = ["customer_id,occurred_at,total", "c1,2024-05-01,5", "c2,2024-05-01,5", "c1,2024-05-01,5"]
    ids = [each["event_id"] for each in records(load(table(tmp_path, *rows)))]
    assert len(set(ids)) == 3
    again = [each["event_id"] for each in records(load(table(tmp_path, rows[0], *reversed(rows[1:]))))]
    assert again == ids


def test_short_words_for_types_are_read_and_signs_before_a_refunds_items_are_dropped(tmp_path: Path) -> None:
    header = "event_id,order_id,type,customer_id,occurred_at,total,items,channel"
    rows = ("e1,1,purchase,c1,2024-05-01,5,3, web ", "e2,1,refund,c1,2024-05-02,-5,-3,", "e3,2,,c1,2024-05-03,5,007,")
    found = records(load(table(tmp_path, header, *rows)))
    assert [(each.get("type"), each["total"], each["items"], each.get("channel")) for each in found] == [
        ("order_completed", "5", 3, "web"),
        ("order_refunded", "5", 3, None),
        (None, "5", 7, None),
    ]


CELLS = {
    "number": ("12.5", 12.5),
    "boolean": ("TRUE", True),
    "list": ("a; b;;c ", ["a", "b", "c"]),
    "date": ("2024-05-01", "2024-05-01"),
    "string": ("007", "007"),
}


@pytest.mark.parametrize("type_", CELLS)
def test_cell_of_a_trait_is_read_as_the_catalogue_says(type_: str, tmp_path: Path) -> None:
    cell, value = CELLS[type_]
    path = table(tmp_path, "customer_id,observed_at,thing,empty", f"c1,{NOON},{cell}, ")
    look = look_at(path)
    file = InputFile(0, path.name, generic_source(path.name, "profiles", look, Given()), "profiles", look)
    with Loading([file], LoadingOptions(traits={"thing": type_})) as loading:
        (line,) = (line for block in loading.lines() for line in block)
    assert json.loads(line.text)["traits"] == {"thing": value}


# --- money --------------------------------------------------------------------------------------------------------

FORMS = {
    "12.50": "12.50",
    "1,234.56": "1234.56",
    "1.234,56": "1234.56",
    "12,50": "12.50",
    "$12.50": "12.50",
    "12.50 USD": "12.50",
    "€ 12,5": "12.5",
    ".50": "0.50",
    "12.": "12",
    "+12.50": "12.50",
    "1e2": "100",
    "1 234.56": "1234.56",
    "1'234.50": "1234.50",
    "1,234,567": "1234567",
    "59.9000": "59.9000",
    "15.299999999999999": "15.299999999999999",
}


@pytest.mark.parametrize("written", FORMS)
def test_amount_that_is_meant_clearly_is_read(written: str, tmp_path: Path) -> None:
    (found,) = records(load(table(tmp_path, "customer_id,occurred_at,total", f'c1,2024-05-01,"{written}"')))
    assert found["total"] == FORMS[written]


def test_ambiguous_amount_is_refused_with_both_readings_named(tmp_path: Path) -> None:
    lines = load(table(tmp_path, "customer_id,occurred_at,total", 'c1,2024-05-01,"1,234"', "c2,2024-05-01,7"))
    assert refused(lines)[2].startswith('total: "1,234", which is 1.234 or 1234')


@pytest.mark.parametrize(("other", "read"), [("0.5", "1234"), ('"0,5"', "1.234")])
def test_ambiguous_amount_is_read_as_the_other_amounts_of_its_file_are(other: str, read: str, tmp_path: Path) -> None:
    rows = ('c1,2024-05-01,"1,234"', f"c2,2024-05-02,{other}")
    found = records(load(table(tmp_path, "customer_id,occurred_at,total", *rows)))
    assert found[0]["total"] == read


def test_currency_is_read_from_signs_and_small_letters(tmp_path: Path) -> None:
    rows = [f"c1,2024-05-0{day},5,{sign}" for day, sign in enumerate(("usd", "US$", "€", "EUR"), 1)]
    found = records(load(table(tmp_path, "customer_id,occurred_at,total,currency", *rows)))
    assert [each["currency"] for each in found] == ["USD", "USD", "EUR", "EUR"]


@pytest.mark.parametrize("title", ["Currency", "order_currency", "CURRENCY CODE", "currency_iso"])
def test_column_of_currencies_that_is_not_read_is_an_error_that_names_it(title: str, tmp_path: Path) -> None:
    path = table(tmp_path, f"customer_id,occurred_at,total,{title}", "c1,2024-05-01,5,JPY")
    with pytest.raises(Exception, match=f"column '{title}' seems to hold currencies"):
        load(path)
    (found,) = records(load(path, Given(columns={"currency": title})))
    assert found["currency"] == "JPY"


# --- times --------------------------------------------------------------------------------------------------------

NOON = "2024-05-01T12:00:00.000Z"
TIMES = {
    "2024-05-01T12:00:00Z": NOON,
    "2024-05-01 12:00:00Z": NOON,
    "2024-05-01 14:00:00+02:00": NOON,
    "2024-05-01 12:00:00+00": NOON,
    "2024-05-01 12:00:00.123456+00": "2024-05-01T12:00:00.123Z",
    "2024-05-01 12:00:00 UTC": NOON,
    "2024-05-01T12:00:00+0000": NOON,
    "2024-05-01 16:00:00 +0400": NOON,
    "2024-05-01T12:00:00.999999999Z": "2024-05-01T12:00:00.999Z",
    "2024-05-01T12:00:00,123Z": "2024-05-01T12:00:00.123Z",
    "2024-05-01T14:00": NOON,
    "2024-05-01": "2024-04-30T22:00:00.000Z",
    "2024-03-31 02:30:00": "2024-03-31T01:30:00.000Z",
    "2024-10-27 02:30:00": "2024-10-27T00:30:00.000Z",
}
UNREAD = ("2024-05-01 24:00:00", "2016-12-31T23:59:60Z", "0000-00-00 00:00:00", "05/01/2024 12:00", "1714564800")


@pytest.mark.parametrize("written", TIMES)
def test_time_that_can_be_read_in_one_way_is_read(written: str, tmp_path: Path) -> None:
    path = table(tmp_path, "customer_id,occurred_at,total", f'c1,"{written}",5')
    (found,) = records(load(path, zone="Europe/Berlin"))
    assert found["occurred_at"] == TIMES[written]


@pytest.mark.parametrize("written", UNREAD)
def test_time_that_is_none_or_several_is_refused(written: str, tmp_path: Path) -> None:
    lines = load(table(tmp_path, "customer_id,occurred_at,total", f"c1,{written},5"))
    assert "expected a time" in refused(lines)[2]
    assert f'"{written}"' in refused(lines)[2]


@pytest.mark.parametrize(
    ("written", "format_"),
    [
        ("1714564800", "epoch_s"),
        ("1714564800000", "epoch_ms"),
        ("1714564800000000", "epoch_us"),
        ("45413.5", "excel"),
        ("1/5/2024 12:00", "%d/%m/%Y %H:%M"),
        ("05/01/2024 12:00", "%m/%d/%Y %H:%M"),
        ("2024-05-01 14:00 +0200", "%Y-%m-%d %H:%M %z"),
    ],
)
def test_time_is_read_as_somebody_says(written: str, format_: str, tmp_path: Path) -> None:
    path = table(tmp_path, "customer_id,occurred_at,total", f"c1,{written},5")
    (found,) = records(load(path, Given(defaults={"currency": "EUR"}, time_formats=[format_])))
    assert found["occurred_at"] == NOON


# --- forms --------------------------------------------------------------------------------------------------------


def zipped(text: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("orders.csv", text)
    return packed.getvalue()


PLAIN = "\n".join([*ORDERS, ""])
MADE = {
    "plain": PLAIN.encode(),
    "tabs": PLAIN.replace(",", "\t").encode(),
    "semicolons": PLAIN.replace(",", ";").replace("12.50", "12,50").encode(),
    "sep line": b"sep=,\n" + PLAIN.encode(),
    "preamble": b'"Report: orders"\n"Generated 2024-05-01"\n\n' + PLAIN.encode(),
    "mark": codecs.BOM_UTF8 + PLAIN.encode(),
    "UTF-16": codecs.BOM_UTF16_LE + PLAIN.encode("utf-16-le"),
    "UTF-16 without a mark": PLAIN.encode("utf-16-be"),
    "old line ends": PLAIN.replace("\n", "\r").encode(),
    "Windows line ends": PLAIN.replace("\n", "\r\n").encode(),
    "gzip": gzip.compress(PLAIN.encode()),
    "zip": zipped(PLAIN.encode()),
}


@pytest.mark.parametrize("form", MADE)
def test_table_is_read_whatever_it_is_called_and_packed_in(form: str, tmp_path: Path) -> None:
    path = tmp_path / "orders.txt"
    path.write_bytes(MADE[form])
    found = records(load(path))
    assert [(each["customer_id"], float(each["total"])) for each in found] == [("c1", 12.5), ("c2", 7.0)]


def test_latin_text_is_told_from_utf_8(tmp_path: Path) -> None:
    for name, encoding in (("a.csv", "cp1252"), ("b.csv", "utf-8")):
        path = tmp_path / name
        path.write_bytes("customer_id,occurred_at,total\nZoë “x”,2024-05-01,5\n".encode(encoding))
        assert records(load(path))[0]["customer_id"] == "Zoë “x”"


@pytest.mark.parametrize("indent", [None, 2])
def test_list_in_json_is_read_element_by_element(indent: int | None, tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    orders = [{"customer_id": n, "occurred_at": f"2024-05-0{n}", "total": f"{n}.5", "order_id": 10 + n} for n in (3, 1)]
    path.write_text(json.dumps(orders, indent=indent))
    found = load(path)
    assert [(line.row, json.loads(line.text)["total"]) for line in found] == [(2, "1.5"), (1, "3.5")]


def test_parquet_is_read_by_its_columns(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"customer_id": ["c1", "c2"], "occurred_at": [NOON, "2024-05-02"], "total": [12.5, 7.0]}
    pq.write_table(pa.table(columns), tmp_path / "orders.parquet")
    assert [each["total"] for each in records(load(tmp_path / "orders.parquet"))] == ["12.5", "7.0"]


def test_row_that_is_broken_costs_itself_alone_and_is_named_by_its_line(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "customer_id,occurred_at,total,note",
        'c1,2024-05-01,1,"a',
        'line break"',
        "c2,2024-05-01,2",
        'c3,2024-05-01,3,"never closed',
        *(f"d{n},2024-05-02,5," for n in range(5_000)),
        'c4,2024-05-03,4,5" pipe',
        'c5,2024-05-03,4,"a"b',
    )
    lines = load(path)
    assert Counter(each["customer_id"][0] for each in records(lines)) == {"d": 5_000, "c": 2}
    assert [*refused(lines)] == [4, 5, 5_007]


def test_placeholders_are_passed_over_where_another_column_may_name_the_customer(tmp_path: Path) -> None:
    from stream_app.sources.mapping import parse_sources

    document = {
        "version": 1,
        "sources": {
            "shop": {
                "records": [
                    {
                        "topic": "purchases",
                        "fields": {
                            "customer_id": {"first_of": ["user", "mail"], "kind": "email"},
                            "occurred_at": "at",
                            "total": {"product": ["quantity", "price"]},
                            "currency": {"constant": "EUR"},
                        },
                    }
                ]
            }
        },
    }
    source = parse_sources(document, "sources.yaml")["shop"]
    path = table(
        tmp_path, "user,mail,at,quantity,price", "0,Ana@Example.com,2024-05-01,6,2.55", "Guest,,2024-05-02,1,1"
    )
    with Loading(
        [InputFile(0, path.name, source, "shop", look_at(path))], LoadingOptions(placeholders=frozenset({"0", "guest"}))
    ) as loading:
        lines = [line for block in loading.lines() for line in block]
    assert [(each["customer_id"], each["total"]) for each in records(lines)] == [("ana@example.com", "15.3")]
    assert "expected a customer" in refused(lines)[3]
