"""Files of any form and order as lines of JSON that keep our contracts, in order of time.

Rows are staged as text, mappings are compiled to SQL over them, and one query writes, joins and sorts all lines; DuckDB
keeps within the memory that it is given and sorts on disk beyond it. The order is time, then topic, then the line
itself, so that any order of a file's rows gives the same stream. What cannot be read comes first.
"""

from __future__ import annotations

import pickle
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

import duckdb

from stream_app.contracts.inputs.table import FILE_CONTRACTS
from stream_app.errors import ConfigurationError, InvalidRecord
from stream_app.sources import amounts, sql, times
from stream_app.sources.cleaning import Refusal
from stream_app.sources.compiling import Column, RecordCompiler, Terms
from stream_app.sources.generic import shown
from stream_app.sources.inputs import InputFile as InputFile
from stream_app.sources.inputs import LoadingOptions as LoadingOptions
from stream_app.sources.mapping import FieldMapping, JoinedFile, RecordMapping, Source
from stream_app.sources.paths import is_known
from stream_app.sources.staging import Stage

BLOCK_LINES: Final = 8192
_DECIMAL_SIGNS: Final[Mapping[str, amounts.Sign]] = {"point": ".", "comma": ","}
_CURRENCY_COLUMN: Final = re.compile(
    r"(.*[^a-z])?(currency|curr|währung|waehrung|devise|moneda|valuta)([^a-z]?(code|iso|iso_code))?", re.IGNORECASE
)


class Line(NamedTuple):
    """One record.

    Attributes
    ----------
    topic
        Whose contract it keeps.
    text
        JSON.
    error
        Why it is refused already; None if the contract has to say.
    file, row
        Number of its file, and of its row there.
    """

    topic: str
    text: str
    error: InvalidRecord | None
    file: int
    row: int


