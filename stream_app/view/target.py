"""The view in Redis as its writer sees it: generations, and batches that are written whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from secrets import token_hex
from typing import Any, Final, NamedTuple

import msgspec
import redis.asyncio as redis

from stream_app.adapters.redis_client import RedisConnection, RedisScript
from stream_app.adapters.view_schema import FORM, FollowerCondition, ViewKeys
from stream_app.adapters.wall_clock import now_ms
from stream_app.core.clock import DAY_MS
from stream_app.view import scripts
from stream_app.view.records import ViewBatch

logger = logging.getLogger(__name__)

LONGEST_ABSENCE_MS: Final = DAY_MS
"""Deletions stay in the compacted topic for a day (`topic_specs.TOMBSTONE_RETENTION_MS`): a view that was not written
for longer may have missed some, and is rebuilt."""
FEED_GRACE_MS: Final = 10_000
"""So long the feed keeps the last moves of a customer who was erased."""
FEED_ENTRIES: Final = 1_000
"""Of the feed, looked at at a time."""
SLICE_KEYS: Final = 500
"""Scanned and deleted at a time: other clients get their turn between two slices."""


class _Whose(msgspec.Struct):
    """Of a migration, whose it is."""

    customer_id: str


_whose: Final = msgspec.json.Decoder(_Whose).decode


class ViewChanged(Exception):
    """A write no longer fits the view; attach again."""


class Attachment(NamedTuple):
    """A generation to write.

    Attributes
    ----------
    generation
        Its name.
    positions
        `topic/partition` to the offset that comes next.
    is_building
        Whether readers do not read it yet.
    read
        The generation that was read at that time, if any.
    """

    generation: str
    positions: Mapping[str, int]
    is_building: bool
    read: str | None


class ViewTarget:
    """Writes the view.

    Parameters
    ----------
    connection
        Where Redis is.
    keys
        Names of the view's keys.
    feed_length
        Approximate number of the newest migrations that are kept.
    history_length
        Newest migrations that are kept of each customer; 0 for none.
    """

    def __init__(self, connection: RedisConnection, keys: ViewKeys, feed_length: int, history_length: int = 20) -> None:
        self._client: redis.Redis = connection.create_client()
        self._keys = keys
        self._feed_length = feed_length
        self._history_length = history_length
        self._apply = RedisScript(scripts.APPLY)
        self._beat = RedisScript(scripts.BEAT)
        self._begin = RedisScript(scripts.BEGIN)
        self._swap = RedisScript(scripts.SWAP)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def check(self) -> None:
        """Warn if Redis may throw keys away: a view with holes looks like customers without a segment."""
        memory = await self._client.info("memory")
        policy = memory.get("maxmemory_policy")
        if policy not in (None, "noeviction") and memory.get("maxmemory"):
            logger.warning("Redis evicts keys (maxmemory-policy %s): set noeviction, or the view gets holes", policy)

    async def attach(self, fields: Sequence[str], *, is_fresh: bool = False) -> Attachment:
        """Return the generation to write: the one that is read, or a new one if nothing is read or `is_fresh`.

        Parameters
        ----------
        fields
            `topic/partition` of everything that is followed.
        is_fresh
            Begin a new generation in any case.
        """
        read = await self._read()
        if read is not None and not is_fresh:
            generation = read
            position = await self._client.hgetall(self._keys.position(generation))
            at_ms, form = int(position.pop(b"at", 0)), position.pop(b"form", b"1")
            if form == FORM and len(position) == len(fields) and now_ms() - at_ms < LONGEST_ABSENCE_MS:
                positions = {_text(field): int(offset) for field, offset in position.items()}
                return Attachment(generation, positions, is_building=False, read=read)
            logger.warning(
                "generation %s was not written for too long, is not whole, or of an earlier form: a new one is built",
                generation,
            )
        generation = _to_base36(now_ms()) + token_hex(2)  # two may begin in the same millisecond
        await self._begin.run(self._client, self._keys.prefix, generation, now_ms(), FORM, *fields)
        logger.info("building generation %s", generation)
        return Attachment(generation, dict.fromkeys(fields, 0), is_building=True, read=read)

    async def is_needed(self, attached: Attachment) -> bool:
        """Return whether nobody has put another generation in place while this one was being built."""
        return await self._read() == attached.read

    async def discard(self) -> None:
        """Stop all reading, as the data is of topics that are gone."""
        keys = self._keys
        await self._client.delete(keys.pointer, keys.feed, keys.feed_position, keys.forgotten)

    async def _read(self) -> str | None:
        pointed = await self._client.get(self._keys.pointer)
        return None if pointed is None else _text(pointed)

    async def apply(self, generation: str, batches: Sequence[ViewBatch]) -> int:
        """Write batches in one round trip; return how many of their records changed the view.

        Raises
        ------
        ViewChanged
            If a batch, and all later ones of the same partition, could not be written.
        RedisError
            If it is not known how much was written.
        """
        calls: list[tuple[str | bytes | int, ...]] = [
            (
                self._keys.prefix,
                generation,
                batch.kind,
                batch.partition,
                batch.first,
                batch.next,
                now_ms(),
                self._feed_length,
                self._history_length,
                batch.records,
            )
            for batch in batches
        ]
        answers = await self._apply.run_all(self._client, calls)
        for verdict, _ in answers:
            _require(verdict)
        return sum(written for _, written in answers)

    async def beat(self, generation: str, told: FollowerCondition) -> None:
        """Say that the generation is still being written, and find out whether it is still there.

        Parameters
        ----------
        generation
            The one that is written.
        told
            How the follower is, for those who look at the view.

        Raises
        ------
        ViewChanged
            If it is not.
        """
        verdict, _ = await self._beat.run(
            self._client, self._keys.prefix, generation, now_ms(), msgspec.json.encode(told)
        )
        _require(verdict)

    async def forget(self) -> int:
        """Delete from the feed what it has of customers who were erased a moment ago; return how much that was.

        A moment, as those who follow the feed are to learn that they have left.
        """
        client: Any = self._client
        name, before_ms = self._keys.forgotten, now_ms() - FEED_GRACE_MS
        due = {_text(customer_id) for customer_id in await client.zrangebyscore(name, 0, before_ms)}
        if not due:
            return 0
        deleted, begin = 0, "-"
        while entries := await client.xrange(self._keys.feed, begin, "+", count=FEED_ENTRIES):
            theirs = [entry for entry, fields in entries if _whose(fields[b"m"]).customer_id in due]
            if theirs:
                deleted += await client.xdel(self._keys.feed, *theirs)
            begin = "(" + _text(entries[-1][0])
        await client.zrem(name, *due)
        return deleted

    async def announce_handover(self, generation: str) -> None:
        """Hold the writers of the old generation back for a moment, so that the new one can catch up with it."""
        await self._client.set(self._keys.prefix + "handover", generation, px=scripts.HANDOVER_MS)

    async def swap(self, generation: str) -> bool:
        """Let readers read a new generation; return whether it is at least as far as the old one.

        Raises
        ------
        ViewChanged
            If the new generation has vanished.
        """
        verdict, _ = await self._swap.run(self._client, self._keys.prefix, generation)
        if verdict == scripts.BEHIND:
            return False
        _require(verdict)
        logger.info("generation %s is the one that is read", generation)
        return True

    async def delete_others(self) -> int:
        """Delete, slice by slice, every generation that is neither read nor being built; return the keys deleted."""
        deleted = 0
        for name in await self._client.smembers(self._keys.generations):
            root = self._keys.of(_text(name))
            # In this order: a swap lets go of the one and sets the other in one step, and may come between.
            is_building = await self._client.exists(root + "building")
            if is_building or await self._client.get(self._keys.pointer) == name:
                continue
            pattern = _literally(root) + "*"
            cursor = 0
            while True:
                cursor, found = await self._client.scan(cursor, match=pattern, count=SLICE_KEYS)
                if found:
                    deleted += await self._client.unlink(*found)
                if cursor == 0:
                    break
            await self._client.srem(self._keys.generations, name)
        return deleted


def _require(verdict: bytes) -> None:
    if verdict != scripts.OK:
        raise ViewChanged(verdict.decode())


def _to_base36(number: int) -> str:
    """Return a short name that sorts by time: it is part of every customer's key."""
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
    return digits


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _literally(text: str) -> str:
    return "".join(f"\\{char}" if char in "*?[]\\" else char for char in text)
