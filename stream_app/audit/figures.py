"""Figures of a partition's members, recounted from its rows and compared with those it published last.

A worker tells them some seconds after a change, and once more when it gives a partition up. Of a worker that was killed
they are behind its rows until another has had the partition for these seconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from pydantic import ValidationError

from stream_app.audit.checks import Log, Standings
from stream_app.audit.findings import Finding, place
from stream_app.audit.records import LogRecord, broken
from stream_app.audit.rows import CustomerRow
from stream_app.contracts.outputs.figures import SegmentFigures
from stream_app.core.clock import SECOND_MS
from stream_app.core.segmentation import NEVER_MS

FIELDS: Final = ("customers", "purchases", "revenue_minor", "first_at_seconds", "active_at_seconds", "profiles_only")
NOBODY: Final = (0,) * len(FIELDS)

Sums = Mapping[str, Sequence[int]]
"""By segment id, those of `FIELDS`."""


class ToldFigures(NamedTuple):
    """What a partition published last about a segmentation, and where."""

    segments: Sums
    offset: int


def read_figures(records: Sequence[LogRecord], log: Log) -> tuple[dict[str, ToldFigures], list[Finding]]:
    """Return the newest figures by segmentation, and what is wrong with records."""
    told: dict[str, ToldFigures] = {}
    findings = []
    for record in records:
        where = log.at(record.offset)
        segmentation, _, partition = (record.key or b"").decode("utf-8", "replace").rpartition("/")
        if not segmentation or partition != str(log.partition):
            message = f"key {record.key!r}, expected <segmentation>/{log.partition}"
            findings.append(Finding("contracts", message, position=where))
            continue
        if record.value is None:
            told.pop(segmentation, None)
            continue
        try:
            document = SegmentFigures.model_validate_json(record.value)
        except ValidationError as error:
            findings.append(broken(error, where))
            continue
        if (document.segmentation, document.partition) != (segmentation, log.partition):
            message = f"figures of {document.segmentation}/{document.partition} under the key {record.key!r}"
            findings.append(Finding("contracts", message, position=where))
            continue
        sums = {each.segment: [getattr(each, name) for name in FIELDS] for each in document.segments}
        told[segmentation] = ToldFigures(sums, record.offset)
    return told, findings


def check_figures(
    rows: Mapping[str, CustomerRow], standings: Standings, told: Mapping[str, ToldFigures], log: Log
) -> Iterator[Finding]:
    """Compare the figures a partition published of its segments with the sums over those who are in them.

    Parameters
    ----------
    log
        Of the figures.
    """
    recounted = _recount(rows, standings)
    for segmentation in sorted(recounted.keys() | told.keys()):
        wanted = recounted.get(segmentation, {})
        if segmentation not in told:
            customers = sum(sums[0] for sums in wanted.values())
            yield Finding("figures", f"{segmentation}: none published for {customers} customers", position=place(*log))
            continue
        found, offset = told[segmentation]
        for segment_id in sorted(wanted.keys() | found.keys()):
            pairs = zip(FIELDS, found.get(segment_id, NOBODY), wanted.get(segment_id, NOBODY), strict=True)
            differences = ", ".join(f"{name} {own}, recounted {other}" for name, own, other in pairs if own != other)
            if differences:
                yield Finding("figures", f"{segmentation} {segment_id}: {differences}", position=log.at(offset))


def _recount(rows: Mapping[str, CustomerRow], standings: Standings) -> dict[str, dict[str, list[int]]]:
    recounted: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [*NOBODY]))
    for customer_id, row in rows.items():
        totals = row.totals
        active_at_ms = max(totals.first_at_ms, totals.purchased_at_ms, totals.engaged_at_ms)
        has_acted = totals.first_at_ms < NEVER_MS
        instants = (totals.first_at_ms // SECOND_MS, active_at_ms // SECOND_MS) if has_acted else (0, 0)
        own = (1, totals.purchases, totals.revenue_minor, *instants, not has_acted)
        for segmentation, standing in standings[customer_id].items():
            if standing.segment_id is not None:
                sums = recounted[segmentation][standing.segment_id]
                sums[:] = map(int.__add__, sums, own)
    return {segmentation: dict(segments) for segmentation, segments in recounted.items()}
