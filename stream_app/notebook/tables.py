"""What `learn_many` takes, as input files of the replay: data frames and tables of Arrow, and files of any form.

What somebody says of the columns is followed. Where nothing is said, a source that knows the columns is taken, and else
columns are called as the contract's fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Final, TypeAlias

from stream_app.bootstrap.replay import create_readers
from stream_app.contracts.inputs.table import FILE_CONTRACTS
from stream_app.errors import ConfigurationError
from stream_app.settings.sections import Settings
from stream_app.sources.choosing import AUTO, FILE_ENDINGS, choose, known_sources, name_in
from stream_app.sources.files import Reader, SourceFile, naive_zone
from stream_app.sources.forms import look_at
from stream_app.sources.mapping import Source, load_sources, parse_sources
from stream_app.sources.recognising import recognise
from stream_app.sources.staging import frame_look

AnyTable: TypeAlias = Any
"""A pandas or Polars data frame, an Arrow table, the path of a file, several of these, or these by topic."""
_FRAME_MODULES: Final = ("pandas", "polars", "pyarrow")


@dataclass(frozen=True)
class Reading:
    """How records are read, see `Segmenter.learn_many`."""

    source: str | PathLike[str] | Mapping[str, Any] | None = None
    topic: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    timezone: str | None = None

    @property
    def is_said(self) -> bool:
        """Whether anything is said of what the columns are."""
        return bool(self.topic or self.columns or self.constants)


def input_files(tables: AnyTable, reading: Reading, settings: Settings) -> list[SourceFile]:
    """Return what `learn_many` was given, as it is to be read.

    Raises
    ------
    ConfigurationError
        If there is no such source, topic or zone, or no source knows a file.
    TypeError
        If it is none of `AnyTable`.
    """
    by_topic = tables if isinstance(tables, Mapping) else {"": tables}
    zone = naive_zone(reading.timezone, settings.business.timezone, "timezone")
    return [
        replace(file, naive_zone=zone)
        for topic, several in by_topic.items()
        for each in (several if isinstance(several, list | tuple) else [several])
        for file in _inputs(each, replace(reading, topic=topic) if topic else reading)
    ]


@contextmanager
def opened(settings: Settings, files: Sequence[SourceFile], now_ms: int) -> Iterator[Sequence[Reader]]:
    """Open input files, and close them in the end.

    Raises
    ------
    ConfigurationError
        If one cannot be read, or a column is missing.
    """
    with ExitStack() as closing:
        readers = create_readers(settings, files, now_ms)
        for reader in readers:
            closing.callback(reader.close)
        yield readers


def _inputs(table: AnyTable, reading: Reading) -> Iterable[SourceFile]:
    """Return a table as it is to be read; files of a zip one by one."""
    if reading.topic is not None and reading.topic not in FILE_CONTRACTS:
        raise ConfigurationError(f"topic: {reading.topic!r}, expected one of {', '.join(FILE_CONTRACTS)}")
    if isinstance(table, str | PathLike):
        return _files(Path(table), reading)
    if type(table).__module__.partition(".")[0] in _FRAME_MODULES:
        whole = getattr(table, "read_all", None) or getattr(table, "collect", None)
        return [_frame(table if whole is None else whole(), reading)]  # what streams could be looked at only once
    raise TypeError(
        f"X: {type(table).__name__}, expected a pandas or Polars data frame, an Arrow table, the path of a file, or "
        "several of these"
    )


def _files(path: Path, reading: Reading) -> Iterable[SourceFile]:
    plain = _described(path, reading)
    if reading.source is None and (reading.is_said or not recognise(look_at(path), known_sources(None))):
        return [plain]
    name, known = _named(reading.source)
    return [each.described(plain) for each in choose([path], name, known)]


def _frame(frame: Any, reading: Reading) -> SourceFile:
    file = replace(_described(Path("frame"), reading), frame=frame)
    if reading.source is None and reading.is_said:
        return file
    name, known = _named(reading.source)
    if name != AUTO:
        if name not in known:
            raise ConfigurationError(f"source: {name!r}, expected one of {', '.join(sorted(known))}")
        return replace(file, mapping=known[name], mapping_name=name, topic="")
    look = frame_look(frame)
    found = recognise(look, known)
    if found:
        best = found[0]
        return replace(file, mapping=known[best.source_name], mapping_name=best.source_name, join=best.join, topic="")
    if reading.source is None:
        return file
    raise ConfigurationError(f"X: a table with the columns {', '.join(look.columns)} fits no known source")


def _described(path: Path, reading: Reading) -> SourceFile:
    return SourceFile(path, reading.topic or "purchases", reading.columns, reading.constants, None)


def _named(source: str | PathLike[str] | Mapping[str, Any] | None) -> tuple[str, Mapping[str, Source]]:
    """Return the name of a source, or `auto`, and all that are known."""
    if source is None:
        return AUTO, known_sources(None)
    if isinstance(source, Mapping):
        own = parse_sources(source, "source")
    elif isinstance(source, PathLike) or source.endswith(FILE_ENDINGS):
        own = load_sources(Path(source))
    else:
        return source, known_sources(None)
    return name_in(own), own
