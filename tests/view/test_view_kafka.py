"""The view in a real Redis, followed from a real Kafka, is what the topics say, whatever happens to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_app.adapters.redis_client import RedisConnection
from stream_app.adapters.view_schema import ViewKeys
from stream_app.api.figures import add_up
from stream_app.contracts.readers import FiguresRecord, SegmentSums, read_figures
from stream_app.view.target import ViewTarget
from tests.support.output_records import OutputTopics, drawn_migrations, drawn_model
from tests.support.processes import free_port
from tests.support.servers import RedisServer
from tests.support.services import Service
from tests.view.following import (
    KEYS,
    create_follower,
    environment_of,
    eventually,
    flows,
    following,
    members,
    memberships,
    reader,
    rebuild,
    require_equal,
)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


def test_view_equals_memberships_and_counts_each_migration_once(
    kafka: str, topic_prefix: str, redis_server: RedisServer
) -> None:
    async def run() -> None:
        moves = list(drawn_migrations(300, 2_000))
        async with OutputTopics(kafka, topic_prefix) as topics, reader(redis_server.port) as client:
            await topics.write_model(drawn_model())
            await topics.write(moves[:1_000])
            async with following(topics, redis_server.port):
                await require_equal(topics, client)
            await topics.write(moves[1_000:])
            async with following(topics, redis_server.port), following(topics, redis_server.port):  # two at once
                await require_equal(topics, client)
                counted = await topics.flows()

                async def is_counted() -> bool:
                    return await flows(client) == counted

                await eventually(is_counted, "all flows")
                assert await client.xlen(KEYS.feed) == len(moves)
                await topics.delete("value", "customer-7")
                await require_equal(topics, client)
                assert "value/customer-7" not in await members(client)
                assert "lifecycle/customer-7" in await members(client)

    asyncio.run(run())


def test_view_has_the_newest_figures_of_each_partition(
    kafka: str, topic_prefix: str, redis_server: RedisServer
) -> None:
    def told(partition: int, customers: int) -> FiguresRecord:
        sums = (SegmentSums("s1", customers, customers, 100 * customers, customers, customers),)
        return FiguresRecord("value", partition, "2026-01-01T00:00:00.000Z", "EUR", sums)

    async def run() -> None:
        async with OutputTopics(kafka, topic_prefix) as topics, reader(redis_server.port) as client:

            async def customers() -> int:
                generation = await client.get(KEYS.pointer)
                fields = await client.hvals(KEYS.figures(generation.decode(), "value")) if generation else []
                figures = add_up(map(read_figures, fields))
                return 0 if figures is None else figures.all_segments.customers

            async def is_told(expected: int) -> bool:
                return await customers() == expected

            await topics.write_model(drawn_model())
            for partition, number in ((0, 5), (1, 7), (0, 6)):
                await topics.write_figures(told(partition, number))
            async with following(topics, redis_server.port) as follower:

                async def is_current() -> bool:
                    return follower.state == "current" and not any(follower.lag.values())

                await eventually(lambda: is_told(13), "the figures of both partitions")
                await topics.write_figures(told(1, 30))
                await eventually(lambda: is_told(36), "the next figures")
                await eventually(is_current, "the follower's word that it is up to date")

    asyncio.run(run())


def test_view_that_is_lost_is_built_again_from_the_topics(
    kafka: str, topic_prefix: str, redis_server: RedisServer
) -> None:
    async def run() -> None:
        moves = list(drawn_migrations(300, 3_000))
        async with OutputTopics(kafka, topic_prefix) as topics, reader(redis_server.port) as client:
            await topics.write_model(drawn_model())
            await topics.write(moves[:500])
            async with following(topics, redis_server.port) as follower:
                await require_equal(topics, client)
                load = asyncio.create_task(topics.write(moves[500:], size=20))
                redis_server.process.kill()
                await asyncio.sleep(2)
                redis_server.start()  # empty
                await load
                await require_equal(topics, client)
                await client.flushall()
                await require_equal(topics, client)
                counted = await topics.flows()

                async def is_complete() -> bool:
                    return await flows(client) == counted and follower.staleness_seconds == 0

                await eventually(is_complete, "the flows, and the follower's word that it is up to date")

    asyncio.run(run())


@pytest.mark.parametrize("change", [{"at": 0}, {"memberships/0": 10**9}], ids=["not written for days", "other topics"])
def test_view_that_may_be_wrong_is_replaced_at_the_start(
    kafka: str, topic_prefix: str, redis_server: RedisServer, change: dict[str, int]
) -> None:
    async def run() -> None:
        async with OutputTopics(kafka, topic_prefix) as topics, reader(redis_server.port) as client:
            await topics.write_model(drawn_model())
            await topics.write(list(drawn_migrations(20, 100)))
            async with following(topics, redis_server.port):
                await require_equal(topics, client)
            before = (await client.get(KEYS.pointer)).decode()
            await client.hset(KEYS.position(before), mapping=change)
            await client.hset(KEYS.customer(before, "gone"), "value", "1 s1 0 0 0")
            async with following(topics, redis_server.port):
                await require_equal(topics, client)

    asyncio.run(run())


def test_rebuild_takes_over_without_a_moment_in_which_a_customer_is_missing(
    kafka: str, topic_prefix: str, redis_server: RedisServer
) -> None:
    async def run() -> None:
        moves = list(drawn_migrations(200, 2_400))
        async with OutputTopics(kafka, topic_prefix) as topics, reader(redis_server.port) as client:
            await topics.write_model(drawn_model())
            await topics.write(moves[:1_200])
            async with following(topics, redis_server.port):
                await require_equal(topics, client)
                before = await client.get(KEYS.pointer)
                sequences = {
                    key.removeprefix("value/"): membership["sequence"]
                    for key, membership in (await memberships(client)).items()
                    if key.startswith("value/")
                }
                is_over = asyncio.Event()

                async def watch() -> int:
                    script = "return redis.call('HMGET', ARGV[1]..redis.call('GET', ARGV[1]..'generation')"
                    script += "..':c:'..ARGV[2], 'value')"
                    looks = 0
                    while not is_over.is_set():
                        for customer_id, seen in sequences.items():
                            (value,) = await client.eval(script, 0, KEYS.prefix, customer_id)
                            sequence = int(value.split()[0])
                            assert sequence >= seen
                            sequences[customer_id] = sequence
                            looks += 1
                    return looks

                watching = asyncio.create_task(watch())
                load = asyncio.create_task(topics.write(moves[1_200:], size=20))
                await rebuild(topics, redis_server.port)
                await load
                is_over.set()
                assert await watching > 0
                after = await client.get(KEYS.pointer)
                assert before is not None
                assert after != before
                await require_equal(topics, client)

                async def is_gone() -> bool:
                    return [name async for name in client.scan_iter(f"{KEYS.of(before.decode())}*")] == []

                await eventually(is_gone, "the old generation's end")

    asyncio.run(run())


class WatchedTarget(ViewTarget):
    """Tells when a follower begins to attach."""

    def __init__(self, port: int) -> None:
        super().__init__(RedisConnection(f"redis://127.0.0.1:{port}/0"), KEYS, feed_length=100_000)
        self.attaching = asyncio.Event()

    async def check(self) -> None:
        self.attaching.set()
        await super().check()


def test_follower_that_is_cancelled_ends_wherever_it_is(
    kafka: str, topic_prefix: str, redis_server: RedisServer
) -> None:
    """Redis-py loses a cancellation that comes while it sends, in a few turns of the event loop out of many."""

    async def run() -> None:
        async with OutputTopics(kafka, topic_prefix) as topics:
            await topics.write(list(drawn_migrations(20, 100)))
            for turns in range(60):
                target = WatchedTarget(redis_server.port)
                task = asyncio.create_task(create_follower(topics, target).run())
                await target.attaching.wait()
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait({task}, timeout=60)
                assert task.cancelled(), f"goes on, though cancelled {turns} turns after it began to attach"
                await target.close()

    asyncio.run(run())


def test_view_ends_at_once_amid_its_writing(
    kafka: str, topic_prefix: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    environment = environment_of(kafka, topic_prefix, redis_server.port, free_port())

    async def run() -> None:
        async with OutputTopics(kafka, topic_prefix) as topics, reader(redis_server.port) as client:
            await topics.write_model(drawn_model())
            moves = list(drawn_migrations(300, 4_000))
            for start in range(0, len(moves), 1_000):

                async def is_written(count: int = start + 1) -> bool:
                    return await client.xlen(ViewKeys("segmenter:").feed) >= count

                load = asyncio.create_task(topics.write(moves[start : start + 1_000], size=20))
                with Service(tmp_path, "view", ["view"], environment) as view:
                    await eventually(is_written, "the first of these migrations")
                    assert await asyncio.to_thread(view.stop) == 0, view.log()
                await load

    asyncio.run(run())
