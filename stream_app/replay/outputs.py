"""The folder a replay writes.

Files are written to a folder inside it and moved to their places when all of them are complete, so the outputs of an
earlier run stay as they are until then, however the run ends.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

import msgspec

from stream_app.core.clock import format_instant
from stream_app.core.local_days import UTC
from stream_app.core.next_moves import next_moves
from stream_app.core.partition import Partition
from stream_app.core.segments import NO_SEGMENT
from stream_app.core.standing import standing_of
from stream_app.errors import ConfigurationError
from stream_app.segmentations.describing import Described

FILES: Final = (
    "migrations.jsonl",
    "memberships.jsonl",
    "upcoming.jsonl",
    "models.jsonl",
    "dead_letters.jsonl",
    "history.json",
    "summary.json",
)
UNFINISHED: Final = ".unfinished"
"""Where files are while a run writes them; a run that was killed leaves it, and the next one clears it."""
BLOCK_CUSTOMERS: Final = 16_384
"""How many memberships are encoded at a time: all at once would take as much memory as the state."""


class Outputs(Protocol):
    """Takes results as they come."""

    def write_migrations(self, described: Described) -> None:
        """Take migrations in the order given."""
        ...

    def write_notices(self, described: Described) -> None:
        """Take announcements of moves, in the order given."""
        ...

    def write_model(self, document: Mapping[str, Any]) -> None:
        """Take a version of a segmentation."""
        ...

    def write_dead_letter(self, document: str) -> None:
        """Take a rejected record."""
        ...


class OutputFolder:
    """Writes a replay's records.

    Parameters
    ----------
    path
        The folder; it is made.
    add
        Called with the folder of the complete files before they are moved; may write more files there.

    Raises
    ------
    ConfigurationError
        If the folder cannot be made or written.
    """

    def __init__(self, path: Path, add: Callable[[Path], object] = lambda _: None) -> None:
        self.path = path
        self._unfinished = path / UNFINISHED
        self._add = add
        self._encoder = msgspec.json.Encoder()
        self._files: dict[str, BinaryIO] = {}
        try:
            self._unfinished.mkdir(parents=True, exist_ok=True)
            for name in FILES:
                self._files[name] = (self._unfinished / name).open("wb")
        except OSError as error:
            self.discard()
            raise ConfigurationError(
                f"{path}: cannot be written ({error.strerror}); name another folder with --out"
            ) from error

    def write_migrations(self, described: Described) -> None:
        """Append migrations in the order given."""
        self._files["migrations.jsonl"].write(described.lines)

    def write_notices(self, described: Described) -> None:
        """Append announcements of moves, in the order given."""
        self._files["upcoming.jsonl"].write(described.lines)

    def write_model(self, document: Mapping[str, Any]) -> None:
        """Append a version of the model."""
        self._files["models.jsonl"].write(self._encoder.encode_lines([document]))

    def write_dead_letter(self, document: str) -> None:
        """Append a rejected record."""
        self._files["dead_letters.jsonl"].write(document.encode() + b"\n")

    def append(self, name: str, lines: bytes) -> None:
        """Append whole lines, as they are, to one of `FILES`."""
        self._files[name].write(lines)

    def write_memberships(self, partition: Partition, as_of_ms: int) -> None:
        """Write the segments of every customer, block by block in the order in which customers were first seen."""
        for start in range(0, len(partition.table), BLOCK_CUSTOMERS):
            block = memberships_of(partition, as_of_ms, start, start + BLOCK_CUSTOMERS)
            self._files["memberships.jsonl"].write(self._encoder.encode_lines(block))

    def complete(self, summary: Mapping[str, Any], history: Mapping[str, Any]) -> None:
        """Write summary and history; close all files and move them to their places."""
        self._files["history.json"].write(self._encoder.encode(history) + b"\n")
        text = msgspec.json.format(self._encoder.encode(summary), indent=2)
        self._files["summary.json"].write(text + b"\n")
        for file in self._files.values():
            file.close()
        for left in self._unfinished.iterdir():
            if left.name not in FILES:
                left.unlink()
        self._add(self._unfinished)
        complete = sorted(self._unfinished.iterdir(), key=lambda path: path.name == "summary.json")
        with _undisturbed():
            for path in complete:  # the summary last: where it is new, everything is
                path.replace(self.path / path.name)
            self._unfinished.rmdir()

    def discard(self) -> None:
        """Close and remove what is not complete; earlier outputs in the folder stay."""
        for file in self._files.values():
            with suppress(OSError):  # a full disk cannot take what is still buffered
                file.close()
        if self._unfinished.is_dir():
            for path in self._unfinished.iterdir():
                with suppress(OSError):  # a folder is not ours
                    path.unlink()
            with suppress(OSError):
                self._unfinished.rmdir()


def earlier_timezone(folder: Path) -> str | None:
    """Return whose days the outputs in a folder count; None if there are none that can be read."""
    try:
        summary = msgspec.json.decode((folder / "summary.json").read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError):
        return None
    return str(summary.get("timezone", UTC))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold signals back, so that none comes between two files."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def memberships_of(partition: Partition, as_of_ms: int, start: int, stop: int) -> Iterable[dict[str, Any]]:
    """Yield the memberships of the customers in the rows `[start, stop)` as records, segmentation by segmentation."""
    as_of, stop = format_instant(as_of_ms), min(stop, len(partition.table))
    customer_ids = partition.table.customer_ids[start:stop]
    for segmentation in partition.segmentations:
        references = segmentation.roster.references
        standing = standing_of(partition, segmentation, start, stop, as_of_ms)
        following = next_moves(standing.following, segmentation.roster)
        columns = (column.tolist() for column in standing[:4])
        for customer_id, code, since_ms, sequence, version, next_move in zip(
            customer_ids, *columns, following, strict=True
        ):
            if code == NO_SEGMENT:
                continue
            yield {
                "customer_id": customer_id,
                "segmentation": segmentation.name,
                "segment": references[code],
                "since": format_instant(since_ms),
                "sequence": sequence,
                "model_version": version,
                "as_of": as_of,
                "next_move": next_move,
            }
