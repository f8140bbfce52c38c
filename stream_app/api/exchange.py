"""What all requests have in common: an id, its time in the metrics, a line in the access log.

A caller's own id (`X-Request-Id`) is used if it is well-formed, so that it can be followed from service to
service; otherwise one is made. It is in the answer, in problems, and in the log.

HEAD is GET without a body: routes see GET, and the web server, which keeps the request as it came, sends no body.
"""

from __future__ import annotations

import logging
import re
import time
from secrets import token_hex
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream_app.adapters.logs import OF_REQUEST
from stream_app.adapters.metrics import Metrics
from stream_app.adapters.metrics.declared import HTTP_REQUEST_DURATION
from stream_app.api.access import header_of
from stream_app.api.problems import INTERNAL, Problem

logger = logging.getLogger(__name__)
access_logger = logging.getLogger("stream_app.api.access_log")

REQUEST_ID: Final = b"x-request-id"
REQUEST_ID_BYTES: Final = 16
WELL_FORMED: Final = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
"""Nothing that could be taken for more than one field of a log."""
METHODS: Final = frozenset({"GET", "POST", "HEAD", "PUT", "DELETE"})


class ExchangeMiddleware:
    """Tells requests apart, times them, and answers those that fail.

    Parameters
    ----------
    app
        The application.
    metrics
        Counts answers.
    logs_requests
        Whether each request is logged, by its route's template: paths hold customer ids.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, *, logs_requests: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._logs_requests = logs_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have a request answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, method = time.perf_counter(), 0, scope["method"]
        request_id = _request_id(scope)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        OF_REQUEST.set(request_id)  # of this task alone: the server has one for each request
        if method == "HEAD":
            scope = {**scope, "method": "GET"}
            state["is_head"] = True

        async def send_told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (REQUEST_ID, request_id.encode())]
                self._observe(scope, method, status, time.perf_counter() - started)
            await send(message)

        try:
            await self._app(scope, receive, send_told)
        except Exception:  # whatever a route or the framework has failed with
            logger.exception("request %s failed", request_id, extra={"route": _route(scope)})
            if status:
                raise  # too late for an answer: the connection is cut
            await Problem(INTERNAL, INTERNAL.example).response(state)(scope, receive, send_told)
        finally:
            if self._logs_requests:
                _log(scope, method, status, time.perf_counter() - started)

    def _observe(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        labels = {
            "method": method if method in METHODS else "other",
            "route": _route(scope),
            "status": f"{status // 100}xx",
        }
        self._metrics.distribution(HTTP_REQUEST_DURATION, **labels).observe(seconds)


def _request_id(scope: Scope) -> str:
    given = header_of(scope, REQUEST_ID)
    return given if given and WELL_FORMED.fullmatch(given) else token_hex(REQUEST_ID_BYTES)


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", "none")


def _log(scope: Scope, method: str, status: int, seconds: float) -> None:
    state, route, milliseconds = scope["state"], _route(scope), seconds * 1_000
    client = state.get("client")
    name = "-" if client is None else client.name
    access_logger.info(
        "%s %s %d %.1f ms client=%s request=%s", method, route, status, milliseconds, name, state["request_id"],
        extra={"method": method, "route": route, "status": status, "ms": round(milliseconds, 1), "client": name},
    )  # fmt: skip
