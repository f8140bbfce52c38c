"""Purchases: statements about orders.

An order has a state. `order_completed` and `order_updated` say what it is now, and of these the latest counts,
whichever of the two it is and however often it comes: one order id is one order. `order_refunded` takes something
back of it, `order_cancelled` everything and at once; both may leave the customer out, who is then that of the order.

The currency comes before the total because it says how many digits a total may have.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Raw, UnsetType
from pydantic import (
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from stream_app.contracts.fast_path import (
    QUOTE,
    Complete,
    Explain,
    FastForm,
    OptionalWireText,
    Wire,
    WireText,
    count_strings,
)
from stream_app.contracts.fields import (
    MAX_ITEMS,
    MAX_PRODUCTS,
    Amount,
    Currency,
    CustomerId,
    Id,
    ItemCount,
    ProductIds,
    Properties,
    Text,
    Time,
)
from stream_app.contracts.inputs.contract import InputContract, InputRecord
from stream_app.contracts.policy import DecodingPolicy
from stream_app.contracts.rows import TableForm
from stream_app.contracts.scan_form import (
    AMOUNT,
    CURRENCY,
    OBJECT,
    ORDER_ID,
    STATED_AT,
    TEXT,
    WORD,
    ScanForm,
    count_to,
    texts_to,
)
from stream_app.core.events import ALL_LEFT, CANCELLATION, CANCELS, PURCHASE, REFUND, Event
from stream_app.core.ids import normal_id

ORDER_COMPLETED: Final = "order_completed"
ORDER_UPDATED: Final = "order_updated"
ORDER_CANCELLED: Final = "order_cancelled"
ORDER_REFUNDED: Final = "order_refunded"
PurchaseType = Literal["order_completed", "order_updated", "order_cancelled", "order_refunded"]
STATEMENTS: Final = (ORDER_COMPLETED, ORDER_UPDATED)
"""Types that say what an order is, and so need its total."""

RETURNS: Final = (ORDER_CANCELLED, ORDER_REFUNDED)
"""Types that take back what was said of an order, and so may leave its customer to it."""

TYPE_ALIASES: Final = {
    "purchase": ORDER_COMPLETED,
    "update": ORDER_UPDATED,
    "cancellation": ORDER_CANCELLED,
    "refund": ORDER_REFUNDED,
}
"""Short words that tables use for the types."""
_LONGEST_TOTAL: Final = 20
"""Characters of 10^12 with four minor digits, and some to spare; longer totals are odd and can wait."""


_STATES: Final[dict[str, JsonValue]] = {
    "if": {"properties": {"type": {"enum": [ORDER_CANCELLED, ORDER_REFUNDED]}}, "required": ["type"]},
    "else": {
        "properties": {
            "currency": {"type": "string"},
            "customer_id": {"type": ["string", "integer"]},
            "total": {"type": ["number", "string"]},
        },
        "required": ["currency", "customer_id", "total"],
    },
}
"""What the schema adds to the fields: returns and cancellations may do without money and without a customer."""


def _add_states(schema: dict[str, Any]) -> None:
    schema.update(_STATES)
    schema["required"] = [name for name in schema["required"] if name != "customer_id"]
    fields, customer_id = schema["properties"], schema["properties"]["customer_id"]
    schema["properties"] = fields | {"customer_id": customer_id | {"anyOf": [*customer_id["anyOf"], {"type": "null"}]}}


class _Unnamed:
    """Stands for the customer of a record that says whose it is by its order."""


_UNNAMED: Final = _Unnamed()


def _read_owner(value: object, read: ValidatorFunctionWrapHandler) -> str:
    return "" if isinstance(value, _Unnamed) else str(read(value))


OwnerId = Annotated[CustomerId, WrapValidator(_read_owner)]
"""The customer, empty once validated where it is that of the order."""


class PurchaseRecord(InputRecord):
    """What happened to the order: it was completed, changed, refunded or cancelled."""

    model_config = ConfigDict(json_schema_extra=_add_states)

    customer_id: OwnerId
    """The customer; equal to the record's key. A refund or cancellation may leave it out: it is that of the order then,
    where the record's partition knows one customer who has it."""
    type: PurchaseType | None = ORDER_COMPLETED
    """What happened to the order; completed if absent."""
    order_id: Id
    """The order; a refund names the order it undoes. All records with one id are about one order."""
    currency: Currency | None = Field(None, validate_default=True)
    """ISO 4217 code; required beside a total."""
    total: Amount | None = Field(None, validate_default=True)
    """Money in major units, as a decimal string (recommended) or a number; positive for a refund too. Required where
    the order is completed or updated; a refund without it returns all that is left."""
    updated_at: Time | None = None
    """As of when the record says what the order is, if not `occurred_at`: of several, the latest counts."""
    items: ItemCount | None = None
    """Number of items."""
    channel: Text | None = None
    """Where it was sold, such as `web`."""
    store_id: Text | None = None
    """The shop."""
    products: ProductIds | None = None
    """Ids of the products."""
    properties: Properties | None = None
    """What else there is to say of it: a free object."""

    @model_validator(mode="before")
    @classmethod
    def _may_be_unnamed(cls, record: Any) -> Any:
        if not isinstance(record, dict):
            return record
        sent = record.get("customer_id")
        is_blank = sent is None or (isinstance(sent, str) and not normal_id(sent))
        return record | {"customer_id": _UNNAMED} if is_blank and record.get("type") in RETURNS else record

    @field_validator("type", mode="after")
    @classmethod
    def _absent_means_completed(cls, value: PurchaseType | None) -> PurchaseType:
        return value or ORDER_COMPLETED

    @field_validator("currency", "total", mode="after")
    @classmethod
    def _may_be_absent_of_returns(cls, value: str | int | None, info: ValidationInfo) -> str | int | None:
        if value is None and info.data.get("type") in STATEMENTS:
            raise PydanticKnownError("missing")
        if info.field_name == "total" and value is not None and info.data.get("currency", "") is None:
            raise PydanticCustomError("unknown_currency", "a currency beside it")
        return value


