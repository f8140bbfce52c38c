"""Sixteen segmentations, audiences among them: answers of both stores, and what lies ahead."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from stream_app.api.documents import CustomerDocument, LeaversDocument, SegmentListDocument, UpcomingDocument
from stream_app.contracts.fields import parse_instant
from stream_app.contracts.readers import MigrationRecord
from stream_app.core.clock import DAY_MS
from tests.api.serving import ALL, FIGURES_AS_OF, bearer, fill_view, memory_store, redis_store, serving, write_folder
from tests.support.many_segmentations import AUDIENCES, NAMES, documents, drawn_moves
from tests.support.processes import wait_for
from tests.support.servers import RedisServer

MOVES = list(drawn_moves(60, 2_000))
NEWEST = {(move.segmentation, move.customer_id): move for move in MOVES}
HELD = {place: move for place, move in NEWEST.items() if move.to_segment is not None}
NOW_MS = parse_instant(FIGURES_AS_OF[-1])


@pytest.fixture(scope="module", params=["memory", "redis"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = Path(tmp_path_factory.mktemp("many"))
    options: dict[str, Any] = {"headers": bearer(ALL), "timeout": 10}
    if request.param == "memory":
        write_folder(folder, MOVES, documents())
        with serving(memory_store(folder)) as address, httpx.Client(base_url=address, **options) as client:
            yield client
        return
    with RedisServer(folder) as server:
        asyncio.run(fill_view(server.port, MOVES, documents()))
        with serving(redis_store(server.port)) as address, httpx.Client(base_url=address, **options) as client:
            wait_for(lambda: client.get("/ready").is_success, 30, "the first look at the view")
            yield client


def get(client: httpx.Client, path: str, **parameters: Any) -> Any:
    answer = client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def plain(value: object) -> Any:
    return json.loads(msgspec.json.encode(value))


def leaving(days: float) -> dict[tuple[str, str], list[tuple[int, str, Any]]]:
    """Return by segmentation and segment who leaves it within some days, the first ones first."""
    found: dict[tuple[str, str], list[tuple[int, str, Any]]] = {}
    for (name, customer_id), move in HELD.items():
        if move.next_move is None:
            continue
        at_ms = parse_instant(move.next_move.at)
        if NOW_MS < at_ms <= NOW_MS + days * DAY_MS:
            entry = at_ms, customer_id, plain(move.next_move.to_segment)
            found.setdefault((name, segment_of(move)), []).append(entry)
    return {place: sorted(entries, key=lambda each: each[:2]) for place, entries in found.items()}


def segment_of(move: MigrationRecord) -> str:
    assert move.to_segment is not None
    return move.to_segment.id


def test_one_look_up_answers_all_segmentations_of_a_customer(client: httpx.Client) -> None:
    most = Counter(customer_id for _, customer_id in HELD).most_common(1)[0][0]
    answer = get(client, f"/v1/customers/{most}/segments")
    CustomerDocument.model_validate(answer)
    told = {each["segmentation"]: each for each in answer["segments"]}
    assert set(told) == {name for name, customer_id in HELD if customer_id == most}
    assert len(told) > 8
    for name, each in told.items():
        move = NEWEST[name, most]
        assert (each["segment"], each["next_move"]) == (plain(move.to_segment), plain(move.next_move))
        assert each["explanation"] == plain(move.explanation)


def test_who_has_left_an_audience_is_not_among_its_members(client: httpx.Client) -> None:
    for name in AUDIENCES:
        expected = {customer_id for held, customer_id in HELD if held == name}
        page = get(client, f"/v1/segmentations/{name}/segments/{name}/members", limit=1_000)
        assert {member["customer_id"] for member in page["members"]} == expected
        assert page["customers"] == len(expected)


def test_each_segmentation_is_listed_and_told(client: httpx.Client) -> None:
    listed = get(client, "/v1/segmentations")["segmentations"]
    assert [each["segmentation"] for each in listed] == sorted(NAMES)
    assert {each["segmentation"] for each in listed if each["kind"] == "audience"} == set(AUDIENCES)
    customers = Counter(name for name, _ in HELD)
    for each in listed:
        assert each["customers"] == customers[each["segmentation"]]
        SegmentListDocument.model_validate(get(client, f"/v1/segmentations/{each['segmentation']}/segments"))


@pytest.mark.parametrize("days", [1, 7, 30])
def test_customers_ahead_of_a_move_are_counted_for_all_segmentations(client: httpx.Client, days: int) -> None:
    answer = get(client, "/v1/upcoming", days=days)
    UpcomingDocument.model_validate(answer)
    expected: Counter[tuple[str, str, str | None]] = Counter()
    for (name, segment), entries in leaving(days).items():
        expected.update((name, segment, target and target["id"]) for _, _, target in entries)
    found = {
        (each["segmentation"], each["segment"]["id"], each["to_segment"] and each["to_segment"]["id"]): each[
            "customers"
        ]
        for each in answer["moves"]
    }
    assert found == expected
    assert any(target is None for _, _, target in found)
    counts = [each["customers"] for each in answer["moves"]]
    assert counts == sorted(counts, reverse=True)
    assert (parse_instant(answer["after"]), parse_instant(answer["until"])) == (NOW_MS, NOW_MS + days * DAY_MS)


def test_revenue_ahead_is_that_of_the_segments_mean_customer(client: httpx.Client) -> None:
    move = get(client, "/v1/upcoming", days=30, segmentation="lifecycle")["moves"][0]
    segments = get(client, "/v1/segmentations/lifecycle/segments")["segments"]
    figures = next(each["figures"] for each in segments if each["id"] == move["segment"]["id"])
    assert move["revenue"] == round(move["customers"] * figures["revenue_per_customer"], 2)
    assert move["currency"] == "EUR"


def test_moves_ahead_can_be_asked_for_by_segmentation(client: httpx.Client) -> None:
    names = ["vip_slipping", "tier"]
    moves = get(client, "/v1/upcoming", days=30, segmentation=names)["moves"]
    assert {each["segmentation"] for each in moves} == set(names)
    refused = client.get("/v1/upcoming", params={"segmentation": "vip_sliping"})
    assert refused.status_code == 404
    assert "did you mean 'vip_slipping'?" in refused.json()["detail"]


@pytest.mark.parametrize("limit", [1, 2, 1_000])
@pytest.mark.parametrize("place", [("vip_slipping", "vip_slipping"), ("lifecycle", "lifecycle-2"), ("value", "s2")])
def test_pages_list_everybody_who_leaves_once_the_first_ones_first(
    client: httpx.Client, place: tuple[str, str], limit: int
) -> None:
    expected = leaving(30)[place]
    assert len(expected) > 2
    name, segment = place
    listed, cursor = [], {}
    while True:
        page = get(client, f"/v1/segmentations/{name}/segments/{segment}/upcoming", days=30, limit=limit, **cursor)
        LeaversDocument.model_validate(page)
        assert page["customers"] == len(expected)
        listed += [(parse_instant(each["at"]), each["customer_id"], each["to_segment"]) for each in page["leavers"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert listed == expected


@pytest.mark.parametrize("days", [0, -1, 367, "nan", "x"])
def test_periods_that_are_none_are_refused(client: httpx.Client, days: Any) -> None:
    assert client.get("/v1/upcoming", params={"days": days}).status_code == 422
