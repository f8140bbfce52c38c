"""The evidence in the topics, as plain values: records as they lie there, and the content of those a worker wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import ValidationError

from stream_app.audit.findings import Finding

Headers = Sequence[tuple[str, bytes]]


class LogRecord(NamedTuple):
    """A record of a topic, bytes as they are. `timestamp_ms` is the record's own, not the event's."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Standing(NamedTuple):
    """Where a customer is in a segmentation, as row, membership and last migration each say it.

    `segment_id` is None for a customer who is no longer in any segment. `since` and `model_version` are None where a
    row does not say: of segmentations by rules it knows no version, and most often not since when.
    """

    segment_id: str | None
    sequence: int
    since: str | None
    model_version: int | None


class Cause(NamedTuple):
    """What a migration names as its cause; with a topic only if that was an event."""

    kind: str
    event_id: str | None
    topic: str | None
    partition: int
    offset: int


class Migration(NamedTuple):
    """A record of `segment-migrations`, as far as an audit looks at it."""

    offset: int
    key: bytes | None
    header_id: bytes | None
    migration_id: str
    customer_id: str
    segmentation: str
    sequence: int
    change: str
    from_segment_id: str | None
    to: Standing
    cause: Cause
    direction: str | None = None


class Membership(NamedTuple):
    """A record of `segment-memberships`; `standing` is None where the value is null: it has ended."""

    offset: int
    key: bytes | None
    segmentation: str
    customer_id: str
    standing: Standing | None


class Letter(NamedTuple):
    """A dead letter. `source` is topic, partition and offset of the record that was refused."""

    offset: int
    key: bytes | None
    source: tuple[str, int, int]
    reason: str
    field: str
    source_timestamp: str | None
    payload_sha256: str


def broken(error: ValidationError, position: str) -> Finding:
    """Return the breach of a record that breaks its contract, named by its first fault."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"])) or "record"
    return Finding("contracts", f"{field}: {first['msg']}", position=position)
