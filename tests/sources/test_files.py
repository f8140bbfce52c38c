from __future__ import annotations

import gzip
import io
import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.bootstrap.replay import create_readers
from stream_app.core.clock import NO_TIME, format_instant
from stream_app.core.events import Event, Position
from stream_app.core.kept import read_kept
from stream_app.core.records import Positions, Rejection
from stream_app.errors import ConfigurationError
from stream_app.native.structures import EVENT_DTYPE
from stream_app.settings.sections import Settings
from stream_app.sources import files as sources
from stream_app.sources import loading
from stream_app.sources.files import STANDARD_INPUT, Reader, SourceFile, merge_by_time
from tests.contracts.records import AT_MS, NOW_MS
from tests.support.batches import contents_of
from tests.support.replays import engagement_at, purchase_at, write_lines


def source(path: Path, topic: str = "purchases", zone: tzinfo | None = UTC, **columns: str) -> SourceFile:
    return SourceFile(path, topic, columns, {"currency": "EUR"}, zone)


def open_all(*files: SourceFile) -> list[Reader]:
    return create_readers(Settings(), files, NOW_MS)


def merged(readers: Sequence[Reader]) -> list[tuple[int, str, int, str]]:
    """Return watermark, file, position and event id (empty if rejected) of all records; close the files."""
    found = []
    names = {file.number: file.name for reader in readers for file in reader.inputs}
    for batch in merge_by_time(readers):
        assert len(batch)
        assert (np.diff(batch.watermarks_ms) >= 0).all()
        places = zip(batch.sources.tolist(), batch.offsets.tolist(), strict=True)
        for watermark_ms, content, (file, line) in zip(batch.watermarks_ms, contents_of(batch), places, strict=True):
            event_id = content.event_id if isinstance(content, Event) else ""
            found.append((int(watermark_ms), names[file], int(line), event_id))
    for reader in readers:
        reader.close()
    return found


def ids(*files: SourceFile) -> list[str]:
    return [event_id for *_, event_id in merged(open_all(*files))]


def at(seconds: int) -> str:
    return format_instant(AT_MS + 1000 * seconds)


# --- one file -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz", "p.json", "p", "p.csv.jsonl"])
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (3, 2, 1)])
def test_lines_of_json_are_read_in_order_of_time(tmp_path: Path, name: str, order: Sequence[int]) -> None:
    path = write_lines(tmp_path / name, [purchase_at(number, at(number)) for number in order])
    assert merged(open_all(source(path))) == [
        (AT_MS + 1000, name, 1, "p1"),
        (AT_MS + 2000, name, 2, "p2"),
        (AT_MS + 3000, name, 3, "p3"),
    ]


@pytest.mark.parametrize("name", ["p.csv", "p.csv.gz", "P.CSV", "P.CSV.GZ"])
def test_rows_of_a_table_are_counted_in_order_of_time(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    text = b"\xef\xbb\xbfevent_id,ts,customer_id,total\r\np1,2024-05-01,c1,5\r\n\r\np2,2024-05-01 00:00:01,c1,5"
    path.write_bytes(gzip.compress(text) if name.lower().endswith(".gz") else text)
    midnight_ms = AT_MS - 12 * 3_600_000
    assert merged(open_all(source(path, occurred_at="ts"))) == [
        (midnight_ms, name, 1, "p1"),
        (midnight_ms + 1000, name, 2, "p2"),
    ]


def test_times_without_a_zone_are_taken_to_be_in_the_zone_given(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "p.csv", ["event_id,occurred_at,customer_id,total", "p1,2024-05-01 14:00:00,c1,5"])
    ((watermark_ms, *_),) = merged(open_all(source(path, zone=ZoneInfo("Europe/Berlin"))))
    assert watermark_ms == AT_MS
    ((watermark_ms, *_, event_id),) = merged(open_all(source(path, zone=None)))
    assert (watermark_ms, event_id) == (NO_TIME, "")


def test_byte_order_mark_is_no_part_of_the_first_record(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "p.jsonl", [purchase_at(1, at(1))])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert ids(source(path)) == ["p1"]


def test_last_line_needs_no_end(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "p.jsonl", [purchase_at(1, at(1)), purchase_at(2, at(2))])
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert ids(source(path)) == ["p1", "p2"]


@pytest.mark.parametrize("block_bytes", [1, 64, 1000, 1 << 20])
def test_lines_do_not_depend_on_where_blocks_end(
    tmp_path: Path, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "BLOCK_BYTES", block_bytes)
    lines: list[str | dict[str, Any]] = [
        purchase_at(1, at(1)),
        "",
        "{",
        purchase_at(2, at(2), channel="x" * 200),
        " ",
        purchase_at(3, at(3)),
    ]
    for name in ("p.jsonl", "p.jsonl.gz"):
        found = merged(open_all(source(write_lines(tmp_path / name, lines))))
        assert [(line, event_id) for *_, line, event_id in found] == [(1, "p1"), (3, ""), (4, "p2"), (6, "p3")]


def test_bytes_read_reach_the_size_of_the_file(tmp_path: Path) -> None:
    for name in ("p.jsonl", "p.jsonl.gz", "p.csv"):
        path = write_lines(tmp_path / name, ["event_id,occurred_at,customer_id,total"] * 100)
        (reader,) = open_all(source(path))
        while len(reader.next_block()):
            pass
        assert reader.bytes_read == path.stat().st_size
        assert not len(reader.next_block()), "the end stays the end"
        reader.close()


def test_standard_input_is_read_as_lines_of_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = write_lines(tmp_path / "p.jsonl.gz", [purchase_at(1, at(1))]).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content))))
    assert ids(source(STANDARD_INPUT)) == ["p1"]


