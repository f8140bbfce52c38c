"""The currency of exports, as they say themselves.

A report needs one currency that all money is counted in. Where nobody has set one, it is the one that most of the first
rows of the files name, or most of all records where the first rows name none, so nobody has to repeat what
an export says. Amounts in others need a rate, as always.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stream_app.contracts.currencies import MINOR_DIGITS
from stream_app.contracts.inputs.purchases import PURCHASES
from stream_app.sources.amounts import CURRENCY_SIGNS
from stream_app.sources.checking import rows_of
from stream_app.sources.files import SourceFile
from stream_app.sources.forms import ROWS_LOOKED_AT, look_at
from stream_app.sources.loading import Loading, LoadingOptions
from stream_app.sources.mapping import FieldMapping
from stream_app.sources.opening import planned
from stream_app.sources.staging import frame_rows


class _Order(msgspec.Struct):
    currency: str | None = None


_read: Final = msgspec.json.Decoder(_Order).decode


def commonest_currency(files: Sequence[SourceFile], options: LoadingOptions) -> str | None:
    """Return the currency that most orders of files with mappings are in; None if they name none.

    Parameters
    ----------
    files
        Input files.
    options
        What mappings leave open.

    Raises
    ------
    ConfigurationError
        If a file cannot be read.
    """
    exports = [file for file in files if file.mapping is not None]
    found = _known(_of_first_rows(exports)) if exports else Counter()
    if exports and not found and any(_reads_currency(file) for file in exports):
        found = _known(_of_all(exports, options))
    return min(found, key=lambda code: (-found[code], code)) if found else None


def _known(named: Counter[str]) -> Counter[str]:
    return Counter({code: count for code, count in named.items() if code in MINOR_DIGITS})


def _reads_currency(file: SourceFile) -> bool:
    return file.mapping is not None and any("currency" in record.fields for record in file.mapping.records)


def _of_all(files: Sequence[SourceFile], options: LoadingOptions) -> Counter[str]:
    named: Counter[str] = Counter()
    with planned(files, [str(file.path) for file in files], options) as (inputs, own), Loading(inputs, own) as loading:
        for block in loading.lines():
            texts = [line.text for line in block if line.topic == PURCHASES.topic and line.error is None]
            named.update(code for text in texts if (code := _read(text).currency))
    return named


def _of_first_rows(files: Sequence[SourceFile]) -> Counter[str]:
    named: Counter[str] = Counter()
    for file in files:
        if file.mapping is None or file.join:
            continue
        currencies = {
            (mapping.constant, mapping.columns): mapping
            for record in file.mapping.records
            if record.topic == "purchases" and (mapping := record.fields.get("currency")) is not None
        }
        rows = _first_rows(file) if currencies else []
        for mapping in currencies.values():
            named.update(_named(mapping, rows))
    return named


def _first_rows(file: SourceFile) -> Sequence[Mapping[str, str]]:
    if file.frame is not None:
        return frame_rows(file.frame, ROWS_LOOKED_AT)
    return rows_of(look_at(file.path, file.mapping, file.member))[1]


def _named(mapping: FieldMapping, rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the codes that the first rows have; a constant counts as one."""
    if mapping.constant is not None:
        return [mapping.constant]
    found = []
    for row in rows:
        cell = next((cell for column in mapping.columns if (cell := (row.get(column) or "").strip())), "")
        found.append(CURRENCY_SIGNS.get(cell, cell.upper()))
    return found
