"""Columns that a file must have, before any of it is loaded."""

from __future__ import annotations

import re
from typing import Final

from stream_app.contracts.inputs.table import FILE_CONTRACTS
from stream_app.errors import ConfigurationError
from stream_app.sources.generic import shown
from stream_app.sources.inputs import InputFile
from stream_app.sources.mapping import Source
from stream_app.sources.paths import is_known

_CURRENCY_COLUMN: Final = re.compile(
    r"(.*[^a-z])?(currency|curr|währung|waehrung|devise|moneda|valuta)([^a-z]?(code|iso|iso_code))?", re.IGNORECASE
)


def _check_required(file: InputFile, source: Source) -> None:
    """Refuse a table that has none of the columns of a field without which there is no record."""
    for record in source.records:
        needed = FILE_CONTRACTS[record.topic].model.model_fields
        for own, mapping in record.fields.items():
            columns = [column for column in mapping.columns if column.partition(".")[0] not in source.joins]
            if own not in needed or not needed[own].is_required() or len(columns) < len(mapping.columns) or not columns:
                continue
            if not any(is_known(column, file.look.columns, is_json=False) for column in columns):
                names = " or ".join(map(repr, columns))
                raise ConfigurationError(
                    f"{file.name}: has no column {names} (for {own}), as files of {file.source_name} have; its columns "
                    f"are {shown(file.look.columns)}"
                )


def check_columns(file: InputFile) -> None:
    """Refuse a file without the columns that its records cannot do without, or with currencies that nobody reads."""
    if file.contract or file.join or not file.look.columns:
        return
    source, titles = file.mapping, file.look.columns
    if not file.look.is_json:
        _check_required(file, source)
    read = {name for record in source.records for mapping in record.fields.values() for name in mapping.columns}
    if source.currency == "ignored" or "purchases" not in source.topics:
        return
    currencies = [record.fields.get("currency") for record in source.records if record.topic == "purchases"]
    if all(mapping is not None and (mapping.columns or mapping.template is not None) for mapping in currencies):
        return
    unread = [title for title in titles if _CURRENCY_COLUMN.fullmatch(title) and title not in read]
    if unread:
        raise ConfigurationError(
            f"{file.name}: column {unread[0]!r} seems to hold currencies and is not read; name it with "
            f"--column currency={unread[0]!r}, or say what it is with --constant currency=CODE ({shown(titles)})"
        )
