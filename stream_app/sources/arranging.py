"""The last part of the order of loaded records, which sorting by time leaves open.

Records of one instant follow one another by topic and text, so that any order of a file's rows gives the same stream.
To sort by whole texts would take DuckDB a fifth more time and as much memory again, and few instants have more than
one record. So it sorts by time alone, and the records of an instant are put in order here, as long as there are few of
them; where there are many, as in tables that know only days, DuckDB does it (`by_text`).

Records that are equal and have no id of their own get different ones: the second gets `:2` after its id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stream_app.contracts.scanner import Spans
from stream_app.errors import InvalidRecord
from stream_app.sources.arrow import Texts
from stream_app.sources.blocks import BLOCK_LINES, Block, Numbers
from stream_app.sources.instants import shared_instants

INSTANT_RECORDS_MAX: Final = 100_000
"""Of records of one instant that are put in order here: they are held together, some 20 MB of them."""
COLUMNS: Final = ("at_ms", "topic", "file", "row", "is_hashed", "line", "fault")
BY_TIME: Final = "at_ms"
BY_TEXT: Final = "at_ms, topic, line, file, row"
_ID: Final = b'"event_id":"'


class TooManyAtOnce(Exception):
    """An instant has more than `INSTANT_RECORDS_MAX` records."""


@dataclass(frozen=True, slots=True, eq=False)
class _Records:
    """Records as columns, shape `(n,)` each; `lines` and `faults` are where their texts lie in `text` and `reasons`."""

    at_ms: Numbers
    topics: Numbers
    files: Numbers
    rows: Numbers
    is_hashed: Numbers
    lines: Spans
    faults: Spans
    text: npt.NDArray[np.uint8]
    reasons: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.at_ms)

    def taken(self, places: Any) -> _Records:
        """Return those at places, or of a slice, in their order."""
        return _Records(
            self.at_ms[places],
            self.topics[places],
            self.files[places],
            self.rows[places],
            self.is_hashed[places],
            Spans(self.lines.at[places], self.lines.size[places]),
            Spans(self.faults.at[places], self.faults.size[places]),
            self.text,
            self.reasons,
        )

    def line(self, place: int) -> bytes:
        return _text(self.text, self.lines, place)


def arranged(batches: Iterator[Sequence[Any]], *, by_text: bool) -> Iterator[Block]:
    """Yield records in their last order.

    Parameters
    ----------
    batches
        `COLUMNS` of records, in order of time; valid until the next one is asked for.
    by_text
        Whether they are in order of `BY_TEXT` already.

    Raises
    ------
    TooManyAtOnce
        If an instant has too many records that are not in order.
    RuntimeError
        If they are not in order of time.
    """
    equals = _Equals()
    records = map(_records_of, batches)
    latest_ms = np.iinfo(np.int64).min
    for part in records if by_text else _whole_instants(records):
        if part.at_ms[0] < latest_ms or (part.at_ms[1:] < part.at_ms[:-1]).any():
            raise RuntimeError("records are not in order of time, expected sorted ones")
        latest_ms = part.at_ms[-1]
        yield from _blocks(equals.told_apart(part if by_text else _by_text(part)))


def _records_of(columns: Sequence[Any]) -> _Records:
    at_ms, topics, files, rows, is_hashed, lines, faults = columns
    return _Records(at_ms, topics, files, rows, is_hashed, _spans(lines), _spans(faults), lines.bytes, faults.bytes)


def _whole_instants(batches: Iterator[_Records]) -> Iterator[_Records]:
    """Yield records so that none of an instant's are torn apart."""
    held: _Records | None = None
    for records in batches:
        if held is not None and held.at_ms[0] == records.at_ms[0]:
            records = _joined(held, records)
        elif held is not None:
            yield held
        begin = int(np.searchsorted(records.at_ms, records.at_ms[-1]))
        if len(records) - begin > INSTANT_RECORDS_MAX:
            raise TooManyAtOnce
        if begin:
            yield records.taken(slice(begin))
        held = _joined(records.taken(slice(begin, None)))
    if held is not None:
        yield held


