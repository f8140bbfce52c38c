"""What the OpenAPI document says is so: each answer and problem has an example that fits, and each field a type."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pydantic
import pytest
from jsonschema import Draft202012Validator

from stream_app.api import documents
from stream_app.api.examples import EXAMPLES
from stream_app.api.problems import KINDS, MEDIA_TYPE
from stream_app.contracts.outputs.models import SegmentModel
from tests.api.serving import memory_store, serving

GUIDE = Path(__file__).parents[2] / "docs" / "api.md"
INSTANTS = {"since", "as_of", "at", "until", "after", "effective_at", "decided_at", "expires_at", "figures_as_of"}
"""Fields that are instants wherever they are, but in explanations."""


@pytest.fixture(scope="module")
def described(folder: Path) -> Any:
    with serving(memory_store(folder)) as address:
        return httpx.get(f"{address}/openapi.json").json()  # needs no token


def operations(described: Any) -> Iterator[tuple[str, Any]]:
    for methods in described["paths"].values():
        for operation in methods.values():
            yield operation["operationId"], operation


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_is_of_its_form(name: str) -> None:
    form: Any = SegmentModel if name == "SegmentModel" else getattr(documents, name)
    pydantic.TypeAdapter(form).validate_python(EXAMPLES[name])


def test_operations_have_names_for_clients(described: Any) -> None:
    assert {name for name, _ in operations(described)} == {
        "createStreamToken",
        "getCustomerMigrations",
        "getCustomerSegments",
        "getDailyFlows",
        "getFlows",
        "getModel",
        "getSizes",
        "listModels",
        "listSegmentLeavers",
        "listSegmentMembers",
        "listSegmentations",
        "listSegments",
        "listUpcomingMoves",
        "lookUpCustomers",
        "resetSegmentAction",
        "setSegmentAction",
        "streamMigrations",
    }


def test_every_answer_has_an_example(described: Any) -> None:
    for name, operation in operations(described):
        for status, answer in operation["responses"].items():
            for media_type, content in answer.get("content", {}).items():
                assert "example" in content or content["examples"], (name, status, media_type)


def test_examples_of_problems_fit_their_status_and_route(described: Any) -> None:
    schema = described["components"]["schemas"]["ProblemDocument"]
    seen = set()
    for name, operation in operations(described):
        known = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"}
        for status, answer in operation["responses"].items():
            for code, example in answer.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {}).items():
                value = example["value"]
                Draft202012Validator(schema).validate(value)
                assert (value["code"], value["type"]) == (code, f"/problems/{code}")
                assert value["status"] == int(status) == KINDS[code].status
                seen.add(code)
                if code == "query-parameter-unknown" and known:
                    assert value["detail"].endswith(f"known are {', '.join(sorted(known))}"), name
                if code == "parameter-invalid":
                    place = value["detail"].partition(":")[0].split(".")[1]
                    assert place in {parameter["name"] for parameter in operation["parameters"]}, name
    assert seen >= {"customer-unknown", "period-invalid", "stream-token-invalid", "body-invalid", "rate-limited"}


def test_instants_are_told_as_such(described: Any) -> None:
    found = set()
    for schema in described["components"]["schemas"].values():
        for field, part in schema.get("properties", {}).items():
            choices = part.get("anyOf", [part])
            if field in INSTANTS and any(choice.get("type") == "string" for choice in choices):
                assert any(choice.get("format") == "date-time" for choice in choices), field
                found.add(field)
    assert found == INSTANTS


def test_parameters_are_described_and_never_null(described: Any) -> None:
    for name, operation in operations(described):
        for parameter in operation.get("parameters", []):
            assert parameter["description"], name
            assert "anyOf" not in parameter["schema"], (name, parameter["name"])


def test_guide_lists_every_code_with_its_status() -> None:
    text = GUIDE.read_text("utf-8")
    for code, kind in KINDS.items():
        assert f"| `{code}` | {int(kind.status)} |" in text, f"{code} is missing in {GUIDE.name}"
