"""The comparison of a view with its topics sees whatever may be wrong with the view; here in a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.chaos.redis_view import BOOKKEEPING, Content, difference, stored_content
from tests.support.servers import RedisServer

EXPECTED: Content = {
    **dict.fromkeys(BOOKKEEPING),
    **dict.fromkeys(("G:models:value", "G:models:habits")),
    "G:c:a": {"value": "2 s2 5 1 7", "?value": 2, "habits": "1 often 4 1 4", "?habits": 1},
    "G:c:b": {"value": "1 s1 6 1 6 9 s5", "?value": 1},
    "G:m:value:s2": {"a": 5},
    "G:m:value:s1": {"b": 6},
    "G:f:value:1970-01-01": {">s1>purchase>entered": 2, "s1>s2>purchase>moved": 1},
    "G:v:value:1970-01-01": {"s1>s2>purchase>moved": 125_000},
    "G:r:1970-01-02": {"too_deep": 3},
    "G:x:too_deep": None,
    "G:buyers": {"0": 7},
    "G:d:value": {"1970-01-01": True},
    "G:h:a": {0: "value/2", 1: "value/1"},
    "G:t:value": None,
    "G:figures:value": {"0": "{}"},
    "G:m:habits:often": {"a": 4},
    "G:f:habits:1970-01-01": {">often>purchase>entered": 1},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(Path(tmp_path_factory.mktemp("redis"))) as running:
        yield running


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis(port=server.port, protocol=2) as connected:
        connected.flushall()
        connected.set("segmenter:generation", "x1")
        for name in ("generations", "feed", "feed:position", "x1:position", "x1:segmentations", "x1:told"):
            connected.set(f"segmenter:{name}", "…")
        for name in ("value", "habits"):
            connected.set(f"segmenter:x1:models:{name}", "…")
        for customer, value in (("a", "2 s2 5 1 7"), ("b", "1 s1 6 1 6 9 s5")):
            reason = f'[{value[0]},"s1"]'
            connected.hset(f"segmenter:x1:c:{customer}", mapping={"value": value, "?value": reason})
        connected.hset("segmenter:x1:figures:value", "0", "{}")
        connected.zadd("segmenter:x1:m:value:s2", {"a": 5})
        connected.zadd("segmenter:x1:m:value:s1", {"b": 6})
        connected.hset(
            "segmenter:x1:f:value:1970-01-01", mapping={">s1>purchase>entered": 2, "s1>s2>purchase>moved": 1}
        )
        connected.hset("segmenter:x1:v:value:1970-01-01", "s1>s2>purchase>moved", 125_000)
        connected.hset("segmenter:x1:r:1970-01-02", "too_deep", 3)
        connected.rpush("segmenter:x1:x:too_deep", "…")
        connected.hset("segmenter:x1:buyers", "0", "[7,2]")
        connected.sadd("segmenter:x1:d:value", "1970-01-01")
        connected.rpush("segmenter:x1:h:a", '["value","s2",5,5,1,null,[2,"s1"]]', '["value","s1",4,4,1,null,[1,null]]')
        connected.hset("segmenter:x1:t:value", "1970-01-01/0", "…")
        connected.hset("segmenter:x1:c:a", mapping={"habits": "1 often 4 1 4", "?habits": '[1,""]'})
        connected.zadd("segmenter:x1:m:habits:often", {"a": 4})
        connected.hset("segmenter:x1:f:habits:1970-01-01", ">often>purchase>entered", 1)
        yield connected


def test_view_that_is_right_does_not_differ(client: redis.Redis) -> None:
    assert stored_content(client) == EXPECTED
    assert difference(EXPECTED, stored_content(client)) == ""


@pytest.mark.parametrize(
    "spoil",
    [
        lambda client: client.flushall(),
        lambda client: client.delete("segmenter:x1:c:b"),
        lambda client: client.hset("segmenter:x1:c:c", "value", "1 s1 6 1 6"),
        lambda client: client.hset("segmenter:x1:c:b", "value", "1 s1 6 1 7 9 s5"),
        lambda client: client.hset("segmenter:x1:c:b", "value", "1 s1 6 1 6"),
        lambda client: client.hset("segmenter:x1:figures:value", "0", "[]"),
        lambda client: client.hdel("segmenter:x1:figures:value", "0"),
        lambda client: client.hset("segmenter:x1:c:a", "?value", '[1,"s1"]'),
        lambda client: client.hset("segmenter:x1:c:a", "other", "1 s1 6 1 6"),
        lambda client: client.zadd("segmenter:x1:m:value:s2", {"b": 6}),
        lambda client: client.zadd("segmenter:x1:m:value:s2", {"a": 6}),
        lambda client: client.zrem("segmenter:x1:m:value:s1", "b"),
        lambda client: client.hincrby("segmenter:x1:f:value:1970-01-01", ">s1>purchase>entered", 1),
        lambda client: client.hincrby("segmenter:x1:v:value:1970-01-01", "s1>s2>purchase>moved", 1),
        lambda client: client.hincrby("segmenter:x1:r:1970-01-02", "too_deep", 1),
        lambda client: client.delete("segmenter:x1:x:too_deep"),
        lambda client: client.hset("segmenter:x1:buyers", "0", "[6,2]"),
        lambda client: client.sadd("segmenter:x1:d:value", "1970-01-02"),
        lambda client: client.rpop("segmenter:x1:h:a"),
        lambda client: client.lpush("segmenter:x1:h:a", '["value","s2",5,5,1,null,[2,"s1"]]'),
        lambda client: client.hdel("segmenter:x1:c:a", "habits"),
        lambda client: client.hset("segmenter:x1:c:a", "habits", "1 often 4 2 4"),
        lambda client: client.zrem("segmenter:x1:m:habits:often", "a"),
        lambda client: client.delete("segmenter:x1:models:habits"),
        lambda client: client.hset("segmenter:x0:c:a", "value", "1 s1 5 1 5"),
        lambda client: client.set("segmenter:x1:building", "1"),
        lambda client: client.set("unknown", "1"),
        lambda client: client.delete("segmenter:feed"),
    ],
)
def test_whatever_is_wrong_is_seen(client: redis.Redis, spoil: Callable[[redis.Redis], None]) -> None:
    spoil(client)
    assert difference(EXPECTED, stored_content(client)) != ""
