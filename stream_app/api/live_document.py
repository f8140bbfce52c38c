"""The document that the pages draw from, made of what a store knows at this moment.

Sizes are those of now, flows those of days, and pages work out earlier sizes from both. A segmentation's part names the
newest migration that it counts, so that pages know which of those that arrive on the stream come on top.

Making it takes some tenths of a second, for which nobody who opens the pages waits: one is made every `WARM_SECONDS`
whether somebody asks or not, and callers who accept an old document get the last one at once, and ask again.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import asdict

from stream_app.adapters.view_schema import MONEY_UNITS, FlowField
from stream_app.api.days import days_between
from stream_app.api.live_parts import LiveParts, Parts
from stream_app.api.pages import JSON, Asset, asset_of, etag_of
from stream_app.api.store import Daily, SegmentStore, StoreUnavailable
from stream_app.contracts.currencies import MINOR_DIGITS
from stream_app.core.local_days import date_of, local_day
from stream_app.core.members import MemberFigures
from stream_app.core.moves import CAUSE_KINDS, CHANGES
from stream_app.segmentations.learned.document import PUBLISHED, is_waiting
from stream_app.web.document import (
    AUDIENCE,
    FORMAT,
    KINDS,
    LEARNED,
    NOBODYS_MOVES,
    FlowRow,
    among_all,
    describe_overlaps,
    describe_rfm,
    describe_segments,
    describe_version,
    flow_columns,
    order_by_life_cycle,
    segment_places,
    title_of,
)

DAYS: Final = 366
"""How far back flows go."""
FRESH_DAYS: Final = 3
"""Days whose flows are read for each document; those of earlier days, which only late records change, are read every
`OLD_SECONDS`."""
OLD_SECONDS: Final = 60.0
WARM_SECONDS: Final = 30.0
"""A document is made at least so often; made of what has hardly changed it takes a tenth of a second."""
RETRY_SECONDS: Final = 1.0
"""Until the next attempt where the store does not answer."""
_EPOCH: Final = date(1970, 1, 1)


class LiveDocument:
    """Makes the document, once for all who ask at about the same time.

    Parameters
    ----------
    store
        What is known.
    timezone
        Of the shop, whose days are counted.
    counting
        Counts what takes longer, beside this; None where nothing does.
    clock
        In seconds.
    """

    has_customers = False

    def __init__(
        self,
        store: SegmentStore,
        timezone: str,
        counting: LiveParts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._timezone = timezone
        self._counting = counting
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []
        self._making = asyncio.Lock()
        self._made: Asset | None = None
        self._begun_at = -math.inf
        self._old: dict[str, _Old] = {}

    async def start(self) -> None:
        """Keep a document at hand from now on."""
        self._tasks = [asyncio.create_task(self._keep_warm())]
        if self._counting is not None:
            self._tasks.append(asyncio.create_task(self._counting.run()))

    async def close(self) -> None:
        """Stop, and close everything."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self._counting is not None:
            await self._counting.close()

    async def get(self, *, may_be_old: bool = False) -> Asset:
        """Return a document that was begun since this was called: pages that listen already miss nothing.

        Those who ask while one is made share the next one.

        Parameters
        ----------
        may_be_old
            Whether the last one will do, where there is one.

        Raises
        ------
        StoreUnavailable
            If the store does not answer.
        """
        if may_be_old and self._made is not None:
            return self._made
        asked_at = self._clock()
        async with self._making:
            if self._made is None or self._begun_at < asked_at:
                self._begun_at = self._clock()
                self._made = await self._make()
            return self._made

    async def _keep_warm(self) -> None:
        while True:
            try:
                await self.get()
                await asyncio.sleep(WARM_SECONDS)
            except StoreUnavailable:
                self._made = None  # of a view that is gone
                await asyncio.sleep(RETRY_SECONDS)

    async def _make(self) -> Asset:
        as_of_ms = self._store.now_ms()
        models = self._store.index.models
        if not models:
            raise StoreUnavailable(self._store.unready_reason() or "the view holds no model yet")
        names = sorted(models, key=lambda name: (KINDS.index(models[name].kind), name))
        parts = await asyncio.gather(*(self._part(name, as_of_ms) for name in names))
        counted = Parts() if self._counting is None else self._counting.parts
        return await asyncio.to_thread(self._describe, parts, as_of_ms, counted)  # with many segmentations some time

    async def _part(self, name: str, as_of_ms: int) -> _Part:
        today = date_of(as_of_ms, self._timezone)
        days = days_between(today - timedelta(days=DAYS - 1), today)
        known, version = self._old.get(name), self._store.index.require(name).version
        if known is None or (known.day, known.version) != (days[-1], version) or self._clock() >= known.until:
            daily, versions = await self._store.daily(name, days, has_money=True), await self._store.models(name)
            old, fresh = _split(daily, -FRESH_DAYS)
            until, rows = self._clock() + OLD_SECONDS, _rows(days[:-FRESH_DAYS], old)
            self._old[name] = known = _Old(until, days[-1], version, rows, versions)
        else:
            fresh = await self._store.daily(name, days[-FRESH_DAYS:], has_money=True)
        rows = [*known.rows, *_rows(days[-FRESH_DAYS:], fresh)]
        listed = await self._store.segments(name)
        figures = {each.id: each.figures for each in listed.segments if each.figures is not None}
        edits = {
            each.id: {"action": each.action, "edit": asdict(each.action_edit)}
            for each in listed.segments
            if each.action_edit is not None
        }
        return _Part(name, rows, fresh, figures, listed.all_segments, listed.currency, known.versions, edits)

    def _describe(self, parts: Sequence[_Part], as_of_ms: int, counted: Parts) -> Asset:
        whole = next((part for part in parts if part.kind != AUDIENCE), None)
        customers = (
            sum(whole.daily.sizes.values()) if whole else max((sum(p.daily.sizes.values()) for p in parts), default=0)
        )
        currency = next((part.currency for part in parts if part.currency), None)
        everybody = whole.everybody if whole else None
        segmentations = [_segmentation(part, customers, everybody, currency, counted) for part in parts]
        document = {
            "format": FORMAT,
            "currency": currency or "",
            "moneyDigits": MINOR_DIGITS.get(currency or "", 2),
            "period": None,
            "timezone": self._timezone,
            "lastDay": local_day(as_of_ms, self._timezone),
            "customers": customers,
            "counts": None,
            "interrupted": False,
            "causes": CAUSE_KINDS,
            "changes": CHANGES,
            "days": _trade(whole),
            "segmentations": segmentations,
            "people": NOBODYS_MOVES,
            "drawn": {"customers": counted.drawn, "of": counted.customers},
        } | _counted(counted, segmentations)
        encoded = msgspec.json.encode(document)
        # The instant alone makes no other document, so it is put in behind the tag.
        told = b'{"asOfMs":%d,%b' % (as_of_ms, encoded[1:])
        return asset_of(told, JSON)._replace(etag=etag_of(encoded))


