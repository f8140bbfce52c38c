"""Every preset reads a file of its true header and form, with one flag and with none.

A line is a record: when, what, which order, whose, for how much, how many items, which products; or why it is refused,
and where it stands. What a preset leaves out (unpaid orders, tests, refunds that are said twice) has no line.
"""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pyarrow
import pytest
from pyarrow import parquet

from stream_app.errors import ConfigurationError
from stream_app.sources.choosing import choose, known_sources
from stream_app.sources.mapping import load_presets
from tests.sources.presets.reading import FILES, read
from tests.sources.presets.workbooks import date_cell, write_workbook
from tests.support.replays import replay

WOOCOMMERCE: Final = "woocommerce/order_export.csv"
READ: Final = {
    ("shopify", "shopify/orders_export.csv"): """
        2024-03-30T09:00:00 completed #1001 mia@example.com 18.40 EUR 1x MUG
        2024-05-25T08:00:00 completed #1002 tom@example.com 20.00 EUR 1x MUG
        refused no_customer orders_export.csv:12
        2024-05-27T08:00:00 completed #1004 +4915112345678 15.00 EUR 1x MUG
        2024-05-29T16:30:00 completed #1006 mia@example.com 95.00 EUR 1x MUG
        2024-05-29T16:30:00 refunded #1006 mia@example.com 95.00 EUR
        2024-05-30T08:00:00 completed #1007 tom@example.com 1234.50 EUR 1x MUG
        2024-06-01T08:00:00 completed #1008 liv@example.com 30.00 EUR 1x MUG
        2024-06-01T08:00:00 refunded #1008 liv@example.com 7.50 EUR
        2024-06-02T19:06:21 completed #1009 mia@example.com 58.00 EUR 3x BOWL-L+MUG
        2024-06-03T07:00:00 completed #1010 ida@example.com 12.00 EUR 1x MUG
    """,
    ("shopify-webhook", "shopify-webhook/orders.jsonl"): """
        2024-05-01T08:00:00 updated 450789001 mia@example.com 40.00 EUR 2x MUG as of 2024-05-01T08:00:00
        2024-05-01T08:00:00 updated 450789001 mia@example.com 32.50 EUR 2x MUG as of 2024-05-04T06:00:00
        2024-05-03T09:30:00 updated 450789003 +4915112345678 25.00 EUR 2x MUG as of 2024-05-03T09:30:00
        2024-05-05T07:00:00 updated 450789004 liv@example.com 12.00 EUR 2x MUG as of 2024-05-05T07:00:00
        2024-05-05T10:00:00 cancelled 450789004 liv@example.com 12.00 EUR
        refused no_customer orders.jsonl:7
    """,
    ("woocommerce", WOOCOMMERCE): """
        2024-05-01T10:00:00 completed 501 ana@example.com 40.00 EUR
        2024-05-06T10:00:00 completed 505 dan@example.com 10.00 EUR
        2024-05-07T10:00:00 completed 506 eva@example.com 25.50 EUR
        2024-05-08T10:00:00 completed 507 eva@example.com 50.00 EUR
        2024-05-08T10:00:00 refunded 507 eva@example.com 15.00 EUR
        refused no_customer order_export.csv:10
    """,
    ("stripe", "stripe/unified_payments.csv"): """
        2024-05-02T23:59:59 completed ch_1 ana@example.com 12.00 EUR
        refused no_customer unified_payments.csv:7
        2024-05-06T08:00:00 completed ch_5 cus_3 30.00 EUR
        2024-05-07T08:00:00 completed ch_6 ben@example.com 19.00 EUR
        2024-05-08T08:00:00 completed ch_7 ana@example.com 1250.00 EUR
        2024-05-09T16:20:00 refunded ch_5 cus_3 4.50 EUR
        2024-05-09T16:20:00 refunded ch_6 ben@example.com 19.00 EUR
    """,
    ("stripe-payments", "stripe/payments.csv"): """
        2021-03-01T08:00:00 completed ch_a cus_2 15.00 EUR
        2021-03-01T08:00:00 refunded ch_a cus_2 5.00 EUR
        2021-03-02T08:00:00 completed ch_b ana@example.com 20.00 EUR
    """,
    ("magento", "magento/export.csv"): """
        2024-05-01T00:00:00 completed 000000001 eva@example.com 59.90 EUR
        2024-05-04T09:15:00 completed 000000004 ana@example.com 45.50 EUR
        2024-05-04T09:15:00 refunded 000000004 ana@example.com 5.50 EUR
        2024-05-05T12:00:00 completed 000000005 ben@example.com 20.00 EUR
        2024-05-05T12:00:00 refunded 000000005 ben@example.com 20.00 EUR
        2024-05-06T15:00:00 completed 000000006 ana@example.com 1059.90 EUR
    """,
    ("magento", "magento/sales_order_grid.csv"): """
        2024-06-01T10:00:00 completed 000000011 ana@example.com 59.90 EUR
        2024-06-02T10:00:00 completed 000000012 ben@example.com 20.00 EUR
        2024-06-02T10:00:00 refunded 000000012 ben@example.com 5.00 EUR
    """,
    ("amazon", "amazon/orders.txt"): """
        2026-03-01T10:50:49 completed 206-1111111-1111111 q1w2e3@marketplace.amazon.co.uk 33.98 GBP 1x WIDGET
        2026-03-02T10:50:49 completed 206-2222222-2222222 r4t5y6@marketplace.amazon.co.uk 49.98 GBP 3x GADGET+WIDGET
        refused no_customer orders.txt:5
    """,
    ("amazon-shipments", "amazon-shipments/shipments.txt"): """
        2017-06-04T21:57:28 completed 249-1111111-1111111 a1b2c3@marketplace.amazon.co.jp 35491.00 JPY 3x EGF-P+K01E
    """,
    ("uci-online-retail", "uci-online-retail/OnlineRetail.csv"): """
        2010-12-01T08:26:00 completed 600001 20001 57.64 GBP 20x 71053+84406B+85123A
        refused no_customer OnlineRetail.csv:6
        2010-12-01T09:41:00 refunded C600002 20002 27.50 GBP D
        2010-12-04T10:00:00 completed 600006 20003 0.00 GBP 1x 22000
        2010-12-13T10:00:00 refunded C600004 20001 15.30 GBP 85123A
    """,
    ("uci-online-retail", "uci-online-retail/data.csv"): """
        2010-12-01T08:26:00 completed 536365 17850 35.64 GBP 12x 71053+85123A
        2010-12-13T08:45:00 completed 536370 12583 90.00 GBP 24x 22728
        2010-12-14T09:41:00 refunded C536379 14527 27.50 GBP D
    """,
    ("uci-online-retail-ii", "uci-online-retail-ii/online_retail_II.csv"): """
        2009-12-01T07:45:00 completed 700001 20001 164.40 GBP 24x 79323P+85048
        refused no_customer online_retail_II.csv:4
        2009-12-02T10:33:00 refunded C700003 20001 35.40 GBP 22087
        2010-07-01T17:05:00 completed 700004 20002 59.50 GBP 10x 21523
    """,
    ("online-retail-orders", "online-retail-orders/online_retail_orders.csv"): """
        2010-12-01T08:26:00 completed 536365 17850 139.12 GBP
        2010-12-01T09:41:00 refunded C536379 14527 27.50 GBP
        2011-07-01T17:05:00 completed 536367 13047 278.73 GBP
    """,
    ("instacart", "instacart/orders.csv"): """
        2017-01-01T08:00:00 completed 2539329 1 0.00 EUR
        2017-01-01T11:00:00 completed 2168274 2 0.00 EUR
        2017-01-11T10:00:00 completed 1501582 2 0.00 EUR
        2017-01-16T07:00:00 completed 2398795 1 0.00 EUR
        2017-02-06T12:00:00 completed 473747 1 0.00 EUR
    """,
    ("rees46", "rees46/2019-Oct.csv"): """
        2019-10-01T00:00:00 product_viewed 541312140
        2019-10-01T00:01:10 product_added 541312140
        2019-10-01T00:02:14 completed 72d76fde 541312140 166.55 EUR 2x 1004856+44600062
        2019-10-01T00:05:00 product_removed 554748717
        2019-10-02T09:30:00 completed a1b2c3d4 554748717 489.07 EUR 1x 1003461
    """,
    ("retailrocket", "retailrocket/events.csv"): """
        2015-06-02T05:02:12.117 product_viewed 257597
        2015-06-02T05:50:14.164 product_viewed 992329
        2015-06-02T05:50:29.496 product_added 992329
        2015-06-02T05:50:50 completed 4000 992329 0.00 EUR 2x 248676+318965
        2015-06-03T05:50:50.123 completed 4001 257597 0.00 EUR 1x 355908
    """,
    ("ga4", "ga4/events_20210127.json"): """
        2021-01-27T23:11:18.248 view_item 7290421.0815
        2021-01-27T23:11:28.248 add_to_cart 7290421.0815
        2021-01-27T23:14:38.248 completed 881281 mia 62.00 USD 3x 9195912+9195915
        2021-01-27T23:16:18.248 completed 3014937.9302-1611789378248882 3014937.9302 30.00 USD 1x 9195912
        2021-01-27T23:17:58.248 completed 5550000.1111-1611789478248882 5550000.1111 12.50 USD 1x 9195913
        2021-01-28T23:14:38.248 refunded 881281 mia 23.00 USD
    """,
    ("ga4-flat", "ga4/flattened.csv"): """
        2021-01-27T23:11:18.248 page_view 1000.1
        2021-01-27T23:14:38.248 completed 881281 1000.1 62.00 USD 3x
        2021-01-27T23:16:18.248 completed 2000.2-1611789378248882 2000.2 30.00 USD 1x
        2021-01-28T23:14:38.248 refunded 881281 1000.1 62.00 USD
    """,
    ("segment", "segment/events.jsonl"): """
        2024-05-01T11:58:00 Product Viewed u-7
        2024-05-01T11:59:00 Product Added u-7
        2024-05-01T12:00:20 completed 50314b8e u-7 27.50 USD 3x 507f1f77+505bd76b
        2024-05-02T09:00:00 completed 50314b8f u-8 30.00 USD 1x 507f1f77
        2024-05-02T10:00:00 updated 50314b8f u-8 24.00 USD 1x 507f1f77
        2024-05-03T10:00:00 refunded 50314b8e u-7 3.00 USD 2x 505bd76b
        2024-05-03T11:00:00 refunded 50314b8f u-8 all
        2024-05-04T09:00:00 completed 50314b90 u-9 10.00 USD
        2024-05-04T10:00:00 cancelled 50314b90 u-9 10.00 USD
        2024-05-05T09:00:00 completed 50314b91 23adfd82-aa0f-45a7-a756-24f2a7a4c895 12.00 USD
    """,
    ("klaviyo", "klaviyo/events.jsonl"): """
        2024-05-01T12:00:00 completed 1001 george@example.com 29.98 USD
        2024-05-01T13:00:00 Opened Email george@example.com
        2024-05-02T12:00:00 refunded 1001 george@example.com 9.99 USD
        2024-05-03T12:00:00 cancelled 1002 liv@example.com 15.00 USD
    """,
    ("cdnow", "cdnow/cdnow_transactions.csv"): """
        1997-01-01T00:00:00 completed cdnow/a2d764c527db49997c804621125877f9 00004 29.33 USD 2x
        1997-01-01T00:00:00 completed cdnow/ab932907f9f0696a410fb20222bf956f 00001 11.77 USD 1x
        1997-02-18T00:00:00 completed cdnow/ca16c35b0f39b2406e5e70f81246432a 00001 0.00 USD 1x
    """,
}
TOGETHER: Final = {
    ("olist/olist_orders_dataset.csv", "olist/olist_order_payments_dataset.csv", "olist/olist_order_items_dataset.csv",
     "olist/olist_customers_dataset.csv"): """
        2017-10-02T13:56:33 completed o1 u1 38.71 BRL 1x p1
        2018-02-13T23:18:39 completed o4 u1 28.62 BRL 1x p1
        2018-07-24T23:41:37 completed o2 u2 219.03 BRL 2x p2+p3
    """,
    ("instacart/orders.csv", "instacart/order_products__prior.csv"): """
        2017-01-01T08:00:00 completed 2539329 1 0.00 EUR 2x 14084+196
        2017-01-01T11:00:00 completed 2168274 2 0.00 EUR 1x 32792
        2017-01-11T10:00:00 completed 1501582 2 0.00 EUR
        2017-01-16T07:00:00 completed 2398795 1 0.00 EUR 1x 196
        2017-02-06T12:00:00 completed 473747 1 0.00 EUR
    """,
    ("klaviyo-api/events.jsonl", "klaviyo-api/metrics.jsonl", "klaviyo-api/profiles.jsonl"): """
        2024-05-01T12:00:00 completed 1001 george@example.com 29.98 USD
        2024-05-01T13:00:00 Opened Email george@example.com
        2024-05-02T12:00:00 completed 1002 01gb 15.00 USD
    """,
    ("amazon/settlement.txt", "amazon/orders.txt"): """
        2026-03-01T10:50:49 completed 206-1111111-1111111 q1w2e3@marketplace.amazon.co.uk 33.98 GBP 1x WIDGET
        2026-03-02T10:50:49 completed 206-2222222-2222222 r4t5y6@marketplace.amazon.co.uk 49.98 GBP 3x GADGET+WIDGET
        refused no_customer orders.txt:5
        2026-03-05T09:15:00 refunded 206-2222222-2222222 r4t5y6@marketplace.amazon.co.uk 19.99 GBP
    """,
}  # fmt: skip
"""Files that belong together."""