def _by_text(records: _Records) -> _Records:
    is_again = records.at_ms[1:] == records.at_ms[:-1]
    if not is_again.any():
        return records
    order = np.arange(len(records))
    for places in shared_instants(is_again):
        if len(places) > INSTANT_RECORDS_MAX:
            raise TooManyAtOnce
        order[places.start : places.stop] = sorted(
            places, key=lambda at: (records.topics[at], records.line(at), records.files[at], records.rows[at])
        )
    return records.taken(order)


class _Equals:
    """Gives equal records ids of their own; an instant may come in several parts, so it remembers the last record."""

    def __init__(self) -> None:
        self._last: tuple[int, int, bytes] = (0, -1, b"")
        self._count = 1

    def told_apart(self, records: _Records) -> _Records:
        """Return the records; those that equal another and have no id get one."""
        counts = self._counts(records)
        end = len(records) - 1
        self._last = int(records.at_ms[end]), int(records.files[end]), records.line(end)
        self._count = counts.get(end, 1)
        if not counts:
            return records
        at, size, text = records.lines.at.copy(), records.lines.size.copy(), [records.text.tobytes()]
        length = len(records.text)
        for place, count in counts.items():
            line = _with_count(records.line(place), count)
            at[place], size[place] = length, len(line)
            text.append(line)
            length += len(line)
        return replace(records, lines=Spans(at, size), text=np.frombuffer(b"".join(text), np.uint8))

    def _counts(self, records: _Records) -> dict[int, int]:
        """Return for each record its number among those that equal it, in their order."""
        counts: dict[int, int] = {}
        if not records.is_hashed.any():
            return counts
        if records.is_hashed[0] and self._last == (records.at_ms[0], records.files[0], records.line(0)):
            counts[0] = self._count + 1
        alike = records.is_hashed[1:].astype(np.bool_)
        for column in (records.at_ms, records.files, records.lines.size):
            alike &= column[1:] == column[:-1]
        for place in (np.flatnonzero(alike) + 1).tolist():
            if records.line(place) == records.line(place - 1):
                counts[place] = counts.get(place - 1, 1) + 1
        return counts


def _with_count(line: bytes, count: int) -> bytes:
    event_id = line.partition(_ID)[2].partition(b'"')[0]
    return line.replace(event_id, b"%b:%d" % (event_id, count))


def _blocks(records: _Records) -> Iterator[Block]:
    for at in range(0, len(records), BLOCK_LINES):
        part = records.taken(slice(at, at + BLOCK_LINES))
        errors = {
            place: InvalidRecord(*_text(part.reasons, part.faults, place).decode().split("\t", 2))
            for place in np.flatnonzero(part.faults.size).tolist()
        }
        yield Block(part.topics, part.text, part.lines, errors, part.files, part.rows)


def _joined(*parts: _Records) -> _Records:
    """Return records of several parts as one, with a copy of their texts alone."""
    lines, text = _copied([(part.lines, part.text) for part in parts])
    faults, reasons = _copied([(part.faults, part.reasons) for part in parts])
    return _Records(
        np.concatenate([part.at_ms for part in parts]),
        np.concatenate([part.topics for part in parts]),
        np.concatenate([part.files for part in parts]),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.is_hashed for part in parts]),
        lines,
        faults,
        text,
        reasons,
    )


def _copied(parts: Sequence[tuple[Spans, npt.NDArray[np.uint8]]]) -> tuple[Spans, npt.NDArray[np.uint8]]:
    """Return texts that follow each other in several runs of bytes as one run."""
    ats, sizes, texts, length = [], [], [], 0
    for spans, text in parts:
        begin = int(spans.at[0])
        end = int(spans.at[-1] + spans.size[-1])
        ats.append(spans.at - begin + length)
        sizes.append(spans.size)
        texts.append(text[begin:end])
        length += end - begin
    return Spans(np.concatenate(ats), np.concatenate(sizes)), np.concatenate(texts)


def _spans(texts: Texts) -> Spans:
    return Spans(texts.ends[:-1], np.diff(texts.ends))


def _text(text: npt.NDArray[np.uint8], spans: Spans, place: int) -> bytes:
    at = int(spans.at[place])
    return text[at : at + int(spans.size[place])].tobytes()
