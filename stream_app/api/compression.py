"""Answers as gzip for those who accept it; for all others nothing is done at all."""

from __future__ import annotations

from typing import Final

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from stream_app.api.access import header_of

SMALLEST_BYTES: Final = 1_000
"""A smaller answer fits a packet or two as it is."""
LEVEL: Final = 5
"""Within a few per cent of the best one's size on these documents, in half its time."""


class CompressionMiddleware:
    """Passes requests that accept gzip through Starlette's middleware, which never touches event streams.

    Parameters
    ----------
    app
        The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._compressed = GZipMiddleware(app, minimum_size=SMALLEST_BYTES, compresslevel=LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        is_wanted = scope["type"] == "http" and "gzip" in header_of(scope, b"accept-encoding")
        await (self._compressed if is_wanted else self._app)(scope, receive, send)
