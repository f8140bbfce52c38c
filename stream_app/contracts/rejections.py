"""From a failed validation to one reason, one field and one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from pydantic import ValidationError

from stream_app.core.events import Event
from stream_app.core.identities import IDENTITY_REASONS
from stream_app.errors import CustomerUnnamed, InvalidRecord

REJECTION_REASONS: Final = (
    "malformed",
    "invalid_encoding",
    "too_large",
    "too_deep",
    "duplicate_key",
    "missing_field",
    "wrong_type",
    "out_of_range",
    "invalid_time",
    "time_in_future",
    "unknown_currency",
    "key_mismatch",
    "no_customer",
    "placeholder_id",
    "damaged_id",
    "unknown_order",
    *IDENTITY_REASONS,
)
"""Why a record is refused: the closed list of the dead-letter contract."""
NOBODY_REASONS: Final = ("no_customer", "placeholder_id")
"""Of records that may be sound but for the customer, whom they do not name: orders of guests, views of visitors."""
ABSENT_REASONS: Final = {
    "customer_id": ("no_customer", "the id of the customer; a record without one counts for nobody")
}
"""By field, reason and expectation where it is absent, if they are not those of any required field."""
RECORD: Final = "$"
"""Stands for the record as a whole where no field of the contract is at fault."""
SHOWN_CHARACTERS: Final = 80

_VERDICTS: Final[dict[str, tuple[str, str]]] = {
    "missing": ("missing_field", "a value: the field is required"),
    "string_type": ("wrong_type", "a string"),
    "string_too_short": ("out_of_range", "at least {min_length} character"),
    "string_too_long": ("out_of_range", "at most {max_length} characters"),
    "string_pattern_mismatch": ("out_of_range", "a string of the form {pattern}"),
    "literal_error": ("out_of_range", "{expected}"),
    "int_type": ("wrong_type", "a whole number"),
    "float_type": ("wrong_type", "a number"),
    "finite_number": ("out_of_range", "a finite number"),
    "greater_than_equal": ("out_of_range", "at least {ge}"),
    "less_than_equal": ("out_of_range", "at most {le}"),
    "list_type": ("wrong_type", "an array"),
    "dict_type": ("wrong_type", "an object"),
    "model_type": ("wrong_type", "an object"),
    "too_short": ("out_of_range", "at least {min_length} elements"),
    "too_long": ("out_of_range", "at most {max_length} elements"),
    "extra_forbidden": ("out_of_range", "no such field"),
}
"""Reason and expectation by pydantic's error type; our own validators use the reason as the type."""


def shown(value: object) -> str:
    """Return a value as JSON text of at most 80 characters, fit for any log: what does not print is escaped."""
    if isinstance(value, Decimal):
        text = str(value)
    else:
        if isinstance(value, str):
            value = value[: SHOWN_CHARACTERS + 1]  # the whole may be a megabyte
        text = json.dumps(value, ensure_ascii=False, default=str)
    if not text.isprintable():
        text = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def reject(reason: str, field: str, value: object, expectation: str) -> InvalidRecord:
    """Build the rejection of a field for its value."""
    return InvalidRecord(reason, field, f"{field}: {shown(value)}, expected {expectation}")


def unnamed(event: Event) -> CustomerUnnamed:
    """Build the rejection of a valid record without a customer, for where its order tells nobody."""
    expectation = (
        "an order that this partition has from exactly one customer; otherwise name the customer (customer_id)"
    )
    return CustomerUnnamed(event.order_id, f"order_id: {shown(event.order_id)}, expected {expectation}", event)


def rejection_of(error: ValidationError, record: Mapping[str, Any]) -> InvalidRecord:
    """Return the first failure of the validation of `record`, in contract order, as a rejection."""
    first = error.errors(include_url=False)[0]
    kind, path = first["type"], first["loc"] or (RECORD,)
    is_key = path[-1] == "[key]"  # of a free object, which could be anything
    field, named = str(path[0]), str(path[0]) if is_key else ".".join(map(str, path))
    # `input` is what a coercion made of the value, and the whole object if the field is missing
    value = record.get(field, first["input"]) if len(path) == 1 else first["input"]
    if kind in REJECTION_REASONS:
        reason, expectation = kind, first["msg"]
    else:
        reason, template = _VERDICTS.get(kind, ("out_of_range", first["msg"]))
        expectation = template.format_map(first.get("ctx", {}))
    if reason == "missing_field":
        reason, expectation = ABSENT_REASONS.get(named, (reason, expectation))
        return InvalidRecord(reason, field, f"{named}: missing, expected {expectation}")
    if isinstance(value, str) and not _is_text(value):
        reason, expectation = "invalid_encoding", "text without lone surrogates"
    elif kind == "literal_error" and not isinstance(value, str):
        reason = "wrong_type"
    return InvalidRecord(reason, field, f"{named}: {shown(value)}, expected {expectation}")


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
