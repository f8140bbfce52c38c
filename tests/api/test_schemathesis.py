"""Requests drawn from the OpenAPI document, good and bad, find no server error and no answer it does not describe."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.serving import ALL, bearer

EXAMPLES = 15
"""For each operation."""
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    ignored_auth,
    allow_header_conformance,
)


def test_no_request_makes_the_server_fail(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    stream = document["paths"].pop("/v1/migrations/stream")
    assert stream, "a stream has no end to wait for: it has tests of its own"
    schema = schemathesis.openapi.from_dict(document)
    schema.config.generation.update(modes=list(GenerationMode))
    tried = 0
    for operation in schema.get_all_operations():
        described = operation.ok()

        @given(case=described.as_strategy())
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        )
        def call(case: Any) -> None:
            nonlocal tried
            tried += 1
            case.call_and_validate(base_url=str(client.base_url), headers=bearer(ALL), checks=CHECKS)

        call()
    print(f"{tried} requests")
    assert tried > EXAMPLES


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b'{"customer_ids": null}', b'{"customer_ids": ["\\u0000"]}'])
def test_odd_bodies_are_answered(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/v1/customers/lookup", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400, 422)
    assert "json" in answer.headers["content-type"]
