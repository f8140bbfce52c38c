"""Columns and paths of a mapping as SQL over the rows of a file.

A name is a column where the file has one of exactly that name, dots and brackets included. Else it is a path: names
joined by dots; `[0]` is an element of a list, `[*]` all of them, and `[key=page]` those whose `key` is `page`, of which
the first one counts. A path with `[*]` reads a list.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, NamedTuple

from stream_app.sources import sql

_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]|\[(\*)\]|\[([^=\[\]]+)=([^\[\]]*)\]")
_INDEX, _ALL, _KEY, _VALUE = 2, 3, 4, 5


class Path(NamedTuple):
    """A place in a document.

    Attributes
    ----------
    pieces
        JSON paths with tests between them: a piece, then `(key, value)` of the elements that count, a piece, …
    is_list
        Whether it reads a list.
    """

    pieces: tuple[str | tuple[str, str], ...]
    is_list: bool


def parse_path(path: str) -> Path:
    """Return the pieces of a path.

    Raises
    ------
    ValueError
        If it is not a path.
    """
    pieces: list[str | tuple[str, str]] = ["$"]
    at, is_list = 0, False
    while at < len(path):
        at += path[at] == "." and at > 0
        step = _STEP.match(path, at)
        if step is None:
            raise ValueError(
                f"{path!r}, expected a path such as customer.email, items[*].sku or params[key=page].value"
            )
        at = step.end()
        if step[1]:
            pieces[-1] = f"{pieces[-1]}.{_json_name(step[1])}"
        elif step[_INDEX]:
            pieces[-1] = f"{pieces[-1]}[{step[_INDEX]}]"
        elif step[_ALL]:
            pieces[-1], is_list = f"{pieces[-1]}[*]", True
        else:
            pieces[-1] = f"{pieces[-1]}[*]"
            pieces += [(step[_KEY], step[_VALUE]), "$"]
    return Path(tuple(pieces), is_list)


def read_path(document: str, path: str) -> str:
    """Return what a path reads in a document, as SQL: text or null; a list of texts if the path has `[*]`."""
    pieces, is_list = parse_path(path)
    found = document
    place = "$"
    for piece in pieces:
        if isinstance(piece, str):
            place = piece
        else:
            key, value = piece
            wanted = f"json_extract_string(e, {sql.text('$.' + _json_name(key))}) = {sql.text(value)}"
            found = f"list_filter(json_extract({found}, {sql.text(place)}), lambda e: {wanted})[1]"
    read = f"json_extract_string({found}, {sql.text(place)})"
    return f"list_filter({read}, lambda v: v IS NOT NULL)" if is_list else read


def read_name(column: str, columns: Collection[str], *, is_json: bool, document: str = "doc") -> tuple[str, bool]:
    """Return what a mapping's column reads of a row, as SQL, and whether that is a list.

    Parameters
    ----------
    column
        As the mapping has it.
    columns
        Of the file; of JSON, the names on the first level.
    is_json
        Whether rows are documents.
    document
        The column that holds the document.
    """
    if column in columns:
        if not is_json:
            return sql.name(column), False
        return f"json_extract_string({document}, {sql.text('$.' + _json_name(column))})", False
    if is_json:
        return read_path(document, column), parse_path(column).is_list
    first, rest = _first_of(column)
    if first not in columns:
        return "NULL", False
    return read_path(sql.name(first), rest), parse_path(rest).is_list


def is_known(column: str, columns: Collection[str], *, is_json: bool) -> bool:
    """Return whether a file can have what a mapping's column reads."""
    return column in columns or _first_of(column)[0] in columns or (is_json and not columns)


def _first_of(column: str) -> tuple[str, str]:
    step = re.match(r"[^.\[]+", column)
    return (column, "") if step is None else (step[0], column[step.end() :].removeprefix("."))


def _json_name(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
