"""Files of any form and order as lines of JSON that keep our contracts, in order of time.

Rows are staged as text, mappings are compiled to SQL over them, and one query writes, joins and sorts all lines; DuckDB
keeps within the memory that it is given and sorts on disk beyond it. The order is time, then topic, then the line
itself, so that any order of a file's rows gives the same stream. What cannot be read comes first.
"""

from __future__ import annotations

import pickle
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

import duckdb

from stream_app.contracts.inputs.table import FILE_CONTRACTS
from stream_app.core.clock import NO_TIME
from stream_app.errors import InvalidRecord
from stream_app.sources import sql, times
from stream_app.sources.arranging import BY_TEXT, BY_TIME, TooManyAtOnce, arranged
from stream_app.sources.arrow import batches
from stream_app.sources.blocks import BLOCK_LINES, Block, block_of, numbered_topics
from stream_app.sources.blocks import Line as Line
from stream_app.sources.cleaning import Refusal
from stream_app.sources.inputs import InputFile as InputFile
from stream_app.sources.inputs import LoadingOptions as LoadingOptions
from stream_app.sources.preparing import Preparation, Prepared
from stream_app.sources.required import check_columns
from stream_app.sources.staging import Stage

_INSTANT_RECORDS_FEW: Final = 1.25
"""Records to an instant, on average, below which those of an instant are put in order in Python."""


