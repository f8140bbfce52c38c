"""What the cells of a row say for each field, as SQL: instants, numbers, lists, text.

A cell that cannot be read stays beside the field as it is, so that it can be named.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from stream_app.contracts.inputs.purchases import TYPE_ALIASES
from stream_app.sources import amounts, sql, times
from stream_app.sources.amounts import Sign
from stream_app.sources.mapping import CellTest, FieldMapping, RecordMapping

TIMES: Final = ("occurred_at", "observed_at", "updated_at")
NUMBERS: Final = ("total", "items", "value")
LISTS: Final = ("products",)


class Column(NamedTuple):
    """Where a mapping's column is in the table of its rows.

    Attributes
    ----------
    name
        In the table.
    is_list
        Whether it holds lists of texts.
    """

    name: str
    is_list: bool = False


@dataclass(frozen=True)
class Terms:
    """What mappings leave open.

    Parameters
    ----------
    zone
        Of times that have none; None refuses them.
    decimal
        The decimal sign of ambiguous numbers; None refuses them.
    placeholders
        Ids that stand for nobody, in lower case; `0` stands for all that are made of zeros and hyphens.
    traits
        Types of traits by name.
    formats
        Forms of times by column and as the mapping lists them: the one that reads most of the column's values first.
    """

    zone: str | None = "UTC"
    decimal: Sign | None = None
    placeholders: Collection[str] = ()
    traits: Mapping[str, str] = field(default_factory=dict)
    formats: Mapping[tuple[str, tuple[str, ...]], tuple[str, ...]] = field(default_factory=dict)


class FieldReader:
    """Writes what reads the fields of one record from a row.

    Parameters
    ----------
    record
        Its mapping.
    columns
        Where the mapping's columns are in the table of rows.
    terms
        What the mapping leaves open.
    """

    def __init__(self, record: RecordMapping, columns: Mapping[str, Column], terms: Terms) -> None:
        self.record = record
        self.columns = columns
        self.terms = terms

    def read(self, own: str, mapping: FieldMapping, alias: str) -> list[str]:
        """Return what a field is in a row: `alias`, and `r` before it, the text that could not be read."""
        if own in TIMES:
            instant, raw = self._instant(mapping)
            return [f"{instant} AS {alias}", f"CASE WHEN {alias} IS NULL THEN {raw} END AS r{alias}"]
        if own in NUMBERS:
            number, raw = self._number(own, mapping)
            return [f"{number} AS {alias}", f"CASE WHEN {alias} IS NULL THEN {raw} END AS r{alias}"]
        if own in LISTS:
            return [f"{self._list(mapping)} AS {alias}"]
        return [f"{self._text(own, mapping)} AS {alias}"]

    def constant(self, own: str, mapping: FieldMapping) -> str | None:
        """Return what a field of text always is, as SQL; None if it depends on the row."""
        if mapping.constant is None or own in (*TIMES, *NUMBERS, *LISTS, "order_id") or self.record.group_by:
            return None
        return f"({self._text(own, mapping)})"

    def may_be_missing(self, own: str) -> str:
        """Return whether a row seems to say nothing of a field of text, quickly, as SQL."""
        mapping = self.record.fields.get(own)
        if mapping is None or mapping.column is None or mapping.pattern is not None:
            return "true"
        return f"NOT coalesce({self.cell(mapping.column)} BETWEEN '!' AND '~', false)"

    def cell(self, name: str) -> str:
        """Return a column of the mapping, of lists the first element, as SQL."""
        column = self.columns.get(name)
        if column is None:
            return "NULL::VARCHAR"
        return f"{column.name}[1]" if column.is_list else column.name

    def _text(self, own: str, mapping: FieldMapping) -> str:
        value = self._plain(own, mapping)
        if mapping.kind == "integer_as_float":
            value = rf"regexp_replace({value}, '^(-?\d{{1,15}})\.0+$', '\1')"
        if mapping.kind == "email":
            value = f"lower({value})"
        if own == "customer_id":  # spreadsheets are kept from computing +49... by an apostrophe before it
            bare = f"regexp_replace({value}, '^''([-+=@0-9])', '\\1')"
            value = f"nfc_normalize(CASE WHEN starts_with({value}, '''') THEN {bare} ELSE {value} END)"
        if own == "currency" and mapping.constant is None:
            value = amounts.currency_of(value)
        return self._word(own, mapping, value)

    def _word(self, own: str, mapping: FieldMapping, value: str) -> str:
        cases = [
            f"WHEN {value} IN ({sql.texts(theirs)}) THEN {sql.text(ours)}"
            for ours, theirs in (mapping.values or {}).items()
        ]
        for ours, beginnings in (mapping.begins_with or {}).items():
            begins = " OR ".join(f"starts_with({value}, {sql.text(each)})" for each in beginnings)
            cases.append(f"WHEN {begins} THEN {sql.text(ours)}")
        if cases or mapping.otherwise is not None:
            otherwise = value if mapping.otherwise is None else sql.text(mapping.otherwise)
            value = f"CASE {' '.join(cases)} ELSE {otherwise} END" if cases else f"coalesce({value}, {otherwise})"
        if own == "type" and self.record.topic == "purchases":
            aliases = " ".join(f"WHEN {sql.text(short)} THEN {sql.text(ours)}" for short, ours in TYPE_ALIASES.items())
            value = f"CASE ({value}) {aliases} ELSE {value} END"
        return value

    def _plain(self, own: str, mapping: FieldMapping) -> str:
        if mapping.constant is not None:
            return sql.text(mapping.constant)
        if mapping.template is not None:
            return self._template(mapping.template)
        if mapping.pattern is not None:
            return f"nullif({self._matched(mapping)}[1], '')"
        cells = [self.cell(name) for name in mapping.columns]
        if mapping.first_of is not None and own == "customer_id":
            cells = [f"CASE WHEN NOT {self._is_nobody(cell)} THEN {cell} END" for cell in cells]
        return sql.coalesce(cells)

    def _is_nobody(self, cell: str) -> str:
        listed = sorted(self.terms.placeholders)
        if not listed:
            return "false"
        zeros = f" OR regexp_full_match({cell}, '-*0[0-]*')" if "0" in listed else ""
        return f"(lower({cell}) IN ({sql.texts(listed)}){zeros})"

    def _matched(self, mapping: FieldMapping) -> str:
        """Return all that a pattern finds in a cell, as SQL."""
        return f"regexp_extract_all({self.cell(str(mapping.column))}, {sql.text(str(mapping.pattern))}, 1)"

    def _template(self, template: str) -> str:
        pieces = []
        for number, piece in enumerate(template.split("{")):
            name, _, literal = piece.partition("}") if number else ("", "", piece)
            pieces += [self.cell(name)] if name else []
            pieces += [sql.text(literal)] if literal else []
        return f"({' || '.join(pieces) or sql.text('')})"

    def _list(self, mapping: FieldMapping) -> str:
        column = self.columns.get(mapping.columns[0]) if mapping.columns else None
        if column is not None and column.is_list:
            return column.name
        value = self._plain("", mapping)
        return f"CASE WHEN {value} IS NOT NULL THEN [{value}] END"

    def _instant(self, mapping: FieldMapping) -> tuple[str, str]:
        zone = mapping.timezone or self.terms.zone
        formats = mapping.format or ()

        def read(cell: str) -> str:
            return times.instant_of(cell, zone, self.terms.formats.get((cell, formats), formats), mapping.unit)

        if mapping.days_since is not None:
            since = mapping.days_since
            days, of, ordered_by = (self.cell(name) for name in (since.days, since.of, since.ordered_by))
            hour = self.cell(since.hour) if since.hour else None
            return times.counted_up(days, of, ordered_by, since.first, hour, zone), days

        if mapping.skew is not None:
            original, sent, received = (self.cell(name) for name in mapping.columns)
            told = sql.coalesce([f"{read(received)} - ({read(sent)} - {read(original)})", read(original)])
            return told, original
        raw = self._plain("", mapping)
        if mapping.first_of is not None:
            return sql.coalesce([read(self.cell(name)) for name in mapping.columns]), raw
        return read(raw), raw

    def _number(self, own: str, mapping: FieldMapping) -> tuple[str, str]:
        """Return a number, as text if it needs no computing, and the text that it was not read from."""
        decimal = self.terms.decimal
        currency = self.record.fields.get("currency")
        code = self._text("currency", currency) if currency is not None and own == "total" else None
        column = self.columns.get(mapping.column) if mapping.column else None
        if mapping.pattern is not None or (column is not None and column.is_list):
            found = self._matched(mapping) if column is None or not column.is_list else column.name
            raw = self.cell(str(mapping.column)) if mapping.pattern else f"nullif(array_to_string({found}, ' '), '')"
            return f"list_sum(list_transform({found}, lambda v: {amounts.number_of('v', decimal)}))", raw
        several = mapping.product or mapping.sum or mapping.difference
        if several is None:
            raw = self._plain("", mapping)
            if not self.is_computed(mapping):
                return amounts.decimal_of(raw, decimal, code), raw
            return self._scaled(amounts.number_of(raw, decimal, code), mapping), raw
        cells = [self.cell(name) for name in several]
        numbers = [amounts.number_of(cell, decimal, code) for cell in cells]
        raw = f"concat_ws(' ', {', '.join(cells)})"
        if mapping.product is not None:
            product = " * ".join(f"{number}::DOUBLE" for number in numbers)
            return self._scaled(f"try_cast(round({product}, 10) AS {amounts.DECIMAL})", mapping), f"nullif({raw}, '')"
        known = [
            f"CASE WHEN {cell} IS NULL THEN 0 ELSE {number} END" for cell, number in zip(cells, numbers, strict=True)
        ]
        if mapping.difference is not None:
            known[0] = numbers[0]
        total = (" - " if mapping.difference is not None else " + ").join(known)
        nothing = f"coalesce({', '.join(cells)}) IS NULL"
        return self._scaled(f"CASE WHEN {nothing} THEN NULL ELSE {total} END", mapping), f"nullif({raw}, '')"

    def is_computed(self, mapping: FieldMapping) -> bool:
        """Return whether a field is a number, and not text with a number in it."""
        several = mapping.product or mapping.sum or mapping.difference
        return bool(self.record.group_by or mapping.scale or mapping.pattern or several)

    @staticmethod
    def _scaled(number: str, mapping: FieldMapping) -> str:
        return f"({number})" if not mapping.scale else f"({number}) / {10**mapping.scale}"

    def test(self, cell: str, test: CellTest) -> str:
        """Return whether a cell passes, as SQL."""
        return sql.both(_tests(cell, test, self.terms.decimal))

    def reads_list(self, mapping: FieldMapping) -> bool:
        """Return whether a field's cells hold lists."""
        column = self.columns.get(mapping.column) if mapping.column else None
        return column is not None and column.is_list


def _tests(cell: str, test: CellTest, decimal: Sign | None) -> Sequence[str]:
    found = []
    for word, holds in ((test.equals, True), (test.not_equals, False)):
        if word is not None:
            found.append(f"coalesce({cell} {'=' if holds else '<>'} {sql.text(word)}, {str(not holds).lower()})")
    for words, holds in ((test.one_of, True), (test.not_in, False)):
        if words is not None:
            operator = "IN" if holds else "NOT IN"
            found.append(f"coalesce({cell} {operator} ({sql.texts(words)}), {str(not holds).lower()})")
    for words, holds in ((test.begins_with, True), (test.not_begins_with, False)):
        if words is not None:
            begins = " OR ".join(f"starts_with({cell}, {sql.text(word)})" for word in words)
            found.append(f"coalesce({begins}, false)" if holds else f"NOT coalesce({begins}, false)")
    if test.exists is not None:
        found.append(f"{cell} IS {'NOT ' if test.exists else ''}NULL")
    for bound, operator in ((test.more_than, ">"), (test.less_than, "<")):
        if bound is not None:
            found.append(f"coalesce({amounts.number_of(cell, decimal)} {operator} {bound!r}, false)")
    return found
