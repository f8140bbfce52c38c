"""The pages for people, where a replay's outputs are served: the report that the replay wrote, at the root.

The file brings its own policy for what it may load; the headers add what a page cannot say of itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse

HEADERS: Final = {
    "Cache-Control": "no-cache",  # so that a new replay is seen at once
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def console_routes(page: Path) -> APIRouter:
    """Return the route of the pages.

    Parameters
    ----------
    page
        The file that has all of them.
    """
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"])
    async def pages() -> FileResponse:
        return FileResponse(page, media_type="text/html; charset=utf-8", headers=HEADERS)

    return router
