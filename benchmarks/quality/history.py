"""What really happened, read from the input files by the product's own decoding and by nothing else of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from stream_app.bootstrap.replay import create_readers
from stream_app.core.arrays import Floats, Indices, Instants
from stream_app.core.clock import DAY_MS
from stream_app.core.events import PURCHASE, REFUND
from stream_app.settings.loading import load_settings
from stream_app.settings.sections import Settings
from stream_app.sources.files import FileReader, SourceFile, merge_by_time

NOW_MS = 2**42
"""Later than every event of the data sets."""


class History(NamedTuple):
    """All events of a data set, in order of time.

    Attributes
    ----------
    customer_ids
        Of the n customers, in the order in which they were first seen; `customer` indexes it.
    customer, at_ms, kind, amount_minor
        Of each event.
    end_ms
        The instant up to which it is known that nothing else happened.
    """

    customer_ids: Sequence[str]
    customer: Indices
    at_ms: Instants
    kind: Indices
    amount_minor: Floats
    end_ms: int

    @property
    def start_ms(self) -> int:
        """Midnight before the first event."""
        return int(self.at_ms[0] // DAY_MS * DAY_MS)

    @property
    def days(self) -> int:
        """Days from `start_ms` to the end, begun ones counted in full."""
        return int(-(-(self.end_ms - self.start_ms) // DAY_MS))

    def night_ms(self, day: int) -> int:
        """Return the end of a day, numbered from 0."""
        return self.start_ms + (day + 1) * DAY_MS

    def orders(self) -> History:
        """Return purchases alone."""
        return self._only(self.kind == PURCHASE)

    def acts(self) -> History:
        """Return what customers did of their own accord: purchases and engagements."""
        return self._only(self.kind != REFUND)

    def _only(self, chosen: np.ndarray) -> History:
        columns = (self.customer, self.at_ms, self.kind, self.amount_minor)
        return History(self.customer_ids, *(column[chosen] for column in columns), self.end_ms)


@contextmanager
def opened(settings: Settings, sources: Sequence[SourceFile]) -> Iterator[list[FileReader]]:
    """Open files for reading, and close them at the end."""
    readers = create_readers(settings, sources, NOW_MS)
    try:
        yield readers
    finally:
        for reader in readers:
            reader.close()


def read_history(sources: Sequence[SourceFile], end_ms: int | None = None) -> History:
    """Read files; the end is the last event's instant where none is given."""
    with opened(load_settings(None), sources) as readers:
        batches = [batch.events() for batch in merge_by_time(readers)]
    events = [events.event(index) for events in batches for index in range(len(events))]
    events.sort(key=lambda event: event.at_ms)
    numbers: dict[str, int] = {}
    customer = [numbers.setdefault(event.customer_id, len(numbers)) for event in events]
    at_ms = np.array([event.at_ms for event in events])
    return History(
        list(numbers),
        np.array(customer, np.intp),
        at_ms,
        np.array([event.kind for event in events], np.intp),
        np.array([event.amount_minor for event in events], np.float64),
        int(at_ms[-1]) if end_ms is None else end_ms,
    )
