"""Rows of a table (CSV) as records: cells are text, so numbers and times need reading before the models judge them.

Only the form is adapted here; the models alone say what is valid. A cell that cannot be adapted is left as it is, and
they refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Final, NamedTuple

_NUMBER: Final = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")
_NAIVE_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,32})?)?)?")


def _leave_as_it_is(_cells: dict[str, object]) -> None:
    pass


class TableForm(NamedTuple):
    """What a topic's records have of their own where they are rows of a table.

    Attributes
    ----------
    own_ids
        Fields that a table may lack: a row's place in its file identifies the event, and the event its order.
    numbers
        Fields whose cells are read as numbers.
    no_cells
        Fields that have no form in a cell, such as a list; their columns are ignored like unknown ones.
    adapt
        Changes a row's cells, all of them text as yet, from what tables write to what the contract says.
    others
        The field that is an object of all other columns' cells; empty if these are ignored.
    other_names
        What the keys of that object are like.
    """

    own_ids: tuple[str, ...] = ("event_id",)
    numbers: tuple[str, ...] = ()
    no_cells: tuple[str, ...] = ()
    adapt: Callable[[dict[str, object]], None] = _leave_as_it_is
    others: str = ""
    other_names: re.Pattern[str] | None = None


def record_of_row(
    row: Mapping[str, str | None],
    fields: Collection[str],
    form: TableForm,
    naive_zone: tzinfo | None,
    time_field: str = "occurred_at",
    read_other: Callable[[str, str], object] = lambda _name, cell: cell,
) -> dict[str, object]:
    """Return the record that a row stands for.

    Empty cells are absent. What the cells of other columns are, `read_other` says by their name. Times without a zone,
    or without a time of day, are taken to be in `naive_zone`; where a wall time occurs twice, at the end of summer
    time, the first one counts.
    """
    record: dict[str, object] = {}
    for field in fields:
        cell = row.get(field)
        if cell and field not in form.no_cells and field != form.others and (text := cell.strip()):
            record[field] = text
    if form.others:
        cells = ((name, cell.strip()) for name, cell in row.items() if cell and name not in fields)
        if others := {name: read_other(name, cell) for name, cell in cells if cell}:
            record[form.others] = others
    form.adapt(record)
    for field in form.numbers:
        if isinstance(number := record.get(field), str) and _NUMBER.fullmatch(number):
            record[field] = Decimal(number)
    if naive_zone is not None and isinstance(at := record.get(time_field), str) and _NAIVE_TIME.fullmatch(at):
        record[time_field] = _in_zone(at, naive_zone)
    return record


def _in_zone(text: str, zone: tzinfo) -> datetime | str:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone)
    except ValueError:  # no such day or hour
        return text
