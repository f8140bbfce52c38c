"""Liveness and readiness, asked over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import pytest

from stream_app.adapters.health import HealthServer
from stream_app.worker.readiness import WorkerReadiness
from tests.support.models import learned_model
from tests.support.processes import free_port
from tests.worker.memory import MemoryLog
from tests.worker.test_owned import Worker

Ask = Callable[[str], Coroutine[Any, Any, tuple[int, dict[str, Any]]]]


def serve(worker: Worker, test: Callable[[Ask], Coroutine[Any, Any, None]]) -> None:
    """Run a test beside a server of the worker's health."""
    port = free_port()

    async def run() -> None:
        health = WorkerReadiness(worker.owned, worker.follower)
        async with HealthServer(health, "127.0.0.1", port), aiohttp.ClientSession() as session:

            async def ask(path: str) -> tuple[int, dict[str, Any]]:
                async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                    return response.status, await response.json()

            await test(ask)
            await worker.owned.release()
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(f"http://127.0.0.1:{port}/live")

    asyncio.run(run())


@pytest.fixture
def worker() -> Worker:
    return Worker(MemoryLog(), partitions=3)


def test_worker_is_ready_once_its_partitions_are_recovered_and_no_more_while_they_are_handed_over(
    worker: Worker,
) -> None:
    async def test(ask: Ask) -> None:
        status, verdict = await ask("/ready")
        assert (status, verdict["ready"], verdict["partitions"]) == (503, False, [])
        assert "not recovered" in verdict["reason"]
        await worker.open(2, 0)
        expected = {"ready": True, "partitions": [0, 2], "versions": {"value": 0}, "reason": ""}
        assert await ask("/ready") == (200, expected)
        await worker.owned.release()
        assert (await ask("/ready"))[0] == 503

    serve(worker, test)


def test_worker_that_has_not_read_the_model_is_not_ready(worker: Worker) -> None:
    async def test(ask: Ask) -> None:
        await worker.open(0)
        worker.follower.is_read.clear()
        status, verdict = await ask("/ready")
        assert (status, verdict["reason"]) == (503, "the published segmentations are not read yet")
        worker.follower.current["value"] = learned_model()
        worker.follower.is_read.set()
        status, verdict = await ask("/ready")
        assert (status, verdict["versions"]) == (200, {"value": 4})

    serve(worker, test)


def test_worker_without_partitions_stands_by(worker: Worker) -> None:
    async def test(ask: Ask) -> None:
        await worker.open()
        assert (await ask("/ready"))[0] == 200

    serve(worker, test)


def test_worker_is_alive_whatever_it_waits_for(worker: Worker) -> None:
    async def test(ask: Ask) -> None:
        worker.follower.is_read.clear()
        assert await ask("/live") == (200, {"live": True})

    serve(worker, test)


def test_port_zero_serves_nothing(worker: Worker) -> None:
    async def test() -> None:
        async with HealthServer(WorkerReadiness(worker.owned, worker.follower), "127.0.0.1", 0):
            pass

    asyncio.run(test())
