"""The rows of files as tables of text in DuckDB, each row with its file and its place there.

A table has the columns that a source's mappings read, as `c0`, `c1`, …, white space cut off, empty cells null. It is
temporary: DuckDB keeps it in the memory that it is given, and on disk beyond that. What is read once only, after a look
at all values, need not be a table: a view of it reads the file again, which costs less than to keep its rows.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import duckdb

from stream_app.errors import ConfigurationError, InvalidRecord
from stream_app.sources import sql
from stream_app.sources.cleaning import Cleaner, Refusal, numbered
from stream_app.sources.fields import Column
from stream_app.sources.forms import Look, open_unpacked
from stream_app.sources.inputs import InputFile as InputFile
from stream_app.sources.numbering import DOCUMENT_DELIMITER
from stream_app.sources.paths import read_name, read_path

ROW_CHARACTERS_MAX: Final = 1 << 20
"""Of a line that is passed on to its contract."""
_BYTES_PER_CHARACTER: Final = 4
_LINE_BYTES_MIN: Final = 2 << 20
"""DuckDB's own greatest size of a line; it allocates sixteen times as much."""
_ROW_NUMBER: Final = '"file_row_number"'
_NESTED: Final = ("STRUCT", "MAP", "[", "UNION", "JSON")
Refuse = Callable[[int, Refusal], None]


