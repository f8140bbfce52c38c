"""Nothing is answered to those who may not know it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stream_app.api.access import SCOPES, Client, create_token, hash_token
from stream_app.api.quotas import TokenBucket
from tests.api.serving import ALL, bearer, memory_store, serving

ROUTES = {
    "read:customers": [
        ("GET", "/v1/customers/customer-1/segments"),
        ("GET", "/v1/customers/customer-1/migrations"),
        ("POST", "/v1/customers/lookup"),
        ("GET", "/v1/segmentations/value/segments/s1/members"),
        ("GET", "/v1/segmentations/value/segments/s1/upcoming"),
    ],
    "read:segments": [
        ("GET", "/v1/segmentations"),
        ("GET", "/v1/upcoming"),
        ("GET", "/v1/segmentations/value/segments"),
        ("GET", "/v1/segmentations/value/flows"),
        ("GET", "/v1/segmentations/value/flows/daily"),
        ("GET", "/v1/segmentations/value/sizes"),
        ("GET", "/v1/segmentations/value/models"),
        ("GET", "/v1/segmentations/value/models/1"),
    ],
    "edit:actions": [
        ("PUT", "/v1/segmentations/value/segments/s1/action"),
        ("DELETE", "/v1/segmentations/value/segments/s1/action"),
    ],
    "stream:migrations": [("GET", "/v1/migrations/stream"), ("POST", "/v1/stream-tokens")],
}
ALL_ROUTES = [(scope, method, path) for scope, routes in ROUTES.items() for method, path in routes]


@pytest.fixture(scope="module")
def guarded(folder: Path) -> Iterator[str]:
    with serving(memory_store(folder)) as address:
        yield address


def status(address: str, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    """Return the answer's head; a stream is not waited for."""
    body = {"customer_ids": ["customer-1"]} if path == "/v1/customers/lookup" else None
    body = {"action": "Call them."} if method == "PUT" else body
    with httpx.stream(method, address + path, headers=headers, json=body, timeout=10) as answer:
        if answer.headers["content-type"] != "text/event-stream; charset=utf-8":
            answer.read()
        return answer


def test_list_of_routes_here_is_complete(guarded: str) -> None:
    paths = httpx.get(f"{guarded}/openapi.json", headers=bearer(ALL)).json()["paths"]
    assert sum(len(methods) for methods in paths.values()) == len(ALL_ROUTES)
    for path, methods in paths.items():
        for described in methods.values():
            assert len(described["security"][0]["token"]) == 1, path


@pytest.mark.parametrize(("scope", "method", "path"), ALL_ROUTES)
def test_route_wants_a_token_with_its_scope(guarded: str, scope: str, method: str, path: str) -> None:
    for headers in (
        {},
        bearer("guess"),
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {ALL}"},
        {"Authorization": ALL},
    ):
        refused = status(guarded, method, path, headers)
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["www-authenticate"].startswith("Bearer")
    for other in SCOPES:  # the clients' tokens are their scopes
        answer = status(guarded, method, path, bearer(other))
        allowed = 201 if path == "/v1/stream-tokens" else 409 if scope == "edit:actions" else 200  # a folder is fixed
        assert answer.status_code == (allowed if other == scope else 403)
        if other != scope:
            assert answer.headers["content-type"] == "application/problem+json"
            assert scope in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/nowhere", "/v1", "/docsx", "/live/", "//live", "/problems"])
def test_nothing_else_is_answered_without_a_token(guarded: str, path: str) -> None:
    assert httpx.get(guarded + path).status_code == 401


@pytest.mark.parametrize(
    ("headers", "detail", "challenge"),
    [
        ({}, "the header Authorization is missing, expected Authorization: Bearer <token>", ""),
        (bearer("guess"), "this token is not known", ', error="invalid_token"'),
        (
            {"Authorization": ALL},
            "the header Authorization has another form, expected Authorization: Bearer <token>",
            "",
        ),
    ],
)
def test_refusal_says_whether_the_header_or_the_token_is_at_fault(
    guarded: str, headers: dict[str, str], detail: str, challenge: str
) -> None:
    refused = httpx.get(f"{guarded}/v1/segmentations/value/segments", headers=headers)
    assert refused.json()["detail"] == detail
    assert refused.headers["www-authenticate"] == f'Bearer realm="segmenter"{challenge}'


def test_token_that_is_used_too_often_has_to_wait_and_others_do_not(folder: Path) -> None:
    clients = [Client(name, hash_token(name), frozenset(SCOPES)) for name in ("busy", "quiet")]
    with serving(memory_store(folder), clients, requests_per_second=0.1, burst=3) as address:
        url = f"{address}/v1/segmentations/value/segments"
        statuses = [httpx.get(url, headers=bearer("busy")).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        refused = httpx.get(url, headers=bearer("busy"))
        assert refused.headers["content-type"] == "application/problem+json"
        assert 1 <= int(refused.headers["retry-after"]) <= 10
        assert httpx.get(url, headers=bearer("quiet")).status_code == 200
        assert httpx.get(f"{address}/live").status_code == 200


def test_everybody_is_let_in_where_there_are_no_clients(folder: Path) -> None:
    with serving(memory_store(folder), []) as address:
        assert httpx.get(f"{address}/v1/customers/customer-1/segments").status_code == 200


def test_bucket_refills_up_to_its_burst() -> None:
    now = [0.0]
    bucket = TokenBucket(2.0, 3, lambda: now[0])
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 0.5]
    now[0] = 0.5
    assert [bucket.take(), bucket.take()] == [0, 0.5]
    now[0] = 60
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 0.5]


def test_tokens_differ_and_their_hash_does_not_tell_them() -> None:
    first, second = create_token(), create_token()
    assert first != second
    assert len(hash_token(first)) == 64
    assert first not in hash_token(first)
