"""Liveness, readiness and metrics over HTTP, for every command that runs for long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from aiohttp import web

from stream_app.adapters.metrics import CONTENT_TYPE, Metrics


class Readiness(Protocol):
    """Says whether a process can do its work."""

    def readiness(self) -> Mapping[str, Any]:
        """Return `ready` (a bool), and whatever that rests on."""
        ...


def _nothing_to_do() -> None:
    pass


class HealthServer:
    """Serves `/live`, `/ready` and, where there are metrics, `/metrics` while it is entered.

    Parameters
    ----------
    judge
        Asked for `/ready`.
    host, port
        Address; port 0 serves nothing.
    metrics
        What is exported; its gauge `ready` is set here.
    refresh
        Called before every scrape, for figures that are only looked up then.
    """

    def __init__(
        self,
        judge: Readiness,
        host: str,
        port: int,
        metrics: Metrics | None = None,
        refresh: Callable[[], None] = _nothing_to_do,
    ) -> None:
        self._judge = judge
        self._host = host
        self._port = port
        self._metrics = metrics
        self._refresh = refresh
        app = web.Application()
        app.add_routes([web.get("/live", self._live), web.get("/ready", self._ready)])
        if metrics is not None:
            app.add_routes([web.get("/metrics", self._exposition)])
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        if self._port:
            await self._runner.setup()
            await web.TCPSite(self._runner, self._host, self._port).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _live(self, _: web.Request) -> web.Response:
        """Answer, by the event loop alone: a restart would not repair a broker."""
        return web.json_response({"live": True})

    async def _ready(self, _: web.Request) -> web.Response:
        verdict = self._judge.readiness()
        return web.json_response(verdict, status=200 if verdict["ready"] else 503)

    async def _exposition(self, _: web.Request) -> web.Response:
        assert self._metrics is not None
        self._metrics.ready.set(bool(self._judge.readiness()["ready"]))
        self._refresh()
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})
