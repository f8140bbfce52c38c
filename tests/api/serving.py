"""The API on a real uvicorn in a thread of its own, with what it serves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from stream_app.adapters.metrics import API, Metrics
from stream_app.adapters.redis_client import RedisConnection
from stream_app.adapters.view_schema import ViewKeys
from stream_app.api.access import SCOPES, Client, hash_token
from stream_app.api.application import create_application
from stream_app.api.memory_store import MemoryStore
from stream_app.api.redis_store import RedisStore
from stream_app.api.server import create_server
from stream_app.api.store import SegmentStore
from stream_app.core.migration import Migration
from stream_app.view.records import MEMBERSHIPS, MIGRATIONS, MODELS, chunk_of
from stream_app.view.target import ViewTarget
from tests.support.output_records import drawn_model, membership_of
from tests.support.processes import wait_for
from tests.view.test_target import FIELDS, records

KEYS = ViewKeys("api-test:")
ALL, NONE = "token-for-everything", "token-for-nothing"
CLIENTS = [
    Client("all", hash_token(ALL), frozenset(SCOPES)),
    *(Client(scope, hash_token(scope), frozenset({scope})) for scope in SCOPES),
]
PATIENCE_SECONDS = 300
"""Only ever waited for in full by a test that fails."""


def write_folder(folder: Path, moves: Sequence[Migration]) -> None:
    """Write what a run without servers would have."""
    newest = {move.customer_id: membership_of(move) for move in moves}
    encoder = msgspec.json.Encoder()
    (folder / "migrations.jsonl").write_bytes(encoder.encode_lines(moves))
    (folder / "memberships.jsonl").write_bytes(encoder.encode_lines(newest.values()))
    (folder / "models.jsonl").write_bytes(encoder.encode_lines([drawn_model(0), drawn_model(1)]))


async def fill_view(port: int, moves: Sequence[Migration]) -> None:
    """Write the same into Redis."""
    target = ViewTarget(RedisConnection(f"redis://127.0.0.1:{port}/0"), KEYS, feed_length=100_000)
    attached = await target.attach(FIELDS)
    models = chunk_of(MODELS, 0, 0, records([drawn_model(0), drawn_model(1)]))
    written = chunk_of(MEMBERSHIPS, 0, 0, records([membership_of(move) for move in moves]))
    await target.apply(attached.generation, [models, written, chunk_of(MIGRATIONS, 0, 0, records(moves))])
    assert await target.swap(attached.generation)
    await target.close()


async def append(port: int, moves: Sequence[Migration]) -> None:
    """Add migrations to the view in Redis."""
    target = ViewTarget(RedisConnection(f"redis://127.0.0.1:{port}/0"), KEYS, feed_length=100_000)
    attached = await target.attach(FIELDS)
    first = attached.positions["migrations/0"]
    await target.apply(attached.generation, [chunk_of(MIGRATIONS, 0, first, records(moves, first))])
    await target.close()


def memory_store(folder: Path) -> Callable[[], SegmentStore]:
    return lambda: MemoryStore(folder)


def redis_store(port: int) -> Callable[[], SegmentStore]:
    connection = RedisConnection(f"redis://127.0.0.1:{port}/0", timeout_seconds=30)
    return lambda: RedisStore(connection, KEYS, Metrics(API))


@contextmanager
def serving(create: Callable[[], SegmentStore], clients: Sequence[Client] = CLIENTS, **limits: Any) -> Iterator[str]:
    """Serve; yield the address."""
    started: list[Any] = []
    options: dict[str, Any] = {"requests_per_second": 1e6, "burst": 1_000_000, "max_streams": 10} | limits

    async def run() -> None:
        store = create()
        server = create_server(create_application(store, clients, Metrics(API), **options), "127.0.0.1", 0)
        started.append(server)
        await store.start()
        watching = asyncio.create_task(end_streams(server, store))
        await server.serve()
        await watching
        await store.close()

    async def end_streams(server: Any, store: SegmentStore) -> None:
        while not server.should_exit:
            await asyncio.sleep(0.02)
        store.feed.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        wait_for(lambda: bool(started) and started[0].started, PATIENCE_SECONDS, "the API")
        host, port = started[0].servers[0].sockets[0].getsockname()
        yield f"http://{host}:{port}"
    finally:
        if started:
            started[0].should_exit = True
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
