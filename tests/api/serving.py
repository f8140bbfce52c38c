"""The API on a real uvicorn in a thread of its own, with what it serves."""

from __future__ import annotations

import asyncio
import threading
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import asdict

from stream_app.adapters.metrics import API, Metrics
from stream_app.adapters.redis_client import RedisConnection
from stream_app.adapters.view_schema import ViewKeys
from stream_app.api.access import SCOPES, BearerTokens, Client, hash_token
from stream_app.api.application import create_application
from stream_app.api.console import Console
from stream_app.api.memory_store import MemoryStore
from stream_app.api.redis_store import RedisStore
from stream_app.api.server import create_server
from stream_app.api.store import SegmentStore
from stream_app.contracts.fields import parse_instant
from stream_app.contracts.readers import FiguresRecord, MigrationRecord, SegmentSums, Software
from stream_app.core.members import MemberSums, member_figures
from stream_app.view.records import FIGURES, MEMBERSHIPS, MIGRATIONS, MODELS, batch_of
from stream_app.view.target import ViewTarget
from tests.support import output_records
from tests.support.processes import wait_for
from tests.view.test_target import FIELDS, memberships_of, records

KEYS = ViewKeys("api-test:")
ALL, NONE = "token-for-everything", "token-for-nothing"
CLIENTS = [
    Client("all", hash_token(ALL), frozenset(SCOPES)),
    *(Client(scope, hash_token(scope), frozenset({scope})) for scope in SCOPES),
]
FIGURES_AS_OF = ("2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z")
"""Of the two partitions."""
WORKERS = (None, Software("1.2.3", 1))
"""What the workers of the two partitions run; the first is of a release that did not say."""
PATIENCE_SECONDS = 300
"""Only ever waited for in full by a test that fails."""


def write_folder(
    folder: Path, moves: Sequence[MigrationRecord], models: Sequence[dict[str, Any]] = output_records.MODELS
) -> None:
    """Write what a run without servers would have."""
    newest = output_records.newest_memberships(moves)
    encoder = msgspec.json.Encoder()
    (folder / "migrations.jsonl").write_bytes(encoder.encode_lines(moves))
    (folder / "memberships.jsonl").write_bytes(encoder.encode_lines(newest.values()))
    (folder / "models.jsonl").write_bytes(encoder.encode_lines(models))
    (folder / "summary.json").write_bytes(encoder.encode(summary_of(moves, models)))


def sums_of(moves: Sequence[MigrationRecord]) -> dict[tuple[str, str], dict[int, MemberSums]]:
    """Return by segmentation and segment what each of two partitions says of its members."""
    sums: defaultdict[tuple[str, str], dict[int, MemberSums]] = defaultdict(dict)
    for membership in output_records.newest_memberships(moves).values():
        place = membership["segmentation"], membership["segment"]["id"]
        number = zlib.crc32(membership["customer_id"].encode())
        own = MemberSums(1, number % 5, number % 10_007, 10**9 + number % 10**6, 10**9 + number % 10**7)
        of_place = sums[place]
        of_place[number % 2] = of_place.get(number % 2, MemberSums()).plus(own)
    return sums


def figures_of(moves: Sequence[MigrationRecord]) -> list[FiguresRecord]:
    """Return the records of two partitions; the last is that of the later instant."""
    sums = sums_of(moves)
    return [
        FiguresRecord(
            segmentation,
            partition,
            FIGURES_AS_OF[partition],
            "EUR",
            tuple(
                SegmentSums(segment, *parts[partition])
                for (name, segment), parts in sums.items()
                if name == segmentation and partition in parts
            ),
            WORKERS[partition],
        )
        for segmentation in sorted({name for name, _ in sums})
        for partition in range(2)
    ]


def summary_of(moves: Sequence[MigrationRecord], models: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what a replay says of the same members."""
    at_ms, parts = parse_instant(FIGURES_AS_OF[-1]), []
    for segmentation in dict.fromkeys(model["segmentation"] for model in models):
        sums = {
            segment: reduce(MemberSums.plus, of_place.values())
            for (name, segment), of_place in sums_of(moves).items()
            if name == segmentation
        }
        figures = member_figures(sums, at_ms, 100)
        everybody = member_figures({"all": reduce(MemberSums.plus, sums.values(), MemberSums())}, at_ms, 100)["all"]
        segments = [{"id": segment, "name": "", **asdict(each)} for segment, each in figures.items()]
        parts.append({"segmentation": segmentation, "segments": segments, "all_segments": asdict(everybody)})
    first, *others = parts
    return {**first, "as_of": FIGURES_AS_OF[-1], "currency": "EUR", "other_segmentations": others}


async def fill_view(
    port: int,
    moves: Sequence[MigrationRecord],
    documents: Sequence[dict[str, Any]] = output_records.MODELS,
    *,
    is_fresh: bool = False,
) -> None:
    """Write the same into Redis, if need be in place of what is there."""
    target = ViewTarget(RedisConnection(f"redis://127.0.0.1:{port}/0"), KEYS, feed_length=100_000)
    attached = await target.attach(FIELDS, is_fresh=is_fresh)
    models = batch_of(MODELS, 0, 0, records(documents))
    written = batch_of(MEMBERSHIPS, 0, 0, memberships_of(moves))
    figures = [
        batch_of(FIGURES, partition, 0, records([each for each in figures_of(moves) if each.partition == partition]))
        for partition in range(2)
    ]
    await target.apply(attached.generation, [models, written, *figures, batch_of(MIGRATIONS, 0, 0, records(moves))])
    assert await target.swap(attached.generation)
    await target.close()


async def append(port: int, moves: Sequence[MigrationRecord]) -> None:
    """Add migrations to the view in Redis."""
    target = ViewTarget(RedisConnection(f"redis://127.0.0.1:{port}/0"), KEYS, feed_length=100_000)
    attached = await target.attach(FIELDS)
    first = attached.positions["migrations/0"]
    await target.apply(attached.generation, [batch_of(MIGRATIONS, 0, first, records(moves, first))])
    await target.close()


def memory_store(folder: Path) -> Callable[[], SegmentStore]:
    return lambda: MemoryStore(folder)


def redis_store(port: int) -> Callable[[], SegmentStore]:
    connection = RedisConnection(f"redis://127.0.0.1:{port}/0", timeout_seconds=30)
    return lambda: RedisStore(connection, KEYS, Metrics(API), lambda: parse_instant(FIGURES_AS_OF[-1]))


@contextmanager
def serving(
    create: Callable[[], SegmentStore],
    clients: Sequence[Client] = CLIENTS,
    console_of: Callable[[SegmentStore, BearerTokens | None], Console] | None = None,
    port: int = 0,
    **limits: Any,
) -> Iterator[str]:
    """Serve, with a console if it is told how to make one; yield the address."""
    started: list[Any] = []
    options: dict[str, Any] = {"requests_per_second": 1e6, "burst": 1_000_000, "max_streams": 10} | limits

    async def run() -> None:
        store, tokens = create(), BearerTokens(clients) if clients else None
        console = None if console_of is None else console_of(store, tokens)
        app = create_application(store, tokens, Metrics(API), console=console, **options)
        server = create_server(app, "127.0.0.1", port)
        started.append(server)
        await store.start()
        if console is not None:
            await console.start()
        watching = asyncio.create_task(end_streams(server, store))
        await server.serve()
        await watching
        if console is not None:
            await console.close()
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
