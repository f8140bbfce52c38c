"""Shared by all routes: scopes, refusal of unknown parameters, what an answer may be kept for, and how it is described.

For a request without a query, most routes need only the path, so their function is called at once: what FastAPI does
before it takes as long as the rest of a look-up.

Answers are for their caller alone and may be kept if they are asked for again each time (`no-cache`): the tag is the
digest of the answer, so a client that has the newest one gets 304 and no body. The tag is a weak one, as compressed
answers have it, too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Iterable
from hashlib import blake2b
from typing import Annotated, Any, Final

import msgspec
from annotated_types import MaxLen, MinLen
from fastapi import APIRouter, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import Response, StreamingResponse
from fastapi.routing import APIRoute

from stream_app.api import access
from stream_app.api.problems import QUERY_PARAMETER_UNKNOWN, SEGMENT_UNKNOWN, SEGMENTATION_UNKNOWN, Kind, Problem
from stream_app.api.store import SegmentStore, StoreUnavailable
from stream_app.contracts.migration_filter import SegmentChoice
from stream_app.contracts.segment_index import SegmentIndex
from stream_app.core.consent import PURPOSE_PATTERN
from stream_app.errors import SegmentUnknown

Purpose = Annotated[
    str | None,
    Query(
        pattern=PURPOSE_PATTERN,
        description="Only customers who agree to this purpose of consent, as of the move.",
        examples=["email"],
    ),
]
KINDS_FIELD: Final = "x-problems"
"""Of a described route, until the OpenAPI document is made of it: codes of the problems that it has of its own."""
PRIVATE: Final = (b"cache-control", b"private, no-cache")
VARY: Final = (b"vary", b"Accept-Encoding")
TAG_BYTES: Final = 12

encode: Final = msgspec.json.Encoder().encode


def scoped_router(scope: str, tag: str) -> APIRouter:
    """Return a router whose routes need a scope, and take the query parameters that they declare and no others.

    By a route class: the same as a dependency costs a fifth of a whole look-up.
    """

    class ScopedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()
            known = frozenset(field.alias for field in self.dependant.query_params)
            bounds = _path_bounds(self.dependant)
            call = self.endpoint

            async def handle_if_permitted(request: Request) -> Response:
                access.needs(request.scope["state"]["client"], scope)
                if request.scope["query_string"]:
                    _require_known(request.query_params.keys(), known)
                elif bounds is not None:
                    path = request.scope["path_params"]
                    if all(least <= len(path[name]) <= most for name, least, most in bounds):
                        return _finished(request, await call(**path))
                return _finished(request, await handle(request))

            return handle_if_permitted

    return APIRouter(prefix="/v1", tags=[tag], route_class=ScopedRoute)


def _path_bounds(dependant: Dependant) -> tuple[tuple[str, int, int], ...] | None:
    """Return the names of a path's parameters and how long each may be, if a route depends on nothing else.

    None if it needs a body, a header, the request, or a parameter that is not a text: FastAPI reads those.
    """
    others = dependant.body_params, dependant.header_params, dependant.cookie_params, dependant.dependencies
    if any(others) or dependant.request_param_name is not None:
        return None
    if any(field.field_info.annotation is not str for field in dependant.path_params):
        return None
    bounds = []
    for field in dependant.path_params:
        least = next((each.min_length for each in field.field_info.metadata if isinstance(each, MinLen)), 0)
        most = next((each.max_length for each in field.field_info.metadata if isinstance(each, MaxLen)), sys.maxsize)
        bounds.append((field.alias, least, most))
    return tuple(bounds)


def described(scope: str, *kinds: Kind) -> dict[str, Any]:
    """Return what the OpenAPI document says of a route: its scope, and the problems that it has of its own."""
    return {"security": [{"token": [scope]}], KINDS_FIELD: [kind.code for kind in kinds]}


def json_response(document: object) -> Response:
    """Return a document as the answer."""
    return Response(encode(document), media_type="application/json")


def _finished(request: Request, response: Response) -> Response:
    if isinstance(response, StreamingResponse):
        if "is_head" in request.scope["state"]:  # its body would never end
            return Response(None, response.status_code, dict(response.headers))
        return response
    if request.method != "GET" or response.status_code != 200:
        return response
    return tagged(request, response)


def tagged(request: Request, response: Response) -> Response:
    """Return an answer with the tag of its body, or 304 to somebody who has it."""
    tag = b'W/"%s"' % blake2b(response.body, digest_size=TAG_BYTES).hexdigest().encode()
    given = access.header_of(request.scope, b"if-none-match")
    if given and names_tag(given, tag.decode()):
        response = Response(status_code=304)
    has = {name for name, _ in response.raw_headers}
    response.raw_headers += [pair for pair in ((b"etag", tag), PRIVATE, VARY) if pair[0] not in has]
    return response


def names_tag(given: str, tag: str) -> bool:
    """Return whether `If-None-Match` names a tag; weak ones are compared by their text (RFC 9110, 13.1.2)."""
    return given.strip() == "*" or tag.removeprefix("W/") in (
        each.strip().removeprefix("W/") for each in given.split(",")
    )


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


def unknown_parameter(name: str, known: Iterable[str]) -> str:
    """Return the message about a query parameter that a route does not take."""
    names = ", ".join(sorted(known))
    return f"query parameter {name!r} is unknown; {f'known are {names}' if names else 'this route takes none'}"


def _require_known(given: Iterable[str], known: frozenset[str]) -> None:
    for name in given:
        if name not in known:
            raise Problem(QUERY_PARAMETER_UNKNOWN, unknown_parameter(name, known))
