"""Input files as one stream of events, merged by time, read in blocks.

JSON lines that keep our contracts and are in order of time already go straight to the compiled scanner. Everything else
is loaded first (`stream_app.sources.loading`), which sorts it. So files are merged by watermark
(`stream_app.core.merging`), and no more than one block of each is in memory.

Records of one instant are taken in the order of their text, so that nothing depends on the order of a file's lines.
"""

from __future__ import annotations

import codecs
import gzip
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast
from zoneinfo import ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

from stream_app.contracts.decoding import Decoder
from stream_app.contracts.scanner import Scanned, Scanner, Spans, split_lines
from stream_app.core.clock import NO_TIME
from stream_app.core.local_days import zone_of
from stream_app.core.merging import WatermarkMerge
from stream_app.core.records import NO_RECORDS, Batch, Other, Rejection, batch_of, batch_of_records
from stream_app.core.trust import GAP_MS
from stream_app.errors import ConfigurationError, InvalidRecord
from stream_app.native.structures import REJECTED, UNNAMED
from stream_app.sources.forms import Look
from stream_app.sources.numbering import DAMAGES
from stream_app.sources.ordering import order_instants

if TYPE_CHECKING:
    from stream_app.sources.mapping import Source

BLOCK_BYTES: Final = 1 << 20
"""How much of a file is decoded at once: large enough to merge cheaply, small beside the state."""
HELD_RECORDS_MAX: Final = 1_000_000
"""Records of one instant in one file that are kept together in memory, at most: 64 MB and their texts."""
STANDARD_INPUT: Final = Path("-")
GZIP_MAGIC: Final = b"\x1f\x8b"


@dataclass(frozen=True)
class SourceFile:
    """One input file.

    Parameters
    ----------
    path
        Of any form; `-` for standard input.
    topic
        The input topic whose contract its records keep, or whose fields its columns are; empty if it has a mapping.
    columns
        Contract field → header, for headers that are named otherwise.
    constants
        Contract field → value, for fields that the file lacks.
    naive_zone
        The zone of times that name none; None rejects them.
    time_formats
        How times are written, see `stream_app.sources.generic.Given`.
    locale
        Which is the decimal sign, `point` or `comma`; found by looking at numbers if None.
    mapping, mapping_name
        What the file's records become, if its columns are not ours; what event ids begin with.
    join
        Of the mapping's `joins`, which one the file is.
    member
        Which file of a zip.
    frame
        A pandas, Polars or Arrow table in place of the file; `path` is its name.
    """

    path: Path
    topic: str
    columns: Mapping[str, str]
    constants: Mapping[str, str]
    naive_zone: tzinfo | None
    time_formats: Sequence[str] = ()
    locale: str | None = None
    mapping: Source | None = None
    mapping_name: str = ""
    join: str = ""
    member: str = ""
    frame: Any = None


