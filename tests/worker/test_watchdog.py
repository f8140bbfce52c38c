"""A worker that stands still is told apart from one that has nothing to do."""

from __future__ import annotations

import asyncio

from stream_app.worker.watchdog import STALLED_SECONDS, UNASSIGNED_SECONDS, Watchdog
from tests.support.events import purchase
from tests.worker.memory import MemoryLog
from tests.worker.test_owned import ENGAGEMENTS, PURCHASES, Worker, both, run, worked

BEYOND = {(PURCHASES, 0): 1_000, (ENGAGEMENTS, 0): 0}


def test_nothing_is_wrong_with_a_worker_that_has_read_all() -> None:
    async def test() -> None:
        worker = await worked(MemoryLog())
        watchdog = Watchdog(worker.owned)
        ends = worker.owned.committable({})
        assert [watchdog.look(seconds, ends, {}) for seconds in (0, 1e3, 1e6)] == [None, None, None]

    run(test)


def test_records_that_are_never_taken_end_the_worker() -> None:
    async def test() -> None:
        worker = await worked(MemoryLog())
        watchdog = Watchdog(worker.owned)
        assert watchdog.look(0, BEYOND, {}) is None
        assert watchdog.look(STALLED_SECONDS, BEYOND, {}) is None
        assert "none was taken" in (watchdog.look(STALLED_SECONDS + 1, BEYOND, {}) or "")

    run(test)


def test_worker_that_takes_some_is_left_alone_and_so_is_one_whose_brokers_do_not_answer() -> None:
    async def test() -> None:
        worker = await worked(MemoryLog())
        watchdog = Watchdog(worker.owned)
        for look, day in enumerate(range(20, 23)):
            assert watchdog.look(look * STALLED_SECONDS, BEYOND, {}) is None
            worker.feed(PURCHASES, 0, purchase(day))
            await worker.work(*both())
        assert watchdog.look(10 * STALLED_SECONDS, {}, {}) is None

    run(test)


def test_records_that_are_taken_and_never_written_end_the_worker() -> None:
    async def test() -> None:
        log = MemoryLog()
        worker = await worked(log)
        watchdog = Watchdog(worker.owned)
        log.deliveries[-1].answering.clear()
        worker.feed(PURCHASES, 0, purchase(20))
        for chunk in worker.host.emit_chunks(frozenset(both())):
            await worker.owned.segment(chunk)
        await asyncio.sleep(0.01)
        assert watchdog.look(0, {}, {}) is None
        assert "nothing has been written" in (watchdog.look(STALLED_SECONDS + 1, {}, {}) or "")
        log.deliveries[-1].answering.set()

    run(test)


def test_worker_without_an_assignment_waits_for_one_and_not_for_ever() -> None:
    async def test() -> None:
        worker = Worker(MemoryLog())
        watchdog = Watchdog(worker.owned)
        assert [watchdog.look(seconds, {}, {}) for seconds in (0, UNASSIGNED_SECONDS)] == [None, None]
        assert "assigned" in (watchdog.look(UNASSIGNED_SECONDS + 1, {}, {}) or "")
        worker.follower.is_read.clear()
        opening = asyncio.create_task(worker.open(0))
        await asyncio.sleep(0.01)
        assert [watchdog.look(seconds, {}, {}) for seconds in (1e3, 1e4)] == [None, None]
        worker.follower.is_read.set()
        await opening
        assert watchdog.look(1e5, {}, {}) is None

    run(test)


def test_partition_that_stands_at_a_tick_is_left_alone() -> None:
    async def test() -> None:
        worker = await worked(MemoryLog())
        watchdog, (lane,) = Watchdog(worker.owned), worker.owned.lanes.values()
        lane._wait.is_under_way = True
        assert [watchdog.look(seconds, BEYOND, {}) for seconds in (0, 1e3, 1e6)] == [None, None, None]
        lane._wait.is_under_way = False
        assert [watchdog.look(seconds, BEYOND, {}) for seconds in (1e6, 1e6 + STALLED_SECONDS)] == [None, None]

    run(test)
