"""Input files as one stream of events, merged by time, read in blocks.

Files are read once, in order, and each is taken to be roughly sorted by time. They are merged by watermark
(`stream_app.core.merging`), and no more than one block of each file is in memory.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import islice
from pathlib import Path
from typing import Final, cast

import numpy as np

from stream_app.contracts.decoding import Decoder
from stream_app.contracts.scanner import Scanned, Scanner, split_lines
from stream_app.core.clock import NO_TIME
from stream_app.core.events import Event
from stream_app.core.merging import WatermarkMerge
from stream_app.core.records import NO_RECORDS, Batch, Other, Rejection, batch_of, batch_of_records
from stream_app.core.trust import GAP_MS
from stream_app.errors import ConfigurationError, InvalidRecord
from stream_app.native.structures import REJECTED
from stream_app.sources.csv_rows import Columns, CsvRow, read_rows

BLOCK_BYTES: Final = 1 << 20
"""How much of a file is decoded at once: large enough to merge cheaply, small beside the state."""
BLOCK_ROWS: Final = 8192
"""The same for the rows of a CSV file."""
HELD_RECORDS_MAX: Final = 1_000_000
"""Of one file: so many of one instant are kept together before it is torn apart, in 64 MB and their texts."""
STANDARD_INPUT: Final = Path("-")
_GZIP_MAGIC: Final = b"\x1f\x8b"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_DAMAGES: Final = (EOFError, zlib.error, OSError)
"""What reading raises where compressed data is cut off or corrupt, or a disk fails."""


@dataclass(frozen=True)
class SourceFile:
    """One input file.

    Parameters
    ----------
    path
        `.jsonl` or `.csv`, either with `.gz`; `-` for JSON lines on standard input.
    topic
        The input topic whose contract its records keep.
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
        return self.path.name.lower().removesuffix(".gz").endswith(".csv")


