"""The form of the view's values, and records of earlier releases in it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import msgspec
import pytest

from stream_app.adapters.view_moves import Reason
from stream_app.adapters.view_schema import MembershipValue
from stream_app.contracts.readers import read_migration
from tests.api.serving import ALL, KEYS, bearer, fill_view, redis_store, serving
from tests.support.output_records import migration
from tests.support.processes import wait_for
from tests.support.servers import RedisServer
from tests.view.following import reader

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples" / "segment-migrations"
EARLIER_REASON = [
    1,
    None,
    "entered",
    "purchase",
    "e1",
    42,
    False,
    ["learned", None, [1.0] * 7, None, 0.7, None, None, "…"],
]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (MembershipValue(5, "s2", 1_000, 33, 2_000), "5 s2 1000 33 2000"),
        (MembershipValue(5, "s2", 1_000, 33, 2_000, 3_000, "s5"), "5 s2 1000 33 2000 3000 s5"),
        (MembershipValue(5, "s2", 1_000, 33, 2_000, 3_000), "5 s2 1000 33 2000 3000 -"),
        (
            MembershipValue(5, "s2", 1_000, 33, 2_000, 3_000, None, {"email": True, "advertising": False}),
            "5 s2 1000 33 2000/+email,-advertising 3000 -",
        ),
    ],
)
def test_membership_is_kept_as_a_short_text(value: MembershipValue, text: str) -> None:
    assert value.encode() == text
    assert MembershipValue.decode(text.encode()) == value


@pytest.mark.parametrize("name", [path.name for path in sorted(EXAMPLES.glob("*.pass.json"))])
def test_reason_is_given_back_as_the_migration_had_it(name: str) -> None:
    seen = read_migration((EXAMPLES / name).read_bytes())
    kept = msgspec.json.decode(msgspec.json.encode(Reason.of(seen)), type=Reason)
    assert kept.explanation() == seen.explanation
    assert (kept.direction, kept.change, kept.holdout()) == (seen.direction, seen.change, seen.holdout)


def test_reason_of_an_earlier_release_is_answered_as_none_until_the_view_is_rebuilt(tmp_path: Path) -> None:
    async def put_earlier_reason(port: int) -> None:
        async with reader(port) as client:
            generation = (await client.get(KEYS.pointer)).decode()
            await client.hset(KEYS.customer(generation, "a"), "?value", json.dumps(EARLIER_REASON))

    with RedisServer(tmp_path) as server:
        asyncio.run(fill_view(server.port, [migration("a", 1, None, 1)]))
        asyncio.run(put_earlier_reason(server.port))
        with (
            serving(redis_store(server.port)) as address,
            httpx.Client(base_url=address, headers=bearer(ALL), timeout=30) as client,
        ):
            wait_for(lambda: client.get("/ready").is_success, 30, "the first look at the view")
            (found,) = client.get("/v1/customers/a/segments").json()["segments"]
    assert (found["segment"]["id"], found["sequence"]) == ("s2", 1)
    assert (found["explanation"], found["change"]) == (None, None)
