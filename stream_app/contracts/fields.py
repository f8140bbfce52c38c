"""The types that the contracts' fields are made of: what is valid, how it is named in a schema, why it is refused.

A validator refuses by `PydanticCustomError(reason, expectation)`, with a reason of the dead-letter contract.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from stream_app.contracts.currencies import FLOAT_NOISE, MAX_MAJOR_UNITS, MINOR_DIGITS, minor_units
from stream_app.contracts.ids import (
    ID_EXPECTED,
    digits_of,
    is_cut,
    is_decimal,
    placeholder_form,
)
from stream_app.contracts.policy import Circumstances
from stream_app.contracts.rejections import ABSENT_REASONS
from stream_app.core.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, format_instant, to_milliseconds
from stream_app.core.ids import normal_id

MAX_TEXT_CHARACTERS: Final = 256
"""Of an id or a name. Ids of shops, such as UUIDs and URNs, have up to about a hundred characters."""
MAX_TYPE_CHARACTERS: Final = 128
"""Of an engagement's type: other systems' names of events, such as "Product Viewed", fit."""
MAX_AMOUNT_CHARACTERS: Final = 64
"""Of an amount as text: far more than the largest one needs, and few enough to read as an exact decimal quickly."""
MAX_ITEMS: Final = 1_000_000
"""Items of one order: more are taken for a mistake, such as an amount in the wrong field."""
MAX_PRODUCTS: Final = 1_000
"""Product ids of one order, so that the record stays within the default of 64 KiB where ids are of usual length."""
MAX_VALUE: Final = 1e12
"""Of an engagement's value, either sign: far beyond scores, counts and durations in milliseconds of 30 years."""

TEXT_PATTERN: Final = r"^[^\u0000-\u001f\u007f-\u009f]*$"
Text = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_TEXT_CHARACTERS, pattern=TEXT_PATTERN, strict=True)
]
"""An id or a name: 1 to 256 characters, none of them a control character."""

# --- time ---------------------------------------------------------------------------------------------------------

TIME_EXPECTED: Final = "an RFC 3339 time with a zone, such as 2024-05-01T12:00:00Z"
TIME_PATTERN: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,32})?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
_TIME: Final = re.compile(TIME_PATTERN)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_from_iso: Final = datetime.fromisoformat


_HOURS: Final[dict[str, int]] = {}
_HOURS_MAX: Final = 1_000
"""Six weeks of them, in 0.2 MB: events come nearly in order, and few hours are asked for at a time."""
_SECONDS: Final = {f"{m:02}:{s:02}.": m * MINUTE_MS + s * SECOND_MS for m in range(60) for s in range(60)}
_MILLISECONDS: Final = {f"{ms:03}Z": ms for ms in range(SECOND_MS)}
"""The common form, `2024-05-01T12:34:56.789Z`, in three pieces. To find them all takes two thirds of the time that
checking punctuation and reading by `fromisoformat` take."""


def parse_instant(text: str) -> int:
    """Return an RFC 3339 time as milliseconds since the epoch; what is finer than that is cut off.

    Both decoding paths call this. A leap second, 23:59:60, has no place in Unix time and is refused.

    Raises
    ------
    PydanticCustomError
        With reason `invalid_time`; a `ValueError`.
    """
    hour, second, millisecond = text[:14], text[14:20], text[20:]
    try:
        return _HOURS[hour] + _SECONDS[second] + _MILLISECONDS[millisecond]
    except KeyError:
        at_ms = _parse_any_form(text)
    if second in _SECONDS and millisecond in _MILLISECONDS:
        if len(_HOURS) >= _HOURS_MAX:
            _HOURS.clear()
        _HOURS[hour] = at_ms - at_ms % HOUR_MS
    return at_ms


def _parse_any_form(text: str) -> int:
    """Do as `parse_instant`. `fromisoformat` takes more (week dates, missing seconds, hour 24), hence the pattern."""
    if _TIME.fullmatch(text) is None:
        raise PydanticCustomError("invalid_time", TIME_EXPECTED)
    try:
        since = _from_iso(text.upper()) - _EPOCH
    except ValueError:
        raise PydanticCustomError("invalid_time", TIME_EXPECTED) from None
    return since.days * DAY_MS + since.seconds * SECOND_MS + since.microseconds // 1_000


