"""Answers that name segments: lists of segments, flows, versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream_app.adapters.view_schema import FLOW_SEPARATOR
from stream_app.api.store import Flow, Segment, SegmentList
from stream_app.contracts.readers import ModelRecord
from stream_app.contracts.segment_index import SegmentIndex


def segment_list(model: ModelRecord, sizes: Mapping[str, int]) -> SegmentList:
    """Return a model's segments, followed by those of earlier models that still have customers."""
    segments = [
        Segment(
            each.id,
            each.name,
            sizes.get(each.id, 0),
            False,
            level=each.level,
            statement=each.statement,
            action=each.action,
            open=each.open,
            sentence=each.sentence,
        )
        for each in model.segments
    ]
    segments += [
        Segment(each.id, each.name, sizes[each.id], True) for each in model.retired_segments if sizes.get(each.id)
    ]
    return SegmentList(model.segmentation, model.version, model.as_of, segments)


def flows_of(counts: Mapping[str, int], segmentation: str, index: SegmentIndex) -> list[Flow]:
    """Return counts by `from>to>cause` as flows, the greatest first."""
    flows = []
    for field, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        *ends, cause = field.split(FLOW_SEPARATOR)
        origin, target = (index.reference(segmentation, end) if end else None for end in ends)
        flows.append(Flow(origin, target, cause, count))
    return flows


def newest_first(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return models in the order of listing; one that was held and published later follows its published form."""
    return sorted(documents, key=lambda document: (document["version"], document["status"]), reverse=True)
