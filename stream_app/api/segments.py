"""Routes about segmentations: segments, their sizes, flows between them, versions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from stream_app.api import access
from stream_app.api.days import days_asked_for, days_between, days_with_sizes, sizes_by_day
from stream_app.api.documents import (
    DailyFlowsDocument,
    FlowsDocument,
    ModelsDocument,
    SegmentationsDocument,
    SegmentListDocument,
    SizesDocument,
)
from stream_app.api.parameters import FirstDay, LastDay, Segmentation
from stream_app.api.problems import PERIOD_INVALID, SEGMENTATION_UNKNOWN, VERSION_UNKNOWN, Problem
from stream_app.api.routing import described, index_of, json_response, require_segmentation, scoped_router
from stream_app.api.segment_lists import flows_of
from stream_app.api.store import Flow, SegmentStore
from stream_app.contracts.outputs.migrations import CauseKind
from stream_app.contracts.outputs.models import SegmentModel
from stream_app.core.local_days import date_of

Causes = Annotated[
    list[CauseKind] | None,
    Query(alias="cause", max_length=20, description="Kind of cause; repeat it for several. Without it, all."),
]


def segment_routes(store: SegmentStore, timezone: str) -> APIRouter:
    """Return the routes that need `read:segments`; days are those of a time zone."""
    router = scoped_router(access.READ_SEGMENTS, "segments")
    _add_lists(router, store)
    _add_flows(router, store, timezone)
    _add_sizes(router, store, timezone)
    _add_models(router, store)
    return router


def _add_lists(router: APIRouter, store: SegmentStore) -> None:
    @router.get(
        "/segmentations",
        response_model=SegmentationsDocument,
        openapi_extra=described(access.READ_SEGMENTS),
        operation_id="listSegmentations",
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
        openapi_extra=described(access.READ_SEGMENTS, SEGMENTATION_UNKNOWN),
        operation_id="listSegments",
        summary="All segments, the figures of their customers, what is true of them, and what to do with them",
    )
    async def segments(segmentation: Segmentation) -> Response:
        require_segmentation(store, segmentation)
        return json_response(await store.segments(segmentation))


def _add_flows(router: APIRouter, store: SegmentStore, timezone: str) -> None:
    @router.get(
        "/segmentations/{segmentation}/flows",
        response_model=FlowsDocument,
        openapi_extra=described(access.READ_SEGMENTS, SEGMENTATION_UNKNOWN, PERIOD_INVALID),
        operation_id="getFlows",
        summary="How many customers went from which segment to which in a period of at most 366 days",
    )
    async def flows(
        segmentation: Segmentation, first_day: FirstDay = None, last_day: LastDay = None, causes: Causes = None
    ) -> Response:
        days = days_asked_for(first_day, last_day, date_of(store.now_ms(), timezone))
        require_segmentation(store, segmentation)
        found = _of_causes(await store.flows(segmentation, days), causes)
        return json_response({"segmentation": segmentation, "first_day": days[0], "last_day": days[-1], "flows": found})

    @router.get(
        "/segmentations/{segmentation}/flows/daily",
        response_model=DailyFlowsDocument,
        openapi_extra=described(access.READ_SEGMENTS, SEGMENTATION_UNKNOWN, PERIOD_INVALID),
        operation_id="getDailyFlows",
        summary="The same, day by day",
    )
    async def daily_flows(
        segmentation: Segmentation, first_day: FirstDay = None, last_day: LastDay = None, causes: Causes = None
    ) -> Response:
        days = days_asked_for(first_day, last_day, date_of(store.now_ms(), timezone))
        require_segmentation(store, segmentation)
        found = await store.flows_by_day(segmentation, days)
        told = [
            {"day": day, "flows": _of_causes(flows_of(counts, segmentation, store.index), causes)}
            for day, counts in zip(days, found, strict=True)
        ]
        return json_response(
            {
                "segmentation": segmentation,
                "first_day": days[0],
                "last_day": days[-1],
                "days": [each for each in told if each["flows"]],
            }
        )


def _of_causes(flows: Sequence[Flow], causes: Sequence[str] | None) -> list[Flow]:
    return [flow for flow in flows if causes is None or flow.cause in causes]


def _add_sizes(router: APIRouter, store: SegmentStore, timezone: str) -> None:
    @router.get(
        "/segmentations/{segmentation}/sizes",
        response_model=SizesDocument,
        openapi_extra=described(access.READ_SEGMENTS, SEGMENTATION_UNKNOWN, PERIOD_INVALID),
        operation_id="getSizes",
        summary="How many customers were in each segment at the end of each day of a period, at most 366 days",
    )
    async def sizes(segmentation: Segmentation, first_day: FirstDay = None, last_day: LastDay = None) -> Response:
        today = date_of(store.now_ms(), timezone)
        days = days_with_sizes(first_day, last_day, today)
        require_segmentation(store, segmentation)
        until_now = days_between(date.fromisoformat(days[0]), today)
        found = await store.daily(segmentation, until_now)
        in_use = {segment.id for segment in store.index.require(segmentation).segments}
        told = [
            {"segment": store.index.reference(segmentation, segment), "customers": counts}
            for segment, counts in sizes_by_day(found, until_now, days).items()
            if segment in in_use or any(counts)
        ]
        return json_response(
            {
                "segmentation": segmentation,
                "first_day": days[0],
                "last_day": days[-1],
                "known_from": found.known_from or None,
                "days": days,
                "segments": told,
            }
        )


def _add_models(router: APIRouter, store: SegmentStore) -> None:
    @router.get(
        "/segmentations/{segmentation}/models",
        response_model=ModelsDocument,
        openapi_extra=described(access.READ_SEGMENTS, SEGMENTATION_UNKNOWN),
        operation_id="listModels",
        summary="The versions of the model or definition, the newest first",
    )
    async def models(segmentation: Segmentation) -> Response:
        require_segmentation(store, segmentation)
        documents = await store.models(segmentation)
        return json_response({"segmentation": segmentation, "models": [_summary(document) for document in documents]})

    @router.get(
        "/segmentations/{segmentation}/models/{version}",
        response_model=SegmentModel,
        openapi_extra=described(access.READ_SEGMENTS, SEGMENTATION_UNKNOWN, VERSION_UNKNOWN),
        operation_id="getModel",
        summary="One version of the model or definition, in full",
    )
    async def model(
        segmentation: Segmentation,
        version: Annotated[int, Path(ge=0, le=2**31, description="Of the model or definition.", examples=[1])],
    ) -> Response:
        require_segmentation(store, segmentation)
        found = await store.model(segmentation, version)
        if found is None:
            documents = await store.models(segmentation)
            known = ", ".join(str(document["version"]) for document in documents)
            raise Problem(VERSION_UNKNOWN, f"{segmentation} has no version {version}; there are {known}")
        return json_response(found)


def _summary(document: Mapping[str, Any]) -> dict[str, Any]:
    always = {name: document[name] for name in ("kind", "version", "status", "as_of")}
    return always | {"segments": len(document["segments"]), "expected_churn": document.get("expected_churn")}
