"""Routes that say what to do with a segment's customers, in place of its definition."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from stream_app.adapters.wall_clock import now_ms
from stream_app.api import access
from stream_app.api.documents import ActionRequest, SegmentActionDocument
from stream_app.api.parameters import Segment, Segmentation
from stream_app.api.problems import ACTIONS_FIXED, SEGMENT_UNKNOWN, SEGMENTATION_UNKNOWN, Problem
from stream_app.api.routing import described, json_response, resolve_segment, scoped_router
from stream_app.api.store import SegmentStore
from stream_app.core.clock import format_instant

PATH = "/segmentations/{segmentation}/segments/{segment}/action"


def editing_routes(store: SegmentStore) -> APIRouter:
    """Return the routes, which need `edit:actions`."""
    router = scoped_router(access.EDIT_ACTIONS, "segments")
    extra = described(access.EDIT_ACTIONS, SEGMENTATION_UNKNOWN, SEGMENT_UNKNOWN, ACTIONS_FIXED)

    @router.put(
        PATH,
        response_model=SegmentActionDocument,
        openapi_extra=extra,
        operation_id="setSegmentAction",
        summary="Say what to do with a segment's customers, in place of its definition",
    )
    async def set_action(
        request: Request, segmentation: Segmentation, segment: Segment, wanted: ActionRequest
    ) -> Response:
        return await _edit(request, store, segmentation, segment, wanted.action)

    @router.delete(
        PATH,
        response_model=SegmentActionDocument,
        openapi_extra=extra,
        operation_id="resetSegmentAction",
        summary="Leave what to do with a segment's customers to its definition again",
    )
    async def reset_action(request: Request, segmentation: Segmentation, segment: Segment) -> Response:
        return await _edit(request, store, segmentation, segment, None)

    return router


async def _edit(request: Request, store: SegmentStore, segmentation: str, segment: str, action: str | None) -> Response:
    segment_id = resolve_segment(store, segmentation, segment)
    if segment_id not in {each.id for each in store.index.require(segmentation).segments}:
        raise Problem(SEGMENT_UNKNOWN, f"no present version of {segmentation} has the segment {segment_id!r}")
    if store.actions is None:
        raise Problem(ACTIONS_FIXED, ACTIONS_FIXED.example)
    client: access.Client = request.scope["state"]["client"]
    await store.actions.edit(segmentation, segment_id, action, client.name, format_instant(now_ms()))
    listed = await store.segments(segmentation)
    found = next(each for each in listed.segments if each.id == segment_id)
    return json_response(
        {
            "segmentation": segmentation,
            "segment": store.index.reference(segmentation, segment_id),
            "action": found.action,
            "action_edit": found.action_edit,
        }
    )
