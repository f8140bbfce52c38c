"""Errors as RFC 9457 documents, every one of them.

Each kind of problem has a code, which is for programs and stays, and a status; `detail` is for people and may be
reworded at any time. The type is the code as a URI reference, at which a server explains it; by RFC 9457 (3.1.1) it
may be relative if it has the full path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from stream_app.api.store import StoreUnavailable

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "/problems/"
RETRY_SECONDS: Final = 1
"""`Retry-After` while the view does not answer."""


@dataclass(frozen=True)
class Kind:
    """A kind of problem.

    Parameters
    ----------
    code
        For programs; it stays.
    status
        Of HTTP.
    title
        What all problems of the kind have in common.
    example
        A detail as it might be.
    """

    code: str
    status: HTTPStatus
    title: str
    example: str

    @property
    def type(self) -> str:
        """The code as a URI reference."""
        return TYPE_PREFIX + self.code


QUERY_PARAMETER_UNKNOWN: Final = Kind(
    "query-parameter-unknown",
    HTTPStatus.BAD_REQUEST,
    "The route does not take this query parameter.",
    "query parameter 'limt' is unknown; known are cursor, limit",
)
PERIOD_INVALID: Final = Kind(
    "period-invalid",
    HTTPStatus.BAD_REQUEST,
    "The period ends before it begins, or is too long.",
    "from is 2026-02-01, later than to, which is 2026-01-01",
)
CURSOR_INVALID: Final = Kind(
    "cursor-invalid",
    HTTPStatus.BAD_REQUEST,
    "The cursor does not come from a page before.",
    "cursor: expected next_cursor of the page before",
)
FILTER_MATCHES_NOTHING: Final = Kind(
    "filter-matches-nothing",
    HTTPStatus.BAD_REQUEST,
    "The filter names a segmentation or segment that does not exist.",
    "to: there is no segment 'ACTIVE'; did you mean 'Active'?",
)
EVENT_ID_INVALID: Final = Kind(
    "event-id-invalid",
    HTTPStatus.BAD_REQUEST,
    "Last-Event-ID does not come from the stream.",
    "Last-Event-ID: expected the id of an event",
)
BODY_INVALID: Final = Kind(
    "body-invalid",
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "The body does not have the expected form.",
    "body.customer_ids: Field required",
)
REQUEST_INVALID: Final = Kind(
    "request-invalid",
    HTTPStatus.BAD_REQUEST,
    "The request cannot be understood.",
    "there was an error parsing the body",
)
TOKEN_MISSING: Final = Kind(
    "token-missing",
    HTTPStatus.UNAUTHORIZED,
    "The request does not say who makes it.",
    "the header Authorization is missing, expected Authorization: Bearer <token>",
)
TOKEN_MALFORMED: Final = Kind(
    "token-malformed",
    HTTPStatus.UNAUTHORIZED,
    "The header Authorization has another form.",
    "the header Authorization has another form, expected Authorization: Bearer <token>",
)
TOKEN_UNKNOWN: Final = Kind(
    "token-unknown", HTTPStatus.UNAUTHORIZED, "The token is not known.", "this token is not known"
)
STREAM_TOKEN_INVALID: Final = Kind(
    "stream-token-invalid",
    HTTPStatus.UNAUTHORIZED,
    "The stream token is not known, or has expired.",
    "this stream token has expired; POST /v1/stream-tokens makes another one",
)
SCOPE_MISSING: Final = Kind(
    "scope-missing",
    HTTPStatus.FORBIDDEN,
    "The token lacks the scope of the route.",
    "this token lacks the scope read:customers",
)
CSRF_TOKEN_INVALID: Final = Kind(
    "csrf-token-invalid",
    HTTPStatus.FORBIDDEN,
    "A request with a session's cookie does not prove that it comes from a page of this origin.",
    "the header X-CSRF-Token is missing or of another session; load the page again",
)
ORIGIN_FOREIGN: Final = Kind(
    "origin-foreign",
    HTTPStatus.FORBIDDEN,
    "The request comes from a page of another origin.",
    "only pages of this server may ask for that",
)
DECISION_IMPOSSIBLE: Final = Kind(
    "decision-impossible",
    HTTPStatus.SERVICE_UNAVAILABLE,
    "Models cannot be decided on from here.",
    "no Kafka broker answers at localhost:9092",
)
ACTIONS_FIXED: Final = Kind(
    "actions-fixed",
    HTTPStatus.CONFLICT,
    "What is served is a replay, which does not change.",
    "a replay's folder is served; say in the segmentation's definition what to do",
)
CUSTOMER_UNKNOWN: Final = Kind(
    "customer-unknown", HTTPStatus.NOT_FOUND, "There is no such customer.", "there is no such customer"
)
SEGMENTATION_UNKNOWN: Final = Kind(
    "segmentation-unknown",
    HTTPStatus.NOT_FOUND,
    "There is no such segmentation.",
    "there is no segmentation 'valu'; did you mean 'value'?",
)
SEGMENT_UNKNOWN: Final = Kind(
    "segment-unknown",
    HTTPStatus.NOT_FOUND,
    "The segmentation has no such segment.",
    "there is no segment 'lifecycle/Activ'; did you mean 'Active'?",
)
VERSION_UNKNOWN: Final = Kind(
    "version-unknown",
    HTTPStatus.NOT_FOUND,
    "The segmentation has no such version.",
    "value has no version 9; there are 1, 0",
)
ROUTE_UNKNOWN: Final = Kind(
    "route-unknown", HTTPStatus.NOT_FOUND, "There is no such route.", "there is no such route; see /docs"
)
METHOD_NOT_ALLOWED: Final = Kind(
    "method-not-allowed",
    HTTPStatus.METHOD_NOT_ALLOWED,
    "The route does not take this method.",
    "the route does not take DELETE; it takes GET, HEAD",
)
NOT_ACCEPTABLE: Final = Kind(
    "not-acceptable",
    HTTPStatus.NOT_ACCEPTABLE,
    "The route has none of the media types that are accepted.",
    "Accept: expected one of application/json, text/csv, application/x-ndjson",
)
BODY_TOO_LARGE: Final = Kind(
    "body-too-large",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "The body is too large.",
    "the body is larger than a request may be",
)
PARAMETER_INVALID: Final = Kind(
    "parameter-invalid",
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "A parameter does not have the expected form.",
    "query.limit: Input should be greater than or equal to 1",
)
RATE_LIMITED: Final = Kind(
    "rate-limited",
    HTTPStatus.TOO_MANY_REQUESTS,
    "The token is used too often.",
    "too many requests with this token; the next one is let through in 1 s",
)
INTERNAL: Final = Kind(
    "internal-error",
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "The server has failed.",
    "internal error; the server's log has details under the request's id",
)
VIEW_UNAVAILABLE: Final = Kind(
    "view-unavailable",
    HTTPStatus.SERVICE_UNAVAILABLE,
    "The view does not answer, or is being built.",
    "the view does not answer; try again",
)
STREAMS_FULL: Final = Kind(
    "streams-full",
    HTTPStatus.SERVICE_UNAVAILABLE,
    "As many streams are open as are allowed.",
    "too many streams are open; try again",
)

KINDS: Final[Mapping[str, Kind]] = {value.code: value for value in list(globals().values()) if isinstance(value, Kind)}
"""By code."""
_OF_STATUS: Final = {
    HTTPStatus.NOT_FOUND: ROUTE_UNKNOWN,
    HTTPStatus.METHOD_NOT_ALLOWED: METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: BODY_TOO_LARGE,
    HTTPStatus.BAD_REQUEST: REQUEST_INVALID,
}
"""What the framework refuses by itself."""


class Problem(Exception):
    """An error that becomes the answer.

    Parameters
    ----------
    kind
        What all problems like this one have in common.
    detail
        The mistake, and the value expected.
    headers
        Sent with it.
    """

    def __init__(self, kind: Kind, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers or {}

    def document(self, request_id: str) -> dict[str, str | int]:
        """Return the body."""
        kind = self.kind
        return {
            "type": kind.type,
            "title": kind.title,
            "status": int(kind.status),
            "detail": self.detail,
            "code": kind.code,
            "request_id": request_id,
        }

    def response(self, state: Mapping[str, Any]) -> Response:
        """Return the answer to a request, whose state has its id."""
        document = self.document(state.get("request_id", ""))
        headers = {"Cache-Control": "no-store"} | dict(self.headers)
        return Response(msgspec.json.encode(document), self.kind.status, headers, MEDIA_TYPE)


def install_problems(app: FastAPI) -> None:
    """Have every error of an application answered in this form."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> Response:
        return error.response(request.scope["state"])

    @app.exception_handler(StoreUnavailable)
    async def _unavailable(request: Request, error: StoreUnavailable) -> Response:
        headers = {"Retry-After": str(RETRY_SECONDS)}
        return Problem(VIEW_UNAVAILABLE, str(error), headers).response(request.scope["state"])

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        kind = BODY_INVALID if first["loc"][0] == "body" else PARAMETER_INVALID
        return Problem(kind, f"{place}: {first['msg']}").response(request.scope["state"])

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        return _refused_by_framework(request, error).response(request.scope["state"])


def _refused_by_framework(request: Request, error: HTTPException) -> Problem:
    status, headers = HTTPStatus(error.status_code), dict(error.headers or {})
    kind = _OF_STATUS.get(status, REQUEST_INVALID)
    if kind is ROUTE_UNKNOWN:
        return Problem(kind, kind.example)
    if kind is METHOD_NOT_ALLOWED:
        allowed = {each.strip() for each in headers.get("Allow", "").split(",")}
        takes = ", ".join(sorted(allowed | ({"HEAD"} if "GET" in allowed else set())))
        return Problem(kind, f"the route does not take {request.method}; it takes {takes}", {"Allow": takes})
    return Problem(kind, error.detail, headers)
