"""`sources.yaml`: how the records of files become ours.

A source describes one kind of file. Each of its `records` makes records of one topic of each of its rows, or of each
group of rows. A value of a field is a column (or a path into JSON, see `stream_app.sources.paths`), a constant, a
template, or is computed from columns; a value that cannot be read stays the text that the file has, so that the
contracts refuse it in their words. Presets are such files, shipped with one source each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from stream_app.contracts.inputs.table import FILE_CONTRACTS
from stream_app.errors import ConfigurationError, DefinitionsInvalid
from stream_app.segmentations.configuration import Configuration, Slug
from stream_app.segmentations.documents import parse_document, read_document
from stream_app.segmentations.mistakes import mistakes_of, shown
from stream_app.segmentations.rules.values import ZoneName

SOURCES_MAX: Final = 256
NAMES_MAX: Final = 256
"""Columns, words or fields in one list."""
PRESETS: Final = "presets"

Form = Literal["csv", "tsv", "jsonl", "json", "parquet", "xlsx"]
Topic = Literal["purchases", "engagements", "profiles", "consents", "identities"]
Unit = Literal["s", "ms", "us", "ns", "excel"]
Kind = Literal["text", "email", "integer_as_float"]
Aggregate = Literal["first", "last", "sum", "list", "min", "max", "count"]
Word = Annotated[str, Field(min_length=1, max_length=256)]


def _several(value: Any) -> Any:
    """Take one word for a list of one."""
    return [value] if isinstance(value, str) else value


def _tuple(value: Any) -> Any:
    """Take a list where a tuple is asked for, which strict models would refuse."""
    return tuple(value) if isinstance(value, list) else value


Words = Annotated[
    tuple[Word, ...], BeforeValidator(_tuple), BeforeValidator(_several), Field(min_length=1, max_length=NAMES_MAX)
]
"""A word or a list of them."""


class _Part(Configuration):
    """Base of all parts: values must have the types given here; nothing is converted."""

    model_config = ConfigDict(strict=True)


class Recognition(_Part):
    """How a file of a source is recognised: it must have all of this."""

    columns: Words | None = None
    """Headers, letter by letter; of JSON the first levels of its paths."""
    paths: Words | None = None
    """Paths that some of the first records have."""
    name: str | None = None
    """What the file's name is like, such as `*payments*.csv`, for files with equal headers."""


class Locale(_Part):
    """How numbers are written."""

    decimal: Literal[".", ","]
    """The decimal sign."""
    thousands: Literal[".", ",", " ", "'", ""] = ""
    """What stands between thousands."""


class CellTest(_Part):
    """A test of a column; all of several must hold. An empty cell equals nothing and counts as missing."""

    equals: Word | None = None
    """The value itself."""
    not_equals: Word | None = None
    """Any other value, or none."""
    one_of: Annotated[Words | None, Field(alias="in")] = None
    """One of these values, letter by letter."""
    not_in: Words | None = None
    """None of these values; an empty cell is not one of them."""
    exists: bool | None = None
    """Whether there is a value."""
    begins_with: Words | None = None
    """One of these beginnings."""
    not_begins_with: Words | None = None
    """None of these beginnings."""
    more_than: float | int | None = None
    """A number above this one."""
    less_than: float | int | None = None
    """A number below this one."""

    @model_validator(mode="after")
    def _says_something(self) -> CellTest:
        if not self.model_fields_set:
            raise ValueError(f"no test, expected one of {', '.join(_keys(CellTest))}")
        return self


class Skew(_Part):
    """A time by a clock that may be wrong, set right: received − (sent − original)."""

    original: Word
    """When it happened, by the sender's clock."""
    sent: Word
    """When it was sent, by the same clock."""
    received: Word
    """When it arrived, by ours."""


VALUE_FORMS: Final = (
    *("column", "first_of", "constant", "template", "product", "sum", "difference", "skew", "days_since"),
)


class DaysSince(_Part):
    """A time that is given only as days since the one before, counted up from a day taken for the first."""

    days: Word
    """Days since the one before; nothing for the first."""
    of: Word
    """Whose times they are, such as the customer's."""
    ordered_by: Word
    """A number by which they follow each other."""
    first: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    """The day of everybody's first time."""
    hour: Word | None = None
    """The hour of the day."""


