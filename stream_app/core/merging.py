"""The merge of several sources by event time, the same for files and for a partition's topics.

A record's place is its source's watermark: the latest event time that the source has shown up to and with that record.
So each source keeps its own order, a late record stays late, and sources can be merged while they are still being read.

A record may go as soon as no source can bring anything that goes before it. An open source can still bring records at
its watermark or later; an ended one brings nothing. So the lowest watermark of all open sources is the limit. Among
equal watermarks the source with the lower number goes first. What lies at the limit itself waits, as the source that
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

END_OF_TIME: Final = 2**63 - 1


class WatermarkMerge:
    """Holds what sources have brought until it may go.

    Parameters
    ----------
    sources
        How many there are; they are numbered from 0.
    held_max
        Where a source holds so many records and none may go, those at the limit go, too: all are of one instant.
    """

    def __init__(self, sources: int, held_max: int = 2**63 - 1) -> None:
        self._held_max = held_max
        self._held: list[deque[Batch]] = [deque() for _ in range(sources)]
        self._held_records = [0] * sources
        self._watermarks_ms = [NO_TIME] * sources

    def add(self, source: int, batch: Batch) -> None:
        """Hold the next records of a source, one at least."""
        self._held[source].append(batch)
        self._held_records[source] += len(batch)
        self._watermarks_ms[source] = int(batch.watermarks_ms[-1])

    def held_records(self, source: int | None = None) -> int:
        """Return how many records of a source wait, of all sources if None."""
        return sum(self._held_records) if source is None else self._held_records[source]

    def watermark_ms(self, source: int) -> int:
        """Return the latest event time that a source has shown, `NO_TIME` before the first."""
        return self._watermarks_ms[source]

    def limiting(self, ended: Collection[int]) -> int | None:
        """Return which source must bring more before anything that is held may go, None if all have ended."""
        still_open = [source for source in range(len(self._held)) if source not in ended]
        return min(still_open, key=lambda source: (self._watermarks_ms[source], source), default=None)

    def release(self, ended: Collection[int]) -> Batch:
        """Return all that may go by now, in order.

        Parameters
        ----------
        ended
            Numbers of the sources that will bring nothing more, or have nothing more for now.
        """
        first = self.limiting(ended)
        limit_ms = END_OF_TIME if first is None else self._watermarks_ms[first]
        parts = [part for source in range(len(self._held)) for part in self._release(source, limit_ms, "left")]
        if not parts and first is not None and self._held_records[first] >= self._held_max:
            parts = [part for source in range(first + 1) for part in self._release(source, limit_ms, "right")]
        if not parts:
            return NO_RECORDS
        return parts[0] if len(parts) == 1 else interleave(parts)

    def _release(self, source: int, limit_ms: int, side: Literal["left", "right"]) -> list[Batch]:
        held, parts = self._held[source], []
        while held:
            first = held[0]
            end = int(np.searchsorted(first.watermarks_ms, limit_ms, side=side))
            if end == len(first):
                part = held.popleft()
            elif end:
                part, held[0] = first.part(0, end), first.part(end, len(first))
            else:
                break
            self._held_records[source] -= len(part)
            parts.append(part)
        return parts


def interleave(parts: Sequence[Batch]) -> Batch:
    """Return all records ordered by watermark, those of an earlier part first where it is the same."""
    joined = join_batches(parts)
    order = np.argsort(joined.watermarks_ms, kind="stable")
    return Batch(joined.watermarks_ms.take(order), joined.records.take(order), joined.texts, joined.others)
