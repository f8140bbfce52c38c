"""What the scripts take in and what they refuse, in a real Redis."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis.asyncio as redis

from stream_app.adapters.redis_client import RedisConnection
from stream_app.view.records import MEMBERSHIPS, MIGRATIONS, MODELS, chunk_of
from stream_app.view.target import ViewChanged, ViewTarget
from tests.support.output_records import drawn_migrations, drawn_model, membership_of, migration
from tests.support.servers import RedisServer
from tests.view.following import KEYS, flows, members, memberships, reader, without_name

FIELDS = ["memberships/0", "migrations/0", "models/0"]


@dataclass
class Record:
    offset: int
    key: bytes
    value: bytes | None
    timestamp: int = 0


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with RedisServer(Path(tmp_path_factory.mktemp("redis"))) as server:
        yield server.port


Test = Callable[[ViewTarget, redis.Redis, str], Awaitable[None]]


def run(port: int, test: Test) -> None:
    async def prepared() -> None:
        async with reader(port) as client, view(port) as target:
            await client.flushall()
            attached = await target.attach(FIELDS)
            assert await target.swap(attached.generation)
            await test(target, client, attached.generation)

    asyncio.run(prepared())


@asynccontextmanager
async def view(port: int) -> AsyncIterator[ViewTarget]:
    target = ViewTarget(RedisConnection(f"redis://127.0.0.1:{port}/0"), KEYS, feed_length=1_000)
    yield target
    await target.close()


def records(documents: Sequence[Any], first: int = 0) -> list[Record]:
    return [
        Record(first + number, b"key", None if document is None else msgspec.json.encode(document))
        for number, document in enumerate(documents)
    ]


def test_newest_membership_stays_in_whatever_order_they_come_and_however_often(port: int) -> None:
    moves = list(drawn_migrations(20, 300))
    newest = {move.customer_id: without_name(membership_of(move)) for move in moves}

    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        for seed in range(3):
            shuffled = [membership_of(move) for move in (*moves, *moves)]
            random.Random(seed).shuffle(shuffled)
            chunk = chunk_of(MEMBERSHIPS, 0, seed * 600, records(shuffled, seed * 600))
            await target.apply(generation, [chunk])
            assert await memberships(client) == newest
            assert await members(client) == {key: told["segment"] for key, told in newest.items()}

    run(port, test)


def test_record_below_the_position_is_not_counted_again(port: int) -> None:
    moves = list(drawn_migrations(5, 40))

    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        chunk = chunk_of(MIGRATIONS, 0, 0, records(moves))
        assert await target.apply(generation, [chunk]) == 40
        assert await target.apply(generation, [chunk, chunk]) == 0
        half = chunk_of(MIGRATIONS, 0, 20, records([*moves[20:], migration("late", 1, None, 2)], 20))
        assert await target.apply(generation, [half]) == 1
        assert sum((await flows(client)).values()) == 41
        assert await client.xlen(KEYS.feed) == 41

    run(port, test)


def test_chunk_that_leaves_a_gap_is_refused(port: int) -> None:
    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        late = chunk_of(MEMBERSHIPS, 0, 7, records([membership_of(migration("a", 1, None, 0))], 7))
        with pytest.raises(ViewChanged, match="GAP"):
            await target.apply(generation, [late])
        assert await memberships(client) == {}

    run(port, test)


@pytest.mark.parametrize("loss", ["flush", "pointer", "swap"])
def test_view_that_is_not_there_any_more_is_not_written(port: int, loss: str) -> None:
    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        if loss == "flush":
            await client.flushall()
        elif loss == "pointer":
            await client.delete(KEYS.pointer)
        else:
            fresh = await target.attach(FIELDS, is_fresh=True)
            assert await target.swap(fresh.generation)
        with pytest.raises(ViewChanged, match="MOVED"):
            await target.apply(generation, [chunk_of(MODELS, 0, 0, records([drawn_model()]))])
        with pytest.raises(ViewChanged, match="MOVED"):
            await target.beat(generation)

    run(port, test)


def test_new_generation_takes_over_once_it_has_caught_up_and_keeps_the_models(port: int) -> None:
    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        moves = chunk_of(MEMBERSHIPS, 0, 0, records([membership_of(migration("a", 1, None, 0))]))
        await target.apply(generation, [moves, chunk_of(MODELS, 0, 0, records([drawn_model(3)]))])
        fresh = (await target.attach(FIELDS, is_fresh=True)).generation
        assert not await target.swap(fresh)
        await target.announce_handover(fresh)
        with pytest.raises(ViewChanged, match="WAIT"):
            await target.apply(generation, [moves])
        await target.apply(fresh, [moves, chunk_of(MODELS, 0, 0, records([drawn_model(4)]))])
        assert await target.swap(fresh)
        assert sorted(await client.hkeys(KEYS.models(fresh, "value"))) == [b"3", b"4"]
        assert await target.delete_others() > 0
        assert [name async for name in client.scan_iter(f"{KEYS.of(generation)}*")] == []
        assert list(await memberships(client)) == ["a"]

    run(port, test)


def test_deleted_customer_does_not_come_back_by_an_old_migration(port: int) -> None:
    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        move = migration("a", 1, None, 0)
        written = [*records([membership_of(move)]), Record(1, b"a", None)]
        await target.apply(generation, [chunk_of(MEMBERSHIPS, 0, 0, written)])
        await target.apply(generation, [chunk_of(MIGRATIONS, 0, 0, records([move]))])
        assert await memberships(client) == {}
        assert await members(client) == {}
        assert await client.ttl(KEYS.customer(generation, "a")) > 0

    run(port, test)


def test_record_that_cannot_be_read_is_passed_over(port: int) -> None:
    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        bad = [Record(0, b"a", b"{"), Record(1, b"a", b'{"customer_id": 1}'), Record(2, b"\xff", None)]
        good = records([membership_of(migration("a", 1, None, 0))], 3)
        assert await target.apply(generation, [chunk_of(MEMBERSHIPS, 0, 0, [*bad, *good])]) == 1
        assert list(await memberships(client)) == ["a"]

    run(port, test)
