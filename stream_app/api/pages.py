"""The pages' files, as browsers get them: ES modules, styles and the library, under a strict policy.

All stand under a digest of all of them, so a browser keeps them for good and never mixes those of two releases. The
policy allows what comes from here, and nothing inline; there is no markup from data, which trusted types enforce.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
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
from stream_app.web.single_file import LIBRARY, STYLES, modules_of

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
    return Asset(gzip.compress(content, mtime=0), media_type, f'"{sha256(content).hexdigest()[:32]}"')


def answer(request: Request, asset: Asset, cache_control: str) -> Response:
    """Return a file, or nothing but that it has not changed."""
    headers = {**SECURITY_HEADERS, "Cache-Control": cache_control, "ETag": asset.etag, "Vary": "Accept-Encoding"}
    known = request.headers.get("if-none-match", "")
    if asset.etag in (each.strip().removeprefix("W/") for each in known.split(",")):
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
    files = {path: content for path, content in _walk(root, PurePosixPath()) if _media_type(path)}
    digest = sha256(b"".join(b"%s\0%s\0" % (path.encode(), files[path]) for path in sorted(files))).hexdigest()[:16]
    base = f"{PREFIX}{digest}/"
    modules = modules_of(root / "assets", ENTRY)
    shell = Template((root / SHELL).read_text(encoding="utf-8")).substitute(
        base=base,
        styles="\n".join(f'<link rel="stylesheet" href="{base}{path}">' for path in STYLES),
        modules="\n".join(f'<link rel="modulepreload" href="{base}assets/{path}">' for path in modules),
        library=base + LIBRARY,
        entry=f"{base}assets/{ENTRY}",
    )
    assets = {f"{digest}/{path}": asset_of(content, _media_type(path)) for path, content in files.items()}
    return asset_of(shell.encode(), "text/html; charset=utf-8"), assets


def _media_type(path: str) -> str:
    return MEDIA_TYPES.get(PurePosixPath(path).suffix, "")


def _walk(folder: Traversable, path: PurePosixPath) -> Iterator[tuple[str, bytes]]:
    for each in sorted(folder.iterdir(), key=lambda found: found.name):
        own = path / each.name
        if each.is_dir():
            yield from _walk(each, own)
        else:
            yield str(own), each.read_bytes()
