"""The mapping of a file in our own form, whose columns are called as our fields are, or as options say.

`--column`, `--constant` and `--time-format` make it. Rows that name an order and no event of their own are lines of
that order, and become one record; a row that occurs twice counts once. Without a column for the type a negative total
is a return.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stream_app.contracts.inputs.contract import InputContract
from stream_app.contracts.inputs.table import FILE_CONTRACTS
from stream_app.errors import ConfigurationError
from stream_app.sources.forms import Look
from stream_app.sources.mapping import FieldMapping, RecordMapping, Source, Topic, Unit

_SHOWN_HEADER_CHARACTERS: Final = 300
_OF_COMPLETED_ORDERS: Final[Mapping[str, Sequence[str]]] = {"purchases": ("customer_id", "total")}
"""Fields that a file must have if nothing in it says that its orders are other than completed."""
_FIELDS_OF_ALL: Final = frozenset(field for contract in FILE_CONTRACTS.values() for field in contract.fields)
UNITS: Final[Mapping[str, Unit]] = {
    "epoch": "s", "epoch_s": "s", "epoch_ms": "ms", "epoch_us": "us", "epoch_ns": "ns", "excel": "excel",
}  # fmt: skip
"""Times that count something, by what `--time-format` calls them."""


@dataclass(frozen=True)
class Given:
    """What options of the command line say about a file's columns.

    Parameters
    ----------
    columns
        Field → header, for headers that are named otherwise; other topics' fields are ignored. Of profiles any other
        name is a trait.
    constants
        Field → value, for fields that the file lacks.
    defaults
        The same, where neither a column nor a constant has the field.
    time_formats
        How times are written: forms of strftime, or one of `UNITS`.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    time_formats: Sequence[str] = ()


def generic_source(name: str, topic: Topic, look: Look, given: Given) -> Source:
    """Return the mapping of a file whose columns are called as the topic's fields.

    Parameters
    ----------
    name
        Of the file, for messages.
    topic
        Whose records the file's rows are.
    look
        What the file is.
    given
        What else is said about it.

    Raises
    ------
    ConfigurationError
        If a column that was asked for, or that the contract requires, is not there, or is there twice.
    """
    contract = FILE_CONTRACTS[topic]
    place = _places(name, contract, look, given)
    fields: dict[str, Any] = {}
    for own in place:
        fields[own] = _mapping(own, place[own], contract, given)
    for constants in (given.constants, given.defaults):
        for own, value in constants.items():
            if own not in fields and (
                own in contract.fields or (constants is given.constants and _is_other(own, contract))
            ):
                fields[own] = FieldMapping(constant=value)
    _require(name, contract, look, fields)
    group_by = None
    if topic == "purchases" and "order_id" in place and "event_id" not in place:
        group_by = tuple(own for own in ("order_id", "type", "customer_id") if own in fields)
        fields["total"] = fields["total"].model_copy(update={"aggregate": "sum"})
        if "items" in fields:
            fields["items"] = fields["items"].model_copy(update={"aggregate": "sum"})
    record = RecordMapping.model_construct(
        topic=topic, fields=fields, group_by=group_by, repeated_rows="drop", _fields_set={"topic", "fields", "group_by"}
    )
    return Source.model_construct(records=(record,), joins={}, _fields_set={"records"})


def _mapping(own: str, column: str, contract: InputContract, given: Given) -> FieldMapping:
    asked: dict[str, Any] = {"column": column}
    if own == contract.time_field and given.time_formats:
        unit = UNITS.get(given.time_formats[0])
        asked |= {"unit": unit} if unit else {"format": tuple(given.time_formats)}
    if own == "total":
        asked["sign"] = "returns"
    if own == "type":
        asked["values"] = {"order_completed": ("purchase",), "order_refunded": ("refund",)}
    return FieldMapping(**asked)


def _places(name: str, contract: InputContract, look: Look, given: Given) -> dict[str, str]:
    """Return the columns that hold fields, and of profiles those that hold traits."""
    titles, form = look.columns, contract.table_form
    own_fields = [own for own in contract.fields if own != form.others and (look.is_json or own not in form.no_cells)]
    if form.others:
        own_fields += [own for own in {**given.columns, **given.constants} if own not in _FIELDS_OF_ALL]
    wanted = {own: own for own in own_fields if own in titles and own not in given.columns.values()}
    wanted |= {own: title for own, title in given.columns.items() if own in own_fields}
    if form.others:
        wanted |= _others(name, titles, {*wanted.values()}, contract)
    for own, title in wanted.items():
        if titles.count(title) != 1 and not (look.is_json and title not in titles):
            problem = "twice" if title in titles else "not"
            raise ConfigurationError(
                f"{name}: column {title!r} (for {own}) is {problem} in the header, which is {shown(titles)}; "
                f"correct --column {own}=HEADER"
            )
    return wanted


def _others(name: str, titles: Sequence[str], taken: Collection[str], contract: InputContract) -> dict[str, str]:
    """Return the columns that are not fields, by their own titles, which must be usable as names."""
    form = contract.table_form
    others = [title for title in titles if title not in taken]
    for title in others:
        if not _is_other(title, contract):
            raise ConfigurationError(
                f"{name}: column {title!r} has no name for one of {form.others}, expected one such as "
                f"company_size; name it with --column NAME={title!r}, or leave the column out"
            )
    return {title: title for title in others}


def _is_other(name: str, contract: InputContract) -> bool:
    form = contract.table_form
    return (
        bool(form.others)
        and name not in _FIELDS_OF_ALL
        and (form.other_names is None or form.other_names.fullmatch(name) is not None)
    )


def _require(name: str, contract: InputContract, look: Look, fields: Collection[str]) -> None:
    given = {*fields, *contract.table_form.own_ids}
    if given - {*contract.fields}:
        given.add(contract.table_form.others)
    must_have = () if "type" in given else _OF_COMPLETED_ORDERS.get(contract.topic, ())
    required = [own for own, info in contract.model.model_fields.items() if info.is_required() or own in must_have]
    missing = [own for own in required if own not in given]
    if missing:
        raise ConfigurationError(
            f"{name}: no column for {', '.join(missing)} in the header, which is {shown(look.columns)}; "
            f"say where with --column {missing[0]}=HEADER, or give --constant {missing[0]}=VALUE"
        )


def shown(titles: Sequence[str]) -> str:
    """Return a header as a message shows it."""
    text = ", ".join(titles)
    return text if len(text) <= _SHOWN_HEADER_CHARACTERS else text[:_SHOWN_HEADER_CHARACTERS] + "…"
