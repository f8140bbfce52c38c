"""CSV as rows that know where they begin.

A broken row costs one record. Python's reader alone would let a quote that is never closed swallow the rows that
follow, up to 128 KB of them; here only its first line is given up, and reading resumes at the next.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from stream_app.contracts.inputs.contract import InputContract
from stream_app.contracts.inputs.table import INPUT_CONTRACTS
from stream_app.contracts.rows import TableForm
from stream_app.errors import ConfigurationError, InvalidRecord

_SHOWN_HEADER_CHARACTERS: Final = 300
_FIELDS_OF_ALL: Final = frozenset(field for contract in INPUT_CONTRACTS.values() for field in contract.fields)


class CsvRow(NamedTuple):
    """A row of the file.

    Attributes
    ----------
    line
        Number of its first line, from 1.
    text
        All of it; bytes that are no UTF-8 as surrogates.
    cells
        None if it is broken.
    fault
        Why it is broken, else empty.
    """

    line: int
    text: str
    cells: list[str] | None
    fault: str = ""

    @property
    def payload(self) -> bytes:
        """The row's bytes, without the line's end."""
        return self.text.rstrip("\r\n").encode("utf-8", "surrogateescape")


class _Lines:
    """A file's lines, as the parser asks for them; all but a broken row's first can be given back."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.taken: list[str] = []
        self._unread = iter(lines)
        self._given_back: deque[str] = deque()

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._given_back.popleft() if self._given_back else next(self._unread)
        self.taken.append(line)
        return line

    def give_back_all_but_first(self) -> None:
        self._given_back.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def read_rows(lines: Iterable[str]) -> Iterator[CsvRow]:
    """Yield the rows of a CSV file, header included, blank lines left out.

    Parameters
    ----------
    lines
        With their ends; what it raises goes through.
    """
    source = _Lines(lines)
    parser = csv.reader(source, strict=True)
    line = 1
    while True:
        source.taken.clear()
        cells, fault = None, ""
        try:
            cells = next(parser, None)
        except csv.Error as error:
            source.give_back_all_but_first()
            fault = str(error)
        if not source.taken:
            return
        if cells or fault:
            yield CsvRow(line, "".join(source.taken), cells, fault)
        line += len(source.taken)


class Columns:
    """Which columns of a table hold the contract's fields.

    Parameters
    ----------
    name
        Of the file, for messages.
    contract
        Of the file's topic.
    header
        The first row, None for an empty file.
    columns
        Contract field → header, for headers that are named otherwise; other topics' fields are ignored. Where all other
        columns belong to the record, such as traits, these may be named, too.
    constants
        Contract field → value, for fields that the file lacks.

    Raises
    ------
    ConfigurationError
        If a column that was asked for, or that the contract requires, is not there, or is there twice.
    """

    def __init__(
        self,
        name: str,
        contract: InputContract,
        header: CsvRow | None,
        columns: Mapping[str, str],
        constants: Mapping[str, str],
    ) -> None:
        form = contract.table_form
        self._name = name
        own_fields = [field for field in contract.fields if field != form.others]
        if form.others:
            own_fields += [name for name in {**columns, **constants} if name not in _FIELDS_OF_ALL]
        self._constants = {field: value for field, value in constants.items() if field in own_fields}
        self._own_ids = form.own_ids
        self._place: dict[str, int] = {}
        self._count = 0
        if header is None:
            return
        if header.cells is None:
            raise ConfigurationError(
                f"{name}: the first line is not a CSV header ({header.fault}); name the columns there"
            )
        titles = [title.strip() for title in header.cells]
        self._count = len(titles)
        wanted = {field: field for field in own_fields if field in titles and field not in columns.values()}
        wanted |= {field: title for field, title in columns.items() if field in own_fields}
        if form.others:
            wanted |= self._others(titles, {*wanted.values()}, form)
        for field, title in wanted.items():
            if titles.count(title) != 1:
                problem = "twice" if title in titles else "not"
                raise ConfigurationError(
                    f"{name}: column {title!r} (for {field}) is {problem} in the header, which is {_shown(titles)}; "
                    f"correct --column {field}=HEADER"
                )
            self._place[field] = titles.index(title)
        given = {*self._place, *self._constants, *self._own_ids}
        if given - {*contract.fields}:
            given.add(form.others)
        required = [field for field, info in contract.model.model_fields.items() if info.is_required()]
        missing = [field for field in required if field not in given]
        if missing:
            raise ConfigurationError(
                f"{name}: no column for {', '.join(missing)} in the header, which is {_shown(titles)}; "
                f"say where with --column {missing[0]}=HEADER, or give --constant {missing[0]}=VALUE"
            )

    def _others(self, titles: Sequence[str], taken: Collection[str], form: TableForm) -> dict[str, str]:
        """Return the columns that are no field's, by their own titles, which must do as names."""
        others = [title for title in titles if title not in taken]
        for title in others:
            if form.other_names is not None and not form.other_names.fullmatch(title):
                raise ConfigurationError(
                    f"{self._name}: column {title!r} has no name for one of {form.others}, expected one such as "
                    f"company_size; name it with --column NAME={title!r}, or leave the column out"
                )
        return {title: title for title in others}

    def fields_of(self, row: CsvRow) -> dict[str, str | None]:
        """Return a row's cells by the contract's fields.

        Raises
        ------
        InvalidRecord
            If the row is broken, or has more or fewer cells than the header.
        """
        if row.cells is None:
            raise InvalidRecord("malformed", "$", f"$: not a CSV row ({row.fault}), expected {self._count} cells")
        if len(row.cells) != self._count:
            raise InvalidRecord("malformed", "$", f"$: {len(row.cells)} cells, expected {self._count} as in the header")
        fields: dict[str, str | None] = dict(self._constants)
        for field, column in self._place.items():
            fields[field] = row.cells[column]
        place: str | None = f"{self._name}:{row.line}"
        for field in self._own_ids:  # the event's first: without an id of its own, an order has that of its event
            place = fields.setdefault(field, place)
        return fields


def _shown(titles: Sequence[str]) -> str:
    text = ", ".join(titles)
    return text if len(text) <= _SHOWN_HEADER_CHARACTERS else text[:_SHOWN_HEADER_CHARACTERS] + "…"
