"""A mapping for files that no source knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from stream_app.sources.guessing import NAMES, Guess, guess
from stream_app.sources.mapping import parse_sources


def guess_of(header: str, *rows: str) -> Guess:
    columns = header.split(",")
    return guess(columns, [dict(zip(columns, row.split(","), strict=True)) for row in rows], "my shop.csv")


def record_of(guessed: Guess) -> Mapping[str, Any]:
    assert guessed.document is not None
    ((name, source),) = guessed.document["sources"].items()
    parse_sources(guessed.document, "guess")  # what is printed can be used
    assert name == "my_shop_csv"
    return dict(source["records"][0])


def test_names_are_those_that_shops_use_whatever_their_letters() -> None:
    record = record_of(guess_of("Order Number,orderDate,CUSTOMER_ID,Grand Total,Currency", "7,2024-05-01,c1,5.00,EUR"))
    assert record == {
        "topic": "purchases",
        "fields": {
            "customer_id": "CUSTOMER_ID",
            "occurred_at": "orderDate",
            "total": "Grand Total",
            "currency": "Currency",
            "order_id": "Order Number",
        },
    }


def test_all_columns_of_ids_are_fallbacks_and_addresses_make_small_letters() -> None:
    record = record_of(guess_of("date,phone,Email,customer_id,amount", "2024-05-01,1,a@b.c,7,5"))
    assert record["fields"]["customer_id"] == {"first_of": ["customer_id", "Email", "phone"], "kind": "email"}


def test_lines_of_an_order_are_put_together() -> None:
    guessed = guess_of("invoice,date,user_id,qty,unit price,sku", "1,2024-05-01,c,2,5.00,a", "1,2024-05-01,c,1,1.00,b")
    record = record_of(guessed)
    assert record["group_by"] == "order_id"
    assert record["fields"]["total"] == {"product": ["qty", "unit price"], "aggregate": "sum"}
    assert record["fields"]["items"] == {"column": "qty", "aggregate": "sum"}
    assert any("occurs in several rows" in remark for remark in guessed.remarks)


def test_negative_amounts_are_returns() -> None:
    record = record_of(guess_of("invoice,date,user_id,total", "1,2024-05-01,c,5", "C2,2024-05-02,c,-5"))
    assert record["fields"]["total"] == {"column": "total", "sign": "returns"}


@pytest.mark.parametrize(
    ("values", "read", "is_doubted"),
    [
        (["2024-05-01 12:00:00"], "date", False),
        (["1714564800"], {"column": "date", "unit": "s"}, False),
        (["1714564800123"], {"column": "date", "unit": "ms"}, False),
        (["20240501"], {"column": "date", "format": "%Y%m%d"}, False),
        (["01.05.2024 12:00"], {"column": "date", "format": "%d.%m.%Y %H:%M"}, True),
        (["01/05/2024", "13/05/2024"], {"column": "date", "format": "%d/%m/%Y"}, False),
        (["05/01/2024", "05/13/2024"], {"column": "date", "format": "%m/%d/%Y"}, False),
        (["45413"], "date", True),
    ],
)
def test_values_of_a_time_say_how_it_is_written(values: Sequence[str], read: Any, is_doubted: bool) -> None:
    guessed = guess_of("date,user_id,total", *(f"{value},c,5" for value in values))
    assert record_of(guessed)["fields"]["occurred_at"] == read
    assert any(remark.startswith("occurred_at") for remark in guessed.remarks) == is_doubted


def test_rows_without_amounts_are_engagements() -> None:
    record = record_of(guess_of("timestamp,userId,event", "2024-05-01,c,view"))
    assert record == {
        "topic": "engagements",
        "fields": {"type": "event", "customer_id": "userId", "occurred_at": "timestamp"},
    }


def test_paths_are_known_by_their_last_names() -> None:
    columns = ["id", "created_at", "customer.id", "customer.email", "totals.grand_total"]
    guessed = guess(columns, [], "orders")
    assert guessed.document is not None
    fields = guessed.document["sources"]["orders"]["records"][0]["fields"]
    assert fields["customer_id"] == {"first_of": ["customer.id", "customer.email"], "kind": "email"} | {}
    assert fields["total"] == "totals.grand_total"


def test_what_is_missing_is_said_in_a_line_each() -> None:
    guessed = guess_of("a,b", "1,2")
    assert guessed.document is None
    assert [remark.partition(":")[0] for remark in guessed.remarks][:3] == ["customer_id", "occurred_at", "total"]


def test_a_column_of_states_is_named_with_its_values() -> None:
    guessed = guess_of("order_id,date,user_id,total,status", "1,2024-05-01,c,5,paid", "2,2024-05-01,c,5,void")
    assert any("paid, void" in remark for remark in guessed.remarks)


def test_no_name_stands_for_two_fields() -> None:
    names = [name for several in NAMES.values() for name in several]
    assert len(names) == len(set(names))


def test_names_in_other_languages_are_known_with_and_without_accents() -> None:
    german = record_of(
        guess_of("Bestellnummer,Kundennummer,Bestelldatum,Gesamtbetrag,Währung", "7,k1,2024-05-01,5,EUR")
    )
    assert german["fields"] == {
        "customer_id": "Kundennummer",
        "occurred_at": "Bestelldatum",
        "total": "Gesamtbetrag",
        "currency": "Währung",
        "order_id": "Bestellnummer",
    }
    french = record_of(guess_of("Numéro de commande,Courriel,Date de commande,Montant", "7,a@b.fr,2024-05-01,5"))
    assert french["fields"] == {
        "customer_id": {"column": "Courriel", "kind": "email"},
        "occurred_at": "Date de commande",
        "total": "Montant",
        "order_id": "Numéro de commande",
    }


@pytest.mark.parametrize(
    ("values", "format_"),
    [
        (("12/1/10 8:26", "12/13/10 9:01"), "%m/%d/%y %H:%M"),
        (("1.12.24", "13.12.24"), "%d.%m.%y"),
        (("May 1; 2024 08:05:00 AM", "Jun 30; 2024 11:59:00 PM"), "%b %d; %Y %I:%M:%S %p"),
        (("1 May 2024", "30 Jun 2024"), "%d %b %Y"),
        (("01-May-24", "30-Jun-24"), "%d-%b-%y"),
    ],
)
def test_times_with_names_of_months_and_years_of_two_digits_are_known(values: Sequence[str], format_: str) -> None:
    rows = [f"c,{value},5" for value in values]
    table = [[cell.replace(";", ",") for cell in row.split(",")] for row in rows]
    columns = ["customer", "date", "amount"]
    guessed = guess(columns, [dict(zip(columns, row, strict=True)) for row in table], "shop")
    assert record_of_shop(guessed)["fields"]["occurred_at"] == {"column": "date", "format": format_.replace(";", ",")}


def record_of_shop(guessed: Guess) -> Mapping[str, Any]:
    assert guessed.document is not None
    return dict(guessed.document["sources"]["shop"]["records"][0])


def test_a_time_that_is_written_in_two_ways_is_left_to_the_reader() -> None:
    record = record_of(guess_of("customer,date,amount", "c,1 May 2024,5", "c,2024-05-02,5"))
    assert record["fields"]["occurred_at"] == "date"
