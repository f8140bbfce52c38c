"""Answers from the files of a run without servers: the same API, for trying it out."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from stream_app.adapters.view_schema import flow_field
from stream_app.api.feed import FeedEntry, MigrationFeed, id_order
from stream_app.api.figures import figures_of_replay
from stream_app.api.segment_lists import flows_of, newest_first, segment_list
from stream_app.api.store import CustomerSegment, Flow, MemberPage, SegmentList
from stream_app.contracts.fields import parse_instant
from stream_app.contracts.readers import MembershipRecord, MigrationRecord, read_membership, read_model
from stream_app.contracts.segment_index import SegmentIndex

KEPT_MIGRATIONS: Final = 10_000
"""For the stream; as many as the view in Redis keeps by default."""


class MemoryStore:
    """`SegmentStore` in memory; it is read once and does not change.

    Parameters
    ----------
    folder
        With `memberships.jsonl`, `migrations.jsonl`, `models.jsonl` and `summary.json`.
    """

    def __init__(self, folder: Path) -> None:
        self.index = SegmentIndex()
        self._models: list[dict[str, Any]] = []
        for line in _lines(folder / "models.jsonl"):
            self.index.add(read_model(line))
            self._models.append(msgspec.json.decode(line))
        self._flows: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        newest: dict[tuple[str, str], MigrationRecord] = {}
        self._recent: list[FeedEntry] = []
        for number, line in enumerate(_lines(folder / "migrations.jsonl"), 1):
            entry = FeedEntry.read(f"{number}-0", line)
            migration = entry.migration
            newest[migration.segmentation, migration.customer_id] = migration
            self._flows[migration.segmentation, migration.effective_at[:10]][flow_field(migration)] += 1
            self._recent.append(entry)
        del self._recent[:-KEPT_MIGRATIONS]
        self._customers: defaultdict[str, list[CustomerSegment]] = defaultdict(list)
        self._members: defaultdict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        for line in _lines(folder / "memberships.jsonl"):
            self._add_membership(read_membership(line), newest)
        for segments in self._customers.values():
            segments.sort(key=lambda segment: segment.segmentation)
        for members in self._members.values():
            members.sort(key=_byte_order)
        self._figures = figures_of_replay((folder / "summary.json").read_bytes())
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

    async def segments(self, segmentation: str) -> SegmentList:
        """See `SegmentStore`."""
        return segment_list(self.index.require(segmentation), self._figures.get(segmentation))

    async def members(self, segmentation: str, segment: str, limit: int, after: tuple[int, str] | None) -> MemberPage:
        """See `SegmentStore`."""
        members = self._members.get((segmentation, segment), [])
        start = 0 if after is None else bisect_right(members, _byte_order(after), key=_byte_order)
        return MemberPage(len(members), members[start : start + limit])

    async def flows(self, segmentation: str, days: Sequence[str]) -> list[Flow]:
        """See `SegmentStore`."""
        total: Counter[str] = Counter()
        for day in days:
            total += self._flows.get((segmentation, day), Counter())
        return flows_of(total, segmentation, self.index)

    async def models(self, segmentation: str) -> list[dict[str, Any]]:
        """See `SegmentStore`."""
        return newest_first([document for document in self._models if document["segmentation"] == segmentation])

    async def _history(self, last_id: str, count: int) -> list[FeedEntry]:
        start = bisect_right(self._recent, id_order(last_id), key=lambda entry: id_order(entry.entry_id))
        return self._recent[start : start + count]

    def _add_membership(self, record: MembershipRecord, newest: dict[tuple[str, str], MigrationRecord]) -> None:
        segment = CustomerSegment(
            record.segmentation,
            self.index.reference(record.segmentation, record.segment.id),
            record.since,
            record.sequence,
            record.model_version,
            record.as_of,
            record.next_move,
        )
        migration = newest.get((record.segmentation, record.customer_id))
        if migration is not None and migration.sequence == record.sequence:
            segment.change, segment.direction = migration.change, migration.direction
            segment.from_segment = migration.from_segment
            segment.cause = migration.cause
            segment.margin = migration.margin
            segment.explanation = migration.explanation
            segment.holdout = migration.holdout
        self._customers[record.customer_id].append(segment)
        place = parse_instant(record.since), record.customer_id
        self._members[record.segmentation, record.segment.id].append(place)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _byte_order(place: tuple[int, str]) -> tuple[int, bytes]:
    """Return the sort key that Redis uses for members of a sorted set."""
    return place[0], place[1].encode()
