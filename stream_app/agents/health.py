"""Liveness and readiness over HTTP."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from aiohttp import web

from stream_app.agents.models import ModelFollower
from stream_app.agents.partitions import OwnedPartitions


class Health:
    """Judges a worker.

    Ready means that the partitions are recovered and the model is read. A worker that the group has given no
    partition is ready too: it stands by.
    """

    def __init__(self, owned: OwnedPartitions, follower: ModelFollower) -> None:
        self._owned = owned
        self._follower = follower

    def readiness(self) -> dict[str, Any]:
        """Return the verdict, what it rests on, and why where it is no."""
        if not self._follower.is_read.is_set():
            reason = "the model is not read yet"
        elif not self._owned.is_open:
            reason = "partitions are not recovered yet, or being handed over"
        else:
            reason = ""
        return {
            "ready": not reason,
            "partitions": sorted(self._owned.lanes),
            "model_version": self._follower.snapshot.version,
            "reason": reason,
        }


class HealthServer:
    """Serves `/live` and `/ready` while it is entered.

    Parameters
    ----------
    health
        The judge.
    host, port
        Address; port 0 serves nothing.
    """

    def __init__(self, health: Health, host: str, port: int) -> None:
        self._health = health
        self._host = host
        self._port = port
        app = web.Application()
        app.add_routes([web.get("/live", self._live), web.get("/ready", self._ready)])
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
        """Answer, which the event loop alone takes part in: a restart would not mend a broker."""
        return web.json_response({"live": True})

    async def _ready(self, _: web.Request) -> web.Response:
        verdict = self._health.readiness()
        return web.json_response(verdict, status=200 if verdict["ready"] else 503)
