"""What every long-running command answers over HTTP."""

from __future__ import annotations

import asyncio
from itertools import count

import aiohttp

from stream_app.adapters.health import HealthServer
from stream_app.adapters.metrics import CONTENT_TYPE, WORKER, Metrics, Reading
from stream_app.adapters.metrics.declared import REBALANCES
from tests.support.processes import free_port


class Mood:
    """Ready or not, as the test likes."""

    is_ready = False

    def readiness(self) -> dict[str, bool]:
        return {"ready": self.is_ready}


async def get(port: int, path: str) -> tuple[int, str, str]:
    url = f"http://127.0.0.1:{port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, response.headers["Content-Type"], await response.text()


def test_scrape_looks_figures_up_and_says_whether_the_process_is_ready() -> None:
    async def test() -> None:
        mood, metrics, port, scrapes = Mood(), Metrics(WORKER), free_port(), count(1)
        metrics.read_from(lambda: [Reading(REBALANCES, (), next(scrapes))])
        async with HealthServer(mood, "127.0.0.1", port, metrics):
            for scrape in (1, 2):
                mood.is_ready = scrape == 2
                status, content_type, body = await get(port, "/metrics")
                assert (status, content_type) == (200, CONTENT_TYPE)
                assert f"\nsegmenter_ready {scrape - 1}.0\n" in body
                assert f"\nsegmenter_rebalances_total {scrape}.0\n" in body

    asyncio.run(test())


def test_process_without_metrics_has_none() -> None:
    async def test() -> None:
        port = free_port()
        async with HealthServer(Mood(), "127.0.0.1", port):
            assert (await get(port, "/metrics"))[0] == 404
            assert (await get(port, "/live"))[0] == 200
            assert (await get(port, "/ready"))[0] == 503

    asyncio.run(test())