def naive_zone(name: str | None, shop: str, called: str) -> tzinfo | None:
    """Return the zone of times that have none; None refuses them.

    Parameters
    ----------
    name
        What somebody says of it, `none` to refuse them; None for the shop's.
    shop
        Name of the shop's.
    called
        What messages call `name`.

    Raises
    ------
    ConfigurationError
        If there is none of that name.
    """
    if name == "none":
        return None
    try:
        return zone_of(shop if name is None else name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(f"{called}: {name!r}, expected a name such as UTC or Europe/London") from error


class Input(NamedTuple):
    """What a file is called.

    Attributes
    ----------
    number
        Of the file among all.
    name
        What positions call it.
    topic
        Of its records, several parted by commas.
    """

    number: int
    name: str
    topic: str


class Reader(Protocol):
    """Decodes files, block by block."""

    closing: list[Callable[[], object]]
    """Called once the files are closed."""

    @property
    def inputs(self) -> Sequence[Input]:
        """The files."""

    @property
    def bytes_read(self) -> int:
        """How much of the files, as they lie on disk, has been read."""

    def next_block(self) -> Batch:
        """Return the next decoded records, none at the end of the files."""

    def close(self) -> None:
        """Close the files."""


class FileReader:
    """Decodes one file of JSON lines that keep a contract and are in order of time.

    Parameters
    ----------
    look
        What the file is.
    topic
        Of its records.
    decoder
        Of the topic.
    now_ms
        The time of reading, milliseconds since the epoch.
    number
        Of the file among all.
    name
        What positions call the file; its name without folders if None.
    pipe
        Where lines come from that are read while they are being written; the file itself if None.
    """

    def __init__(
        self,
        look: Look,
        topic: str,
        decoder: Decoder,
        now_ms: int,
        number: int = 0,
        name: str | None = None,
        pipe: io.BufferedReader | None = None,
    ) -> None:
        self.inputs = [Input(number, look.path.name if name is None else name, topic)]
        self._number = number
        self._line = 0
        self._scanner = Scanner(decoder)
        self._now_ms = now_ms
        self._watermark_ms = NO_TIME
        self._raw = pipe or look.path.open("rb")
        packed = look.packing == "gz"
        self._bytes = cast(io.BufferedReader, gzip.GzipFile(fileobj=self._raw, mode="rb")) if packed else self._raw
        self._blocks = self._json_blocks()
        self.closing: list[Callable[[], object]] = []

    @property
    def bytes_read(self) -> int:
        """How much of the file, as it lies on disk, has been read; 0 of a pipe."""
        return self._raw.tell() if self._raw.seekable() else 0

    def close(self) -> None:
        """Close the file."""
        self._bytes.close()
        self._raw.close()
        for close in self.closing:
            close()

    def next_block(self) -> Batch:
        """Return the next decoded records, none at the end of the file."""
        return next(self._blocks, NO_RECORDS)

    def _follow(self, batch: Batch) -> Batch:
        """Note how far the file's time has come with a batch."""
        self._watermark_ms = int(batch.watermarks_ms[-1])
        return batch

    def _end_early(self, error: Exception, payload: bytes = b"") -> Batch:
        """Return one rejection for the whole of a file's unreadable rest."""
        broken = InvalidRecord(
            "malformed", "$", f"$: the rest of the file cannot be read ({error}), expected more of it"
        )
        return self._follow(batch_of([Rejection(broken, payload)], self._number, [self._line + 1], self._watermark_ms))

    def _json_blocks(self) -> Iterator[Batch]:
        held = b""
        for block, damage, is_last in self._line_blocks():
            block = held + block
            lines = split_lines(block)
            scanned = self._scanner.scan(block, lines, self._now_ms)
            scanned.records["source"] = self._number
            scanned.records["offset"] = np.arange(self._line + 1, self._line + 1 + len(lines.at))
            end = len(lines.at) if is_last else _end_of_instants(scanned.records["at_ms"])
            held = b"" if end == len(lines.at) else block[int(lines.at[end]) :]
            self._line += end
            records, others = _in_order(scanned, block, lines, end)
            if len(records):
                yield self._follow(batch_of_records(records, scanned.texts, others, self._watermark_ms))
            if damage is not None:
                yield self._end_early(*damage)

    def _line_blocks(self) -> Iterator[tuple[bytes, tuple[Exception, bytes] | None, bool]]:
        """Yield lines, each with its end, about `BLOCK_BYTES` at a time, and whether they are the last ones.

        If the file cannot be read to its end, the last of these come with the reason and the line that is cut off.
        Not by `readlines`: where reading fails, it loses what it has read.
        """
        unfinished: list[bytes] = []
        size, at_start = 0, True
        while True:
            try:
                part = self._bytes.read1(BLOCK_BYTES)
            except DAMAGES as error:
                lines, rest = _cut_lines(unfinished)
                yield lines, (error, rest), True
                return
            if at_start:
                part, at_start = part.removeprefix(codecs.BOM_UTF8), False
            unfinished.append(part)
            size += len(part)
            if not part:
                lines, rest = _cut_lines(unfinished)
                yield lines + rest + b"\n" if rest else lines, None, True
                return
            if size >= BLOCK_BYTES and b"\n" in part:
                lines, rest = _cut_lines(unfinished)
                unfinished, size = [rest], len(rest)
                yield lines, None, False


def _cut_lines(parts: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return whole lines and what follows them."""
    block = b"".join(parts)
    end = block.rfind(b"\n") + 1
    return block[:end], block[end:]


def _end_of_instants(times_ms: npt.NDArray[np.int64]) -> int:
    """Return where the last instant begins: the next block may have more of it; the end where there is no other."""
    if not len(times_ms) or len(times_ms) >= HELD_RECORDS_MAX:
        return len(times_ms)
    known = np.flatnonzero(times_ms != NO_TIME)
    if not len(known):
        return len(times_ms)
    begins = np.flatnonzero(times_ms[known] != times_ms[known[-1]])
    return int(known[begins[-1] + 1]) if len(begins) else 0


def _in_order(scanned: Scanned, block: bytes, lines: Spans, end: int) -> tuple[Any, list[Other]]:
    """Return the records up to an end without blank lines, those of one instant in the order of their text."""
    records = scanned.records[:end]
    order_instants(records, block, lines)
    return _without_blank_lines(records, scanned.others)


def _without_blank_lines(records: Any, others: Sequence[Other]) -> tuple[Any, list[Other]]:
    """Leave out lines of white space, which are not records: the scanner passed them on, and the models refused."""
    if not others:
        return records, []
    rejections = [other for other in others if isinstance(other, Rejection)]
    is_blank = np.array([not rejection.payload.strip() for rejection in rejections], np.bool_)
    kept: list[Other] = [each._replace(payload=each.payload.rstrip(b"\r")) for each in rejections]
    refused = np.flatnonzero(np.isin(records["status"], (REJECTED, UNNAMED)))
    blank = refused[is_blank[records["text_at"][refused]]]
    return (np.delete(records, blank) if len(blank) else records), kept


def merge_by_time(readers: Sequence[Reader], gap_ms: int = GAP_MS) -> Iterator[Batch]:
    """Yield the records of all readers, ordered by watermark, then by reader; no batch is empty."""
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
