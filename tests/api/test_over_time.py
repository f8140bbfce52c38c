"""What was: a customer's history, flows by day, and sizes; from both stores, as the migrations have it."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from stream_app.api.days import sizes_by_day
from stream_app.api.documents import DailyFlowsDocument, HistoryDocument, SizesDocument
from stream_app.api.store import Daily
from stream_app.contracts.readers import MigrationRecord
from tests.api.conftest import MOVES

KEPT = 20
"""Of each customer in the view, as the view does by itself."""
FIRST, LAST = "2026-01-01", "2026-01-30"


def get(client: httpx.Client, path: str, **parameters: Any) -> Any:
    answer = client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def moves_of(customer_id: str, *segmentations: str) -> list[MigrationRecord]:
    """Return the newest moves of a customer, the newest first."""
    own = [move for move in MOVES if move.customer_id == customer_id][-KEPT:]
    wanted = [move for move in own if not segmentations or move.segmentation in segmentations]
    return sorted(wanted, key=lambda move: (move.effective_at, move.segmentation), reverse=True)


def told(move: MigrationRecord) -> dict[str, Any]:
    known = json.loads(msgspec.json.encode(move))
    del known["migration_id"], known["customer_id"], known["next_move"]
    return known | {"margin": move.margin}


@pytest.mark.parametrize("limit", [1, 3, 1_000])
@pytest.mark.parametrize("segmentations", [(), ("value",), ("value", "lifecycle")])
def test_history_has_each_move_once_the_newest_first(
    client: httpx.Client, limit: int, segmentations: tuple[str, ...]
) -> None:
    listed, cursor = [], {}
    while True:
        page = get(client, "/v1/customers/customer-1/migrations", limit=limit, segmentation=segmentations, **cursor)
        HistoryDocument.model_validate(page)
        listed += page["migrations"]
        assert len(page["migrations"]) <= limit
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    expected = moves_of("customer-1", *segmentations)
    assert len(expected) > 3
    assert listed == [told(move) for move in expected]


def test_history_is_that_of_any_form_of_the_id(client: httpx.Client) -> None:
    found = get(client, "/v1/customers/%20customer-1/migrations")
    assert found["migrations"] == get(client, "/v1/customers/customer-1/migrations")["migrations"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/customers/nobody/migrations", 404, "customer-unknown"),
        ("/v1/customers/customer-1/migrations?segmentation=x", 404, "segmentation-unknown"),
        ("/v1/customers/customer-1/migrations?cursor=x", 400, "cursor-invalid"),
        ("/v1/customers/customer-1/migrations?limit=1001", 422, "parameter-invalid"),
        ("/v1/segmentations/value/sizes?from=2026-01-09&to=2026-01-08", 400, "period-invalid"),
        ("/v1/segmentations/value/sizes?from=1990-01-01&to=1990-01-08", 400, "period-invalid"),
        ("/v1/segmentations/value/sizes?from=2026-02-01&to=2999-01-01", 400, "period-invalid"),
        ("/v1/segmentations/value/flows/daily?from=2020-02-01&to=2026-01-01", 400, "period-invalid"),
        ("/v1/segmentations/x/sizes", 404, "segmentation-unknown"),
        ("/v1/segmentations/x/flows/daily", 404, "segmentation-unknown"),
    ],
)
def test_what_cannot_be_told_is_refused(client: httpx.Client, path: str, status: int, code: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("segmentation", ["value", "lifecycle"])
def test_daily_flows_add_up_to_those_of_the_period(client: httpx.Client, segmentation: str) -> None:
    period = {"from": "2026-01-05", "to": "2026-01-20"}
    daily = get(client, f"/v1/segmentations/{segmentation}/flows/daily", **period)
    DailyFlowsDocument.model_validate(daily)
    days = [each["day"] for each in daily["days"]]
    assert days == sorted(set(days))
    assert period["from"] <= days[0]
    assert days[-1] <= period["to"]

    def counts(flows: list[dict[str, Any]]) -> Counter[str]:
        return Counter({json.dumps({**flow, "migrations": 0}): flow["migrations"] for flow in flows})

    total: Counter[str] = Counter()
    for each in daily["days"]:
        total += counts(each["flows"])
    whole = get(client, f"/v1/segmentations/{segmentation}/flows", **period)["flows"]
    assert total == counts(whole)
    moved = [each["day"] for each in daily["days"] for flow in each["flows"] for _ in range(flow["migrations"])]
    assert Counter(moved) == Counter(
        move.effective_at[:10] for move in MOVES if move.segmentation == segmentation and move.effective_at[:10] in days
    )


def test_flows_can_be_asked_for_by_cause(client: httpx.Client) -> None:
    period = {"from": FIRST, "to": LAST}
    for path in ("/v1/segmentations/lifecycle/flows", "/v1/segmentations/lifecycle/flows/daily"):
        found = get(client, path, cause="definition", **period)
        flows = [flow for each in found.get("days", [found]) for flow in each["flows"]]
        assert {flow["cause"] for flow in flows} == {"definition"}
        assert sum(flow["migrations"] for flow in flows) == sum(
            move.segmentation == "lifecycle" and move.cause.kind == "definition" for move in MOVES
        )


def days_between(first: str, last: str) -> list[str]:
    begin = date.fromisoformat(first)
    return [(begin + timedelta(number)).isoformat() for number in range((date.fromisoformat(last) - begin).days + 1)]


def sizes_at(day: str, segmentation: str) -> Counter[str]:
    newest = {
        move.customer_id: move.to_segment
        for move in MOVES
        if move.segmentation == segmentation and move.effective_at[:10] <= day
    }
    return Counter(segment.id for segment in newest.values() if segment is not None)


@pytest.mark.parametrize("segmentation", ["value", "lifecycle"])
def test_sizes_are_those_at_the_end_of_each_day(client: httpx.Client, segmentation: str) -> None:
    found = get(client, f"/v1/segmentations/{segmentation}/sizes", **{"from": "2025-12-25", "to": LAST})
    SizesDocument.model_validate(found)
    assert found["days"] == days_between("2025-12-25", LAST)
    known = {each["segment"]["id"]: each["customers"] for each in found["segments"]}
    for number, day in enumerate(found["days"]):
        sizes = Counter({segment: customers[number] for segment, customers in known.items()})
        assert +sizes == sizes_at(day, segmentation), day
    assert found["known_from"] == min(move.effective_at[:10] for move in MOVES if move.segmentation == segmentation)


def at_the_end_of(days: list[str], flows: dict[str, dict[str, int]], known_from: str, **sizes: int) -> Any:
    return sizes_by_day(Daily("0-0", sizes, [flows.get(day, {}) for day in days], (), (), known_from), days, days)


def test_sizes_before_the_first_day_that_is_known_are_not_made_up() -> None:
    flows = {"2026-01-03": {"a>b>purchase>moved": 2}, "2026-01-05": {">b>purchase>entered": 1, "b>>lapse": 4}}
    days = days_between("2026-01-01", "2026-01-06")
    found = at_the_end_of(days, flows, "2026-01-03", a=5, b=7)
    assert found == {"a": [None, None, 5, 5, 5, 5], "b": [None, None, 10, 10, 7, 7]}
    assert at_the_end_of(days[:2], {}, "", a=1) == {"a": [None, None]}
    assert at_the_end_of(days[:2], {}, "", a=0) == {"a": [0, 0]}


def test_sizes_go_down_to_nobody_where_everything_is_known() -> None:
    flows = {"2026-01-03": {">b>purchase>entered": 2}, "2026-01-04": {"b>gone>purchase>moved": 1}}
    days = days_between("2026-01-02", "2026-01-04")
    assert at_the_end_of(days, flows, "2026-01-03", b=1, gone=1)["b"] == [0, 2, 1]
