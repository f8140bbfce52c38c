"""Flows are counted by the days of the shop: in the view, in memory, and where the API says what today is."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from pathlib import Path

import msgspec
import pytest

from stream_app.api.days import days_asked_for
from stream_app.api.memory_store import MemoryStore
from stream_app.core.local_days import date_shown
from stream_app.view.records import MIGRATIONS, batch_of
from tests.api.serving import write_folder
from tests.support.output_records import drawn_migrations
from tests.view.test_target import records

ZONE = "Asia/Kolkata"
MOVES = list(drawn_migrations(20, 200))


def test_view_counts_a_migration_on_the_day_that_the_shop_has() -> None:
    for zone in ("UTC", ZONE):
        batch = batch_of(MIGRATIONS, 0, 0, records(MOVES), zone)
        days = [entry[6] for entry in msgspec.msgpack.decode(batch.records)]
        assert days == [date_shown(move.effective_at, zone) for move in MOVES]
    assert days != [move.effective_at[:10] for move in MOVES]


def test_flows_in_memory_are_of_the_days_that_the_replay_counted(tmp_path: Path) -> None:
    write_folder(tmp_path, MOVES)
    summary = tmp_path / "summary.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"timezone": ZONE}))
    store = MemoryStore(tmp_path)
    own = [move for move in MOVES if move.segmentation == "value"]
    days = sorted({date_shown(move.effective_at, ZONE) for move in own})
    for day in days[:20]:
        found = asyncio.run(store.flows("value", [day]))
        expected = sum(date_shown(move.effective_at, ZONE) == day for move in own)
        assert sum(flow.migrations for flow in found) == expected


@pytest.mark.parametrize(("zone", "today"), [("UTC", "2024-05-01"), (ZONE, "2024-05-02")])
def test_last_day_is_todays_in_the_shop_if_none_is_named(zone: str, today: str) -> None:
    assert days_asked_for(None, None, date.fromisoformat(date_shown("2024-05-01T20:00:00.000Z", zone)))[-1] == today
