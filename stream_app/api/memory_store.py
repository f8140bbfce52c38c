"""Answers from the files of a run without servers: the same API, for trying it out."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from stream_app.adapters.view_schema import MONEY_UNITS, flow_field
from stream_app.api.feed import FeedEntry, MigrationFeed, id_order
from stream_app.api.figures import ToldFigures, read_replay
from stream_app.api.segment_lists import byte_order, flows_of, most_first, newest_first, page_of_leavers, segment_list
from stream_app.api.sign_outs import SignOuts, SignOutsHere
from stream_app.api.store import (
    Ahead,
    CustomerMigration,
    CustomerSegment,
    Daily,
    FiguresOrigin,
    Flow,
    Leaver,
    LeaverPage,
    MemberPage,
    MemberQuery,
    SegmentList,
    StoreUnavailable,
    ViewCondition,
)
from stream_app.contracts.fields import parse_instant
from stream_app.contracts.readers import (
    Cause,
    MembershipRecord,
    MigrationRecord,
    read_membership,
    read_migration,
    read_model,
)
from stream_app.contracts.segment_index import SegmentIndex
from stream_app.core.local_days import date_shown

logger = logging.getLogger(__name__)

BEING_READ: Final = "what the replay has written is being read; try again"
KEPT_MIGRATIONS: Final = 10_000
"""For the stream; as many as the view in Redis keeps by default."""


class MemoryStore:
    """`SegmentStore` in memory; it is read once and does not change.

    Parameters
    ----------
    folder
        With `memberships.jsonl`, `migrations.jsonl`, `models.jsonl` and `summary.json`.
    is_read_later
        Whether it is read after the start, while requests are answered: half a million moves take seconds. Until then
        it is not ready.
    """

    def __init__(self, folder: Path, *, is_read_later: bool = False) -> None:
        self.index, self.actions = SegmentIndex(), None
        self.sign_outs: SignOuts = SignOutsHere()
        self._folder, self._migrations = folder, folder / "migrations.jsonl"
        self._models: list[dict[str, Any]] = []
        self._flows: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._money: defaultdict[tuple[str, str], dict[str, int | None]] = defaultdict(dict)
        self._places: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        self._recent: list[FeedEntry] = []
        self._customers: defaultdict[str, list[CustomerSegment]] = defaultdict(list)
        self._members: defaultdict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        self._leavers: defaultdict[tuple[str, str], list[Leaver]] = defaultdict(list)
        self._figures: Mapping[str, ToldFigures] = {}
        self._until_ms = 0
        self.feed = MigrationFeed(self._history)
        self._unready, self._is_closed = BEING_READ, False
        self._reading: asyncio.Task[None] | None = None
        if not is_read_later:
            self._begin(self._read())

    def _read(self) -> SegmentIndex:
        """Read everything; return the segments that there are."""
        index = SegmentIndex()
        for line in self._lines("models.jsonl"):
            index.add(read_model(line))
            self._models.append(msgspec.json.decode(line))
        replay = read_replay((self._folder / "summary.json").read_bytes())
        newest = self._read_migrations(replay.timezone)
        for line in self._lines("memberships.jsonl"):
            self._add_membership(read_membership(line), newest, index)
        for segments in self._customers.values():
            segments.sort(key=lambda segment: segment.segmentation)
        for members in self._members.values():
            members.sort(key=byte_order)
        self._figures, self._until_ms = replay.figures, replay.end_ms
        return index

    def _read_migrations(self, timezone: str) -> dict[tuple[str, str], MigrationRecord]:
        """Read all of them; return the newest of each segmentation and customer."""
        newest: dict[tuple[str, str], MigrationRecord] = {}
        recent: deque[FeedEntry] = deque(maxlen=KEPT_MIGRATIONS)
        place = 0
        for number, line in enumerate(self._lines("migrations.jsonl"), 1):
            entry = FeedEntry.read(f"{number}-0", line)
            migration = entry.migration
            newest[migration.segmentation, migration.customer_id] = migration
            self._places[migration.customer_id].append((place, len(line)))
            place += len(line)
            day = date_shown(migration.effective_at, timezone)
            self._flows[migration.segmentation, day][field := flow_field(migration)] += 1
            self._add_money(self._money[migration.segmentation, day], field, migration.revenue_before)
            recent.append(entry)
        self._recent = list(recent)
        return newest

    def _lines(self, name: str) -> Iterator[bytes]:
        with (self._folder / name).open("rb") as file:
            for line in file:
                if self._is_closed:  # the process is to end, and does not wait for the rest
                    return
                yield line

    def _begin(self, index: SegmentIndex) -> None:
        """Answer from now on."""
        self.index, self._unready = index, ""
        self.feed.publish(self._recent)

    async def _read_beside(self) -> None:
        try:
            self._begin(await asyncio.to_thread(self._read))
        except (OSError, ValueError) as error:
            self._unready = f"what the replay has written cannot be read: {error}"
            logger.error("%s", self._unready)  # noqa: TRY400 - a line says it

    async def start(self) -> None:
        """See `SegmentStore`."""
        if self._unready:
            self._reading = asyncio.create_task(self._read_beside())

    async def close(self) -> None:
        """See `SegmentStore`."""
        self._is_closed = True
        self.feed.close()
        if self._reading is not None:
            await self._reading

    def unready_reason(self) -> str:
        """See `SegmentStore`."""
        return self._unready

    def _require_read(self) -> None:
        if self._unready:
            raise StoreUnavailable(self._unready)

    async def look_up(self, customer_ids: Sequence[str]) -> list[list[CustomerSegment]]:
        """See `SegmentStore`."""
        self._require_read()
        return [self._customers.get(customer_id, []) for customer_id in customer_ids]

    async def segments(self, segmentation: str) -> SegmentList:
        """See `SegmentStore`."""
        return segment_list(self.index.require(segmentation), self._figures.get(segmentation))

    async def members(self, segmentation: str, segment: str, wanted: MemberQuery) -> MemberPage:
        """See `SegmentStore`."""
        members = self._members.get((segmentation, segment), [])
        since = (wanted.since_ms, b"") if wanted.since_ms is not None else None
        first = 0 if since is None else bisect_left(members, since, key=byte_order)
        customers, stop = len(members) - first, len(members)
        if wanted.newest_first:
            if wanted.after is not None:
                stop = bisect_left(members, byte_order(wanted.after), key=byte_order)
            return MemberPage(customers, members[max(first, stop - wanted.limit) : stop][::-1])
        if wanted.after is not None:
            first = max(first, bisect_right(members, byte_order(wanted.after), key=byte_order))
        return MemberPage(customers, members[first : first + wanted.limit])

    async def history(self, customer_id: str) -> Sequence[CustomerMigration]:
        """See `SegmentStore`."""
        self._require_read()
        with self._migrations.open("rb") as file:
            return [self._migration_at(file, *place) for place in self._places.get(customer_id, ())]

    def now_ms(self) -> int:
        """See `SegmentStore`."""
        return self._until_ms

    async def ahead(self, segmentations: Sequence[str], from_ms: int, to_ms: int) -> list[Ahead]:
        """See `SegmentStore`."""
        counts: Counter[tuple[str, str, str | None]] = Counter()
        for (segmentation, segment), leavers in self._leavers.items():
            if segmentation in segmentations:
                counts.update(
                    (segmentation, segment, each.to_segment) for each in leavers if from_ms < each.at_ms <= to_ms
                )
        return most_first(Ahead(*path, count) for path, count in counts.items())

    async def leavers(
        self, segmentation: str, segment: str, from_ms: int, to_ms: int, limit: int, after: tuple[int, str] | None
    ) -> LeaverPage:
        """See `SegmentStore`."""
        found = [each for each in self._leavers.get((segmentation, segment), ()) if from_ms < each.at_ms <= to_ms]
        return LeaverPage(len(found), page_of_leavers(found, limit, after))

    async def flows(self, segmentation: str, days: Sequence[str]) -> list[Flow]:
        """See `SegmentStore`."""
        total: Counter[str] = Counter()
        for day in days:
            total += self._flows.get((segmentation, day), Counter())
        return flows_of(total, segmentation, self.index)

    async def daily(self, segmentation: str, days: Sequence[str], *, has_money: bool = False) -> Daily:
        """See `SegmentStore`."""
        sizes = {
            reference.id: len(self._members.get((segmentation, reference.id), ()))
            for reference in self.index.require(segmentation).references
        }
        flows = await self.flows_by_day(segmentation, days)
        money = [self._money.get((segmentation, day), {}) for day in days] if has_money else []
        known_from = min((day for name, day in self._flows if name == segmentation), default="")
        return Daily(self._recent[-1].entry_id if self._recent else "0-0", sizes, flows, money, (), known_from)

    async def flows_by_day(self, segmentation: str, days: Sequence[str]) -> Sequence[Mapping[str, int]]:
        """See `SegmentStore`."""
        return [self._flows.get((segmentation, day), Counter()) for day in days]

    async def newest(self, before: str | None, count: int) -> Sequence[FeedEntry]:
        """See `SegmentStore`."""
        stop = len(self._recent)
        if before is not None:
            stop = bisect_left(self._recent, id_order(before), key=lambda entry: id_order(entry.entry_id))
        return self._recent[max(stop - count, 0) : stop][::-1]

    async def condition(self) -> ViewCondition:
        """See `SegmentStore`."""
        return ViewCondition(False, None, None, None, {})

    async def figures_from(self, segmentation: str) -> Mapping[int, FiguresOrigin]:
        """See `SegmentStore`."""
        told = self._figures.get(self.index.require(segmentation).segmentation)
        return {} if told is None else {0: FiguresOrigin(told.as_of, None)}

    async def models(self, segmentation: str) -> list[dict[str, Any]]:
        """See `SegmentStore`."""
        return newest_first([document for document in self._models if document["segmentation"] == segmentation])

    async def model(self, segmentation: str, version: int) -> msgspec.Raw | None:
        """See `SegmentStore`."""
        found = [document for document in await self.models(segmentation) if document["version"] == version]
        return msgspec.Raw(msgspec.json.encode(found[0])) if found else None

    @staticmethod
    def _add_money(money: dict[str, int | None], field: str, revenue: float | None) -> None:
        before = money.get(field, 0)
        money[field] = None if revenue is None or before is None else before + round(revenue * MONEY_UNITS)

    async def _history(self, last_id: str, count: int) -> list[FeedEntry]:
        start = bisect_right(self._recent, id_order(last_id), key=lambda entry: id_order(entry.entry_id))
        return self._recent[start : start + count]

    def _migration_at(self, file: BinaryIO, place: int, size: int) -> CustomerMigration:
        file.seek(place)
        read = read_migration(file.read(size))
        origin, target = (
            None if end is None else self.index.reference(read.segmentation, end.id)
            for end in (read.from_segment, read.to_segment)
        )
        return CustomerMigration(
            read.segmentation,
            read.sequence,
            origin,
            target,
            read.change,
            read.direction,
            read.effective_at,
            read.decided_at,
            Cause(read.cause.kind, read.cause.event_id, None),
            read.model_version,
            read.margin,
            read.explanation,
            read.holdout,
            read.merged_into,
            read.revenue_before,
        )

    def _add_membership(
        self, record: MembershipRecord, newest: Mapping[tuple[str, str], MigrationRecord], index: SegmentIndex
    ) -> None:
        segment = CustomerSegment(
            record.segmentation,
            index.reference(record.segmentation, record.segment.id),
            record.since,
            record.sequence,
            record.model_version,
            record.as_of,
            record.next_move,
        )
        segment.consents = record.consents or msgspec.UNSET
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
        if (following := record.next_move) is not None:
            target = None if following.to_segment is None else following.to_segment.id
            leaver = Leaver(parse_instant(following.at), record.customer_id, target)
            self._leavers[record.segmentation, record.segment.id].append(leaver)
