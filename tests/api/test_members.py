"""Members of a segment: orders, since when, and as files; from both stores."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from stream_app.api.members import MEDIA_TYPES, PAGE_CUSTOMERS
from stream_app.api.memory_store import MemoryStore
from stream_app.api.parameters import encode_cursor
from stream_app.api.store import MemberPage, MemberQuery, StoreUnavailable
from stream_app.contracts.fields import parse_instant
from tests.api.conftest import MOVES
from tests.api.serving import ALL, bearer, fill_view, memory_store, redis_store, serving, write_folder
from tests.support.output_records import FIRST_DAY_MS, migration
from tests.support.processes import wait_for
from tests.support.servers import RedisServer

NEWEST = {(move.segmentation, move.customer_id): move for move in MOVES}
MEMBERS = "/v1/segmentations/value/segments/s2/members"
IN_S2 = sorted(
    (move.effective_at, customer_id)
    for (name, customer_id), move in NEWEST.items()
    if name == "value" and move.to_segment is not None and move.to_segment.id == "s2"
)
AS_CSV, AS_LINES = {"Accept": "text/csv"}, {"Accept": "application/x-ndjson"}


def get(client: httpx.Client, path: str = MEMBERS, **parameters: Any) -> Any:
    answer = client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def listed(page: Any) -> list[tuple[str, str]]:
    return [(each["since"], each["customer_id"]) for each in page["members"]]


def rows_of(answer: httpx.Response) -> list[tuple[str, str]]:
    """Return what a file of either form lists."""
    if answer.headers["content-type"] == MEDIA_TYPES["csv"]:
        head, *rows = csv.reader(io.StringIO(answer.text, newline=""))
        assert head == ["customer_id", "since"]
        return [(since, name) for name, since in rows]
    assert answer.headers["content-type"] == MEDIA_TYPES["jsonl"]
    return [(each["since"], each["customer_id"]) for each in map(json.loads, answer.text.splitlines())]


@pytest.mark.parametrize("limit", [1, 2, 100])
@pytest.mark.parametrize("since", [None, IN_S2[2][0]])
@pytest.mark.parametrize("order", ["longest", "newest"])
def test_pages_list_everybody_once_in_either_order(
    client: httpx.Client, order: str, since: str | None, limit: int
) -> None:
    expected = [each for each in IN_S2 if since is None or each[0] >= since]
    assert 3 < len(expected) == len(IN_S2) - 2 * bool(since)
    asked: dict[str, Any] = {"order": order, "limit": limit} | ({"since": since} if since else {})
    found: list[tuple[str, str]] = []
    while True:
        page = get(client, **asked)
        assert page["customers"] == len(expected)
        found += listed(page)
        if page["next_cursor"] is None:
            break
        asked["cursor"] = page["next_cursor"]
    assert found == (expected if order == "longest" else expected[::-1])


def test_cursor_of_somebody_who_has_gone_leads_on(client: httpx.Client) -> None:
    """Of two who have entered at once, only the one with the lesser id is there any more, or only the other one."""
    ahead = get(client, limit=2)["next_cursor"]
    since, name = IN_S2[1]
    for other, in_front in ((name + "x", 2), (name[:-1], 1)):
        moved = cursor_at(since, other)
        assert listed(get(client, cursor=moved)) == IN_S2[in_front:]
        assert listed(get(client, cursor=moved, order="newest")) == IN_S2[:in_front][::-1]
    assert listed(get(client, cursor=ahead)) == IN_S2[2:]


def cursor_at(since: str, name: str) -> str:
    return encode_cursor((parse_instant(since), name))


@pytest.mark.parametrize(
    "asked",
    [
        {"headers": AS_CSV},
        {"headers": AS_LINES},
        {"params": {"format": "csv"}},
        {"params": {"format": "jsonl"}, "headers": AS_CSV},
        {"headers": {"Accept": "application/json;q=0.5, text/csv;q=0.9"}},
    ],
)
def test_file_has_everybody(client: httpx.Client, asked: dict[str, Any]) -> None:
    answer = client.get(MEMBERS, **asked)
    assert rows_of(answer) == IN_S2
    form = "csv" if answer.headers["content-type"].startswith("text/csv") else "jsonl"
    assert answer.headers["content-disposition"] == f'attachment; filename="value-s2.{form}"'


def test_file_can_be_a_part(client: httpx.Client) -> None:
    since, cursor = IN_S2[3][0], get(client, limit=4)["next_cursor"]
    newest = client.get(MEMBERS, headers=AS_CSV, params={"order": "newest", "limit": 2, "since": since})
    assert rows_of(newest) == IN_S2[::-1][:2]
    assert rows_of(client.get(MEMBERS, headers=AS_LINES, params={"cursor": cursor})) == IN_S2[4:]


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html, application/xhtml+xml, */*;q=0.8", ""])
def test_page_is_json_for_everybody_else(client: httpx.Client, accept: str) -> None:
    assert listed(client.get(MEMBERS, headers={"Accept": accept}).json()) == IN_S2


@pytest.mark.parametrize("accept", ["application/xml", "text/csv;q=0", "text/csv;q=much"])
def test_other_forms_are_refused(client: httpx.Client, accept: str) -> None:
    answer = client.get(MEMBERS, headers={"Accept": accept})
    assert (answer.status_code, answer.json()["code"]) == (406, "not-acceptable")


def test_head_of_a_file_has_no_body(client: httpx.Client) -> None:
    headed = client.head(MEMBERS, headers=AS_CSV)
    assert (headed.status_code, headed.content) == (200, b"")
    assert headed.headers["content-disposition"].endswith('.csv"')


@pytest.mark.parametrize(
    ("parameters", "detail"),
    [
        ({"since": "2026-01-01T00:00:00"}, "query.since: Input should have timezone info"),
        ({"order": "oldest"}, "query.order: Input should be 'longest' or 'newest'"),
        ({"format": "xlsx"}, "query.format: Input should be 'json', 'csv' or 'jsonl'"),
        ({"limit": 1_001, "format": "csv"}, "query.limit: Input should be less than or equal to 1000"),
    ],
)
def test_parameter_of_another_form_is_refused(client: httpx.Client, parameters: dict[str, Any], detail: str) -> None:
    answer = client.get(MEMBERS, params=parameters)
    assert (answer.status_code, answer.json()["detail"]) == (422, detail)


ODD_IDS = ['a"b', "a,b", "a\r\nb", "ä", "=1+1"]
CROWD = [migration(name, 1, None, 0, FIRST_DAY_MS) for name in ODD_IDS] + [
    migration(f"c{number}", 1, None, 0, FIRST_DAY_MS + number // 7) for number in range(2 * PAGE_CUSTOMERS + 1)
]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(tmp_path_factory.mktemp("crowd"))
    write_folder(folder, CROWD)
    return folder


@pytest.fixture(scope="module")
def crowded(crowd: Path) -> Iterator[httpx.Client]:
    with serving(memory_store(crowd)) as address, httpx.Client(base_url=address, headers=bearer(ALL)) as client:
        yield client


@pytest.mark.parametrize("headers", [AS_CSV, AS_LINES])
@pytest.mark.parametrize("order", ["longest", "newest"])
def test_file_goes_over_many_pages_and_keeps_odd_ids(
    crowded: httpx.Client, headers: dict[str, str], order: str
) -> None:
    expected = sorted((move.effective_at, move.customer_id.encode()) for move in CROWD)
    found = rows_of(crowded.get(MEMBERS.replace("s2", "s1"), headers=headers, params={"order": order}))
    in_order = expected if order == "longest" else expected[::-1]
    assert found == [(since, name.decode()) for since, name in in_order]


class FailingStore(MemoryStore):
    """Answers the first page alone."""

    async def members(self, segmentation: str, segment: str, wanted: MemberQuery) -> MemberPage:
        if wanted.after is not None:
            raise StoreUnavailable
        return await super().members(segmentation, segment, wanted)


def test_file_that_cannot_be_finished_does_not_look_finished(crowd: Path) -> None:
    with (
        serving(lambda: FailingStore(crowd)) as address,
        httpx.stream("GET", address + MEMBERS.replace("s2", "s1"), headers=bearer(ALL) | AS_CSV) as answer,
    ):
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()


def test_segment_is_named_in_the_file_by_its_id(client: httpx.Client) -> None:
    answer = client.get(MEMBERS.replace("s2", quote("Segment 2")), headers=AS_CSV)
    assert answer.headers["content-disposition"] == 'attachment; filename="value-s2.csv"'


@pytest.mark.parametrize("of", ["memory", "redis"])
def test_file_for_a_purpose_lists_those_who_agree_to_it(of: str, tmp_path: Path) -> None:
    told = {"a": None, "b": {"email": True}, "c": {"email": False, "segmentation": True}, "d": {"advertising": False}}
    moves = [migration(customer_id, 1, None, 2, consents=consents) for customer_id, consents in told.items()]

    def check(address: str) -> None:
        with httpx.Client(base_url=address, headers=bearer(ALL), timeout=10) as client:
            wait_for(lambda: client.get("/ready").is_success, 30, "the first look at the view")
            path = "/v1/segmentations/value/segments/s3/members"
            answer = client.get(path, params={"purpose": "email"}, headers=AS_CSV)
            assert [name for _, name in rows_of(answer)] == ["a", "b", "d"]
            assert [name for _, name in rows_of(client.get(path, headers=AS_LINES))] == ["a", "b", "c", "d"]
            assert client.get(path, params={"purpose": "email"}).status_code == 406
            looked_up = {each: get(client, f"/v1/customers/{each}/segments")["segments"][0] for each in told}
            assert {each: segment.get("consents") for each, segment in looked_up.items()} == told

    if of == "memory":
        write_folder(tmp_path, moves)
        with serving(memory_store(tmp_path)) as address:
            check(address)
        return
    with RedisServer(tmp_path) as server:
        asyncio.run(fill_view(server.port, moves))
        with serving(redis_store(server.port)) as address:
            check(address)