class Loading:
    """Loads files; a context, since it holds files of its own.

    Parameters
    ----------
    files
        What is loaded, those of one source together.
    options
        What their mappings leave open.

    Raises
    ------
    ConfigurationError
        If a column that is needed is missing, or one of currencies is not mapped.
    """

    def __init__(self, files: Sequence[InputFile], options: LoadingOptions | None = None) -> None:
        self._files = files
        self._options = options or LoadingOptions()
        for file in files:
            check_columns(file)
        self._folder = Path(tempfile.mkdtemp(prefix="segmenter-", dir=self._options.folder))
        self._refusals = (self._folder / "refusals").open("w+b")
        self._connection = self._connect()
        self._stage = Stage(self._connection, self._folder, self._refuse, self._options.characters_max)
        self._preparation = Preparation(self._connection, self._stage, self._options)
        self.delivered = 0
        """Lines that have been yielded."""

    def __enter__(self) -> Loading:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was written on the way."""
        self._connection.close()
        self._refusals.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def rows(self) -> int:
        """Rows that the files have, as far as they have been looked at; groups of them become lines."""
        return self._stage.rows

    def lines(self) -> Iterator[Sequence[Line]]:
        """Yield all records as `blocks` does, each as a value."""
        for block in self.blocks():
            yield list(block.values())

    def blocks(self) -> Iterator[Block]:
        """Yield all records, block by block: broken rows, then those without a time, then the others by time.

        A block is valid until the next one is asked for.
        """
        selects: list[str] = []
        prepared: list[Prepared] = []
        for files in self._by_source():
            if files[0].contract:
                selects.append(self._contract_lines(files[0]))
            else:
                prepared += self._preparation.source(files)
        yield from self._refused()
        known = self._preparation.known_customers(prepared)
        has_few = sum(each.rows for each in prepared) < _INSTANT_RECORDS_FEW * sum(each.instants for each in prepared)
        by_text = bool(selects) or not has_few
        is_alone = len(prepared) == 1 and not known and not by_text
        for compiler, table, *_ in prepared:
            topic = numbered_topics().index(compiler.record.topic)
            customers = known if compiler.record.topic == "purchases" else ""
            lines = compiler.select(table, customers, in_order=is_alone)
            selects.append(f"SELECT {topic} AS topic, * FROM ({lines})")
        if selects:
            yield from self._ordered(" UNION ALL ".join(selects), by_text=by_text, in_order=is_alone)

    def _ordered(self, selects: str, *, by_text: bool, in_order: bool) -> Iterator[Block]:
        """Yield the records of a selection in their order."""
        columns = (
            f"SELECT coalesce(at_ms, {NO_TIME}) AS at_ms, topic::TINYINT AS topic, file::SMALLINT AS file, "
            "row::BIGINT AS row, is_hashed::TINYINT AS is_hashed, line, coalesce(fault, '') AS fault"
        )
        query = f"{columns} FROM ({selects})"
        if not by_text:
            rows = batches(self._connection, query if in_order else f"{query} ORDER BY {BY_TIME}")
            try:
                yield from self._counted(arranged(rows, by_text=False))
            except TooManyAtOnce:
                rows.close()
            else:
                return
        done = self.delivered
        for block in arranged(batches(self._connection, f"{query} ORDER BY {BY_TEXT}"), by_text=True):
            skipped = min(done, len(block))
            done -= skipped
            if skipped < len(block):
                yield from self._counted([block.part(skipped)])

    def _counted(self, blocks: Iterable[Block]) -> Iterator[Block]:
        for block in blocks:
            self.delivered += len(block)
            yield block

    # --- sources --------------------------------------------------------------------------------------------------

    def _by_source(self) -> list[list[InputFile]]:
        found: dict[str, list[InputFile]] = {}
        for file in self._files:
            found.setdefault(file.source_name or f"contract {file.number}", []).append(file)
        return list(found.values())

    def _contract_lines(self, file: InputFile) -> str:
        """Return the selection of lines that keep their contract already; those that are not JSON come first."""
        time_field = FILE_CONTRACTS[file.contract].time_field
        time = f"CASE WHEN json_valid(doc) THEN json_extract_string(doc, {sql.text('$.' + time_field)}) END"
        instant = times.instant_of("occurred", None)
        topic = numbered_topics().index(file.contract)
        return (
            f"SELECT {topic} AS topic, {instant} AS at_ms, doc AS line, NULL::VARCHAR AS fault, "
            f"false AS is_hashed, {file.number}::SMALLINT AS file, row "
            f"FROM (SELECT row, doc, {time} AS occurred FROM {self._stage.copy(file)})"
        )

    # --- DuckDB ---------------------------------------------------------------------------------------------------

    def _connect(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(str(self._folder / "rows.duckdb"))
        settings = {
            "memory_limit": f"{self._options.memory_bytes}B",
            "temp_directory": str(self._folder / "sorting"),
            "TimeZone": "UTC",
            "preserve_insertion_order": "false",
            "arrow_large_buffer_size": "true",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "enable_progress_bar": "false",  # where Python is interactive, it would be printed among the results
        }
        if self._options.threads is not None:
            settings["threads"] = str(self._options.threads)
        for name, value in settings.items():
            connection.execute(f"SET {name} = {sql.text(value)}")
        return connection

    # --- what is refused ------------------------------------------------------------------------------------------

    def _refuse(self, file: int, refusal: Refusal) -> None:
        error = refusal.error
        told = (
            file,
            refusal.row,
            error.reason,
            error.field,
            str(error),
            refusal.payload,
        )
        pickle.dump(told, self._refusals)

    def _refused(self) -> Iterator[Block]:
        """Yield the broken rows, by file and row."""
        self._refusals.seek(0)
        topics = {file.number: file.topics[0] for file in self._files}
        block: list[Line] = []
        while True:
            try:
                file, row, reason, name, message, payload = pickle.load(self._refusals)  # we have written it
            except EOFError:
                break
            text = payload.decode("utf-8", "surrogateescape")
            block.append(Line(topics[file], text, InvalidRecord(reason, name, message), file, row))
            if len(block) == BLOCK_LINES:
                yield _ordered(block)
                block = []
        if block:
            yield _ordered(block)


def _ordered(lines: Sequence[Line]) -> Block:
    return block_of(sorted(lines, key=lambda line: (line.file, line.row)))
