"""What a mapping asks of a file and does not find, in one line each."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import python_calamine

from stream_app.sources.forms import ROWS_LOOKED_AT, Look, open_unpacked
from stream_app.sources.mapping import FieldMapping, RecordMapping, Source
from stream_app.sources.paths import is_known

OF_ORDERS: Final = ("order_id", "currency", "items", "products")
"""Fields of purchases that may be missing, and are mentioned if they are."""


def missing(source: Source, look: Look, joined: Collection[str], base_currency: str) -> Sequence[str]:
    """Return what a file lacks of what its mapping reads, and the mapping of what a record can say.

    Parameters
    ----------
    source
        The mapping.
    look
        What the file is.
    joined
        Names of its joins whose files are there.
    base_currency
        Of orders that name none.
    """
    found: dict[str, None] = {}
    for record in source.records:
        found |= dict.fromkeys(_absent(record, source, look, joined))
    purchases = [record for record in source.records if record.topic == "purchases"]
    for name in OF_ORDERS:
        if purchases and not any(name in record.fields for record in purchases):
            found[f"{name}: {_without(name, base_currency)}"] = None
    return tuple(found)


def _absent(record: RecordMapping, source: Source, look: Look, joined: Collection[str]) -> Iterator[str]:
    what = record.title or record.topic
    for name, mapping in record.fields.items():
        absent = [column for column in mapping.columns if not _is_there(column, source, look, joined)]
        if not absent:
            continue
        joins = {column.partition(".")[0] for column in absent} & {*source.joins}
        if joins:
            join = sorted(joins)[0]
            marks = source.joins[join].recognise
            columns = ", ".join(marks.columns or marks.paths or (marks.name or "",))
            yield f"{name} ({what}): the file of {join} is not named, which has {columns}"
        elif mapping.first_of is None or len(absent) == len(mapping.columns):
            yield f"{name} ({what}): {_several(absent)} in the file{_instead(mapping)}"


def _is_there(column: str, source: Source, look: Look, joined: Collection[str]) -> bool:
    first = column.partition(".")[0]
    if first in source.joins:
        return first in joined
    return is_known(column, look.columns, is_json=look.is_json)


def _several(columns: Sequence[str]) -> str:
    names = ", ".join(map(repr, columns))
    return f"column {names} is not" if len(columns) == 1 else f"none of the columns {names} is"


def _instead(mapping: FieldMapping) -> str:
    return "" if mapping.otherwise is None else f", so it is {mapping.otherwise!r}"


def _without(name: str, base_currency: str) -> str:
    return {
        "order_id": "not read, so each row is an order of its own, and refunds cannot name it",
        "currency": f"not read, so amounts are in {base_currency}, the setting money.base_currency",
        "items": "not read, so how many things were bought is not known",
        "products": "not read, so what was bought is not known",
    }[name]


def rows_of(look: Look) -> tuple[Sequence[str], Sequence[Mapping[str, str]]]:
    """Return the columns of a file, of JSON the paths of its first documents, and some of its first rows."""
    if look.is_json:
        rows = [dict(_leaves(document)) for document in look.documents if isinstance(document, dict)]
        return list(dict.fromkeys(path for row in rows for path in row)), rows
    read = {"parquet": _rows_of_parquet, "xlsx": _rows_of_sheet}.get(look.form, _rows_of_text)
    cells = [["" if cell is None else str(cell) for cell in row] for row in read(look)]
    return look.columns, [dict(zip(look.columns, row, strict=False)) for row in cells]


def _rows_of_text(look: Look) -> Sequence[Sequence[Any]]:
    with open_unpacked(look) as file:
        file.read(look.mark_bytes)
        text = io.TextIOWrapper(file, look.encoding, "replace", newline="")
        lines = islice(text, look.skipped_lines + 1, look.skipped_lines + 1 + ROWS_LOOKED_AT)
        return list(csv.reader(lines, delimiter=look.delimiter))


def _rows_of_parquet(look: Look) -> Sequence[Sequence[Any]]:
    import duckdb  # here: looking at text needs none of it

    if look.packing:
        return []  # DuckDB reads it from its end; a guess goes by the columns alone
    with duckdb.connect() as connection:
        return connection.read_parquet(str(look.path)).limit(ROWS_LOOKED_AT).fetchall()


def _rows_of_sheet(look: Look) -> Sequence[Sequence[Any]]:
    with open_unpacked(look) as file:
        sheet = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(file.read())).get_sheet_by_name(look.sheet)
    rows = sheet.to_python(skip_empty_area=False, nrows=look.skipped_lines + 1 + ROWS_LOOKED_AT)
    return rows[look.skipped_lines + 1 :]


def _leaves(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the paths of a document that end in a value, with it; lists are left out."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        elif not isinstance(value, list):
            yield f"{prefix}{name}", "" if value is None else str(value)
