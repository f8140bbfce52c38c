"""Calls of real servers that are cancelled end, in whichever turn of the event loop the cancellation comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError

from stream_app.adapters.cancellation import cancellation_kept
from stream_app.adapters.kafka_client import KafkaConnection, committed_reader
from stream_app.adapters.redis_client import RedisConnection
from tests.support.servers import RedisServer

TURNS = 60
PATIENCE_SECONDS = 180
"""Only ever waited for in full by a test that fails."""


async def require_cancelled(call: Callable[[asyncio.Event], Awaitable[object]]) -> int:
    """Cancel a call after any number of turns since it set the event; return how often it was not done by then."""
    cancelled = 0
    for turns in range(TURNS):
        begun = asyncio.Event()
        task = asyncio.ensure_future(call(begun))
        await begun.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.cancel():
            await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
            assert task.cancelled(), f"went on, though cancelled after {turns} turns"
            cancelled += 1
        else:
            task.result()
    return cancelled


def test_command_to_redis_that_is_cancelled_ends_and_leaves_no_answer_behind(tmp_path: Path) -> None:
    async def run(port: int) -> None:
        client = RedisConnection(f"redis://127.0.0.1:{port}/0").create_client(max_connections=1)
        await client.set("number", 0)

        async def call(begun: asyncio.Event) -> None:
            begun.set()
            await client.incr("number")

        assert await require_cancelled(call) > 0
        assert await client.echo("last") == b"last"  # type: ignore[no-untyped-call]
        await client.aclose()

    with RedisServer(tmp_path / "redis") as server:
        asyncio.run(run(server.port))


def test_reader_of_kafka_that_is_cancelled_while_it_closes_ends(kafka: str) -> None:
    async def fail(begun: asyncio.Event) -> None:
        async with committed_reader(KafkaConnection(kafka)):
            await asyncio.sleep(0.01)  # aiokafka's own tasks have begun
            begun.set()
            raise KafkaError

    async def call(begun: asyncio.Event) -> None:
        with suppress(KafkaError):
            await fail(begun)
        await asyncio.sleep(10 * PATIENCE_SECONDS)  # as a follower does before it tries again

    assert asyncio.run(require_cancelled(call)) == TURNS


def test_cancellation_before_is_none_meanwhile() -> None:
    async def clean_up() -> str:
        try:
            await asyncio.sleep(PATIENCE_SECONDS)
        except asyncio.CancelledError:
            with cancellation_kept():
                await asyncio.sleep(0)
        return "clean"

    async def run() -> str:
        task = asyncio.create_task(clean_up())
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert asyncio.run(run()) == "clean"


def test_what_is_raised_meanwhile_is_raised() -> None:
    async def run() -> None:
        with cancellation_kept():
            raise KafkaError

    with pytest.raises(KafkaError):
        asyncio.run(run())
