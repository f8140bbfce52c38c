"""Both stores give the same answers, and these are what the migrations say."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from stream_app.api.documents import (
    BatchDocument,
    CustomerDocument,
    FlowsDocument,
    MembersDocument,
    ModelsDocument,
    SegmentListDocument,
)
from stream_app.contracts.outputs import SegmentModel
from tests.api.conftest import MOVES

NEWEST = {move.customer_id: move for move in MOVES}
VALUE = "/v1/segmentations/value"


def get(client: httpx.Client, path: str, **parameters: Any) -> Any:
    answer = client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_customer_is_answered_with_segment_and_reason(client: httpx.Client) -> None:
    move = NEWEST["customer-3"]
    (found,) = get(client, "/v1/customers/customer-3/segments")["segments"]
    assert found["segment"] == {"id": move.to_segment.id, "name": move.to_segment.name}
    assert found["from_segment"]["id"] == move.from_segment.id
    assert (found["since"], found["as_of"], found["sequence"]) == (move.effective_at, move.decided_at, move.sequence)
    assert found["margin"] == 0.7
    assert found["explanation"]["sentence"] == move.explanation.sentence
    assert found["cause"] == {"kind": "purchase", "event_id": move.cause.event_id, "position": None}
    assert found["holdout"] == {"bucket": 42, "held_out": False}
    CustomerDocument.model_validate(get(client, "/v1/customers/customer-3/segments"))


@pytest.mark.parametrize("customer_id", ["nobody", "a/b", "%", "ä", "..%2F", "a?b", "?value"])
def test_unknown_customer_is_not_found(client: httpx.Client, customer_id: str) -> None:
    answer = client.get(f"/v1/customers/{quote(customer_id, safe='')}/segments")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_batch_answers_known_and_unknown_customers_in_the_order_asked(client: httpx.Client) -> None:
    asked = ["customer-2", "nobody", "customer-1", "customer-2"]
    answer = client.post("/v1/customers/lookup", json={"customer_ids": asked})
    told = answer.json()
    assert [customer["customer_id"] for customer in told["customers"]] == ["customer-2", "customer-1"]
    assert told["unknown"] == ["nobody"]
    assert told["customers"][1]["segments"] == get(client, "/v1/customers/customer-1/segments")["segments"]
    BatchDocument.model_validate(told)


def test_segments_count_their_customers(client: httpx.Client) -> None:
    told = get(client, f"{VALUE}/segments")
    sizes = Counter(move.to_segment.id for move in NEWEST.values())
    assert {segment["id"]: segment["customers"] for segment in told["segments"]} == sizes
    assert told["model_version"] == 1
    SegmentListDocument.model_validate(told)


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_pages_list_every_member_once_the_longest_there_first(client: httpx.Client, limit: int) -> None:
    expected = sorted((move.effective_at, name) for name, move in NEWEST.items() if move.to_segment.id == "s2")
    listed, cursor = [], {}
    while True:
        page = get(client, f"{VALUE}/segments/s2/members", limit=limit, **cursor)
        MembersDocument.model_validate(page)
        assert page["customers"] == len(expected)
        listed += [(member["since"], member["customer_id"]) for member in page["members"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert listed == expected


def test_flows_add_up_to_the_migrations_of_a_period(client: httpx.Client) -> None:
    first, last = "2026-01-05", "2026-01-20"
    told = get(client, f"{VALUE}/flows", **{"from": first, "to": last})
    expected = Counter(
        (move.from_segment and move.from_segment.id, move.to_segment.id, move.cause.kind)
        for move in MOVES
        if first <= move.effective_at[:10] <= last
    )
    found = {
        (flow["from_segment"] and flow["from_segment"]["id"], flow["to_segment"]["id"], flow["cause"]): flow[
            "migrations"
        ]
        for flow in told["flows"]
    }
    assert found == expected
    FlowsDocument.model_validate(told)


def test_models_are_listed_and_told_in_full(client: httpx.Client) -> None:
    told = get(client, f"{VALUE}/models")
    assert [model["version"] for model in told["models"]] == [1, 0]
    ModelsDocument.model_validate(told)
    SegmentModel.model_validate(get(client, f"{VALUE}/models/1"))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/segmentations/other/segments", 404),
        ("/v1/segmentations/other/flows", 404),
        ("/v1/segmentations/other/models", 404),
        (f"{VALUE}/models/9", 404),
        (f"{VALUE}/segments/s99/members", 404),
        (f"{VALUE}/segments/s1/members?cursor=x", 400),
        (f"{VALUE}/segments/s1/members?cursor=WzEsMl0=", 400),
        (f"{VALUE}/segments/s1/members?limit=0", 422),
        (f"{VALUE}/segments/1/members", 422),
        (f"{VALUE}/flows?from=2026-02-01&to=2026-01-01", 400),
        (f"{VALUE}/flows?from=yesterday", 422),
        ("/v1/customers/lookup", 405),
        ("/nowhere", 404),
    ],
)
def test_what_is_wrong_is_told_as_a_problem(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert set(told) == {"type", "title", "status", "detail"}


def test_batch_that_is_too_large_or_none_is_refused(client: httpx.Client) -> None:
    for ids in ([], ["x"] * 501, [""], [1], "x"):
        assert client.post("/v1/customers/lookup", json={"customer_ids": ids}).status_code == 422
    assert client.post("/v1/customers/lookup", content=b"{").status_code == 422


def test_probes_need_no_token(address: str) -> None:
    assert httpx.get(f"{address}/live").json() == {"live": True}
    assert httpx.get(f"{address}/ready").json() == {"ready": True, "reason": ""}
