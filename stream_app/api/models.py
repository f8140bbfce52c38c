"""Segments as the newest model of their segmentation has them, and answers made from that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream_app.adapters.view_schema import FLOW_SEPARATOR
from stream_app.api.store import Flow, Segment, SegmentList
from stream_app.core.segments import SegmentReference


class ModelNames:
    """Knows the newest model of each segmentation."""

    def __init__(self) -> None:
        self.models: dict[str, Mapping[str, Any]] = {}
        self._segments: dict[tuple[str, str], SegmentReference] = {}

    def take(self, document: Mapping[str, Any]) -> None:
        """Have a model take the place of the one before."""
        segmentation = document["segmentation"]
        self.models[segmentation] = document
        for segment in (*document["retired_segments"], *document["segments"]):
            self._segments[segmentation, segment["id"]] = SegmentReference(segment["id"], segment["name"])

    def reference(self, segmentation: str, segment_id: str) -> SegmentReference:
        """Return a segment with its name; one that is not known yet is called by its id."""
        known = self._segments.get((segmentation, segment_id))
        return known or SegmentReference(segment_id, segment_id)

    def segment_ids(self, segmentation: str) -> list[str]:
        """Return the ids of all segments that customers may be in."""
        document = self.models[segmentation]
        return [segment["id"] for segment in (*document["segments"], *document["retired_segments"])]


def segment_list(model: Mapping[str, Any], sizes: Mapping[str, int]) -> SegmentList:
    """Return a model's segments, those of earlier models behind them if they still have customers."""
    segments = [
        Segment(s["id"], s["name"], sizes.get(s["id"], 0), False, s["share"], s["profile"]) for s in model["segments"]
    ]
    segments += [
        Segment(s["id"], s["name"], sizes[s["id"]], True, None, None)
        for s in model["retired_segments"]
        if sizes.get(s["id"])
    ]
    return SegmentList(model["segmentation"], model["version"], model["as_of"], segments)


def flows_of(counts: Mapping[str, int], segmentation: str, names: ModelNames) -> list[Flow]:
    """Return counts by `from>to>cause` as flows, the greatest first."""
    flows = []
    for field, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        origin, target, cause = field.split(FLOW_SEPARATOR)
        from_segment = names.reference(segmentation, origin) if origin else None
        flows.append(Flow(from_segment, names.reference(segmentation, target), cause, count))
    return flows


def newest_first(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return models in the order of listing; a held one that was published later stands behind that."""
    return sorted(documents, key=lambda document: (document["version"], document["status"]), reverse=True)
