"""What is answered, in which form, and what is said where there is no answer."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import stream_app as seg
from stream_app.notebook import frames
from stream_app.replay.saved import STATE
from tests.support.replays import purchase_at, write_lines

ORDER = {"customer_id": "ada", "occurred_at": "2024-05-01T10:00:00Z", "total": 59.9}
KINDS = ("pandas", "polars", "arrow", "dicts")


@pytest.fixture
def ada() -> seg.Segmenter:
    """Two customers, of whom one has fallen silent."""
    segmenter = seg.Segmenter()
    segmenter.learn_one(ORDER)
    segmenter.advance_to("2024-06-20T10:00:00Z")
    segmenter.learn_one(ORDER | {"customer_id": "bob", "occurred_at": "2024-06-20T10:00:00Z"})
    return segmenter


def rows_of(frame: Any) -> list[dict[str, Any]]:
    """Return any frame as plain rows."""
    if isinstance(frame, pd.DataFrame):
        found = frame.astype(object).where(frame.notna(), None).to_dict("records")
        return [{name: _plain(value) for name, value in row.items()} for row in found]
    if isinstance(frame, pl.DataFrame):
        return frame.to_dicts()
    if isinstance(frame, pa.Table):
        return frame.to_pylist()
    assert isinstance(frame, list)
    return frame


def _plain(value: Any) -> Any:
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


# --- answers -----------------------------------------------------------------------------------------------------


def test_a_customer_stands_where_its_last_move_led(ada: seg.Segmenter) -> None:
    standing = ada.segment_of("ada", "value")
    assert standing is not None
    assert standing == ada.segment_of("ada")["value"]
    last = ada.migrations("ada", as_="dicts")[-1]
    assert (standing.segment.id, standing.sequence) == (last["to_segment"], last["sequence"])


def test_time_that_passes_moves_who_is_silent(ada: seg.Segmenter) -> None:
    told = ada.advance_to(datetime(2026, 1, 1, tzinfo=UTC))
    assert {each.customer_id for each in told} == {"ada", "bob"}
    assert {each.cause.kind for each in told} == {"lapse"}
    assert ada.clock == datetime(2026, 1, 1, tzinfo=UTC)
    assert ada.advance_to("2025-01-01T00:00:00Z") == []
    assert ada.clock == datetime(2026, 1, 1, tzinfo=UTC)


def test_events_of_a_time_that_was_let_pass_are_accepted() -> None:
    segmenter = seg.Segmenter(now="2024-05-01T12:00:00Z")
    segmenter.learn_one(ORDER)
    later = ORDER | {"occurred_at": "2024-08-01T10:00:00Z"}
    with pytest.raises(seg.EventRefused, match="2024-08-01"):
        segmenter.learn_one(later)
    segmenter.advance_to("2024-08-01T10:00:00Z")
    segmenter.learn_one(later)
    assert segmenter.summary()["counts"]["applied"] == 2


def test_before_any_event_there_is_nothing_and_no_time() -> None:
    segmenter = seg.Segmenter()
    assert segmenter.clock is None
    assert segmenter.advance_to("2024-05-01T10:00:00Z") == []
    assert [segmenter.memberships(as_="dicts"), segmenter.segments(as_="dicts")] == [[], []]
    assert segmenter.migrations(as_="jsonl") == b""
    assert "0 customers, no time yet" in repr(segmenter)


def test_segments_have_the_figures_of_the_report(ada: seg.Segmenter) -> None:
    rows = ada.segments(as_="dicts")
    told = ada.summary()["segments"]
    assert [{"id": row["segment"], **{name: row[name] for name in told[0] if name != "id"}} for row in rows] == told
    assert [row["customers"] for row in rows] == [1, 1]
    assert all(row["meaning"] and row["segmentation"] == "value" for row in rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("table", ["memberships", "migrations", "segments", "refused"])
def test_every_kind_of_frame_says_the_same(ada: seg.Segmenter, table: str, kind: str) -> None:
    ada.advance_to("2024-12-01T00:00:00Z")
    expected = getattr(ada, table)(as_="dicts")
    assert rows_of(getattr(ada, table)(as_=kind)) == expected
    assert (table == "refused") == (expected == [])


def test_instants_in_frames_have_a_zone(ada: seg.Segmenter) -> None:
    assert str(ada.memberships(as_="pandas")["since"].dtype) == "datetime64[ms, UTC]"
    assert ada.memberships(as_="polars")["since"].dtype == pl.Datetime("ms", "UTC")
    assert ada.memberships(as_="arrow")["since"].type == pa.timestamp("ms", "UTC")
    assert ada.memberships(as_="dicts")[1]["since"] == datetime(2024, 6, 20, 10, tzinfo=UTC)


def test_columns_have_the_same_types_whatever_is_in_them(ada: seg.Segmenter) -> None:
    first, later = ada.copy(), ada
    later.advance_to("2025-12-01T00:00:00Z")
    for table in ("memberships", "migrations", "segments"):
        frames_ = [getattr(each, table)(as_="polars") for each in (first, later)]
        assert frames_[0].schema == frames_[1].schema
        tables = [getattr(each, table)(as_="arrow") for each in (first, later)]
        assert tables[0].schema == tables[1].schema


def test_frames_are_of_what_is_installed(ada: seg.Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"pandas", "polars", "pyarrow"}
    monkeypatch.setattr(frames, "find_spec", lambda name: name if name in installed else None)
    for library, kind in (("pandas", pd.DataFrame), ("polars", pl.DataFrame), ("pyarrow", pa.Table)):
        assert isinstance(ada.memberships(), kind)
        installed.remove(library)
    assert isinstance(ada.memberships(), list)
    with pytest.raises(seg.ConfigurationError, match="as_: 'polars' needs polars, which is not installed"):
        ada.memberships(as_="polars")


def test_one_customers_moves_are_those_of_all(ada: seg.Segmenter) -> None:
    every = [line for line in ada.migrations(as_="jsonl").splitlines() if json.loads(line)["customer_id"] == "bob"]
    assert ada.migrations("bob", as_="jsonl").splitlines() == every


# --- events ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"total": Decimal("59.90")},
        {"total": np.float64(59.9)},
        {"total": "59.90", "items": np.int64(1)},
        {"occurred_at": datetime(2024, 5, 1, 10, tzinfo=UTC)},
        {"occurred_at": datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))},
        {"occurred_at": pd.Timestamp("2024-05-01T10:00:00Z")},
        {"type": "purchase"},
        {"currency": "EUR", "channel": None},
    ],
)
def test_values_of_python_mean_what_json_would(changes: dict[str, Any]) -> None:
    plain, changed = seg.Segmenter(), seg.Segmenter()
    ids = {"event_id": "e1", "order_id": "o1"}
    plain.learn_one(ORDER | ids)
    changed.learn_one(ORDER | ids | changes)
    assert changed.migrations(as_="jsonl") == plain.migrations(as_="jsonl")


def test_the_same_event_twice_is_one(ada: seg.Segmenter) -> None:
    assert ada.learn_one(ORDER) == []
    assert ada.summary()["counts"]["duplicate"] == 1


def test_what_an_event_is_shows_in_its_fields(ada: seg.Segmenter) -> None:
    ada.learn_one({"customer_id": "ada", "occurred_at": "2024-07-01T10:00:00Z", "type": "product_viewed"})
    ada.learn_one({"customer_id": "ada", "observed_at": "2024-07-02T10:00:00Z", "traits": {"country": "IT"}})
    ada.learn_one(ORDER | {"occurred_at": "2024-07-03T10:00:00Z", "type": "refund"})
    inputs = {each["topic"]: each["records"] for each in ada.summary()["inputs"]}
    assert inputs == {"purchases": 3, "engagements": 1, "profiles": 1}


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"occurred_at": "yesterday"}, "occurred_at", r'occurred_at: "yesterday", expected an RFC 3339 time'),
        ({"occurred_at": datetime(2024, 5, 1)}, "occurred_at", r"occurred_at: .*expected an RFC 3339 time with a zone"),
        ({"total": -5}, "total", r"total: -5, expected"),
        ({"total": "much"}, "total", r'total: "much", expected'),
        ({"customer_id": ""}, "customer_id", r"customer_id: "),
        ({"currency": "XXQ"}, "currency", r'currency: "XXQ"'),
    ],
)
def test_a_refused_event_names_field_and_value_and_changes_nothing(
    ada: seg.Segmenter, changes: dict[str, Any], field: str, message: str
) -> None:
    before = ada.summary()
    with pytest.raises(ValueError, match=message) as refusal:
        ada.learn_one(ORDER | changes)
    assert isinstance(refusal.value, seg.EventRefused)
    assert refusal.value.field == field
    assert ada.summary() == before


def test_a_value_without_a_form_in_json_is_named(ada: seg.Segmenter) -> None:
    with pytest.raises(TypeError, match=r"<object object.* of type object, expected text, a number"):
        ada.learn_one(ORDER | {"channel": object()})


# --- loads -------------------------------------------------------------------------------------------------------


def test_what_a_load_refused_is_listed_with_its_place(tmp_path: Path) -> None:
    lines = [purchase_at(number, "2024-05-01T12:00:00Z") for number in range(20)]
    path = write_lines(tmp_path / "orders.jsonl", [*lines, purchase_at(99, "noon")])
    segmenter = seg.Segmenter().learn_many(path)
    (refused,) = segmenter.refused(as_="dicts")
    assert (refused["reason"], refused["field"]) == ("invalid_time", "occurred_at")
    assert (refused["source"], refused["row"]) == ("orders.jsonl", 21)
    assert '"noon"' in refused["message"]


def test_a_load_that_failed_names_the_commonest_reasons_and_keeps_what_was_good(tmp_path: Path) -> None:
    lines = [purchase_at(number, "2024-05-01T12:00:00Z") for number in range(20)]
    path = write_lines(tmp_path / "orders.jsonl", [*lines, *(purchase_at(number, "noon") for number in range(30, 45))])
    segmenter = seg.Segmenter()
    expected = r"15 of 35 records are refused: invalid_time \(15\), orders.jsonl, line 21: occurred_at: \"noon\""
    with pytest.raises(seg.LoadFailed, match=expected):
        segmenter.learn_many(path)
    assert segmenter.summary()["counts"]["in"] == 35
    assert segmenter.learn_many(path, max_rejected=0.5) is segmenter


# --- mistakes ----------------------------------------------------------------------------------------------------


def test_refund_that_names_its_order_alone_is_that_of_its_customer(ada: seg.Segmenter) -> None:
    ada.learn_one(ORDER | {"order_id": "o5", "total": "50.00"})
    returned = {"occurred_at": "2024-07-01T10:00:00Z", "type": "refund", "order_id": "o5", "total": "20.00"}
    ada.learn_one(returned)
    assert ada.summary()["counts"]["rejected"] == 0
    with pytest.raises(seg.EventRefused, match='order_id: "o6", expected an order that this partition has') as error:
        ada.learn_one(returned | {"order_id": "o6"})
    assert (error.value.reason, error.value.field) == ("unknown_order", "order_id")
    assert sum(ada._run.history()["days"]["revenue_minor"]) == 2 * 5_990 + 3_000


def test_who_was_never_named_is_no_customer(ada: seg.Segmenter) -> None:
    with pytest.raises(LookupError, match="customer_id: 'eve', expected one that a record has named"):
        ada.segment_of("eve")


def test_wrong_names_and_settings_are_told_like_everywhere(ada: seg.Segmenter) -> None:
    with pytest.raises(seg.ConfigurationError, match="segmentation: 'velue', expected one of value"):
        ada.segment_of("ada", "velue")
    with pytest.raises(
        seg.ConfigurationError, match="topic: 'orders', expected one of purchases, engagements, profiles"
    ):
        ada.learn_one(ORDER, topic="orders")
    with pytest.raises(seg.ConfigurationError, match="as_: 'excel', expected one of pandas, polars, arrow, dicts"):
        ada.memberships(as_="excel")  # type: ignore[call-overload]
    with pytest.raises(seg.ConfigurationError, match="instant: '2024-05-01', expected a time with a zone"):
        ada.advance_to("2024-05-01")
    with pytest.raises(seg.ConfigurationError, match=r"setting money\.base_currency: 'euro' is refused"):
        seg.Segmenter({"money": {"base_currency": "euro"}})
    with pytest.raises(seg.ConfigurationError, match="config: 3, expected the path of a TOML file"):
        seg.Segmenter(3)  # type: ignore[arg-type]
    with pytest.raises(seg.ConfigurationError, match="kind"):
        seg.Segmenter(segmentations=[{"kind": "guessed", "name": "value"}])


def test_settings_come_from_a_file_a_dictionary_or_settings(tmp_path: Path) -> None:
    path = tmp_path / "segmenter.toml"
    path.write_text('[money]\nbase_currency = "USD"\n[learning]\ntick_days = 14\n')
    from_file = seg.Segmenter(path, seed=5).settings
    again = seg.Segmenter({"money": {"base_currency": "USD"}, "learning": {"tick_days": 14}}, seed=5).settings
    assert from_file == again == seg.Segmenter(from_file).settings
    assert seg.Segmenter(from_file, seed=6).settings.learning.seed == 6
    assert seg.Segmenter(from_file, seed=6).settings.learning.tick_days == 14


def test_segmentations_come_from_a_file_its_content_or_a_list(tmp_path: Path) -> None:
    audience = {"kind": "audience", "name": "buyers", "when": {"figure": "purchases", "at_least": 1}}
    document = {"version": 1, "segmentations": [audience]}
    path = tmp_path / "segmentations.json"
    path.write_text(json.dumps(document))
    for segmentations in (path, str(path), document, [audience]):
        segmenter = seg.Segmenter(segmentations=segmentations)
        segmenter.learn_one(ORDER)
        assert list(segmenter.segment_of("ada")) == ["buyers"]


# --- files -------------------------------------------------------------------------------------------------------


def test_a_report_is_one_file_or_a_folder_of_all_outputs(ada: seg.Segmenter, tmp_path: Path) -> None:
    page = ada.report(tmp_path / "pages" / "shop.html")
    assert [path.name for path in page.parent.iterdir()] == ["shop.html"]
    folder = ada.report(tmp_path / "out").parent
    assert json.loads((folder / "summary.json").read_bytes()) == ada.summary()
    assert (folder / "migrations.jsonl").read_bytes() == ada.migrations(as_="jsonl")
    assert ada.advance_to("2026-01-01T00:00:00Z"), "a report ends nothing"


def test_a_saved_segmenter_needs_none_of_the_files_that_it_was_made_of(tmp_path: Path) -> None:
    (tmp_path / "staff.txt").write_text("ada\n")
    audience = {"kind": "audience", "name": "staff", "when": {"list": "staff"}}
    document = {"version": 1, "lists": {"staff": "staff.txt"}, "segmentations": [audience]}
    path = tmp_path / "segmentations.json"
    path.write_text(json.dumps(document))
    segmenter = seg.Segmenter(segmentations=path)
    segmenter.save(tmp_path / "saved")
    path.unlink()
    (tmp_path / "staff.txt").unlink()
    loaded = seg.Segmenter.load(tmp_path / "saved")
    assert [each.change for each in loaded.learn_one(ORDER)] == ["entered"]


def test_what_is_no_saved_segmenter_is_refused(ada: seg.Segmenter, tmp_path: Path) -> None:
    path = tmp_path / "saved"
    with pytest.raises(seg.SavedRunUnusable, match="cannot be read"):
        seg.Segmenter.load(path)
    path.write_bytes(b"PK and nothing else")
    with pytest.raises(seg.SavedRunUnusable, match="expected a saved run"):
        seg.Segmenter.load(path)
    ada.save(path)
    whole = path.read_bytes()
    for at in range(0, len(whole), max(len(whole) // 60, 1)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            seg.Segmenter.load(path).memberships()
        except seg.SegmenterError:
            continue


def test_a_failed_save_leaves_the_earlier_one(
    ada: seg.Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "saved"
    ada.save(path)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("stream_app.replay.saved._pack", fail)
    with pytest.raises(OSError, match="no space left"):
        ada.save(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["saved"]
    assert STATE.encode() in before


# --- the package -------------------------------------------------------------------------------------------------


def test_the_package_imports_nothing_until_something_is_asked_of_it() -> None:
    code = (
        "import sys, typing; before = set(sys.modules); import stream_app as seg; print(*set(sys.modules) - before);"
        "print(seg.Segmenter.__name__, seg.__version__, 'Segmenter' in dir(seg))"
    )
    root = Path(__file__).parents[2]
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=root)
    imported, used = out.stdout.splitlines()
    assert imported == "stream_app"
    assert used.startswith("Segmenter 0.")
    assert used.endswith("True")


def test_what_the_package_does_not_offer_is_named() -> None:
    with pytest.raises(AttributeError, match="module 'stream_app' has no attribute 'Segmentor'"):
        seg.Segmentor  # noqa: B018


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(seg.__file__).parent / "py.typed").is_file()
