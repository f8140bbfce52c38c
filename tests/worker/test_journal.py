"""What a worker says in its log, and how seldom."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from stream_app.adapters.record_blocks import RecordBlock
from stream_app.segmentations.learned.document import ModelProposal
from stream_app.worker.journal import LONG_SWEEP_SECONDS, REFUSED_SECONDS, SUMMARY_SECONDS, WAITING_SECONDS, Journal
from tests.support.events import purchase
from tests.support.models import learned_model
from tests.worker.memory import MemoryLog, Record
from tests.worker.test_owned import CUSTOMERS, PURCHASES, Worker, both


class Watched:
    """A worker, its journal, and what it has written."""

    def __init__(self, caplog: pytest.LogCaptureFixture, partitions: int = 1) -> None:
        caplog.set_level(logging.INFO)
        self._caplog = caplog
        self.worker = Worker(MemoryLog(), partitions)
        self.newest: dict[str, ModelProposal] = {}
        self.waiting: dict[tuple[str, int], int] = {}
        self.journal = Journal(self.worker.owned, lambda: self.newest, lambda: self.waiting)

    def look(self, now: float) -> list[str]:
        self._caplog.clear()
        self.journal.look(now)
        return [record.getMessage() for record in self._caplog.records]

    async def refuse(self, count: int, number: int = 0) -> None:
        first = self.worker.host.expected_offset(PURCHASES, number) or 0
        records = [Record(first + index, b"secret", b"c0") for index in range(count)]
        self.worker.host.feed(PURCHASES, number, RecordBlock.of(records))
        await self.worker.work(*both(number))


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_worker_says_once_that_it_has_caught_up_and_what_was_done(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        watched = Watched(caplog)
        await watched.worker.open(0)
        assert watched.look(1_000) == []  # nothing is known of the log's ends
        watched.waiting = dict.fromkeys(both(), 50_000)
        assert watched.look(1_001) == [f"catching up: {len(both()) * 50_000:,} records to go"]
        assert watched.look(1_002) == []
        assert watched.look(1_001 + WAITING_SECONDS) == [f"catching up: {len(both()) * 50_000:,} records to go"]
        watched.worker.feed(PURCHASES, 0, *(purchase(day, customer_id=name) for day, name in enumerate(CUSTOMERS)))
        await watched.worker.work(*both())
        watched.waiting = dict.fromkeys(both(), 0)
        told = f"{len(CUSTOMERS)} records folded, {len(CUSTOMERS)} migrations (purchase {len(CUSTOMERS)})"
        assert watched.look(1_070) == [f"caught up with partitions [0] after 70 s: {told}"]
        watched.waiting = dict.fromkeys(both(), 4_000)  # as at any moment under load
        assert watched.look(1_071) == []
        watched.waiting = dict.fromkeys(both(), 0)
        assert watched.look(1_072) == []
        await watched.worker.owned.release()

    run(test)


def test_partitions_that_others_have_now_are_named(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        watched = Watched(caplog, 3)
        await watched.worker.open(0, 1, 2)
        watched.look(1_000)
        await watched.worker.open(1)
        assert watched.look(1_001) == ["partitions [0, 2] went to other workers"]
        assert watched.look(1_002) == []
        await watched.worker.owned.release()

    run(test)


def test_models_are_told_with_what_they_move(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(caplog)
    learned = replace(learned_model(hysteresis=1.0), version=3, as_of_ms=0, expected_churn=0.0125)
    watched.newest["value"] = ModelProposal(replace(learned, version=0))
    assert watched.look(1_000) == []  # the rules that hold before anything is learned
    watched.newest["value"] = ModelProposal(learned)
    told = "segmentation value: model 3, learned at 1970-01-01T00:00:00.000Z, "
    assert watched.look(1_001) == [f"{told}is published: moves 1.2% of the customers"]
    assert watched.look(1_002) == []
    watched.newest["value"] = ModelProposal(replace(learned, version=4, as_of_ms=1, expected_churn=0.52), held=True)
    (line,) = watched.look(1_003)
    assert "model 4" in line
    assert "waits: `segmenter model approve value 4` publishes it; it moves 52.0% of the customers" in line
    held = replace(watched.newest["value"], rejected=True)
    watched.newest["value"] = held
    (line,) = watched.look(1_003)
    assert line.endswith("is rejected")
    watched.newest["value"] = ModelProposal(replace(learned, version=4, as_of_ms=2, expected_churn=None))
    (line,) = watched.look(1_004)
    assert line.endswith("is published")


def test_refused_records_are_counted_by_reason_once_a_minute_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        watched = Watched(caplog)
        await watched.worker.open(0)
        watched.look(999)
        await watched.refuse(12)
        (line,) = watched.look(1_000)
        assert line == f"refused 12 records, now on the topic of dead letters: {PURCHASES} malformed 12"
        await watched.refuse(3)
        assert watched.look(1_001) == []
        await watched.refuse(4)
        (line,) = watched.look(1_000 + REFUSED_SECONDS)
        assert "refused 7 records" in line
        assert watched.look(2_000 + REFUSED_SECONDS) == []
        await watched.worker.owned.release()

    run(test)


def test_migrations_are_summed_up_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        watched = Watched(caplog)
        await watched.worker.open(0)
        watched.look(1_000)
        watched.worker.feed(PURCHASES, 0, purchase(0, customer_id="c1"), purchase(1, customer_id="c2"))
        await watched.worker.work(*both())
        assert watched.look(1_001) == []
        (line,) = watched.look(1_000 + SUMMARY_SECONDS)
        assert line == "2 records folded, 2 migrations (purchase 2)"
        assert watched.look(1_000 + 2 * SUMMARY_SECONDS) == []
        assert "c1" not in caplog.text
        await watched.worker.owned.release()

    run(test)


def test_model_that_goes_part_of_the_way_says_so(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(caplog)
    learned = replace(learned_model(), version=3, as_of_ms=0, expected_churn=0.019, training={"step": 0.3})
    watched.newest["value"] = ModelProposal(learned)
    (line,) = watched.look(1_000)
    assert line.endswith("is published: moves 1.9% of the customers, as it goes 30% of the way to what fits")


def test_model_behind_a_pinned_version_names_that_version_and_no_command(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(caplog)
    watched.journal = Journal(watched.worker.owned, lambda: watched.newest, dict, lambda: {"value": 2})
    learned = replace(learned_model(), version=3, as_of_ms=0, expected_churn=0.019)
    watched.newest["value"] = ModelProposal(learned, held=True)
    (line,) = watched.look(1_000)
    assert "waits: version 2 is pinned, and no other is published until it is unpinned; it moves 1.9%" in line


def test_sweep_that_took_long_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        watched = Watched(caplog)
        await watched.worker.open(0)
        watched.look(1_000)
        figures = watched.worker.owned.figures[0]
        for seconds in (LONG_SWEEP_SECONDS - 0.1, LONG_SWEEP_SECONDS + 1.25, LONG_SWEEP_SECONDS):
            figures.note_sweep(seconds)
        assert watched.look(1_001) == ["partition 0: a sweep took 2.2 s"]
        assert watched.look(1_002) == []
        await watched.worker.owned.release()

    run(test)


def test_what_was_not_told_yet_is_told_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        watched = Watched(caplog)
        await watched.worker.open(0)
        await watched.refuse(1)
        watched.look(1_000)
        await watched.refuse(2)
        watched.worker.feed(PURCHASES, 0, purchase(0, customer_id="c1"))
        await watched.worker.work(*both())
        assert watched.look(1_001) == []
        caplog.clear()
        watched.journal.end()
        assert [record.getMessage() for record in caplog.records] == [
            f"refused 2 records, now on the topic of dead letters: {PURCHASES} malformed 2",
            "1 record folded, 1 migration (purchase 1)",
        ]
        caplog.clear()
        watched.journal.end()
        assert not caplog.records
        await watched.worker.owned.release()

    run(test)


def test_partitions_that_are_given_back_are_named(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        watched = Watched(caplog, 2)
        await watched.worker.open(0, 1)
        caplog.clear()
        await watched.worker.owned.release()
        assert [record.getMessage() for record in caplog.records] == [
            "partitions [0, 1] are given back, all that they did is written"
        ]
        await watched.worker.owned.release()
        assert len(caplog.records) == 1

    run(test)