def told(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


@pytest.mark.parametrize(("preset", "file"), READ)
def test_true_file_is_read_with_one_flag(preset: str, file: str) -> None:
    assert read(file, source=preset) == told(READ[preset, file])


@pytest.mark.parametrize("files", TOGETHER)
def test_files_that_belong_together_find_each_other(files: tuple[str, ...]) -> None:
    assert read(*files) == told(TOGETHER[files])
    assert sorted(read(*reversed(files))) == sorted(told(TOGETHER[files]))


@pytest.mark.parametrize(("preset", "file"), READ)
def test_auto_takes_the_preset_of_the_file(preset: str, file: str) -> None:
    known = known_sources(None)
    assert choose([FILES / file], "auto", known) == choose([FILES / file], preset, known)


def test_google_analytics_reads_the_same_from_parquet_and_from_cells_of_json(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (FILES / "ga4" / "events_20210127.json").read_text("utf-8").splitlines()]
    for row in rows:
        row |= {"user_properties": None, "app_info": None}  # an empty list or object has no type in Parquet
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "events.parquet")
    with (tmp_path / "events.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            nested = {
                name: json.dumps(value, indent=2) for name, value in row.items() if isinstance(value, dict | list)
            }
            writer.writerow(row | nested)
    expected = told(READ["ga4", "ga4/events_20210127.json"])
    assert read(tmp_path / "events.parquet") == expected
    assert read(tmp_path / "events.csv") == expected


