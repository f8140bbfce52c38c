"""Serving the API by uvicorn, as a service."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from fastapi import FastAPI

from stream_app.adapters.listening import Address
from stream_app.adapters.service import Service
from stream_app.api.console import Console
from stream_app.api.store import SegmentStore

logger = logging.getLogger(__name__)

STOP_SECONDS: Final = 3
"""Requests that are not answered by then are cut off."""


class _Server(uvicorn.Server):
    """Leaves signals alone, which are the service's, and says when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.on_started: Callable[[], None] = lambda: None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer requests."""
        await super().startup(sockets)
        self.on_started()


def create_server(app: FastAPI, host: str, port: int) -> _Server:
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


async def serve(
    app: FastAPI,
    store: SegmentStore,
    address: Address,
    announce: Callable[[str], None],
    service: Service,
    console: Console | None = None,
) -> None:
    """Serve until a signal stops the service.

    Parameters
    ----------
    app
        The API.
    store
        Started and closed here.
    address
        Where to listen.
    announce
        Called once with `http://host:port`, when requests are answered.
    service
        The process.
    console
        Started and closed with the store; None for none.

    Raises
    ------
    AddressInUse, ConfigurationError
        If that is not possible.
    """
    listening = address.listen()  # uvicorn's own way of failing leaves the process running
    host, port = listening.getsockname()[:2]
    server = create_server(app, host, port)
    server.on_started = lambda: announce(f"http://{host}:{port}")
    await store.start()
    if console is not None:
        await console.start()
    gc.collect()
    gc.freeze()  # scanning long-lived objects would hold up requests for tens of milliseconds
    service.supervise(server.serve([listening]), "answering requests")
    try:
        await service.stop_requested()
        store.feed.close()  # uvicorn waits for its streams
        server.should_exit = True
        await asyncio.gather(*service.parts)
    finally:
        if console is not None:
            await console.close()
        await store.close()
