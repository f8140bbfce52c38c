"""Both stores give the same answers, and these are what the migrations say."""

from __future__ import annotations

import json
from collections import Counter
from functools import reduce
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from stream_app.api.documents import (
    BatchDocument,
    CustomerDocument,
    FlowsDocument,
    MembersDocument,
    ModelsDocument,
    SegmentListDocument,
)
from stream_app.contracts.fields import parse_instant
from stream_app.contracts.outputs.models import SegmentModel
from stream_app.core.members import MemberSums, member_figures
from tests.api.conftest import MOVES
from tests.api.serving import FIGURES_AS_OF, sums_of

NEWEST = {(move.segmentation, move.customer_id): move for move in MOVES}
MEMBERS = {place: move.to_segment.id for place, move in NEWEST.items() if move.to_segment is not None}
VALUE, LIFECYCLE = "/v1/segmentations/value", "/v1/segmentations/lifecycle"


def get(client: httpx.Client, path: str, **parameters: Any) -> Any:
    answer = client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def plain(value: object) -> Any:
    """Return what a value is as JSON."""
    return json.loads(msgspec.json.encode(value))


def is_in(customer_id: str, *segmentations: str) -> bool:
    return {name for name, customer in MEMBERS if customer == customer_id} == set(segmentations)


def test_customer_is_answered_with_the_segment_of_each_segmentation_and_the_reason(client: httpx.Client) -> None:
    customer_id = next(name for _, name in MEMBERS if is_in(name, "value", "lifecycle"))
    answer = get(client, f"/v1/customers/{customer_id}/segments")
    rules, learned = answer["segments"]
    for found, name in ((rules, "lifecycle"), (learned, "value")):
        move = NEWEST[name, customer_id]
        assert found["segmentation"] == name
        assert found["segment"] == plain(move.to_segment)
        assert found["from_segment"] == plain(move.from_segment)
        places = found["since"], found["as_of"], found["sequence"]
        assert places == (move.effective_at, move.decided_at, move.sequence)
        assert found["margin"] == move.margin
        assert found["direction"] == move.direction
        assert found["next_move"] == plain(move.next_move)
        assert found["explanation"] == plain(move.explanation)
        assert found["cause"] == plain(move.cause)
        assert found["holdout"] == {"bucket": 42, "held_out": False}
    assert (rules["explanation"]["kind"], learned["explanation"]["kind"]) == ("rules", "learned")
    CustomerDocument.model_validate(answer)


def test_customer_who_has_left_a_segmentation_is_answered_with_the_others(client: httpx.Client) -> None:
    left = [name for (_, name), move in NEWEST.items() if move.to_segment is None and is_in(name, "value")]
    assert left
    for customer_id in left:
        (found,) = get(client, f"/v1/customers/{customer_id}/segments")["segments"]
        assert found["segmentation"] == "value"


@pytest.mark.parametrize("customer_id", ["nobody", "a/b", "%", "ä", "..%2F", "a?b", "?value"])
def test_unknown_customer_is_not_found(client: httpx.Client, customer_id: str) -> None:
    answer = client.get(f"/v1/customers/{quote(customer_id, safe='')}/segments")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_batch_answers_known_and_unknown_customers_in_the_order_asked(client: httpx.Client) -> None:
    asked = ["customer-2", "nobody", "customer-1", "customer-2"]
    answer = client.post("/v1/customers/lookup", json={"customer_ids": asked})
    found = answer.json()
    assert [customer["customer_id"] for customer in found["customers"]] == ["customer-2", "customer-1"]
    assert found["unknown"] == ["nobody"]
    assert found["customers"][1]["segments"] == get(client, "/v1/customers/customer-1/segments")["segments"]
    BatchDocument.model_validate(found)


def test_customer_is_found_by_any_form_of_its_id(client: httpx.Client) -> None:
    asked = [" customer-1", "customer-1"]
    found = client.post("/v1/customers/lookup", json={"customer_ids": asked}).json()["customers"]
    assert [customer["customer_id"] for customer in found] == asked
    assert (
        found[0]["segments"] == found[1]["segments"] == get(client, "/v1/customers/customer-1%20/segments")["segments"]
    )


