"""What a record's fields become, as SQL: a line of JSON that keeps our contract, and why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from stream_app.contracts.inputs.purchases import ORDER_CANCELLED, ORDER_COMPLETED, ORDER_REFUNDED
from stream_app.contracts.inputs.table import FILE_CONTRACTS
from stream_app.sources import amounts, sql, times
from stream_app.sources.fields import LISTS, NUMBERS, TIMES, FieldReader
from stream_app.sources.mapping import FieldMapping

OBJECTS: Final = ("properties", "traits")
TRAITS: Final = "traits"
_NUMBER: Final = r"-?(0|[1-9]\d{0,29})(\.\d{1,30})?"


class LineWriter:
    """Writes the selection of one record's lines.

    Parameters
    ----------
    source_name
        What event ids begin with.
    fields
        What the fields were read by.
    names
        Of each field, its column.
    """

    def __init__(self, source_name: str, fields: FieldReader, names: Mapping[str, str]) -> None:
        self._source_name = source_name
        self._fields = fields
        self.record = fields.record
        self.contract = FILE_CONTRACTS[self.record.topic]
        self._of = names
        self._time = self.contract.time_field
        self._is_digested = self._has_id() and not {"event_id", "order_id"} & names.keys()  # each for its id

    def select(self, grouped: str, known_customers: str) -> str:
        """Return the selection of lines: `at_ms, line, fault, is_hashed, file, row`.

        Parameters
        ----------
        grouped
            Selection of the fields.
        known_customers
            Table of `order_id` and `customer_id`, for refunds that name an order alone; none if empty.
        """
        type_, total, sign = self._type_and_total()
        customer, join = self._of.get("customer_id", "NULL::VARCHAR"), ""
        if known_customers and "order_id" in self._of:
            join = f" LEFT JOIN {known_customers} AS k ON g.{self._of['order_id']} = k.order_id AND {customer} IS NULL"
            customer = f"coalesce({customer}, k.customer_id)"
        inner = (
            f"SELECT g.file, g.row, {self._instant_column()} AS at_ms, {type_} AS type, {customer} AS customer_id, "
            f"{total} AS total, {sign} AS has_sign, g.* EXCLUDE (file, row) FROM ({grouped}) AS g{join}"
        )
        content = f"SELECT *, {_concat(self._content())} AS content FROM ({inner})" if self._is_digested else inner
        own_id, is_hashed = self._event_id()
        event_id = (
            f"SELECT *, {own_id} AS event_id, {is_hashed} AS is_hashed, {self._fault()} AS fault FROM ({content})"
        )
        return f"SELECT at_ms, {self._line()} AS line, fault, is_hashed, file, row FROM ({event_id})"

    def _line(self) -> str:
        pieces = []
        if self.record.topic == "purchases":
            order = self._of.get("order_id")
            pieces.append(_pair("order_id", f"coalesce({order}, event_id)" if order else "event_id"))
        pieces += ["content"] if self._is_digested else self._content()
        if self._has_id():
            return _concat(["'{\"event_id\":'", "to_json(event_id)", *pieces, "'}'"])
        named = self.contract.model.model_fields
        pieces = [_pair("event_id", "event_id"), *pieces] if "event_id" in named else pieces
        return _concat(["'{'", f"substr({_concat(pieces)}, 2)", "'}'"])

    def _has_id(self) -> bool:
        """Return whether every record has an id, if only one made of its content."""
        named = "event_id" in self.contract.model.model_fields
        return named and (self.record.topic not in ("profiles", "consents") or "event_id" in self._of)

    def _instant_column(self) -> str:
        return f"g.{self._of[self._time]}" if self._time in self._of else "NULL::BIGINT"

    def _type_and_total(self) -> tuple[str, str, str]:
        """Return the type, the total as text, and whether it still has a minus sign, as SQL."""
        type_ = self._of.get("type", "NULL::VARCHAR")
        mapping = self.record.fields.get("total")
        if mapping is None or self.record.topic != "purchases":
            return type_, "NULL::VARCHAR", "false"
        total = self._of["total"]
        if self._is_number(mapping):
            total = amounts.written(total)
        is_return = "false"
        if mapping.sign == "returns":
            is_return = f"({type_} IS NULL AND starts_with({total}, '-'))"
            type_ = f"CASE WHEN {is_return} THEN {sql.text(ORDER_REFUNDED)} ELSE {type_} END"
        dropped = "true" if mapping.sign == "dropped" else f"{type_} = {sql.text(ORDER_REFUNDED)}"
        unsigned = f"CASE WHEN {dropped} THEN ltrim({total}, '-') ELSE {total} END"
        return type_, unsigned, is_return

    def _is_number(self, mapping: FieldMapping) -> bool:
        return self._fields.is_computed(mapping) or mapping.aggregate == "sum" or self._fields.reads_list(mapping)

    def _content(self) -> list[str]:
        """Return the pieces of all of a line but its ids, each field with a comma before it."""
        has_customer = "customer_id" in self._of or self.record.topic == "purchases"  # which the order may tell
        pieces = [_pair("customer_id", "customer_id")] if has_customer else []
        for own in self.contract.fields:
            if own in ("event_id", "order_id", "customer_id"):
                continue
            if own in self._of or own in ("type", "total"):
                pieces += self._piece(own)
        return [*pieces, *self._objects()]

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
            number = amounts.written(alias) if self._is_number(mapping) else alias
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
            pairs = _concat([_pair(name.partition(".")[2], alias) for name, alias in properties.items()])
            pieces.append(_object("properties", pairs))
        others = {name: alias for name, alias in self._of.items() if name not in self.contract.fields}
        if self.contract.table_form.others == TRAITS and others:
            pairs = _concat([self._trait(name.removeprefix("traits."), alias) for name, alias in others.items()])
            pieces.append(_object(TRAITS, pairs))
        return pieces

    def _trait(self, name: str, cell: str) -> str:
        type_ = self._fields.terms.traits.get(name)
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
        if not self._has_id():
            return "NULL::VARCHAR", "false"
        content = "content" if self._is_digested else _concat(self._content())  # read where the ids before it are null
        made = f"{sql.text(self._source_name)} || '/' || md5({content})"
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
                allowed = f"coalesce(type IN ({sql.text(ORDER_REFUNDED)}, {sql.text(ORDER_CANCELLED)}), false)"
            told = (
                "no_customer\tcustomer_id\tcustomer_id: missing, an order of nobody who is known; expected a customer"
            )
            faults.append(f"CASE WHEN customer_id IS NULL AND NOT {allowed} THEN {sql.text(told)} END")
        for own, alias in self._of.items():
            raw = f"r{alias}"
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


def _concat(pieces: Sequence[str]) -> str:
    """Return pieces as one text; those that are null count for nothing."""
    return f"concat({', '.join(pieces)})" if pieces else "''"


def _pair(name: str, value: str) -> str:
    """Return two pieces: a field's key and what it says; null if it says nothing."""
    return f"CASE WHEN {value} IS NOT NULL THEN ',{_key(name)}' END, to_json({value})"


def _object(name: str, pairs: str) -> str:
    return f"CASE WHEN {pairs} = '' THEN '' ELSE ',{_key(name)}{{' || substr({pairs}, 2) || '}}' END"