def test_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=write_lines, args=(path, [purchase_at(1, at(1))]))
    writer.start()
    (reader,) = open_all(source(path))
    assert merged([reader]) == [(AT_MS + 1000, "pipe", 1, "p1")]
    writer.join()


def test_missing_file_is_refused_and_those_before_it_are_closed(tmp_path: Path) -> None:
    sound = write_lines(tmp_path / "p.jsonl", [])
    with pytest.raises(ConfigurationError, match=r"absent\.jsonl: cannot be read \(No such file"):
        open_all(source(sound), source(tmp_path / "absent.jsonl"))


def test_wrong_column_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "p.csv", ["event_id,occurred_at,customer_id"])
    with pytest.raises(ConfigurationError, match="no column for total"):
        open_all(source(path))


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    lines = ["occurred_at,customer_id,total", f"{at(0)},c1,5"]
    for year in ("2023", "2024"):
        (tmp_path / year).mkdir()
        write_lines(tmp_path / year / "orders.csv", lines)
    files = [source(tmp_path / year / "orders.csv") for year in ("2023", "2024")]
    assert [name for _, name, _, _ in merged(open_all(*files))] == ["2023/orders.csv", "2024/orders.csv"]
    first, again = ids(files[0], files[0])
    assert first == again, "one purchase, told twice"


