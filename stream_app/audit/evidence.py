"""What the topics say, as plain values: records as they came, and what is in those that the worker wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from pydantic import ValidationError

from stream_app.adapters.changelog import FENCE_KEY, POSITION_KEY, PartitionPosition
from stream_app.audit.findings import Finding, place
from stream_app.audit.recount import Totals
from stream_app.contracts.outputs import DeadLetter, SegmentMembership, SegmentMigration
from stream_app.core.clock import format_instant
from stream_app.core.row import MEMBERSHIP_DTYPE, decode_row
from stream_app.errors import SegmenterError

Headers = Sequence[tuple[str, bytes]]

_MEMBERSHIP_FIELDS: Final = MEMBERSHIP_DTYPE.names or ()


class LogRecord(NamedTuple):
    """A record of a topic, bytes as they are. `timestamp_ms` is the record's own, not the event's."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Standing(NamedTuple):
    """Where a customer stands, as row, membership and last migration each say it."""

    segment_id: str
    sequence: int
    since: str
    model_version: int


class CustomerState(NamedTuple):
    """A row of the changelog."""

    totals: Totals
    standing: Standing


class Cause(NamedTuple):
    """What a migration names as its cause; a topic only where an event was it."""

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


class Membership(NamedTuple):
    """A record of `segment-memberships`, likewise."""

    offset: int
    key: bytes | None
    segmentation: str
    customer_id: str
    standing: Standing

    @property
    def customer_key(self) -> bytes:
        """The key without its segmentation, which goes before a slash; empty if it names another one."""
        segmentation, _, customer = (self.key or b"").partition(b"/")
        return customer if segmentation == self.segmentation.encode() else b""


class Letter(NamedTuple):
    """A dead letter, likewise. `source` is topic, partition and offset of the record that was refused."""

    offset: int
    key: bytes | None
    source: tuple[str, int, int]
    reason: str
    field: str
    source_timestamp: str | None
    payload_sha256: str


class Changelog:
    """What a partition of the changelog says: the last row of each customer and the last position.

    Parameters
    ----------
    topic, partition
        Its name.
    """

    def __init__(self, topic: str, partition: int) -> None:
        self.topic, self.partition = topic, partition
        self.rows: dict[bytes, LogRecord] = {}
        self.position: PartitionPosition | None = None
        self.fences = 0

    def take(self, records: Sequence[LogRecord]) -> list[Finding]:
        """Take the next records of the log; return where positions went back or could not be read."""
        findings = []
        for record in records:
            key = record.key
            if key == FENCE_KEY:
                self.fences += 1
            elif key == POSITION_KEY:
                findings += self._move(record)
            elif key is None or record.value is None:
                findings.append(self._finding("contracts", f"key {key!r}, value {record.value!r}: no row", record))
            else:
                self.rows[key] = record
        return findings

    def states(self) -> tuple[dict[str, CustomerState], list[Finding]]:
        """Return the state of each customer, and the rows that cannot be read."""
        states, findings = {}, []
        for key, record in self.rows.items():
            try:
                states[key.decode()] = read_state(record.value or b"")
            except (SegmenterError, UnicodeDecodeError) as error:
                findings.append(self._finding("contracts", f"row of {key!r}: {error}", record))
        return states, findings

    def _move(self, record: LogRecord) -> list[Finding]:
        try:
            position = PartitionPosition.decode(record.value or b"")
        except msgspec.MsgspecError as error:
            return [self._finding("contracts", f"position: {error}", record)]
        before = self.position.offsets if self.position else {}
        self.position = position
        return [
            self._finding("positions", f"{topic} goes back from {offset} to {position.offsets.get(topic)}", record)
            for topic, offset in before.items()
            if position.offsets.get(topic, -1) < offset
        ]

    def _finding(self, check: str, message: str, record: LogRecord) -> Finding:
        return Finding(check, message, position=place(self.topic, self.partition, record.offset))


def read_state(value: bytes) -> CustomerState:
    """Return what a row says; raises as `stream_app.core.row.decode_row` does."""
    row, packed = decode_row(value)
    membership = dict(zip(_MEMBERSHIP_FIELDS, np.frombuffer(packed, MEMBERSHIP_DTYPE)[0].item(), strict=True))
    sequence = membership["sequence"]
    standing = Standing(
        f"s{membership['segment']}",
        sequence,
        format_instant(membership["since_ms"]) if sequence else "",
        membership["model_version"],
    )
    return CustomerState(Totals(*(getattr(row, name) for name in Totals._fields)), standing)


def read_migrations(records: Sequence[LogRecord], topic: str, partition: int) -> tuple[list[Migration], list[Finding]]:
    """Return the migrations, and the records that are none."""
    migrations, findings = [], []
    for record in records:
        try:
            seen = SegmentMigration.model_validate_json(record.value or b"")
        except ValidationError as error:
            findings.append(_broken(error, record, topic, partition))
            continue
        at, target = seen.cause.position, seen.to_segment
        migrations.append(
            Migration(
                record.offset,
                record.key,
                dict(record.headers).get("ce_id"),
                seen.migration_id,
                seen.customer_id,
                seen.segmentation,
                seen.sequence,
                seen.change,
                seen.from_segment.id if seen.from_segment else None,
                Standing(target.id if target else "", seen.sequence, seen.effective_at, seen.model_version),
                Cause(
                    seen.cause.kind,
                    seen.cause.event_id,
                    at.topic if at else None,
                    at.partition if at else -1,
                    at.offset if at else -1,
                ),
            )
        )
    return migrations, findings


def read_memberships(
    records: Sequence[LogRecord], topic: str, partition: int
) -> tuple[list[Membership], list[Finding]]:
    """Return the memberships, and the records that are none."""
    memberships, findings = [], []
    for record in records:
        try:
            seen = SegmentMembership.model_validate_json(record.value or b"")
        except ValidationError as error:
            findings.append(_broken(error, record, topic, partition))
            continue
        standing = Standing(seen.segment.id, seen.sequence, seen.since, seen.model_version)
        memberships.append(Membership(record.offset, record.key, seen.segmentation, seen.customer_id, standing))
    return memberships, findings


def read_letters(records: Sequence[LogRecord], topic: str, partition: int) -> tuple[list[Letter], list[Finding]]:
    """Return the dead letters, and the records that are none."""
    letters, findings = [], []
    for record in records:
        try:
            seen = DeadLetter.model_validate_json(record.value or b"")
        except ValidationError as error:
            findings.append(_broken(error, record, topic, partition))
            continue
        at = seen.position
        source = at.topic, at.partition, at.offset
        letters.append(
            Letter(
                record.offset, record.key, source, seen.reason, seen.field, seen.source_timestamp, seen.payload_sha256
            )
        )
    return letters, findings


def _broken(error: ValidationError, record: LogRecord, topic: str, partition: int) -> Finding:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"])) or "record"
    return Finding("contracts", f"{field}: {first['msg']}", position=place(topic, partition, record.offset))