class Block(NamedTuple):
    """Several records, as lists of what `Line` has of each."""

    topics: list[str]
    texts: list[str]
    errors: list[InvalidRecord | None]
    files: list[int]
    rows: list[int]


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
            _check_columns(file)
        self._folder = Path(tempfile.mkdtemp(prefix="segmenter-", dir=self._options.folder))
        self._refusals = (self._folder / "refusals").open("w+b")
        self._connection = self._connect()
        self._stage = Stage(self._connection, self._folder, self._refuse, self._options.characters_max)
        self._tables = 0
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
            yield [Line(*record) for record in zip(*block, strict=True)]

    def blocks(self) -> Iterator[Block]:
        """Yield all records, block by block: broken rows, then those without a time, then the others by time."""
        selects: list[str] = []
        compilers: list[tuple[RecordCompiler, str]] = []
        for files in self._by_source():
            if files[0].contract:
                selects.append(self._contract_lines(files[0]))
            else:
                compilers += self._source(files)
        known = self._known_customers(compilers)
        for compiler, table in compilers:
            topic = list(FILE_CONTRACTS).index(compiler.record.topic)
            customers = known if compiler.record.topic == "purchases" else ""
            selects.append(f"SELECT {topic} AS topic, * FROM ({compiler.select(table, customers)})")
        self._connection.execute("CHECKPOINT")
        yield from self._refused()
        if not selects:
            return
        numbered = " UNION ALL ".join(selects)
        result = self._connection.execute(
            f"SELECT topic, line, fault, is_hashed, file, row FROM ({numbered}) "
            "ORDER BY at_ms NULLS FIRST, topic, line, file, row"
        )
        names = list(FILE_CONTRACTS)
        last: tuple[str, int] | None = None
        count = 0
        while rows := result.fetchmany(BLOCK_LINES):
            topics, lines, faults, hashed, numbers, places = (list(column) for column in zip(*rows, strict=True))
            if any(hashed):  # equal rows follow one another
                for at, told in enumerate(zip(lines, numbers, strict=True)):
                    count = count + 1 if hashed[at] and told == last else 1
                    last = told
                    if count > 1:
                        lines[at] = _told_apart(told[0], count)
            self.delivered += len(rows)
            errors = [fault and InvalidRecord(*fault.split("\t", 2)) for fault in faults]
            yield Block([names[topic] for topic in topics], lines, errors, numbers, places)

    # --- sources --------------------------------------------------------------------------------------------------

    def _by_source(self) -> list[list[InputFile]]:
        found: dict[str, list[InputFile]] = {}
        for file in self._files:
            found.setdefault(file.source_name or f"contract {file.number}", []).append(file)
        return list(found.values())

    def _source(self, files: Sequence[InputFile]) -> list[tuple[RecordCompiler, str]]:
        """Stage a source's files; return what writes its records, each with the table of its rows."""
        source = files[0].mapping
        own = [file for file in files if not file.join]
        if not own:
            names = ", ".join(file.name for file in files)
            raise ConfigurationError(
                f"{names}: belongs to a file of {files[0].source_name} that is not named; name it, too"
            )
        compilers = []
        for each in dict.fromkeys(record.each or "" for record in source.records):
            records = [self._with_currency(record) for record in source.records if (record.each or "") == each]
            wanted = dict.fromkeys(name for record in records for name in _columns_of(record))
            direct = [name for name in wanted if not _is_joined(name, source)]
            keys = [key for name, join in source.joins.items() for key in join.on if _is_used(name, wanted)]
            whole = any(record.group_by and record.repeated_rows == "drop" for record in records)
            table = self._new_table()
            columns = self._stage.fill(table, own, list(dict.fromkeys([*direct, *keys])), each, whole=whole)
            table, columns = self._joined(table, columns, wanted, files)
            terms = self._terms(source)
            made = [RecordCompiler(record, files[0].source_name, columns, terms) for record in records]
            decimal = self._decimal(source, table, made)
            terms = replace(terms, decimal=decimal, formats=self._formats(table, made))
            compilers += [(RecordCompiler(record, files[0].source_name, columns, terms), table) for record in records]
        return compilers

    def _contract_lines(self, file: InputFile) -> str:
        """Return the selection of lines that keep their contract already; those that are no JSON come first."""
        time_field = FILE_CONTRACTS[file.contract].time_field
        time = f"CASE WHEN json_valid(doc) THEN json_extract_string(doc, {sql.text('$.' + time_field)}) END"
        instant = times.instant_of("occurred", None)
        topic = list(FILE_CONTRACTS).index(file.contract)
        return (
            f"SELECT {topic} AS topic, {instant} AS at_ms, doc AS line, NULL::VARCHAR AS fault, "
            f"false AS is_hashed, {file.number}::SMALLINT AS file, row "
            f"FROM (SELECT row, doc, {time} AS occurred FROM {self._stage.copy(file)})"
        )

    def _with_currency(self, record: RecordMapping) -> RecordMapping:
        """Return a mapping whose orders are in the base currency, if it says nothing of currencies."""
        if record.topic != "purchases" or "currency" in record.fields:
            return record
        currency = FieldMapping(constant=self._options.base_currency)
        return record.model_copy(update={"fields": {**record.fields, "currency": currency}})

    def _terms(self, source: Source) -> Terms:
        options = self._options
        return Terms(source.timezone or options.zone, None, options.placeholders, options.traits)

    def _decimal(self, source: Source, table: str, compilers: Sequence[RecordCompiler]) -> amounts.Sign | None:
        if source.locale is not None:
            return source.locale.decimal
        if self._options.locale is not None:
            return _DECIMAL_SIGNS[self._options.locale]
        cells = list(dict.fromkeys(cell for compiler in compilers for cell in compiler.numbers_read()))
        if not cells:
            return None
        ambiguous = sql.either(amounts.may_be_ambiguous(cell) for cell in cells)
        if self._connection.execute(f"SELECT 1 FROM {table} WHERE {ambiguous} LIMIT 1").fetchone() is None:
            return None  # nothing needs it
        found = self._connection.execute(f"SELECT {amounts.evidence(cells)} FROM {table}").fetchone()
        return found[0] if found else None

    def _formats(
        self, table: str, compilers: Sequence[RecordCompiler]
    ) -> dict[tuple[str, tuple[str, ...]], tuple[str, ...]]:
        """Return in what order forms of times are tried: 12/1/2010 alone does not say what 13/1/2010 beside it does."""
        found = {}
        for cell, formats in dict.fromkeys(each for compiler in compilers for each in compiler.formats_to_choose()):
            counts = ", ".join(times.reads(cell, format_) for format_ in formats)
            read = self._connection.execute(f"SELECT {counts} FROM {table}").fetchone() or ()
            ranked = sorted(zip(read, formats, strict=True), key=lambda pair: -pair[0])  # a draw keeps their order
            found[cell, formats] = tuple(format_ for _, format_ in ranked)
        return found

    def _known_customers(self, compilers: Sequence[tuple[RecordCompiler, str]]) -> str:
        """Return the table of orders whose customers refunds need; empty if none does."""
        orders = [
            compiler.customers(table)
            for compiler, table in compilers
            if compiler.record.topic == "purchases" and "order_id" in compiler.record.fields
        ]
        if not orders:
            return ""
        every = " UNION ALL ".join(orders)
        needed = f"SELECT order_id FROM ({every}) WHERE customer_id IS NULL AND order_id IS NOT NULL"
        if self._connection.execute(f"SELECT 1 FROM ({needed}) LIMIT 1").fetchone() is None:
            return ""
        table = self._new_table()
        self._connection.execute(
            f"CREATE TABLE {table} AS SELECT order_id, min(customer_id) AS customer_id FROM ({every}) "
            f"WHERE customer_id IS NOT NULL AND order_id IN ({needed}) GROUP BY order_id"
        )
        return table

    def _joined(
        self, table: str, columns: Mapping[str, Column], wanted: Collection[str], files: Sequence[InputFile]
    ) -> tuple[str, dict[str, Column]]:
        """Add the columns of other files to a source's rows."""
        source = files[0].mapping
        columns = dict(columns)
        for name, join in source.joins.items():
            others = [file for file in files if file.join == name]
            if not _is_used(name, wanted):
                continue
            if not others:
                if join.required:
                    marks = _recognised_by(join)
                    raise ConfigurationError(f"{files[0].name}: needs the file of {name}, with {marks}; name it, too")
                continue
            other = self._new_table()
            names = list(dict.fromkeys([*join.on.values(), *join.columns]))
            theirs = self._stage.fill(other, others, names, "", whole=False)
            keys = {theirs[their].name: columns[our].name for our, their in join.on.items()}
            taken = {column: f"j{self._tables}_{number}" for number, column in enumerate(join.columns)}
            picked = ", ".join(
                f"{_aggregated(theirs[column].name, how)} AS {taken[column]}" for column, how in join.columns.items()
            )
            on = " AND ".join(f"s.{ours} = o.{their}" for their, ours in keys.items())
            grouped = f"SELECT {', '.join(keys)}, {picked} FROM {other} GROUP BY {', '.join(keys)}"
            result = self._new_table()
            self._connection.execute(
                f"CREATE TABLE {result} AS SELECT s.*, {', '.join(f'o.{each}' for each in taken.values())} "
                f"FROM {table} AS s LEFT JOIN ({grouped}) AS o ON {on}"
            )
            table = result
            for column, how in join.columns.items():
                columns[f"{name}.{column}"] = Column(taken[column], how == "list")
        return table, columns

    # --- DuckDB ---------------------------------------------------------------------------------------------------

    def _connect(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(str(self._folder / "rows.duckdb"))
        settings = {
            "memory_limit": f"{self._options.memory_bytes}B",
            "temp_directory": str(self._folder / "sorting"),
            "TimeZone": "UTC",
            "preserve_insertion_order": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "enable_progress_bar": "false",  # where Python is interactive, it would be printed among the results
        }
        if self._options.threads is not None:
            settings["threads"] = str(self._options.threads)
        for name, value in settings.items():
            connection.execute(f"SET {name} = {sql.text(value)}")
        return connection

    def _new_table(self) -> str:
        self._tables += 1
        return f"t{self._tables}"

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
                yield _block_of(block)
                block = []
        if block:
            yield _block_of(block)


def _block_of(lines: Sequence[Line]) -> Block:
    ordered = sorted(lines, key=lambda line: (line.file, line.row))
    return Block(*(list(column) for column in zip(*ordered, strict=True)))


def _told_apart(text: str, count: int) -> str:
    """Return a line that equals others of its file with the id of a record of its own."""
    event_id = text.partition('"event_id":"')[2].partition('"')[0]
    return text.replace(event_id, f"{event_id}:{count}")


def _columns_of(record: RecordMapping) -> list[str]:
    names = [name for mapping in record.fields.values() for name in mapping.columns]
    return [*names, *(record.where or {}), *(record.rows_where or {})]


def _is_joined(name: str, source: Source) -> bool:
    return name.partition(".")[0] in source.joins


def _is_used(join: str, wanted: Collection[str]) -> bool:
    return any(name.startswith(join + ".") for name in wanted)


def _aggregated(column: str, how: str) -> str:
    if how == "sum":
        return amounts.written(f"sum({amounts.number_of(column, '.')})")
    if how == "count":
        return "count(*)::VARCHAR"
    if how == "list":
        return f"list_sort(list({column}) FILTER ({column} IS NOT NULL))"
    return f"{'max' if how in ('last', 'max') else 'min'}({column})"


def _recognised_by(join: JoinedFile) -> str:
    return ", ".join(join.recognise.columns or join.recognise.paths or (join.recognise.name or "",))


def _check_required(file: InputFile, source: Source) -> None:
    """Refuse a table that has none of the columns of a field without which there is no record."""
    for record in source.records:
        needed = FILE_CONTRACTS[record.topic].model.model_fields
        for own, mapping in record.fields.items():
            columns = [column for column in mapping.columns if not _is_joined(column, source)]
            if own not in needed or not needed[own].is_required() or len(columns) < len(mapping.columns) or not columns:
                continue
            if not any(is_known(column, file.look.columns, is_json=False) for column in columns):
                names = " or ".join(map(repr, columns))
                raise ConfigurationError(
                    f"{file.name}: has no column {names} (for {own}), as files of {file.source_name} have; its columns "
                    f"are {shown(file.look.columns)}"
                )


def _check_columns(file: InputFile) -> None:
    """Refuse a file without the columns that its records cannot do without, or with currencies that nobody reads."""
    if file.contract or file.join or not file.look.columns:
        return
    source, titles = file.mapping, file.look.columns
    if not file.look.is_json:
        _check_required(file, source)
    read = {name for record in source.records for mapping in record.fields.values() for name in mapping.columns}
    if source.currency == "ignored" or "purchases" not in source.topics:
        return
    currencies = [record.fields.get("currency") for record in source.records if record.topic == "purchases"]
    if all(mapping is not None and (mapping.columns or mapping.template is not None) for mapping in currencies):
        return
    unread = [title for title in titles if _CURRENCY_COLUMN.fullmatch(title) and title not in read]
    if unread:
        raise ConfigurationError(
            f"{file.name}: column {unread[0]!r} seems to hold currencies and is not read; name it with "
            f"--column currency={unread[0]!r}, or say what it is with --constant currency=CODE ({shown(titles)})"
        )
