"""What browsers and caches ask for: tags, compression, pages of other origins, and a stream without a header."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from stream_app.api.access import Client, hash_token
from stream_app.api.pages import SECURITY_HEADERS
from stream_app.api.problems import Problem
from stream_app.api.stream_tokens import LIFETIME_MS, STREAM_PATH, StreamTokens
from tests.api.serving import ALL, bearer, memory_store, serving
from tests.web.driving import Driver, Visit

SEGMENTS, MODELS = "/v1/segmentations/value/segments", "/v1/segmentations/value/models/1"
SHOP = "https://shop.example"


@pytest.fixture(scope="module")
def alone(folder: Path) -> Iterator[httpx.Client]:
    with (
        serving(memory_store(folder), cors_origins=[SHOP]) as address,
        httpx.Client(base_url=address, headers=bearer(ALL)) as client,
    ):
        yield client


@pytest.mark.parametrize("path", [SEGMENTS, "/v1/customers/customer-1/segments", "/openapi.json", "/docs"])
def test_who_has_the_newest_answer_gets_no_other(client: httpx.Client, path: str) -> None:
    first = client.get(path)
    tag = first.headers["etag"]
    for given in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = client.get(path, headers={"If-None-Match": given})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert "no-cache" in again.headers["cache-control"]
    changed = client.get(path, headers={"If-None-Match": '"other"'})
    assert (changed.status_code, changed.content) == (200, first.content)


def test_answers_are_kept_by_their_caller_alone(client: httpx.Client) -> None:
    assert client.get(SEGMENTS).headers["cache-control"] == "private, no-cache"
    assert client.get("/v1/customers/nobody/segments").headers["cache-control"] == "no-store"
    tags = {client.get(f"/v1/customers/customer-{number}/segments").headers["etag"] for number in range(1, 4)}
    assert len(tags) == 3


def test_great_answers_are_compressed_for_those_who_accept_it(client: httpx.Client) -> None:
    with client.stream("GET", MODELS, headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        packed = b"".join(answer.iter_raw())
    plain = client.get(MODELS, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(packed) == plain.content
    assert len(packed) < len(plain.content) / 2
    assert answer.headers["etag"] == plain.headers["etag"]
    assert "Accept-Encoding" in plain.headers["vary"]


def test_page_of_a_configured_origin_may_call(alone: httpx.Client) -> None:
    asked = {
        "Origin": SHOP,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization, x-request-id",
    }
    allowed = httpx.options(alone.base_url.join(SEGMENTS), headers=asked)  # a browser sends no token with it
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, SHOP)
    assert "access-control-allow-credentials" not in allowed.headers
    for path, status in ((SEGMENTS, 200), ("/v1/segmentations/x/segments", 404)):
        answer = alone.get(path, headers={"Origin": SHOP})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, SHOP)
        assert "RateLimit" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize("origin", ["https://other.example", f"{SHOP}.evil.example", "null"])
def test_page_of_another_origin_may_not(alone: httpx.Client, origin: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    refused = httpx.options(alone.base_url.join(SEGMENTS), headers=asked)
    assert "access-control-allow-origin" not in refused.headers
    assert "access-control-allow-origin" not in alone.get(SEGMENTS, headers={"Origin": origin}).headers


def test_no_page_may_where_no_origin_is_configured(client: httpx.Client) -> None:
    assert "access-control-allow-origin" not in client.get(SEGMENTS, headers={"Origin": SHOP}).headers


def first_event(address: str, **parameters: str) -> dict[str, Any]:
    with httpx.stream("GET", address + STREAM_PATH, params=parameters, timeout=10) as answer:
        assert answer.status_code == 200
        line = next(line for line in answer.iter_lines() if line.startswith("data: "))
    return dict(json.loads(line.removeprefix("data: ")))


def test_stream_token_opens_the_stream_and_nothing_else(alone: httpx.Client) -> None:
    made = alone.post("/v1/stream-tokens")
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    token = made.json()["token"]
    address = str(alone.base_url).rstrip("/")
    assert first_event(address, token=token, last_event_id="0-0", cause="purchase")["customer_id"]
    for path in (SEGMENTS, "/v1/customers/customer-1/segments", "/openapi.jsonx"):
        assert httpx.get(address + path, params={"token": token}).status_code == 401
    assert httpx.post(f"{address}/v1/stream-tokens", params={"token": token}).status_code == 401
    assert httpx.get(address + SEGMENTS, headers=bearer(token)).json()["code"] == "token-unknown"


@pytest.mark.parametrize("scope", ["read:customers", "read:segments"])
def test_stream_token_is_for_those_who_may_stream(alone: httpx.Client, scope: str) -> None:
    assert httpx.post(alone.base_url.join("/v1/stream-tokens"), headers=bearer(scope)).status_code == 403


@pytest.mark.parametrize("token", ["", "x", "segmenter_stream_", "segmenter_stream_AAAA", "segmenter_stream_é", ALL])
def test_stream_token_that_is_none_is_refused(alone: httpx.Client, token: str) -> None:
    refused = httpx.get(alone.base_url.join(STREAM_PATH), params={"token": token})
    assert (refused.status_code, refused.json()["code"]) == (401, "stream-token-invalid" if token else "token-missing")


def scope_of(token: str) -> dict[str, Any]:
    return {"path": STREAM_PATH, "query_string": f"token={token}".encode(), "headers": []}


def test_stream_token_expires_and_is_of_its_key() -> None:
    now = [1_000]
    tokens = StreamTokens(b"key", lambda: now[0])
    issued = tokens.issue(Client("shop", hash_token("x"), frozenset({"stream:migrations", "read:customers"})))
    found = asyncio.run(tokens(scope_of(issued.token)))
    assert found is not None
    assert (found.name, found.scopes) == ("shop", {"stream:migrations"})
    with pytest.raises(Problem, match="is not known"):
        asyncio.run(StreamTokens(b"other", lambda: now[0])(scope_of(issued.token)))
    now[0] += LIFETIME_MS
    with pytest.raises(Problem, match="has expired"):
        asyncio.run(tokens(scope_of(issued.token)))


PAGE = """<!DOCTYPE html><meta charset="utf-8"><title>shop</title><link rel="icon" href="data:,"><div id="app"></div>
<script type="module">
const [api, token] = ["ADDRESS", "TOKEN"];
const headers = { Authorization: `Bearer ${token}`, "X-Request-Id": "of-the-page" };
const app = document.getElementById("app");
const say = (text) => app.append(document.createElement("p").appendChild(document.createTextNode(`${text}; `)));
const found = await fetch(`${api}/v1/customers/customer-1/segments?include=reason`, { headers });
say(`${found.status} ${found.headers.get("x-request-id")} ${(await found.json()).customer_id}`);
const made = await (await fetch(`${api}/v1/stream-tokens`, { method: "POST", headers })).json();
const source = new EventSource(`${api}/v1/migrations/stream?token=${made.token}&last_event_id=0-0&cause=purchase`);
source.addEventListener("migration", (event) => {
  say(`migration ${JSON.parse(event.data).sequence} ${event.lastEventId}`);
  source.close();
  document.documentElement.dataset.complete = "";
}, { once: true });
source.onerror = () => { say("failed"); document.documentElement.dataset.complete = ""; };
</script>
"""


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Driver:
    return Driver(tmp_path_factory.mktemp("browser") / "place")


@pytest.mark.browser
def test_page_of_another_origin_looks_up_and_follows_the_stream(folder: Path, tmp_path: Path, driver: Driver) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=tmp_path)) as pages:
        origin = f"http://127.0.0.1:{pages.server_address[1]}"
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        with serving(memory_store(folder), cors_origins=[origin]) as address:
            (tmp_path / "shop.html").write_text(PAGE.replace("ADDRESS", address).replace("TOKEN", ALL), "utf-8")
            (found,) = driver.visit(Visit(f"{origin}/shop.html"))
        pages.shutdown()
    assert found.errors == []
    assert "200 of-the-page customer-1" in found.text
    assert re.search(r"migration \d+ \d+-0", found.text)


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1_280, "light"), (390, "dark")])
def test_reference_is_read_and_tried_in_a_browser(folder: Path, driver: Driver, width: int, scheme: str) -> None:
    lookup = "#getCustomerSegments"
    actions = [
        {"fill": ["#token", ALL]},
        {"click": f"{lookup} .trial summary"},
        {"click": f"{lookup} button[type=submit]"},
        {"wait": f"{lookup} .good"},
    ]
    with serving(memory_store(folder)) as address:
        (found,) = driver.visit(
            Visit(f"{address}/problems/customer-unknown", width=width, scheme=scheme, actions=actions, axe=True)
        )
    assert found.errors == []
    assert found.raw["violations"] == []
    assert found.raw["sideways"] <= 0
    assert found.raw["address"] == "#problem-customer-unknown"
    assert all(each.startswith(address) for each in found.raw["requests"])
    assert '"customer_id": "customer-1"' in found.text
    assert "GET /v1/segmentations/{segmentation}/sizes needs read:segments" in found.text


def test_reference_asks_nobody_else(client: httpx.Client) -> None:
    page = httpx.get(client.base_url.join("/docs"))
    assert page.headers["cache-control"] == "no-cache"
    assert {name: page.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS, "as the console's pages"
    assert httpx.get(client.base_url.join("/docs/../problems.py")).status_code == 401
    assert httpx.get(client.base_url.join("/docs/secret")).json()["code"] == "route-unknown"
    assert httpx.get(client.base_url.join("/problems/none")).json()["code"] == "route-unknown"
