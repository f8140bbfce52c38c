"""Shared by all routes: scopes, refusal of unknown parameters, description of problems."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from stream_app.api import access
from stream_app.api.documents import ProblemDocument
from stream_app.api.problems import (
    CURSOR_INVALID,
    CUSTOMER_UNKNOWN,
    MEDIA_TYPE,
    PARAMETER_INVALID,
    QUERY_PARAMETER_UNKNOWN,
    RATE_LIMITED,
    SCOPE_MISSING,
    SEGMENT_UNKNOWN,
    SEGMENTATION_UNKNOWN,
    TOKEN_UNKNOWN,
    VIEW_UNAVAILABLE,
    Kind,
    Problem,
)
from stream_app.api.store import SegmentStore, StoreUnavailable
from stream_app.contracts.migration_filter import SegmentChoice
from stream_app.contracts.segment_index import SegmentIndex
from stream_app.errors import SegmentUnknown

Responses = dict[int | str, dict[str, Any]]

encode: Final = msgspec.json.Encoder().encode


def problems(*kinds: Kind) -> Responses:
    """Return the description of answers that are problems, with an example of each kind."""
    schema = ProblemDocument.model_json_schema()
    found: Responses = {}
    for kind in kinds:
        content = {MEDIA_TYPE: {"schema": schema, "examples": {}}}
        described = found.setdefault(int(kind.status), {"description": kind.title, "content": content})
        example = {"summary": kind.title, "value": Problem(kind, kind.example).document(EXAMPLE_REQUEST_ID)}
        described["content"][MEDIA_TYPE]["examples"][kind.code] = example
    return found


EXAMPLE_REQUEST_ID: Final = "6f1c6d4e9a5b4c0f8f6a1f0f4f7d2c3b"
NOT_FOUND: Final = problems(CUSTOMER_UNKNOWN, SEGMENTATION_UNKNOWN, SEGMENT_UNKNOWN)
_REFUSALS: Final[Responses] = problems(
    QUERY_PARAMETER_UNKNOWN,
    CURSOR_INVALID,
    TOKEN_UNKNOWN,
    SCOPE_MISSING,
    PARAMETER_INVALID,
    RATE_LIMITED,
    VIEW_UNAVAILABLE,
)


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
    try:
        index_of(store).require(segmentation)
    except SegmentUnknown as error:
        raise Problem(SEGMENTATION_UNKNOWN, str(error)) from None


def resolve_segment(store: SegmentStore, segmentation: str, segment: str) -> str:
    """Return the id of a segment that is named by id or name.

    Raises
    ------
    Problem
        404.
    """
    require_segmentation(store, segmentation)
    try:
        return store.index.resolve(SegmentChoice(segmentation, segment)).segment
    except SegmentUnknown as error:
        raise Problem(SEGMENT_UNKNOWN, str(error)) from None


def _require_known(given: Any, known: frozenset[str]) -> None:
    for name in given:
        if name not in known:
            those = f"known are {', '.join(sorted(known))}" if known else "this route takes none"
            raise Problem(QUERY_PARAMETER_UNKNOWN, f"query parameter {name!r} is unknown; {those}")
