"""Opens input files: looks at each, and takes the shortest way to its events."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from stream_app.contracts.decoding import Decoder
from stream_app.contracts.inputs.table import FILE_CONTRACTS
from stream_app.errors import ConfigurationError
from stream_app.sources.files import GZIP_MAGIC, STANDARD_INPUT, FileReader, Reader, SourceFile
from stream_app.sources.forms import Look, look_at
from stream_app.sources.inputs import InputFile, LoadingOptions
from stream_app.sources.ordering import is_in_order

if TYPE_CHECKING:
    from stream_app.sources.mapping import Topic

_MEMORY_BYTES_MIN: Final = 128 << 20
_LINES_BEGIN: Final = (b"{", b"\n", b" ", b"")
_LINES: Final = (".jsonl", ".ndjson", ".json")


def open_readers(
    files: Sequence[SourceFile],
    names: Sequence[str],
    decoders: Mapping[str, Decoder],
    now_ms: int,
    options: LoadingOptions,
) -> list[Reader]:
    """Open input files: a reader of each that needs no mapping, and one of all others, in the place of the first.

    Parameters
    ----------
    files
        Input files; those of one mapping are loaded together.
    names
        What positions call them.
    decoders
        By topic.
    now_ms
        The time of reading, milliseconds since the epoch.
    options
        What mappings leave open.

    Raises
    ------
    ConfigurationError
        If a file is missing or unreadable, is of no form that is known, or lacks a column that it must have.
    """
    with ExitStack() as undo:
        opening = _Opening(decoders, now_ms, options, undo)
        readers = opening.open(files, names)
        undo.pop_all()  # all went well: they stay open
    return readers


@contextmanager
def planned(
    files: Sequence[SourceFile], names: Sequence[str], options: LoadingOptions
) -> Iterator[tuple[list[InputFile], LoadingOptions]]:
    """Give how input files are loaded, all of them together, and with what options.

    Parameters
    ----------
    files, names, options
        See `open_readers`.

    Raises
    ------
    ConfigurationError
        See `open_readers`.
    """
    with ExitStack() as undo:
        opening = _Opening({}, 0, options, undo)
        yield opening.plan(files, names), opening.options_of(files[0])


class _Opening:
    """Opens files; what must be undone if one of them fails is noted in `undo`."""

    def __init__(self, decoders: Mapping[str, Decoder], now_ms: int, options: LoadingOptions, undo: ExitStack) -> None:
        self._decoders = decoders
        self._now_ms = now_ms
        self._options = options
        self._undo = undo
        self._copies: dict[Path, tempfile.TemporaryDirectory[str]] = {}
        self._pipes: dict[Path, io.BufferedReader] = {}

    def open(self, files: Sequence[SourceFile], names: Sequence[str]) -> list[Reader]:
        """Do as `open_readers`."""
        readers: list[Reader] = []
        looks = [self._look(file) for file in files]
        plans: list[tuple[list[InputFile], bool]] = []
        mapped: list[InputFile] = []
        for number, (file, name, look) in enumerate(zip(files, names, looks, strict=True)):
            planned = self._plan(file, number, name, look)
            if look.path in self._pipes:
                plans.append(([planned], True))
            elif planned.contract:
                is_direct = look.encoding == "utf-8" and look.packing != "zip"
                time_field = FILE_CONTRACTS[planned.contract].time_field
                plans.append(([planned], is_direct and is_in_order(look, time_field)))
            else:
                if not mapped:
                    plans.append((mapped, False))
                mapped.append(planned)
        if any(file.columns for file in files) and not mapped:
            asked = ", ".join(files[0].columns)
            raise ConfigurationError(f"--column and --constant ({asked}) are for tables, and none of the files is one")
        to_load = sum(not in_order for _, in_order in plans)
        memory_bytes = max(self._options.memory_bytes // max(to_load, 1), _MEMORY_BYTES_MIN)
        for planned_files, in_order in plans:
            first = planned_files[0]
            if in_order:
                reader = self._reader(first)
            else:
                options = replace(self.options_of(files[first.number]), memory_bytes=memory_bytes)
                reader = self._loaded(planned_files, options)
            reader.closing.extend(
                copy.cleanup for file in planned_files if (copy := self._copies.get(file.look.path)) is not None
            )
            self._undo.callback(reader.close)
            readers.append(reader)
        return readers

    def plan(self, files: Sequence[SourceFile], names: Sequence[str]) -> list[InputFile]:
        """Return how files are loaded."""
        numbered = enumerate(zip(files, names, strict=True))
        return [self._plan(file, number, name, self._look(file)) for number, (file, name) in numbered]

    def _reader(self, file: InputFile) -> Reader:
        decoder, pipe = self._decoders[file.contract], self._pipes.get(file.look.path)
        return FileReader(file.look, file.contract, decoder, self._now_ms, file.number, file.name, pipe)

    def _loaded(self, files: Sequence[InputFile], options: LoadingOptions) -> Reader:
        from stream_app.sources.loaded import LoadedReader  # here, as DuckDB takes a tenth of a second to import

        return LoadedReader(files, options, self._decoders, self._now_ms)

    def options_of(self, file: SourceFile) -> LoadingOptions:
        """Return the notes on a file beside its mapping."""
        zone = None if file.naive_zone is None else str(getattr(file.naive_zone, "key", "UTC"))
        return replace(self._options, zone=zone, locale=file.locale)

    def _look(self, file: SourceFile) -> Look:
        if file.frame is not None:
            from stream_app.sources.staging import frame_look  # likewise

            return frame_look(file.frame)
        path = file.path
        if path == STANDARD_INPUT or path.is_fifo():
            pipe = self._pipe(path)
            packed = pipe.peek(2)[:2] == GZIP_MAGIC
            if file.mapping is None and (packed or pipe.peek(1)[:1] in _LINES_BEGIN):
                self._pipes[path] = pipe
                return Look(path, "jsonl", "gz" if packed else "")
            path = self._spooled(pipe, path)
        look = look_at(path, file.mapping, file.member)
        if file.mapping is None and look.form == "csv" and len(look.columns) < 2 and self._is_named_lines(file.path):
            return replace(look, form="jsonl", encoding="utf-8")
        return look

    @staticmethod
    def _is_named_lines(path: Path) -> bool:
        """Where nothing in a file says what it is, since it is empty or broken, its name does."""
        name = path.name.lower().removesuffix(".gz").removesuffix(".zip")
        return path == STANDARD_INPUT or name.endswith(_LINES) or "." not in name

    def _pipe(self, path: Path) -> io.BufferedReader:
        """Open what can be read only once. JSON lines are read while they are being written, and are not sorted."""
        try:
            return cast(io.BufferedReader, sys.stdin.buffer if path == STANDARD_INPUT else path.open("rb"))
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from error

    def _spooled(self, pipe: io.BufferedReader, path: Path) -> Path:
        """Copy what can be read only once, so that it can be looked at and sorted."""
        folder = tempfile.TemporaryDirectory(prefix="segmenter-")
        self._undo.callback(folder.cleanup)
        copy = Path(folder.name) / "pipe"
        self._copies[copy] = folder
        try:
            with pipe, copy.open("wb") as out:
                shutil.copyfileobj(pipe, out)
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from error
        return copy

    def _plan(self, file: SourceFile, number: int, name: str, look: Look) -> InputFile:
        if file.mapping is not None:
            return InputFile(number, name, file.mapping, file.mapping_name, look, file.frame, file.join)
        if look.form == "jsonl":
            return InputFile(number, name, None, "", look, contract=file.topic)
        if not look.columns and look.form != "json":
            raise ConfigurationError(
                f"{name}: {look.describe()} without a header, expected one row that names the columns"
            )
        from stream_app.sources.generic import Given, generic_source  # likewise: models take their time, too

        given = Given(file.columns, file.constants, {"currency": self._options.base_currency}, file.time_formats)
        topic: Topic = file.topic  # type: ignore[assignment]
        return InputFile(number, name, generic_source(name, topic, look, given), file.topic, look, file.frame)
