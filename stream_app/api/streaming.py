"""The live stream of migrations as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response, StreamingResponse

from stream_app.adapters.metrics import Metrics
from stream_app.api import access
from stream_app.api.feed import id_order
from stream_app.api.problems import Problem
from stream_app.api.routing import index_of, scoped_router, security
from stream_app.api.store import SegmentStore, StoreUnavailable
from stream_app.contracts.migration_filter import MigrationFilter, SegmentChoice
from stream_app.contracts.outputs import CauseKind, Change
from stream_app.errors import SegmentAmbiguous, SegmentUnknown

SILENCE_SECONDS: Final = 15.0
"""Then a comment is sent, so that proxies do not take the stream for dead, and a client that has gone is noticed."""
RECONNECT_MS: Final = 1_000
"""A client whose stream has ended waits this long."""
CHOICES_MAX: Final = 100
"""Of one parameter."""

_SEGMENT: Final = (
    "Segment: `value/s3`, or a bare id or name if one segmentation alone has it, or if `segmentation` is given. "
    "Repeat it for several."
)


def stream_routes(store: SegmentStore, metrics: Metrics, max_streams: int) -> APIRouter:
    """Return the route that needs `stream:migrations`."""
    router = scoped_router(access.STREAM_MIGRATIONS, "stream")
    is_open: set[object] = set()

    async def events(last_id: str | None, wanted: MigrationFilter) -> AsyncIterator[bytes]:
        me = object()
        is_open.add(me)
        metrics.stream_clients.set(len(is_open))
        latency = metrics.end_to_end_latency_seconds.labels(sink="sse")
        try:
            yield b"retry: %d\n: %s\n\n" % (RECONNECT_MS, b"migrations from here on")
            async for entry in store.feed.follow(last_id, SILENCE_SECONDS):
                if entry is None:
                    yield b": still here\n\n"
                elif wanted.selects(entry.migration):
                    yield b"id: %s\nevent: migration\ndata: %s\n\n" % (entry.entry_id.encode(), entry.document.strip())
                    latency.observe(max(0.0, datetime.now(UTC).timestamp() - id_order(entry.entry_id)[0] / 1_000))
        except StoreUnavailable:
            return  # the client comes again, with the last id it has seen
        finally:
            is_open.discard(me)
            metrics.stream_clients.set(len(is_open))

    @router.get(
        "/migrations/stream",
        response_class=StreamingResponse,
        responses={
            200: {
                "description": "Server-sent events",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
        },
        openapi_extra=security(access.STREAM_MIGRATIONS),
        summary="Migrations as they happen, as server-sent events",
    )
    async def stream(
        segmentation: Annotated[
            list[str] | None,
            Query(max_length=CHOICES_MAX, description="Name of the segmentation. Repeat it for several."),
        ] = None,
        from_segments: Annotated[
            list[str] | None, Query(alias="from", max_length=CHOICES_MAX, description=_SEGMENT, examples=["value/s3"])
        ] = None,
        to_segments: Annotated[
            list[str] | None, Query(alias="to", max_length=CHOICES_MAX, description=_SEGMENT, examples=["value/s3"])
        ] = None,
        change: Annotated[list[Change] | None, Query(description="Meaning of the move. Repeat it for several.")] = None,
        cause: Annotated[list[CauseKind] | None, Query(description="Repeat it for several.")] = None,
        min_margin: Annotated[
            float | None,
            Query(
                allow_inf_nan=False,
                description="Least distance past the border, in standard deviations. Migrations without a margin "
                "(first entries, moves in segmentations that are not learned) pass; `change` can leave entries out.",
            ),
        ] = None,
        holdout: Annotated[
            Literal["exclude", "only", "include"], Query(description="What happens to customers who are held out.")
        ] = "include",
        last_event_id: Annotated[str | None, Header(description="Send the events after this one first.")] = None,
    ) -> Response:
        if last_event_id is not None:
            try:
                id_order(last_event_id)
            except ValueError:
                raise Problem(HTTPStatus.BAD_REQUEST, "Last-Event-ID: expected the id of an event") from None
        wanted = MigrationFilter(
            _segmentations(store, segmentation),
            _segments(store, "from", from_segments, segmentation),
            _segments(store, "to", to_segments, segmentation),
            None if change is None else tuple(change),
            None if cause is None else tuple(cause),
            min_margin,
            holdout,
        )
        if len(is_open) >= max_streams:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "too many streams are open", {"Retry-After": "5"})
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(events(last_event_id, wanted), headers=headers, media_type="text/event-stream")

    return router


def _segmentations(store: SegmentStore, names: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the segmentations asked for; 400 for one that there is no model of."""
    if names is None:
        return None
    try:
        return tuple(index_of(store).require(name).segmentation for name in names)
    except SegmentUnknown as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"segmentation: {error}") from None


def _segments(
    store: SegmentStore, parameter: str, texts: Sequence[str] | None, within: Sequence[str] | None
) -> tuple[SegmentChoice, ...] | None:
    """Return the segments asked for, by segmentation and id; 400 for one that is unknown or ambiguous."""
    if texts is None:
        return None
    index = index_of(store)
    try:
        return tuple(index.resolve(SegmentChoice.parse(text), within) for text in texts)
    except (SegmentUnknown, SegmentAmbiguous) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"{parameter}: {error}") from None
