"""The document that the pages draw from, made of what a store knows at this moment.

Sizes are those of now, flows those of days, and pages work out earlier sizes from both. A segmentation's part names the
newest migration that it counts, so that pages know which of those that arrive on the stream come on top.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import asdict

from stream_app.adapters.view_schema import FlowField
from stream_app.api.days import days_between
from stream_app.api.pages import JSON, Asset, asset_of, etag_of
from stream_app.api.store import Daily, SegmentStore
from stream_app.contracts.currencies import MINOR_DIGITS
from stream_app.core.local_days import date_of, local_day
from stream_app.core.members import MemberFigures
from stream_app.core.moves import CAUSE_KINDS, CHANGES
from stream_app.segmentations.learned.document import PUBLISHED, is_waiting
from stream_app.web.document import (
    AUDIENCE,
    FORMAT,
    LEARNED,
    NOBODYS_MOVES,
    FlowRow,
    among_all,
    describe_segments,
    describe_version,
    flow_columns,
    order_by_life_cycle,
    title_of,
)

DAYS: Final = 366
"""How far back flows go."""
FRESH_DAYS: Final = 3
"""Days whose flows are read for each document; those of earlier days, which only late records change, are read every
`OLD_SECONDS`."""
OLD_SECONDS: Final = 60.0
KEPT_SECONDS: Final = 1.0
"""A document is given to everybody who asks within this time."""
KINDS: Final = (LEARNED, "rules", AUDIENCE)
_EPOCH: Final = date(1970, 1, 1)


class LiveDocument:
    """Makes the document, once for all who ask at about the same time.

    Parameters
    ----------
    store
        What is known.
    timezone
        Of the shop, whose days are counted.
    clock
        In seconds.
    """

    has_customers = False

    def __init__(self, store: SegmentStore, timezone: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._timezone = timezone
        self._clock = clock
        self._making = asyncio.Lock()
        self._made: Asset | None = None
        self._made_at = -KEPT_SECONDS
        self._old: dict[str, _Old] = {}

    async def get(self) -> Asset:
        """Return the document of now, or of just before.

        Raises
        ------
        StoreUnavailable
            If the store does not answer.
        """
        async with self._making:
            if self._made is None or self._clock() - self._made_at >= KEPT_SECONDS:
                self._made = await self._make()
                self._made_at = self._clock()
            return self._made

    async def _make(self) -> Asset:
        as_of_ms = self._store.now_ms()
        models = self._store.index.models
        names = sorted(models, key=lambda name: (KINDS.index(models[name].kind), name))
        parts = await asyncio.gather(*(self._part(name, as_of_ms) for name in names))
        return await asyncio.to_thread(self._describe, parts, as_of_ms)  # a year of many segmentations takes a while

    async def _part(self, name: str, as_of_ms: int) -> _Part:
        today = date_of(as_of_ms, self._timezone)
        days = days_between(today - timedelta(days=DAYS - 1), today)
        known, version = self._old.get(name), self._store.index.require(name).version
        if known is None or (known.day, known.version) != (days[-1], version) or self._clock() >= known.until:
            daily, versions = await self._store.daily(name, days), await self._store.models(name)
            until = self._clock() + OLD_SECONDS
            self._old[name] = known = _Old(until, days[-1], version, daily.flows[:-FRESH_DAYS], versions)
        else:
            daily = await self._store.daily(name, days[-FRESH_DAYS:])
        daily = daily._replace(flows=[*known.flows, *daily.flows[-FRESH_DAYS:]])
        listed = await self._store.segments(name)
        figures = {each.id: each.figures for each in listed.segments if each.figures is not None}
        edits = {
            each.id: {"action": each.action, "edit": asdict(each.action_edit)}
            for each in listed.segments
            if each.action_edit is not None
        }
        return _Part(name, days, daily, figures, listed.all_segments, listed.currency, known.versions, edits)

    def _describe(self, parts: Sequence[_Part], as_of_ms: int) -> Asset:
        whole = next((part for part in parts if part.kind != AUDIENCE), None)
        customers = (
            sum(whole.daily.sizes.values()) if whole else max((sum(p.daily.sizes.values()) for p in parts), default=0)
        )
        currency = next((part.currency for part in parts if part.currency), None)
        everybody = whole.everybody if whole else None
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
            "segmentations": [_segmentation(part, customers, everybody) for part in parts],
            "people": NOBODYS_MOVES,
        }
        etag = etag_of(msgspec.json.encode(document))  # the instant alone makes no other document
        return asset_of(msgspec.json.encode(document | {"asOfMs": as_of_ms}), JSON)._replace(etag=etag)


class _Old(NamedTuple):
    """What hardly changes of a segmentation.

    Attributes
    ----------
    until
        When it is read again, by the clock.
    day, version
        It is of this day and version of the segmentation, and is read again on the next.
    flows
        Of the days before those that are read each time.
    versions
        Documents of all versions.
    """

    until: float
    day: str
    version: int
    flows: Sequence[Mapping[str, int]]
    versions: Sequence[dict[str, Any]]


class _Part(NamedTuple):
    """What was read of a segmentation."""

    name: str
    days: Sequence[str]
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


def _segmentation(part: _Part, customers: int, everybody: MemberFigures | None) -> dict[str, Any]:
    present = part.present
    rows = _rows(part)
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
        "flows": flow_columns(listed, rows, None),
        "entryId": part.daily.entry_id,
        "moves": None,
        "models": [describe_version(each) for each in reversed(part.versions)] if part.kind == LEARNED else [],
        "waiting": None if waiting is None else waiting["version"],
        "versions": [],
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


def _rows(part: _Part) -> list[FlowRow]:
    first = (date.fromisoformat(part.days[0]) - _EPOCH).days
    return [
        FlowRow(first + number, *_decoded(field), count)
        for number, counts in enumerate(part.daily.flows)
        for field, count in counts.items()
    ]


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
