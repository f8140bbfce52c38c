"""Serving the API by uvicorn until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from stream_app.adapters.listening import listen
from stream_app.api.store import SegmentStore

logger = logging.getLogger(__name__)

STOP_SECONDS: Final = 3
"""Requests that are not answered by then are cut off."""
POLL_SECONDS: Final = 0.1


class _Server(uvicorn.Server):
    """Ends with status 0 on a signal: uvicorn would raise the signal again, and so end by it."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  (uvicorn's signature)
        self.should_exit = True


class StoreReadiness:
    """Says whether look-ups can be answered."""

    def __init__(self, store: SegmentStore) -> None:
        self._store = store

    def readiness(self) -> dict[str, Any]:
        """Return the verdict, and why where it is no."""
        reason = self._store.unready_reason()
        return {"ready": not reason, "reason": reason}


def create_server(app: FastAPI, host: str, port: int) -> uvicorn.Server:
    """Return the server of an API."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,  # paths hold customer ids
        log_config=None,
        server_header=False,
        proxy_headers=False,  # nothing here goes by the address of the client
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return _Server(config)


def log_address(address: str) -> None:
    """Say where the API is, as a process that is watched by its log does."""
    logger.info("serving %s", address)


async def serve(app: FastAPI, store: SegmentStore, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve until a signal says stop.

    Parameters
    ----------
    app
        The API.
    store
        Started and closed here.
    host, port
        Address; port 0 takes a free one.
    announce
        Called once with `http://host:port`, when requests are answered.

    Raises
    ------
    ConfigurationError
        If the address is taken, or none of this host.
    """
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # start and stop are logged here
    listening = listen(host, port, "setting api.port")  # uvicorn's own way of failing leaves the process running
    server = create_server(app, host, port)
    await store.start()
    gc.collect()
    gc.freeze()  # scanning long-lived objects would hold up requests for tens of milliseconds
    watching = asyncio.create_task(_watch(server, store, announce))
    try:
        await server.serve([listening])
    finally:
        watching.cancel()
        await store.close()


async def _watch(server: uvicorn.Server, store: SegmentStore, announce: Callable[[str], None]) -> None:
    """Tell when the server listens; end the live streams at once when it is to stop, as it waits for them otherwise."""
    is_told = False
    while not server.should_exit:
        if server.started and not is_told:
            is_told = True
            for listener in server.servers:
                for listening in listener.sockets:
                    host, port = listening.getsockname()[:2]
                    announce(f"http://{host}:{port}")
        await asyncio.sleep(POLL_SECONDS)
    store.feed.close()
