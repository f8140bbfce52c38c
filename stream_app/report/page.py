"""The report of a replay: one HTML file that opens offline and that a marketer understands.

It is the pages of `stream_app.web` with a document inside. The document holds all segmentations; of customers, where
they are now and what they have brought, and of as many as fit every move: a fair sample, and those who bring the
greatest revenue.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from stream_app.core.clock import SECOND_MS
from stream_app.report.document import (
    Since,
    describe_run,
    describe_segmentation,
    read_refused,
)
from stream_app.report.listing import encode_listing
from stream_app.report.newest import NewestMoves
from stream_app.report.reading import Membership, Migration, milliseconds, read_document, read_lines
from stream_app.report.timelines import MIGRATIONS_MAX, TimelineSample
from stream_app.web.document import AUDIENCE, among_all, describe_overlaps, describe_rfm, segment_places
from stream_app.web.single_file import FILE_NAME, compress, single_file

TITLE: Final = "Customer segments"
DATA_BYTES_MAX: Final = 915_000
"""Of the compressed document. Written in letters and digits it is a third larger; with 240 kB of pages, 1.46 MB."""
LISTED_SHARE: Final = 0.3
"""The share of it that may be spent on where customers are now; the rest is for their moves."""
ALWAYS_MAX: Final = 1_000
"""Customers with the greatest revenue in their segments who are in the report, whatever the sample."""
_MARGIN: Final = 0.98


def write_report(folder: Path, path: Path | None = None, bytes_max: int = DATA_BYTES_MAX) -> Path:
    """Write the report from the other outputs in `folder`; return its path.

    The same outputs give the same bytes. Memory is bounded, whatever the number of migrations.

    Parameters
    ----------
    folder
        Where a replay has written.
    path
        Of the report; `report.html` in that folder if None.
    bytes_max
        Of the compressed document: customers are left out until it is no larger.

    Raises
    ------
    ConfigurationError
        If an output is missing or cannot be read; the message names file and line.
    """
    document, sample, history = _read(folder)
    customers = document["customers"]
    below, by_customer = _events_by_customer(history["events"])
    document["listed"] = encode_listing(
        history["customers"],
        segment_places(document["segmentations"]),
        customers,
        document["timezone"],
        lambda columns: len(compress(msgspec.json.encode(columns))) / (bytes_max * LISTED_SHARE),
    )
    without_customers = len(compress(msgspec.json.encode(document)))
    while True:
        document["people"] = sample.encode(customers, by_customer, below)
        compressed = compress(msgspec.json.encode(document))
        if len(compressed) <= bytes_max or not sample.can_shrink:
            break
        share = max(bytes_max - without_customers, 0) / (len(compressed) - without_customers)
        sample.shrink_to(int(sample.kept * share * _MARGIN))
    path = path or folder / FILE_NAME
    path.write_text(single_file(compressed, TITLE), encoding="utf-8", newline="\n")
    return path


def _read(folder: Path) -> tuple[dict[str, Any], TimelineSample, dict[str, Any]]:
    """Return the document without customers, the sample of them, and the history."""
    summaries = _read_summaries(folder / "summary.json")
    history = read_document(folder / "history.json")
    run = next(iter(summaries.values()))
    sample = TimelineSample(summaries, _always(summaries, history), MIGRATIONS_MAX)
    until_ms = milliseconds(run["as_of"]) if run["as_of"] else None
    versions_in_force = {name: summary["model_version"] for name, summary in summaries.items()}
    newest = NewestMoves(versions_in_force, until_ms, run["timezone"])
    for migration in read_lines(folder / "migrations.jsonl", Migration):
        if migration.segmentation in summaries:
            sample.add(migration)
            newest.add(migration)
    versions: dict[str, list[dict[str, Any]]] = {name: [] for name in summaries}
    for version in read_lines(folder / "models.jsonl", dict[str, Any]):
        versions.get(version["segmentation"], []).append(version)
    since = {name: Since(until_ms) for name in summaries}
    for membership in read_lines(folder / "memberships.jsonl", Membership):
        if membership.segmentation in summaries:
            since[membership.segmentation].add(membership)
            sample.add_membership(membership)
    refused = read_refused(folder / "dead_letters.jsonl", run["rejected_by_reason"])
    everybody = next((each["all_segments"] for each in summaries.values() if each["kind"] != AUDIENCE), None)
    document = describe_run(run, history, refused)
    stays = sample.stays((until_ms or 0) // SECOND_MS)
    document["segmentations"] = [
        describe_segmentation(
            _among_all(summary, everybody), history["segmentations"][name], versions[name], since[name], own_stays
        )
        for (name, summary), own_stays in zip(summaries.items(), stays, strict=True)
    ]
    for segmentation, (name, places) in zip(
        document["segmentations"], segment_places(document["segmentations"]).items(), strict=True
    ):
        segmentation["newest"] = newest.document(name, places)
    document["rfm"] = describe_rfm(history["rfm"], document["segmentations"])
    document["overlaps"] = describe_overlaps(history["overlaps"], document["segmentations"])
    return document, sample, history


def _read_summaries(path: Path) -> dict[str, dict[str, Any]]:
    """Return the summary of each segmentation by its name; each has the part about the whole run, too."""
    whole = read_document(path)
    others = whole.pop("other_segmentations")
    return {summary["segmentation"]: summary for summary in (whole, *(whole | other for other in others))}


def _always(summaries: Mapping[str, dict[str, Any]], history: dict[str, Any]) -> set[str]:
    """Return the customers who are in the report whatever the sample."""
    chosen = {example["customer_id"] for summary in summaries.values() for example in summary["examples"]}
    lists = [
        segment.get("top", ())
        for segmentation in history["segmentations"].values()
        for segment in segmentation["members"].values()
    ]
    for rank in range(max(map(len, lists), default=0)):  # the first of all segments before the second of any
        for best in lists:
            if len(chosen) >= ALWAYS_MAX:
                return chosen
            if rank < len(best):
                chosen.add(best[rank]["customer_id"])
    return chosen


def _among_all(summary: dict[str, Any], everybody: dict[str, Any] | None) -> dict[str, Any]:
    """Return an audience's summary with shares of all customers, including those outside it."""
    if summary["kind"] != AUDIENCE or not summary["customers"]:
        return summary
    revenue = everybody["revenue"] if everybody else None
    segments = among_all(summary["segments"], summary["customers"], revenue)
    return summary | {"segments": segments, "all_segments": everybody or summary["all_segments"]}


def _events_by_customer(events: dict[str, Any]) -> tuple[int, dict[int, list[tuple[int, int, int]]]]:
    """Return below which digest customers' events are known, and the events by digest."""
    by_customer: dict[int, list[tuple[int, int, int]]] = {}
    columns = (events[name] for name in ("customer", "at_ms", "kind", "amount_minor"))
    for customer, at_ms, kind, amount in zip(*columns, strict=True):
        by_customer.setdefault(customer, []).append((at_ms, kind, amount))
    below = events["customers_below"]
    return 2**64 if below is None else below, by_customer
