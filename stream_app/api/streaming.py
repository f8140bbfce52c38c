"""The live stream of migrations as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response, StreamingResponse

from stream_app.adapters.metrics import Metrics
from stream_app.adapters.metrics.declared import END_TO_END_LATENCY, STREAM_CLIENTS
from stream_app.api import access
from stream_app.api.documents import StreamTokenDocument
from stream_app.api.examples import EVENT
from stream_app.api.feed import MigrationFeed, id_order
from stream_app.api.parameters import CHOICES_MAX, Segmentations, require_event_id
from stream_app.api.problems import (
    EVENT_ID_INVALID,
    FILTER_MATCHES_NOTHING,
    STREAM_TOKEN_INVALID,
    STREAMS_FULL,
    Problem,
)
from stream_app.api.routing import Purpose, described, index_of, json_response, scoped_router
from stream_app.api.store import SegmentStore, StoreUnavailable
from stream_app.api.stream_tokens import PARAMETER, STREAM_PATH, StreamTokens
from stream_app.contracts.migration_filter import HoldoutChoice, MigrationFilter, SegmentChoice
from stream_app.contracts.outputs.migrations import CauseKind, Change, Direction
from stream_app.core.clock import format_instant
from stream_app.errors import SegmentAmbiguous, SegmentUnknown

SILENCE_SECONDS: Final = 15.0
"""Then a comment is sent, so that proxies do not take the stream for dead, and a client that has gone is noticed."""
RECONNECT_MS: Final = 1_000
"""A client whose stream has ended waits this long."""

_SEGMENT: Final = (
    "Segment: `value/s3`, or a bare id or name if one segmentation alone has it, or if `segmentation` is given. "
    "Repeat it for several."
)
_MIN_MARGIN: Final = (
    "Least distance past the border, in log units. Migrations that no distance decided (first entries, silence, moves "
    "in segmentations that are not learned) pass; `change` can leave first entries out."
)
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Server-sent events: the data of each is a record of `segment-migrations`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": EVENT}},
    },
}

FromSegments = Annotated[
    list[str] | None, Query(alias="from", max_length=CHOICES_MAX, description=_SEGMENT, examples=[["value/s3"]])
]
ToSegments = Annotated[
    list[str] | None, Query(alias="to", max_length=CHOICES_MAX, description=_SEGMENT, examples=[["value/s3"]])
]
Changes = Annotated[
    list[Change] | None,
    Query(alias="change", max_length=CHOICES_MAX, description="Kind of move. Repeat it for several."),
]
Directions = Annotated[
    list[Direction] | None,
    Query(
        alias="direction", description="Where a move leads; entries and leavings lead nowhere. Repeat it for several."
    ),
]
_CAUSE: Final = "Kind of cause; repeat it for several. Without it, all but `model` and `definition`: new versions."
Causes = Annotated[list[CauseKind] | None, Query(alias="cause", description=_CAUSE)]
MinMargin = Annotated[float | None, Query(allow_inf_nan=False, description=_MIN_MARGIN)]
Holdout = Annotated[
    HoldoutChoice, Query(description="Whether customers who are held out are left out, the only ones, or included.")
]
LastEventId = Annotated[
    str | None, Header(description="Send the events after this one first.", examples=["1777636803120-0"])
]
LastEventIdParameter = Annotated[
    str | None,
    Query(alias="last_event_id", max_length=41, description="The same, for a browser's first request."),
]
StreamToken = Annotated[
    str | None, Query(alias=PARAMETER, description="Of `POST /v1/stream-tokens`, where no header can be sent.")
]


class OpenStreams:
    """The streams that clients are reading.

    Parameters
    ----------
    feed
        Gives the migrations.
    metrics
        Counts clients and observes latency.
    most
        Open at once.
    """

    def __init__(self, feed: MigrationFeed, metrics: Metrics, most: int) -> None:
        self._feed = feed
        self._metrics = metrics
        self._most = most
        self._open: set[object] = set()

    @property
    def are_full(self) -> bool:
        """Whether no further stream may be opened."""
        return len(self._open) >= self._most

    async def events(self, last_id: str | None, wanted: MigrationFilter) -> AsyncIterator[bytes]:
        """Yield the text of a stream until the client goes or the process stops."""
        stream = object()
        self._open.add(stream)
        self._metrics.set(STREAM_CLIENTS, len(self._open))
        latency = self._metrics.distribution(END_TO_END_LATENCY, sink="sse")
        try:
            yield b"retry: %d\n: %s\n\n" % (RECONNECT_MS, b"migrations from here on")
            async for entry in self._feed.follow(last_id, SILENCE_SECONDS):
                if entry is None:
                    yield b": still here\n\n"
                elif wanted.selects(entry.migration):
                    yield b"id: %s\nevent: migration\ndata: %s\n\n" % (entry.entry_id.encode(), entry.document.strip())
                    latency.observe(max(0.0, datetime.now(UTC).timestamp() - id_order(entry.entry_id)[0] / 1_000))
        except StoreUnavailable:
            return  # the client comes again, with the last id it has seen
        finally:
            self._open.discard(stream)
            self._metrics.set(STREAM_CLIENTS, len(self._open))


def stream_routes(store: SegmentStore, metrics: Metrics, max_streams: int, tokens: StreamTokens) -> APIRouter:
    """Return the routes that need `stream:migrations`."""
    router = scoped_router(access.STREAM_MIGRATIONS, "stream")
    streams = OpenStreams(store.feed, metrics, max_streams)

    _add_tokens(router, tokens)

    @router.get(
        STREAM_PATH.removeprefix("/v1"),
        response_class=StreamingResponse,
        responses=_STREAM,
        openapi_extra=described(
            access.STREAM_MIGRATIONS, FILTER_MATCHES_NOTHING, EVENT_ID_INVALID, STREAM_TOKEN_INVALID, STREAMS_FULL
        ),
        operation_id="streamMigrations",
        summary="Migrations as they happen, as server-sent events",
    )
    async def stream(
        segmentations: Segmentations = None,
        from_segments: FromSegments = None,
        to_segments: ToSegments = None,
        changes: Changes = None,
        directions: Directions = None,
        causes: Causes = None,
        min_margin: MinMargin = None,
        holdout: Holdout = "include",
        purpose: Purpose = None,
        last_event_id: LastEventId = None,
        last_event_id_parameter: LastEventIdParameter = None,
        _: StreamToken = None,
    ) -> Response:
        last_event_id = last_event_id or last_event_id_parameter
        if last_event_id is not None:
            require_event_id("Last-Event-ID", last_event_id)
        wanted = MigrationFilter(
            _segmentations(store, segmentations),
            _segments(store, "from", from_segments, segmentations),
            _segments(store, "to", to_segments, segmentations),
            None if changes is None else tuple(changes),
            None if directions is None else tuple(directions),
            None if causes is None else tuple(causes),
            min_margin,
            holdout,
            purpose=purpose,
        )
        if streams.are_full:
            raise Problem(STREAMS_FULL, STREAMS_FULL.example, {"Retry-After": "5"})
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        events = streams.events(last_event_id, wanted)
        return StreamingResponse(events, headers=headers, media_type="text/event-stream")

    return router


def _add_tokens(router: APIRouter, tokens: StreamTokens) -> None:
    @router.post(
        "/stream-tokens",
        status_code=HTTPStatus.CREATED,
        response_model=StreamTokenDocument,
        openapi_extra=described(access.STREAM_MIGRATIONS),
        operation_id="createStreamToken",
        summary="A token for `/v1/migrations/stream?token=…`, for a minute: browsers can send no header there",
    )
    async def create_stream_token(request: Request) -> Response:
        issued = tokens.issue(request.scope["state"]["client"])
        answer = json_response({"token": issued.token, "expires_at": format_instant(issued.expires_ms)})
        answer.status_code = HTTPStatus.CREATED
        answer.headers["Cache-Control"] = "no-store"
        return answer


def _segmentations(store: SegmentStore, names: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the segmentations asked for; 400 for one that there is no model of."""
    if names is None:
        return None
    try:
        return tuple(index_of(store).require(name).segmentation for name in names)
    except SegmentUnknown as error:
        raise Problem(FILTER_MATCHES_NOTHING, f"segmentation: {error}") from None


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
        raise Problem(FILTER_MATCHES_NOTHING, f"{parameter}: {error}") from None