class _Old(NamedTuple):
    """What hardly changes of a segmentation.

    Attributes
    ----------
    until
        When it is read again, by the clock.
    day, version
        It is of this day and version of the segmentation, and is read again on the next.
    rows
        Flows of the days before those that are read each time.
    versions
        Documents of all versions.
    """

    until: float
    day: str
    version: int
    rows: Sequence[FlowRow]
    versions: Sequence[dict[str, Any]]


class _Part(NamedTuple):
    """What was read of a segmentation."""

    name: str
    rows: Sequence[FlowRow]
    daily: Daily
    figures: Mapping[str, MemberFigures]
    everybody: MemberFigures | None
    currency: str | None
    versions: Sequence[dict[str, Any]]
    edits: Mapping[str, dict[str, Any]]

    @property
    def present(self) -> dict[str, Any]:
        """The document of the version in force."""
        return next(version for version in self.versions if version["status"] == PUBLISHED)

    @property
    def kind(self) -> str:
        """Of the segmentation."""
        return str(self.present["kind"])


def _segmentation(
    part: _Part, customers: int, everybody: MemberFigures | None, currency: str | None, counted: Parts
) -> dict[str, Any]:
    present, rows = part.present, part.rows
    names = {end: end for row in rows for end in (row.from_segment, row.to_segment) if end is not None}
    names |= {each["id"]: each["name"] for each in (*present.get("retired_segments", ()), *present["segments"])}
    in_use = [each["id"] for each in present["segments"]]
    left_over = [each for each, size in part.daily.sizes.items() if size and each not in in_use]
    listed = describe_segments(
        names, [*order_by_life_cycle(in_use, present["segments"]), *left_over], present["segments"]
    )
    for each in listed:
        each |= part.edits.get(each["id"], {})
    members = _members(part)
    if part.kind == AUDIENCE:
        members = among_all(members, customers, everybody.revenue if everybody else None)
    known = everybody if part.kind == AUDIENCE else part.everybody
    waiting = next((v for v in part.versions if is_waiting(v["status"], v["version"], present["version"])), None)
    return {
        "name": part.name,
        "title": title_of(part.name, present),
        "description": present.get("definition", {}).get("description"),
        "kind": part.kind,
        "version": present["version"],
        "segments": listed,
        "members": {each["id"]: each for each in members},
        "everyone": {} if known is None else asdict(known) | {"customers": customers},
        "opening": _opening(listed, part.daily.sizes, rows),
        "flows": flow_columns(listed, rows, _revenue(rows, currency)),
        "entryId": part.daily.entry_id,
        "moves": None,
        "models": [describe_version(each) for each in reversed(part.versions)] if part.kind == LEARNED else [],
        "waiting": None if waiting is None else waiting["version"],
        "versions": [],
        "sinceDays": counted.since.get(part.name, {}),
        "stays": counted.stays.get(part.name),
    }


