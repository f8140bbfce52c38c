"""Events of the past for conditions that are new: what a window needs and rows do not hold.

A definition that is added asks for series of events that nobody has counted before. Where the log reaches back, its
events are entered into these series, and into them alone; nothing is decided by that. Who belongs where under the new
definition is found when it assesses everybody.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

from stream_app.core.arrays import Indices
from stream_app.core.events import PROFILE, PURCHASE, Events
from stream_app.core.partition import Partition
from stream_app.native.library import NO_MEMORY, address, function


class Backfill:
    """Enters a log's events into series of a partition, batch by batch.

    Parameters
    ----------
    partition
        Whose present rules ask for the series.
    first_series
        Series whose numbers are lower are left as they are: how many digests of series the table had before the rules
        took over. None if
        the log reaches back to the beginning: then all series are rebuilt, including those that are to keep more.
    """

    def __init__(self, partition: Partition, first_series: int | None) -> None:
        self._partition = partition
        self._first_series = first_series or 0
        self._begun = np.zeros(len(partition.table), np.uint8) if first_series is None else None
        self._seen: set[tuple[int, int, int]] = set()

    def enter(self, events: Events) -> Indices:
        """Enter events, in the order of the log; return the numbers of the rows that may have changed.

        Raises
        ------
        MemoryError
            If there is not enough; the partition is to be thrown away then.
        RuntimeError
            If events are not within their texts; a defect of the caller, too.
        """
        partition = self._partition
        if partition.rules is None:
            return np.empty(0, np.intp)
        fresh = events.take(self._unseen(events))
        records, texts = np.ascontiguousarray(fresh.records), np.ascontiguousarray(fresh.texts)
        rows = np.empty(len(records), np.int64)
        status = _backfill()(
            partition.table.handle,
            partition.rules.handle,
            address(records),
            len(records),
            address(texts),
            len(texts),
            self._first_series,
            None if self._begun is None else address(self._begun),
            address(rows),
        )
        if status == NO_MEMORY:
            raise MemoryError
        if status:
            raise RuntimeError(f"a backfill of {len(records)} events: status {status} of the library, expected 0")
        return np.unique(rows[rows >= 0])

    def _unseen(self, events: Events) -> list[int]:
        """Return the indices of events that were not delivered before; what profiles say may be said again.

        Of repeated statements about an order the first counts, as where it is folded.
        """
        records = events.records
        names = ("customer_hash", "event_digest", "order_digest", "kind")
        unseen = []
        for index, (customer, event, order, kind) in enumerate(
            zip(*(records[name].tolist() for name in names), strict=True)
        ):
            own = (customer, order, PURCHASE) if kind == PURCHASE else (customer, event, kind)
            if kind == PROFILE or own not in self._seen:
                unseen.append(index)
                self._seen.add(own)
        return unseen


@cache
def _backfill() -> Any:
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    return function(
        "seg_backfill",
        ctypes.c_int32,
        *(pointer, pointer, pointer, number, pointer, number, ctypes.c_int32, pointer, pointer),
    )