@pytest.mark.parametrize("segmentation", ["value", "lifecycle"])
def test_segments_have_the_figures_of_their_members_and_add_up(client: httpx.Client, segmentation: str) -> None:
    found = get(client, f"/v1/segmentations/{segmentation}/segments")
    SegmentListDocument.model_validate(found)
    figures = {segment["id"]: segment["figures"] for segment in found["segments"]}
    sizes = Counter(segment for (name, _), segment in MEMBERS.items() if name == segmentation)
    assert Counter({key: each["customers"] for key, each in figures.items()}) == sizes
    sums = {
        segment: reduce(MemberSums.plus, parts.values())
        for (name, segment), parts in sums_of(MOVES).items()
        if name == segmentation
    }
    inhabited = {key: each for key, each in figures.items() if each["customers"]}
    assert inhabited == plain(member_figures(sums, parse_instant(FIGURES_AS_OF[-1]), 100))
    everybody = found["all_segments"]
    assert everybody["customers"] == sizes.total()
    assert everybody["revenue"] == round(sum(each["revenue"] for each in figures.values()), 2)
    assert sum(round(1_000 * each["share"]) for each in figures.values()) == 1_000
    assert (found["figures_as_of"], found["currency"]) == (FIGURES_AS_OF[-1], "EUR")


@pytest.mark.parametrize("segmentation", ["value", "lifecycle"])
def test_segments_are_listed_by_level_and_value(client: httpx.Client, segmentation: str) -> None:
    found = get(client, f"/v1/segmentations/{segmentation}/segments")
    assert found["model_version"] == 1
    values = [(each["level"] or 0, each["figures"]["revenue_per_customer"] or 0.0) for each in found["segments"]]
    assert values == sorted(values, reverse=True)
    has_sentence = {segment["sentence"] is not None for segment in found["segments"]}
    assert has_sentence == {segmentation == "lifecycle"}


def test_learned_segments_say_what_is_true_of_their_customers_and_what_to_do_with_them(client: httpx.Client) -> None:
    segments = get(client, f"{VALUE}/segments")["segments"]
    loyal = next(segment for segment in segments if segment["id"] == "s2")
    told = {name: loyal[name] for name in ("name", "level", "statement", "action", "open")}
    assert told == {
        "name": "Segment 2",
        "level": 2,
        "statement": "orders at least once in 38 days",
        "action": "Thank them; offer a loyalty programme.",
        "open": True,
    }
    rules = get(client, f"{LIFECYCLE}/segments")["segments"]
    assert {segment[name] for segment in rules for name in ("level", "statement", "action", "open")} == {None}