def test_workbook_of_the_retailer_is_read_with_its_dates_and_numbers(tmp_path: Path) -> None:
    header = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
    at = date_cell(40513.35138888889)  # 2010-12-01 08:26
    rows: list[list[str | float]] = [
        [536365.0, "85123A", "MUG", 6.0, at, 2.55, 17850.0, "United Kingdom"],
        [536365.0, 71053.0, "LANTERN", 6.0, at, 3.39, 17850.0, "United Kingdom"],
        ["C536379", "D", "Discount", -1.0, date_cell(40544.5), 27.5, 14527.0, "United Kingdom"],
        [536414.0, 22139.0, "NOTHING", 56.0, at, 0.0, "", "United Kingdom"],
    ]
    path = write_workbook(tmp_path / "Online Retail.xlsx", [header, *rows])
    assert read(path) == told("""
        2010-12-01T08:26:00 completed 536365 17850 35.64 GBP 12x 71053+85123A
        refused no_customer Online Retail.xlsx:5
        2011-01-01T12:00:00 refunded C536379 14527 27.50 GBP D
    """)


def test_export_is_read_packed_and_in_another_encoding(tmp_path: Path) -> None:
    text = (FILES / "woocommerce" / "order_export.csv").read_text("utf-8")
    with zipfile.ZipFile(tmp_path / "orders.zip", "w") as packed:
        packed.writestr("order_export.csv", text.encode("utf-16"))
    lines = [line.replace("order_export.csv", "orders.zip") for line in told(READ["woocommerce", WOOCOMMERCE])]
    assert read(tmp_path / "orders.zip") == lines


