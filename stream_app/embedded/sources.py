"""Input files as one stream of events, merged by time, read in blocks.

Files are read once, in order, and each is taken to be roughly sorted by time. A record's place in the merged
stream is its file's watermark (the latest time read so far from that file), so the order within a file is
kept, a late record stays late, and no more than one block of each file is in memory.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from stream_app.contracts.decoding import Decoder
from stream_app.core.clock import NO_TIME
from stream_app.core.events import Event, Position
from stream_app.errors import ConfigurationError, InvalidRecord

BLOCK_BYTES: Final = 1 << 20
"""How much of a file is decoded at once: large enough to merge cheaply, small beside the state."""
BLOCK_ROWS: Final = 8192
"""The same for the rows of a CSV file."""
_GZIP_MAGIC: Final = b"\x1f\x8b"


class Rejection(NamedTuple):
    """A record that broke its contract, with its bytes."""

    error: InvalidRecord
    payload: bytes


class Batch(NamedTuple):
    """Records in the order of the stream, column by column, as one object a record would cost more than its decoding.

    Attributes
    ----------
    watermarks_ms
        Watermark of the record's file, shape `(n,)`, ascending.
    contents
        What became of each of the n records.
    files, lines
        Number of its file, and of its line (from 1) or row, shape `(n,)`.
    """

    watermarks_ms: npt.NDArray[np.int64]
    contents: list[Event | Rejection]
    files: npt.NDArray[np.intp]
    lines: npt.NDArray[np.int64]

    def part(self, start: int, stop: int) -> Batch:
        """Return the records `[start, stop)`."""
        return Batch(*(column[start:stop] for column in self))  # type: ignore[arg-type]


NO_RECORDS: Final = Batch(np.empty(0, np.int64), [], np.empty(0, np.intp), np.empty(0, np.int64))


@dataclass(frozen=True)
class SourceFile:
    """One input file.

    Parameters
    ----------
    path
        `.jsonl` or `.csv`, either with `.gz`; `-` for JSON lines on standard input.
    topic
        `purchases` or `engagements`.
    columns
        CSV only: contract field → header, for headers that are named otherwise.
    constants
        CSV only: contract field → value, for fields that the file lacks.
    naive_zone
        CSV only: the zone of times that name none; None rejects them.
    """

    path: Path
    topic: str
    columns: Mapping[str, str]
    constants: Mapping[str, str]
    naive_zone: tzinfo | None

    @property
    def is_csv(self) -> bool:
        """Whether the name says that this is a CSV file."""
        return ".csv" in self.path.suffixes[-2:]


class FileReader:
    """Decodes one file, block by block.

    Raises
    ------
    ConfigurationError
        If the file is missing or unreadable, or lacks a column that was asked for.
    """

    def __init__(self, source: SourceFile, decoder: Decoder, now_ms: int, number: int = 0) -> None:
        self.source = source
        self.records = 0
        self._number = number
        self._line = 0
        self._decoder = decoder
        self._now_ms = now_ms
        self._watermark_ms = NO_TIME
        try:
            self._raw: BinaryIO = source.path.open("rb")
            compressed = self._raw.peek(2)[:2] == _GZIP_MAGIC  # type: ignore[attr-defined]
        except OSError as error:
            raise ConfigurationError(f"{source.path}: cannot be read ({error.strerror}); name an existing file") from error
        self._stream: BinaryIO | io.TextIOWrapper = gzip.open(self._raw, "rb") if compressed else self._raw  # type: ignore[assignment]
        self._blocks = self._csv_blocks() if source.is_csv else self._json_blocks()

    @property
    def bytes_read(self) -> int:
        """How much of the file, as it lies on disk, has been read."""
        return self._raw.tell()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        self._raw.close()

    def next_block(self) -> Batch:
        """Return the next decoded records, none at the end of the file."""
        return next(self._blocks, NO_RECORDS)

    def _block(self, watermarks_ms: list[int], contents: list[Event | Rejection], lines: list[int]) -> Batch:
        self.records += len(contents)
        return Batch(
            np.array(watermarks_ms, np.int64),
            contents,
            np.full(len(contents), self._number),
            np.array(lines, np.int64),
        )

    def _end_early(self, error: Exception) -> Batch:
        """Return the one rejection that stands for the unreadable rest of a compressed file."""
        broken = InvalidRecord("malformed", "$", f"compressed data is damaged here and cannot be read on: {error}")
        return self._block([self._watermark_ms], [Rejection(broken, b"")], [self._line + 1])

    def _json_blocks(self) -> Iterator[Batch]:
        decode, now_ms = self._decoder.decode, self._now_ms
        while True:
            try:
                payloads = self._stream.readlines(BLOCK_BYTES)
            except (EOFError, zlib.error, OSError) as error:
                yield self._end_early(error)
                return
            if not payloads:
                return
            watermarks_ms: list[int] = []
            contents: list[Event | Rejection] = []
            watermark_ms, first_line = self._watermark_ms, self._line + 1
            lines: Sequence[int] = range(first_line, first_line + len(payloads))
            blank: set[int] = set()
            for line, payload in zip(lines, payloads, strict=True):
                try:
                    event = decode(payload, now_ms)
                except InvalidRecord as error:
                    payload = payload.rstrip(b"\r\n")
                    if not payload.strip():
                        blank.add(line)
                        continue
                    contents.append(Rejection(error, payload))
                else:
                    contents.append(event)
                    if event.at_ms > watermark_ms:
                        watermark_ms = event.at_ms
                watermarks_ms.append(watermark_ms)
            self._watermark_ms, self._line = watermark_ms, first_line + len(payloads) - 1
            if contents:
                yield self._block(watermarks_ms, contents, [line for line in lines if line not in blank])

    def _csv_blocks(self) -> Iterator[Batch]:
        self._stream = text = io.TextIOWrapper(  # kept: collecting it would close the file under `bytes_read`
            self._stream, "utf-8-sig", errors="surrogateescape", newline=""
        )
        reader = csv.reader(text, strict=True)
        header = next(reader, [])
        place = self._places(header)
        watermarks_ms: list[int] = []
        contents: list[Event | Rejection] = []
        first_row = self._line + 1
        while True:
            try:
                cells = next(reader, None)
                content = self._row(cells, header, place) if cells else None
            except csv.Error as error:
                cells, content = [""], Rejection(InvalidRecord("malformed", "$", f"not a CSV row: {error}"), b"")
            except (EOFError, zlib.error, OSError) as error:
                yield self._block(watermarks_ms, contents, list(range(first_row, first_row + len(contents))))
                yield self._end_early(error)
                return
            if content is not None:
                self._line += 1
                if isinstance(content, Event):
                    self._watermark_ms = max(self._watermark_ms, content.at_ms)
                contents.append(content)
                watermarks_ms.append(self._watermark_ms)
            if cells is None or len(contents) == BLOCK_ROWS:
                yield self._block(watermarks_ms, contents, list(range(first_row, first_row + len(contents))))
                watermarks_ms, contents, first_row = [], [], self._line + 1
            if cells is None:
                return

    def _row(self, cells: list[str], header: list[str], place: Mapping[str, int]) -> Event | Rejection:
        try:
            if len(cells) != len(header):
                raise InvalidRecord("malformed", "$", f"row has {len(cells)} cells, expected {len(header)} as the header")
            fields: dict[str, str | None] = dict(self.source.constants)
            fields |= {name: cells[column] for name, column in place.items()}
            fields.setdefault("event_id", f"{self.source.path.name}:{self._line + 1}")
            if self.source.topic == "purchases":
                fields.setdefault("order_id", fields["event_id"])
            return self._decoder.decode_row(fields, self._now_ms, self.source.naive_zone)
        except InvalidRecord as error:
            return Rejection(error, ",".join(cells).encode("utf-8", "surrogateescape"))

    def _places(self, header: Sequence[str]) -> dict[str, int]:
        """Return the column of each contract field that the file has."""
        place = {name: column for column, name in enumerate(header) if name not in self.source.columns.values()}
        for name, wanted in self.source.columns.items():
            if wanted not in header:
                raise ConfigurationError(
                    f"{self.source.path.name}: column {wanted!r} (for {name}) is not in the header; it has {', '.join(header)}"
                )
            place[name] = header.index(wanted)
        return place


def merge_by_time(readers: Sequence[FileReader]) -> Iterator[Batch]:
    """Yield the records of all files, ordered by watermark, then by file; no batch is empty."""
    held = [reader.next_block() for reader in readers]
    while True:
        unread = [number for number, block in enumerate(held) if block.contents]
        if not unread:
            return
        # What one file has beyond the others' last watermark has to wait for their next blocks.
        safe_ms = min(int(held[number].watermarks_ms[-1]) for number in unread)
        parts = []
        for number in unread:
            block = held[number]
            end = int(np.searchsorted(block.watermarks_ms, safe_ms, side="right"))
            parts.append(block.part(0, end))
            rest = block.part(end, len(block.contents))
            held[number] = rest if rest.contents else readers[number].next_block()
        yield parts[0] if len(parts) == 1 else _interleave(parts)


def _interleave(parts: Sequence[Batch]) -> Batch:
    watermarks_ms = np.concatenate([part.watermarks_ms for part in parts])
    order = np.argsort(watermarks_ms, kind="stable")
    contents = [content for part in parts for content in part.contents]
    return Batch(
        watermarks_ms[order],
        [contents[index] for index in order.tolist()],
        np.concatenate([part.files for part in parts])[order],
        np.concatenate([part.lines for part in parts])[order],
    )


class Positions(Sequence[Position]):
    """Where the records of a batch came from, made on demand: few are ever asked for.

    Parameters
    ----------
    batch
        The records.
    chosen
        Indices of the records that are meant, in order.
    names
        Name of each file.
    """

    def __init__(self, batch: Batch, chosen: Sequence[int], names: Sequence[str]) -> None:
        self._batch = batch
        self._chosen = chosen
        self._names = names

    def __len__(self) -> int:
        return len(self._chosen)

    @overload
    def __getitem__(self, index: int) -> Position: ...
    @overload
    def __getitem__(self, index: slice) -> Positions: ...
    def __getitem__(self, index: int | slice) -> Position | Positions:
        if isinstance(index, slice):
            return Positions(self._batch, self._chosen[index], self._names)
        record = self._chosen[index]
        return Position(self._names[self._batch.files[record]], 0, int(self._batch.lines[record]))