def _validate_time(value: object, info: ValidationInfo) -> int:
    if isinstance(value, datetime) and value.tzinfo is not None:
        at_ms = to_milliseconds(value)
    elif isinstance(value, str):
        at_ms = parse_instant(value)
    else:
        raise PydanticCustomError("wrong_type", TIME_EXPECTED)
    circumstances: Circumstances | None = info.context
    earliest_ms = circumstances.policy.earliest_ms if circumstances else 0
    if at_ms < earliest_ms:
        raise PydanticCustomError(
            "invalid_time", "a time from {earliest} on", {"earliest": format_instant(earliest_ms)}
        )
    if circumstances:
        latest_ms = circumstances.now_ms + circumstances.policy.future_tolerance_ms
        if at_ms > latest_ms:
            raise PydanticCustomError("time_in_future", "a time up to {latest}", {"latest": format_instant(latest_ms)})
    return at_ms


Time = Annotated[
    int,
    PlainValidator(_validate_time),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": TIME_PATTERN}),
]
"""When it happened; milliseconds since the epoch once validated. Aware `datetime` values are taken as well."""

# --- ids ----------------------------------------------------------------------------------------------------------

_UNDAMAGED: Final = 'the id as the shop has it, such as "115310627314723954": '


def _read_id(value: object) -> str:
    """Return an id in its normal form, of a whole number its digits."""
    if isinstance(value, str):
        text = normal_id(value)
        if is_cut(text):
            raise PydanticCustomError(
                "damaged_id", _UNDAMAGED + "a spreadsheet has cut digits off, others may look alike"
            )
        return text
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        digits = digits_of(value)
        if digits is None:
            raise PydanticCustomError(
                "damaged_id", _UNDAMAGED + "a number with a point or an exponent is not the one that was assigned"
            )
        return digits
    raise PydanticCustomError("wrong_type", ID_EXPECTED)


def _read_customer_id(value: object) -> str:
    if value is None or (isinstance(value, str) and not normal_id(value)):
        raise PydanticCustomError(*ABSENT_REASONS["customer_id"])
    text = _read_id(value)
    if is_decimal(text):
        raise PydanticCustomError("damaged_id", _UNDAMAGED + 'the ".0" comes from a table that took ids for decimals')
    return text


def _validate_customer(value: str, info: ValidationInfo) -> str:
    circumstances: Circumstances | None = info.context
    if circumstances is None:
        return value
    if placeholder_form(value) in circumstances.policy.placeholders:
        raise PydanticCustomError(
            "placeholder_id", "the id of one customer: this one stands for nobody (records.placeholder_ids)"
        )
    sent = circumstances.key
    if sent is not None and value.encode() != sent and value != normal_id(sent.decode("utf-8", "replace")):
        key = sent.decode("utf-8", "backslashreplace")[:MAX_TEXT_CHARACTERS]
        raise PydanticCustomError("key_mismatch", "the record's key, {key}", {"key": repr(key)})
    return value


_ID_SCHEMA: Final = WithJsonSchema(
    {
        "anyOf": [
            {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_CHARACTERS, "pattern": TEXT_PATTERN},
            {"type": "integer"},
        ]
    }
)
Id = Annotated[Text, BeforeValidator(_read_id), _ID_SCHEMA]
"""A text, or a whole number, whose digits are the id; without white space at its ends, in Unicode's form NFC."""
CustomerId = Annotated[Text, BeforeValidator(_read_customer_id), AfterValidator(_validate_customer), _ID_SCHEMA]
"""The customer, no placeholder; equal to the record's key, in its normal form too, where the carrier has keys."""

# --- money and numbers --------------------------------------------------------------------------------------------

CURRENCY_PATTERN: Final = "^[A-Za-z]{3}$"
AMOUNT_PATTERN: Final = r"^([0-9]+(\.[0-9]+)?|-0+(\.0+)?)$"
_DECIMAL: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_AMOUNT_EXPECTED: Final = (
    'an amount such as "19.99": digits with a decimal point, '
    "without thousands separators, currency, plus sign or exponent"
)
_TWO_READINGS: Final = re.compile(r"[0-9]{1,3},[0-9]{3}")