class Stage:
    """Fills tables with the rows of files.

    Parameters
    ----------
    connection
        To a database on disk.
    folder
        For copies of the files' text.
    refuse
        Called with every broken row and its file's number.
    characters_max
        Of one row.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, folder: Path, refuse: Refuse, characters_max: int
    ) -> None:
        self._connection = connection
        self._folder = folder
        self._refuse = refuse
        self._characters_max = characters_max
        self._relations: dict[int, str] = {}
        self._mended_files: set[int] = set()
        self.rows = 0

    def copy(self, file: InputFile) -> str:
        """Return what reads the JSON lines of a file as they are, as SQL: `row` and `doc`."""
        reader = self.documents(self._copied(file))
        self.rows += int(self.look(reader, ["count(*)"])[0])
        return reader

    def fill(
        self, table: str, files: Sequence[InputFile], wanted: Sequence[str], each: str, *, whole: bool
    ) -> dict[str, Column]:
        """Make a table of the rows of files; return where the wanted columns are in it.

        Parameters
        ----------
        table
            Its name.
        files
            Of one source.
        wanted
            Columns and paths.
        each
            Path to a list of which every element is a row; none if empty.
        whole
            Whether rows carry a digest of all that they say, as `whole`.
        """
        places, parts = self._parts(files, wanted, each, whole=whole)
        self._connection.execute(f"CREATE TEMP TABLE {table} AS {' UNION ALL '.join(parts)}")
        for file, part in zip(files, parts, strict=True):
            if (again := self._mended(file, part)) is not None:
                self._connection.execute(f"INSERT INTO {table} {again}")
                self._drop_rejects(file)
        self.rows += int(self.look(table, ["count(*)"])[0])
        return places

    def view(
        self,
        table: str,
        files: Sequence[InputFile],
        wanted: Sequence[str],
        asked: Callable[[dict[str, Column]], list[str]],
    ) -> tuple[dict[str, Column], list[Any]]:
        """Do as `fill`, but leave the rows where they are; return what is asked of all of them, too, as `look` does.

        Aggregates see cells with the white space around them, as cutting it off takes a third of the time.
        """
        places, parts = self._parts(files, wanted, "", whole=False)
        _, whole_cells = self._parts(files, wanted, "", whole=False, is_trimmed=False)
        questions = ["count(*)", *asked(places)]
        count, *found = self.look(f"({' UNION ALL '.join(whole_cells)})", questions)
        if sum(map(self._has_rejects, files)):  # to leave them out again would leave out others, too
            places = self.fill(table, files, wanted, each="", whole=False)
            return places, self.look(table, asked(places))
        every = " UNION ALL ".join(parts)
        for file in files:
            every = every.replace(_keeping_rejects(file), "ignore_errors = false")
        self._connection.execute(f"CREATE TEMP VIEW {table} AS {every}")
        self.rows += int(count)
        return places, found

    def _has_rejects(self, file: InputFile) -> bool:
        """Return whether DuckDB could not cut a row of a file into cells, and forget these."""
        if file.look.form == "parquet":
            return False
        count = int(self.look(f"rejects{file.number}", ["count(*)"])[0])
        self._drop_rejects(file)
        return count > 0

    def look(self, table: str, asked: Sequence[str]) -> list[Any]:
        """Return what aggregates make of a table's rows."""
        return list(self._connection.execute(f"SELECT {', '.join(asked)} FROM {table}").fetchall()[0])

    def _parts(
        self, files: Sequence[InputFile], wanted: Sequence[str], each: str, *, whole: bool, is_trimmed: bool = True
    ) -> tuple[dict[str, Column], list[str]]:
        """Return where the wanted columns are, and what reads the rows of each file, as SQL."""
        places: dict[str, Column] = {}
        parts = []
        for file in files:
            relation, row, typed = self._relation(file)
            cells = []
            for number, name in enumerate(wanted):
                read, is_list = self._read(file, name, each, typed)
                known = places.get(name)
                is_list = is_list or (known is not None and known.is_list)
                places[name] = Column(f"c{number}", is_list)
                cells.append(f"{sql.trimmed(read) if is_trimmed and not is_list else read} AS c{number}")
            if whole:
                cells.append(f"{self._digest(file, typed)} AS whole")
            rows = relation
            if each:
                elements = f"json_extract({_document(file, each, typed)}, {sql.text(_list_path(file, each))})"
                rows = f"(SELECT *, unnest({elements}) AS element FROM {relation})"
            selected = ", ".join([f"{file.number}::SMALLINT AS file", f"{row} AS row", *cells])
            parts.append(f"SELECT {selected} FROM {rows}")
        return places, parts

    # --- one file -------------------------------------------------------------------------------------------------

    def _relation(self, file: InputFile) -> tuple[str, str, Mapping[str, str]]:
        """Return what reads a file, as SQL, its rows' numbers, and the columns' types or places."""
        if file.frame is not None:
            self._connection.register(f"frame{file.number}", file.frame)
            return (
                f"(SELECT row_number() OVER () AS file_row_number, * FROM frame{file.number})",
                "file_row_number",
                self._types(f"frame{file.number}"),
            )
        if file.look.form == "parquet":
            path = self._unpacked(file)
            relation = f"read_parquet({sql.text(str(path))}, file_row_number = true, binary_as_string = true)"
            return relation, "file_row_number + 1", self._types(relation)
        if file.number not in self._relations:
            self._relations[file.number] = self._clean(file)
        return self._relations[file.number], "row", {}

    def _types(self, relation: str) -> dict[str, str]:
        described = self._connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
        return {str(name): str(type_) for name, type_, *_ in described}

    def _unpacked(self, file: InputFile) -> Path:
        if not file.look.packing:
            return file.look.path
        path = self._folder / f"unpacked{file.number}"
        if not path.exists():
            with open_unpacked(file.look) as packed, path.open("wb") as out:
                shutil.copyfileobj(packed, out)
        return path

    def _clean(self, file: InputFile) -> str:
        """Copy a file's text, clean; return what reads it, as SQL."""
        path = self._copied(file)
        if not file.look.is_json:
            return self._reader(file, path)
        reader = self.documents(path)
        is_object = "CASE WHEN json_valid(doc) THEN json_type(doc) = 'OBJECT' ELSE false END"
        broken = self._connection.execute(f"SELECT row, doc FROM {reader} WHERE NOT {is_object}")
        while rows := broken.fetchmany(1024):
            for row, document in rows:
                error = InvalidRecord("malformed", "$", "$: not a JSON object, expected one")
                self._refuse(file.number, Refusal(row, error, (document or "").encode()))
        return f"(SELECT * FROM {reader} WHERE {is_object})"

    def _copied(self, file: InputFile) -> Path:
        path = self._folder / f"rows{file.number}.csv"
        longest = self._characters_max if not file.contract else ROW_CHARACTERS_MAX  # the contract judges its own
        cleaner = Cleaner(file.look, lambda refusal: self._refuse(file.number, refusal), longest)
        with open_unpacked(file.look) as packed, path.open("wb") as out:
            cleaner.copy(packed, out)
        return path

    def documents(self, path: Path) -> str:
        """Return what reads the clean copy of JSON lines, as SQL: `row` and `doc`."""
        return (
            f"read_csv({sql.text(str(path))}, auto_detect = false, header = false, quote = '', escape = '', "
            f"delim = {sql.text(DOCUMENT_DELIMITER)}, columns = {{'row': 'BIGINT', 'doc': 'VARCHAR'}}, "
            f"max_line_size = {_BYTES_PER_CHARACTER * (ROW_CHARACTERS_MAX + 32)})"
        )

    def _reader(self, file: InputFile, path: Path) -> str:
        longest = max(2 * _BYTES_PER_CHARACTER * self._characters_max, _LINE_BYTES_MIN)
        columns = ", ".join(f"'k{number}': 'VARCHAR'" for number in range(len(file.look.columns)))
        return (
            f"read_csv({sql.text(str(path))}, auto_detect = false, header = false, quote = '\"', escape = '\"', "
            f"delim = {sql.text(file.look.delimiter)}, columns = {{'row': 'BIGINT', {columns}}}, "
            f"max_line_size = {longest}, {_keeping_rejects(file)})"
        )

    def _mended(self, file: InputFile, select: str) -> str | None:
        """Read again, by Python's parser, what DuckDB could not cut into cells; refuse what that cannot cut either.

        Returns
        -------
        What reads the rows that it could cut, as SQL; None if there are none.
        """
        if file.look.is_json or file.frame is not None or file.look.form == "parquet":
            return None
        lines = self._connection.execute(f"SELECT DISTINCT csv_line FROM rejects{file.number}").fetchall()
        self._drop_rejects(file)
        is_first = file.number not in self._mended_files
        self._mended_files.add(file.number)
        mended: list[str] = []
        for (line,) in sorted(lines):
            number, _, row = str(line).strip("\n").partition(file.look.delimiter)
            mended += self._mend_row(file, int(number.strip('"')), row, is_first=is_first)
        if not mended:
            return None
        path = self._folder / f"mended{file.number}.csv"
        path.write_text("".join(mended), "utf-8")
        return select.replace(sql.text(str(self._folder / f"rows{file.number}.csv")), sql.text(str(path)))

    def _drop_rejects(self, file: InputFile) -> None:
        self._connection.execute(f"DROP TABLE rejects{file.number}; DROP TABLE scans{file.number}")

    def _mend_row(self, file: InputFile, number: int, row: str, *, is_first: bool) -> list[str]:
        count = len(file.look.columns)
        try:
            cells = next(csv.reader(row.splitlines(keepends=True), delimiter=file.look.delimiter, strict=True), [])
            fault = f"{len(cells)} cells, expected {count} as in the header"
        except csv.Error as error:
            cells, fault = [], f"not a CSV row ({error}), expected {count} cells"
        if len(cells) == count:
            return [numbered(number, cells, file.look.delimiter)]
        if is_first:
            self._refuse(file.number, Refusal(number, InvalidRecord("malformed", "$", f"$: {fault}"), row.encode()))
        return []

    # --- columns --------------------------------------------------------------------------------------------------

    def _read(self, file: InputFile, name: str, each: str, typed: Mapping[str, str]) -> tuple[str, bool]:
        if each and name.startswith(each + "."):
            return _with_kind(read_path("element", name[len(each) + 1 :]), name)
        if file.look.is_json:
            return read_name(name, file.look.columns, is_json=True)
        if typed:
            read, is_list = read_name(name, typed, is_json=False)
            if name in typed:
                return (f"to_json({read})::VARCHAR" if _is_nested(typed[name]) else f"{read}::VARCHAR"), False
            first = name.partition(".")[0].partition("[")[0]
            return read.replace(sql.name(first), f"to_json({sql.name(first)})", 1), is_list
        return self._cell(file, name)

    def _cell(self, file: InputFile, name: str) -> tuple[str, bool]:
        """Return a column of a table as text, or a place in the JSON that its cells hold."""
        titles = file.look.columns
        read, is_list = read_name(name, titles, is_json=False)
        title = name if name in titles else name.partition(".")[0].partition("[")[0]
        if title not in titles:
            return "NULL::VARCHAR", False
        if titles.count(title) > 1:
            raise ConfigurationError(f"{file.name}: column {title!r} is twice in the header, expected once")
        place = f"k{titles.index(title)}"
        if title == name:
            return place, False
        return read.replace(sql.name(title), f"CASE WHEN json_valid({place}) THEN {place} END", 1), is_list

    def _digest(self, file: InputFile, typed: Mapping[str, str]) -> str:
        if file.look.is_json:
            return "md5(doc)"
        names = [sql.name(name) for name in typed] or [f"k{number}" for number in range(len(file.look.columns))]
        cells = ", ".join(f"coalesce({name}::VARCHAR, {sql.text(chr(30))})" for name in names if name != _ROW_NUMBER)
        return f"md5(concat_ws({sql.text(chr(31))}, {cells}))"


