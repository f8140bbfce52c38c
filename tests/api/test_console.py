"""The console's own routes: what is open, who is signed in, what cannot be forged, and what the document says."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from stream_app.api.access import DECIDE_MODELS, READ_SEGMENTS, SCOPES, BearerTokens, Client, hash_token
from stream_app.api.console import Console
from stream_app.api.deciding import Decisions, Desk
from stream_app.api.feed import id_order
from stream_app.api.live_document import LiveDocument
from stream_app.api.sessions import COOKIE, LIFETIME_SECONDS, Sessions
from stream_app.api.sign_outs import CLOCKS_DIFFER_SECONDS, SignOutsHere
from stream_app.api.store import SegmentStore
from stream_app.contracts.decisions import Outcome
from stream_app.core.moves import CAUSE_KINDS, CHANGES
from stream_app.errors import BrokerUnreachable
from tests.api.conftest import MOVES
from tests.api.serving import (
    ALL,
    CLIENTS,
    FIGURES_AS_OF,
    KEYS,
    NONE,
    append,
    bearer,
    fill_view,
    redis_store,
    serving,
)
from tests.support.output_records import migration
from tests.support.processes import wait_for
from tests.support.servers import RedisServer

KEY = b"a key that signs sessions, 32 letters"
JSON = {"Content-Type": "application/json"}
DECIDE = "/console/segmentations/value/models/7/approve"
Handed = list[tuple[str, str, int | None, str]]


class WrittenDown:
    """A desk that notes what is handed in."""

    def __init__(self, handed: Handed) -> None:
        self.handed = handed

    async def hand_in(
        self, action: str, segmentation: str, version: int | None, decided_by: str, _: float
    ) -> Outcome | None:
        self.handed.append((action, segmentation, version, decided_by))
        if version == 9:
            return None
        return Outcome(
            segmentation=segmentation,
            action="approve",
            version=version,
            status="done",
            reason=None,
            published_version=version,
            pinned_version=None,
            decided_by=decided_by,
            decided_at="2026-01-01T00:00:00.000Z",
            offset=1,
        )


def desk_of(handed: Handed) -> Callable[[], AbstractAsyncContextManager[Desk]]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Desk]:
        if len(handed) == 3:
            raise BrokerUnreachable("no Kafka broker answers at localhost:1")
        yield WrittenDown(handed)

    return opened


@pytest.fixture(scope="module")
def handed() -> Handed:
    return []


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with RedisServer(Path(tmp_path_factory.mktemp("redis"))) as server:
        asyncio.run(fill_view(server.port, MOVES))
        yield server.port


@pytest.fixture(scope="module")
def address(port: int, handed: Handed) -> Iterator[str]:
    def console_of(store: SegmentStore, tokens: BearerTokens | None) -> Console:
        return Console(
            store, LiveDocument(store, "UTC"), tokens, KEY, Decisions(desk_of(handed)), "1.0", sign_in_burst=1_000
        )

    with serving(redis_store(port), CLIENTS, console_of) as address:
        wait_for(lambda: httpx.get(f"{address}/ready").is_success, 30, "the first look at the view")
        yield address


SignIn = Callable[..., httpx.Client]


@pytest.fixture
def sign_in(address: str) -> Iterator[SignIn]:
    """Gives browsers that are signed in, and show what pages show."""
    with ExitStack() as opened:

        def begin(token: str = ALL) -> httpx.Client:
            browser = opened.enter_context(httpx.Client(base_url=address, timeout=10))
            answer = browser.post("/console/sign-in", json={"token": token})
            assert answer.status_code == 200, answer.text
            browser.headers["X-CSRF-Token"] = answer.json()["csrf_token"]
            return browser

        yield begin


# --- files ------------------------------------------------------------------------------------------------------


def test_pages_are_files_of_this_server_under_a_strict_policy(address: str) -> None:
    shell = httpx.get(f"{address}/")
    policy = shell.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert {part.split()[0] for part in policy.split("; ")} >= {"default-src", "frame-ancestors", "form-action"}
    assert not re.search(r"<style|<script(?![^>]* src=)|\son\w+=|style=", shell.text)
    for path in re.findall(r'(?:href|src)="([^"]*)"', shell.text):
        assert path.startswith("/console/assets/")
        asset = httpx.get(address + path)
        assert asset.status_code == 200, path
        assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert httpx.get(address + path, headers={"If-None-Match": asset.headers["etag"]}).status_code == 304


def test_nothing_but_assets_is_given_out(address: str) -> None:
    (base,) = set(re.findall(r"/console/assets/\w+/", httpx.get(f"{address}/").text))
    for path in ("single_file.html", "../single_file.py", "main.js", ""):
        assert httpx.get(f"{address}{base}{path}").status_code == 404


@pytest.mark.parametrize("path", ["/console/document", "/console/health", "/console/moves?segmentation=value"])
def test_figures_are_for_those_who_are_known(sign_in: SignIn, address: str, path: str) -> None:
    assert httpx.get(address + path).status_code == 401
    assert httpx.get(address + path, headers=bearer(ALL)).status_code == 200
    assert sign_in().get(path).status_code == 200


# --- sessions ---------------------------------------------------------------------------------------------------


def test_a_session_has_the_scopes_of_its_token(sign_in: SignIn) -> None:
    browser = sign_in(READ_SEGMENTS)
    assert browser.get("/v1/segmentations").status_code == 200
    assert browser.get("/v1/customers/customer-1/segments").status_code == 403
    assert browser.get("/console/moves?segmentation=value").status_code == 403
    assert browser.get("/console/session").json()["scopes"] == [READ_SEGMENTS]


def test_the_cookie_is_kept_from_scripts_and_other_sites(address: str) -> None:
    for scheme, is_secure in (("http", False), ("https", True)):
        answer = httpx.post(f"{address}/console/sign-in", json={"token": ALL}, headers={"X-Forwarded-Proto": scheme})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"{COOKIE}=")
        for part in ("HttpOnly", "SameSite=Strict", "Path=/", f"Max-Age={LIFETIME_SECONDS}"):
            assert part in cookie.split("; ")
        assert ("Secure" in cookie.split("; ")) == is_secure
        assert ALL not in cookie
        assert ALL not in answer.text


def test_signing_out_ends_the_session_itself(sign_in: SignIn, address: str) -> None:
    browser = sign_in()
    cookie = browser.cookies[COOKIE]
    assert browser.post("/console/sign-out", json={}).status_code == 200
    assert COOKIE not in browser.cookies
    assert httpx.get(f"{address}/console/document", cookies={COOKIE: cookie}).status_code == 401


def test_what_changes_something_needs_the_sessions_own_number(sign_in: SignIn) -> None:
    lookup = {"customer_ids": ["customer-1"]}
    browser, other = sign_in(), sign_in()
    assert browser.post("/v1/customers/lookup", json=lookup).status_code == 200
    for number in ("", "guess", other.headers["X-CSRF-Token"]):
        refused = browser.post("/v1/customers/lookup", json=lookup, headers={"X-CSRF-Token": number})
        assert refused.status_code == 403
        assert refused.json()["code"] == "csrf-token-invalid"
        assert browser.post("/console/sign-out", json={}, headers={"X-CSRF-Token": number}).status_code == 403
    assert browser.get("/console/document").status_code == 200, "still signed in"


@pytest.mark.parametrize("path", ["/console/sign-in", "/console/sign-out", DECIDE])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Content-Type": "text/plain"},
    ],
)
def test_pages_of_other_origins_are_refused(sign_in: SignIn, path: str, headers: dict[str, str]) -> None:
    browser = sign_in()
    answer = browser.post(path, content=b'{"token":"token-for-everything"}', headers=JSON | headers)
    assert answer.status_code == 403
    assert answer.json()["code"] == "origin-foreign"


@pytest.mark.parametrize("body", [b"", b"{}", b'{"token":""}', b'{"token":7}', b'{"token":"guess"}', b"\xff"])
def test_nobody_signs_in_with_anything_else(address: str, body: bytes) -> None:
    answer = httpx.post(f"{address}/console/sign-in", content=body, headers=JSON)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_too_many_who_sign_in_have_to_wait(port: int) -> None:
    def console_of(store: SegmentStore, tokens: BearerTokens | None) -> Console:
        return Console(store, LiveDocument(store, "UTC"), tokens, KEY, sign_in_burst=2)

    with serving(redis_store(port), CLIENTS, console_of) as address:
        answers = [httpx.post(f"{address}/console/sign-in", json={"token": "guess"}) for _ in range(9)]
    assert {answer.status_code for answer in answers} == {401, 429}
    assert {answer.headers.get("retry-after") for answer in answers} == {None, "1"}


@pytest.mark.parametrize("cookie", ["", ".", "a.b", "W10.W10", '"', "é"])
def test_a_made_up_cookie_is_no_session(address: str, cookie: str) -> None:
    headers = {"Cookie": f"{COOKIE}={cookie}".encode()}
    assert httpx.get(f"{address}/console/document", headers=headers).status_code == 401  # type: ignore[arg-type]
    assert httpx.get(f"{address}/console/session", headers=headers).json() == {"signed_in": False}  # type: ignore[arg-type]


def scope_of(cookie: str) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "headers": [(b"cookie", f"{COOKIE}={cookie}".encode())]}


def client_of(sessions: Sessions, cookie: str) -> Client | None:
    return asyncio.run(sessions(scope_of(cookie)))


def test_a_session_ends_with_its_time_its_token_and_its_key() -> None:
    client, now = Client("marta", hash_token("a"), frozenset({READ_SEGMENTS})), [1_000.0]
    tokens = BearerTokens([client])

    def process(key: bytes = KEY) -> Sessions:
        return Sessions(tokens, key, SignOutsHere(), lambda: now[0])

    sessions = process()
    _, cookie = sessions.begin(client)
    assert client_of(sessions, cookie) == client
    assert client_of(process(), cookie) == client, "of another process with the key"
    assert client_of(process(KEY[::-1]), cookie) is None
    fewer = Client("marta", hash_token("a"), frozenset())
    tokens.replace([fewer])
    assert client_of(sessions, cookie) == fewer
    tokens.replace([Client("marta", hash_token("b"), frozenset(SCOPES))])
    assert client_of(sessions, cookie) is None
    tokens.replace([client])
    now[0] += LIFETIME_SECONDS
    assert client_of(sessions, cookie) is None


def test_a_changed_cookie_is_no_session() -> None:
    client = Client("marta", hash_token("a"), frozenset(SCOPES))
    sessions = Sessions(BearerTokens([client]), KEY, SignOutsHere())
    _, cookie = sessions.begin(client)
    for place in range(len(cookie) - 1):  # the last letter has bits that say nothing
        other = cookie[:place] + ("A" if cookie[place] != "A" else "B") + cookie[place + 1 :]
        assert client_of(sessions, other) is None


def test_sign_outs_are_kept_no_longer_than_sessions_last() -> None:
    now = [1_000.0]
    sign_outs = SignOutsHere(lambda: now[0])

    async def add(number: str) -> None:
        await sign_outs.add(number, int(now[0]) + LIFETIME_SECONDS)

    asyncio.run(add("first"))
    now[0] += LIFETIME_SECONDS
    asyncio.run(add("second"))
    assert [asyncio.run(sign_outs.has(number)) for number in ("first", "second")] == [False, True]


def test_signing_out_ends_a_session_in_every_process(port: int, sign_in: SignIn) -> None:
    """A copy of the cookie is good for nothing in another process, either."""

    def console_of(store: SegmentStore, tokens: BearerTokens | None) -> Console:
        return Console(store, LiveDocument(store, "UTC"), tokens, KEY)

    browser = sign_in()
    copy = {COOKIE: browser.cookies[COOKIE]}
    with serving(redis_store(port), CLIENTS, console_of) as other, httpx.Client(base_url=other, cookies=copy) as thief:
        wait_for(lambda: thief.get("/ready").is_success, 30, "the first look at the view")
        assert thief.get("/console/document").status_code == 200
        assert browser.post("/console/sign-out", json={}).status_code == 200
        assert thief.get("/console/document").status_code == 401
        assert thief.get("/console/session").json() == {"signed_in": False}
    with redis.Redis(port=port) as server:
        seconds = [server.ttl(key) for key in server.keys(f"{KEYS.prefix}console:signed-out:*")]
        assert seconds
        assert all(LIFETIME_SECONDS < each <= LIFETIME_SECONDS + CLOCKS_DIFFER_SECONDS for each in seconds)


def test_no_session_is_trusted_while_nobody_can_say_that_it_has_not_ended(tmp_path: Path) -> None:
    def console_of(store: SegmentStore, tokens: BearerTokens | None) -> Console:
        return Console(store, LiveDocument(store, "UTC"), tokens, KEY)

    with RedisServer(tmp_path) as server, serving(redis_store(server.port), CLIENTS, console_of) as address:
        browser = httpx.Client(base_url=address, timeout=40)
        browser.headers["X-CSRF-Token"] = browser.post("/console/sign-in", json={"token": ALL}).json()["csrf_token"]
        server.process.kill()
        answers = browser.get("/console/session"), browser.post("/console/sign-out", json={})
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (503, "view-unavailable")
            assert answer.headers["retry-after"] == "1"
        assert COOKIE in browser.cookies
        browser.close()


# --- the document -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document(address: str) -> dict[str, Any]:
    return dict(httpx.get(f"{address}/console/document", headers=bearer(ALL)).json())


@pytest.mark.parametrize("segmentation", ["value", "lifecycle"])
def test_sizes_follow_from_what_was_before_and_the_flows(document: dict[str, Any], segmentation: str) -> None:
    (part,) = [each for each in document["segmentations"] if each["name"] == segmentation]
    sizes = list(part["opening"])
    columns = (part["flows"][name] for name in ("from", "to", "customers"))
    for origin, target, customers in zip(*columns, strict=True):
        if origin >= 0:
            sizes[origin] -= customers
        if target >= 0:
            sizes[target] += customers
    here = Counter()
    for move in MOVES:
        if move.segmentation == segmentation:
            here[move.customer_id] = None if move.to_segment is None else move.to_segment.id
    expected = Counter(here.values())
    assert {each["id"]: size for each, size in zip(part["segments"], sizes, strict=True)} == {
        each["id"]: expected[each["id"]] for each in part["segments"]
    }
    assert {name: each["customers"] for name, each in part["members"].items()} == {
        name: size for name, size in expected.items() if name is not None
    }


def test_flows_know_causes_and_changes_and_not_what_customers_had_spent(document: dict[str, Any]) -> None:
    part = document["segmentations"][0]
    flows, ids = part["flows"], [each["id"] for each in part["segments"]]
    found: Counter[tuple[Any, ...]] = Counter()
    for row, customers in enumerate(flows["customers"]):
        ends = [ids[flows[end][row]] if flows[end][row] >= 0 else None for end in ("from", "to")]
        found[(*ends, CAUSE_KINDS[flows["cause"][row]], CHANGES[flows["change"][row]])] += customers
    expected = Counter(
        (
            move.from_segment.id if move.from_segment else None,
            move.to_segment.id if move.to_segment else None,
            move.cause.kind,
            move.change,
        )
        for move in MOVES
        if move.segmentation == part["name"]
    )
    assert found == expected
    assert flows["revenue"] is None


def test_money_of_flows_is_told_where_every_move_says_it(tmp_path: Path) -> None:
    entries = [migration(name, 1, None, 0, revenue_before=0.0) for name in "abc"]
    moves = [
        migration("a", 2, 0, 1, revenue_before=10.25),
        migration("b", 2, 0, 1, revenue_before=4.5),
        migration("c", 2, 0, 2),  # of an earlier release
    ]
    with RedisServer(tmp_path) as server:
        asyncio.run(fill_view(server.port, [*entries, *moves]))

        def console_of(store: SegmentStore, tokens: BearerTokens | None) -> Console:
            return Console(store, LiveDocument(store, "UTC"), tokens, KEY)

        with serving(redis_store(server.port), [], console_of) as address:
            wait_for(lambda: httpx.get(f"{address}/ready").is_success, 30, "the first look at the view")
            part = httpx.get(f"{address}/console/document").json()["segmentations"][0]
    flows, ids = part["flows"], [each["id"] for each in part["segments"]]
    ends = [tuple(ids[flows[end][row]] if flows[end][row] >= 0 else None for end in ("from", "to")) for row in range(3)]
    assert dict(zip(ends, flows["revenue"], strict=True)) == {
        (None, "s1"): 0,
        ("s1", "s2"): 1_475,
        ("s1", "s3"): None,
    }


def test_a_document_at_hand_is_given_to_whom_it_will_do_and_one_of_now_to_others(tmp_path: Path) -> None:
    now = [0.0]

    async def ask(port: int) -> tuple[list[str], list[str]]:
        await fill_view(port, MOVES)
        store = redis_store(port)()
        document = LiveDocument(store, "UTC", clock=lambda: now[0])
        await store.start()
        async with asyncio.timeout(60):
            while store.unready_reason():
                await asyncio.sleep(0.02)
        made = [(await document.get()).etag]
        await append(port, [MOVES[-1]])  # counted twice, so the document is another one
        now[0] += 3_600
        old = [(await document.get(may_be_old=True)).etag]
        fresh = [(await document.get()).etag, (await document.get(may_be_old=True)).etag]
        await document.close()
        await store.close()
        return made + old, fresh

    with RedisServer(tmp_path) as server:
        (first, old), (fresh, again) = asyncio.run(ask(server.port))
    assert first == old
    assert fresh == again != first


def test_an_unchanged_document_is_not_sent_again(address: str) -> None:
    first = httpx.get(f"{address}/console/document", headers=bearer(ALL))
    again = httpx.get(f"{address}/console/document", headers=bearer(ALL) | {"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


def test_moves_are_found_page_by_page_the_newest_first(address: str) -> None:
    found: list[dict[str, Any]] = []
    before = None
    while True:
        parameters = {"segmentation": "value", "limit": 7} | ({"before": before} if before else {})
        page = httpx.get(f"{address}/console/moves", params=parameters, headers=bearer(ALL)).json()
        found += [each["move"] for each in page["moves"]]
        assert page["moves"] == sorted(page["moves"], key=lambda each: id_order(each["entry_id"]), reverse=True)
        before = page["before"]
        if before is None:
            break
    expected = [move.migration_id for move in reversed(MOVES) if move.segmentation == "value"]
    assert [each["migration_id"] for each in found] == expected
    refused = httpx.get(f"{address}/console/moves?segmentation=value&before=x", headers=bearer(ALL))
    assert refused.json()["code"] == "event-id-invalid"


def test_health_says_what_the_workers_of_which_partitions_run(address: str) -> None:
    health = httpx.get(f"{address}/console/health", headers=bearer(ALL)).json()
    assert health["workers"] == [
        {"version": None, "library": None, "partitions": [0], "newest": FIGURES_AS_OF[0]},
        {"version": "1.2.3", "library": 1, "partitions": [1], "newest": FIGURES_AS_OF[1]},
    ]


# --- decisions --------------------------------------------------------------------------------------------------


def test_models_are_decided_on_by_those_who_may(sign_in: SignIn, handed: Handed) -> None:
    assert sign_in(READ_SEGMENTS).post(DECIDE, json={}).status_code == 403
    assert handed == []
    browser = sign_in()
    done = browser.post(DECIDE, json={})
    assert (done.status_code, done.json()["status"], done.json()["published_version"]) == (200, "done", 7)
    reject = browser.post("/console/segmentations/value/models/8/reject", json={})
    assert reject.json()["status"] == "done"
    assert handed == [("approve", "value", 7, "all"), ("reject", "value", 8, "all")]
    pending = browser.post("/console/segmentations/value/models/9/approve", json={})
    assert (pending.status_code, pending.json()["status"]) == (200, "pending")
    assert browser.post("/console/segmentations/nothing/models/9/approve", json={}).status_code == 404
    assert browser.post("/console/segmentations/value/models/9/delete", json={}).status_code == 422
    unreachable = browser.post(DECIDE, json={})
    assert unreachable.status_code == 503
    assert unreachable.json()["detail"] == "no Kafka broker answers at localhost:1"


def test_the_scope_to_decide_is_not_given_by_default() -> None:
    from stream_app.api.access import READING

    assert DECIDE_MODELS in SCOPES
    assert DECIDE_MODELS not in READING
    assert NONE not in READING


def test_without_tokens_only_this_machines_own_names_are_answered(port: int) -> None:
    def console_of(store: SegmentStore, tokens: BearerTokens | None) -> Console:
        return Console(store, LiveDocument(store, "UTC"), tokens, KEY)

    with serving(redis_store(port), [], console_of) as address:
        wait_for(lambda: httpx.get(f"{address}/ready").is_success, 30, "the first look at the view")
        for name, status in (("localhost:8000", 200), ("127.0.0.1", 200), ("[::1]:80", 200), ("evil.example", 403)):
            for path in ("/console/document", "/v1/segmentations"):
                assert httpx.get(address + path, headers={"Host": name}).status_code == status