class FieldMapping(_Part):
    """Where the value of a field comes from; a text alone names a column.

    Exactly one of `column`, `first_of`, `constant`, `template`, `product`, `sum`, `difference`, `skew` and
    `days_since` is given.
    """

    column: Word | None = None
    """A header, or a path into JSON such as `customer.email`, `line_items[*].sku` or `params[key=page].value`."""
    first_of: Words | None = None
    """Columns; the first one that has a value (and of a customer's id, one that is not a placeholder) counts."""
    constant: str | None = None
    """The value itself."""
    template: str | None = None
    """Text with columns in braces, such as `{Id}-refund`; no value if one of these has none."""
    product: Words | None = None
    """Columns to multiply, such as quantity and price."""
    sum: Words | None = None
    """Columns to add; an empty one counts as 0, unless all are."""
    difference: Words | None = None
    """Columns; all others are taken from the first. An empty one counts as 0, unless the first one is."""
    skew: Skew | None = None
    """A time set right by two others."""
    days_since: DaysSince | None = None
    """A time counted up from days between times."""

    kind: Kind = "text"
    """What a text is: `email` is compared in lower case; `integer_as_float` reads 17850.0 as 17850, which is what
    a whole column of numbers becomes in pandas where one of them is missing."""
    format: Words | None = None
    """How a time is written, as in strftime; the first that fits counts."""
    unit: Unit | None = None
    """What a time counts since the epoch; `excel`: days since 1899-12-30."""
    timezone: ZoneName | None = None
    """Of this time, where it has none; the source's if absent."""
    values: Annotated[dict[str, Words], Field(max_length=NAMES_MAX)] | None = None
    """Our words by what the file calls them: `{refund: [refunded, returned]}`."""
    begins_with: Annotated[dict[str, Words], Field(max_length=NAMES_MAX)] | None = None
    """Our words by how the file's begin: `{refund: [C]}`."""
    otherwise: str | None = None
    """What everything else is, with `values` or `begins_with`; as the file has it if absent. Also what an empty cell
    is."""
    scale: Annotated[int, Field(ge=0, le=9)] | None = None
    """Of an amount: how many of its last digits follow the point, such as 2 for cents."""
    sign: Literal["kept", "dropped", "returns"] | None = None
    """Of a total: `returns` makes a negative one a refund of its amount, `dropped` leaves the sign out."""
    pattern: str | None = None
    """What of a column's text counts: a regular expression with one group. All that a number's column has of it is
    added up, such as `total:(-?[0-9.]+)` in a list of refunds."""
    aggregate: Aggregate = "first"
    """How the values of a group's rows are combined, or of a list that a path reads. `first` is the first that is not
    empty."""

    @model_validator(mode="after")
    def _has_one_form(self) -> FieldMapping:
        given = [name for name in VALUE_FORMS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none of them"
            raise ValueError(f"{found}, expected one of {', '.join(VALUE_FORMS)}")
        if self.format and self.unit:
            raise ValueError("format and unit, expected one of them")
        if self.pattern is not None and (self.column is None or _groups(self.pattern) != 1):
            raise ValueError(f"pattern: {self.pattern!r}, expected a regular expression with one group, and a column")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns and paths that the value is made of."""
        if self.template is not None:
            return template_columns(self.template)
        if self.skew is not None:
            return self.skew.original, self.skew.sent, self.skew.received
        if self.days_since is not None:
            since = self.days_since
            return since.days, since.of, since.ordered_by, *([since.hour] if since.hour else [])
        several = self.first_of or self.product or self.sum or self.difference or ()
        return (self.column,) if self.column is not None else tuple(several)


def _groups(pattern: str) -> int:
    try:
        return re.compile(pattern).groups
    except re.error:
        return 0


def _field(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


AnyField = Annotated[FieldMapping, BeforeValidator(_field)]


class JoinedFile(_Part):
    """Another file of the run, whose rows are found by the values of columns."""

    recognise: Recognition
    """How the file is recognised."""
    on: Annotated[dict[Word, Word], Field(min_length=1, max_length=4)]
    """Columns of the source's file, and those of the other file that must be equal."""
    columns: Annotated[dict[Word, Aggregate], Field(min_length=1, max_length=NAMES_MAX)]
    """What is taken of it, as `NAME.column`, where NAME is the join's, and what becomes of several rows' values."""
    required: bool = False
    """Whether the run is refused without the file."""


class RecordMapping(_Part):
    """What becomes a record of one topic."""

    topic: Topic
    """Whose contract the record keeps."""
    title: str | None = None
    """What it is, for people."""
    each: Word | None = None
    """A path to a list in JSON: a record of each of its elements, which paths that begin with it then read."""
    where: Annotated[dict[Word, CellTest], Field(max_length=NAMES_MAX)] | None = None
    """Which rows count; of a group its first values are tested."""
    rows_where: Annotated[dict[Word, CellTest], Field(max_length=NAMES_MAX)] | None = None
    """Which rows count, tested before they are grouped."""
    fields: Annotated[dict[Word, AnyField], Field(min_length=1, max_length=NAMES_MAX)]
    """Fields of the contract; `properties.NAME` puts a value in the free object; of profiles any other name is a
    trait."""
    group_by: Words | None = None
    """Fields whose equal values make rows one record: the lines of an order."""
    repeated_rows: Literal["count", "drop"] = "count"
    """Whether a row that occurs twice in a group counts twice."""

    @model_validator(mode="after")
    def _fits_its_topic(self) -> RecordMapping:
        contract = FILE_CONTRACTS[self.topic]
        for name in self.fields:
            if name in contract.fields or name.startswith("properties.") or contract.table_form.others:
                continue
            raise ValueError(f"fields: {name!r} is not a field of {self.topic}, expected {', '.join(contract.fields)}")
        for name in self.group_by or ():
            if name not in self.fields:
                raise ValueError(f"group_by: {name!r} is not one of the fields, expected {', '.join(self.fields)}")
        return self


def _recognition(value: Any) -> Any:
    return {"columns": value} if isinstance(value, list) else value


class Source(_Part):
    """A kind of file, and what its rows become."""

    title: str | None = None
    """What it is, for people."""
    description: str | None = None
    """Where the file comes from, and what is left out of it."""
    recognise: Annotated[Recognition | None, BeforeValidator(_recognition)] = None
    """How `auto` recognises it."""
    form: Form | None = None
    """What the file is; found by looking at it if absent."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """Of CSV; found by looking at the file if absent."""
    encoding: str | None = None
    """Of text; found by looking at the file if absent."""
    columns: Words | None = None
    """Of a file without a header: what its columns are called."""
    sheet: str | None = None
    """Of XLSX; all that have the columns if absent."""
    timezone: ZoneName | None = None
    """Of times that have none."""
    locale: Locale | None = None
    """How numbers are written; found by looking at them if absent."""
    currency: Literal["column", "ignored"] = "column"
    """`ignored` says that a column of currencies that no field reads is meant to be passed over."""
    joins: Annotated[dict[Slug, JoinedFile], Field(default_factory=dict, max_length=16)]
    """Other files of the run."""
    records: Annotated[tuple[RecordMapping, ...], BeforeValidator(_tuple), Field(min_length=1, max_length=64)]
    """What its rows become."""

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics that it has records of, each once."""
        return tuple(dict.fromkeys(record.topic for record in self.records))


class SourcesFile(_Part):
    """Sources by name."""

    version: Literal[1]
    """Of this format; 1."""
    sources: Annotated[dict[Slug, Source], Field(min_length=1, max_length=SOURCES_MAX)]
    """Sources by name, which event ids are made of."""


def load_sources(path: Path) -> dict[str, Source]:
    """Return the sources of a file, by name.

    Raises
    ------
    ConfigurationError
        If it cannot be read, or holds mistakes: each is named with its path.
    """
    return parse_sources(read_document(path), str(path))


@cache
def load_presets() -> Mapping[str, Source]:
    """Return the sources that are shipped, by name."""
    found: dict[str, Source] = {}
    folder = files(__package__).joinpath(PRESETS)
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".yaml"):
            found |= parse_sources(parse_document(file.read_bytes()), file.name)
    return found


