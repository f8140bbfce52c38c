"""What the view keeps for figures of the console: money of flows, refused records, and buyers; in a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import redis.asyncio as redis

from stream_app.adapters.view_schema import REFUSED_DAYS, REFUSED_EXAMPLES, Buyers, RefusedExample
from stream_app.adapters.wall_clock import now_ms
from stream_app.core.clock import DAY_MS, SECOND_MS, format_instant
from stream_app.core.local_days import date_of
from stream_app.view.records import MIGRATIONS, REFUSED, SAMPLES, batch_of
from stream_app.view.target import ViewTarget
from tests.support.output_records import FIRST_DAY_MS, Record, migration
from tests.support.servers import RedisServer
from tests.view.following import KEYS
from tests.view.test_target import FIELDS, records, run

COUNTED = [*FIELDS, "refused/0", "samples/0"]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with RedisServer(Path(tmp_path_factory.mktemp("redis"))) as server:
        yield server.port


def letter(reason: str, offset: int, at_ms: int) -> Record:
    position = {"topic": "purchases", "partition": 1, "offset": offset}
    told = {"reason": reason, "field": "$", "message": "m" * 1_000, "position": position, "payload": "p", "more": 1}
    return Record(offset, b"key", msgspec.json.encode(told), at_ms)


def sample_record(offset: int, partition: int, ids: list[str], told_ms: int = 1) -> Record:
    numbers = {"purchases": ("<i4", 3), "revenue_minor": ("<i8", -250), "purchased_at_ms": ("<i8", FIRST_DAY_MS - 1)}
    told = {
        "tick": offset,
        "as_of": format_instant(FIRST_DAY_MS),
        "partition": partition,
        "population_size": 40,
        "customer_ids": ids,
        "activity": {name: np.full(len(ids), value, kind).tobytes() for name, (kind, value) in numbers.items()},
    }
    return Record(offset, str(partition).encode(), msgspec.json.encode(told), told_ms)


def test_money_of_flows_is_what_customers_had_brought_before(port: int) -> None:
    moves = [
        migration("a", 1, 0, 1, revenue_before=12.5),
        migration("b", 1, 0, 1, revenue_before=-2.25),
        migration("c", 1, 0, 2, revenue_before=0.0),
        migration("d", 1, 0, 3, revenue_before=7.0),
        migration("e", 1, 0, 3),  # of an earlier release
    ]

    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        await target.apply(generation, [batch_of(MIGRATIONS, 0, 0, records(moves))])
        assert await client.hgetall(KEYS.flow_money(generation, "value", "2026-01-01")) == {
            b"s1>s2>purchase>moved": b"102500",
            b"s1>s4>purchase>moved": b"70000",
            b"?s1>s4>purchase>moved": b"1",
        }

    run(port, test, COUNTED)


def test_refused_records_are_counted_by_day_and_reason_and_the_newest_kept(port: int) -> None:
    today_ms = now_ms()
    ages = {"no_customer": 0, "too_deep": 1, "too_large": 200}
    days = {reason: date_of(today_ms - age * DAY_MS, "UTC").isoformat() for reason, age in ages.items()}
    letters = [letter("no_customer", offset, today_ms) for offset in range(REFUSED_EXAMPLES + 2)]
    letters += [letter("too_deep", 90, today_ms - DAY_MS), letter("too_large", 91, today_ms - 200 * DAY_MS)]

    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        await target.apply(generation, [batch_of(REFUSED, 0, 0, letters)])
        counts = {reason: await client.hgetall(KEYS.refused(generation, day)) for reason, day in days.items()}
        assert counts == {
            "no_customer": {b"no_customer": b"7"},
            "too_deep": {b"too_deep": b"1"},
            "too_large": {},  # too old
        }
        kept = await client.lrange(KEYS.refused_examples(generation, "no_customer"), 0, -1)
        examples = [msgspec.json.decode(each, type=RefusedExample) for each in kept]
        assert [each.offset for each in examples] == [6, 5, 4, 3, 2]
        assert len(examples[0].message) == 300
        seconds = await client.ttl(KEYS.refused(generation, days["too_deep"]))
        assert (REFUSED_DAYS - 1) * DAY_MS < seconds * SECOND_MS <= (REFUSED_DAYS + 1) * DAY_MS

    run(port, test, COUNTED)


def test_newest_sample_of_each_partition_is_kept_and_outlives_a_rebuild(port: int) -> None:
    decision = Record(2, b"1", b'{"kind":"decision","segmentation":"value"}')
    sent = [sample_record(0, 1, ["a", "b"]), sample_record(1, 0, ["c"]), decision, sample_record(3, 1, ["d"])]

    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        await target.apply(generation, [batch_of(SAMPLES, 0, 0, sent)])
        found = await client.hgetall(KEYS.buyers(generation))
        assert {key: msgspec.json.decode(value, type=Buyers) for key, value in found.items()} == {
            b"0": Buyers(FIRST_DAY_MS, 40, ["c"], [3], [-250], [FIRST_DAY_MS - 1]),
            b"1": Buyers(FIRST_DAY_MS, 40, ["d"], [3], [-250], [FIRST_DAY_MS - 1]),
        }
        rebuilt = await target.attach(COUNTED, is_fresh=True)
        assert await client.hgetall(KEYS.buyers(rebuilt.generation)) == found

    run(port, test, COUNTED)


def test_sample_with_a_customer_who_is_erased_goes_and_none_from_before_comes_back(port: int) -> None:
    name = 'o/"ö"'

    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        first = [sample_record(0, 0, ["a", name], 10), sample_record(1, 1, [name], 11)]
        await target.apply(generation, [batch_of(SAMPLES, 0, 0, first)])
        await target.apply(generation, [batch_of(MIGRATIONS, 0, 0, [Record(0, name.encode(), None, 20)])])
        assert set(await client.hgetall(KEYS.buyers(generation))) == {b"1"}, "another partition's stays"
        later = [sample_record(2, 0, ["a", name], 20), sample_record(3, 1, ["b"], 12)]
        await target.apply(generation, [batch_of(SAMPLES, 0, 2, later)])
        assert set(await client.hgetall(KEYS.buyers(generation))) == {b"1"}
        await target.apply(generation, [batch_of(SAMPLES, 0, 4, [sample_record(4, 0, ["a"], 21)])])
        assert set(await client.hgetall(KEYS.buyers(generation))) == {b"0", b"1"}
        await target.apply(generation, [batch_of(MIGRATIONS, 0, 1, [Record(1, b"c", None, 30)])])
        assert set(await client.hgetall(KEYS.buyers(generation))) == {b"0", b"1"}, "who is not in it"

    run(port, test, COUNTED)


def test_message_that_quotes_customers_who_are_known_is_not_kept(port: int) -> None:
    quoting = letter("shared_alias", 0, now_ms())

    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        await target.apply(generation, [batch_of(REFUSED, 0, 0, [quoting])])
        (kept,) = await client.lrange(KEYS.refused_examples(generation, "shared_alias"), 0, -1)
        assert msgspec.json.decode(kept, type=RefusedExample).message.startswith("not shown, as it quotes customers")

    run(port, test, COUNTED)
