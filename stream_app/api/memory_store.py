"""Answers from what a run without servers has written: the same API, for trying it out."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from stream_app.adapters.view_schema import flow_field
from stream_app.api.feed import FeedEntry, MigrationFeed, id_order
from stream_app.api.models import ModelNames, flows_of, newest_first, segment_list
from stream_app.api.store import CustomerSegment, Flow, MemberPage, SegmentList
from stream_app.contracts.fields import parse_instant
from stream_app.contracts.memberships import MembershipRecord
from stream_app.core.migration import Migration

KEPT_MIGRATIONS: Final = 10_000
"""For the stream; as many as the view in Redis keeps by default."""


class MemoryStore:
    """`SegmentStore` in memory, once and for all.

    Parameters
    ----------
    folder
        With `memberships.jsonl`, `migrations.jsonl` and `models.jsonl`.
    """

    def __init__(self, folder: Path) -> None:
        self._names = ModelNames()
        self._models: list[dict[str, Any]] = [msgspec.json.decode(line) for line in _lines(folder / "models.jsonl")]
        for document in self._models:
            if document["status"] == "published":
                self._names.take(document)
        self._flows: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        newest: dict[tuple[str, str], Migration] = {}
        self._recent: list[FeedEntry] = []
        decode = msgspec.json.Decoder(Migration).decode
        for number, line in enumerate(_lines(folder / "migrations.jsonl"), 1):
            migration = decode(line)
            newest[migration.segmentation, migration.customer_id] = migration
            origin = None if migration.from_segment is None else migration.from_segment.id
            flow = flow_field(origin, migration.to_segment.id, migration.cause.kind)
            self._flows[migration.segmentation, migration.effective_at[:10]][flow] += 1
            self._recent.append(FeedEntry.read(f"{number}-0", line))
        del self._recent[:-KEPT_MIGRATIONS]
        self._customers: defaultdict[str, list[CustomerSegment]] = defaultdict(list)
        self._members: defaultdict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        read = msgspec.json.Decoder(MembershipRecord).decode
        for line in _lines(folder / "memberships.jsonl"):
            self._take(read(line), newest)
        for members in self._members.values():
            members.sort(key=_byte_order)
        self.feed = MigrationFeed(self._history)
        self.feed.publish(self._recent)

    async def start(self) -> None:
        """See `SegmentStore`."""

    async def close(self) -> None:
        """See `SegmentStore`."""
        self.feed.close()

    def unready_reason(self) -> str:
        """See `SegmentStore`."""
        return ""

    async def look_up(self, customer_ids: Sequence[str]) -> list[list[CustomerSegment]]:
        """See `SegmentStore`."""
        return [self._customers.get(customer_id, []) for customer_id in customer_ids]

    async def segments(self, segmentation: str) -> SegmentList | None:
        """See `SegmentStore`."""
        model = self._names.models.get(segmentation)
        if model is None:
            return None
        sizes = {segment: len(members) for (of, segment), members in self._members.items() if of == segmentation}
        return segment_list(model, sizes)

    async def members(
        self, segmentation: str, segment: str, limit: int, after: tuple[int, str] | None
    ) -> MemberPage | None:
        """See `SegmentStore`."""
        if segmentation not in self._names.models or segment not in self._names.segment_ids(segmentation):
            return None
        members = self._members.get((segmentation, segment), [])
        start = 0 if after is None else bisect_right(members, _byte_order(after), key=_byte_order)
        return MemberPage(len(members), members[start : start + limit])

    async def flows(self, segmentation: str, days: Sequence[str]) -> list[Flow] | None:
        """See `SegmentStore`."""
        if segmentation not in self._names.models:
            return None
        total: Counter[str] = Counter()
        for day in days:
            total += self._flows.get((segmentation, day), Counter())
        return flows_of(total, segmentation, self._names)

    async def models(self, segmentation: str) -> list[dict[str, Any]] | None:
        """See `SegmentStore`."""
        if segmentation not in self._names.models:
            return None
        return newest_first([document for document in self._models if document["segmentation"] == segmentation])

    async def _history(self, last_id: str, count: int) -> list[FeedEntry]:
        start = bisect_right(self._recent, id_order(last_id), key=lambda entry: id_order(entry.entry_id))
        return self._recent[start : start + count]

    def _take(self, told: MembershipRecord, newest: dict[tuple[str, str], Migration]) -> None:
        segment = CustomerSegment(
            told.segmentation,
            self._names.reference(told.segmentation, told.segment.id),
            told.since,
            told.sequence,
            told.model_version,
            told.as_of,
        )
        migration = newest.get((told.segmentation, told.customer_id))
        if migration is not None and migration.sequence == told.sequence:
            segment.change = migration.change
            segment.from_segment = migration.from_segment
            segment.cause = migration.cause
            segment.margin = migration.explanation.margin
            segment.explanation = migration.explanation
            segment.holdout = migration.holdout
        self._customers[told.customer_id].append(segment)
        place = parse_instant(told.since), told.customer_id
        self._members[told.segmentation, told.segment.id].append(place)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _byte_order(place: tuple[int, str]) -> tuple[int, bytes]:
    """Return what Redis orders members of a sorted set by."""
    return place[0], place[1].encode()