def test_shop_with_many_guests_is_no_failure(tmp_path: Path) -> None:
    header, *rows = (FILES / WOOCOMMERCE).read_text("utf-8").splitlines()
    guest = next(row for row in rows if row.startswith("509,"))
    more = [guest.replace("509", str(number)) for number in range(600, 620)]
    path = tmp_path / "orders.csv"
    path.write_text("\n".join([header, *rows, *more]) + "\n", "utf-8")
    summary = replay(tmp_path / "out", path, status=0).summary
    assert (summary["counts"]["applied"], summary["without_customer"]) == (5, 21)


@pytest.mark.parametrize("order", ["newest first", "oldest first", "by customer"])
def test_order_of_rows_changes_nothing(order: str, tmp_path: Path) -> None:
    header, *rows = (FILES / "stripe" / "unified_payments.csv").read_text("utf-8").splitlines()
    keys: dict[str, Callable[[str], str]] = {
        "newest first": lambda row: row,
        "oldest first": lambda row: row.split(",")[1],
        "by customer": lambda row: row[::-1],
    }
    path = tmp_path / "payments.csv"
    path.write_text("\n".join([header, *sorted(rows, key=keys[order])]) + "\n", "utf-8")
    accepted = [line for line in told(READ["stripe", "stripe/unified_payments.csv"]) if "refused" not in line]
    assert [line for line in read(path) if "refused" not in line] == accepted


def test_every_preset_has_a_file() -> None:
    tried = {preset for preset, _ in READ} | {files[0].partition("/")[0] for files in TOGETHER} | {"amazon-settlement"}
    assert {*load_presets()} == tried


def test_every_preset_says_what_it_is_for() -> None:
    assert [name for name, source in load_presets().items() if not source.title] == []


def test_what_belongs_to_orders_that_are_not_named_asks_for_them() -> None:
    with pytest.raises(ConfigurationError, match="name it, too"):
        read("olist/olist_order_payments_dataset.csv")
    with pytest.raises(ConfigurationError, match=r"needs the file of payments.*payment_sequential"):
        read("olist/olist_orders_dataset.csv", "olist/olist_customers_dataset.csv")


def test_a_file_of_another_source_is_refused_with_the_column_that_it_lacks() -> None:
    with pytest.raises(ConfigurationError, match=r"has no column 'order_id' .* as files of woocommerce have"):
        read("shopify/orders_export.csv", source="woocommerce")


def test_a_mistyped_source_gets_a_guess() -> None:
    with pytest.raises(ConfigurationError, match=r"'shopfy', expected auto, guess or one .* mean 'shopify'"):
        read("shopify/orders_export.csv", source="shopfy")
