"""The pages' files, as browsers get them: a module, styles and the library, under a strict policy.

The addresses have a digest of all of them, so a browser keeps them for good and never mixes those of two releases. The
policy allows what comes from here, and nothing inline; there is no markup from data, which trusted types enforce.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from hashlib import sha256
from http import HTTPStatus
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from string import Template
from typing import Final, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response

from stream_app.api.problems import ROUTE_UNKNOWN, Problem
from stream_app.api.routing import names_tag
from stream_app.web.single_file import LIBRARY, STYLES, lay_end_to_end

PREFIX: Final = "/console/assets/"
JSON: Final = "application/json"
ENTRY: Final = "served.js"
SHELL: Final = "assets/served.html"
MEDIA_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
FOR_GOOD: Final = "public, max-age=31536000, immutable"
ALWAYS_ASK: Final = "no-cache"


_LEVEL: Final = 6


class Asset(NamedTuple):
    """A file.

    Attributes
    ----------
    compressed
        Its content.
    media_type
        Of the content.
    etag
        Of the content.
    """

    compressed: bytes
    media_type: str
    etag: str


def asset_of(content: bytes, media_type: str) -> Asset:
    """Return a file; equal contents give equal ones."""
    return Asset(gzip.compress(content, _LEVEL, mtime=0), media_type, etag_of(content))


def etag_of(content: bytes) -> str:
    """Return a tag that differs between contents."""
    return f'"{sha256(content).hexdigest()[:32]}"'


def answer(request: Request, asset: Asset, cache_control: str) -> Response:
    """Return a file, or 304 if it has not changed."""
    headers = {**SECURITY_HEADERS, "Cache-Control": cache_control, "ETag": asset.etag, "Vary": "Accept-Encoding"}
    if names_tag(request.headers.get("if-none-match", ""), asset.etag):
        return Response(None, HTTPStatus.NOT_MODIFIED, headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.compressed, headers=headers | {"Content-Encoding": "gzip"}, media_type=asset.media_type)
    return Response(gzip.decompress(asset.compressed), headers=headers, media_type=asset.media_type)


def page_routes() -> APIRouter:
    """Return the routes that everybody may see: the pages without anything on them."""
    router = APIRouter(include_in_schema=False)
    shell, assets = _load(resources.files("stream_app.web"))

    @router.get("/")
    async def pages(request: Request) -> Response:
        return answer(request, shell, ALWAYS_ASK)

    @router.get(PREFIX + "{path:path}")
    async def asset(request: Request, path: str) -> Response:
        found = assets.get(path)
        if found is None:
            raise Problem(ROUTE_UNKNOWN, "there is no such file")
        return answer(request, found, FOR_GOOD)

    return router


def _load(root: Traversable) -> tuple[Asset, Mapping[str, Asset]]:
    files = {
        "pages.css": "\n".join(_read(root / path) for path in STYLES),
        "uplot.js": _read(root / LIBRARY),
        "pages.js": lay_end_to_end(root / "assets", ENTRY),  # as in a report: one request instead of forty
        "icon.svg": _read(root / "assets/icon.svg"),
    }
    digest = sha256("\0".join(files.values()).encode()).hexdigest()[:16]
    shell = Template(_read(root / SHELL)).substitute(base=f"{PREFIX}{digest}/")
    assets = {
        f"{digest}/{name}": asset_of(text.encode(), MEDIA_TYPES[PurePosixPath(name).suffix])
        for name, text in files.items()
    }
    return asset_of(shell.encode(), "text/html; charset=utf-8"), assets


def _read(path: Traversable) -> str:
    return path.read_text(encoding="utf-8")
