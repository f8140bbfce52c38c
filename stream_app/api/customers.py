"""Routes about customers: look-ups, histories, and members of a segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response, StreamingResponse
from pydantic import AwareDatetime

from stream_app.api import access, examples
from stream_app.api.documents import (
    BatchDocument,
    BatchRequest,
    CustomerDocument,
    HistoryDocument,
    Include,
    MembersDocument,
)
from stream_app.api.members import MEDIA_TYPES, PAGE_CUSTOMERS, Format, Order, accepted_format, lines_of_members
from stream_app.api.parameters import (
    PAGE_CUSTOMERS_MAX,
    Cursor,
    CustomerId,
    PageLimit,
    Segment,
    Segmentation,
    Segmentations,
    decode_cursor,
    encode_cursor,
)
from stream_app.api.problems import (
    CURSOR_INVALID,
    CUSTOMER_UNKNOWN,
    NOT_ACCEPTABLE,
    SEGMENT_UNKNOWN,
    SEGMENTATION_UNKNOWN,
    Problem,
)
from stream_app.api.routing import (
    Purpose,
    described,
    json_response,
    require_segmentation,
    resolve_segment,
    scoped_router,
)
from stream_app.api.store import CustomerMigration, CustomerSegment, MemberPage, MemberQuery, SegmentStore
from stream_app.contracts.fields import parse_instant
from stream_app.core.clock import format_instant, to_milliseconds
from stream_app.core.ids import normal_id

DEFAULT_PAGE: Final = 100
DEFAULT_HISTORY: Final = 20
PLACE_FIELDS: Final = ("segmentation", "segment", "since", "sequence", "model_version", "as_of")
"""What an answer has whatever is included."""
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "reason": ("change", "direction", "from_segment", "cause", "margin"),
    "figures": ("explanation",),
    "next_move": ("next_move",),
    "holdout": ("holdout",),
}
_FILES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "A page as JSON, or all of them as a file.",
        "content": {
            "text/csv": {"schema": {"type": "string"}, "example": examples.MEMBERS_AS_CSV},
            "application/x-ndjson": {"schema": {"type": "string"}, "example": examples.MEMBERS_AS_LINES},
        },
    }
}

Included = Annotated[
    list[Include] | None,
    Query(
        max_length=10,
        description="What is wanted of each segment besides its place; repeat it for several. Without it, everything.",
        examples=[["reason", "next_move"]],
    ),
]


def customer_routes(store: SegmentStore) -> APIRouter:
    """Return the routes that need `read:customers`."""
    router = scoped_router(access.READ_CUSTOMERS, "customers")
    _add_look_ups(router, store)
    _add_history(router, store)
    _add_members(router, store)
    return router


def _add_look_ups(router: APIRouter, store: SegmentStore) -> None:
    @router.get(
        "/customers/{customer_id:path}/segments",
        response_model=CustomerDocument,
        openapi_extra=described(access.READ_CUSTOMERS, CUSTOMER_UNKNOWN),
        operation_id="getCustomerSegments",
        summary="The segments a customer is in, one for each segmentation, and why",
    )
    async def customer(customer_id: CustomerId, include: Included = None) -> Response:
        (segments,) = await store.look_up([normal_id(customer_id)])
        if not segments:
            raise Problem(CUSTOMER_UNKNOWN, CUSTOMER_UNKNOWN.example)
        return json_response({"customer_id": customer_id, "segments": _reduced(segments, include)})

    @router.post(
        "/customers/lookup",
        response_model=BatchDocument,
        openapi_extra=described(access.READ_CUSTOMERS),
        operation_id="lookUpCustomers",
        summary="The segments of up to 500 customers",
    )
    async def look_up(request: BatchRequest, include: Included = None) -> Response:
        ids = list(dict.fromkeys(request.customer_ids))
        answers: Mapping[str, list[CustomerSegment]] = dict(
            zip(ids, await store.look_up([normal_id(each) for each in ids]), strict=True)
        )
        known = [
            {"customer_id": name, "segments": _reduced(segments, include)}
            for name, segments in answers.items()
            if segments
        ]
        unknown = [name for name, segments in answers.items() if not segments]
        return json_response({"customers": known, "unknown": unknown})


def _reduced(segments: Sequence[CustomerSegment], include: Sequence[Include] | None) -> Sequence[object]:
    """Return what is wanted of each segment."""
    if include is None:
        return segments
    fields = [*PLACE_FIELDS, *(field for group in GROUPS if group in include for field in GROUPS[group])]
    reduced = [{field: getattr(segment, field) for field in fields} for segment in segments]
    for each, segment in zip(reduced, segments, strict=True):
        if segment.consents:
            each["consents"] = segment.consents
    if "reason" in include and "figures" not in include:
        for each, segment in zip(reduced, segments, strict=True):
            each["sentence"] = None if segment.explanation is None else segment.explanation.sentence
    return reduced


def _add_history(router: APIRouter, store: SegmentStore) -> None:
    @router.get(
        "/customers/{customer_id:path}/migrations",
        response_model=HistoryDocument,
        openapi_extra=described(access.READ_CUSTOMERS, CUSTOMER_UNKNOWN, SEGMENTATION_UNKNOWN, CURSOR_INVALID),
        operation_id="getCustomerMigrations",
        summary="The moves of a customer, page by page, the newest first, as far back as they are kept",
    )
    async def history(
        customer_id: CustomerId,
        segmentations: Segmentations = None,
        limit: PageLimit = DEFAULT_HISTORY,
        cursor: Cursor = None,
    ) -> Response:
        for name in segmentations or ():
            require_segmentation(store, name)
        after = None if cursor is None else decode_cursor(cursor)
        kept = await store.history(normal_id(customer_id))
        if not kept and not (await store.look_up([normal_id(customer_id)]))[0]:
            raise Problem(CUSTOMER_UNKNOWN, CUSTOMER_UNKNOWN.example)
        wanted = [each for each in kept if segmentations is None or each.segmentation in segmentations]
        placed = sorted(((_place(each), each) for each in wanted), key=lambda pair: pair[0], reverse=True)
        page = [pair for pair in placed if after is None or pair[0] < after][:limit]
        has_more = bool(page) and page[-1] is not placed[-1]
        following = encode_cursor(page[-1][0]) if has_more else None
        return json_response(
            {"customer_id": customer_id, "migrations": [move for _, move in page], "next_cursor": following}
        )


def _place(move: CustomerMigration) -> tuple[int, str]:
    """Return a move's place in its customer's history."""
    return parse_instant(move.effective_at), f"{move.segmentation}/{move.sequence:019d}"


def _add_members(router: APIRouter, store: SegmentStore) -> None:
    @router.get(
        "/segmentations/{segmentation}/segments/{segment}/members",
        response_model=MembersDocument,
        responses=_FILES,
        openapi_extra=described(
            access.READ_CUSTOMERS, SEGMENTATION_UNKNOWN, SEGMENT_UNKNOWN, CURSOR_INVALID, NOT_ACCEPTABLE
        ),
        operation_id="listSegmentMembers",
        summary="The customers of a segment, page by page, or all of them as a file",
    )
    async def members(
        segmentation: Segmentation,
        segment: Segment,
        order: Annotated[Order, Query(description="Who has been there the longest first, or the newest.")] = "longest",
        since: Annotated[
            AwareDatetime | None,
            Query(description="Only who entered then or later.", examples=["2026-05-01T00:00:00.000Z"]),
        ] = None,
        limit: Annotated[
            int | None,
            Query(ge=1, le=PAGE_CUSTOMERS_MAX, description="Customers at most; without it 100, in a file everybody."),
        ] = None,
        cursor: Cursor = None,
        form: Annotated[
            Format | None,
            Query(alias="format", description="`csv` and `jsonl` are files; without it, what `Accept` asks for."),
        ] = None,
        purpose: Purpose = None,
        accept: Annotated[str, Header(include_in_schema=False)] = "",
    ) -> Response:
        form = form or accepted_format(accept)
        if form == "json" and purpose is not None:
            raise Problem(NOT_ACCEPTABLE, "purpose: expected with format=csv or format=jsonl alone")
        place = segmentation, resolve_segment(store, segmentation, segment)
        wanted = MemberQuery(
            PAGE_CUSTOMERS if limit is None else limit,
            None if cursor is None else decode_cursor(cursor),
            None if since is None else to_milliseconds(since),
            order == "newest",
        )
        if form == "json":
            wanted = wanted._replace(limit=limit or DEFAULT_PAGE)
            return _page(await store.members(*place, wanted), wanted.limit)
        first = await store.members(*place, wanted)
        headers = {
            "Content-Disposition": f'attachment; filename="{"-".join(place)}.{form}"',
            "Cache-Control": "private, no-store",
            "Vary": "Accept, Accept-Encoding",
        }
        lines = lines_of_members(store, place, wanted, limit, first, form, purpose)
        return StreamingResponse(lines, headers=headers, media_type=MEDIA_TYPES[form])


def _page(found: MemberPage, limit: int) -> Response:
    following = encode_cursor(found.members[-1]) if len(found.members) == limit else None
    listed = [{"customer_id": name, "since": format_instant(since_ms)} for since_ms, name in found.members]
    answer = json_response({"customers": found.customers, "members": listed, "next_cursor": following})
    answer.headers["Vary"] = "Accept, Accept-Encoding"
    return answer
