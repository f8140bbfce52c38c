"""What a mapping makes of the rows of a table, as SQL: lines of JSON that keep our contracts.

Three selections are nested. The first reads the fields of every row (`fields`). The second makes one row of
each group, if rows are grouped. The third writes lines (`lines`), and the reason where there is no line.

Nothing depends on the order of rows: of several values the smallest counts, sums are of decimals, lists are sorted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stream_app.contracts.inputs.purchases import ORDER_COMPLETED
from stream_app.contracts.inputs.table import FILE_CONTRACTS
from stream_app.sources import amounts, sql
from stream_app.sources.fields import LISTS, NUMBERS, TIMES, Column, FieldReader, Terms
from stream_app.sources.lines import LineWriter
from stream_app.sources.mapping import CellTest, RecordMapping

_SUMS: Final = {
    "first": "min",
    "last": "max",
    "min": "min",
    "max": "max",
    "sum": "sum",
    "count": "count",
    "list": "min",
}


class RecordCompiler:
    """Writes the selection of one record of a source.

    Parameters
    ----------
    record
        Its mapping.
    source_name
        What event ids begin with.
    columns
        Where the mapping's columns are in the table.
    terms
        What the mapping leaves open.
    """

    def __init__(self, record: RecordMapping, source_name: str, columns: Mapping[str, Column], terms: Terms) -> None:
        self.record = record
        self._fields = FieldReader(record, columns, terms)
        self._of = {
            name: self._fields.constant(name, mapping) or f"f{number}"
            for number, (name, mapping) in enumerate(record.fields.items())
        }
        self._lines = LineWriter(source_name, self._fields, self._of)
        self._time = FILE_CONTRACTS[record.topic].time_field

    def select(self, table: str, known_customers: str = "", *, in_order: bool = False) -> str:
        """Return the selection of lines: `at_ms, line, fault, is_hashed, file, row`.

        Parameters
        ----------
        table
            Of the rows, with `file` and `row`.
        known_customers
            Table of `order_id` and `customer_id`, for refunds that name an order alone; none if empty.
        in_order
            Whether they are in order of time: what lines are made of is half as long as they are, and sorted as fast
            again. Not together with `known_customers`.
        """
        grouped = self._grouped(self._rows(table))
        return self._lines.select(self._in_order(grouped) if in_order else grouped, known_customers)

    def customers(self, table: str) -> str:
        """Return the selection of `order_id` and `customer_id` of all records."""
        grouped = self._grouped(self._rows(table))
        order, customer = (self._of.get(name, "NULL") for name in ("order_id", "customer_id"))
        return f"SELECT {order} AS order_id, {customer} AS customer_id FROM ({grouped})"

    def may_lack_customers(self) -> str:
        """Return whether a row seems to name no customer, quickly, as SQL over all rows."""
        return f"coalesce(bool_or({self._fields.may_be_missing('customer_id')}), false)"

    def instants(self) -> str:
        """Return about how many different times rows have, as SQL over all rows; 0 where no cell has one."""
        mapping = self.record.fields.get(self._time)
        cells = [self._fields.cell(name) for name in mapping.columns] if mapping is not None else []
        return f"approx_count_distinct({sql.coalesce(cells)})" if cells else "0"

    def numbers_read(self) -> list[str]:
        """Return the table's columns that are read as numbers."""
        found = (name for own, mapping in self.record.fields.items() if own in NUMBERS for name in mapping.columns)
        columns = (self._fields.columns.get(name) for name in found)
        return [column.name for column in columns if column and not column.is_list]

    def formats_to_choose(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return the table's columns of times that may be written in one of several ways, with these."""
        return [
            (self._fields.cell(name), mapping.format)
            for mapping in self.record.fields.values()
            if mapping.format and len(mapping.format) > 1
            for name in mapping.columns
        ]

    # --- rows -----------------------------------------------------------------------------------------------------

    def _rows(self, table: str) -> str:
        selected = ["file", "row"]
        for own, mapping in self.record.fields.items():
            if self._fields.constant(own, mapping) is None:
                selected += self._fields.read(own, mapping, self._of[own])
        selected += [f"{column.name} AS w{number}" for number, column in enumerate(self._tested())]
        tests = self._tests(self.record.rows_where) + ([] if self.record.group_by else self._tests(self.record.where))
        return f"SELECT {', '.join(selected)} FROM {self._distinct(table)} WHERE {sql.both(tests)}"

    def _tests(self, tests: Mapping[str, CellTest] | None) -> list[str]:
        return [self._fields.test(self._fields.cell(name), test) for name, test in (tests or {}).items()]

    def _distinct(self, table: str) -> str:
        if not self.record.group_by or self.record.repeated_rows == "count":
            return table
        return f"(SELECT min(file) AS file, min(row) AS row, * EXCLUDE (file, row) FROM {table} GROUP BY ALL)"

    def _tested(self) -> list[Column]:
        if not self.record.group_by:
            return []
        return [self._fields.columns.get(name, Column("NULL::VARCHAR")) for name in self.record.where or {}]

    def _in_order(self, rows: str) -> str:
        """Return rows in order of time; the few values that could not be read share one narrow column."""
        read = [alias for own, alias in self._of.items() if own in (*TIMES, *NUMBERS)]
        raw = ", ".join(f"r{alias}" for alias in read)
        broken = sql.either(f"r{alias} IS NOT NULL" for alias in read)
        packed = f"SELECT * EXCLUDE ({raw}), CASE WHEN {broken} THEN [{raw}] END AS raw FROM ({rows})"
        unpacked = ", ".join(f"raw[{number}] AS r{alias}" for number, alias in enumerate(read, 1))
        return f"SELECT *, {unpacked} FROM ({packed} ORDER BY {self._of[self._time]} NULLS FIRST)"

    # --- groups ---------------------------------------------------------------------------------------------------

    def _grouped(self, rows: str) -> str:
        if not self.record.group_by:
            return rows
        keys = [self._of[name] for name in self.record.group_by]
        if "type" in self.record.group_by:  # of an order: returns at different times are different returns
            keys.append(f"CASE WHEN {self._of['type']} <> {sql.text(ORDER_COMPLETED)} THEN {self._of[self._time]} END")
        selected = ["min(file) AS file", "min(row) AS row"]
        for own, mapping in self.record.fields.items():
            alias = self._of[own]
            if own in self.record.group_by:
                selected.append(alias)
            elif own in LISTS:
                selected.append(f"list_sort(list_distinct(flatten(list({alias})))) AS {alias}")
            elif own in NUMBERS and mapping.aggregate == "count":
                selected += [f"count(*)::{amounts.DECIMAL} AS {alias}", f"NULL AS r{alias}"]
            else:
                selected.append(f"{_SUMS[mapping.aggregate]}({alias}) AS {alias}")
                selected += [f"min(r{alias}) AS r{alias}"] if own in (*TIMES, *NUMBERS) else []
        wanted = enumerate((self.record.where or {}).values())
        tests = [self._fields.test(f"min(w{number})", test) for number, test in wanted]
        return f"SELECT {', '.join(selected)} FROM ({rows}) GROUP BY {', '.join(keys)} HAVING {sql.both(tests)}"
