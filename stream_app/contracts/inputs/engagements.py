"""Engagements: anything but an order by which a customer shows interest."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType

from stream_app.contracts.fast_path import Complete, Explain, FastForm, OptionalWireText, Wire, count_strings
from stream_app.contracts.fields import MAX_TYPE_CHARACTERS, MAX_VALUE, EngagementType, Properties, Text, Value
from stream_app.contracts.inputs.contract import InputContract, InputRecord
from stream_app.contracts.policy import DecodingPolicy
from stream_app.contracts.rows import TableForm
from stream_app.contracts.scan_form import OBJECT, TEXT, ScanForm, number_within, type_of
from stream_app.core.events import ENGAGEMENT, Event


class EngagementRecord(InputRecord):
    """Anything else by which a customer shows interest."""

    type: EngagementType
    """What happened: an open list of names such as `product_viewed` or "Product Viewed"."""
    channel: Text | None = None
    """Where it happened, such as `app`."""
    campaign_id: Text | None = None
    """The campaign it answers to."""
    value: Value | None = None
    """A number that the type gives a meaning to, such as a survey's score."""
    properties: Properties | None = None
    """What else there is to say of it: a free object."""


def to_event(record: EngagementRecord, _policy: DecodingPolicy) -> Event:
    """Return the event of a valid record."""
    return Event(ENGAGEMENT, record.customer_id, record.event_id, record.occurred_at, record.type)


class _Engagement(Wire, gc=False, kw_only=True):
    type: Annotated[str, Meta(min_length=1, max_length=MAX_TYPE_CHARACTERS)]
    channel: OptionalWireText = UNSET
    campaign_id: OptionalWireText = UNSET
    value: Annotated[float, Meta(ge=-MAX_VALUE, le=MAX_VALUE)] | UnsetType | None = UNSET


def _bind(policy: DecodingPolicy, explain: Explain) -> Complete:
    levels = policy.max_depth - 1

    def complete(record: _Engagement, at_ms: int, payload: bytes) -> Event | None:
        known_strings = 8  # required: four keys, four strings
        if (channel := record.channel) is not UNSET:
            known_strings += 1 if channel is None else 2
        if (campaign_id := record.campaign_id) is not UNSET:
            known_strings += 1 if campaign_id is None else 2
        if record.value is not UNSET:
            known_strings += 1
        if (properties := record.properties) is not UNSET:
            known_strings += 1 + count_strings(properties or {}, levels)
        quotes = payload.count(b'"')
        if quotes != 2 * known_strings and not explain(payload, quotes):
            return None
        return Event(ENGAGEMENT, record.customer_id, record.event_id, at_ms, record.type)

    return complete


ENGAGEMENTS: Final = InputContract(
    topic="engagements",
    version=1,
    title="Engagements",
    summary="Other signs of a customer's interest.",
    model=EngagementRecord,
    to_event=to_event,
    fast_form=FastForm(_Engagement, _bind),
    scan_form=ScanForm(
        ENGAGEMENT,
        {
            "type": type_of(MAX_TYPE_CHARACTERS),
            "channel": TEXT,
            "campaign_id": TEXT,
            "value": number_within(MAX_VALUE),
            "properties": OBJECT,
        },
    ),
    table_form=TableForm(no_cells=("properties",)),
    keeps=("type", "channel", "campaign_id", "value", "properties"),
)
