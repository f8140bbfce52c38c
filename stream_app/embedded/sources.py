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
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, TypeAlias

from stream_app.contracts.decoding import Decoder
from stream_app.core.clock import NO_TIME
from stream_app.core.events import Event, Position
from stream_app.errors import ConfigurationError, InvalidRecord

BLOCK_BYTES: Final = 1 << 20
"""How much of a file is decoded at once: large enough to merge cheaply, small beside the state."""
_GZIP_MAGIC: Final = b"\x1f\x8b"


class Rejection(NamedTuple):
    """A record that broke its contract, with its bytes."""

    error: InvalidRecord
    payload: bytes


Item: TypeAlias = tuple[int, Event | Rejection, Position]
"""A record in its place: the file's watermark, what became of it, and where it stood (a plain tuple: one a record)."""


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

    def __init__(self, source: SourceFile, decoder: Decoder, now_ms: int) -> None:
        self.source = source
        self.records = 0
        self._line_number = 0
        self._decoder = decoder
        self._now_ms = now_ms
        self._watermark_ms = NO_TIME
        try:
            self._raw: BinaryIO = source.path.open("rb")
            compressed = self._raw.peek(2)[:2] == _GZIP_MAGIC  # type: ignore[attr-defined]
        except OSError as error:
            raise ConfigurationError(f"{source.path}: cannot be read ({error.strerror}); name an existing file") from error
        self._stream: BinaryIO = gzip.open(self._raw, "rb") if compressed else self._raw  # type: ignore[assignment]
        self._blocks = self._csv_blocks() if source.is_csv else self._json_blocks()

    @property
    def bytes_read(self) -> int:
        """How much of the file, as it lies on disk, has been read."""
        return self._raw.tell()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        self._raw.close()

    def next_block(self) -> list[Item]:
        """Return the next decoded records, empty at the end of the file."""
        return next(self._blocks, [])

    def _item(self, decode: Callable[[], Event], payload: Callable[[], bytes]) -> Item:
        """Return the item of the next record."""
        self.records += 1
        position = Position(self.source.path.name, 0, self.records)
        try:
            event = decode()
        except InvalidRecord as error:
            return self._watermark_ms, Rejection(error, payload()), position
        self._watermark_ms = max(self._watermark_ms, event.at_ms)
        return self._watermark_ms, event, position

    def _broken(self, error: Exception) -> list[Item]:
        """Return the one item that stands for the unreadable rest of a compressed file."""
        self.records += 1
        rejected = InvalidRecord("malformed", "$", f"compressed data is damaged here and cannot be read on: {error}")
        return [(self._watermark_ms, Rejection(rejected, b""), Position(self.source.path.name, 0, self.records))]

    def _json_blocks(self) -> Iterator[list[Item]]:
        decode, now_ms, name = self._decoder.decode, self._now_ms, self.source.path.name
        while True:
            try:
                lines = self._stream.readlines(BLOCK_BYTES)
            except (EOFError, zlib.error, OSError) as error:
                yield self._broken(error)
                return
            if not lines:
                return
            items: list[Item] = []
            add = items.append
            watermark_ms, line_number = self._watermark_ms, self._line_number
            for line in lines:  # the hot loop: `_item` written out
                line_number += 1
                position = Position(name, 0, line_number)
                try:
                    event = decode(line, now_ms)
                except InvalidRecord as error:
                    payload = line.rstrip(b"\r\n")
                    if payload.strip():
                        add((watermark_ms, Rejection(error, payload), position))
                    continue
                if event.at_ms > watermark_ms:
                    watermark_ms = event.at_ms
                add((watermark_ms, event, position))
            self._watermark_ms, self._line_number = watermark_ms, line_number
            self.records += len(items)
            if items:
                yield items

    def _csv_blocks(self) -> Iterator[list[Item]]:
        text = io.TextIOWrapper(self._stream, "utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.reader(text, strict=True)
        header = next(reader, [])
        place = self._places(header)
        items: list[Item] = []
        while True:
            try:
                cells = next(reader, None)
            except (EOFError, zlib.error, OSError) as error:
                items += self._broken(error)
                cells = None
            except csv.Error as error:
                rejected = InvalidRecord("malformed", "$", f"not a CSV row: {error}")
                items.append(self._item(_raiser(rejected), bytes))
                continue
            if cells is None:
                yield items
                return
            if cells:
                items.append(self._row(cells, header, place))
            if len(items) == 4096:
                yield items
                items = []

    def _row(self, cells: list[str], header: list[str], place: Mapping[str, int]) -> Item:
        raw = ",".join(cells).encode("utf-8", "surrogateescape")
        if len(cells) != len(header):
            rejected = InvalidRecord("malformed", "$", f"row has {len(cells)} cells, expected {len(header)} as in the header")
            return self._item(_raiser(rejected), lambda: raw)
        fields: dict[str, str | None] = dict(self.source.constants)
        fields |= {name: cells[column] for name, column in place.items()}
        if "event_id" not in fields:
            fields["event_id"] = f"{self.source.path.name}:{self.records + 1}"
        if self.source.topic == "purchases" and "order_id" not in fields:
            fields["order_id"] = fields["event_id"]
        return self._item(
            lambda: self._decoder.decode_row(fields, self._now_ms, self.source.naive_zone), lambda: raw
        )

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


def _raiser(error: InvalidRecord) -> Callable[[], Event]:
    def decode() -> Event:
        raise error

    return decode


def merge_by_time(readers: Sequence[FileReader]) -> Iterator[list[Item]]:
    """Yield the items of all files, ordered by watermark, then by file; each list is not empty."""
    watermark = itemgetter(0)
    held: list[list[Item]] = [reader.next_block() for reader in readers]
    while True:
        open_files = [index for index, block in enumerate(held) if block]
        if not open_files:
            return
        # What one file has beyond the others' last watermark has to wait for their next blocks.
        safe_ms = min(held[index][-1].watermark_ms for index in open_files)
        merged: list[Item] = []
        for index in open_files:
            block = held[index]
            end = bisect_right(block, safe_ms, key=watermark)
            merged += block[:end]
            held[index] = block[end:] or readers[index].next_block()
        merged.sort(key=watermark)
        yield merged
