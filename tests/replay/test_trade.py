from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stream_app.core.segments import Roster, Segment
from stream_app.replay.trade import DailyTrade
from tests.replay.test_history import day_of, history
from tests.support.events import START_MS
from tests.support.replays import Outputs, purchase_at, replay, write_lines

Bought = tuple[list[dict[str, Any]], Outputs]


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> Bought:
    """Purchases of 60 customers who grow silent one after the other, each sent once."""
    draw = random.Random(5)
    records: list[dict[str, Any]] = []
    for customer in range(60):
        for day in range(draw.randrange(30), draw.randrange(60, 400), draw.randrange(9, 50)):
            at = datetime.fromtimestamp((19_800 + day) * 86_400 + 3_600, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            total = f"{draw.randrange(500, 9_000) / 100:.2f}"
            records.append(purchase_at(len(records), at, f"c{customer}", total=total))
    records.sort(key=lambda record: str(record["occurred_at"]))
    folder = tmp_path_factory.mktemp("bought")
    return records, replay(folder / "out", "--purchases", write_lines(folder / "purchases.jsonl", records))


def rows(trade: dict[str, list[Any]]) -> dict[tuple[int, str | None], tuple[int, int]]:
    columns = (trade[name] for name in ("day", "segment", "revenue_minor", "orders"))
    return {(day, segment): (revenue, orders) for day, segment, revenue, orders in zip(*columns, strict=True)}


def test_an_order_counts_where_the_customer_was_before_it(bought: Bought) -> None:
    records, out = bought
    own: dict[str, list[dict[str, Any]]] = {}
    for migration in out.migrations:
        own.setdefault(migration["customer_id"], []).append(migration)
    last = day_of(out.summary["as_of"])
    expected: Counter[tuple[int, str | None]] = Counter()
    for record in records:
        segment = None
        for migration in own[record["customer_id"]]:
            if migration["effective_at"] >= record["occurred_at"]:
                break
            segment = migration["to_segment"]["id"]
        expected[min(day_of(record["occurred_at"]), last), segment] += 1
    found = rows(history(out)["segmentations"]["value"]["trade"])
    orders = {key: placed for key, (_, placed) in found.items() if placed}
    assert orders == dict(expected)
    assert len({segment for _, segment in orders}) > 3


def test_segments_add_up_to_the_days(bought: Bought) -> None:
    _, out = bought
    days = history(out)["days"]
    trade = history(out)["segmentations"]["value"]["trade"]
    for name in ("revenue_minor", "orders"):
        sums: Counter[int] = Counter()
        for day, value in zip(trade["day"], trade[name], strict=True):
            sums[day] += value
        assert {day: sums[day] for day in days["day"]} == dict(zip(days["day"], days[name], strict=True))


def test_it_does_not_matter_how_records_were_cut_into_chunks(
    bought: Bought, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, out = bought
    monkeypatch.setattr("stream_app.replay.runtime.CHUNK_EVENTS", 7)
    again = replay(tmp_path / "out", "--purchases", write_lines(tmp_path / "purchases.jsonl", records))
    trade = [history(each)["segmentations"]["value"]["trade"] for each in (out, again)]
    assert trade[0] == trade[1]


def test_several_orders_at_one_instant_count_where_the_customer_was(tmp_path: Path) -> None:
    at = "2024-03-01T10:00:00.000Z"
    sent = [purchase_at(number, at, "c1", total="10.00") for number in range(3)]
    out = replay(tmp_path / "out", "--purchases", write_lines(tmp_path / "purchases.jsonl", sent))
    trade = history(out)["segmentations"]["value"]["trade"]
    assert sum(trade["orders"]) == 3
    assert None in trade["segment"]


def test_a_difference_is_taken_out_of_the_segments_in_proportion() -> None:
    day = START_MS // 86_400_000
    trade = DailyTrade()
    trade.load_state([[day << 16 | 1, 3_000, 2], [day << 16 | 2, 1_000, 2], [day + 1 << 16 | 2, 0, 0]])
    trade.load_state(json.loads(json.dumps(trade.state())))
    told = trade.document(rostered(), {day: (2_000, 4), day + 1: (-500, 0)}, (day, day + 1))
    assert rows(told) == {(day, "a"): (1_500, 2), (day, "b"): (500, 2), (day + 1, None): (-500, 0)}


def test_days_outside_of_the_span_count_at_its_ends() -> None:
    trade = DailyTrade()
    trade.load_state([[3 << 16 | 1, 100, 1], [5 << 16 | 1, 10, 1], [9 << 16 | 1, 1, 1]])
    told = trade.document(rostered(), {3: (100, 1), 5: (10, 1), 9: (1, 1)}, (4, 8))
    assert rows(told) == {(4, "a"): (100, 1), (5, "a"): (10, 1), (8, "a"): (1, 1)}


def rostered() -> Roster:
    return Roster((Segment(1, "A", "a"), Segment(2, "B", "b")))
