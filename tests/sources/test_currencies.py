"""In which currency exports are, where nobody has set one."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import pytest

from stream_app.sources.choosing import choose, known_sources
from stream_app.sources.currencies import commonest_currency
from stream_app.sources.files import SourceFile
from stream_app.sources.inputs import LoadingOptions
from tests.sources.presets.reading import FILES
from tests.support.replays import replay


def currency_of(*paths: Path | str) -> str | None:
    chosen = choose([FILES / path for path in paths], "auto", known_sources(None))
    files = [
        SourceFile(each.path, "", {}, {}, UTC, (), None, each.source, each.name, each.join, each.member)
        for each in chosen
    ]
    return commonest_currency(files, LoadingOptions())


@pytest.mark.parametrize(
    ("file", "currency"),
    [
        ("shopify/orders_export.csv", "EUR"),
        ("uci-online-retail/OnlineRetail.csv", "GBP"),
        ("amazon-shipments/shipments.txt", "JPY"),
        ("stripe/unified_payments.csv", "EUR"),
        ("ga4/events_20210127.json", "USD"),
        ("rees46/2019-Oct.csv", None),
    ],
)
def test_currency_is_the_one_that_orders_name(file: str, currency: str | None) -> None:
    assert currency_of(file) == currency


def test_most_orders_decide(tmp_path: Path) -> None:
    text = (FILES / "shopify" / "orders_export.csv").read_text("utf-8")
    few, many = tmp_path / "few.csv", tmp_path / "many.csv"
    few.write_text(text.replace(",EUR,", ",CHF,", 2), "utf-8")
    many.write_text(text.replace(",EUR,", ",chf,", 6), "utf-8")
    assert (currency_of(few), currency_of(many)) == ("EUR", "CHF")


def test_report_counts_in_it_unless_a_currency_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = FILES / "amazon-shipments" / "shipments.txt"
    assert replay(tmp_path / "one", path).summary["currency"] == "JPY"
    told = "money is counted in JPY, as the files have it; set money.base_currency for another\n"
    assert told in capsys.readouterr().err
    monkeypatch.setenv("SEGMENTER_MONEY__BASE_CURRENCY", "USD")
    refused = replay(tmp_path / "two", path, status=1).summary
    assert (refused["currency"], refused["rejected_by_reason"]) == ("USD", {"unknown_currency": 1})
