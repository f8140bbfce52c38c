"""What to do with a segment's customers, as people say it: kept beside the view, by those who may, and shown by all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import redis

from stream_app.api.access import EDIT_ACTIONS, READ_SEGMENTS, READING, SCOPES, BearerTokens
from stream_app.api.console import Console
from stream_app.api.live_document import LiveDocument
from stream_app.api.store import SegmentStore
from tests.api.conftest import MOVES
from tests.api.serving import ALL, CLIENTS, KEYS, bearer, fill_view, memory_store, redis_store, serving
from tests.support.processes import wait_for
from tests.support.servers import RedisServer

KEY = b"a key that signs sessions, 32 letters"
LIST = "/v1/segmentations/value/segments"
PATH = f"{LIST}/s1/action"
SAID = {"action": "Call them before Friday."}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with RedisServer(Path(tmp_path_factory.mktemp("redis"))) as server:
        asyncio.run(fill_view(server.port, MOVES))
        yield server.port


@pytest.fixture(scope="module")
def processes(port: int) -> Iterator[list[httpx.Client]]:
    """Two processes on one view."""

    def console_of(store: SegmentStore, tokens: BearerTokens | None) -> Console:
        return Console(store, LiveDocument(store, "UTC"), tokens, KEY)

    with ExitStack() as opened:
        addresses = [opened.enter_context(serving(redis_store(port), CLIENTS, console_of)) for _ in range(2)]
        clients = [
            opened.enter_context(httpx.Client(base_url=address, headers=bearer(ALL), timeout=10))
            for address in addresses
        ]
        for client in clients:
            wait_for(lambda client=client: client.get("/ready").is_success, 30, "the first look at the view")
        yield clients


@pytest.fixture(autouse=True)
def nothing_said(processes: list[httpx.Client]) -> Iterator[None]:
    yield
    assert processes[0].delete(PATH).status_code == 200


def listed(client: httpx.Client) -> dict[str, object]:
    (found,) = [each for each in client.get(LIST).json()["segments"] if each["id"] == "s1"]
    return {name: found[name] for name in ("action", "action_edit")}


def test_what_is_said_stands_in_place_of_the_definition_until_it_is_taken_back(processes: list[httpx.Client]) -> None:
    client, other = processes
    before = listed(client)
    assert before["action_edit"] is None
    kept = client.put(PATH, json={"action": "  Call them before Friday.  "})
    assert kept.status_code == 200, kept.text
    edit = kept.json()["action_edit"]
    assert (kept.json()["action"], edit["edited_by"], edit["default"]) == (SAID["action"], "all", before["action"])
    assert kept.json()["segment"]["id"] == "s1"
    said = {"action": SAID["action"], "action_edit": edit}
    assert listed(client) == said
    wait_for(lambda: listed(other) == said, 30, "the other process")
    back = client.delete(PATH)
    assert back.json() | before == back.json()
    assert listed(client) == before
    wait_for(lambda: listed(other) == before, 30, "the other process")


def test_the_pages_document_has_it_and_the_model_has_the_definition(processes: list[httpx.Client]) -> None:
    client, _ = processes

    def in_document() -> dict[str, object]:
        document = client.get("/console/document").json()
        (part,) = [each for each in document["segmentations"] if each["name"] == "value"]
        (found,) = [each for each in part["segments"] if each["id"] == "s1"]
        return dict(found)

    before = in_document()
    assert "edit" not in before
    edit = client.put(PATH, json=SAID).json()["action_edit"]
    wait_for(lambda: in_document() != before, 30, "a document that is made anew")
    assert in_document() == before | {"action": SAID["action"], "edit": edit}
    (newest, *_) = client.get("/v1/segmentations/value/models").json()["models"]
    model = client.get(f"/v1/segmentations/value/models/{newest['version']}").json()
    assert SAID["action"] not in str(model)


def test_it_is_of_the_segments_id_and_outlives_a_rebuild(processes: list[httpx.Client], port: int) -> None:
    client, _ = processes
    client.put(PATH, json=SAID)
    asyncio.run(fill_view(port, MOVES, is_fresh=True))
    assert listed(client)["action"] == SAID["action"]
    name = client.get(LIST).json()["segments"][0]["name"]
    assert client.put(f"{LIST}/{name}/action", json=SAID).json()["segment"]["name"] == name
    assert client.delete(f"{LIST}/{name}/action").status_code == 200


@pytest.mark.parametrize(
    "body",
    [{}, {"action": ""}, {"action": "   "}, {"action": "a" * 501}, {"action": "a\nb"}, {"action": 7}, {"action": None}],
)
def test_a_sentence_is_one_line_of_some_length(processes: list[httpx.Client], body: dict[str, object]) -> None:
    refused = processes[0].put(PATH, json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "body-invalid")


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_what_there_is_not_is_not_said_anything_about(processes: list[httpx.Client], method: str) -> None:
    body = SAID if method == "PUT" else None
    for path, code in (
        ("/v1/segmentations/valu/segments/s1/action", "segmentation-unknown"),
        (f"{LIST}/s99/action", "segment-unknown"),
    ):
        refused = processes[0].request(method, path, json=body)
        assert (refused.status_code, refused.json()["code"]) == (404, code)


def test_only_those_who_may_say_something(processes: list[httpx.Client]) -> None:
    assert EDIT_ACTIONS in SCOPES
    assert EDIT_ACTIONS not in READING
    address = processes[0].base_url
    for headers, status in (({}, 401), (bearer(READ_SEGMENTS), 403), (bearer(EDIT_ACTIONS), 200)):
        assert httpx.put(f"{address}{PATH}", json=SAID, headers=headers).status_code == status
        assert httpx.delete(f"{address}{PATH}", headers=headers).status_code == status


def test_a_session_shows_its_own_number(processes: list[httpx.Client]) -> None:
    with httpx.Client(base_url=processes[0].base_url, timeout=10) as browser:
        session = browser.post("/console/sign-in", json={"token": ALL}).json()
        assert session["can_edit_actions"] is True
        for number in ("", "guess"):
            refused = browser.put(PATH, json=SAID, headers={"X-CSRF-Token": number})
            assert (refused.status_code, refused.json()["code"]) == (403, "csrf-token-invalid")
            assert browser.delete(PATH, headers={"X-CSRF-Token": number}).status_code == 403
        own = {"X-CSRF-Token": session["csrf_token"]}
        assert browser.put(PATH, json=SAID, headers=own).json()["action"] == SAID["action"]
        assert browser.delete(PATH, headers=own).json()["action_edit"] is None


def test_the_log_says_who_has_changed_which_segment(
    processes: list[httpx.Client], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "stream_app.api.actions"):
        processes[0].put(PATH, json=SAID)
        processes[0].delete(PATH)
    assert [record.getMessage() for record in caplog.records] == [
        "what to do with value/s1: edited by all",
        "what to do with value/s1: set back to its definition by all",
    ]


def test_what_somebody_else_has_put_there_is_passed_over(processes: list[httpx.Client], port: int) -> None:
    client = processes[0]
    before = listed(client)
    with redis.Redis(port=port) as server:
        server.hset(KEYS.actions, mapping={"value/s1": b"x", "value/s2": b"{}"})
        assert client.put(f"{LIST}/s3/action", json=SAID).status_code == 200
        assert listed(client) == before
        server.delete(KEYS.actions)


def test_a_replays_folder_does_not_change(folder: Path) -> None:
    def console_of(store: SegmentStore, tokens: BearerTokens | None) -> Console:
        return Console(store, LiveDocument(store, "UTC"), tokens, KEY)

    with serving(memory_store(folder), CLIENTS, console_of) as address:
        refused = httpx.put(address + PATH, json=SAID, headers=bearer(ALL))
        assert (refused.status_code, refused.json()["code"]) == (409, "actions-fixed")
        session = httpx.post(f"{address}/console/sign-in", json={"token": ALL}).json()
        assert session["can_edit_actions"] is False