class FileReader:
    """Decodes one file, block by block.

    Parameters
    ----------
    source
        The file.
    decoder
        Of its topic.
    now_ms
        The time of reading, milliseconds since the epoch.
    number
        Of the file among all.
    name
        What positions call the file; its name without folders if None.

    Raises
    ------
    ConfigurationError
        If the file is missing or unreadable, or lacks a column that it must have.
    """

    def __init__(
        self, source: SourceFile, decoder: Decoder, now_ms: int, number: int = 0, name: str | None = None
    ) -> None:
        self.source = source
        self.name = source.path.name if name is None else name
        self._number = number
        self._line = 0
        self._decoder = decoder
        self._scanner = Scanner(decoder)
        self._now_ms = now_ms
        self._watermark_ms = NO_TIME
        try:
            self._raw = cast(
                io.BufferedReader, sys.stdin.buffer if source.path == STANDARD_INPUT else source.path.open("rb")
            )
            compressed = self._raw.peek(2)[:2] == _GZIP_MAGIC
        except OSError as error:
            raise ConfigurationError(
                f"{source.path}: cannot be read ({error.strerror}); name an existing file"
            ) from error
        self._bytes = cast(io.BufferedReader, gzip.GzipFile(fileobj=self._raw, mode="rb")) if compressed else self._raw
        try:
            self._blocks = self._csv_blocks() if source.is_csv else self._json_blocks()
        except ConfigurationError:
            self.close()
            raise

    @property
    def bytes_read(self) -> int:
        """How much of the file, as it lies on disk, has been read; 0 for a pipe."""
        return self._raw.tell() if self._raw.seekable() else 0

    def close(self) -> None:
        """Close the file."""
        self._bytes.close()
        self._raw.close()

    def next_block(self) -> Batch:
        """Return the next decoded records, none at the end of the file."""
        return next(self._blocks, NO_RECORDS)

    def _follow(self, batch: Batch) -> Batch:
        """Note how far the file's time has come with a batch."""
        self._watermark_ms = int(batch.watermarks_ms[-1])
        return batch

    def _block(self, contents: Sequence[Event | Rejection], lines: Sequence[int]) -> Batch:
        return self._follow(batch_of(contents, self._number, lines, self._watermark_ms))

    def _end_early(self, error: Exception, payload: bytes = b"") -> Batch:
        """Return one rejection for the whole of a file's unreadable rest."""
        broken = InvalidRecord(
            "malformed", "$", f"$: the rest of the file cannot be read ({error}), expected more of it"
        )
        return self._block([Rejection(broken, payload)], [self._line + 1])

    def _json_blocks(self) -> Iterator[Batch]:
        for block, damage in self._line_blocks():
            lines = split_lines(block)
            scanned = self._scanner.scan(block, lines, self._now_ms)
            scanned.records["source"] = self._number
            scanned.records["offset"] = np.arange(self._line + 1, self._line + 1 + len(lines.at))
            self._line += len(lines.at)
            scanned = _without_blank_lines(scanned)
            if len(scanned.records):
                yield self._follow(batch_of_records(scanned.records, scanned.texts, scanned.others, self._watermark_ms))
            if damage is not None:
                yield self._end_early(*damage)

    def _line_blocks(self) -> Iterator[tuple[bytes, tuple[Exception, bytes] | None]]:
        """Yield lines, each with its end, about `BLOCK_BYTES` at a time.

        If the file cannot be read to its end, the last of these come with the reason and the line that is cut off.
        Not by `readlines`: where reading fails, it loses what it has read.
        """
        unfinished: list[bytes] = []
        size, at_start = 0, True
        while True:
            try:
                part = self._bytes.read1(BLOCK_BYTES)
            except _DAMAGES as error:
                lines, rest = _cut_lines(unfinished)
                yield lines, (error, rest)
                return
            if at_start:
                part, at_start = part.removeprefix(_BYTE_ORDER_MARK), False
            unfinished.append(part)
            size += len(part)
            if not part:
                lines, rest = _cut_lines(unfinished)
                yield lines + rest + b"\n" if rest else lines, None
                return
            if size >= BLOCK_BYTES and b"\n" in part:
                lines, rest = _cut_lines(unfinished)
                unfinished, size = [rest], len(rest)
                yield lines, None

    def _csv_blocks(self) -> Iterator[Batch]:
        """Read the header at once, so that a wrong column stops the start; return the blocks."""
        text = io.TextIOWrapper(self._bytes, "utf-8-sig", errors="surrogateescape", newline="")
        rows = read_rows(text)
        damage = None
        try:
            header = next(rows, None)
        except _DAMAGES as error:
            header, damage = None, error
        columns = Columns(self.name, self._decoder.contract, header, self.source.columns, self.source.constants)
        self._text = text  # kept: collecting it would close the file under `bytes_read`
        return self._row_blocks(rows, columns, damage)

    def _row_blocks(self, rows: Iterator[CsvRow], columns: Columns, damage: Exception | None) -> Iterator[Batch]:
        while True:
            contents: list[Event | Rejection] = []
            lines: list[int] = []
            try:
                for row in islice(rows, BLOCK_ROWS):
                    contents.append(self._decode_row(row, columns))
                    lines.append(row.line)
            except _DAMAGES as error:
                damage = error
            if contents:
                self._line = lines[-1]
                yield self._block(contents, lines)
            if damage is not None:
                yield self._end_early(damage)
            if damage is not None or not contents:
                return

    def _decode_row(self, row: CsvRow, columns: Columns) -> Event | Rejection:
        limit = self._decoder.policy.max_payload_bytes
        if len(row.text) > limit:  # characters: counting bytes would cost an encoding a row
            error = InvalidRecord("too_large", "$", f"$: {len(row.text)} characters, expected at most {limit}")
            return Rejection(error, row.payload)
        try:
            return self._decoder.decode_row(columns.fields_of(row), self._now_ms, self.source.naive_zone)
        except InvalidRecord as error:
            return Rejection(error, row.payload)


def _cut_lines(parts: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return whole lines and what follows them."""
    block = b"".join(parts)
    end = block.rfind(b"\n") + 1
    return block[:end], block[end:]


def _without_blank_lines(scanned: Scanned) -> Scanned:
    """Leave out lines of white space, which are no records; the scanner has doubted them, and the models refused."""
    if not scanned.others:
        return scanned
    rejections = [other for other in scanned.others if isinstance(other, Rejection)]
    is_blank = np.array([not rejection.payload.strip() for rejection in rejections], np.bool_)
    others: list[Other] = [each._replace(payload=each.payload.rstrip(b"\r")) for each in rejections]
    records = scanned.records
    refused = np.flatnonzero(records["status"] == REJECTED)
    blank = refused[is_blank[records["text_at"][refused]]]
    return scanned._replace(records=np.delete(records, blank) if len(blank) else records, others=others)


def merge_by_time(readers: Sequence[FileReader], gap_ms: int = GAP_MS) -> Iterator[Batch]:
    """Yield the records of all files, ordered by watermark, then by file; no batch is empty."""
    merge = WatermarkMerge(len(readers), HELD_RECORDS_MAX, gap_ms)
    ended: set[int] = set()
    while (number := merge.limiting(ended)) is not None:
        block = readers[number].next_block()
        if len(block):
            merge.add(number, block)
        else:
            ended.add(number)
        if len(batch := merge.release(ended)):
            yield batch
