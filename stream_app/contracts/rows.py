"""Rows of a table (CSV) as records: cells are text, so numbers and times need reading before the models judge them.

Only the form is adapted here; what is valid is said by the models alone. A cell that cannot be adapted goes on as it
is, and they refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Final

from stream_app.contracts.inputs import ORDER_COMPLETED, ORDER_REFUNDED

TYPE_ALIASES: Final = {"purchase": ORDER_COMPLETED, "refund": ORDER_REFUNDED}
"""Short words that tables use for the types of a purchase."""

_NUMBER_FIELDS: Final = ("items", "value")
_NUMBER: Final = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")
_NAIVE_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,32})?)?)?")
_NO_CELL: Final = "products"
"""A list has no form in a cell; such a column is ignored like an unknown one."""


def record_of_row(
    row: Mapping[str, str | None], fields: Collection[str], naive_zone: tzinfo | None
) -> dict[str, object]:
    """Return the record that a row stands for.

    Empty cells are absent. In a refund the minus signs that tables put before its money and items are dropped, for
    the contract counts both positive. Times without a zone, or without a time of day, are taken to be in
    `naive_zone`; at the end of summer time the first of two equal wall times is meant.
    """
    record: dict[str, object] = {}
    for field in fields:
        cell = row.get(field)
        if cell and field != _NO_CELL and (text := cell.strip()):
            record[field] = text
    if "order_id" in fields and isinstance(kind := record.get("type"), str):
        record["type"] = TYPE_ALIASES.get(kind, kind)
        if record["type"] == ORDER_REFUNDED:
            for field in ("total", "items"):
                if isinstance(signed := record.get(field), str):
                    record[field] = signed.removeprefix("-")
    for field in _NUMBER_FIELDS:
        if isinstance(number := record.get(field), str) and _NUMBER.fullmatch(number):
            record[field] = Decimal(number)
    if naive_zone is not None and isinstance(at := record.get("occurred_at"), str) and _NAIVE_TIME.fullmatch(at):
        record["occurred_at"] = _in_zone(at, naive_zone)
    return record


def _in_zone(text: str, zone: tzinfo) -> datetime | str:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone)
    except ValueError:  # no such day or hour
        return text
