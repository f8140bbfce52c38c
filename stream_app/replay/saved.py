"""A run as one file, from which another process continues exactly where this one stopped.

The file is a ZIP archive that any tool opens:

    state.json         version of the form; what depends on settings; the clock, versions in force, trainers, counts
    customers/00000    16,384 at a time: how many, n; sizes of n ids and n rows; ids, rows (`native/row_encoding.c`)
    migrations.jsonl … the moves so far, as a replay writes them

Rows are what the changelog keeps of customers, and everything else follows from them, as there: due dates and which
rules hold are worked out at the next look. The same state gives the same bytes. Nothing in the file is run when it
is read: it is numbers and text, and rows that are damaged are refused.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

import msgspec
import numpy as np

from stream_app.core.customers import CustomerTable
from stream_app.core.partition import Clock, Partition
from stream_app.core.trust import Trust
from stream_app.errors import SavedRunUnusable, SegmenterError
from stream_app.replay.kept import KEPT, KeptOutputs
from stream_app.segmentations.registry import decode_segmentation, encode_segmentation

FORM: Final = 2
"""Raised when what is written changes in a way that earlier releases cannot read."""
STATE: Final = "state.json"
_CUSTOMERS: Final = "customers/"
BLOCK_ROWS: Final = 16_384
"""Customers written at a time: what is held of them in between stays small beside the table."""
_COMPRESSION: Final = 1
"""Rows hardly shrink further at higher levels, which take several times as long."""
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_DAMAGES: Final = (BadZipFile, KeyError, ValueError, EOFError, OSError, zlib.error, NotImplementedError)


def partition_state(partition: Partition) -> dict[str, Any]:
    """Return as JSON values what a partition knows beside its customers; `restore_partition` takes it back."""
    return {
        "clock": partition.clock._asdict(),
        "trust": msgspec.to_builtins(partition.trust),
        "revised_at_ms": dict(partition.revised_at_ms),
        "rules_revised_at_ms": partition.rules_revised_at_ms,
        "segmentations": [encode_segmentation(segmentation) for segmentation in partition.segmentations],
    }


def restore_partition(partition: Partition, state: Mapping[str, Any]) -> None:
    """Bring an empty partition of the same segmentations to where `partition_state` was taken, without customers."""
    partition.follow_all([decode_segmentation(document) for document in state["segmentations"]])
    partition.clock = Clock(**state["clock"])
    partition.trust = msgspec.convert(state["trust"], Trust)
    partition.revised_at_ms = dict(state["revised_at_ms"])
    partition.rules_revised_at_ms = state["rules_revised_at_ms"]


def write_saved(path: Path, state: Mapping[str, Any], table: CustomerTable, kept: KeptOutputs) -> None:
    """Write a run into a file; an earlier one of the name stays as it is until this one is complete.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            write_archive(file, state, table, kept)
        unfinished.replace(path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise


def write_archive(
    file: IO[bytes], state: Mapping[str, Any], table: CustomerTable, kept: KeptOutputs, compression: int = ZIP_DEFLATED
) -> None:
    """Write a run into an open file, see `write_saved`."""
    with ZipFile(file, "w", compression, compresslevel=_COMPRESSION) as archive:
        archive.writestr(_entry(STATE, compression), msgspec.json.encode({"form": FORM} | dict(state)))
        for number, start in enumerate(range(0, len(table), BLOCK_ROWS)):
            block = _pack(table, start, min(start + BLOCK_ROWS, len(table)))
            archive.writestr(_entry(f"{_CUSTOMERS}{number:05}", compression), block)
        for name in KEPT:
            with archive.open(_entry(name, compression), "w", force_zip64=True) as target:
                kept.copy(name, target)


class SavedRun:
    """A file that `write_saved` has written.

    Parameters
    ----------
    file
        Its path, or the file itself.

    Raises
    ------
    SavedRunUnusable
        If there is no such file, or it is not one of these; also later, where a part of it is damaged.
    """

    def __init__(self, file: Path | IO[bytes]) -> None:
        self._name = str(file) if isinstance(file, Path) else "saved run"
        try:
            self._archive = ZipFile(file)
        except OSError as error:
            raise SavedRunUnusable(f"{self._name}: cannot be read ({error.strerror}), expected a saved run") from error
        except _DAMAGES as error:
            raise SavedRunUnusable(f"{self._name}: {error}, expected a saved run") from error
        try:
            self.state: dict[str, Any] = self._read_state()
        except SavedRunUnusable:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def restore_customers(self, table: CustomerTable) -> None:
        """Put all rows into an empty table, in their order."""
        for name in sorted(name for name in self._archive.namelist() if name.startswith(_CUSTOMERS)):
            try:
                table.restore_parts(*_unpack(self._archive.read(name)))
            except (SegmenterError, *_DAMAGES) as error:
                raise self._damaged(name, error) from error

    def restore_kept(self, kept: KeptOutputs) -> None:
        """Take over the moves so far."""
        for name in KEPT:
            try:
                with self._archive.open(name) as source:
                    kept.fill(name, source)
            except _DAMAGES as error:
                raise self._damaged(name, error) from error

    def _read_state(self) -> dict[str, Any]:
        try:
            state = msgspec.json.decode(self._archive.read(STATE), type=dict[str, Any])
        except _DAMAGES as error:
            raise self._damaged(STATE, error) from error
        if state.get("form") != FORM:
            raise SavedRunUnusable(f"{self._name}: form {state.get('form')!r}, expected {FORM}: of another release")
        return state

    def _damaged(self, name: str, error: Exception) -> SavedRunUnusable:
        return SavedRunUnusable(f"{self._name}: {name}: {error}, expected what `save` has written")


def _entry(name: str, compression: int) -> ZipInfo:
    """Return an entry without the time of day, so that the same content is the same file."""
    entry = ZipInfo(name, _EPOCH)
    entry.compress_type = compression
    return entry


def _pack(table: CustomerTable, start: int, stop: int) -> bytes:
    rows, row_sizes = table.encode_rows(np.arange(start, stop))
    ids, id_sizes = table.customer_ids.joined(np.arange(start, stop))
    head = np.concatenate(([stop - start], id_sizes, row_sizes)).astype("<i8")
    return b"".join((head.tobytes(), ids, rows))


def _unpack(block: bytes) -> tuple[bytes, np.ndarray, np.ndarray]:
    """Return what `restore_parts` takes.

    Raises
    ------
    ValueError
        If the block is not as long as it says.
    """
    count = int(np.frombuffer(block, "<i8", 1)[0])
    if not 0 <= count <= BLOCK_ROWS:
        raise ValueError(f"{count} customers, expected at most {BLOCK_ROWS}")
    sizes = np.frombuffer(block, "<i8", 2 * count, 8).astype(np.int64)
    body = len(block) - 8 - 8 * len(sizes)
    if (sizes < 0).any() or (sizes > body).any() or int(sizes.sum()) != body:
        raise ValueError(f"{body} bytes of ids and rows, expected the sum of their sizes")
    ends = len(block) - body + np.cumsum(sizes)
    parts = np.stack((ends - sizes, sizes))
    return block, parts[:, :count], parts[:, count:]
