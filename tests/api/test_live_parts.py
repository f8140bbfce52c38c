"""What the console counts from customers who are drawn, against what brute force counts of all; on a real Redis."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_app.adapters.metrics import API, Metrics
from stream_app.adapters.redis_client import RedisConnection
from stream_app.adapters.view_schema import Buyers
from stream_app.api.live_parts import LiveParts, Parts, grid_of, overlaps_of, stays_by_name
from stream_app.api.redis_store import RedisStore
from stream_app.api.sampling import Move, ViewSampler
from stream_app.contracts.fields import parse_instant
from stream_app.core.clock import DAY_MS
from tests.api.serving import KEYS, fill_view
from tests.support.output_records import FIRST_DAY_MS, drawn_migrations, newest_memberships
from tests.support.servers import RedisServer

MOVES = list(drawn_migrations(400, 2_000))
NOW_MS = FIRST_DAY_MS + 40 * DAY_MS
NAMES = ["value", "lifecycle"]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with RedisServer(Path(tmp_path_factory.mktemp("redis"))) as server:
        asyncio.run(fill_view(server.port, MOVES))
        yield server.port


@pytest.fixture(scope="module")
def places() -> dict[str, dict[str, dict[str, Any]]]:
    """Memberships, by segmentation and customer."""
    found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in NAMES}
    for membership in newest_memberships(MOVES).values():
        found[membership["segmentation"]][membership["customer_id"]] = membership
    return found


def ask(port: int, asking: Callable[[RedisStore, ViewSampler], Awaitable[Any]]) -> Any:
    async def prepared() -> Any:
        connection = RedisConnection(f"redis://127.0.0.1:{port}/0", timeout_seconds=30)
        store = RedisStore(connection, KEYS, Metrics(API), lambda: NOW_MS)
        sampler = ViewSampler(connection, KEYS)
        await store.start()
        try:
            async with asyncio.timeout(60):
                while store.unready_reason():
                    await asyncio.sleep(0.02)
            return await asking(store, sampler)
        finally:
            await sampler.close()
            await store.close()

    return asyncio.run(prepared())


async def count(store: RedisStore, sampler: ViewSampler) -> Parts:
    counting = LiveParts(store, sampler)
    task = asyncio.create_task(counting.run())
    async with asyncio.timeout(60):
        while not counting.parts.drawn:
            await asyncio.sleep(0.02)
    task.cancel()
    return counting.parts


@pytest.fixture(scope="module")
def parts(port: int) -> Parts:
    found: Parts = ask(port, count)
    return found


def test_where_everybody_is_drawn_overlaps_are_exact(parts: Parts, places: dict[str, Any]) -> None:
    value, lifecycle = places["value"], places["lifecycle"]
    both = Counter(
        (value[name]["segment"]["id"], lifecycle[name]["segment"]["id"]) for name in value if name in lifecycle
    )
    (pair,) = parts.overlaps
    assert (pair["of"], pair["with"], parts.drawn, parts.customers) == ("value", "lifecycle", len(value), len(value))
    told = zip(pair["segment"], pair["other"], pair["customers"], strict=True)
    assert {(segment, other): customers for segment, other, customers in told} == both


def test_quartiles_of_stays_so_far_are_those_of_members(parts: Parts, places: dict[str, Any]) -> None:
    for name in NAMES:
        for segment, told in parts.since[name].items():
            days = sorted(
                (NOW_MS - parse_instant(each["since"])) / DAY_MS
                for each in places[name].values()
                if each["segment"]["id"] == segment
            )
            for share, quartile in zip((0.25, 0.5, 0.75), told, strict=True):
                below = sum(day < quartile - 0.06 for day in days) / len(days)
                up_to = sum(day <= quartile + 0.06 for day in days) / len(days)
                assert below - 1 / len(days) <= share <= up_to + 1 / len(days), (name, segment)


def test_stays_are_those_of_histories(parts: Parts) -> None:
    moves = [move for move in MOVES if move.segmentation == "value"]
    by_customer: dict[str, list[Any]] = {}
    for move in moves:
        by_customer.setdefault(move.customer_id, []).append(move)
    stays = Counter(move.to_segment.id for move in moves if move.to_segment)
    left = Counter(
        before.to_segment.id
        for own in by_customer.values()
        for before, after in pairwise(own)
        if before.to_segment and after.cause.kind not in ("model", "definition")
    )
    told = parts.stays["value"]["segments"]
    assert max(map(len, by_customer.values())) < 20, "else the view has not kept all of them"
    assert {segment: (each["stays"], each["left"]) for segment, each in told.items()} == {
        segment: (stays[segment], left[segment]) for segment in stays
    }


def test_a_part_of_customers_is_drawn_from_each_segment_in_proportion(port: int, places: dict[str, Any]) -> None:
    sizes = Counter(each["segment"]["id"] for each in places["value"].values())
    wanted = 60

    async def draw(_: RedisStore, sampler: ViewSampler) -> list[str]:
        return await sampler.draw("value", sizes, wanted)

    drawn = ask(port, draw)
    assert len(drawn) == len(set(drawn))
    assert abs(len(drawn) - wanted) <= 1
    found = Counter(places["value"][name]["segment"]["id"] for name in drawn)
    for segment, size in sizes.items():
        assert abs(found[segment] - wanted * size / sizes.total()) <= 1
    assert ask(port, draw) == drawn, "the same as long as nothing changes"


def test_what_is_counted_of_a_part_stands_for_all() -> None:
    (pair,) = overlaps_of(["a", "b"], [["x", "1"], ["x", "1"], ["x", None], ["y", "2"]], 4_000)
    told = zip(pair["segment"], pair["other"], pair["customers"], strict=True)
    assert list(told) == [("x", "1", 2_000), ("y", "2", 1_000)]
    assert overlaps_of(["a", "b"], [], 0) == []


def test_moves_by_new_versions_end_no_stay() -> None:
    day = DAY_MS
    history = [Move("a", 0, "x", "purchase"), Move("a", 10 * day, "y", "model"), Move("a", 12 * day, "x", "lapse")]
    told = stays_by_name(["a", "b"], [history], 20 * day // 1_000)
    assert {segment: (each["stays"], each["left"]) for segment, each in told["a"]["segments"].items()} == {
        "x": (2, 0),
        "y": (1, 1),
    }
    assert told["b"] == {"customers": 1, "segments": {}}


def drawn_buyers(generator: random.Random, size: int, population: int, as_of_ms: int) -> Buyers:
    orders = [generator.choice((0, 1, 1, 2, 3, 5, 9)) for _ in range(size)]
    ids = [f"c{as_of_ms}-{number}" for number in range(size)]
    revenue = [each * 1_000 for each in orders]
    return Buyers(
        as_of_ms, population, ids, orders, revenue, [as_of_ms - generator.randrange(90) * DAY_MS for _ in ids]
    )


def test_grid_counts_each_buyer_once_and_is_multiplied_for_those_who_were_not_drawn() -> None:
    generator = random.Random(5)
    drawn = [drawn_buyers(generator, 300, 900, NOW_MS), drawn_buyers(generator, 100, 300, NOW_MS - 1)]
    names, total = ["a"], 400
    places = [[generator.choice(("x", "y", None))] for _ in range(total)]
    grid = grid_of(drawn, names, places)
    orders = np.array([value for each in drawn for value in each.orders])
    assert (grid["drawn"], grid["population"], grid["as_of_ms"]) == (400, 1_200, NOW_MS)
    assert grid["without_order"] == 3 * int((orders == 0).sum())
    for name, expected in (
        ("customers", (orders > 0).sum()),
        ("orders", orders.sum()),
        ("revenue_minor", orders.sum() * 1_000),
    ):
        assert sum(cell[name] for cell in grid["cells"]) == 3 * expected
    buyers = [place[0] for place, each in zip(places, orders.tolist(), strict=True) if each]
    told = grid["segments"]["a"]
    found: Counter[str] = Counter()
    for segment, customers in zip(told["segment"], told["customers"], strict=True):
        found[segment] += customers
    assert found == {segment: 3 * buyers.count(segment) for segment in ("x", "y")}


def test_grid_of_nobody_who_has_ordered_has_no_cells() -> None:
    grid = grid_of([Buyers(NOW_MS, 10, ["a"], [0], [0], [0])], ["a"], [["x"]])
    assert (grid["without_order"], grid["cells"], grid["segments"]) == (10, [], {})
