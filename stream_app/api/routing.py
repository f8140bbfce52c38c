"""Shared by all routes: scopes, refusal of unknown parameters, description of problems."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from stream_app.api import access
from stream_app.api.documents import ProblemDocument
from stream_app.api.problems import MEDIA_TYPE, Problem
from stream_app.api.store import SegmentStore, StoreUnavailable
from stream_app.contracts.segment_index import SegmentIndex
from stream_app.errors import SegmentUnknown

Responses = dict[int | str, dict[str, Any]]

encode: Final = msgspec.json.Encoder().encode


def problem(status: HTTPStatus, description: str, detail: str) -> Responses:
    """Return the description of an answer that is a problem, with an example of its detail."""
    example = Problem(status, detail).document()
    schema = ProblemDocument.model_json_schema()
    return {int(status): {"description": description, "content": {MEDIA_TYPE: {"schema": schema, "example": example}}}}


BAD_REQUEST: Final = problem(
    HTTPStatus.BAD_REQUEST,
    "A parameter is unknown, or its value fits nothing.",
    "query parameter 'limt' is unknown; known are cursor, limit",
)
NOT_FOUND: Final = problem(
    HTTPStatus.NOT_FOUND,
    "There is no such customer, segmentation, segment or version.",
    "there is no segmentation 'valu'; did you mean 'value'?",
)
_REFUSALS: Final[Responses] = {
    **BAD_REQUEST,
    **problem(HTTPStatus.UNAUTHORIZED, "No token, or an unknown one.", "this token is not known"),
    **problem(HTTPStatus.FORBIDDEN, "The token lacks the scope.", "this token lacks the scope read:customers"),
    **problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "A parameter is not of its form.",
        "query.limit: Input should be greater than or equal to 1",
    ),
    **problem(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests; see Retry-After.", "too many requests with this token"),
    **problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The view does not answer; see Retry-After.",
        "the view does not answer; try again",
    ),
}


def scoped_router(scope: str, tag: str) -> APIRouter:
    """Return a router whose routes need a scope, and take the query parameters that they declare and no others.

    By a route class: the same as a dependency costs a fifth of a whole look-up.
    """

    class ScopedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()
            known = frozenset(field.alias for field in self.dependant.query_params)

            async def handle_if_permitted(request: Request) -> Response:
                access.needs(request.scope["state"]["client"], scope)
                if request.scope["query_string"]:
                    _require_known(request.query_params.keys(), known)
                return await handle(request)

            return handle_if_permitted

    return APIRouter(prefix="/v1", tags=[tag], route_class=ScopedRoute, responses=_REFUSALS)


def security(scope: str) -> dict[str, Any]:
    """Return the part of the OpenAPI document that says which scope a route needs."""
    return {"security": [{"token": [scope]}]}


def json_response(document: object) -> Response:
    """Return a document as the answer."""
    return Response(encode(document), media_type="application/json")


def index_of(store: SegmentStore) -> SegmentIndex:
    """Return the segments that a store knows.

    Raises
    ------
    StoreUnavailable
        If it knows none yet: then nothing can be said to be unknown.
    """
    if not store.index.models:
        raise StoreUnavailable(store.unready_reason() or "there is no model yet; try again")
    return store.index


def require_segmentation(store: SegmentStore, segmentation: str) -> None:
    """Refuse a segmentation that there is no model of.

    Raises
    ------
    Problem
        404.
    """
    with found_or_404():
        index_of(store).require(segmentation)


@contextmanager
def found_or_404() -> Iterator[None]:
    """Answer 404 where a segmentation or segment is looked for that there is none of."""
    try:
        yield
    except SegmentUnknown as error:
        raise Problem(HTTPStatus.NOT_FOUND, str(error)) from None


def _require_known(given: Any, known: frozenset[str]) -> None:
    for name in given:
        if name not in known:
            those = f"known are {', '.join(sorted(known))}" if known else "this route takes none"
            raise Problem(HTTPStatus.BAD_REQUEST, f"query parameter {name!r} is unknown; {those}")
