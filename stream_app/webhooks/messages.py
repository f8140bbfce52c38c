"""The body of a request: CloudEvents, or the track events of Segment's audiences.

- `cloudevents`: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md, one event whose
  data are the migration as its topic has it.
- `segment`: the events that Segment Engage sends when a user leaves and enters an audience. A segment is an audience
  whose key never changes; a migration leaves one and enters the next, which are two events, in this order. A first
  entry leaves none, and a customer who left a segmentation enters none.

Notices of upcoming moves are CloudEvents, too; to Segment they are nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from stream_app.contracts.readers import MigrationRecord, SegmentReference, UpcomingRecord

EVENT_TYPE: Final = "com.stream-segmenter.migration."
"""Begins the type, as on the topic."""
NOTICE_TYPE: Final = "com.stream-segmenter.upcoming."
"""The same for a notice."""

BodyForm = Literal["cloudevents", "segment"]

_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Message:
    """One request's content.

    Parameters
    ----------
    id
        The same whenever the same is sent again.
    content_type
        Of the body.
    body
        JSON.
    """

    id: str
    content_type: str
    body: str


def build_messages(form: BodyForm, migration: MigrationRecord, document: bytes, source: str) -> tuple[Message, ...]:
    """Return the requests to send for a migration, in order.

    Parameters
    ----------
    form
        Form of the body.
    migration
        As it was read.
    document
        As it is on its topic: fields that are not known here are passed on, too.
    source
        The deployment's consumer group.
    """
    if form == "cloudevents":
        own = migration.migration_id, EVENT_TYPE + migration.change, migration.customer_id, migration.effective_at
        return (_cloud_event(*own, document, source),)
    left, entered = migration.from_segment, migration.to_segment
    exits = () if left is None else (_audience_event(migration, left, is_in=False),)
    entries = () if entered is None else (_audience_event(migration, entered, is_in=True),)
    return *exits, *entries


def build_notice(notice: UpcomingRecord, document: bytes, source: str) -> Message:
    """Return the request to send for a notice of an upcoming move; see `build_messages`."""
    own = notice.notice_id, NOTICE_TYPE + notice.status, notice.customer_id, notice.decided_at
    return _cloud_event(*own, document, source)


def _cloud_event(event_id: str, event_type: str, customer_id: str, at: str, document: bytes, source: str) -> Message:
    event = {
        "specversion": "1.0",
        "id": event_id,
        "type": event_type,
        "source": source,
        "subject": customer_id,
        "time": at,
        "datacontenttype": "application/json",
        "data": msgspec.Raw(document),
    }
    return Message(event_id, "application/cloudevents+json", _encode(event).decode())


def _audience_event(migration: MigrationRecord, segment: SegmentReference, *, is_in: bool) -> Message:
    key = f"{migration.segmentation}_{segment.id}"
    message_id = f"{migration.migration_id}-{'entered' if is_in else 'exited'}"
    event = {
        "type": "track",
        "event": "Audience Entered" if is_in else "Audience Exited",
        "messageId": message_id,
        "userId": migration.customer_id,
        "timestamp": migration.effective_at,
        "properties": {
            "audience_key": key,
            key: is_in,
            "audience_name": segment.name,
            "segmentation": migration.segmentation,
            "sequence": migration.sequence,
            "change": migration.change,
            "direction": migration.direction,
            "cause": migration.cause.kind,
        },
    }
    return Message(message_id, "application/json", _encode(event).decode())
