"""Serving the API by uvicorn until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
from types import FrameType
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from stream_app.api.store import SegmentStore
from stream_app.errors import ConfigurationError

logger = logging.getLogger(__name__)

STOP_SECONDS: Final = 3
"""Requests that are not answered by then are cut off."""
POLL_SECONDS: Final = 0.1


class _Server(uvicorn.Server):
    """Ends with status 0 on a signal: uvicorn would raise the signal again, and so end by it."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  (uvicorn's signature)
        self.should_exit = True


class StoreJudge:
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


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; uvicorn's own way of failing leaves the process running."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = error.args[-1] if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise ConfigurationError(f"setting api.port: nothing can listen on {host}:{port} ({reason})") from error


async def serve(app: FastAPI, store: SegmentStore, host: str, port: int) -> None:
    """Serve until a signal says stop.

    Parameters
    ----------
    app
        The API.
    store
        Started and closed here.
    host, port
        Address; port 0 takes a free one, which is logged.

    Raises
    ------
    ConfigurationError
        If the address is taken, or none of this host.
    """
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # what it says of start and stop is said here
    listening = _listen(host, port)
    server = create_server(app, host, port)
    await store.start()
    gc.collect()
    gc.freeze()  # looking through what stays anyway would hold up requests for tens of milliseconds
    watching = asyncio.create_task(_end_streams(server, store))
    try:
        await server.serve([listening])
    finally:
        watching.cancel()
        await store.close()


async def _end_streams(server: uvicorn.Server, store: SegmentStore) -> None:
    """End the live streams at once when the server is to stop; it waits for them otherwise."""
    is_told = False
    while not server.should_exit:
        if server.started and not is_told:
            is_told = True
            for listener in server.servers:
                for listening in listener.sockets:
                    host, port = listening.getsockname()[:2]
                    logger.info("serving http://%s:%d", host, port)
        await asyncio.sleep(POLL_SECONDS)
    store.feed.close()