def to_event(record: PurchaseRecord, policy: DecodingPolicy) -> Event:
    """Return the event of a valid record."""
    event_type = str(record.type)
    if record.type == ORDER_CANCELLED:
        amount_minor = CANCELS
    elif record.total is None or record.currency is None:
        amount_minor = ALL_LEFT
    else:
        amount_minor = policy.conversions[record.currency].to_base(record.total)
    is_statement = record.type in STATEMENTS
    return Event(
        PURCHASE if is_statement else REFUND,
        record.customer_id,
        record.event_id,
        record.occurred_at,
        event_type,
        amount_minor,
        record.order_id,
        updated_at_ms=record.updated_at if is_statement else None,
    )


class _Purchase(Wire, gc=False, kw_only=True):
    order_id: WireText
    currency: str
    total: Raw
    type: PurchaseType | UnsetType | None = UNSET
    updated_at: str | UnsetType | None = UNSET
    items: Annotated[int, Meta(ge=0, le=MAX_ITEMS)] | UnsetType | None = UNSET
    channel: OptionalWireText = UNSET
    store_id: OptionalWireText = UNSET
    products: Annotated[list[WireText], Meta(max_length=MAX_PRODUCTS)] | UnsetType | None = UNSET


def _bind(policy: DecodingPolicy, explain: Explain) -> Complete:
    conversions, base_currency, levels = policy.conversions, policy.base_currency, policy.max_depth - 1

    def complete(record: _Purchase, at_ms: int, payload: bytes) -> Event | None:
        total = bytes(record.total)
        known_strings = 11  # required: six keys, five strings
        if total[0] == QUOTE:
            total = total[1:-1]
            known_strings = 12
        currency = record.currency
        conversion = conversions.get(currency)
        if conversion is None or len(total) > _LONGEST_TOTAL:
            return None
        whole, point, fraction = total.partition(b".")
        digits_missing = conversion.minor_digits - len(fraction)
        if digits_missing < 0 or not whole.isdigit() or (point and not fraction.isdigit()):
            return None
        amount_minor = int(whole + fraction)
        if digits_missing:
            amount_minor *= 10**digits_missing
        if amount_minor > conversion.limit_minor:
            return None
        if currency != base_currency:
            amount_minor = conversion.to_base(amount_minor)
        kind, kind_name = PURCHASE, record.type
        if kind_name is UNSET or kind_name is None:
            known_strings += kind_name is None
            kind_name = ORDER_COMPLETED
        else:
            known_strings += 2
            if kind_name == ORDER_REFUNDED:
                kind = REFUND
            elif kind_name == ORDER_CANCELLED:
                return None
        if (updated_at := record.updated_at) is not UNSET:
            if updated_at is not None:
                return None  # rare enough to be judged by the model
            known_strings += 1
        if record.items is not UNSET:
            known_strings += 1
        if (channel := record.channel) is not UNSET:
            known_strings += 1 if channel is None else 2
        if (store_id := record.store_id) is not UNSET:
            known_strings += 1 if store_id is None else 2
        if (products := record.products) is not UNSET:
            known_strings += 1 + len(products or ())
        if (properties := record.properties) is not UNSET:
            known_strings += 1 + count_strings(properties or {}, levels)
        quotes = payload.count(b'"')
        if quotes != 2 * known_strings and not explain(payload, quotes):
            return None
        return Event(kind, record.customer_id, record.event_id, at_ms, kind_name, amount_minor, record.order_id)

    return complete


PURCHASES: Final = InputContract(
    topic="purchases",
    version=1,
    title="Purchases",
    summary="Orders: completed, updated, refunded and cancelled.",
    model=PurchaseRecord,
    to_event=to_event,
    fast_form=FastForm(_Purchase, _bind),
    scan_form=ScanForm(
        PURCHASE,
        {
            "type": WORD,
            "order_id": ORDER_ID,
            "currency": CURRENCY,
            "total": AMOUNT,
            "updated_at": STATED_AT,
            "items": count_to(MAX_ITEMS),
            "channel": TEXT,
            "store_id": TEXT,
            "products": texts_to(MAX_PRODUCTS),
            "properties": OBJECT,
        },
        words={
            ORDER_COMPLETED: PURCHASE,
            ORDER_UPDATED: PURCHASE,
            ORDER_CANCELLED: CANCELLATION,
            ORDER_REFUNDED: REFUND,
        },
        absent_word=ORDER_COMPLETED,
    ),
    table_form=TableForm(own_ids=("event_id", "order_id"), no_cells=("products", "properties")),
    keeps=("type", "order_id", "currency", "items", "channel", "store_id", "products", "properties"),
)