def preset_document(name: str) -> dict[str, Any]:
    """Return a preset as the document that a file of sources with it would be.

    Raises
    ------
    ConfigurationError
        If there is none of that name.
    """
    for file in sorted(files(__package__).joinpath(PRESETS).iterdir(), key=lambda file: file.name):
        document = parse_document(file.read_bytes()) if file.name.endswith(".yaml") else {}
        if name in document.get("sources", {}):
            return {"version": document["version"], "sources": {name: document["sources"][name]}}
    raise ConfigurationError(f"preset {name!r} is unknown, expected one of {', '.join(load_presets())}")


def parse_sources(document: Any, name: str) -> dict[str, Source]:
    """Return the sources of a document.

    Parameters
    ----------
    document
        Plain data.
    name
        Of the document, for messages.

    Raises
    ------
    DefinitionsInvalid
        If it holds mistakes: each is named with its path.
    """
    if not isinstance(document, Mapping):
        raise DefinitionsInvalid([f"{name}: {shown(document)}, expected a mapping with version and sources"])
    try:
        return dict(SourcesFile.model_validate(document).sources)
    except ValidationError as error:
        raise DefinitionsInvalid([f"{name}: {mistake}" for mistake in mistakes_of(error, SourcesFile)]) from None


def template_columns(template: str) -> tuple[str, ...]:
    """Return the columns in a template's braces."""
    return tuple(part.partition("}")[0] for part in template.split("{")[1:])


def _keys(model: type[Configuration]) -> Sequence[str]:
    return [field.alias or name for name, field in model.model_fields.items()]
