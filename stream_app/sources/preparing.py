"""Sources as tables of rows, each with what writes its records; facts about all rows are found here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import duckdb

from stream_app.errors import ConfigurationError
from stream_app.sources import amounts, sql, times
from stream_app.sources.compiling import RecordCompiler
from stream_app.sources.fields import Column, Terms
from stream_app.sources.inputs import InputFile, LoadingOptions
from stream_app.sources.mapping import FieldMapping, JoinedFile, RecordMapping, Source
from stream_app.sources.staging import Stage

_DECIMAL_SIGNS: Final[Mapping[str, amounts.Sign]] = {"point": ".", "comma": ","}


class Prepared(NamedTuple):
    """One record of a source.

    Attributes
    ----------
    compiler
        Writes it.
    table
        Of its rows.
    rows
        How many they are.
    instants
        About how many different times they have.
    may_lack_customers
        Whether one of them seems to name no customer.
    """

    compiler: RecordCompiler
    table: str
    rows: int
    instants: int
    may_lack_customers: bool


class _Found(NamedTuple):
    """What a look at all rows of a table found.

    Attributes
    ----------
    is_ambiguous
        Whether a number can be read in two ways.
    rows
        How many there are.
    records
        Of each record, about how many times it has, and whether it seems to lack customers.
    """

    is_ambiguous: bool
    rows: int
    records: Sequence[tuple[int, bool]]


class Preparation:
    """Prepares sources.

    Parameters
    ----------
    connection
        To the database.
    stage
        Fills its tables.
    options
        What mappings leave open.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, stage: Stage, options: LoadingOptions) -> None:
        self._connection = connection
        self._stage = stage
        self._options = options
        self._tables = 0

    def source(self, files: Sequence[InputFile]) -> Iterator[Prepared]:
        """Yield the records of a source.

        Parameters
        ----------
        files
            Its own.

        Raises
        ------
        ConfigurationError
            If a file that it needs beside them is missing.
        """
        source = files[0].mapping
        own = [file for file in files if not file.join]
        if not own:
            names = ", ".join(file.name for file in files)
            raise ConfigurationError(
                f"{names}: belongs to a file of {files[0].source_name} that is not named; name it, too"
            )
        for each in dict.fromkeys(record.each or "" for record in source.records):
            records = [self._with_currency(record) for record in source.records if (record.each or "") == each]
            yield from self._records(records, own, each, files)

    def _records(
        self, records: Sequence[RecordMapping], own: Sequence[InputFile], each: str, files: Sequence[InputFile]
    ) -> Iterator[Prepared]:
        """Yield records that are made of the same rows."""
        source, name = files[0].mapping, files[0].source_name
        terms = Terms(source.timezone or self._options.zone, None, self._options.placeholders, self._options.traits)
        wanted = dict.fromkeys(name for record in records for name in _columns_of(record))
        direct = [name for name in wanted if not _is_joined(name, source)]
        keys = [key for name, join in source.joins.items() for key in join.on if _is_used(name, wanted)]
        read = list(dict.fromkeys([*direct, *keys]))
        table = self._new_table()

        def made(columns: Mapping[str, Column]) -> list[RecordCompiler]:
            return [RecordCompiler(record, name, columns, terms) for record in records]

        if not each and not keys and _is_read_once(records, own):
            columns, answers = self._stage.view(table, own, read, lambda columns: _asked(made(columns)))
        else:
            whole = any(record.group_by and record.repeated_rows == "drop" for record in records)
            columns = self._stage.fill(table, own, read, each, whole=whole)
            table, columns = self._joined(table, columns, wanted, files)
            answers = self._stage.look(table, _asked(made(columns)))
        found = _Found(bool(answers[0]), int(answers[1]), list(zip(answers[2::2], answers[3::2], strict=True)))
        decimal = self._decimal(source, table, made(columns), is_ambiguous=found.is_ambiguous)
        terms = replace(terms, decimal=decimal, formats=self._formats(table, made(columns)))
        for compiler, (instants, may_lack_customers) in zip(made(columns), found.records, strict=True):
            yield Prepared(compiler, table, found.rows, int(instants), bool(may_lack_customers))

    def known_customers(self, prepared: Sequence[Prepared]) -> str:
        """Return the table of orders whose customers refunds need; empty if none does."""
        purchases = [each for each in prepared if each.compiler.record.topic == "purchases"]
        if not any(each.may_lack_customers for each in purchases):
            return ""
        orders = [
            each.compiler.customers(each.table) for each in purchases if "order_id" in each.compiler.record.fields
        ]
        if not orders:
            return ""
        every = " UNION ALL ".join(orders)
        needed = f"SELECT order_id FROM ({every}) WHERE customer_id IS NULL AND order_id IS NOT NULL"
        if self._connection.execute(f"SELECT 1 FROM ({needed}) LIMIT 1").fetchone() is None:
            return ""
        table = self._new_table()
        self._connection.execute(
            f"CREATE TEMP TABLE {table} AS SELECT order_id, min(customer_id) AS customer_id FROM ({every}) "
            f"WHERE customer_id IS NOT NULL AND order_id IN ({needed}) GROUP BY order_id"
        )
        return table

    # --- what mappings leave open -----------------------------------------------------------------------------------

    def _with_currency(self, record: RecordMapping) -> RecordMapping:
        """Return a mapping whose orders are in the base currency, if it says nothing of currencies."""
        if record.topic != "purchases" or "currency" in record.fields:
            return record
        currency = FieldMapping(constant=self._options.base_currency)
        return record.model_copy(update={"fields": {**record.fields, "currency": currency}})

    def _decimal(
        self, source: Source, table: str, compilers: Sequence[RecordCompiler], *, is_ambiguous: bool
    ) -> amounts.Sign | None:
        if source.locale is not None:
            return source.locale.decimal
        if self._options.locale is not None:
            return _DECIMAL_SIGNS[self._options.locale]
        cells = _numbers(compilers)
        if not cells or not is_ambiguous:
            return None
        found: amounts.Sign | None = self._stage.look(table, [amounts.evidence(cells)])[0]
        return found

    def _formats(
        self, table: str, compilers: Sequence[RecordCompiler]
    ) -> dict[tuple[str, tuple[str, ...]], tuple[str, ...]]:
        """Return in what order forms of times are tried: 13/1/2010 decides how 12/1/2010 beside it is read."""
        found = {}
        for cell, formats in dict.fromkeys(each for compiler in compilers for each in compiler.formats_to_choose()):
            read = self._stage.look(table, [times.reads(cell, format_) for format_ in formats])
            ranked = sorted(zip(read, formats, strict=True), key=lambda pair: -pair[0])  # a draw keeps their order
            found[cell, formats] = tuple(format_ for _, format_ in ranked)
        return found

    # --- other files ------------------------------------------------------------------------------------------------

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
                f"CREATE TEMP TABLE {result} AS SELECT s.*, {', '.join(f'o.{each}' for each in taken.values())} "
                f"FROM {table} AS s LEFT JOIN ({grouped}) AS o ON {on}"
            )
            table = result
            for column, how in join.columns.items():
                columns[f"{name}.{column}"] = Column(taken[column], how == "list")
        return table, columns

    def _new_table(self) -> str:
        self._tables += 1
        return f"t{self._tables}"


def _is_read_once(records: Sequence[RecordMapping], files: Sequence[InputFile]) -> bool:
    """Return whether rows are read once more after the first look, so that a table of them is not worth making.

    Documents are taken apart by every look, and frames have no numbers of rows.
    """
    if len(records) > 1 or records[0].group_by or any(file.frame is not None or file.look.is_json for file in files):
        return False
    return not any(mapping.format and len(mapping.format) > 1 for mapping in records[0].fields.values())


def _asked(compilers: Sequence[RecordCompiler]) -> list[str]:
    """Return what is asked of all rows, see `_Found`."""
    cells = [amounts.may_be_ambiguous(cell) for cell in _numbers(compilers)]
    of_records = [each for compiler in compilers for each in (compiler.instants(), compiler.may_lack_customers())]
    return [f"coalesce(bool_or({sql.either(cells)}), false)", "count(*)", *of_records]


def _numbers(compilers: Sequence[RecordCompiler]) -> list[str]:
    return list(dict.fromkeys(cell for compiler in compilers for cell in compiler.numbers_read()))


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
