"""Events of the past for definitions that are added: windows see them, each once, and nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import stream_app.core.backfill as module
from stream_app.core.backfill import Backfill
from stream_app.core.clock import DAY_MS
from stream_app.core.events import Events
from stream_app.core.partition import Partition
from stream_app.native.library import NO_MEMORY, NO_ROOM
from tests.scenarios.embedded import Embedded, segmentations_of
from tests.scenarios.inputs import Input, engagement, profile, reader_of
from tests.scenarios.worlds import STARTS_MS
from tests.support.brute_moves import Told

START_MS = STARTS_MS[0]


def visit(day: float, number: int = 0, customer_id: str = "c1") -> Input:
    return engagement(customer_id, START_MS + round(day * DAY_MS), f"e{customer_id}{day}{number}", "visit")


def audience(name: str, **leaf: Any) -> dict[str, Any]:
    return {"kind": "audience", "name": name, "when": {"event": "visit", **leaf}}


def read(*inputs: Input) -> Events:
    return reader_of(frozenset()).read(inputs)


def added(embedded: Embedded, definition: dict[str, Any], first_series: int | None, *log: Input) -> list[Told]:
    """Add a definition two days after the start, read a log for it, and return its moves."""
    embedded.sweep(START_MS + 2 * DAY_MS)
    embedded.partition.follow_all(segmentations_of([definition], {}))
    if log:
        Backfill(embedded.partition, first_series).enter(read(*log))
    embedded.sweep(START_MS + 30 * DAY_MS)
    return [move for move in embedded.told if move.segmentation == definition["name"]]


def series_of(embedded: Embedded) -> int:
    return len(embedded.partition.table.series_digests)


def test_a_definition_that_is_added_sees_what_the_log_holds() -> None:
    embedded = Embedded([], {})
    embedded.feed([visit(0), visit(1)])
    told = added(embedded, audience("lately", last="7d", at_least=2), series_of(embedded), visit(0), visit(1))
    assert [(move.at_ms, move.segment) for move in told] == [
        (START_MS + 2 * DAY_MS, "lately"),
        (START_MS + 7 * DAY_MS, None),
    ]


def test_without_a_log_it_begins_with_nothing() -> None:
    embedded = Embedded([], {})
    embedded.feed([visit(0), visit(1)])
    assert added(embedded, audience("lately", last="7d"), series_of(embedded)) == []


def test_series_that_were_there_are_left_as_they_are() -> None:
    embedded = Embedded([audience("first", last="3d")], {})
    embedded.feed([visit(0), visit(1)])
    series = series_of(embedded)
    told = added(embedded, audience("second", last="3d"), series, visit(0), visit(1), visit(1.9))
    assert [move.at_ms for move in told] == [START_MS + 2 * DAY_MS, START_MS + 4 * DAY_MS]


def test_a_log_from_the_beginning_serves_series_that_are_to_keep_more() -> None:
    embedded = Embedded([audience("first", last="1d")], {})
    embedded.feed([visit(0), visit(0.5), visit(2)])
    told = added(embedded, audience("second", last="7d", at_least=3), None, visit(0), visit(0.5), visit(2))
    assert [move.at_ms for move in told] == [START_MS + 2 * DAY_MS + 1, START_MS + 7 * DAY_MS]


def test_what_was_delivered_twice_counts_once_and_customers_without_a_row_are_passed_over() -> None:
    embedded = Embedded([], {})
    embedded.feed([visit(0)])
    log = (visit(0), visit(0), visit(0, customer_id="nobody"))
    assert added(embedded, audience("twice", last="7d", at_least=2), series_of(embedded), *log) == []
    assert embedded.partition.table.customer_ids[:] == ["c1"]


def test_profiles_of_the_past_say_since_when_a_trait_is_held() -> None:
    embedded = Embedded([], {})
    log = [profile("c1", START_MS, "p", {"plan": "pro"}), profile("c1", START_MS + DAY_MS, "p", {"plan": "pro"})]
    embedded.feed(log)
    held = {"trait": "plan", "equals": "pro", "held_for": {"at_least": "3d"}}
    told = added(embedded, {"kind": "audience", "name": "held", "when": held}, series_of(embedded), *log)
    assert [move.at_ms for move in told] == [START_MS + 3 * DAY_MS]


def test_a_partition_without_rules_takes_nothing() -> None:
    assert len(Backfill(Partition([]), 0).enter(read(visit(0)))) == 0


@pytest.mark.parametrize(("status", "error"), [(NO_MEMORY, MemoryError), (NO_ROOM, RuntimeError)])
def test_a_backfill_that_fails_says_so(monkeypatch: pytest.MonkeyPatch, status: int, error: type[Exception]) -> None:
    embedded = Embedded([audience("first", last="1d")], {})
    monkeypatch.setattr(module, "_backfill", lambda: lambda *_: status)
    with pytest.raises(error):
        Backfill(embedded.partition, 0).enter(read(visit(0)))


def test_rows_that_may_have_changed_are_named() -> None:
    embedded = Embedded([audience("first", last="1d")], {})
    embedded.feed([visit(0), visit(0, customer_id="c2")])
    rows = Backfill(embedded.partition, None).enter(read(visit(0, customer_id="c2"), visit(0, customer_id="c3")))
    assert np.array_equal(rows, [embedded.partition.table.find("c2")])
