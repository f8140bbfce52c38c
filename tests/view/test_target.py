"""What the scripts take in and what they refuse, in a real Redis."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis.asyncio as redis

from stream_app.adapters.redis_client import RedisConnection
from stream_app.adapters.view_moves import PastMove
from stream_app.adapters.view_schema import FollowerCondition, MembershipValue
from stream_app.contracts.fields import parse_instant
from stream_app.contracts.readers import (
    FiguresRecord,
    MigrationRecord,
    NextMove,
    SegmentReference,
    SegmentSums,
    UpcomingRecord,
    read_figures,
)
from stream_app.core.clock import format_instant
from stream_app.view.records import FIGURES, MEMBERSHIPS, MIGRATIONS, MODELS, UPCOMING, batch_of
from stream_app.view.target import ViewChanged, ViewTarget
from tests.support.many_segmentations import NAMES, drawn_moves
from tests.support.output_records import (
    Record,
    drawn_migrations,
    drawn_model,
    key_of,
    membership_of,
    migration,
    newest_memberships,
    rules_document,
    rules_migration,
)
from tests.support.servers import RedisServer
from tests.view.following import KEYS, flows, members, memberships, reader, without_name

CONDITION = FollowerCondition("0.0", "current", 0.0, {})
FIELDS = ["memberships/0", "migrations/0", "models/0", "figures/0", "figures/1", "upcoming/0"]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with RedisServer(Path(tmp_path_factory.mktemp("redis"))) as server:
        yield server.port


Test = Callable[[ViewTarget, redis.Redis, str], Awaitable[None]]


def run(port: int, test: Test, fields: Sequence[str] = FIELDS) -> None:
    async def prepared() -> None:
        async with reader(port) as client, view(port) as target:
            await client.flushall()
            attached = await target.attach(fields)
            assert await target.swap(attached.generation)
            await test(target, client, attached.generation)

    asyncio.run(prepared())


@asynccontextmanager
async def view(port: int) -> AsyncIterator[ViewTarget]:
    target = ViewTarget(RedisConnection(f"redis://127.0.0.1:{port}/0"), KEYS, feed_length=1_000)
    yield target
    await target.close()


def records(documents: Sequence[Any], first: int = 0) -> list[Record]:
    return [Record(first + number, b"key", msgspec.json.encode(document)) for number, document in enumerate(documents)]


def memberships_of(moves: Sequence[MigrationRecord], first: int = 0) -> list[Record]:
    """Return the records of memberships that follow from moves; a tombstone for those that leave."""
    found = []
    for number, move in enumerate(moves, first):
        membership = membership_of(move)
        value = None if membership is None else msgspec.json.encode(membership)
        found.append(Record(number, key_of(move).encode(), value))
    return found


def test_newest_membership_stays_in_whatever_order_they_come_and_however_often(port: int) -> None:
    moves = [move for move in drawn_migrations(20, 300) if move.to_segment is not None]
    newest = {key: without_name(membership) for key, membership in newest_memberships(moves).items()}
    assert {key.partition("/")[0] for key in newest} == {"value", "lifecycle"}

    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        for seed in range(3):
            shuffled, first = [*moves, *moves], seed * 2 * len(moves)
            random.Random(seed).shuffle(shuffled)
            await target.apply(generation, [batch_of(MEMBERSHIPS, 0, first, memberships_of(shuffled, first))])
            assert await memberships(client) == newest
            assert await members(client) == {key: membership["segment"] for key, membership in newest.items()}

    run(port, test)


def test_customer_who_leaves_a_segmentation_stays_in_the_other(port: int) -> None:
    moves = [
        migration("a/b", 1, None, 0),
        rules_migration("a/b", 1, None, 0),
        rules_migration("a/b", 2, 0, 1),
        rules_migration("a/b", 3, 1, None),
    ]

    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        await target.apply(generation, [batch_of(MEMBERSHIPS, 0, 0, memberships_of(moves[:3]))])
        await target.apply(generation, [batch_of(MIGRATIONS, 0, 0, records(moves))])
        assert await members(client) == {"value/a/b": "s1", "lifecycle/a/b": "slipping"}
        await target.apply(generation, [batch_of(MEMBERSHIPS, 0, 3, memberships_of(moves[3:], 3))])
        assert await members(client) == {"value/a/b": "s1"}
        assert set(await client.hgetall(KEYS.customer(generation, "a/b"))) == {b"value", b"?value"}
        assert (await flows(client))["lifecycle", "2026-01-01", "slipping>>definition>left"] == 1
        again = rules_migration("a/b", 4, None, 0)
        await target.apply(generation, [batch_of(MEMBERSHIPS, 0, 4, memberships_of([again], 4))])
        assert await members(client) == {"value/a/b": "s1", "lifecycle/a/b": "active"}

    run(port, test)


@pytest.mark.parametrize("is_elsewhere", [True, False])
def test_reason_of_a_return_outlives_a_membership_that_ends_after_it_was_read(port: int, is_elsewhere: bool) -> None:
    moves = [
        rules_migration("a", 1, None, 0),
        rules_migration("a", 2, 0, None),
        rules_migration("a", 3, None, 1),
    ]
    elsewhere = [migration("a", 1, None, 0)] if is_elsewhere else []

    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        await target.apply(generation, [batch_of(MEMBERSHIPS, 0, 0, memberships_of([*elsewhere, moves[0]]))])
        await target.apply(generation, [batch_of(MIGRATIONS, 0, 0, records([*elsewhere, *moves]))])
        first, key = 1 + len(elsewhere), KEYS.customer(generation, "a")
        await target.apply(generation, [batch_of(MEMBERSHIPS, 0, first, memberships_of(moves[1:2], first))])
        assert b"lifecycle" not in await client.hgetall(key)
        await target.apply(generation, [batch_of(MEMBERSHIPS, 0, first + 1, memberships_of(moves[2:], first + 1))])
        found = await client.hgetall(key)
        assert msgspec.json.decode(found[b"?lifecycle"])[0] == 3
        assert found[b"lifecycle"].startswith(b"3 ")
        assert await client.ttl(key) == -1

    run(port, test)


def test_model_of_a_segmentation_that_was_removed_is_gone(port: int) -> None:
    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        await target.apply(generation, [batch_of(MODELS, 0, 0, records([drawn_model(), rules_document()]))])
        assert await client.smembers(KEYS.segmentations(generation)) == {b"value", b"lifecycle"}
        gone = [Record(2, b"value/held", None), Record(3, b"lifecycle", None)]
        await target.apply(generation, [batch_of(MODELS, 0, 2, gone)])
        assert await client.smembers(KEYS.segmentations(generation)) == {b"value"}
        assert await client.exists(KEYS.models(generation, "lifecycle")) == 0

    run(port, test)


def test_record_below_the_position_is_not_counted_again(port: int) -> None:
    moves = list(drawn_migrations(5, 40))

    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        batch = batch_of(MIGRATIONS, 0, 0, records(moves))
        assert await target.apply(generation, [batch]) == 40
        assert await target.apply(generation, [batch, batch]) == 0
        half = batch_of(MIGRATIONS, 0, 20, records([*moves[20:], migration("late", 1, None, 2)], 20))
        assert await target.apply(generation, [half]) == 1
        assert sum((await flows(client)).values()) == 41
        assert await client.xlen(KEYS.feed) == 41

    run(port, test)


def test_batch_that_leaves_a_gap_is_refused(port: int) -> None:
    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        late = batch_of(MEMBERSHIPS, 0, 7, memberships_of([migration("a", 1, None, 0)], 7))
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
            await target.apply(generation, [batch_of(MODELS, 0, 0, records([drawn_model()]))])
        with pytest.raises(ViewChanged, match="MOVED"):
            await target.beat(generation, CONDITION)

    run(port, test)


def test_new_generation_takes_over_once_it_has_caught_up_and_keeps_the_models(port: int) -> None:
    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        moves = batch_of(MEMBERSHIPS, 0, 0, memberships_of([migration("a", 1, None, 0)]))
        await target.apply(generation, [moves, batch_of(MODELS, 0, 0, records([drawn_model(3)]))])
        fresh = (await target.attach(FIELDS, is_fresh=True)).generation
        assert not await target.swap(fresh)
        await target.announce_handover(fresh)
        with pytest.raises(ViewChanged, match="WAIT"):
            await target.apply(generation, [moves])
        await target.apply(fresh, [moves, batch_of(MODELS, 0, 0, records([drawn_model(4)]))])
        assert await target.swap(fresh)
        assert sorted(await client.hkeys(KEYS.models(fresh, "value"))) == [b"3", b"4"]
        assert await target.delete_others() > 0
        assert [name async for name in client.scan_iter(f"{KEYS.of(generation)}*")] == []
        assert list(await memberships(client)) == ["value/a"]

    run(port, test)


def test_deleted_customer_does_not_come_back_by_an_old_migration(port: int) -> None:
    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        move = migration("a", 1, None, 0)
        written = [*memberships_of([move]), Record(1, b"value/a", None)]
        await target.apply(generation, [batch_of(MEMBERSHIPS, 0, 0, written)])
        await target.apply(generation, [batch_of(MIGRATIONS, 0, 0, records([move]))])
        assert await memberships(client) == {}
        assert await members(client) == {}
        assert await client.ttl(KEYS.customer(generation, "a")) > 0

    run(port, test)


def test_record_that_cannot_be_read_is_passed_over(port: int) -> None:
    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        bad = [Record(0, b"a", b"{"), Record(1, b"a", b'{"customer_id": 1}'), Record(2, b"\xff", None)]
        bad += [Record(3, b"a", None), Record(4, b"value/", None)]
        good = memberships_of([migration("a", 1, None, 0)], 5)
        assert await target.apply(generation, [batch_of(MEMBERSHIPS, 0, 0, [*bad, *good])]) == 1
        assert list(await memberships(client)) == ["value/a"]

    run(port, test)


def test_newest_figures_of_each_partition_stay_until_they_or_their_segmentation_are_removed(port: int) -> None:
    def told(segmentation: str, partition: int, customers: int) -> FiguresRecord:
        sums = (SegmentSums("s1", customers, 1, 2, 3, 4),)
        return FiguresRecord(segmentation, partition, "2026-01-01T00:00:00.000Z", "EUR", sums)

    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        async def known(segmentation: str) -> dict[int, int]:
            fields = await client.hgetall(KEYS.figures(generation, segmentation))
            return {int(number): read_figures(value).segments[0].customers for number, value in fields.items()}

        first = [told("value", 0, 5), told("tier", 0, 7), told("value", 0, 6)]
        await target.apply(generation, [batch_of(FIGURES, 0, 0, records(first))])
        await target.apply(generation, [batch_of(FIGURES, 1, 0, records([told("value", 1, 9)]))])
        await target.apply(generation, [batch_of(FIGURES, 0, 0, records(first))])  # read again
        assert (await known("value"), await known("tier")) == ({0: 6, 1: 9}, {0: 7})
        await target.apply(generation, [batch_of(FIGURES, 0, 3, [Record(3, b"tier/0", None), Record(4, b"x", b"{}")])])
        assert (await known("value"), await known("tier")) == ({0: 6, 1: 9}, {})
        await target.apply(generation, [batch_of(MODELS, 0, 0, [Record(0, b"value", None)])])
        assert await known("value") == {}

    run(port, test)


def test_what_is_said_of_ticks_is_not_kept() -> None:
    tick = {"kind": "tick", "tick": 9, "as_of": "2024-06-13T00:00:00.000Z", "status": "decided", "versions": {}}
    noted = Record(0, b"~tick", msgspec.json.encode(tick))
    assert batch_of(MODELS, 0, 0, [noted]) == batch_of(MODELS, 0, 0, [Record(0, b"value/held", None)])


# --- moves ahead -----------------------------------------------------------------------------------------------------


async def ahead(client: redis.Redis, generation: str) -> dict[tuple[str, str, str], int]:
    """Return by segmentation, path and customer when silence moves it, as the view's sorted sets have it."""
    found = {}
    for segmentation in NAMES:
        for path in await client.smembers(KEYS.paths_ahead(generation, segmentation)):
            key = KEYS.ahead(generation, segmentation, path.decode())
            for member, score in await client.zrange(key, 0, -1, withscores=True):
                found[segmentation, path.decode(), member.decode()] = int(score)
    return found


