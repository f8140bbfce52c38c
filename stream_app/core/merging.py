"""The merge of several sources by event time, the same for files and for a partition's topics.

A record's place is its source's watermark: the latest event time that the source has shown up to and with that record,
as far as it is believed (`stream_app.core.trust`). So each source keeps its own order, a late record stays late, one
that is wrongly dated goes with its neighbours, and sources can be merged while they are still being read.

Whether a record far ahead is believed depends on the records after it. While that is open, the source holds it and what
follows: at most `UNDECIDED_MAX` records, and mostly one or two. So a source that pauses
holds none of its records back, and a wrong date delays nothing. What is still open at the end of a source is placed by
its own time, as nothing follows it.

A record may go as soon as no source can bring anything that goes before it. An open source can still bring records at
its watermark or later; an ended one brings nothing. So the lowest watermark of all open sources is the limit. Among
equal watermarks the source with the lower number goes first. What is at the limit itself waits, as the source that
sets it may bring more of that very instant, and an instant is not torn apart where that can be helped. The result does
not depend on when or in what pieces the sources were read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from typing import Final, Literal

import numpy as np

from stream_app.core.clock import NO_TIME
from stream_app.core.records import NO_RECORDS, Batch, join_batches
from stream_app.core.trust import GAP_MS, Trust, believe

END_OF_TIME: Final = 2**63 - 1
UNDECIDED_MAX: Final = 1_024
"""How many records of a source may wait until their times are believed; then whatever is believed by then decides."""


class _Source:
    """What a source holds, in order.

    Parameters
    ----------
    watermark_ms, trust
        How far its records are believed to have come before the first that it brings here.
    gap_ms
        How far a single record may lead.
    """

    def __init__(self, watermark_ms: int, trust: Trust, gap_ms: int) -> None:
        self.decided: deque[Batch] = deque()
        self.open: list[Batch] = []
        self.watermark_ms = watermark_ms
        self.held = 0
        self._reached_ms = watermark_ms
        self._trust = trust
        self._gap_ms = gap_ms

    def add(self, batch: Batch) -> None:
        """Hold the next records."""
        self.held += len(batch)
        verdicts = believe(self._trust, self._reached_ms, NO_TIME, self._gap_ms, batch.records)
        self._reached_ms = int(verdicts.watermarks_ms[-1])
        self._trust = verdicts.trusts[-1][1]
        begin = 0
        for index, trust in verdicts.trusts:
            waiting = sum(map(len, self.open)) + index + 1 - begin
            if index >= begin and (trust.is_calm or waiting >= UNDECIDED_MAX):
                self._decide(batch.part(begin, index + 1), int(verdicts.watermarks_ms[index]))
                begin = index + 1
        if begin < len(batch):
            self.open.append(batch.part(begin, len(batch)))

    def _decide(self, last: Batch, reached_ms: int) -> None:
        """Place all that was open, up to and with some records, now that it is known how far they have come."""
        for part in (*self.open, last):
            self.decided.append(_placed(part, self.watermark_ms, reached_ms))
            self.watermark_ms = int(self.decided[-1].watermarks_ms[-1])
        self.open = []

    def release(self, limit_ms: int, side: Literal["left", "right"], *, has_ended: bool) -> list[Batch]:
        """Give out what lies before a limit, or up to and with it."""
        parts = []
        while self.decided:
            first = self.decided[0]
            end = int(np.searchsorted(first.watermarks_ms, limit_ms, side=side))
            if end:
                parts.append(first.part(0, end))
            if end < len(first):
                self.decided[0] = first.part(end, len(first))
                break
            self.decided.popleft()
        if has_ended and not self.decided:
            parts += self._release_open(limit_ms, side)
        self.held -= sum(map(len, parts))
        return parts

    def _release_open(self, limit_ms: int, side: Literal["left", "right"]) -> list[Batch]:
        parts, watermark_ms = [], self.watermark_ms
        while self.open:
            first = _placed(self.open[0], watermark_ms, END_OF_TIME)
            end = int(np.searchsorted(first.watermarks_ms, limit_ms, side=side))
            if end:
                parts.append(first.part(0, end))
                watermark_ms = int(first.watermarks_ms[end - 1])
            if end < len(first):
                self.open[0] = self.open[0].part(end, len(first))
                break
            self.open.pop(0)
        return parts


def _placed(batch: Batch, watermark_ms: int, reached_ms: int) -> Batch:
    """Return records with their places: the latest time so far, but for times that are not believed."""
    times_ms = batch.records["at_ms"]
    times_ms = np.where(times_ms > reached_ms, NO_TIME, times_ms)
    times_ms[0] = max(int(times_ms[0]), watermark_ms)
    return Batch(np.maximum.accumulate(times_ms), batch.records, batch.texts, batch.others, batch.rows)


class WatermarkMerge:
    """Holds what sources have brought until it may go.

    Parameters
    ----------
    sources
        How many there are; they are numbered from 0.
    held_max
        How many records a source may hold: when none may go and there are more, they go anyway, all of one instant.
    gap_ms
        How far a single record may lead its source.
    watermark_ms, trust
        How far all of them have come and what is known of their times, if they are gone on with.
    """

    def __init__(
        self,
        sources: int,
        held_max: int = 2**63 - 1,
        gap_ms: int = GAP_MS,
        watermark_ms: int = NO_TIME,
        trust: Trust | None = None,
    ) -> None:
        self._held_max = held_max
        self._sources = [_Source(watermark_ms, trust or Trust(), gap_ms) for _ in range(sources)]

    def add(self, source: int, batch: Batch) -> None:
        """Hold the next records of a source, one at least."""
        self._sources[source].add(batch)

    def held_records(self, source: int | None = None) -> int:
        """Return how many records of a source wait, of all sources if None."""
        return sum(each.held for each in self._sources) if source is None else self._sources[source].held

    def watermark_ms(self, source: int) -> int:
        """Return the latest event time that a source has shown and that is believed, `NO_TIME` before the first."""
        return self._sources[source].watermark_ms

    def limiting(self, ended: Collection[int]) -> int | None:
        """Return which source must bring more before anything that is held may go, None if all have ended."""
        still_open = [source for source in range(len(self._sources)) if source not in ended]
        return min(still_open, key=lambda source: (self.watermark_ms(source), source), default=None)

    def release(self, ended: Collection[int]) -> Batch:
        """Return all that may go by now, in order.

        Parameters
        ----------
        ended
            Numbers of the sources that will bring nothing more, or have nothing more for now.
        """
        first = self.limiting(ended)
        limit_ms = END_OF_TIME if first is None else self.watermark_ms(first)
        parts: list[Batch] = []
        for number, source in enumerate(self._sources):
            parts += source.release(limit_ms, "left", has_ended=number in ended)
        if not parts and first is not None and self.held_records(first) >= self._held_max:
            for number, source in enumerate(self._sources[: first + 1]):
                parts += source.release(limit_ms, "right", has_ended=number in ended)
        if not parts:
            return NO_RECORDS
        return parts[0] if len(parts) == 1 else interleave(parts)


def interleave(parts: Sequence[Batch]) -> Batch:
    """Return all records ordered by watermark, those of an earlier part first where it is the same."""
    joined = join_batches(parts)
    order = np.argsort(joined.watermarks_ms, kind="stable")
    rows = None if joined.rows is None else joined.rows.take(order)
    return Batch(joined.watermarks_ms.take(order), joined.records.take(order), joined.texts, joined.others, rows)
