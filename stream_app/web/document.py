"""The parts of the document that the pages draw from, whoever makes it: the report of a replay, or a live console.

Where something is not known, the document has null, and the pages leave it out or say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from stream_app.contracts.fields import parse_instant
from stream_app.core.moves import CAUSE_KINDS, CHANGES
from stream_app.segmentations.learned.roles import KEYS, segments

FORMAT: Final = 2
AUDIENCE: Final = "audience"
LEARNED: Final = "learned"
KINDS: Final = (LEARNED, "rules", AUDIENCE)
"""Of segmentations, in the order in which they are shown."""
_NO_CELLS: Final[dict[str, list[int]]] = {"cell": [], "segment": [], "customers": []}
NOBODYS_MOVES: Final[Mapping[str, Any]] = {
    "segments": [],
    "patterns": [],
    "ids": [],
    "counts": [],
    "moves": {
        name: [] for name in ("at", "segmentation", "from", "to", "cause", "change", "version", "pattern", "numbers")
    },
    "next": [],
    "eventCounts": [],
    "events": {"at": [], "kind": [], "amount": []},
    "customersTotal": 0,
    "migrations": 0,
    "migrationsTotal": 0,
}
"""The part of customers in a document that holds none: the pages ask for those whom somebody looks up."""
_SEGMENT_IDS: Final = {key: segment.segment_id for key, segment in zip(KEYS, segments(), strict=True)}


class FlowRow(NamedTuple):
    """How many customers went a way on a day; None stands for none at entries and leavings.

    Attributes
    ----------
    day
        Since 1970-01-01, of the shop.
    from_segment, to_segment
        Ids.
    cause, change
        Names.
    customers
        How many.
    revenue_units
        What they had brought before, in 10,000ths of a major unit; None where nobody knows.
    """

    day: int
    from_segment: str | None
    to_segment: str | None
    cause: str
    change: str
    customers: int
    revenue_units: int | None = None


def title_of(name: str, document: Mapping[str, Any]) -> str:
    """Return what a segmentation is called on pages."""
    title: str | None = document.get("definition", {}).get("title")
    return title or name.replace("_", " ").capitalize()


def order_by_life_cycle(segment_ids: Iterable[str], present: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return ids in the order of the life cycle, those of one level as they come.

    Parameters
    ----------
    segment_ids
        All that are of the newest version, or have members.
    present
        Documents of the newest version's segments.
    """
    levels = {segment["id"]: segment.get("level") or 0 for segment in present}
    return sorted(segment_ids, key=lambda segment_id: -levels.get(segment_id, 0))


def describe_segments(
    names: Mapping[str, str], current: Sequence[str], present: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return all segments that ever were, former ones last.

    Parameters
    ----------
    names
        Of all, by id.
    current
        Ids of those that are shown first, in their order.
    present
        Documents of the newest version's segments; `tried` says in which order rules try them.
    """
    documents = {segment["id"]: segment for segment in present}
    former = [segment_id for segment_id in sorted(names) if segment_id not in current]
    tried = {segment_id: number for number, segment_id in enumerate(documents)}
    return [
        {
            "id": segment_id,
            "name": names[segment_id],
            "level": documents.get(segment_id, {}).get("level"),
            "action": documents.get(segment_id, {}).get("action"),
            "means": documents.get(segment_id, {}).get("statement") or documents.get(segment_id, {}).get("sentence"),
            "open": documents.get(segment_id, {}).get("open", True),
            "former": segment_id in former,
            "tried": tried.get(segment_id),
        }
        for segment_id in (*current, *former)
    ]


def flow_columns(
    listed: Sequence[Mapping[str, Any]], rows: Sequence[FlowRow], revenue_minor: Sequence[int | None] | None
) -> dict[str, Any]:
    """Return flows as the pages read them: by the numbers of segments, -1 for none, of causes and of changes.

    Parameters
    ----------
    listed
        The segments, as `describe_segments` has them.
    rows
        The flows, by day.
    revenue_minor
        What the customers of each had brought before; None where nobody knows, of one row or of any.
    """
    numbers = {segment["id"]: number for number, segment in enumerate(listed)}
    return {
        "day": [row.day for row in rows],
        "from": [numbers.get(row.from_segment or "", -1) for row in rows],
        "to": [numbers.get(row.to_segment or "", -1) for row in rows],
        "cause": [CAUSE_KINDS.index(row.cause) for row in rows],
        "change": [CHANGES.index(row.change) for row in rows],
        "customers": [row.customers for row in rows],
        "revenue": revenue_minor,
    }


def describe_rfm(rfm: dict[str, Any], segmentations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the grid of recency and frequency, for the segmentations of the document."""
    places = segment_places(segmentations)
    return {
        "withoutOrder": rfm["without_order"],
        "recencyDays": rfm["recency_days"],
        "orders": rfm["orders"],
        "cells": [
            {key: cell[key] for key in ("recency", "frequency", "name", "customers", "orders")}
            | {"revenue": cell["revenue_minor"]}
            for cell in rfm["cells"]
        ],
        "segments": [
            {
                "cell": found["cell"],
                "segment": [places[name][segment_id] for segment_id in found["segment"]],
                "customers": found["customers"],
            }
            for name, found in ((each["name"], rfm["segments"].get(each["name"], _NO_CELLS)) for each in segmentations)
        ],
    }


def describe_overlaps(
    overlaps: Sequence[dict[str, Any]], segmentations: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return how many customers are in segments of two segmentations, each named by its place in the document."""
    places = segment_places(segmentations)
    numbers = {name: number for number, name in enumerate(places)}
    return [
        {
            "of": numbers[pair["of"]],
            "with": numbers[pair["with"]],
            "segment": [places[pair["of"]][segment_id] for segment_id in pair["segment"]],
            "other": [places[pair["with"]][segment_id] for segment_id in pair["other"]],
            "customers": pair["customers"],
        }
        for pair in overlaps
    ]


def segment_places(segmentations: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return, of each segmentation of the document, the places of its segments by their ids."""
    return {
        each["name"]: {segment["id"]: place for place, segment in enumerate(each["segments"])} for each in segmentations
    }


def describe_version(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a version's document alone says of it; how many it moved is for those who know to add."""
    row = {key: model.get(key) for key in ("version", "status", "expected_churn")}
    row["atMs"] = parse_instant(model["as_of"])
    row["moved"] = row["actual_churn"] = None
    drift = model.get("drift") or {"roles": {}, "psi": {}}
    role, row["role_drift"] = max(drift["roles"].items(), key=lambda item: item[1], default=(None, None))
    row["role"] = None if role is None else _SEGMENT_IDS[role]
    row["psi_axis"], row["psi"] = max(drift["psi"].items(), key=lambda item: item[1], default=(None, None))
    return row


def among_all(figures: Sequence[Mapping[str, Any]], customers: int, revenue: float | None) -> list[dict[str, Any]]:
    """Return the figures of an audience's members with shares of all customers: those out of it are customers, too."""
    return [
        {
            **each,
            "share": each["customers"] / customers if customers else 0.0,
            "revenue_share": each["revenue"] / revenue if revenue and each["revenue"] is not None else 0.0,
        }
        for each in figures
    ]