async def ahead_by_memberships(client: redis.Redis, generation: str) -> dict[tuple[str, str, str], int]:
    """Return the same, as customers' own memberships have it."""
    found, root = {}, KEYS.customer(generation, "")
    for name in await client.keys(f"{root}*"):
        for segmentation, value in (await client.hgetall(name)).items():
            membership = None if segmentation.startswith(b"?") else MembershipValue.decode(value)
            if membership is not None and membership.next_at_ms is not None:
                path = f"{membership.segment}>{membership.next_segment or '-'}"
                found[segmentation.decode(), path, name.decode().removeprefix(root)] = membership.next_at_ms
    return found


def notice(move: MigrationRecord, status: str, following: NextMove | None, later_ms: int = 1) -> UpcomingRecord:
    """Return a notice about the segment that a migration has led to, found some time after it."""
    assert move.to_segment is not None
    return UpcomingRecord(
        *("0" * 32, 1, move.customer_id, move.segmentation, move.to_segment, "2026-03-01T00:00:00.000Z", None),
        *("3d", status, format_instant(parse_instant(move.effective_at) + later_ms), move.cause, 1),
        *(following, move.holdout),
    )


def test_moves_ahead_are_those_of_the_memberships_whatever_comes_and_goes(port: int) -> None:
    moves = list(drawn_moves(30, 1_500))

    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        for start in range(0, len(moves), 500):
            part = memberships_of(moves[start : start + 500], start)
            await target.apply(generation, [batch_of(MEMBERSHIPS, 0, start, part)])
            found = await ahead(client, generation)
            assert found == await ahead_by_memberships(client, generation)
            assert len(found) > 50
        customers = await client.keys(KEYS.customer(generation, "") + "*")
        held = [(name, each) for name in customers for each in await client.hkeys(name)]
        gone = [
            Record(len(moves) + number, f"{each.decode()}/{name.decode().rpartition(':')[2]}".encode(), None)
            for number, (name, each) in enumerate(held)
        ]
        await target.apply(generation, [batch_of(MEMBERSHIPS, 0, len(moves), gone)])
        assert await ahead(client, generation) == {}

    run(port, test)


