"""A view that is followed in this process, and what is in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import redis.asyncio as redis

from stream_app.adapters.metrics import VIEW, Metrics
from stream_app.adapters.redis_client import RedisConnection
from stream_app.adapters.view_schema import REASON_FIELD, MembershipValue, ViewKeys
from stream_app.contracts.readers import membership_key
from stream_app.core.clock import format_instant
from stream_app.view.follower import FollowerSettings, ViewFollower
from stream_app.view.target import ViewTarget
from tests.support.output_records import PARTITIONS, OutputTopics

KEYS = ViewKeys("test:")
PATIENCE_SECONDS = 300
"""Only ever waited for in full by a test that fails."""


def environment_of(kafka: str, topic_prefix: str, port: int, health_port: int) -> dict[str, str]:
    """Return the settings of `segmenter view` as a process."""
    return {
        "SEGMENTER_KAFKA__BOOTSTRAP_SERVERS": kafka,
        "SEGMENTER_KAFKA__TOPIC_PREFIX": topic_prefix,
        "SEGMENTER_KAFKA__PARTITIONS": str(PARTITIONS),
        "SEGMENTER_REDIS__URL": f"redis://127.0.0.1:{port}/0",
        "SEGMENTER_VIEW__HEALTH_PORT": str(health_port),
    }


def create_target(port: int) -> ViewTarget:
    return ViewTarget(RedisConnection(f"redis://127.0.0.1:{port}/0"), KEYS, feed_length=100_000)


def create_follower(topics: OutputTopics, target: ViewTarget) -> ViewFollower:
    settings = FollowerSettings(PARTITIONS, chunk_records=50)
    return ViewFollower(topics.connection, topics.names, target, settings, Metrics(VIEW))


@asynccontextmanager
async def following(topics: OutputTopics, port: int) -> AsyncIterator[ViewFollower]:
    target = create_target(port)
    follower = create_follower(topics, target)
    task = asyncio.create_task(follower.run())
    try:
        yield follower
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await target.close()


async def rebuild(topics: OutputTopics, port: int) -> None:
    target = create_target(port)
    follower = create_follower(topics, target)
    try:
        await asyncio.wait_for(follower.rebuild(), PATIENCE_SECONDS)
    finally:
        await target.close()


@asynccontextmanager
async def reader(port: int) -> AsyncIterator[redis.Redis]:
    client = redis.Redis(port=port, protocol=2)
    try:
        yield client
    finally:
        await client.aclose()


async def memberships(client: redis.Redis) -> dict[str, dict[str, Any]]:
    """Return what the view says by the topic's key, in the form of the topic but for the segment's name."""
    pointed = await client.get(KEYS.pointer)
    if pointed is None:
        return {}
    root = KEYS.customer(pointed.decode(), "")
    found = {}
    names = [name async for name in client.scan_iter(f"{root}*", count=1_000)]
    for name, fields in zip(names, await _hashes(client, names), strict=True):
        for segmentation, value in fields.items():
            if not segmentation.startswith(REASON_FIELD.encode()):
                membership = MembershipValue.decode(value)
                found[membership_key(segmentation.decode(), name.decode().removeprefix(root))] = {
                    "segment": membership.segment,
                    "since": format_instant(membership.since_ms),
                    "sequence": membership.sequence,
                    "model_version": membership.model_version,
                    "as_of": format_instant(membership.as_of_ms),
                    "next_move": _next_move(membership),
                }
    return found


def _next_move(membership: MembershipValue) -> dict[str, str | None] | None:
    if membership.next_at_ms is None:
        return None
    return {"at": format_instant(membership.next_at_ms), "to_segment": membership.next_segment}


async def _hashes(client: redis.Redis, names: list[bytes]) -> list[dict[bytes, bytes]]:
    pipeline = client.pipeline(transaction=False)
    for name in names:
        pipeline.hgetall(name)
    return await pipeline.execute() if names else []


async def members(client: redis.Redis) -> dict[str, str]:
    """Return by the topic's key the segment that lists a customer; one in two of a segmentation makes this fail."""
    generation = (await client.get(KEYS.pointer)).decode()
    found: dict[str, str] = {}
    root = KEYS.of(generation) + "m:"
    async for name in client.scan_iter(f"{root}*"):
        segmentation, _, segment = name.decode().removeprefix(root).partition(":")
        for member in await client.zrange(name, 0, -1):
            key = membership_key(segmentation, member.decode())
            assert key not in found
            found[key] = segment
    return found


async def flows(client: redis.Redis) -> dict[tuple[str, str, str], int]:
    generation = (await client.get(KEYS.pointer)).decode()
    root = KEYS.of(generation) + "f:"
    counted = {}
    async for name in client.scan_iter(f"{root}*"):
        segmentation, _, day = name.decode().removeprefix(root).partition(":")
        for field, count in (await client.hgetall(name)).items():
            counted[segmentation, day, field.decode()] = int(count)
    return counted


def without_name(membership: dict[str, Any]) -> dict[str, Any]:
    others = {name: membership[name] for name in ("since", "sequence", "model_version", "as_of")}
    following = membership["next_move"]
    if following is not None:
        target = following["to_segment"]
        following = following | {"to_segment": None if target is None else target["id"]}
    return {"segment": membership["segment"]["id"], **others, "next_move": following}


async def eventually(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await condition():
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"waited in vain for {what}") from None


async def require_equal(topics: OutputTopics, client: redis.Redis) -> None:
    """Wait until the view says what the memberships topic says, and check that its parts agree."""
    expected = {key: without_name(value) for key, value in (await topics.memberships()).items()}

    async def is_equal() -> bool:
        with suppress(redis.RedisError):
            return await memberships(client) == expected
        return False

    await eventually(is_equal, "the view to equal the memberships topic")
    assert await members(client) == {key: value["segment"] for key, value in expected.items()}
