"""The results so far, which can be read at any time: in memory while they are few, else on disk."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Iterable, Iterator, Mapping
from os import SEEK_END
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Final

import msgspec

from stream_app.replay.outputs import OutputFolder
from stream_app.segmentations.describing import Described

MIGRATIONS: Final = "migrations.jsonl"
UPCOMING: Final = "upcoming.jsonl"
MODELS: Final = "models.jsonl"
DEAD_LETTERS: Final = "dead_letters.jsonl"
KEPT: Final = (MIGRATIONS, UPCOMING, MODELS, DEAD_LETTERS)
"""Files of a replay that grow with its records."""
MEMORY_BYTES: Final = 1 << 20
"""More of a file goes to a temporary file on disk, which ends with its object."""


class KeptOutputs:
    """Takes a run's records and gives them back, any number of times, as a replay writes them."""

    def __init__(self) -> None:
        self._files: dict[str, IO[bytes]] = {
            name: SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115  (closed when this object ends)
            for name in KEPT
        }
        self._encoder = msgspec.json.Encoder()
        weakref.finalize(self, _close, tuple(self._files.values()))

    def write_migrations(self, described: Described) -> None:
        """Append migrations in the order given."""
        self.append(MIGRATIONS, described.lines)

    def write_notices(self, described: Described) -> None:
        """Append announcements of moves, in the order given."""
        self.append(UPCOMING, described.lines)

    def write_model(self, document: Mapping[str, Any]) -> None:
        """Append a version of a segmentation."""
        self.append(MODELS, self._encoder.encode_lines([document]))

    def write_dead_letter(self, document: str) -> None:
        """Append a rejected record."""
        self.append(DEAD_LETTERS, document.encode() + b"\n")

    def append(self, name: str, lines: bytes) -> None:
        """Append whole lines to one of `KEPT`."""
        file = self._files[name]
        file.seek(0, SEEK_END)
        file.write(lines)

    def size(self, name: str) -> int:
        """Return how many bytes there are of a file."""
        return self._files[name].seek(0, SEEK_END)

    def lines(self, name: str, start: int = 0) -> Iterable[bytes]:
        """Yield the lines of a file from a byte on, each with its end; nothing may be written meanwhile."""
        file = self._files[name]
        file.seek(start)
        for line in file:  # noqa: UP028  (`yield from` would close the file where nobody takes all of its lines)
            yield line

    def copy(self, name: str, target: IO[bytes]) -> None:
        """Write the content of a file to another one."""
        file = self._files[name]
        file.seek(0)
        shutil.copyfileobj(file, target)

    def fill(self, name: str, source: IO[bytes]) -> None:
        """Append the content of another file."""
        shutil.copyfileobj(source, self._files[name])

    def write_to(self, folder: OutputFolder) -> None:
        """Write everything into a replay's folder."""
        for name in KEPT:
            for block in self._blocks(name):
                folder.append(name, block)

    def _blocks(self, name: str) -> Iterator[bytes]:
        file = self._files[name]
        file.seek(0)
        while block := file.read(MEMORY_BYTES):
            yield block


def _close(files: Iterable[IO[bytes]]) -> None:
    for file in files:
        file.close()
