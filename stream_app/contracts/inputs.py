"""What comes in: purchases and engagements. These models are the one definition of a valid record.

The order of the fields is the contract's order: where several are wrong, the first one is reported. The currency
stands before the total because it says how many digits a total may have. Unknown fields are ignored; null in an
optional field means that it is absent.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from stream_app.contracts.fields import (
    Amount,
    Currency,
    CustomerId,
    EngagementType,
    ItemCount,
    ProductIds,
    Text,
    Time,
    Value,
)

ORDER_COMPLETED: Final = "order_completed"
ORDER_REFUNDED: Final = "order_refunded"
PurchaseType = Literal["order_completed", "order_refunded"]


class InputRecord(BaseModel):
    """What purchases and engagements have in common."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", use_attribute_docstrings=True)

    event_id: Text
    """Identity of the event: a second record with it is a duplicate."""
    customer_id: CustomerId
    """The customer; equal to the record's key."""
    occurred_at: Time
    """When it happened: RFC 3339 with a zone, read to the millisecond."""


class PurchaseRecord(InputRecord):
    """A completed or refunded order."""

    type: PurchaseType | None = ORDER_COMPLETED
    """What happened to the order; completed if absent."""
    order_id: Text
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

    @field_validator("type", mode="after")
    @classmethod
    def _absent_means_completed(cls, value: PurchaseType | None) -> PurchaseType:
        return value or ORDER_COMPLETED


class EngagementRecord(InputRecord):
    """Anything else by which a customer shows interest."""

    type: EngagementType
    """What happened: an open list of names such as `product_viewed`, weighted by configuration."""
    channel: Text | None = None
    """Where it happened, such as `app`."""
    campaign_id: Text | None = None
    """The campaign it answers to."""
    value: Value | None = None
    """A number that the type gives a meaning to, such as a survey's score."""