def test_notices_correct_the_next_move_of_the_segment_that_they_are_about(port: int) -> None:
    first = rules_migration("a", 1, None, 0, next_move=NextMove("2026-02-01T00:00:00.000Z", None))
    later = NextMove("2026-03-01T00:00:00.000Z", SegmentReference("slipping", "Slipping away"))
    other = rules_migration("b", 1, None, 1)

    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        async def tell(offset: int, *notices: UpcomingRecord) -> dict[tuple[str, str, str], int]:
            await target.apply(generation, [batch_of(UPCOMING, 0, offset, records(notices, offset))])
            assert await ahead(client, generation) == await ahead_by_memberships(client, generation)
            return await ahead(client, generation)

        await target.apply(generation, [batch_of(MEMBERSHIPS, 0, 0, memberships_of([first, other]))])
        told = {("lifecycle", "active>-", "a"): parse_instant("2026-02-01T00:00:00.000Z")}
        assert await ahead(client, generation) == told
        assert await tell(0, notice(first, "averted", later, later_ms=-1)) == told, "older than the membership"
        elsewhere = notice(rules_migration("a", 1, None, 1), "averted", later)
        assert await tell(1, elsewhere) == told, "about another segment"
        assert await tell(2, notice(rules_migration("nobody", 1, None, 0), "averted", later)) == told
        moved = {("lifecycle", "active>slipping", "a"): parse_instant(later.at)}
        assert await tell(3, notice(first, "averted", later)) == moved
        assert await tell(4, notice(first, "averted", None)) == {}
        assert await tell(5, notice(first, "upcoming", later)) == moved

    run(port, test)


