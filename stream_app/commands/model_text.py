"""A segmentation's models in words, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stream_app.contracts.model_shelf import ShelvedModel
from stream_app.segmentations.learned.roles import KEYS

NOT_KNOWN: Final = "–"
FIGURES: Final = {
    "customers": ("customers", "d"),
    "share": ("share", ".1%"),
    "revenue": ("revenue", ""),
    "of all": ("revenue_share", ".1%"),
    "days silent": ("recency_days", ""),
    "days known": ("tenure_days", ""),
    "orders each": ("orders_per_customer", ""),
    "revenue each": ("revenue_per_customer", ""),
    "an order": ("average_order_value", ""),
}
"""By column, a figure of `stream_app.core.members.MemberFigures` and its form; they are rounded already."""


def model_lines(name: str, model: ShelvedModel, *, is_live: bool) -> Iterator[str]:
    """Yield what there is to say of a segmentation, line by line.

    Parameters
    ----------
    is_live
        Whether decisions can be carried out, and so are to be named.
    """
    published = model.published
    if published is None:
        yield f"{name}: nothing is published yet"
        return
    yield f"{name}: {published['kind']}, version {published['version']} is in force, as of {published['as_of']}"
    if model.pinned_version is not None:
        yield f"  pinned: version {model.pinned_version}; what is learned is held back"
    if published["kind"] != "learned":
        members = [(each["id"], each["name"], each["sentence"]) for each in published["segments"]]
        yield from _table(("id", "segment", "members"), members)
        return
    if "frame" not in published:
        yield "  of an earlier release: its segments are given up with the next version"
        return
    yield f"  forecast: {_forecast(published)}"
    yield f"  drift by axis (population stability index): {_axes(published)}"
    shifts = (published["drift"] or {}).get("roles", {})
    rows = [_row(each, shifts.get(key)) for key, each in zip(KEYS, published["segments"], strict=True)]
    yield from _table(("id", "segment", "level", "open", "drift", "members"), rows)
    yield from _member_lines(published)
    yield from _waiting_lines(name, model, is_live)


def _member_lines(published: Mapping[str, Any]) -> Iterator[str]:
    """Yield who was in each segment when the model was learned."""
    if any(each.get("members") is None for each in published["segments"]):
        yield f"  who was in them as of {published['as_of']}: unknown"
        return
    yield f"  who was in them as of {published['as_of']}, before it took over:"
    yield from _table(("segment", *FIGURES), [_figures_row(each) for each in published["segments"]])


def _figures_row(segment: Mapping[str, Any]) -> Sequence[str]:
    cells = ((segment["members"][figure], form) for figure, form in FIGURES.values())
    return segment["name"], *(NOT_KNOWN if value is None else format(value, form) for value, form in cells)


def _waiting_lines(name: str, model: ShelvedModel, is_live: bool) -> Iterator[str]:
    waiting = model.waiting
    if waiting is None:
        yield "  held back: nothing"
        return
    yield f"  held back: version {waiting['version']}, as of {waiting['as_of']}; {_forecast(waiting)}"
    yield f"    drift by axis: {_axes(waiting)}"
    yield f"    drift by role: {_roles(waiting)}"
    if is_live and model.pinned_version is None:
        for action in ("approve", "reject"):
            yield f"    segmenter model {action} {name} {waiting['version']}"


def _row(segment: Mapping[str, Any], shift: float | None) -> Sequence[str]:
    return (
        segment["id"],
        segment["name"],
        str(segment["level"]),
        "yes" if segment["open"] else "no",
        NOT_KNOWN if shift is None else f"{shift:.2f}",
        segment["statement"],
    )


def _forecast(document: Mapping[str, Any]) -> str:
    churn = document["expected_churn"]
    return "unknown" if churn is None else f"moves {churn:.2%} of the customers"


def _axes(document: Mapping[str, Any]) -> str:
    return _numbers((document["drift"] or {}).get("psi", {}))


def _roles(document: Mapping[str, Any]) -> str:
    return _numbers((document["drift"] or {}).get("roles", {}))


def _numbers(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in values.items()) or "unknown"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    for row in (heads, *rows):
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
