"""What a mapping makes of the rows of a table, as SQL: lines of JSON that keep our contracts.

Three selections lie inside one another. The first reads the fields of every row, each as what it is: instants, numbers,
lists, text; a cell that cannot be read stays beside it as it is. The second makes one row of each group, if rows are
grouped. The third writes lines, and the reason for which there is none.

Nothing depends on the order of rows: of several values the least one counts, sums are of decimals, lists are sorted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from stream_app.contracts.inputs.purchases import ORDER_COMPLETED, ORDER_REFUNDED, TYPE_ALIASES
from stream_app.contracts.inputs.table import FILE_CONTRACTS
from stream_app.sources import amounts, sql, times
from stream_app.sources.amounts import Sign
from stream_app.sources.mapping import CellTest, FieldMapping, RecordMapping

TIMES: Final = ("occurred_at", "observed_at", "updated_at")
NUMBERS: Final = ("total", "items", "value")
LISTS: Final = ("products",)
OBJECTS: Final = ("properties", "traits")
TRAITS: Final = "traits"
_SUMS: Final = {
    "first": "min",
    "last": "max",
    "min": "min",
    "max": "max",
    "sum": "sum",
    "count": "count",
    "list": "min",
}
_NUMBER: Final = r"-?(0|[1-9]\d{0,29})(\.\d{1,30})?"


class Column(NamedTuple):
    """Where a mapping's column stands in the table of its rows.

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
        Ids that stand for nobody, in small letters; `0` stands for all that are made of zeros and hyphens.
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


