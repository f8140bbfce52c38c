"""What every answer has, whatever was asked: an id, limits, a line in the log, and a head."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stream_app.api.access import SCOPES, Client, hash_token
from stream_app.api.memory_store import MemoryStore
from stream_app.api.store import SegmentList
from tests.api.serving import ALL, bearer, memory_store, serving

SEGMENTS = "/v1/segmentations/value/segments"


@pytest.fixture(scope="module")
def alone(folder: Path) -> Iterator[httpx.Client]:
    with serving(memory_store(folder)) as address, httpx.Client(base_url=address, headers=bearer(ALL)) as client:
        yield client


@pytest.mark.parametrize("given", ["a", "9f-1.2_3:4+5/6=", "x" * 128])
def test_well_formed_request_id_is_taken_over(alone: httpx.Client, given: str) -> None:
    for path, status in ((SEGMENTS, 200), ("/live", 200), ("/nowhere", 404)):
        answer = alone.get(path, headers={"X-Request-Id": given})
        assert (answer.status_code, answer.headers["x-request-id"]) == (status, given)


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, 'a"b', "a\tb", "é"])
def test_any_other_request_id_is_replaced(alone: httpx.Client, given: str) -> None:
    made = {
        alone.get(SEGMENTS, headers={"X-Request-Id": given.encode("latin-1")}).headers["x-request-id"] for _ in range(2)
    }
    assert len(made) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in made)


def test_problem_names_its_request(alone: httpx.Client) -> None:
    for headers, path in ((bearer("guess"), SEGMENTS), ({}, "/nowhere"), ({}, "/v1/segmentations/x/segments")):
        answer = alone.get(path, headers=headers | {"X-Request-Id": "mine"})
        assert answer.json()["request_id"] == "mine"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/customers/nobody/segments", 404, "customer-unknown"),
        ("/v1/customers", 404, "route-unknown"),
        ("/v1/segmentations/x/segments", 404, "segmentation-unknown"),
        ("/v1/segmentations/value/segments/x/members", 404, "segment-unknown"),
        ("/v1/segmentations/value/models/9", 404, "version-unknown"),
        ("/v1/customers/lookup", 405, "method-not-allowed"),
    ],
)
def test_codes_tell_what_is_unknown(alone: httpx.Client, path: str, status: int, code: str) -> None:
    found = alone.get(path)
    told = found.json()
    assert (found.status_code, told["status"], told["code"]) == (status, status, code)
    assert told["type"] == f"/problems/{code}"
    assert found.headers["cache-control"] == "no-store"


def test_head_is_get_without_a_body(alone: httpx.Client) -> None:
    for path in (SEGMENTS, "/v1/customers/customer-1/segments", "/live", "/v1/customers/nobody/segments"):
        got, headed = alone.get(path), alone.head(path)
        assert headed.content == b""
        assert headed.status_code == got.status_code
        assert headed.headers["content-type"] == got.headers["content-type"]
    assert alone.head("/v1/customers/lookup").status_code == 405
    assert alone.get(SEGMENTS).status_code == 200  # the connection is still in order


def test_refused_method_is_told_those_that_are_not(alone: httpx.Client) -> None:
    answer = alone.delete(SEGMENTS)
    assert answer.headers["allow"] == "GET, HEAD"
    assert answer.json()["detail"] == "the route does not take DELETE; it takes GET, HEAD"


def test_answers_say_how_many_calls_are_left(folder: Path) -> None:
    clients = [Client("busy", hash_token("busy"), frozenset(SCOPES))]
    with serving(memory_store(folder), clients, requests_per_second=0.01, burst=2) as address:
        answers = [httpx.get(address + SEGMENTS, headers=bearer("busy")) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"token";q=2;w=200'}
        left = [answer.headers["ratelimit"] for answer in answers]
        assert left[0] == '"token";r=1;t=100'
        assert [each.partition(";t=")[0] for each in left[1:]] == ['"token";r=0'] * 2
        assert answers[2].json()["code"] == "rate-limited"
        assert "ratelimit" not in httpx.get(f"{address}/live").headers


class BrokenStore(MemoryStore):
    async def segments(self, segmentation: str) -> SegmentList:
        raise ZeroDivisionError(segmentation)


def test_failure_is_answered_and_logged_under_its_id(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(lambda: BrokenStore(folder)) as address:
        answer = httpx.get(address + SEGMENTS, headers=bearer(ALL) | {"X-Request-Id": "of-mine"})
    assert answer.status_code == 500
    told = answer.json()
    assert (told["code"], told["request_id"], answer.headers["x-request-id"]) == (
        "internal-error",
        "of-mine",
        "of-mine",
    )
    assert "ZeroDivisionError" not in answer.text
    assert "request of-mine failed" in caplog.text


def test_access_log_names_routes_and_no_customers(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "stream_app.api.access_log")
    with serving(memory_store(folder), logs_requests=True) as address:
        httpx.head(f"{address}/v1/customers/customer-1/segments", headers=bearer(ALL) | {"X-Request-Id": "of-mine"})
        httpx.get(f"{address}/nowhere/customer-1")
    lines = [record.getMessage() for record in caplog.records if record.name == "stream_app.api.access_log"]
    assert re.fullmatch(
        r"HEAD /v1/customers/\{customer_id:path\}/segments 200 [0-9.]+ ms client=all request=of-mine", lines[0]
    )
    assert re.fullmatch(r"GET none 401 [0-9.]+ ms client=- request=[0-9a-f]{32}", lines[1])
    assert "customer-1" not in "".join(lines)
