"""The API put together: routes, access, problems, and the OpenAPI document."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import Response

from stream_app.adapters.metrics import Metrics
from stream_app.api.access import OPEN_PATHS, OPEN_PREFIXES, AccessMiddleware, BearerTokens, Credential, anybody
from stream_app.api.console import Console
from stream_app.api.customers import customer_routes
from stream_app.api.exchange import ExchangeMiddleware
from stream_app.api.problems import install_problems
from stream_app.api.quotas import Quotas
from stream_app.api.routing import encode, json_response
from stream_app.api.segments import segment_routes
from stream_app.api.store import SegmentStore
from stream_app.api.streaming import stream_routes
from stream_app.api.upcoming import leaver_routes, upcoming_routes
from stream_app.core.local_days import UTC


def create_application(
    store: SegmentStore,
    tokens: BearerTokens | None,
    metrics: Metrics,
    *,
    requests_per_second: float,
    burst: int,
    max_streams: int,
    timezone: str = UTC,
    console: Console | None = None,
    logs_requests: bool = False,
) -> FastAPI:
    """Return the API.

    Parameters
    ----------
    store
        Gives the answers; started and closed elsewhere.
    tokens
        Of those who may call; None lets everybody in.
    metrics
        Counts requests.
    requests_per_second, burst
        Of each client.
    max_streams
        Open at once.
    timezone
        Of the shop, whose days flows are told by.
    console
        The pages for people, whose sessions are a credential, too; None for none.
    logs_requests
        Whether there is a line of the log for each request.
    """
    app = FastAPI(
        title="Segments",
        version="1",
        description="Which segments a customer is in, why, and who moves where.",
        docs_url=None,  # the page would load scripts from elsewhere
        redoc_url=None,
    )
    install_problems(app)
    app.add_middleware(
        AccessMiddleware,
        credentials=_credentials(tokens, console),
        quotas=Quotas(requests_per_second, burst),
        open_paths=(*OPEN_PATHS, *(console.open_paths if console else ())),
        open_prefixes=(*OPEN_PREFIXES, *(console.open_prefixes if console else ())),
    )
    app.add_middleware(ExchangeMiddleware, metrics=metrics, logs_requests=logs_requests)  # the outer one
    routers = (
        leaver_routes(store),
        upcoming_routes(store),
        customer_routes(store),
        segment_routes(store, timezone),
        stream_routes(store, metrics, max_streams),
        _probes(store),
        *([] if console is None else [console.routes]),
    )
    for router in routers:
        app.router.routes.extend(router.routes)  # `include_router` would match a request twice, for a tenth of its time
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        schema = plain()
        schemes = schema.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["token"] = {"type": "http", "scheme": "bearer", "description": "`segmenter api token` makes one."}
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation has it
    return app


def _credentials(tokens: BearerTokens | None, console: Console | None) -> tuple[Credential, ...]:
    if tokens is None:
        return (anybody,)
    return (tokens, *(console.credentials if console else ()))


def _probes(store: SegmentStore) -> APIRouter:
    router = APIRouter(tags=["probes"], include_in_schema=False)

    @router.get("/live")
    async def live() -> Response:
        return json_response({"live": True})

    @router.get("/ready")
    async def ready() -> Response:
        reason = store.unready_reason()
        status = HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK
        return Response(encode({"ready": not reason, "reason": reason}), status, media_type="application/json")

    return router
