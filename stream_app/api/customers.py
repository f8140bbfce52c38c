"""Routes about customers: look-ups and members of a segment."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from stream_app.api import access
from stream_app.api.documents import (
    CUSTOMER_ID_CHARACTERS,
    BatchDocument,
    BatchRequest,
    CustomerDocument,
    MembersDocument,
)
from stream_app.api.problems import CURSOR_INVALID, CUSTOMER_UNKNOWN, Problem
from stream_app.api.routing import NOT_FOUND, encode, json_response, resolve_segment, scoped_router, security
from stream_app.api.store import CustomerSegment, SegmentStore
from stream_app.core.clock import format_instant
from stream_app.core.ids import normal_id

MEMBERS_MAX: Final = 1_000
"""Of one page."""
CURSOR_CHARACTERS: Final = 2_000
"""More than the longest customer id takes."""
SEGMENT_CHARACTERS: Final = 256

CustomerId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=CUSTOMER_ID_CHARACTERS,
        description="Id of the customer.",
        examples=["customer-1"],
    ),
]
Segmentation = Annotated[
    str, Path(max_length=CUSTOMER_ID_CHARACTERS, description="Name of the segmentation.", examples=["value"])
]
Segment = Annotated[
    str,
    Path(
        min_length=1,
        max_length=SEGMENT_CHARACTERS,
        description="Id of the segment, or its name; the id stays, the name may change with the model.",
        examples=["s3"],
    ),
]

Cursor = Annotated[str | None, Query(max_length=CURSOR_CHARACTERS, description="`next_cursor` of the page before.")]


def customer_routes(store: SegmentStore) -> APIRouter:
    """Return the routes that need `read:customers`."""
    router = scoped_router(access.READ_CUSTOMERS, "customers")
    extra = security(access.READ_CUSTOMERS)

    @router.get(
        "/customers/{customer_id:path}/segments",
        response_model=CustomerDocument,
        responses=NOT_FOUND,
        openapi_extra=extra,
        summary="The segments a customer is in, one for each segmentation, and why",
    )
    async def customer(
        customer_id: CustomerId,
    ) -> Response:
        (segments,) = await store.look_up([normal_id(customer_id)])
        if not segments:
            raise Problem(CUSTOMER_UNKNOWN, CUSTOMER_UNKNOWN.example)
        return json_response({"customer_id": customer_id, "segments": segments})

    @router.post(
        "/customers/lookup",
        response_model=BatchDocument,
        openapi_extra=extra,
        summary="The segments of up to 500 customers",
    )
    async def look_up(request: BatchRequest) -> Response:
        ids = list(dict.fromkeys(request.customer_ids))
        answers: Mapping[str, list[CustomerSegment]] = dict(
            zip(ids, await store.look_up([normal_id(each) for each in ids]), strict=True)
        )
        known = [{"customer_id": name, "segments": segments} for name, segments in answers.items() if segments]
        unknown = [name for name, segments in answers.items() if not segments]
        return json_response({"customers": known, "unknown": unknown})

    @router.get(
        "/segmentations/{segmentation}/segments/{segment}/members",
        response_model=MembersDocument,
        responses=NOT_FOUND,
        openapi_extra=extra,
        summary="The customers of a segment, page by page, the longest there first",
    )
    async def members(
        segmentation: Segmentation,
        segment: Segment,
        limit: Annotated[int, Query(ge=1, le=MEMBERS_MAX, description="Customers of one page.")] = 100,
        cursor: Cursor = None,
    ) -> Response:
        segment_id = resolve_segment(store, segmentation, segment)
        after = None if cursor is None else decode_cursor(cursor)
        page = await store.members(segmentation, segment_id, limit, after)
        following = encode_cursor(page.members[-1]) if len(page.members) == limit else None
        listed = [{"customer_id": name, "since": format_instant(since_ms)} for since_ms, name in page.members]
        return json_response({"customers": page.customers, "members": listed, "next_cursor": following})

    return router


def encode_cursor(place: tuple[int, str]) -> str:
    """Return a place in an order as a client passes it on."""
    return base64.urlsafe_b64encode(encode(place)).decode()


def decode_cursor(cursor: str) -> tuple[int, str]:
    """Return the place that a client has passed on.

    Raises
    ------
    Problem
        400, if it is none.
    """
    try:
        return msgspec.json.decode(base64.b64decode(cursor, b"-_", validate=True), type=tuple[int, str])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise Problem(CURSOR_INVALID, CURSOR_INVALID.example) from None
