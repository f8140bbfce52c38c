"""Routes about moves ahead: who leaves which segment by time alone, if nothing happens.

They go by the next move that memberships name, which is that of the last migration or notice: an own act since then
puts it off without telling (see `NextMove`), so the numbers are the most that will move.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from fastapi.responses import Response

from stream_app.api import access
from stream_app.api.documents import LeaversDocument, UpcomingDocument
from stream_app.api.parameters import (
    Cursor,
    PageLimit,
    Segment,
    Segmentation,
    Segmentations,
    decode_cursor,
    encode_cursor,
)
from stream_app.api.problems import CURSOR_INVALID, SEGMENT_UNKNOWN, SEGMENTATION_UNKNOWN
from stream_app.api.routing import (
    described,
    index_of,
    json_response,
    require_segmentation,
    resolve_segment,
    scoped_router,
)
from stream_app.api.store import Ahead, SegmentList, SegmentStore
from stream_app.core.clock import DAY_MS, format_instant

DAYS_MAX: Final = 366

Days = Annotated[
    float, Query(gt=0, le=DAYS_MAX, allow_inf_nan=False, description="How far to look ahead, in days from now.")
]


def upcoming_routes(store: SegmentStore) -> APIRouter:
    """Return the route that needs `read:segments`."""
    router = scoped_router(access.READ_SEGMENTS, "upcoming")

    @router.get(
        "/upcoming",
        response_model=UpcomingDocument,
        openapi_extra=described(access.READ_SEGMENTS, SEGMENTATION_UNKNOWN),
        operation_id="listUpcomingMoves",
        summary="How many customers leave which segment by time alone in the next days, and their revenue",
    )
    async def upcoming(days: Days = 7, segmentations: Segmentations = None) -> Response:
        index = index_of(store)
        names = segmentations or sorted(index.models)
        for name in names:
            require_segmentation(store, name)
        now_ms = store.now_ms()
        until_ms = now_ms + round(days * DAY_MS)
        found = await store.ahead(names, now_ms, until_ms)
        lists = {name: await store.segments(name) for name in dict.fromkeys(each.segmentation for each in found)}
        moves = [_move(store, each, lists[each.segmentation]) for each in found]
        return json_response({"after": format_instant(now_ms), "until": format_instant(until_ms), "moves": moves})

    return router


def leaver_routes(store: SegmentStore) -> APIRouter:
    """Return the route that needs `read:customers`."""
    router = scoped_router(access.READ_CUSTOMERS, "upcoming")

    @router.get(
        "/segmentations/{segmentation}/segments/{segment}/upcoming",
        response_model=LeaversDocument,
        openapi_extra=described(access.READ_CUSTOMERS, SEGMENTATION_UNKNOWN, SEGMENT_UNKNOWN, CURSOR_INVALID),
        operation_id="listSegmentLeavers",
        summary="The customers who leave a segment by time alone in the next days, page by page, the first ones first",
    )
    async def leavers(
        segmentation: Segmentation,
        segment: Segment,
        days: Days = 7,
        limit: PageLimit = 100,
        cursor: Cursor = None,
    ) -> Response:
        segment_id, index = resolve_segment(store, segmentation, segment), store.index
        now_ms = store.now_ms()
        until_ms = now_ms + round(days * DAY_MS)
        after = None if cursor is None else decode_cursor(cursor)
        page = await store.leavers(segmentation, segment_id, now_ms, until_ms, limit, after)
        listed = [
            {
                "customer_id": each.customer_id,
                "at": format_instant(each.at_ms),
                "to_segment": None if each.to_segment is None else index.reference(segmentation, each.to_segment),
            }
            for each in page.leavers
        ]
        following = encode_cursor(page.leavers[-1][:2]) if len(page.leavers) == limit else None
        period = {"after": format_instant(now_ms), "until": format_instant(until_ms)}
        return json_response({"customers": page.customers, **period, "leavers": listed, "next_cursor": following})

    return router


def _move(store: SegmentStore, ahead: Ahead, segments: SegmentList) -> dict[str, object]:
    name, index = ahead.segmentation, store.index
    figures = next((each.figures for each in segments.segments if each.id == ahead.segment), None)
    revenue = None if figures is None else figures.revenue_per_customer
    return {
        "segmentation": name,
        "segment": index.reference(name, ahead.segment),
        "to_segment": None if ahead.to_segment is None else index.reference(name, ahead.to_segment),
        "customers": ahead.customers,
        "revenue": None if revenue is None else round(revenue * ahead.customers, 2),
        "currency": segments.currency,
    }