@pytest.mark.parametrize("limit", [1, 3, 100])
@pytest.mark.parametrize(
    ("segmentation", "segment", "named"),
    [("value", "s2", "s2"), ("value", "s2", "Segment 2"), ("lifecycle", "slipping", "slipping")],
)
def test_pages_list_every_member_once_the_longest_there_first(
    client: httpx.Client, segmentation: str, segment: str, named: str, limit: int
) -> None:
    expected = sorted(
        (NEWEST[place].effective_at, place[1])
        for place, held in MEMBERS.items()
        if (place[0], held) == (segmentation, segment)
    )
    assert expected
    path = f"/v1/segmentations/{segmentation}/segments/{quote(named)}/members"
    listed, cursor = [], {}
    while True:
        page = get(client, path, limit=limit, **cursor)
        MembersDocument.model_validate(page)
        assert page["customers"] == len(expected)
        listed += [(member["since"], member["customer_id"]) for member in page["members"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert listed == expected


@pytest.mark.parametrize("segmentation", ["value", "lifecycle"])
def test_flows_add_up_to_the_migrations_of_a_period(client: httpx.Client, segmentation: str) -> None:
    first, last = "2026-01-05", "2026-01-20"
    answer = get(client, f"/v1/segmentations/{segmentation}/flows", **{"from": first, "to": last})
    expected = Counter(
        (move.from_segment and move.from_segment.id, move.to_segment and move.to_segment.id, move.cause.kind)
        for move in MOVES
        if move.segmentation == segmentation and first <= move.effective_at[:10] <= last
    )
    found = {
        (*(flow[end] and flow[end]["id"] for end in ("from_segment", "to_segment")), flow["cause"]): flow["migrations"]
        for flow in answer["flows"]
    }
    assert found == expected
    assert any(target is None for _, target, _ in expected) == (segmentation == "lifecycle")
    FlowsDocument.model_validate(answer)


@pytest.mark.parametrize(("segmentation", "versions"), [("value", [1, 0]), ("lifecycle", [1])])
def test_models_are_listed_and_given_in_full(client: httpx.Client, segmentation: str, versions: list[int]) -> None:
    found = get(client, f"/v1/segmentations/{segmentation}/models")
    assert [model["version"] for model in found["models"]] == versions
    ModelsDocument.model_validate(found)
    SegmentModel.model_validate(get(client, f"/v1/segmentations/{segmentation}/models/1"))


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
        (f"{VALUE}/segments/1/members", 404),
        (f"{VALUE}/segments/active/members", 404),
        (f"{LIFECYCLE}/segments/s1/members", 404),
        (f"{VALUE}/flows?from=2026-02-01&to=2026-01-01", 400),
        (f"{VALUE}/flows?from=yesterday", 422),
        ("/v1/customers/lookup", 405),
        ("/nowhere", 404),
    ],
)
def test_mistake_is_answered_as_a_problem(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert set(document) == {"type", "title", "status", "detail", "code", "request_id"}


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/v1/customers/customer-1/segments", "known are include"),
        ("/v1/customers/customer-1/migrations", "known are cursor, limit, segmentation"),
        (f"{VALUE}/segments", "this route takes none"),
        (f"{VALUE}/segments/s1/members", "known are cursor, format, limit, order, purpose, since"),
        (f"{VALUE}/flows", "known are cause, from, to"),
        (f"{VALUE}/flows/daily", "known are cause, from, to"),
        (f"{VALUE}/sizes", "known are from, to"),
        (f"{VALUE}/models", "this route takes none"),
        (f"{VALUE}/models/1", "this route takes none"),
        (
            "/v1/migrations/stream",
            "known are cause, change, direction, from, holdout, last_event_id, min_margin, "
            "purpose, segmentation, to, token",
        ),
    ],
)
def test_unknown_query_parameter_is_refused_with_the_known_ones(client: httpx.Client, path: str, known: str) -> None:
    answer = client.get(path, params={"bogus": 1})
    assert answer.status_code == 400
    assert answer.json()["detail"] == f"query parameter 'bogus' is unknown; {known}"


def test_unknown_query_parameter_of_a_batch_is_refused(client: httpx.Client) -> None:
    answer = client.post("/v1/customers/lookup?limit=3", json={"customer_ids": ["customer-1"]})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v1/segmentations/Value/segments", "there is no segmentation 'Value'; did you mean 'value'?"),
        ("/v1/segmentations/x/segments", "there is no segmentation 'x'; there are lifecycle, value"),
        (
            f"{LIFECYCLE}/segments/Activ/members",
            "there is no segment 'lifecycle/Activ'; did you mean lifecycle/active (Active)?",
        ),
        (
            f"{LIFECYCLE}/segments/s1/members",
            "there is no segment 'lifecycle/s1'; there are lifecycle/active (Active), "
            "lifecycle/slipping (Slipping away)",
        ),
        (f"{VALUE}/models/9", "value has no version 9; there are 1, 0"),
        (f"{VALUE}/flows?from=2026-02-01&to=2026-01-01", "from is 2026-02-01, later than to, which is 2026-01-01"),
    ],
)
def test_detail_names_the_candidates(client: httpx.Client, path: str, detail: str) -> None:
    assert client.get(path).json()["detail"] == detail


def test_batch_that_is_too_large_or_none_is_refused(client: httpx.Client) -> None:
    for ids in ([], ["x"] * 501, [""], [1], "x"):
        assert client.post("/v1/customers/lookup", json={"customer_ids": ids}).status_code == 422
    assert client.post("/v1/customers/lookup", content=b"{").status_code == 422


def test_probes_need_no_token(address: str) -> None:
    assert httpx.get(f"{address}/live").json() == {"live": True}
    assert httpx.get(f"{address}/ready").json() == {"ready": True, "reason": ""}
