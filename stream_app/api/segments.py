"""Routes about segmentations: segments, flows between them, versions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from stream_app.adapters.wall_clock import now_ms
from stream_app.api import access
from stream_app.api.customers import Segmentation
from stream_app.api.documents import FlowsDocument, ModelsDocument, SegmentationsDocument, SegmentListDocument
from stream_app.api.problems import PERIOD_INVALID, VERSION_UNKNOWN, Problem
from stream_app.api.routing import NOT_FOUND, index_of, json_response, require_segmentation, scoped_router, security
from stream_app.api.store import SegmentStore
from stream_app.contracts.outputs.models import SegmentModel
from stream_app.core.local_days import date_of

PERIOD_DAYS_MAX: Final = 366
"""Of flows: each day is a key of its own in the view."""
DEFAULT_PERIOD_DAYS: Final = 30


def segment_routes(store: SegmentStore, timezone: str) -> APIRouter:
    """Return the routes that need `read:segments`; days are those of a time zone."""
    router = scoped_router(access.READ_SEGMENTS, "segments")
    extra = security(access.READ_SEGMENTS)

    @router.get(
        "/segmentations",
        response_model=SegmentationsDocument,
        openapi_extra=extra,
        summary="All segmentations and audiences, and how many customers are in them",
    )
    async def segmentations() -> Response:
        models = index_of(store).models
        lists = await asyncio.gather(*(store.segments(name) for name in sorted(models)))
        told = [
            {
                "segmentation": each.segmentation,
                "kind": models[each.segmentation].kind,
                "model_version": each.model_version,
                "segments": len(models[each.segmentation].segments),
                "customers": None if each.all_segments is None else each.all_segments.customers,
                "revenue": None if each.all_segments is None else each.all_segments.revenue,
                "currency": each.currency,
                "figures_as_of": each.figures_as_of,
            }
            for each in lists
        ]
        return json_response({"segmentations": told})

    @router.get(
        "/segmentations/{segmentation}/segments",
        response_model=SegmentListDocument,
        responses=NOT_FOUND,
        openapi_extra=extra,
        summary="All segments, the figures of their customers, what is true of them, and what to do with them",
    )
    async def segments(segmentation: Segmentation) -> Response:
        require_segmentation(store, segmentation)
        return json_response(await store.segments(segmentation))

    @router.get(
        "/segmentations/{segmentation}/flows",
        response_model=FlowsDocument,
        responses=NOT_FOUND,
        openapi_extra=extra,
        summary="How many customers went from where to where in a period",
    )
    async def flows(
        segmentation: Segmentation,
        first_day: Annotated[
            date | None, Query(alias="from", description="First day (of the shop); 30 days up to `to` if not given.")
        ] = None,
        last_day: Annotated[
            date | None, Query(alias="to", description="Last day (of the shop), included; today if not given.")
        ] = None,
    ) -> Response:
        days = _days(first_day, last_day, date_of(now_ms(), timezone))
        require_segmentation(store, segmentation)
        found = await store.flows(segmentation, days)
        return json_response({"segmentation": segmentation, "first_day": days[0], "last_day": days[-1], "flows": found})

    @router.get(
        "/segmentations/{segmentation}/models",
        response_model=ModelsDocument,
        responses=NOT_FOUND,
        openapi_extra=extra,
        summary="The versions of the model or definition",
    )
    async def models(segmentation: Segmentation) -> Response:
        require_segmentation(store, segmentation)
        documents = await store.models(segmentation)
        return json_response({"segmentation": segmentation, "models": [_summary(document) for document in documents]})

    @router.get(
        "/segmentations/{segmentation}/models/{version}",
        response_model=SegmentModel,
        responses=NOT_FOUND,
        openapi_extra=extra,
        summary="One version of the model or definition, in full",
    )
    async def model(segmentation: Segmentation, version: Annotated[int, Path(ge=0, le=2**31)]) -> Response:
        require_segmentation(store, segmentation)
        documents = await store.models(segmentation)
        found = next((document for document in documents if document["version"] == version), None)
        if found is None:
            known = ", ".join(str(document["version"]) for document in documents)
            raise Problem(VERSION_UNKNOWN, f"{segmentation} has no version {version}; there are {known}")
        return json_response(found)

    return router


def _summary(document: Mapping[str, Any]) -> dict[str, Any]:
    always = {name: document[name] for name in ("kind", "version", "status", "as_of")}
    return always | {"segments": len(document["segments"]), "expected_churn": document.get("expected_churn")}


def _days(first: date | None, last: date | None, today: date) -> list[str]:
    last = last or today
    try:
        first = first or last - timedelta(days=DEFAULT_PERIOD_DAYS - 1)
    except OverflowError:
        first = last
    count = (last - first).days + 1
    if count < 1:
        raise Problem(PERIOD_INVALID, f"from is {first}, later than to, which is {last}")
    if count > PERIOD_DAYS_MAX:
        raise Problem(PERIOD_INVALID, f"from, to: {count} days, expected at most {PERIOD_DAYS_MAX}")
    return [(first + timedelta(days=number)).isoformat() for number in range(count)]