def history(client: redis.Redis, generation: str, customer_id: str) -> Awaitable[list[bytes]]:
    return client.lrange(KEYS.history(generation, customer_id), 0, -1)  # type: ignore[return-value]


def test_newest_migrations_of_a_customer_are_kept_and_no_more(port: int) -> None:
    moves = [migration("c", number, number % 2, 1 - number % 2, 1_000 * number) for number in range(1, 61)]
    moves.append(rules_migration("c", 1, None, 0, 61_000))
    moves.append(rules_migration("c", 2, 0, None, 62_000))

    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        await target.apply(generation, [batch_of(MEMBERSHIPS, 0, 0, memberships_of(moves[:1]))])
        for _ in range(2):  # the second time it is known
            await target.apply(generation, [batch_of(MIGRATIONS, 0, 0, records(moves))])
        kept = [msgspec.json.decode(each, type=PastMove) for each in await history(client, generation, "c")]
        assert [each.effective_ms for each in kept] == [1_000 * number for number in range(62, 42, -1)]
        assert (kept[0].segmentation, kept[0].to_segment, kept[0].reason.change) == ("lifecycle", None, "left")
        assert kept[2].reason.explanation() == moves[59].explanation
        assert await client.pttl(KEYS.history(generation, "c")) == -1

    run(port, test)


