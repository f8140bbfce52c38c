"""The reference for engineers, without a token: the OpenAPI document, a page that is drawn from it, and the codes.

The page is our own modules: the viewers on offer take several hundred kilobytes and want styles that a strict policy
forbids. It asks this server alone, and keeps a token nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from stream_app.api.pages import ALWAYS_ASK, SECURITY_HEADERS
from stream_app.api.problems import KINDS, ROUTE_UNKNOWN, Problem
from stream_app.api.routing import encode, tagged

HEADERS: Final[Mapping[str, str]] = {**SECURITY_HEADERS, "Cache-Control": ALWAYS_ASK}
_FILES: Final[Mapping[str, tuple[str, str]]] = {
    "index.html": ("reference/index.html", "text/html"),
    "reference.js": ("reference/reference.js", "text/javascript"),
    "reference.css": ("reference/reference.css", "text/css"),
    "icon.svg": ("reference/icon.svg", "image/svg+xml"),
    "dom.js": ("assets/dom.js", "text/javascript"),
    "tokens.css": ("assets/tokens.css", "text/css"),
}
"""Name in the address → where it is in `stream_app.web`, and its media type."""


@cache
def _content(name: str) -> bytes:
    return resources.files("stream_app.web").joinpath(_FILES[name][0]).read_bytes()


def reference_routes(describe: Callable[[], dict[str, Any]]) -> APIRouter:
    """Return the routes, which are for everybody.

    Parameters
    ----------
    describe
        Makes the OpenAPI document; called once.
    """
    router = APIRouter(include_in_schema=False)
    document = cache(lambda: encode(describe()))

    @router.get("/openapi.json")
    async def openapi(request: Request) -> Response:
        return tagged(request, Response(document(), media_type="application/json"))

    @router.get("/docs")
    async def page(request: Request) -> Response:
        return _file(request, "index.html")

    @router.get("/docs/{name}")
    async def file(request: Request, name: str) -> Response:
        if name not in _FILES:
            raise Problem(ROUTE_UNKNOWN, ROUTE_UNKNOWN.example)
        return _file(request, name)

    @router.get("/problems/{code}")
    async def problem(code: str) -> Response:
        if code not in KINDS:
            raise Problem(ROUTE_UNKNOWN, ROUTE_UNKNOWN.example)
        return RedirectResponse(f"/docs#problem-{code}", 303)

    return router


def _file(request: Request, name: str) -> Response:
    return tagged(request, Response(_content(name), headers=dict(HEADERS), media_type=_FILES[name][1]))
