"""The log says what a worker does, seldom, and names no customer."""

from __future__ import annotations

import logging

import pytest

from stream_app.worker.activity_log import INTERVAL_SECONDS, ActivityLog
from tests.support.events import purchase
from tests.worker.memory import MemoryLog, Record
from tests.worker.test_owned import CUSTOMERS, PURCHASES, Worker, both, run, worked


async def refuse(worker: Worker, *values: bytes) -> None:
    for value in values:
        first = worker.host.expected_offset(PURCHASES, 0) or 0
        worker.host.feed(PURCHASES, 0, [Record(first, value, b"c0")])
    await worker.work(*both())


def test_refused_records_and_their_commonest_reasons_are_logged_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        caplog.set_level(logging.INFO, "stream_app.worker.activity_log")
        worker = await worked(MemoryLog())
        log = ActivityLog(worker.owned, 0.0)
        await refuse(worker, b"no JSON", b"{", b'{"event_id": "secret"}')
        log.look(INTERVAL_SECONDS - 1)
        assert caplog.messages == []
        log.look(INTERVAL_SECONDS)
        first, second = caplog.messages
        assert f"{len(CUSTOMERS) + 3} records read, 3 of them rejected, {len(CUSTOMERS)} migrations" in first
        assert f"{PURCHASES} malformed 2, {PURCHASES} missing_field 1" in second
        assert not any(word in message for message in caplog.messages for word in ("secret", *CUSTOMERS))
        await refuse(worker, b"no JSON")
        log.look(INTERVAL_SECONDS + 1)
        log.look(2 * INTERVAL_SECONDS)
        assert "1 records read, 1 of them rejected, 0 migrations" in caplog.messages[2]
        assert "malformed 1;" in caplog.messages[3]

    run(test)


def test_nothing_is_logged_of_a_worker_that_has_done_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        caplog.set_level(logging.INFO, "stream_app.worker.activity_log")
        worker = await worked(MemoryLog())
        log = ActivityLog(worker.owned, 0.0)
        log.look(INTERVAL_SECONDS)
        worker.feed(PURCHASES, 0, purchase(20))
        caplog.clear()
        log.look(2 * INTERVAL_SECONDS)
        await worker.work(*both())
        assert caplog.messages == []

    run(test)
