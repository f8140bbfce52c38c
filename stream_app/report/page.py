"""The report of a replay: one HTML file that opens offline and that a marketer understands.

It is the pages of `stream_app.web` with a document inside. The document holds all segmentations; of customers, as many
as fit: a fair sample, and those who bring the greatest revenue.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from stream_app.report.document import Stays, describe_run, describe_segmentation, read_refused
from stream_app.report.reading import Membership, Migration, milliseconds, read_document, read_lines
from stream_app.report.timelines import MIGRATIONS_MAX, TimelineSample
from stream_app.web.document import AUDIENCE, among_all
from stream_app.web.single_file import FILE_NAME, compress, single_file

TITLE: Final = "Customer segments"
DATA_BYTES_MAX: Final = 900_000
"""Of the compressed document; letters and digits are a third more, and the pages some 170 kB: 1.4 MB in all."""
ALWAYS_MAX: Final = 1_000
"""So many of those with the greatest revenue in their segments are in the report, whatever the sample."""
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
        Of the compressed document: so long as it is larger, customers are left out.

    Raises
    ------
    ConfigurationError
        If an output is missing or cannot be read; the message names file and line.
    """
    document, sample, customers, events = _read(folder)
    below, by_customer = _events_by_customer(events)
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


def _read(folder: Path) -> tuple[dict[str, Any], TimelineSample, int, dict[str, Any]]:
    """Return the document without customers, the sample of them, how many there are, and the events of some."""
    summaries = _read_summaries(folder / "summary.json")
    history = read_document(folder / "history.json")
    run = next(iter(summaries.values()))
    sample = TimelineSample(summaries, _always(summaries, history), MIGRATIONS_MAX)
    for migration in read_lines(folder / "migrations.jsonl", Migration):
        if migration.segmentation in summaries:
            sample.add(migration)
    versions: dict[str, list[dict[str, Any]]] = {name: [] for name in summaries}
    for version in read_lines(folder / "models.jsonl", dict[str, Any]):
        versions.get(version["segmentation"], []).append(version)
    stays = {name: Stays(milliseconds(run["as_of"]) if run["as_of"] else None) for name in summaries}
    for membership in read_lines(folder / "memberships.jsonl", Membership):
        if membership.segmentation in summaries:
            stays[membership.segmentation].add(membership)
            sample.add_membership(membership)
    refused = read_refused(folder / "dead_letters.jsonl", run["rejected_by_reason"])
    everybody = next((each["all_segments"] for each in summaries.values() if each["kind"] != AUDIENCE), None)
    document = describe_run(run, history, refused)
    document["segmentations"] = [
        describe_segmentation(
            _among_all(summary, everybody), history["segmentations"][name], versions[name], stays[name]
        )
        for name, summary in summaries.items()
    ]
    return document, sample, run["customers"], history["events"]


def _read_summaries(path: Path) -> dict[str, dict[str, Any]]:
    """Return the summary of each segmentation by its name, with what is said of the whole run in each."""
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
    """Return an audience's summary with shares of all customers: out of it is no segment, but they are customers."""
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