def _members(part: _Part) -> list[dict[str, Any]]:
    """Return the figures of those who are in a segment; how many they are is known of now, the rest of just before."""
    total = sum(part.daily.sizes.values())
    unknown = dict.fromkeys(MemberFigures.__struct_fields__)
    return [
        unknown
        | (asdict(part.figures[segment_id]) if segment_id in part.figures else {})
        | {"id": segment_id, "customers": size, "share": size / total}
        for segment_id, size in part.daily.sizes.items()
        if size
    ]


def _rows(days: Sequence[str], daily: Daily) -> list[FlowRow]:
    first = (date.fromisoformat(days[0]) - _EPOCH).days
    return [
        FlowRow(first + number, *_decoded(field), count, money.get(field, 0))
        for number, (counts, money) in enumerate(zip(daily.flows, daily.money, strict=True))
        for field, count in counts.items()
    ]


def _split(daily: Daily, day: int) -> tuple[Daily, Daily]:
    """Return the days before one, and those from it on."""
    flows, money = daily.flows, daily.money
    return daily._replace(flows=flows[:day], money=money[:day]), daily._replace(flows=flows[day:], money=money[day:])


def _revenue(rows: Sequence[FlowRow], currency: str | None) -> list[int | None] | None:
    """Return what customers had brought before their moves, in minor units; None where it is not known of any."""
    if currency is None or all(row.revenue_units is None for row in rows):
        return None
    minor = 10 ** MINOR_DIGITS[currency]
    return [None if row.revenue_units is None else round(row.revenue_units * minor / MONEY_UNITS) for row in rows]


def _counted(counted: Parts, segmentations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what was counted beside, as far as the document's segmentations still have the segments."""
    ids = segment_places(segmentations)
    overlaps = [
        _only(pair, segment=ids[pair["of"]], other=ids[pair["with"]])
        for pair in counted.overlaps
        if pair["of"] in ids and pair["with"] in ids
    ]
    grid = counted.rfm
    if grid is not None:
        told = {name: _only(each, segment=ids[name]) for name, each in grid["segments"].items() if name in ids}
        grid = describe_rfm(grid | {"segments": told}, segmentations) | {
            "asOfMs": grid["as_of_ms"],
            "drawn": grid["drawn"],
            "population": grid["population"],
        }
    return {"overlaps": describe_overlaps(overlaps, segmentations), "rfm": grid}


def _only(columns: dict[str, Any], **known: Collection[str]) -> dict[str, Any]:
    """Return columns with those rows whose segments are known, by the names of columns that hold segments."""
    held = zip(*(columns[name] for name in known), strict=True)
    rows = [place for place, row in enumerate(held) if all(map(lambda ids, each: each in ids, known.values(), row))]
    return {
        name: [column[place] for place in rows] if isinstance(column, list) else column
        for name, column in columns.items()
    }


_decoded: Final = lru_cache(maxsize=10_000)(FlowField.decode)


def _opening(listed: Sequence[Mapping[str, Any]], sizes: Mapping[str, int], rows: Sequence[FlowRow]) -> list[int]:
    """Return how many were in each segment before the first flow: those of now without what has come and gone."""
    before = dict(sizes)
    for row in rows:
        if row.to_segment is not None:
            before[row.to_segment] = before.get(row.to_segment, 0) - row.customers
        if row.from_segment is not None:
            before[row.from_segment] = before.get(row.from_segment, 0) + row.customers
    return [before.get(segment["id"], 0) for segment in listed]


def _trade(whole: _Part | None) -> dict[str, Any]:
    """Return revenue and orders by day, and from which day on they are known; None if from none."""
    trade = whole.daily.trade if whole else ()
    days = [(date.fromisoformat(each.day) - _EPOCH).days for each in trade]
    return {
        "knownFrom": days[0] if days else None,
        "day": days,
        "revenue": [each.revenue_minor for each in trade],
        "orders": [each.orders for each in trade],
        "engagements": None,
    }
