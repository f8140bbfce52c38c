"""Purchases: completed and refunded orders.

The currency stands before the total because it says how many digits a total may have.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, Raw, UnsetType
from pydantic import field_validator

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
    Id,
    ItemCount,
    ProductIds,
    Properties,
    Text,
)
from stream_app.contracts.inputs.contract import InputContract, InputRecord
from stream_app.contracts.policy import DecodingPolicy
from stream_app.contracts.rows import TableForm
from stream_app.contracts.scan_form import AMOUNT, CURRENCY, OBJECT, ORDER_ID, TEXT, WORD, ScanForm, count_to, texts_to
from stream_app.core.events import PURCHASE, REFUND, Event

ORDER_COMPLETED: Final = "order_completed"
ORDER_REFUNDED: Final = "order_refunded"
PurchaseType = Literal["order_completed", "order_refunded"]

TYPE_ALIASES: Final = {"purchase": ORDER_COMPLETED, "refund": ORDER_REFUNDED}
"""Short words that tables use for the types."""
_LONGEST_TOTAL: Final = 20
"""Characters of 10^12 with four minor digits, and some to spare; longer totals are odd and can wait."""


class PurchaseRecord(InputRecord):
    """A completed or refunded order."""

    type: PurchaseType | None = ORDER_COMPLETED
    """What happened to the order; completed if absent."""
    order_id: Id
    """The order; a refund names the order it undoes."""
    currency: Currency
    """ISO 4217 code."""
    total: Amount
    """Money in major units, as a decimal string (recommended) or a number; positive for a refund too."""
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

    @field_validator("type", mode="after")
    @classmethod
    def _absent_means_completed(cls, value: PurchaseType | None) -> PurchaseType:
        return value or ORDER_COMPLETED


def to_event(record: PurchaseRecord, policy: DecodingPolicy) -> Event:
    """Return the event of a valid record."""
    return Event(
        REFUND if record.type == ORDER_REFUNDED else PURCHASE,
        record.customer_id,
        record.event_id,
        record.occurred_at,
        str(record.type),
        policy.conversions[record.currency].to_base(record.total),
        record.order_id,
    )


class _Purchase(Wire, gc=False, kw_only=True):
    order_id: WireText
    currency: str
    total: Raw
    type: PurchaseType | UnsetType | None = UNSET
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


def _adapt_cells(cells: dict[str, object]) -> None:
    """Read the short words for a type, and drop the minus signs that tables put before a refund's money and items."""
    if isinstance(kind := cells.get("type"), str):
        cells["type"] = TYPE_ALIASES.get(kind, kind)
        if cells["type"] == ORDER_REFUNDED:
            for field in ("total", "items"):
                if isinstance(signed := cells.get(field), str):
                    cells[field] = signed.removeprefix("-")


PURCHASES: Final = InputContract(
    topic="purchases",
    version=1,
    title="Purchases",
    summary="Completed and refunded orders.",
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
            "items": count_to(MAX_ITEMS),
            "channel": TEXT,
            "store_id": TEXT,
            "products": texts_to(MAX_PRODUCTS),
            "properties": OBJECT,
        },
        words={ORDER_COMPLETED: PURCHASE, ORDER_REFUNDED: REFUND},
        absent_word=ORDER_COMPLETED,
    ),
    table_form=TableForm(
        own_ids=("event_id", "order_id"), numbers=("items",), no_cells=("products", "properties"), adapt=_adapt_cells
    ),
    keeps=("type", "order_id", "currency", "items", "channel", "store_id", "products", "properties"),
)
