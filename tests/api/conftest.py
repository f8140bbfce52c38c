"""One API on each of both stores, filled alike, for all tests of a module."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.serving import ALL, bearer, fill_view, memory_store, redis_store, serving, write_folder
from tests.support.output_records import drawn_migrations
from tests.support.processes import wait_for
from tests.support.servers import RedisServer

MOVES = list(drawn_migrations(40, 400))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a replay would have written."""
    folder = Path(tmp_path_factory.mktemp("api"))
    write_folder(folder, MOVES)
    return folder


@pytest.fixture(scope="module", params=["memory", "redis"])
def address(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "memory":
        with serving(memory_store(folder)) as address:
            yield address
        return
    with RedisServer(Path(tmp_path_factory.mktemp("redis"))) as server:
        asyncio.run(fill_view(server.port, MOVES))
        with serving(redis_store(server.port)) as address:
            wait_for(lambda: httpx.get(f"{address}/ready").is_success, 30, "the first look at the view")
            yield address


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, headers=bearer(ALL), timeout=10) as client:
        yield client