def _validate_currency(value: object, info: ValidationInfo) -> str:
    if not isinstance(value, str):
        raise PydanticCustomError("wrong_type", "an ISO 4217 code")
    circumstances: Circumstances | None = info.context
    code = value.upper() if len(value) == 3 else value
    if code not in (circumstances.policy.conversions if circumstances else MINOR_DIGITS):
        expected = "a currency with a configured rate" if code in MINOR_DIGITS else "an ISO 4217 code"
        raise PydanticCustomError("unknown_currency", expected)
    return code


Currency = Annotated[
    str,
    PlainValidator(_validate_currency),
    WithJsonSchema({"type": "string", "pattern": CURRENCY_PATTERN}),
]
"""ISO 4217 code, in capitals once validated; one that the deployment can convert."""


def _to_decimal(value: object) -> Decimal:
    """Return a number, or a decimal string, exactly. A float counts as its shortest decimal form."""
    if isinstance(value, str):
        if len(value) > MAX_AMOUNT_CHARACTERS:
            raise PydanticCustomError("out_of_range", f"at most {MAX_AMOUNT_CHARACTERS} characters")
        if _DECIMAL.fullmatch(value):
            return Decimal(value)
        if _TWO_READINGS.fullmatch(value):
            one, other = value.replace(",", ""), value.replace(",", ".")
            raise PydanticCustomError("wrong_type", f"{one} or {other}, whichever is meant")
    elif isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return Decimal(value)
    elif isinstance(value, float):
        return Decimal(repr(value))
    raise PydanticCustomError("wrong_type", _AMOUNT_EXPECTED)


def _validate_amount(value: object, info: ValidationInfo) -> int:
    amount = _to_decimal(value)
    currency = info.data.get("currency")
    if not amount.is_finite() or not -FLOAT_NOISE <= amount <= MAX_MAJOR_UNITS + FLOAT_NOISE:
        raise PydanticCustomError("out_of_range", f"an amount from 0 to {MAX_MAJOR_UNITS}")
    if currency is None:
        return 0  # the currency is at fault and comes first: this verdict is not looked at
    circumstances: Circumstances | None = info.context
    amount_minor = minor_units(amount, MINOR_DIGITS[currency])
    if amount_minor is None:
        raise PydanticCustomError(
            "out_of_range",
            "whole minor units of {currency}: at most {digits} digits after the point",
            {"currency": currency, "digits": MINOR_DIGITS[currency]},
        )
    if circumstances and amount_minor > circumstances.policy.conversions[currency].limit_minor:
        base = circumstances.policy.base_currency
        raise PydanticCustomError("out_of_range", f"an amount of at most {MAX_MAJOR_UNITS} {base}")
    return amount_minor


Amount = Annotated[
    int,
    PlainValidator(_validate_amount),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": MAX_MAJOR_UNITS},
                {"type": "string", "pattern": AMOUNT_PATTERN, "maxLength": MAX_AMOUNT_CHARACTERS},
            ]
        }
    ),
]
"""Money as a decimal string or a number; minor units of the record's currency once validated."""


def _whole_number(value: object) -> object:
    """Take 2.0 for 2, as JSON Schema does; saturate what no bound would let pass anyway."""
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value) if value.adjusted() < 30 else int(Decimal(1).scaleb(30).copy_sign(value))
    return value


def _real_number(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


ItemCount = Annotated[int, Field(ge=0, le=MAX_ITEMS, strict=True), BeforeValidator(_whole_number)]
"""A number of items, 0 to 1,000,000."""
Value = Annotated[
    float, Field(ge=-MAX_VALUE, le=MAX_VALUE, allow_inf_nan=False, strict=True), BeforeValidator(_real_number)
]
"""A finite number of at most 10^12, either sign."""
ProductIds = Annotated[list[Text], Field(max_length=MAX_PRODUCTS)]
EngagementType = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_TYPE_CHARACTERS, pattern=TEXT_PATTERN, strict=True)
]
"""A name such as `product_viewed` or "Product Viewed": an open list."""


def _validate_object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PydanticCustomError("wrong_type", "an object")
    return value


Properties = Annotated[dict[str, Any], PlainValidator(_validate_object), WithJsonSchema({"type": "object"})]
"""A free object: whatever a producer has to say beyond the contract. Only its size and depth are bounded."""