def _keeping_rejects(file: InputFile) -> str:
    return f"store_rejects = true, rejects_table = 'rejects{file.number}', rejects_scan = 'scans{file.number}'"


def _is_nested(type_: str) -> bool:
    return any(mark in type_ for mark in _NESTED)


def _with_kind(read: str, name: str) -> tuple[str, bool]:
    return read, "[*]" in name


def _document(file: InputFile, each: str, typed: Mapping[str, str]) -> str:
    if file.look.is_json:
        return "doc"
    first = each.partition(".")[0]
    if typed:
        return f"to_json({sql.name(first)})"
    place = f"k{file.look.columns.index(first)}" if first in file.look.columns else "NULL"
    return f"CASE WHEN json_valid({place}) THEN {place} END"


def _list_path(file: InputFile, each: str) -> str:
    steps = each.split(".") if file.look.is_json else each.split(".")[1:]
    return "$" + "".join(f'."{step}"' for step in steps) + "[*]"


def frame_look(frame: Any) -> Look:
    """Return what a table in memory is."""
    with duckdb.connect() as connection:
        connection.register("frame", frame)
        columns = [str(name) for name, *_ in connection.execute("DESCRIBE SELECT * FROM frame").fetchall()]
    return replace(Look(Path(), "parquet"), columns=tuple(columns))


def frame_rows(frame: Any, count: int) -> list[dict[str, str]]:
    """Return the first rows of a table in memory, as text."""
    with duckdb.connect() as connection:
        connection.register("frame", frame)
        result = connection.execute(f"SELECT * FROM frame LIMIT {count:d}")
        names = [str(name) for name, *_ in result.description or ()]
        return [
            {name: "" if cell is None else str(cell) for name, cell in zip(names, row, strict=True)}
            for row in result.fetchall()
        ]
