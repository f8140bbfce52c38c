"""Tables in memory, and files of any form, are read as the replay reads files."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import stream_app as seg
from tests.support.replays import ROOT

EXPORT = ROOT / "tests" / "sources" / "presets" / "files" / "shopify" / "orders_export.csv"
COLUMNS = {"customer_id": "customer", "order_id": "order", "occurred_at": "at", "total": "paid"}
MAKERS: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "arrow": pa.Table.from_pylist,
    "arrow reader": lambda rows: pa.Table.from_pylist(rows).to_reader(),
    "polars lazy": lambda rows: pl.DataFrame(rows).lazy(),
}
MAPPING = {
    "version": 1,
    "sources": {
        "till": {
            "records": [
                {
                    "topic": "purchases",
                    "where": {"state": {"in": ["paid"]}},
                    "fields": {
                        "order_id": "order",
                        "customer_id": "customer",
                        "occurred_at": "at",
                        "total": "paid",
                        "currency": {"constant": "EUR"},
                    },
                }
            ]
        }
    },
}


def orders(count: int = 60) -> list[dict[str, Any]]:
    """Return rows of a few customers, as a shop's own table has them, in order of time."""
    chance, at, rows = random.Random(5), datetime(2023, 1, 1, 9, tzinfo=UTC), []
    for number in range(count):
        at += timedelta(hours=chance.randint(1, 200))
        total = f"{chance.randint(1, 20_000) / 100:.2f}"
        rows.append({"order": f"o{number}", "customer": f"c{chance.randint(0, 7)}", "at": at, "paid": total})
    return rows


def moves(segmenter: seg.Segmenter) -> list[dict[str, Any]]:
    """Return all migrations but for the place that the causing record was read from."""
    found = [json.loads(line) for line in segmenter.migrations(as_="jsonl").splitlines()]
    return [move | {"cause": move["cause"] | {"position": None}} for move in found]


