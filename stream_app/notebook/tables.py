"""What `learn_many` takes, as readers of the replay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from stream_app.bootstrap.replay import create_readers
from stream_app.settings.sections import Settings
from stream_app.sources.files import FileReader, SourceFile

AnyTable: TypeAlias = Any


class Reading(NamedTuple):
    """How records are read, see `Segmenter.learn_many`."""

    source: str | PathLike[str] | Mapping[str, Any] | None
    topic: str | None
    columns: Mapping[str, str]
    constants: Mapping[str, str]


@contextmanager
def open_readers(settings: Settings, table: AnyTable, reading: Reading, now_ms: int) -> Iterator[Sequence[FileReader]]:
    """Open files."""
    by_topic = table if isinstance(table, Mapping) else {reading.topic or "purchases": table}
    constants = {"currency": settings.money.base_currency} | dict(reading.constants)
    sources = [
        SourceFile(Path(each), topic, reading.columns, constants, UTC)
        for topic, tables in by_topic.items()
        for each in (tables if isinstance(tables, list | tuple) else [tables])
    ]
    readers = create_readers(settings, sources, now_ms)
    with ExitStack() as opened:
        for reader in readers:
            opened.callback(reader.close)
        yield readers
