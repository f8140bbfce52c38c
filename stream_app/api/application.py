"""The routes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, FastAPI, Header, Path, Query, Request
from fastapi.responses import Response, StreamingResponse
from fastapi.routing import APIRoute

from stream_app.adapters.metrics import Metrics
from stream_app.adapters.metrics.declared import END_TO_END_LATENCY, STREAM_CLIENTS
from stream_app.api import access
from stream_app.api.documents import (
    CUSTOMER_ID_CHARACTERS,
    BatchDocument,
    BatchRequest,
    CustomerDocument,
    FlowsDocument,
    MembersDocument,
    ModelsDocument,
    ProblemDocument,
    SegmentListDocument,
)
from stream_app.api.feed import FeedFilter, id_order
from stream_app.api.problems import MEDIA_TYPE, Problem, install_problems
from stream_app.api.store import CustomerSegment, SegmentStore, StoreUnavailable
from stream_app.contracts.outputs import CauseKind, SegmentModel
from stream_app.core.clock import format_instant

PERIOD_DAYS_MAX: Final = 366
DEFAULT_PERIOD_DAYS: Final = 30
MEMBERS_MAX: Final = 1_000
SILENCE_SECONDS: Final = 15.0
"""Then a comment is sent, so that proxies do not take the stream for dead, and a client that has gone is noticed."""
RECONNECT_MS: Final = 1_000

_encode: Final = msgspec.json.Encoder().encode

Segmentation = Annotated[str, Path(max_length=CUSTOMER_ID_CHARACTERS, examples=["value"])]
SegmentPath = Annotated[str, Path(pattern=r"^s[0-9]{1,5}$", examples=["s3"])]
SegmentQuery = Annotated[str | None, Query(pattern=r"^s[0-9]{1,5}$")]


def create_application(
    store: SegmentStore,
    clients: Sequence[access.Client],
    metrics: Metrics,
    *,
    requests_per_second: float,
    burst: int,
    max_streams: int,
) -> FastAPI:
    """Return the API.

    Parameters
    ----------
    store
        Where answers come from; started and closed elsewhere.
    clients
        Who may call; none lets everybody in.
    metrics
        Where requests are counted.
    requests_per_second, burst
        Of each client.
    max_streams
        Open at once.
    """
    app = FastAPI(
        title="Segments",
        version="1",
        description="Which segment a customer is in, why, and who moves where.",
        docs_url=None,  # the page would load scripts from elsewhere
        redoc_url=None,
    )
    install_problems(app)
    app.add_middleware(
        access.Gate, clients=clients, requests_per_second=requests_per_second, burst=burst, metrics=metrics
    )
    for router in (_customers(store), _segments(store), _stream(store, metrics, max_streams), _probes(store)):
        app.router.routes.extend(router.routes)  # `include_router` would match a request twice, for a tenth of its time
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        schema = plain()
        schemes = schema.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["token"] = {"type": "http", "scheme": "bearer", "description": "`segmenter api token` makes one."}
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation has it
    return app


def _problem(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": ProblemDocument.model_json_schema()}},
    }


def _router(scope: str, tag: str) -> APIRouter:
    """Return a router whose routes need a scope.

    By a route class: the same as a dependency costs a fifth of a whole look-up.
    """

    class ScopedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_if_permitted(request: Request) -> Response:
                access.needs(request.scope["state"]["client"], scope)
                return await handle(request)

            return handle_if_permitted

    return APIRouter(prefix="/v1", tags=[tag], route_class=ScopedRoute, responses=_REFUSALS)


def _security(scope: str) -> dict[str, Any]:
    return {"security": [{"token": [scope]}]}


def _json(document: object) -> Response:
    return Response(_encode(document), media_type="application/json")


def _found(answer: Any, what: str) -> Any:
    if answer is None:
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no such {what}")
    return answer


_REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    401: _problem("No token, or an unknown one."),
    403: _problem("The token is not good for this."),
    422: _problem("A parameter is not as expected."),
    429: _problem("Too many requests; see Retry-After."),
    503: _problem("The view does not answer; see Retry-After."),
}
_NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {404: _problem("There is no such thing.")}


def _probes(store: SegmentStore) -> APIRouter:
    router = APIRouter(tags=["probes"], include_in_schema=False)

    @router.get("/live")
    async def live() -> Response:
        return _json({"live": True})

    @router.get("/ready")
    async def ready() -> Response:
        reason = store.unready_reason()
        status = HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK
        return Response(_encode({"ready": not reason, "reason": reason}), status, media_type="application/json")

    return router


def _customers(store: SegmentStore) -> APIRouter:
    router = _router(access.READ_CUSTOMERS, "customers")
    extra = _security(access.READ_CUSTOMERS)

    @router.get(
        "/customers/{customer_id:path}/segments",
        response_model=CustomerDocument,
        responses=_NOT_FOUND,
        openapi_extra=extra,
        summary="The segments a customer is in, and why",
    )
    async def customer(
        customer_id: Annotated[str, Path(min_length=1, max_length=CUSTOMER_ID_CHARACTERS, examples=["customer-1"])],
    ) -> Response:
        (segments,) = await store.look_up([customer_id])
        return _json({"customer_id": customer_id, "segments": _found(segments or None, "customer")})

    @router.post(
        "/customers/lookup",
        response_model=BatchDocument,
        openapi_extra=extra,
        summary="The segments of up to 500 customers",
    )
    async def look_up(request: BatchRequest) -> Response:
        ids = list(dict.fromkeys(request.customer_ids))
        answers: Mapping[str, list[CustomerSegment]] = dict(zip(ids, await store.look_up(ids), strict=True))
        known = [{"customer_id": name, "segments": segments} for name, segments in answers.items() if segments]
        return _json({"customers": known, "unknown": [name for name, segments in answers.items() if not segments]})

    @router.get(
        "/segmentations/{segmentation}/segments/{segment_id}/members",
        response_model=MembersDocument,
        responses=_NOT_FOUND | {400: _problem("The cursor is none of ours.")},
        openapi_extra=extra,
        summary="The customers of a segment, page by page, the longest there first",
    )
    async def members(
        segmentation: Segmentation,
        segment_id: SegmentPath,
        limit: Annotated[int, Query(ge=1, le=MEMBERS_MAX)] = 100,
        cursor: Annotated[str | None, Query(max_length=2_000, description="`next_cursor` of the page before.")] = None,
    ) -> Response:
        after = None if cursor is None else _parse_cursor(cursor)
        page = _found(await store.members(segmentation, segment_id, limit, after), "segment")
        following = _cursor(page.members[-1]) if len(page.members) == limit else None
        listed = [{"customer_id": name, "since": format_instant(since_ms)} for since_ms, name in page.members]
        return _json({"customers": page.customers, "members": listed, "next_cursor": following})

    return router


def _segments(store: SegmentStore) -> APIRouter:
    router = _router(access.READ_SEGMENTS, "segments")
    extra = _security(access.READ_SEGMENTS)

    @router.get(
        "/segmentations/{segmentation}/segments",
        response_model=SegmentListDocument,
        responses=_NOT_FOUND,
        openapi_extra=extra,
        summary="All segments, their size and typical customer",
    )
    async def segments(segmentation: Segmentation) -> Response:
        return _json(_found(await store.segments(segmentation), "segmentation"))

    @router.get(
        "/segmentations/{segmentation}/flows",
        response_model=FlowsDocument,
        responses=_NOT_FOUND | {400: _problem("The period is empty or too long.")},
        openapi_extra=extra,
        summary="How many customers went from where to where in a period",
    )
    async def flows(
        segmentation: Segmentation,
        first_day: Annotated[
            date | None, Query(alias="from", description="First day (UTC); 30 days up to `to` if not given.")
        ] = None,
        last_day: Annotated[
            date | None, Query(alias="to", description="Last day (UTC), included; today if not given.")
        ] = None,
    ) -> Response:
        days = _days(first_day, last_day)
        found = _found(await store.flows(segmentation, days), "segmentation")
        return _json({"segmentation": segmentation, "first_day": days[0], "last_day": days[-1], "flows": found})

    @router.get(
        "/segmentations/{segmentation}/models",
        response_model=ModelsDocument,
        responses=_NOT_FOUND,
        openapi_extra=extra,
        summary="The versions of the model",
    )
    async def models(segmentation: Segmentation) -> Response:
        documents = _found(await store.models(segmentation), "segmentation")
        return _json({"segmentation": segmentation, "models": [_summary(document) for document in documents]})

    @router.get(
        "/segmentations/{segmentation}/models/{version}",
        response_model=SegmentModel,
        responses=_NOT_FOUND,
        openapi_extra=extra,
        summary="One version of the model, with all its numbers",
    )
    async def model(segmentation: Segmentation, version: Annotated[int, Path(ge=0, le=2**31)]) -> Response:
        documents = _found(await store.models(segmentation), "segmentation")
        found = next((document for document in documents if document["version"] == version), None)
        return _json(_found(found, "version"))

    return router


def _stream(store: SegmentStore, metrics: Metrics, max_streams: int) -> APIRouter:
    router = _router(access.STREAM_MIGRATIONS, "stream")
    is_open: set[object] = set()

    async def events(last_id: str | None, wanted: FeedFilter) -> AsyncIterator[bytes]:
        me = object()
        is_open.add(me)
        metrics.set(STREAM_CLIENTS, len(is_open))
        latency = metrics.distribution(END_TO_END_LATENCY, sink="sse")
        try:
            yield b"retry: %d\n: %s\n\n" % (RECONNECT_MS, b"migrations from here on")
            async for entry in store.feed.follow(last_id, SILENCE_SECONDS):
                if entry is None:
                    yield b": still here\n\n"
                elif wanted.fits(entry):
                    yield b"id: %s\nevent: migration\ndata: %s\n\n" % (entry.entry_id.encode(), entry.document.strip())
                    latency.observe(max(0.0, datetime.now(UTC).timestamp() - id_order(entry.entry_id)[0] / 1_000))
        except StoreUnavailable:
            return  # the client comes again, with the last id it has seen
        finally:
            is_open.discard(me)
            metrics.set(STREAM_CLIENTS, len(is_open))

    @router.get(
        "/migrations/stream",
        response_class=StreamingResponse,
        responses={
            200: {
                "description": "Server-sent events",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            400: _problem("Last-Event-ID is none of ours."),
        },
        openapi_extra=_security(access.STREAM_MIGRATIONS),
        summary="Migrations as they happen, as server-sent events",
    )
    async def stream(
        segmentation: Annotated[str | None, Query(max_length=CUSTOMER_ID_CHARACTERS)] = None,
        from_segment: Annotated[SegmentQuery, Query(alias="from")] = None,
        to_segment: Annotated[SegmentQuery, Query(alias="to")] = None,
        cause: CauseKind | None = None,
        min_margin: Annotated[float | None, Query(allow_inf_nan=False)] = None,
        last_event_id: Annotated[str | None, Header(description="Go on behind this event.")] = None,
    ) -> Response:
        if last_event_id is not None:
            try:
                id_order(last_event_id)
            except ValueError:
                raise Problem(HTTPStatus.BAD_REQUEST, "Last-Event-ID: expected the id of an event") from None
        if len(is_open) >= max_streams:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "too many streams are open", {"Retry-After": "5"})
        wanted = FeedFilter(segmentation, from_segment, to_segment, cause, min_margin)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(events(last_event_id, wanted), headers=headers, media_type="text/event-stream")

    return router


def _summary(document: Mapping[str, Any]) -> dict[str, Any]:
    names = ("version", "status", "as_of", "feature_set", "expected_churn")
    return {name: document[name] for name in names} | {"segments": len(document["segments"])}


def _days(first: date | None, last: date | None) -> list[str]:
    last = last or datetime.now(UTC).date()
    try:
        first = first or last - timedelta(days=DEFAULT_PERIOD_DAYS - 1)
    except OverflowError:
        first = last
    count = (last - first).days + 1
    if not 1 <= count <= PERIOD_DAYS_MAX:
        raise Problem(HTTPStatus.BAD_REQUEST, f"from, to: {count} days, expected 1 to {PERIOD_DAYS_MAX}")
    return [(first + timedelta(days=number)).isoformat() for number in range(count)]


def _cursor(place: tuple[int, str]) -> str:
    return base64.urlsafe_b64encode(_encode(place)).decode()


def _parse_cursor(cursor: str) -> tuple[int, str]:
    try:
        return msgspec.json.decode(base64.b64decode(cursor, b"-_", validate=True), type=tuple[int, str])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise Problem(HTTPStatus.BAD_REQUEST, "cursor: expected next_cursor of the page before") from None
