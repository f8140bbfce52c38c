"""Decoded records as the core takes them, column by column: one object a record would cost more than decoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from stream_app.core.arrays import NO_INDICES, Flags, Indices, Instants
from stream_app.core.clock import NO_TIME
from stream_app.core.events import NO_EVENTS, Event, Events, Position, Records, Texts, join_events, pack_events
from stream_app.errors import CustomerUnnamed, InvalidRecord
from stream_app.native.structures import EVENT, EVENT_DTYPE, REJECTED, SKIPPED, UNNAMED


class Rejection(NamedTuple):
    """A record that broke its contract, with its bytes; key and timestamp where its carrier has such things.

    One that names no customer but an order (`CustomerUnnamed`) is not refused yet: it is *unnamed*.
    """

    error: InvalidRecord
    payload: bytes
    key: bytes | None = None
    timestamp_ms: int | None = None


class Skipped(NamedTuple):
    """A record that is neither folded nor refused here, such as a tombstone or one on the wrong partition."""

    record: Any


TOMBSTONE: Final = Skipped(None)
Other = Rejection | Skipped
Content = Event | Other
Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Records in the order of the stream.

    Parameters
    ----------
    watermarks_ms
        Watermark of the record's source, shape `(n,)`, ascending.
    records
        `EVENT_DTYPE`, shape `(n,)`. What is no event is at `NO_TIME`, and its `text_at` is its index in `others`. So is
        what is unnamed, as nobody vouches for its time, which is its `stated_at_ms`.
    texts, others
        What records point into; both may hold more than what belongs to these records.
    rows
        Where each record is in its file, shape `(n,)`, if its offset does not say so: a file's rows may have been
        put in order.
    """

    watermarks_ms: Instants
    records: Records
    texts: Texts
    others: Sequence[Other]
    rows: Offsets | None = None

    def __len__(self) -> int:
        return len(self.records)

    @property
    def sources(self) -> npt.NDArray[np.uint16]:
        """Number of each record's file or topic."""
        sources: npt.NDArray[np.uint16] = self.records["source"]
        return sources

    @property
    def offsets(self) -> Offsets:
        """Place of each record in its source: a line's number, a record's offset."""
        offsets: Offsets = self.records["offset"]
        return offsets

    @property
    def is_event(self) -> Flags:
        """Which records are events."""
        is_event: Flags = self.records["status"] == EVENT
        return is_event

    @property
    def is_folded(self) -> Flags:
        """Which records are folded, unless they turn out to be nobody's: events, and what is unnamed."""
        status = self.records["status"]
        is_folded: Flags = (status == EVENT) | (status == UNNAMED)
        return is_folded

    def part(self, start: int, stop: int) -> Batch:
        """Return the records `[start, stop)`."""
        rows = None if self.rows is None else self.rows[start:stop]
        return Batch(self.watermarks_ms[start:stop], self.records[start:stop], self.texts, self.others, rows)

    def take(self, indices: Indices) -> Batch:
        """Return the records with these indices, ascending."""
        rows = None if self.rows is None else self.rows[indices]
        return Batch(self.watermarks_ms[indices], self.records[indices], self.texts, self.others, rows)

    def instants(self) -> Indices:
        """Return where what is folded begins another instant than what is folded before it, ascending."""
        records = self.records
        times_ms = np.where(records["status"] == UNNAMED, records["stated_at_ms"], records["at_ms"])
        last_folded = np.maximum.accumulate(np.where(self.is_folded, np.arange(len(self)), 0))
        return np.flatnonzero(np.diff(times_ms[last_folded])) + 1

    def events(self) -> Events:
        """Return the events among the records."""
        is_event = self.is_event
        return Events(self.records if is_event.all() else self.records[is_event], self.texts)

    def folded(self) -> Events:
        """Return what is folded: events, those among them that are unnamed without a customer and with their status."""
        is_unnamed = self.records["status"] == UNNAMED
        if not is_unnamed.any():
            return self.events()
        places = np.flatnonzero(is_unnamed)
        unnamed = [_unnamed_of(self.others[number]) for number in self.records["text_at"][places].tolist()]
        packed = pack_events(unnamed, self.offsets[places], 0)
        packed.records["source"], packed.records["status"] = self.sources[places], UNNAMED
        packed.records["text_at"] += len(self.texts)
        records = self.records.copy()
        records[places] = packed.records
        return Events(records[self.is_folded], np.concatenate((self.texts, packed.texts)))

    def placed(self, owners: Indices) -> Indices:
        """Return the indices of the unnamed records that have an owner, see `stream_app.core.processor.Outcome`."""
        return np.flatnonzero(self.records["status"] == UNNAMED)[owners >= 0]

    def others_by_index(self, placed: Indices = NO_INDICES) -> Iterator[tuple[int, Other]]:
        """Yield the records that are no events, each with its index, but for what is unnamed and has been placed."""
        indices = np.setdiff1d(np.flatnonzero(~self.is_event), placed)
        for index, other in zip(indices.tolist(), self.records["text_at"][indices].tolist(), strict=True):
            yield index, self.others[other]


