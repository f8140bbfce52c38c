"""The live stream of migrations: one reader for the process, any number of clients fed by it.

The newest entries are kept here, each under a number of this process, and a client keeps the number it has reached.
So a slow client costs nothing but its own time: entries that are gone from here by then are read from history.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from stream_app.contracts.readers import MigrationRecord, read_migration

KEPT_ENTRIES: Final = 2_000
HISTORY_PAGE: Final = 500
"""Entries read from history at a time."""


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """A migration as it is sent.

    Attributes
    ----------
    entry_id
        A client names it to get the entries after it.
    document
        JSON, of the `segment-migrations` contract.
    migration
        The document as read, for filters.
    """

    entry_id: str
    document: bytes
    migration: MigrationRecord

    @classmethod
    def read(cls, entry_id: str, document: bytes) -> FeedEntry:
        """Return the entry of a document."""
        return cls(entry_id, document, read_migration(document))


History = Callable[[str, int], Awaitable[Sequence[FeedEntry]]]
"""Entries after an id, oldest first, up to a number of them."""


class MigrationFeed:
    """Passes entries to clients.

    Parameters
    ----------
    history
        Gives entries that are no longer kept here.
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
        """Name the newest entry; from then on it is known how much a client has missed."""
        self._last_id = last_id
        self._wake()

    def publish(self, entries: Iterable[FeedEntry]) -> None:
        """Pass new entries to all clients."""
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
        """Yield the entries after an id, or from now on; None whenever nothing has come for a while."""
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
            if number < kept_from:  # too slow: entries gone from here may still be in history
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
        """Yield history after `last_id`, up to and including `until`."""
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
            async with asyncio.timeout(silence_seconds):  # `wait_for` may lose a cancellation before Python 3.12
                await arrived.wait()
        except TimeoutError:
            return False
        return True

    def _wake(self) -> None:
        self._arrived.set()
        self._arrived = asyncio.Event()


def id_order(entry_id: str) -> tuple[int, int]:
    """Return the sort key of an id.

    Raises
    ------
    ValueError
        If this is not an id.
    """
    milliseconds, dash, number = entry_id.partition("-")
    if not (dash and milliseconds.isdecimal() and number.isdecimal() and len(entry_id) <= 41):
        raise ValueError(entry_id)
    return int(milliseconds), int(number)
