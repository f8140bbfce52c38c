"""The OpenAPI document: what FastAPI knows of the routes, and what it cannot know of them.

Each answer has an example, each problem of each route one of its own; instants are `date-time`; headers that every
answer has are described once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from stream_app.api.documents import ProblemDocument
from stream_app.api.examples import EXAMPLES
from stream_app.api.problems import (
    BODY_INVALID,
    KINDS,
    MEDIA_TYPE,
    PARAMETER_INVALID,
    QUERY_PARAMETER_UNKNOWN,
    RATE_LIMITED,
    SCOPE_MISSING,
    STREAM_TOKEN_INVALID,
    TOKEN_MALFORMED,
    TOKEN_MISSING,
    TOKEN_UNKNOWN,
    VIEW_UNAVAILABLE,
    Kind,
    Problem,
)
from stream_app.api.routing import KINDS_FIELD, unknown_parameter
from stream_app.contracts.outputs.fields import INSTANT_PATTERN

Schema = dict[str, Any]

DESCRIPTION: Final = """\
Which segments a customer is in, why, and who moves where.

Errors are `application/problem+json` (RFC 9457); `code` is for programs and stays. A client should ignore fields that
it does not know: new ones come without a new version."""
TAGS: Final = (
    ("customers", "Which segments customers are in, how they came there, and who is in a segment."),
    ("segments", "Segmentations, their segments, sizes and flows, and the versions of their models."),
    ("upcoming", "Who moves by time alone if nothing happens."),
    ("stream", "Migrations as they happen."),
)
OF_EVERY_ROUTE: Final = (
    QUERY_PARAMETER_UNKNOWN,
    TOKEN_MISSING,
    TOKEN_MALFORMED,
    TOKEN_UNKNOWN,
    SCOPE_MISSING,
    RATE_LIMITED,
    VIEW_UNAVAILABLE,
)
INVALID_EXAMPLES: Final[Mapping[str, str]] = {
    "limit": "query.limit: Input should be greater than or equal to 1",
    "days": "query.days: Input should be greater than 0",
    "from": "query.from: Input should be a valid date or datetime, invalid character in year",
    "min_margin": "query.min_margin: Input should be a valid number, unable to parse string as a number",
    "include": "query.include.0: Input should be 'reason', 'figures', 'next_move' or 'holdout'",
    "version": "path.version: Input should be a valid integer, unable to parse string as an integer",
    "customer_id": "path.customer_id: String should have at most 256 characters",
    "segmentation": "path.segmentation: String should have at most 256 characters",
}
"""By the parameter that does not have its form; the first one that a route has is shown."""
REQUEST_ID: Final = "6f1c6d4e9a5b4c0f8f6a1f0f4f7d2c3b"
HEADERS: Final[Mapping[str, Schema]] = {
    "X-Request-Id": {
        "description": "Of the request: the caller's own if it is well-formed, else one that was made.",
        "schema": {"type": "string", "example": REQUEST_ID},
    },
    "RateLimit-Policy": {
        "description": "How many calls the token has (`q`) in how many seconds (`w`).",
        "schema": {"type": "string", "example": '"token";q=1000;w=2'},
    },
    "RateLimit": {
        "description": "How many calls are left (`r`), and in how many seconds all of them are back (`t`).",
        "schema": {"type": "string", "example": '"token";r=999;t=1'},
    },
    "ETag": {
        "description": "Of the answer; `If-None-Match` with it is answered 304 while it is the newest one.",
        "schema": {"type": "string", "example": 'W/"5f0c3a1b9d8e7f6a5b4c3d2e"'},
    },
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer", "example": 1},
    },
}


def describe(app: FastAPI) -> Schema:
    """Return the OpenAPI document of an application."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS],
        servers=[{"url": "/", "description": "Where this document comes from."}],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    components = document.setdefault("components", {})
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "`segmenter api token` makes one."},
        "stream_token": {
            "type": "apiKey",
            "in": "query",
            "name": "token",
            "description": "Of `POST /v1/stream-tokens`, for a minute, where no header can be sent.",
        },
    }
    schemas = components["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["ProblemDocument"] = ProblemDocument.model_json_schema()
    components["headers"] = {name: dict(header) for name, header in HEADERS.items()}
    for _, _, operation in operations(document):
        _complete(operation, schemas)
    _name_instants(document)
    order = [name for name, _ in TAGS]
    document["x-problems"] = [_kind(kind) for kind in sorted(KINDS.values(), key=lambda each: (each.status, each.code))]
    document["paths"] = dict(sorted(document["paths"].items(), key=lambda item: order.index(_tag(item[1]))))
    return document


def _kind(kind: Kind) -> Schema:
    return {"code": kind.code, "status": int(kind.status), "title": kind.title, "detail": kind.example}


def _tag(methods: Schema) -> str:
    return str(next(iter(methods.values()))["tags"][0])


def operations(document: Schema) -> Iterator[tuple[str, str, Schema]]:
    """Yield path, method and operation of each."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _complete(operation: Schema, schemas: Schema) -> None:
    kinds = [KINDS[code] for code in operation.pop(KINDS_FIELD)]
    if STREAM_TOKEN_INVALID in kinds:
        operation["security"].append({"stream_token": []})
    parameters = operation.get("parameters", [])
    invalid = [PARAMETER_INVALID] if parameters else []
    for parameter in parameters:
        _leave_out_null(parameter["schema"])
    if "requestBody" in operation:
        invalid.append(BODY_INVALID)
        _add_example(operation["requestBody"]["content"]["application/json"])
    responses = operation["responses"]
    responses.pop("422", None)
    for status, response in list(responses.items()):
        headers = ["X-Request-Id", "RateLimit-Policy", "RateLimit"]
        schema = response.get("content", {}).get("application/json", {})
        if schema and operation["operationId"].startswith(("get", "list")):
            headers.insert(0, "ETag")
            responses["304"] = {"description": "The newest answer is known already.", "headers": _headers("ETag")}
        response["headers"] = _headers(*headers)
        if schema:
            _add_example(schema)
            response["description"] = _first_sentence(schemas[_name_of(schema)], response["description"])
        responses[status] = response
    by_status: dict[str, list[Kind]] = {}
    for kind in (*OF_EVERY_ROUTE, *kinds, *invalid):
        by_status.setdefault(str(int(kind.status)), []).append(kind)
    for status, of_status in sorted(by_status.items()):
        responses[status] = _problems(operation, of_status)


def _leave_out_null(schema: Schema) -> None:
    """Describe an optional parameter by its value alone: an address has no null."""
    choices = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(choices) == 1:
        del schema["anyOf"]
        schema |= choices[0]


def _name_of(content: Schema) -> str:
    return str(content.get("schema", {}).get("$ref", "")).rpartition("/")[2]


def _add_example(content: Schema) -> None:
    name = _name_of(content)
    content["example"] = EXAMPLES[name]


def _first_sentence(schema: Schema, otherwise: str) -> str:
    return str(schema["description"]).partition("\n")[0] if "description" in schema else otherwise


def _headers(*names: str) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _problems(operation: Schema, kinds: Sequence[Kind]) -> Schema:
    examples = {
        kind.code: {
            "summary": kind.title,
            "value": Problem(kind, _detail(operation, kind)).document(REQUEST_ID),
        }
        for kind in kinds
    }
    headers = ["X-Request-Id"]
    if kinds[0] in (RATE_LIMITED, VIEW_UNAVAILABLE):
        headers.append("Retry-After")
    return {
        "description": " ".join(kind.title for kind in kinds),
        "headers": _headers(*headers),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}, "examples": examples}},
    }


def _detail(operation: Schema, kind: Kind) -> str:
    """Return what a problem of a kind might say of a route."""
    names = [parameter["name"] for parameter in operation.get("parameters", [])]
    if kind is QUERY_PARAMETER_UNKNOWN:
        query = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
        return unknown_parameter("limt", query)
    if kind is SCOPE_MISSING:
        (scope,) = operation["security"][0]["token"]
        return f"this token lacks the scope {scope}"
    if kind is PARAMETER_INVALID:
        return next((INVALID_EXAMPLES[name] for name in INVALID_EXAMPLES if name in names), kind.example)
    return kind.example


def _name_instants(part: Any) -> None:
    """Mark each schema of an instant as `date-time`, which tells clients more than a pattern."""
    if isinstance(part, dict):
        if part.get("pattern") == INSTANT_PATTERN:
            del part["pattern"]
            part["format"] = "date-time"
        for each in part.values():
            _name_instants(each)
    elif isinstance(part, list):
        for each in part:
            _name_instants(each)