def learned(table: Any, **options: Any) -> seg.Segmenter:
    return seg.Segmenter().learn_many(table, **{"columns": COLUMNS} | options)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What a file of the same orders moves."""
    path = tmp_path_factory.mktemp("orders") / "orders.csv"
    pd.DataFrame([row | {"at": row["at"].isoformat()} for row in orders()]).to_csv(path, index=False)
    found = moves(learned(path))
    assert len(found) > 10
    return found


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize(
    "form",
    [
        lambda row: row,
        lambda row: row | {"at": row["at"].isoformat()},
        lambda row: row | {"at": row["at"].replace(tzinfo=None)},
        lambda row: row | {"paid": float(row["paid"])},
        lambda row: row | {"paid": Decimal(row["paid"])},
    ],
    ids=["instants", "texts", "naive instants", "floats", "decimals"],
)
def test_a_table_of_any_kind_moves_what_a_file_of_it_moves(
    kind: str, form: Callable[[dict[str, Any]], dict[str, Any]], expected: list[dict[str, Any]]
) -> None:
    assert moves(learned(MAKERS[kind]([form(row) for row in orders()]))) == expected


def test_the_order_of_a_tables_rows_does_not_matter(expected: list[dict[str, Any]]) -> None:
    rows = orders()
    random.Random(1).shuffle(rows)
    shuffled = learned(pd.DataFrame(rows))
    assert moves(shuffled) == expected
    assert shuffled.migrations(as_="jsonl") == learned(pd.DataFrame(orders())).migrations(as_="jsonl")


def test_an_index_is_no_column_and_numbers_of_customers_are_their_ids() -> None:
    rows = [row | {"customer": 1 + int(row["customer"][1:])} for row in orders()]
    segmenter = learned(pd.DataFrame(rows, index=range(1_000, 1_000 + len(rows))))
    assert {row["customer_id"] for row in segmenter.memberships(as_="dicts")} == {str(number) for number in range(1, 9)}


def test_several_tables_are_one_load(expected: list[dict[str, Any]]) -> None:
    rows = orders()
    assert moves(learned([pd.DataFrame(rows[::2]), pl.DataFrame(rows[1::2])])) == expected


def test_tables_of_topics_are_merged_by_time() -> None:
    views = [
        {"customer_id": row["customer"], "occurred_at": row["at"] + timedelta(hours=9), "type": "product_viewed"}
        for row in orders()
    ]
    bought = [
        {"customer_id": row["customer"], "occurred_at": row["at"], "order_id": row["order"], "total": row["paid"]}
        for row in orders()
    ]
    together = seg.Segmenter().learn_many({"engagements": pd.DataFrame(views), "purchases": pl.DataFrame(bought)})
    counts = together.summary()["counts"]
    assert (counts["applied"], counts["late_applied"]) == (120, 0)
    assert {each["topic"]: each["records"] for each in together.summary()["inputs"]} == {
        "engagements": 60,
        "purchases": 60,
    }


def test_times_without_a_zone_are_of_the_zone_that_is_named() -> None:
    (row,) = orders(1)
    naive = pd.DataFrame([row | {"at": "2024-07-01 12:00:00"}])
    assert learned(naive, timezone="Europe/Berlin").clock == datetime(2024, 7, 1, 10, tzinfo=UTC)
    assert learned(naive).clock == datetime(2024, 7, 1, 12, tzinfo=UTC)
    with pytest.raises(seg.LoadFailed, match="1 of 1 records are refused"):
        learned(naive, timezone="none")
    with pytest.raises(seg.ConfigurationError, match="timezone: 'Berlin', expected a name such as UTC"):
        learned(naive, timezone="Berlin")


def test_a_load_that_is_interrupted_leaves_a_whole_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_app.replay.runtime.CHUNK_EVENTS", 8)
    segmenter = seg.Segmenter()
    observe = segmenter._run.statistics.observe_sizes

    def press_the_keys(*args: Any) -> None:
        observe(*args)
        if segmenter._run.statistics.applied > 20:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(segmenter._run.statistics, "observe_sizes", press_the_keys)
    with pytest.raises(KeyboardInterrupt):
        segmenter.learn_many(pd.DataFrame(orders()), columns=COLUMNS)
    monkeypatch.undo()
    applied = segmenter.summary()["counts"]["applied"]
    assert 20 < applied < 60
    again = segmenter.learn_many(pd.DataFrame(orders()), columns=COLUMNS).summary()["counts"]
    assert (again["applied"] + again["late_applied"], again["duplicate"]) == (60, applied)


# --- sources -----------------------------------------------------------------------------------------------------


def test_a_source_says_how_a_table_or_a_file_is_read(tmp_path: Path) -> None:
    rows = [
        row | {"at": row["at"].isoformat(), "state": "paid" if number % 3 else "open"}
        for number, row in enumerate(orders())
    ]
    sources, path = tmp_path / "sources.yaml", tmp_path / "orders.csv"
    sources.write_text(json.dumps(MAPPING))
    pd.DataFrame(rows).to_csv(path, index=False)
    found = [
        moves(seg.Segmenter().learn_many(table, source=source))
        for table in (pd.DataFrame(rows), path, str(path))
        for source in (MAPPING, sources, str(sources))
    ]
    assert len(found[0]) > 10
    assert found == [found[0]] * 9


def test_a_preset_is_found_by_the_columns_and_money_counted_as_the_export_says(tmp_path: Path) -> None:
    path = tmp_path / "orders_export.csv"
    path.write_text(EXPORT.read_text("utf-8").replace(",EUR,", ",USD,"), "utf-8")
    texts = pd.read_csv(path, dtype=str, keep_default_na=False)
    found = [
        seg.Segmenter().learn_many(table, source=source)
        for table in (path, texts)
        for source in ("shopify", "auto", None)
    ]
    assert {each.settings.money.base_currency for each in found} == {"USD"}
    assert len(moves(found[0])) > 5
    assert [moves(each) for each in found] == [moves(found[0])] * 6
    with pytest.raises(seg.LoadFailed, match="USD"):
        seg.Segmenter({"money": {"base_currency": "EUR"}}).learn_many(path)


def test_a_source_that_is_not_known_is_named() -> None:
    with pytest.raises(seg.ConfigurationError, match="'shoppify', expected"):
        seg.Segmenter().learn_many(pd.DataFrame(orders()), source="shoppify")
    with pytest.raises(seg.ConfigurationError, match="order, customer, at, paid fits no known source"):
        seg.Segmenter().learn_many(pd.DataFrame(orders()), source="auto")


def test_columns_that_are_missing_are_named() -> None:
    with pytest.raises(seg.ConfigurationError, match="customer_id"):
        seg.Segmenter().learn_many(pd.DataFrame(orders()))
    with pytest.raises(seg.ConfigurationError, match="topic: 'orders', expected one of purchases"):
        seg.Segmenter().learn_many({"orders": pd.DataFrame(orders())})


def test_what_is_no_table_is_named() -> None:
    with pytest.raises(TypeError, match="X: int, expected a pandas or Polars data frame, an Arrow table, the path"):
        seg.Segmenter().learn_many(3)


def test_a_refused_row_of_a_table_is_named_by_its_number() -> None:
    rows = orders(20)
    rows[7]["paid"] = "much"
    (refused,) = learned(pd.DataFrame(rows)).refused(as_="dicts")
    assert (refused["source"], refused["row"], refused["field"]) == ("frame", 8, "total")
    assert '"much"' in refused["message"]
