"""Look-ups that leave out what is not wanted."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from stream_app.api.documents import BatchDocument, CustomerDocument

PLACE = {"segmentation", "segment", "since", "sequence", "model_version", "as_of"}
GROUPS = {
    "reason": {"change", "direction", "from_segment", "cause", "margin", "sentence"},
    "figures": {"explanation"},
    "next_move": {"next_move"},
    "holdout": {"holdout"},
}
PATH = "/v1/customers/customer-1/segments"


def get(client: httpx.Client, *included: str) -> Any:
    answer = client.get(PATH, params={"include": included})
    assert answer.status_code == 200, answer.text
    CustomerDocument.model_validate(answer.json())
    return answer.json()["segments"]


@pytest.mark.parametrize("included", [("reason",), ("next_move", "holdout"), ("holdout", "reason"), ("figures",)])
def test_segments_have_what_is_included_and_where_the_customer_is(
    client: httpx.Client, included: tuple[str, ...]
) -> None:
    whole = client.get(PATH).json()["segments"]
    wanted = PLACE.union(*(GROUPS[group] for group in included))
    for short, full in zip(get(client, *included), whole, strict=True):
        assert set(short) == wanted
        assert short.pop("sentence", None) in (None, full["explanation"]["sentence"])
        assert short == {field: full[field] for field in short}
        assert "sentence" not in full


def test_sentence_is_told_once(client: httpx.Client) -> None:
    for short in get(client, "reason", "figures"):
        assert "sentence" not in short
        assert short["explanation"]["sentence"]


def test_all_groups_are_all_there_is(client: httpx.Client) -> None:
    assert get(client, *GROUPS) == client.get(PATH).json()["segments"]


def test_batch_can_leave_out_as_much(client: httpx.Client) -> None:
    asked = {"customer_ids": ["customer-1", "nobody"]}
    answer = client.post("/v1/customers/lookup", json=asked, params={"include": "next_move"}).json()
    BatchDocument.model_validate(answer)
    assert answer["customers"] == [{"customer_id": "customer-1", "segments": get(client, "next_move")}]
    assert answer["unknown"] == ["nobody"]


@pytest.mark.parametrize("included", ["", "everything", "reason,figures"])
def test_group_that_there_is_none_of_is_refused(client: httpx.Client, included: str) -> None:
    refused = client.get(PATH, params={"include": included})
    assert refused.status_code == 422
    assert refused.json()["detail"] == "query.include.0: Input should be 'reason', 'figures', 'next_move' or 'holdout'"


@pytest.mark.parametrize("path", ["/v1/customers/{}/segments", "/v1/customers/{}/segments?include=holdout"])
@pytest.mark.parametrize(("name", "status"), [("c" * 256, 404), ("c" * 257, 422), ("ä" * 256, 404), ("", 422)])
def test_ids_are_as_long_as_they_may_be_with_a_query_and_without(
    client: httpx.Client, path: str, name: str, status: int
) -> None:
    assert client.get(path.format(name)).status_code == status