def test_name_that_is_no_text_can_be_written_to_outputs(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jsonl"))
    (reader,) = open_all(source(write_lines(path, [purchase_at(1, at(1))])))
    assert reader.inputs[0].name.encode()
    reader.close()


# --- several files ------------------------------------------------------------------------------------------------


def test_files_are_merged_by_time_whatever_their_order(tmp_path: Path) -> None:
    first = write_lines(tmp_path / "a.jsonl", [purchase_at(n, at(n)) for n in (1, 5, 2, 9)])
    second = write_lines(tmp_path / "b.jsonl", [engagement_at(n, at(n)) for n in (3, 5, 7)])
    assert ids(source(first), source(second, "engagements")) == ["p1", "p2", "v3", "p5", "v5", "v7", "p9"]


TIMES = st.lists(st.one_of(st.integers(0, 12), st.none()), max_size=25)
"""Seconds of a file's records, None for a broken one; few instants, so that files agree in many."""


@given(st.lists(TIMES, min_size=3, max_size=3), st.integers(1, 400), st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_merged_stream_is_ordered_by_time_file_and_text_whatever_the_blocks(
    files: list[list[int | None]], block_bytes: int, block_lines: int
) -> None:
    expected = []
    broken = 0
    opened = []
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "BLOCK_BYTES", block_bytes)
        patch.setattr(loading, "BLOCK_LINES", block_lines)
        for number, times in enumerate(files):
            lines: list[str | dict[str, Any]] = []
            for place, second in enumerate(times):
                event_id = f"{number}.{place:02}"
                lines.append("{broken" if second is None else purchase_at(0, at(second), event_id=event_id))
                if second is None:
                    broken += 1
                else:
                    expected.append((second, number, event_id))
            opened.append(source(write_lines(Path(folder) / f"{number}.jsonl", lines)))
        found = merged(open_all(*opened))
    assert [event_id for *_, event_id in found if event_id] == [event_id for *_, event_id in sorted(expected)]
    assert sum(not event_id for *_, event_id in found) == broken


# --- where records came from --------------------------------------------------------------------------------------


def test_positions_are_those_of_the_chosen_records() -> None:
    records = np.zeros(3, EVENT_DTYPE)
    records["source"], records["offset"] = [0, 1, 0], [7, 1, 9]
    positions = Positions(records[[0, 2]], ["a", "b"])
    assert list(positions) == [Position("a", 0, 7), Position("a", 0, 9)]
    assert list(positions[1:]) == [Position("a", 0, 9)]
    assert len(positions[1:]) == 1


def test_files_that_end_in_one_instant_and_begin_in_another_are_merged_to_their_ends(tmp_path: Path) -> None:
    same = "2024-05-01T12:00:00Z"
    first = write_lines(tmp_path / "a.jsonl", [purchase_at(number, same) for number in range(3)])
    second = write_lines(tmp_path / "b.jsonl", [engagement_at(number, same) for number in (2, 0, 1)])
    empty = write_lines(tmp_path / "c.jsonl", [])
    found = ids(source(first), source(second, "engagements"), source(empty))
    assert found == ["p0", "p1", "p2", "v0", "v1", "v2"]


@pytest.mark.parametrize("held_max", [1, 5, 1_000])
def test_instant_of_many_records_is_read_to_its_end_in_bounded_memory(
    held_max: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "BLOCK_BYTES", 400)
    monkeypatch.setattr(sources, "HELD_RECORDS_MAX", held_max)
    lines = [purchase_at(number, "2024-05-01T12:00:00Z", customer_id=f"c{number}") for number in range(10, 50)]
    many = write_lines(tmp_path / "a.jsonl", lines)
    later = write_lines(
        tmp_path / "b.jsonl", [engagement_at(number, f"2024-05-01T12:00:0{number}Z") for number in (1, 2)]
    )
    readers = open_all(source(many), source(later, "engagements"))
    batches = list(merge_by_time(readers))
    for reader in readers:
        reader.close()
    assert all(len(batch) for batch in batches)
    held = [content.event_id for batch in batches for content in contents_of(batch) if isinstance(content, Event)]
    assert held == [f"p{number}" for number in range(10, 50)] + ["v1", "v2"]
    assert (max(map(len, batches)) >= 40) is (held_max > 40)


def profile_lines(tmp_path: Path, name: str, *rows: str) -> Path:
    return write_lines(tmp_path / name, ["customer_id,observed_at,country,employees,source", *rows])


def test_columns_of_a_table_of_profiles_are_traits(tmp_path: Path) -> None:
    path = profile_lines(
        tmp_path, "p.csv", "c1,2024-05-01,IT,25,crm", "c2,2024-05-01T12:00:00Z,,7,", "c3,2024-05-01,,,x"
    )
    (reader,) = open_all(source(path, "profiles"))
    contents = [content for batch in merge_by_time([reader]) for content in contents_of(batch)]
    reader.close()
    events = [content for content in contents if isinstance(content, Event)]
    assert [(event.customer_id, dict(read_kept(event.kept))) for event in events] == [
        ("c1", {"country": "IT", "employees": 25}),  # a number by the catalogue
        ("c2", {"employees": 7}),
    ]
    (refused,) = (content for content in contents if isinstance(content, Rejection))
    assert (refused.error.reason, refused.error.field) == ("missing_field", "traits")


def test_column_of_a_trait_may_be_named_and_given(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "p.csv", ["id,seen,Company Size", "c1,2024-05-01,25"])
    columns = {"customer_id": "id", "observed_at": "seen", "company_size": "Company Size", "total": "amount"}
    file = SourceFile(path, "profiles", columns, {"currency": "EUR", "country": "IT"}, UTC)
    (reader,) = open_all(file)
    (batch,) = merge_by_time([reader])
    reader.close()
    assert dict(read_kept(batch.events().event(0).kept)) == {"company_size": "25", "country": "IT"}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("customer_id,observed_at,Company Size", "column 'Company Size' has no name for one of traits"),
        ("customer_id,observed_at,", "column '' has no name"),
        ("customer_id,observed_at", "no column for traits"),
        ("customer_id,observed_at,event_id,source", "no column for traits"),
        ("customer_id,country", "no column for observed_at"),
        ("customer_id,observed_at,plan,plan", "column 'plan' (for plan) is twice"),
    ],
)
def test_table_that_cannot_be_one_of_profiles_is_refused_at_the_start(
    header: str, message: str, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "p.csv", [header, "c1,2024-05-01,x,y"])
    with pytest.raises(ConfigurationError) as error:
        open_all(source(path, "profiles"))
    assert message in str(error.value)