def test_history_goes_with_the_customer(port: int) -> None:
    moves = [migration("c", 1, None, 0)]
    gone = Record(1, b"value/c", None)

    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        key = KEYS.history(generation, "c")
        await target.apply(generation, [batch_of(MIGRATIONS, 0, 0, records(moves))])
        assert await client.pttl(key) > 0  # nobody is known to be in a segment yet
        await target.apply(generation, [batch_of(MEMBERSHIPS, 0, 0, memberships_of(moves))])
        assert await client.pttl(key) == -1
        await target.apply(generation, [batch_of(MEMBERSHIPS, 0, 1, [gone])])
        assert await client.pttl(key) > 0

    run(port, test)


def test_days_of_flows_are_listed(port: int) -> None:
    moves = list(drawn_migrations(10, 100))

    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        await target.apply(generation, [batch_of(MIGRATIONS, 0, 0, records(moves))])
        for name in ("value", "lifecycle"):
            days = {move.effective_at[:10].encode() for move in moves if move.segmentation == name}
            assert await client.smembers(KEYS.flow_days(generation, name)) == days

    run(port, test)


def test_generation_of_an_earlier_form_is_built_anew(port: int) -> None:
    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        assert (await target.attach(FIELDS)).generation == generation
        await client.hdel(KEYS.position(generation), "form")
        attached = await target.attach(FIELDS)
        assert attached.is_building
        assert await target.swap(attached.generation)
        assert (await target.attach(FIELDS)).generation == attached.generation

    run(port, test)


def test_customer_who_is_erased_leaves_no_trace_but_for_a_moment_in_the_feed(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, stays = migration("c-gone", 1, None, 1), migration("c-stays", 1, None, 1)
    marker = [Record(2, b"c-gone", None)]
    tombstone = [Record(2, key_of(gone).encode(), None)]

    async def test(target: ViewTarget, client: redis.Redis, generation: str) -> None:
        documents = [membership_of(gone), membership_of(stays)]
        await target.apply(generation, [batch_of(MEMBERSHIPS, 0, 0, records(documents))])
        await target.apply(generation, [batch_of(MIGRATIONS, 0, 0, records([gone, stays]))])
        assert await _keys_with(client, b"c-gone")
        await target.apply(generation, [batch_of(MEMBERSHIPS, 0, 2, tombstone)])
        await target.apply(generation, [batch_of(MIGRATIONS, 0, 2, marker)])
        assert await target.forget() == 0, "who follows the feed is to learn of it first"
        monkeypatch.setattr("stream_app.view.target.FEED_GRACE_MS", -1)
        assert await target.forget() == 1
        assert await _keys_with(client, b"c-gone") == []
        assert await _keys_with(client, b"c-stays"), "the others stay"

    run(port, test)


async def _keys_with(client: redis.Redis, text: bytes) -> list[bytes]:
    """Return the keys whose names or contents have a text."""
    names = [name async for name in client.scan_iter()]
    found = [name for name in names if name != KEYS.feed.encode() and (text in name or text in await client.dump(name))]
    return found + [entry for entry, fields in await client.xrange(KEYS.feed) if text in fields[b"m"]]