class RecordCompiler:
    """Writes the selection of one record of a source.

    Parameters
    ----------
    record
        Its mapping.
    source_name
        What event ids begin with.
    columns
        Where the mapping's columns stand in the table.
    terms
        What the mapping leaves open.
    """

    def __init__(self, record: RecordMapping, source_name: str, columns: Mapping[str, Column], terms: Terms) -> None:
        self.record = record
        self.contract = FILE_CONTRACTS[record.topic]
        self._source_name = source_name
        self._columns = columns
        self._terms = terms
        self._of = {name: f"f{number}" for number, name in enumerate(record.fields)}
        self._time = self.contract.time_field

    def select(self, table: str, known_customers: str = "") -> str:
        """Return the selection of lines: `at_ms, line, fault, is_hashed, file, row`.

        Parameters
        ----------
        table
            Of the rows, with `file` and `row`.
        known_customers
            Table of `order_id` and `customer_id`, for refunds that name an order alone; none if empty.
        """
        return self._lines(self._grouped(self._rows(table)), known_customers)

    def customers(self, table: str) -> str:
        """Return the selection of `order_id` and `customer_id` of all records."""
        grouped = self._grouped(self._rows(table))
        order, customer = (self._of.get(name, "NULL") for name in ("order_id", "customer_id"))
        return f"SELECT {order} AS order_id, {customer} AS customer_id FROM ({grouped})"

    def numbers_read(self) -> list[str]:
        """Return the table's columns that are read as numbers."""
        found = (name for own, mapping in self.record.fields.items() if own in NUMBERS for name in mapping.columns)
        columns = (self._columns.get(name) for name in found)
        return [column.name for column in columns if column and not column.is_list]

    def formats_to_choose(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return the table's columns of times that may be written in one of several ways, with these."""
        return [
            (self._cell(name), mapping.format)
            for mapping in self.record.fields.values()
            if mapping.format and len(mapping.format) > 1
            for name in mapping.columns
        ]

    # --- rows -----------------------------------------------------------------------------------------------------

    def _rows(self, table: str) -> str:
        selected = ["file", "row"]
        for own, mapping in self.record.fields.items():
            selected += self._read(own, mapping)
        selected += [f"{column.name} AS w{number}" for number, column in enumerate(self._tested())]
        tests = [self._test(self._cell(name), test) for name, test in (self.record.rows_where or {}).items()]
        if not self.record.group_by:
            tests += [self._test(self._cell(name), test) for name, test in (self.record.where or {}).items()]
        return f"SELECT {', '.join(selected)} FROM {self._distinct(table)} WHERE {sql.both(tests)}"

    def _distinct(self, table: str) -> str:
        if not self.record.group_by or self.record.repeated_rows == "count":
            return table
        return f"(SELECT min(file) AS file, min(row) AS row, * EXCLUDE (file, row) FROM {table} GROUP BY ALL)"

    def _tested(self) -> list[Column]:
        if not self.record.group_by:
            return []
        return [self._columns.get(name, Column("NULL::VARCHAR")) for name in self.record.where or {}]

    def _read(self, own: str, mapping: FieldMapping) -> list[str]:
        """Return what a field is in a row: `fN`, and `rN`, the text that could not be read."""
        alias = self._of[own]
        if own in TIMES:
            instant, raw = self._instant(mapping)
            return [f"{instant} AS {alias}", f"CASE WHEN {alias} IS NULL THEN {raw} END AS r{alias}"]
        if own in NUMBERS:
            number, raw = self._number(own, mapping)
            return [f"{number} AS {alias}", f"CASE WHEN {alias} IS NULL THEN {raw} END AS r{alias}"]
        if own in LISTS:
            return [f"{self._list(mapping)} AS {alias}"]
        return [f"{self._text(own, mapping)} AS {alias}"]

    def _cell(self, name: str) -> str:
        column = self._columns.get(name)
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
            value = f"nfc_normalize(regexp_replace({value}, '^''([-+=@0-9])', '\\1'))"
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
        cells = [self._cell(name) for name in mapping.columns]
        if mapping.first_of is not None and own == "customer_id":
            cells = [f"CASE WHEN NOT {self._is_nobody(cell)} THEN {cell} END" for cell in cells]
        return sql.coalesce(cells)

    def _is_nobody(self, cell: str) -> str:
        listed = sorted(self._terms.placeholders)
        if not listed:
            return "false"
        zeros = f" OR regexp_full_match({cell}, '-*0[0-]*')" if "0" in listed else ""
        return f"(lower({cell}) IN ({sql.texts(listed)}){zeros})"

    def _matched(self, mapping: FieldMapping) -> str:
        """Return all that a pattern finds in a cell, as SQL."""
        return f"regexp_extract_all({self._cell(str(mapping.column))}, {sql.text(str(mapping.pattern))}, 1)"

    def _template(self, template: str) -> str:
        pieces = []
        for number, piece in enumerate(template.split("{")):
            name, _, literal = piece.partition("}") if number else ("", "", piece)
            pieces += [self._cell(name)] if name else []
            pieces += [sql.text(literal)] if literal else []
        return f"({' || '.join(pieces) or sql.text('')})"

    def _list(self, mapping: FieldMapping) -> str:
        column = self._columns.get(mapping.columns[0]) if mapping.columns else None
        if column is not None and column.is_list:
            return column.name
        value = self._plain("", mapping)
        return f"CASE WHEN {value} IS NOT NULL THEN [{value}] END"

    def _instant(self, mapping: FieldMapping) -> tuple[str, str]:
        zone = mapping.timezone or self._terms.zone
        formats = mapping.format or ()

        def read(cell: str) -> str:
            return times.instant_of(cell, zone, self._terms.formats.get((cell, formats), formats), mapping.unit)

        if mapping.days_since is not None:
            since = mapping.days_since
            days, of, ordered_by = (self._cell(name) for name in (since.days, since.of, since.ordered_by))
            hour = self._cell(since.hour) if since.hour else None
            return times.counted_up(days, of, ordered_by, since.first, hour, zone), days

        if mapping.skew is not None:
            original, sent, received = (self._cell(name) for name in mapping.columns)
            told = sql.coalesce([f"{read(received)} - ({read(sent)} - {read(original)})", read(original)])
            return told, original
        raw = self._plain("", mapping)
        if mapping.first_of is not None:
            return sql.coalesce([read(self._cell(name)) for name in mapping.columns]), raw
        return read(raw), raw

    def _number(self, own: str, mapping: FieldMapping) -> tuple[str, str]:
        """Return a number, as text if it needs no computing, and the text that it was not read from."""
        decimal = self._terms.decimal
        currency = self.record.fields.get("currency")
        code = self._text("currency", currency) if currency is not None and own == "total" else None
        column = self._columns.get(mapping.column) if mapping.column else None
        if mapping.pattern is not None or (column is not None and column.is_list):
            found = self._matched(mapping) if column is None or not column.is_list else column.name
            raw = self._cell(str(mapping.column)) if mapping.pattern else f"nullif(array_to_string({found}, ' '), '')"
            return f"list_sum(list_transform({found}, lambda v: {amounts.number_of('v', decimal)}))", raw
        several = mapping.product or mapping.sum or mapping.difference
        if several is None:
            raw = self._plain("", mapping)
            if not self._is_computed(mapping):
                return amounts.decimal_of(raw, decimal, code), raw
            return self._scaled(amounts.number_of(raw, decimal, code), mapping), raw
        cells = [self._cell(name) for name in several]
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

    def _is_computed(self, mapping: FieldMapping) -> bool:
        several = mapping.product or mapping.sum or mapping.difference
        return bool(self.record.group_by or mapping.scale or mapping.pattern or several)

    @staticmethod
    def _scaled(number: str, mapping: FieldMapping) -> str:
        return f"({number})" if not mapping.scale else f"({number}) / {10**mapping.scale}"

    def _test(self, cell: str, test: CellTest) -> str:
        return sql.both(_tests(cell, test, self._terms.decimal))

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
        tests = [self._test(f"min(w{number})", test) for number, test in enumerate((self.record.where or {}).values())]
        return f"SELECT {', '.join(selected)} FROM ({rows}) GROUP BY {', '.join(keys)} HAVING {sql.both(tests)}"

    # --- lines ----------------------------------------------------------------------------------------------------

    def _lines(self, grouped: str, known_customers: str) -> str:
        type_, total, sign = self._type_and_total()
        customer, join = self._of.get("customer_id", "NULL::VARCHAR"), ""
        if known_customers and "order_id" in self._of:
            join = f" LEFT JOIN {known_customers} AS k ON g.{self._of['order_id']} = k.order_id AND {customer} IS NULL"
            customer = f"coalesce({customer}, k.customer_id)"
        inner = (
            f"SELECT g.file, g.row, {self._instant_column()} AS at_ms, {type_} AS type, {customer} AS customer_id, "
            f"{total} AS total, {sign} AS has_sign, g.* EXCLUDE (file, row) FROM ({grouped}) AS g{join}"
        )
        content = f"SELECT *, {self._content()} AS content FROM ({inner})"
        own_id, is_hashed = self._event_id()
        event_id = (
            f"SELECT *, {own_id} AS event_id, {is_hashed} AS is_hashed, {self._fault()} AS fault FROM ({content})"
        )
        named = self.contract.model.model_fields
        pieces = [_pair("event_id", "event_id")] if "event_id" in named else []
        if self.record.topic == "purchases":
            order = self._of.get("order_id")
            pieces.append(_pair("order_id", f"coalesce({order}, event_id)" if order else "event_id"))
        pieces.append("content")
        line = f"'{{' || substr({' || '.join(pieces)}, 2) || '}}'"
        return f"SELECT at_ms, {line} AS line, fault, is_hashed, file, row FROM ({event_id})"

    def _instant_column(self) -> str:
        return f"g.{self._of[self._time]}" if self._time in self._of else "NULL::BIGINT"

    def _type_and_total(self) -> tuple[str, str, str]:
        """Return the type, the total as text, and whether it still has a minus sign, as SQL."""
        type_ = self._of.get("type", "NULL::VARCHAR")
        mapping = self.record.fields.get("total")
        if mapping is None or self.record.topic != "purchases":
            return type_, "NULL::VARCHAR", "false"
        total = self._of["total"]
        if self._is_computed(mapping) or mapping.aggregate == "sum" or self._reads_list(mapping):
            total = amounts.written(total)
        is_return = "false"
        if mapping.sign == "returns":
            is_return = f"({type_} IS NULL AND starts_with({total}, '-'))"
            type_ = f"CASE WHEN {is_return} THEN {sql.text(ORDER_REFUNDED)} ELSE {type_} END"
        dropped = "true" if mapping.sign == "dropped" else f"{type_} = {sql.text(ORDER_REFUNDED)}"
        unsigned = f"CASE WHEN {dropped} THEN ltrim({total}, '-') ELSE {total} END"
        return type_, unsigned, is_return

    def _reads_list(self, mapping: FieldMapping) -> bool:
        column = self._columns.get(mapping.column) if mapping.column else None
        return column is not None and column.is_list

    def _content(self) -> str:
        """Return all of a line but its ids, each field with a comma before it."""
        has_customer = "customer_id" in self._of or self.record.topic == "purchases"  # which the order may tell
        pieces = [_pair("customer_id", "customer_id")] if has_customer else []
        for own in self.contract.fields:
            if own in ("event_id", "order_id", "customer_id"):
                continue
            if own in self._of or own in ("type", "total"):
                pieces += self._piece(own)
        return " || ".join([*pieces, *self._objects()]) or "''"

    def _piece(self, own: str) -> list[str]:
        alias = self._of.get(own, "")
        if own == "type":
            return [_pair(own, "type")] if self.record.topic == "purchases" or alias else []
        if own in TIMES:
            return [_pair(own, f"coalesce({times.written(alias)}, r{alias})")]
        if own == "total":
            return [_pair(own, f"coalesce(total, r{alias})")] if alias else []
        if own in NUMBERS:
            mapping = self.record.fields[own]
            is_number = self._is_computed(mapping) or mapping.aggregate == "sum" or self._reads_list(mapping)
            number = amounts.written(alias) if is_number else alias
            if own == "items" and self.record.topic == "purchases":  # tables put a minus sign before a refund's
                is_refund = f"coalesce(type = {sql.text(ORDER_REFUNDED)}, false)"
                number = f"CASE WHEN {is_refund} THEN ltrim({number}, '-') ELSE {number} END"
            bare = amounts.written(f"try_cast({number} AS {amounts.DECIMAL})")
            read = f"CASE WHEN regexp_full_match({number}, '{_NUMBER}') THEN {number} ELSE {bare} END"
            return [f"coalesce(',{_key(own)}' || {read}, ',{_key(own)}' || to_json(coalesce({number}, r{alias})), '')"]
        if own in LISTS:
            return [f"CASE WHEN len({alias}) > 0 THEN ',{_key(own)}' || to_json({alias}) ELSE '' END"]
        if own in OBJECTS:
            return [
                f"coalesce(',{_key(own)}' || CASE WHEN json_valid({alias}) THEN {alias} ELSE to_json({alias}) END, '')"
            ]
        return [_pair(own, alias)]

    def _objects(self) -> list[str]:
        """Return the free object and the traits that are made of single columns."""
        pieces = []
        properties = {name: alias for name, alias in self._of.items() if name.startswith("properties.")}
        if properties:
            pairs = " || ".join(_pair(name.partition(".")[2], alias) for name, alias in properties.items())
            pieces.append(_object("properties", pairs))
        others = {name: alias for name, alias in self._of.items() if name not in self.contract.fields}
        if self.contract.table_form.others == TRAITS and others:
            pairs = " || ".join(self._trait(name.removeprefix("traits."), alias) for name, alias in others.items())
            pieces.append(_object(TRAITS, pairs))
        return pieces

    def _trait(self, name: str, cell: str) -> str:
        type_ = self._terms.traits.get(name)
        value = f"to_json({cell})"
        if type_ == "number":
            value = f"CASE WHEN regexp_full_match({cell}, '{_NUMBER}') THEN {cell} ELSE {value} END"
        elif type_ == "boolean":
            value = f"CASE WHEN lower({cell}) IN ('true', 'false') THEN lower({cell}) ELSE {value} END"
        elif type_ == "list":
            parts = f"list_transform(string_split({cell}, ';'), lambda v: trim(v))"
            value = f"to_json(list_filter({parts}, lambda v: v <> ''))"
        return f"coalesce(',{_key(name)}' || {value}, '')"

    def _event_id(self) -> tuple[str, str]:
        """Return a record's id, and whether it was made of its content alone, as SQL."""
        given = self._of.get("event_id")
        if "event_id" not in self.contract.model.model_fields or (self.record.topic == "profiles" and not given):
            return "NULL::VARCHAR", "false"
        made = f"{sql.text(self._source_name)} || '/' || md5(content)"
        order = self._of.get("order_id") if self.record.topic == "purchases" else None
        if order is not None:
            kind = f"coalesce(type, {sql.text(ORDER_COMPLETED)})"
            when = f"CASE WHEN {kind} = {sql.text(ORDER_COMPLETED)} THEN '' ELSE '/' || at_ms END"
            by_order = f"{sql.text(self._source_name)} || '/' || {kind} || '/' || {order} || coalesce({when}, '')"
            made = f"coalesce({by_order}, {made})"
        is_hashed = f"{order} IS NULL" if order is not None else "true"
        if given is None:
            return made, is_hashed
        return f"coalesce({given}, {made})", f"{given} IS NULL AND {is_hashed}"

    def _fault(self) -> str:
        """Return `reason`, field and message, parted by a tab, of what cannot be sent; null if nothing is wrong."""
        faults = []
        if "customer_id" in self._of:
            allowed = "false"
            if self.record.topic == "purchases" and "order_id" in self._of:
                allowed = f"coalesce(type = {sql.text(ORDER_REFUNDED)}, false)"
            told = (
                "no_customer\tcustomer_id\tcustomer_id: missing, an order of nobody who is known; expected a customer"
            )
            faults.append(f"CASE WHEN customer_id IS NULL AND NOT {allowed} THEN {sql.text(told)} END")
        for own in self._of:
            raw = f"rf{list(self._of).index(own)}"
            if own in TIMES:
                expected = (
                    "expected a time such as 2024-05-01 12:00:00+02:00; say how it is written with --time-format, or "
                    "format, and in what zone with --timezone"
                )
                faults.append(_told("invalid_time", own, raw, sql.text(expected)))
            elif own in NUMBERS:
                ambiguous = f"'which is ' || {amounts.readings(raw)} || '; say which with --locale'"
                expected = (
                    f"CASE WHEN {amounts.is_ambiguous(raw)} THEN {ambiguous} ELSE 'expected a number such as 19.99' END"
                )
                faults.append(_told("wrong_type", own, raw, expected))
        return sql.coalesce(faults) if faults else "NULL::VARCHAR"


def _told(reason: str, own: str, raw: str, expected: str) -> str:
    head = sql.text(f"{reason}\t{own}\t{own}: ")
    return f"CASE WHEN {raw} IS NOT NULL THEN {head} || to_json(left({raw}, 80)) || ', ' || {expected} END"


def _key(name: str) -> str:
    """Return a JSON key with its colon, inside a literal of SQL."""
    return sql.text(f'"{name}":')[1:-1]


def _pair(name: str, value: str) -> str:
    return f"coalesce(',{_key(name)}' || to_json({value}), '')"


def _object(name: str, pairs: str) -> str:
    return f"CASE WHEN {pairs} = '' THEN '' ELSE ',{_key(name)}{{' || substr({pairs}, 2) || '}}' END"


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
