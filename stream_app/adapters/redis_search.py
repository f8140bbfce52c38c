"""A search through everything that a prefix has in Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from stream_app.adapters.redis_client import RedisConnection

SCANNED_KEYS: Final = 1_000
STREAM_ENTRIES: Final = 1_000


async def search(connection: RedisConnection, prefix: str, is_found: Callable[[bytes], bool]) -> AsyncIterator[str]:
    """Yield the names of the keys that have what is looked for in their names or in their contents."""
    client: Any = connection.create_client()
    try:
        pattern = "".join(f"\\{char}" if char in "*?[]\\" else char for char in prefix) + "*"
        async for key in client.scan_iter(pattern, count=SCANNED_KEYS):
            if is_found(key) or any(map(is_found, await _contents(client, key))):
                yield key.decode("utf-8", "replace")
    finally:
        await client.aclose()


async def _contents(client: Any, key: bytes) -> list[bytes]:
    """Return all texts that a key holds."""
    kind = (await client.type(key)).decode()
    if kind == "string":
        return [await client.get(key) or b""]
    if kind == "hash":
        return [text for pair in (await client.hgetall(key)).items() for text in pair]
    if kind == "list":
        return list(await client.lrange(key, 0, -1))
    if kind == "set":
        return list(await client.smembers(key))
    if kind == "zset":
        return list(await client.zrange(key, 0, -1))
    return [text async for text in _entries(client, key)] if kind == "stream" else []


async def _entries(client: Any, key: bytes) -> AsyncIterator[bytes]:
    begin = "-"
    while entries := await client.xrange(key, begin, "+", count=STREAM_ENTRIES):
        for _, fields in entries:
            for pair in fields.items():
                for text in pair:
                    yield text
        begin = "(" + entries[-1][0].decode()
