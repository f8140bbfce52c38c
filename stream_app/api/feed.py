"""The live stream of migrations: one reader for the process, any number of clients behind it.

The newest entries are kept here, each under a number of this process, and a client keeps the number it has reached.
So a slow client costs nothing but its own time: what is gone from here by then it reads from history.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

KEPT_ENTRIES: Final = 2_000
HISTORY_PAGE: Final = 500
"""Entries read from history at a time."""


class _Segment(msgspec.Struct, gc=False):
    id: str


class _Cause(msgspec.Struct, gc=False):
    kind: str


class _Explanation(msgspec.Struct, gc=False):
    margin: float | None


class _Migration(msgspec.Struct, gc=False):
    segmentation: str
    from_segment: _Segment | None
    to_segment: _Segment
    cause: _Cause
    explanation: _Explanation


_decode: Final = msgspec.json.Decoder(_Migration).decode


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """A migration as it is sent.

    Attributes
    ----------
    entry_id
        What a client names to go on behind it.
    document
        JSON, of the `segment-migrations` contract.
    """

    entry_id: str
    document: bytes
    segmentation: str
    from_segment: str | None
    to_segment: str
    cause: str
    margin: float | None

    @classmethod
    def read(cls, entry_id: str, document: bytes) -> FeedEntry:
        """Return the entry of a document."""
        told = _decode(document)
        from_segment = None if told.from_segment is None else told.from_segment.id
        margin = told.explanation.margin
        return cls(entry_id, document, told.segmentation, from_segment, told.to_segment.id, told.cause.kind, margin)


@dataclass(frozen=True, slots=True)
class FeedFilter:
    """Which migrations a client wants: those that fit everything that is given.

    Parameters
    ----------
    segmentation, from_segment, to_segment, cause
        Equal to this.
    min_margin
        At least this far past the border; a first entry has no margin and does not fit.
    """

    segmentation: str | None = None
    from_segment: str | None = None
    to_segment: str | None = None
    cause: str | None = None
    min_margin: float | None = None

    def fits(self, entry: FeedEntry) -> bool:
        """Return whether the client wants it."""
        return (
            self.segmentation in (None, entry.segmentation)
            and self.from_segment in (None, entry.from_segment)
            and self.to_segment in (None, entry.to_segment)
            and self.cause in (None, entry.cause)
            and (self.min_margin is None or (entry.margin is not None and entry.margin >= self.min_margin))
        )


History = Callable[[str, int], Awaitable[Sequence[FeedEntry]]]
"""Entries behind an id, oldest first, at most so many."""


class MigrationFeed:
    """Hands entries on to clients.

    Parameters
    ----------
    history
        Gives what is not kept here any more.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._entries: deque[FeedEntry] = deque(maxlen=KEPT_ENTRIES)
        self._end = 0
        """Number of the next entry."""
        self._arrived = asyncio.Event()
        self._is_closed = False
        self._last_id: str | None = None
        """Of the newest entry; not known before the first look."""

    def begin(self, last_id: str) -> None:
        """Say which entry is the newest; only then is it known what a client has missed."""
        self._last_id = last_id
        self._wake()

    def publish(self, entries: Iterable[FeedEntry]) -> None:
        """Hand new entries on."""
        for entry in entries:
            self._entries.append(entry)
            self._end += 1
            self._last_id = entry.entry_id
        self._wake()

    def close(self) -> None:
        """End all clients' streams."""
        self._is_closed = True
        self._wake()

    async def follow(self, last_id: str | None, silence_seconds: float) -> AsyncIterator[FeedEntry | None]:
        """Yield what comes after an id, or from now on; None whenever nothing has come for a while."""
        while self._last_id is None and not self._is_closed:
            if not await self._has_arrived(self._arrived, silence_seconds):
                yield None
        number, newest = self._end, self._last_id or "0-0"
        if last_id is not None:
            async for entry in self._catch_up(last_id, newest):
                yield entry
        last_id = newest
        while not self._is_closed:
            arrived = self._arrived
            kept_from = self._end - len(self._entries)
            if number < kept_from:  # too slow: what is gone from here is in history still, if it is anywhere
                oldest = self._entries[0].entry_id
                async for entry in self._catch_up(last_id, oldest):
                    last_id = entry.entry_id
                    yield entry
                number = max(number, kept_from + 1)
                continue
            if number < self._end:
                entry = self._entries[number - kept_from]
                number, last_id = number + 1, entry.entry_id
                yield entry
                continue
            if not await self._has_arrived(arrived, silence_seconds):
                yield None

    async def _catch_up(self, last_id: str, until: str) -> AsyncIterator[FeedEntry]:
        """Yield history behind `last_id` up to and with `until`."""
        while id_order(last_id) < id_order(until):
            page = await self._history(last_id, HISTORY_PAGE)
            if not page:
                return
            for entry in page:
                if id_order(entry.entry_id) > id_order(until):
                    return
                last_id = entry.entry_id
                yield entry

    @staticmethod
    async def _has_arrived(arrived: asyncio.Event, silence_seconds: float) -> bool:
        try:
            await asyncio.wait_for(arrived.wait(), silence_seconds)
        except TimeoutError:
            return False
        return True

    def _wake(self) -> None:
        self._arrived.set()
        self._arrived = asyncio.Event()


def id_order(entry_id: str) -> tuple[int, int]:
    """Return what ids are ordered by.

    Raises
    ------
    ValueError
        If it is no id.
    """
    milliseconds, dash, number = entry_id.partition("-")
    if not (dash and milliseconds.isdecimal() and number.isdecimal() and len(entry_id) <= 41):
        raise ValueError(entry_id)
    return int(milliseconds), int(number)
