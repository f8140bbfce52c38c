"""Liveness, readiness and metrics over HTTP, for every command that runs for long."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from aiohttp import web

from stream_app.adapters.metrics import CONTENT_TYPE, Metrics
from stream_app.adapters.metrics.declared import READY


class Readiness(Protocol):
    """Says whether a process can do its work."""

    def readiness(self) -> Mapping[str, Any]:
        """Return `ready` (a bool), and whatever that rests on."""
        ...


class HealthServer:
    """Serves `/live`, `/ready` and, where there are metrics, `/metrics` while it is entered.

    Parameters
    ----------
    judge
        Asked for `/ready`.
    host, port
        Address; port 0 serves nothing.
    metrics
        What is exported; whether the process is ready is added here.
    """

    def __init__(
        self,
        judge: Readiness,
        host: str,
        port: int,
        metrics: Metrics | None = None,
    ) -> None:
        self._judge = judge
        self._host = host
        self._port = port
        self._metrics = metrics
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
        self._metrics.set(READY, bool(self._judge.readiness()["ready"]))
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})
