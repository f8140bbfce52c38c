"""Lines are looked at for their order without being read; those of one instant come in the order of their text."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.scanner import split_lines
from stream_app.core.clock import NO_TIME
from stream_app.core.events import EVENT_DTYPE
from stream_app.sources import ordering
from stream_app.sources.forms import Look
from stream_app.sources.ordering import is_in_order, order_instants

TIMES = [f"2024-05-01T12:00:0{second}.000Z" for second in range(4)]
FORMS = (
    '{{"event_id":"a","occurred_at":"{0}","amount":1}}',
    '{{"occurred_at":"{0}"}}',
    '{{"occurred_at": "{0}"}}',
    '{{"occurred_at":"2020-01-01T00:00:00.000Z","occurred_at":"{0}"}}',
    '{{"occurred_at":"{0}","properties":{{"occurred_at":"2020-01-01T00:00:00.000Z"}}}}',
    '{{"note":"{0}"}}',
    '{{"occurred_at":"',
    "",
)
LINES = st.lists(st.tuples(st.sampled_from(TIMES), st.sampled_from(FORMS)), max_size=8)


def read_one_by_one(lines: list[str]) -> list[str]:
    """Return the times of lines, each read as JSON."""
    times = []
    for line in lines:
        try:
            times.append(json.loads(line)["occurred_at"])
        except (ValueError, KeyError):
            continue
    return times


@given(LINES, st.booleans())
def test_lines_are_in_order_if_their_times_are_when_read_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[str, str]], is_ended: bool
) -> None:
    lines = [form.format(time) for time, form in drawn]
    path = tmp_path_factory.mktemp("lines") / "purchases.jsonl"
    path.write_text("\n".join(lines) + ("\n" if is_ended else ""))
    times = read_one_by_one(lines)
    assert is_in_order(Look(path, "jsonl"), "occurred_at") == (times == sorted(times))


@pytest.mark.parametrize("packing", ["", "gz"])
def test_order_is_found_over_blocks_and_lines_that_are_longer_than_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packing: str
) -> None:
    monkeypatch.setattr(ordering, "_BLOCK_BYTES", 100)
    path = tmp_path / "purchases.jsonl"
    long = json.dumps({"note": "x" * 1_000, "occurred_at": TIMES[1]}, separators=(",", ":"))
    for last, expected in ((TIMES[1], True), (TIMES[0], False)):
        lines = [f'{{"occurred_at":"{TIMES[0]}"}}', long, f'{{"occurred_at":"{TIMES[1]}"}}', *["{}"] * 60]
        text = "\n".join([*lines, f'{{"occurred_at":"{last}"}}']).encode()
        path.write_bytes(gzip.compress(text) if packing else text)
        assert is_in_order(Look(path, "jsonl", packing), "occurred_at") is expected


@given(st.lists(st.tuples(st.sampled_from([NO_TIME, 1, 2]), st.sampled_from(["", "a", "ab", "b", "é"])), max_size=40))
def test_records_of_an_instant_are_in_the_order_of_their_text(drawn: list[tuple[int, str]]) -> None:
    block = "".join(f"{text}\n" for _, text in drawn).encode()
    records = np.zeros(len(drawn), EVENT_DTYPE)
    records["at_ms"] = [at_ms for at_ms, _ in drawn]
    records["offset"] = np.arange(len(drawn)) + 7
    records["event_digest"] = np.arange(len(drawn))
    order_instants(records, block, split_lines(block))
    expected, start = [], 0
    while start < len(drawn):
        stop = start + 1
        while stop < len(drawn) and drawn[stop][0] == drawn[start][0] != NO_TIME:
            stop += 1
        expected += sorted(range(start, stop), key=lambda at: drawn[at][1].encode())
        start = stop
    assert records["event_digest"].tolist() == expected
    assert records["offset"].tolist() == list(range(7, 7 + len(drawn)))


def test_a_line_outside_of_its_block_is_refused() -> None:
    block = b"a\nb\n"
    lines = split_lines(block)
    lines.size[1] = 9
    with pytest.raises(MemoryError, match="seg_order_instants"):
        order_instants(np.zeros(2, EVENT_DTYPE), block, lines)
