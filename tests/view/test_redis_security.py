"""The view and the API reach a Redis that is protected as `docs/redis.md` says, and no other way."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

import pytest
import redis.asyncio as redis

from stream_app.adapters.metrics import API, Metrics
from stream_app.adapters.redis_client import RedisConnection, RedisError
from stream_app.adapters.view_schema import ViewKeys
from stream_app.api.redis_store import RedisStore
from stream_app.api.sampling import ViewSampler
from stream_app.api.store import MemberQuery
from stream_app.errors import ConfigurationError
from stream_app.view.records import MEMBERSHIPS, MIGRATIONS, MODELS, batch_of
from stream_app.view.target import ViewTarget
from tests.support.output_records import FIRST_DAY_MS, drawn_model, migration
from tests.support.processes import free_port
from tests.support.programs import find_program
from tests.support.servers import RedisServer
from tests.view.test_target import CONDITION, FIELDS, memberships_of, records

GUIDE = Path(__file__).parents[2] / "docs" / "redis.md"
KEYS = ViewKeys("segmenter:")
MOVE = migration("a", 1, None, 0)


async def write_and_read(view: RedisConnection, api: RedisConnection) -> None:
    """Do all that the view does, and all that the API does."""
    target = ViewTarget(view, KEYS, 1_000)
    await target.check()
    attached = await target.attach(FIELDS)
    batches = [
        batch_of(MODELS, 0, 0, records([drawn_model()])),
        batch_of(MEMBERSHIPS, 0, 0, memberships_of([MOVE])),
        batch_of(MIGRATIONS, 0, 0, records([MOVE])),
    ]
    await target.apply(attached.generation, batches)
    await target.swap(attached.generation)
    fresh = await target.attach(FIELDS, is_fresh=True)
    await target.apply(fresh.generation, batches)
    await target.announce_handover(fresh.generation)
    await target.swap(fresh.generation)
    await target.beat(fresh.generation, CONDITION)
    await target.delete_others()
    await target.close()
    store = RedisStore(api, KEYS, Metrics(API))
    await store.start()
    async with asyncio.timeout(300):
        while store.unready_reason():
            await asyncio.sleep(0.05)
        ((found,),) = await store.look_up(["a"])
        assert found.segment.id == MOVE.to_segment.id
        assert await store.segments("value") is not None
        assert await store.members("value", "s1", MemberQuery(10, (0, ""))) is not None
        assert await store.history("a") is not None
        assert await store.daily("value", ["2026-01-01"], has_money=True) is not None
        assert await store.flows_by_day("value", ["2026-01-01"]) is not None
        assert await store.model("value", 1) is None
        assert await store.flows("value", ["2026-01-01"]) is not None
        assert await store.models("value") is not None
        await store.sign_outs.add("number", 2**31)
        assert await store.sign_outs.has("number")
        for action in ("Call them.", None):
            await store.actions.edit("value", "s1", action, "marta", "2026-01-01T00:00:00.000Z")
        async for entry in store.feed.follow("0-0", 1):
            if entry is not None:
                break
    await store.close()
    sampler = ViewSampler(api, KEYS)
    assert await sampler.draw("value", {"s1": 1}, 10) == ["a"]
    assert await sampler.places(["a"], ["value"]) == [["s1"]]
    assert [len(each) for each in await sampler.histories(["a"])] == [1]
    assert await sampler.since("value", ["s1"], (0.5,)) == {"s1": [FIRST_DAY_MS]}
    assert await sampler.buyers() == []
    assert await sampler.refused(["2026-01-01"], ["no_customer"]) == ({}, {})
    await sampler.close()


def test_users_of_the_guide_may_do_their_work_and_no_more(tmp_path: Path) -> None:
    users = dict(re.findall(r"^ +user (view|api) on >PASSWORD (.*)$", GUIDE.read_text("utf-8"), re.MULTILINE))
    assert list(users) == ["view", "api"]

    async def run(port: int) -> None:
        url = f"redis://127.0.0.1:{port}/0"
        async with redis.Redis(port=port, protocol=2) as admin:
            for name, rules in users.items():
                await admin.execute_command("ACL", "SETUSER", name, "on", f">{name}-password", *rules.split())
        view, api = (RedisConnection(url, name, f"{name}-password") for name in users)
        await write_and_read(view, api)
        client = api.create_client()
        for forbidden in ("SET segmenter:x 1", "DEL segmenter:generation", "GET other", "FLUSHALL", "KEYS *"):
            with pytest.raises(RedisError, match="permission"):
                await client.execute_command(*forbidden.split())
        await client.aclose()
        client = view.create_client()
        for forbidden in ("SET other 1", "FLUSHALL", "CONFIG GET *"):
            with pytest.raises(RedisError, match="permission"):
                await client.execute_command(*forbidden.split())
        await client.aclose()
        client = RedisConnection(url, "view", "guess").create_client()
        with pytest.raises(RedisError):
            await client.ping()
        await client.aclose()

    with RedisServer(tmp_path / "redis") as server:
        asyncio.run(run(server.port))


def test_certificate_is_verified(tmp_path: Path) -> None:
    key, certificate, tls_port = tmp_path / "key.pem", tmp_path / "certificate.pem", free_port()
    find_program("openssl")
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=redis"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run([*make.split(), *names], check=True, capture_output=True, timeout=120)

    async def run(port: int) -> None:
        async with redis.Redis(port=port, protocol=2) as admin:
            for name, value in (("cert-file", certificate), ("key-file", key), ("ca-cert-file", certificate)):
                await admin.config_set(f"tls-{name}", str(value))
            await admin.config_set("tls-port", tls_port)
        url = f"rediss://127.0.0.1:{tls_port}/0"
        own = RedisConnection(url, ca_file=certificate, certificate_file=certificate, key_file=key)
        await write_and_read(own, own)
        strangers = [
            RedisConnection(url, certificate_file=certificate, key_file=key),
            RedisConnection(url, ca_file=certificate),
        ]
        for stranger in strangers:  # who does not trust the server, and whom it does not
            client = stranger.create_client()
            with pytest.raises(RedisError):
                await client.ping()
            await client.aclose()

    with RedisServer(tmp_path / "redis") as server:
        asyncio.run(run(server.port))


def test_password_is_not_shown_and_not_taken_from_the_address() -> None:
    assert "secret" not in repr(RedisConnection("redis://a:1/0", "me", "secret"))
    for url in ("redis://me:secret@a:1/0", "http://a:1", "redis://", "redis://a:1/0?password=secret"):
        with pytest.raises(ConfigurationError) as refused:
            RedisConnection(url)
        assert "secret" not in str(refused.value)
    with pytest.raises(ConfigurationError):
        RedisConnection("redis://a:1/0", ca_file=Path("ca.pem"))
