"""The API put together: routes, access, problems, and the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from secrets import token_bytes
from typing import Final

from fastapi import APIRouter, FastAPI
from fastapi.responses import Response
from starlette.middleware.cors import CORSMiddleware

from stream_app.adapters.metrics import Metrics
from stream_app.api.access import OPEN_PATHS, OPEN_PREFIXES, AccessMiddleware, BearerTokens, Credential, anybody
from stream_app.api.compression import CompressionMiddleware
from stream_app.api.console import Console
from stream_app.api.customers import customer_routes
from stream_app.api.editing import editing_routes
from stream_app.api.exchange import ExchangeMiddleware
from stream_app.api.openapi import describe
from stream_app.api.problems import install_problems
from stream_app.api.quotas import Quotas
from stream_app.api.readiness import StoreReadiness
from stream_app.api.reference import reference_routes
from stream_app.api.routing import encode, json_response
from stream_app.api.segments import segment_routes
from stream_app.api.store import SegmentStore
from stream_app.api.stream_tokens import StreamTokens
from stream_app.api.streaming import stream_routes
from stream_app.api.upcoming import leaver_routes, upcoming_routes
from stream_app.core.local_days import UTC

SIGNING_KEY_BYTES: Final = 32
ALLOWED_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE")
ALLOWED_HEADERS: Final = ("Authorization", "Content-Type", "If-None-Match", "Last-Event-ID", "X-Request-Id")
EXPOSED_HEADERS: Final = ("ETag", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id")
"""Of answers, that a page's script may read."""


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
    signing_key: bytes = b"",
    cors_origins: Sequence[str] = (),
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
        Streams open at once.
    timezone
        Of the shop, whose days flows are counted by.
    console
        The pages for people, whose sessions are a credential, too; None for none.
    logs_requests
        Whether there is a line of the log for each request.
    signing_key
        Of stream tokens; without one, one of this process's own.
    cors_origins
        Of pages that may call, such as `https://shop.example`.
    """
    app = FastAPI(
        title="Segments",
        version="1",
        description="Which segments a customer is in, why, and who moves where.",
        openapi_url=None,  # see `reference`: it would be made again for each request
        docs_url=None,  # the page would load scripts from elsewhere
        redoc_url=None,
    )
    install_problems(app)
    stream_tokens = StreamTokens(signing_key or token_bytes(SIGNING_KEY_BYTES))
    app.add_middleware(CompressionMiddleware)
    app.add_middleware(
        AccessMiddleware,
        credentials=_credentials(tokens, stream_tokens, console),
        quotas=Quotas(requests_per_second, burst),
        open_paths=(*OPEN_PATHS, *(console.open_paths if console else ())),
        open_prefixes=(*OPEN_PREFIXES, *(console.open_prefixes if console else ())),
    )
    app.add_middleware(ExchangeMiddleware, metrics=metrics, logs_requests=logs_requests)  # around the one above
    if cors_origins:
        _let_origins_call(app, cors_origins)
    routers = (
        leaver_routes(store),
        upcoming_routes(store),
        customer_routes(store),
        segment_routes(store, timezone),
        editing_routes(store),
        stream_routes(store, metrics, max_streams, stream_tokens),
        reference_routes(partial(describe, app)),
        _probes(store),
        *([] if console is None else [console.routes]),
    )
    for router in routers:
        app.router.routes.extend(router.routes)  # `include_router` would match a request twice, for a tenth of its time
    return app


def _let_origins_call(app: FastAPI, origins: Sequence[str]) -> None:
    """Let pages of some origins call, with a token: as credentials are not allowed, browsers send no session along."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=ALLOWED_METHODS,
        allow_headers=ALLOWED_HEADERS,
        expose_headers=EXPOSED_HEADERS,
    )


def _credentials(
    tokens: BearerTokens | None, stream_tokens: StreamTokens, console: Console | None
) -> tuple[Credential, ...]:
    """Return the credentials that a request may bring, in the order in which they are tried."""
    sessions = console.credentials if console else ()
    return (*([tokens] if tokens else []), stream_tokens, *sessions, *([] if tokens else [anybody]))


def _probes(store: SegmentStore) -> APIRouter:
    router, judge = APIRouter(tags=["probes"], include_in_schema=False), StoreReadiness(store)

    @router.get("/live")
    async def live() -> Response:
        return json_response({"live": True})

    @router.get("/ready")
    async def ready() -> Response:
        verdict = judge.readiness()
        status = HTTPStatus.OK if verdict["ready"] else HTTPStatus.SERVICE_UNAVAILABLE
        return Response(encode(verdict), status, media_type="application/json")

    return router
