"""What is sent for a migration: CloudEvents, or the track events of Segment's audiences.

- `cloudevents`: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md, one event whose
  data are the migration as its topic has it.
- `segment`: what Segment Engage sends when a user leaves and enters an audience. A segment is an audience whose key
  never changes; a migration leaves one and enters the next, which are two events, in this order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec

EVENT_TYPE: Final = "com.stream-segmenter.migration."
"""Begins the type, as on the topic."""

BodyForm = Literal["cloudevents", "segment"]


class _Segment(msgspec.Struct):
    id: str
    name: str


class _Cause(msgspec.Struct):
    kind: str


class _Explanation(msgspec.Struct):
    margin: float | None


class _Holdout(msgspec.Struct):
    held_out: bool


class _Needed(msgspec.Struct):
    """What is needed of a migration; a later version may say more."""

    migration_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    sequence: int
    customer_id: str
    segmentation: str
    from_segment: _Segment | None
    to_segment: _Segment
    change: str
    effective_at: str
    cause: _Cause
    explanation: _Explanation
    holdout: _Holdout


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


def read_migration(value: bytes) -> dict[str, Any]:
    """Return a record of the migrations topic, with every field it has.

    Raises
    ------
    ValueError
        If a field that is needed is missing or of another type.
    """
    migration: dict[str, Any] = json.loads(value)
    msgspec.convert(migration, _Needed)
    return migration


def build_messages(form: BodyForm, migration: Mapping[str, Any], source: str) -> tuple[Message, ...]:
    """Return what is sent for a migration, in order.

    Parameters
    ----------
    form
        Which form the body has.
    migration
        As on its topic.
    source
        What makes it: the deployment's consumer group.

    Raises
    ------
    ValueError
        If it cannot be written as UTF-8.
    """
    if form == "cloudevents":
        return (_cloud_event(migration, source),)
    left, entered = migration["from_segment"], migration["to_segment"]
    exits = () if left is None else (_audience_event(migration, left, False),)
    return (*exits, _audience_event(migration, entered, True))


def _cloud_event(migration: Mapping[str, Any], source: str) -> Message:
    event = {
        "specversion": "1.0",
        "id": migration["migration_id"],
        "type": EVENT_TYPE + migration["change"],
        "source": source,
        "subject": migration["customer_id"],
        "time": migration["effective_at"],
        "datacontenttype": "application/json",
        "data": migration,
    }
    return Message(event["id"], "application/cloudevents+json", _encode(event))


def _audience_event(migration: Mapping[str, Any], segment: Mapping[str, str], is_in: bool) -> Message:
    key = f"{migration['segmentation']}_{segment['id']}"
    message_id = f"{migration['migration_id']}-{'entered' if is_in else 'exited'}"
    event = {
        "type": "track",
        "event": "Audience Entered" if is_in else "Audience Exited",
        "messageId": message_id,
        "userId": migration["customer_id"],
        "timestamp": migration["effective_at"],
        "properties": {
            "audience_key": key,
            key: is_in,
            "audience_name": segment["name"],
            "segmentation": migration["segmentation"],
            "sequence": migration["sequence"],
            "change": migration["change"],
            "cause": migration["cause"]["kind"],
        },
    }
    return Message(message_id, "application/json", _encode(event))


def _encode(event: Mapping[str, Any]) -> str:
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    text.encode()  # a lone surrogate is refused here, and not when it is sent
    return text
