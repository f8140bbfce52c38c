"""Engagements: anything but an order by which a customer shows interest."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType

from stream_app.contracts.fast_path import Complete, Explain, FastForm, OptionalWireText, Wire
from stream_app.contracts.fields import MAX_VALUE, EngagementType, Text, Value
from stream_app.contracts.inputs.contract import InputContract, InputRecord
from stream_app.contracts.policy import ENGAGEMENT_TYPE, ENGAGEMENT_TYPE_CHARACTERS, DecodingPolicy
from stream_app.contracts.rows import TableForm
from stream_app.contracts.scan_form import TEXT, ScanForm, name_of, number_within
from stream_app.core.events import ENGAGEMENT, Event

TYPES_CACHED: Final = 256
"""Names of types whose form is known; a shop has dozens."""


class EngagementRecord(InputRecord):
    """Anything else by which a customer shows interest."""

    type: EngagementType
    """What happened: an open list of names such as `product_viewed`."""
    channel: Text | None = None
    """Where it happened, such as `app`."""
    campaign_id: Text | None = None
    """The campaign it answers to."""
    value: Value | None = None
    """A number that the type gives a meaning to, such as a survey's score."""


def to_event(record: EngagementRecord, _policy: DecodingPolicy) -> Event:
    """Return the event of a valid record."""
    return Event(ENGAGEMENT, record.customer_id, record.event_id, record.occurred_at, record.type)


class _Engagement(Wire, gc=False, kw_only=True):
    type: str
    channel: OptionalWireText = UNSET
    campaign_id: OptionalWireText = UNSET
    value: Annotated[float, Meta(ge=-MAX_VALUE, le=MAX_VALUE)] | UnsetType | None = UNSET


def _bind(_policy: DecodingPolicy, explain: Explain) -> Complete:
    match_type = lru_cache(TYPES_CACHED)(ENGAGEMENT_TYPE.fullmatch)

    def complete(record: _Engagement, at_ms: int, payload: bytes) -> Event | None:
        if match_type(record.type) is None:
            return None
        known_strings = 8  # required: four keys, four strings
        if (channel := record.channel) is not UNSET:
            known_strings += 1 if channel is None else 2
        if (campaign_id := record.campaign_id) is not UNSET:
            known_strings += 1 if campaign_id is None else 2
        if record.value is not UNSET:
            known_strings += 1
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
            "type": name_of(ENGAGEMENT_TYPE_CHARACTERS),
            "channel": TEXT,
            "campaign_id": TEXT,
            "value": number_within(MAX_VALUE),
        },
    ),
    table_form=TableForm(numbers=("value",)),
)