def end_between(instants: Indices, start: int, stop: int, count: int) -> int:
    """Return where a part of n records ends that begins at `start`: between instants, so that none is torn apart.

    Parameters
    ----------
    instants
        See `Batch.instants`.
    stop
        Where it should end: it ends there or before, or after it where there is no such place.
    count
        n.
    """
    if stop >= count:
        return count
    place = int(np.searchsorted(instants, stop, side="right"))
    if place and instants[place - 1] > start:
        return int(instants[place - 1])
    return int(instants[place]) if place < len(instants) else count


NO_RECORDS: Final = Batch(np.empty(0, np.int64), NO_EVENTS.records, NO_EVENTS.texts, [])


def batch_of(contents: Sequence[Content], source: int, offsets: Sequence[int] | Offsets, watermark_ms: int) -> Batch:
    """Return consecutive records of one source, each a value, with the watermark that it has after each.

    Parameters
    ----------
    contents
        What became of each of the n records; only an event moves the watermark.
    source
        Number of the source.
    offsets
        Their places in it, shape `(n,)`.
    watermark_ms
        The source's watermark before the first record, `NO_TIME` if it has none yet.
    """
    others = [content for content in contents if not isinstance(content, Event)]
    packed = pack_events([content for content in contents if isinstance(content, Event)], 0, source)
    is_event = np.fromiter((isinstance(content, Event) for content in contents), np.bool_, len(contents))
    records = np.empty(len(contents), EVENT_DTYPE)
    records[is_event] = packed.records
    records[~is_event] = records_of_others(others)
    records["source"] = source
    records["offset"] = offsets
    return batch_of_records(records, packed.texts, others, watermark_ms)


def records_of_others(others: Sequence[Other]) -> Records:
    """Return the records of what is no event; source and offset are left 0."""
    records = np.zeros(len(others), EVENT_DTYPE)
    records["at_ms"] = NO_TIME
    records["status"] = [_status_of(other) for other in others]
    records["text_at"] = np.arange(len(others))
    for index in np.flatnonzero(records["status"] == UNNAMED).tolist():
        records["stated_at_ms"][index] = _unnamed_of(others[index]).at_ms
    return records


def _unnamed_of(other: Other) -> Event:
    assert isinstance(other, Rejection)
    assert isinstance(other.error, CustomerUnnamed)
    event: Event = other.error.event
    return event


def _status_of(other: Other) -> int:
    if isinstance(other, Skipped):
        return SKIPPED
    return UNNAMED if isinstance(other.error, CustomerUnnamed) else REJECTED


def batch_of_records(records: Records, texts: Texts, others: Sequence[Other], watermark_ms: int) -> Batch:
    """Return consecutive records of one source, as columns, with the watermark that it has after each.

    Parameters
    ----------
    records, texts, others
        As in `Batch`.
    watermark_ms
        The source's watermark before the first record, `NO_TIME` if it has none yet.
    """
    times_ms: Instants = records["at_ms"].copy()
    if len(times_ms):
        times_ms[0] = max(int(times_ms[0]), watermark_ms)
    return Batch(np.maximum.accumulate(times_ms), records, texts, others)


def join_batches(parts: Sequence[Batch]) -> Batch:
    """Return the records of all parts, one part after the other, with those texts and others that they point into."""
    watermarks_ms = np.concatenate([part.watermarks_ms for part in parts])
    is_event = np.concatenate([part.is_event for part in parts])
    rows = None
    if any(part.rows is not None for part in parts):
        rows = np.concatenate([part.offsets if part.rows is None else part.rows for part in parts])
    events = join_events([part.events() for part in parts])
    if is_event.all():
        return Batch(watermarks_ms, events.records, events.texts, [], rows)
    others = [other for part in parts for _, other in part.others_by_index()]
    records = np.concatenate([part.records for part in parts])
    records["text_at"][is_event] = events.records["text_at"]
    records["text_at"][~is_event] = np.arange(len(others))
    return Batch(watermarks_ms, records, events.texts, others, rows)


class Positions(Sequence[Position]):
    """Where records came from, made on demand: few are ever asked for.

    Parameters
    ----------
    records
        `EVENT_DTYPE`.
    names
        Name of each source.
    partition
        Of all records.
    """

    def __init__(self, records: Records, names: Sequence[str], partition: int = 0) -> None:
        self._records = records
        self._names = names
        self._partition = partition

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Position: ...
    @overload
    def __getitem__(self, index: slice) -> Positions: ...
    def __getitem__(self, index: int | slice) -> Position | Positions:
        if isinstance(index, slice):
            return Positions(self._records[index], self._names, self._partition)
        record = self._records[index]
        return Position(self._names[record["source"]], self._partition, int(record["offset"]))
