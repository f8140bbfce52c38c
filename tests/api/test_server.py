from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import httpx
import pytest

from stream_app.adapters.listening import Address
from stream_app.adapters.metrics import API, Metrics
from stream_app.adapters.service import Service
from stream_app.api.application import create_application
from stream_app.api.memory_store import MemoryStore
from stream_app.api.readiness import StoreReadiness
from stream_app.api.server import log_address, serve
from stream_app.errors import AddressInUse, ConfigurationError
from tests.api.serving import write_folder


def start(folder: Path, host: str, port: int) -> None:
    write_folder(folder, [])
    store = MemoryStore(folder)
    app = create_application(store, None, Metrics(API), requests_per_second=1, burst=1, max_streams=1)

    async def run() -> None:
        async with Service(StoreReadiness(store), Address("127.0.0.1", 0, ""), Metrics(API)) as service:
            await serve(app, store, Address(host, port, "setting api.port"), log_address, service)

    asyncio.run(run())


def test_start_is_refused_where_the_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressInUse, match=rf"api\.port: cannot listen on 127\.0\.0\.1:{port} \(A"):
            start(tmp_path, "127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "2001:db8::1"])
def test_start_is_refused_where_the_address_is_none_of_this_host(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"cannot listen on {host}:1 \(.+\)"):
        start(tmp_path, host, 1)


def test_both_ports_say_the_same_of_being_ready(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path, is_read_later=True)
    expected = StoreReadiness(store).readiness()
    assert expected == {"ready": False, "reason": store.unready_reason()}
    app = create_application(store, None, Metrics(API), requests_per_second=1, burst=1, max_streams=1)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/ready")

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.json()) == (503, expected)
