"""The live stream: filters, resuming, and what happens to clients that are slow or late."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from stream_app.api.feed import KEPT_ENTRIES, FeedEntry, MigrationFeed, id_order
from stream_app.contracts.readers import SegmentReference
from tests.api.conftest import MOVES
from tests.api.serving import ALL, append, bearer, fill_view, redis_store, serving
from tests.support.output_records import migration
from tests.support.processes import wait_for
from tests.support.servers import RedisServer

STREAM = "/v1/migrations/stream"
ALL_CAUSES = ["purchase", "refund", "engagement", "lapse", "profile", "model", "definition"]


@contextmanager
def events(client: httpx.Client, last_id: str | None = None, **filters: Any) -> Iterator[Iterator[tuple[str, Any]]]:
    """Open a stream; yield its events as id and migration. It is open when this yields."""
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    with client.stream("GET", STREAM, params=filters, headers=headers) as answer:
        assert answer.status_code == 200
        lines = answer.iter_lines()
        assert next(lines) == "retry: 1000"

        def read() -> Iterator[tuple[str, Any]]:
            for line in lines:
                if line.startswith("id: "):
                    entry_id = line.removeprefix("id: ")
                    assert next(lines) == "event: migration"
                    yield entry_id, json.loads(next(lines).removeprefix("data: "))

        yield read()


def take(found: Iterator[tuple[str, Any]], count: int) -> list[tuple[str, Any]]:
    return [next(found) for _ in range(count)]


def test_stream_resumes_behind_the_last_event_seen(client: httpx.Client) -> None:
    with events(client, "0-0", cause=ALL_CAUSES) as found:
        first = take(found, 150)
    with events(client, first[99][0], cause=ALL_CAUSES) as found:
        again = take(found, 300)
    assert again[:50] == first[100:]
    received = [move["migration_id"] for _, move in (*first[:100], *again)]
    assert received == [move.migration_id for move in MOVES]


def segment(reference: SegmentReference | None) -> str | None:
    return reference and reference.id


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ({"from": "s1"}, lambda move: segment(move.from_segment) == "s1"),
        ({"to": "s2", "segmentation": "value"}, lambda move: segment(move.to_segment) == "s2"),
        ({"min_margin": 0.7}, lambda move: move.margin in (None, 0.7)),
        ({"min_margin": 0.71}, lambda move: move.margin is None),
        (
            {"min_margin": 0.71, "change": "moved"},
            lambda move: (move.segmentation, move.change) == ("lifecycle", "moved"),
        ),
        ({"segmentation": "lifecycle"}, lambda move: move.segmentation == "lifecycle"),
        ({"to": "active"}, lambda move: segment(move.to_segment) == "active"),
        ({"to": "lifecycle/Slipping away"}, lambda move: segment(move.to_segment) == "slipping"),
        ({"to": ["value/s1", "Active"]}, lambda move: segment(move.to_segment) in ("s1", "active")),
        ({"direction": "up"}, lambda move: move.direction == "up"),
        ({"direction": ["down", "sideways"]}, lambda _: False),
        ({}, lambda _: True),
        ({"change": "left", "cause": "definition"}, lambda move: move.to_segment is None),
        ({"change": ["left", "entered"]}, lambda move: move.change in ("left", "entered")),
        ({"holdout": "exclude", "cause": "lapse"}, lambda move: move.cause.kind == "lapse"),
        (
            {"cause": "purchase", "from": "s1", "to": "s3"},
            lambda move: (segment(move.from_segment), segment(move.to_segment)) == ("s1", "s3"),
        ),
    ],
)
def test_filters_leave_out_what_does_not_fit(client: httpx.Client, filters: dict[str, Any], fits: Any) -> None:
    asked = filters.get("cause", ["purchase", "lapse"])
    expected = [move.migration_id for move in MOVES if fits(move) and move.cause.kind in asked]
    with events(client, "0-0", **filters) as found:
        assert [move["migration_id"] for _, move in take(found, len(expected))] == expected


@pytest.mark.parametrize("last_id", ["x", "1", "-", "1-x", "9" * 50 + "-0"])
def test_id_that_is_none_is_refused(client: httpx.Client, last_id: str) -> None:
    assert client.get(STREAM, headers={"Last-Event-ID": last_id}).status_code == 400


def test_migrations_arrive_as_they_are_written_and_after_redis_was_emptied(tmp_path: Path) -> None:
    new = [migration("new", number, None, 1) for number in range(1, 4)]
    with RedisServer(tmp_path / "redis") as server:
        asyncio.run(fill_view(server.port, MOVES[:10]))
        with (
            serving(redis_store(server.port)) as address,
            httpx.Client(base_url=address, headers=bearer(ALL), timeout=30) as client,
        ):
            wait_for(lambda: client.get("/ready").is_success, 30, "the first look at the view")
            with events(client) as found:
                asyncio.run(append(server.port, new[:1]))
                assert next(found)[1]["migration_id"] == new[0].migration_id
                server.process.kill()
                answer = client.get("/v1/customers/customer-1/segments")
                assert answer.status_code == 503
                assert answer.headers["content-type"] == "application/problem+json"
                assert "retry-after" in answer.headers
                server.start()
                assert client.get("/v1/customers/customer-1/segments").status_code == 503
                asyncio.run(fill_view(server.port, new[1:2]))
                assert next(found)[1]["migration_id"] == new[1].migration_id
                asyncio.run(append(server.port, new[1:]))
                assert client.get("/v1/customers/new/segments").status_code == 200


def test_streams_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as server:
        asyncio.run(fill_view(server.port, MOVES[:10]))
        with (
            serving(redis_store(server.port), max_streams=1) as address,
            httpx.Client(base_url=address, headers=bearer(ALL), timeout=10) as client,
            events(client, "0-0") as found,
        ):
            next(found)
            assert client.get(STREAM).status_code == 503


@pytest.mark.parametrize(
    ("filters", "detail"),
    [
        ({"to": "s9"}, "to: there is no segment 's9'; there are lifecycle/active"),
        ({"from": "lifecycle/s1"}, "from: there is no segment 'lifecycle/s1'; there are lifecycle/active (Active), "),
        ({"to": "ACTIVE"}, "to: there is no segment 'ACTIVE'; did you mean lifecycle/active (Active)?"),
        ({"to": "lifecycle/active", "segmentation": "value"}, "to: 'lifecycle/active' is no segment of value"),
        ({"to": "active", "segmentation": "value"}, "to: there is no segment 'active'; "),
        ({"segmentation": "values"}, "segmentation: there is no segmentation 'values'; did you mean 'value'?"),
    ],
)
def test_filter_that_can_match_nothing_is_refused(client: httpx.Client, filters: dict[str, Any], detail: str) -> None:
    answer = client.get(STREAM, params=filters)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(detail)


def entry(number: int) -> FeedEntry:
    return FeedEntry(f"{number}-0", b"{}", MOVES[0])


def test_client_that_is_slower_than_the_feed_misses_nothing() -> None:
    written = [entry(number) for number in range(1, 3 * KEPT_ENTRIES)]

    async def history(last_id: str, count: int) -> list[FeedEntry]:
        start = id_order(last_id)[0]
        return written[start : start + count]

    async def run() -> list[str]:
        feed = MigrationFeed(history)
        feed.publish(written[:10])
        seen = []
        async for found in feed.follow("4-0", 5):
            assert found is not None
            seen.append(found.entry_id)
            if len(seen) == 3:
                feed.publish(written[10:])
            if found is written[-1]:
                return seen
        raise AssertionError

    assert asyncio.run(run()) == [entry.entry_id for entry in written[4:]]


def test_client_that_comes_before_the_first_look_misses_nothing() -> None:
    written = [entry(number) for number in range(1, 9)]

    async def history(last_id: str, count: int) -> list[FeedEntry]:
        return written[id_order(last_id)[0] :][:count]

    async def run() -> list[str]:
        feed, seen = MigrationFeed(history), []
        async for found in feed.follow("3-0", 0.01):
            if found is None:
                feed.begin("8-0")
            else:
                seen.append(found.entry_id)
            if len(seen) == 5:
                return seen
        raise AssertionError

    assert asyncio.run(run()) == ["4-0", "5-0", "6-0", "7-0", "8-0"]


def test_silence_is_told_and_closing_ends_the_stream() -> None:
    async def run() -> list[FeedEntry | None]:
        async def history(_: str, __: int) -> list[FeedEntry]:
            return []

        feed, seen = MigrationFeed(history), []
        feed.begin("0-0")
        async for found in feed.follow(None, 0.01):
            seen.append(found)
            feed.close()
        return seen

    assert asyncio.run(run()) == [None]
