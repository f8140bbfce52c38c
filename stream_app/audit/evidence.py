"""What a worker has written, read from its topics: the changelog, migrations, memberships and dead letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

from stream_app.adapters.changelog import (
    FENCE_KEY,
    MARK_PREFIX,
    POSITION_KEY,
    SALT_KEY,
    PartitionPosition,
    decode_mark,
    mark_hash_of,
)
from stream_app.audit.findings import Finding, place
from stream_app.audit.records import Cause, Letter, LogRecord, Membership, Migration, Standing, broken
from stream_app.audit.rows import CustomerRow, read_row
from stream_app.contracts.forgetting import PRIVACY_HEADER
from stream_app.contracts.outputs.dead_letter import DeadLetter
from stream_app.contracts.outputs.migrations import SegmentMembership, SegmentMigration
from stream_app.contracts.readers import read_membership, read_migration
from stream_app.core.marks import Marks
from stream_app.errors import SegmenterError


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
        self.marks = Marks()
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
            elif key == SALT_KEY and record.value is not None:
                self.marks.salt = record.value
            elif key is not None and key.startswith(MARK_PREFIX):
                findings += self._mark(mark_hash_of(key), record)
            elif key is None:
                findings.append(self._finding("contracts", "a record without a key, expected a customer's id", record))
            elif record.value is None:
                self.rows.pop(key, None)  # as a worker that reads the log back removes the row
            else:
                self.rows[key] = record
        return findings

    def read_rows(self) -> tuple[dict[str, CustomerRow], list[Finding]]:
        """Return the row of each customer, and what is wrong with those that cannot be read."""
        rows, findings = {}, []
        for key, record in self.rows.items():
            try:
                rows[key.decode()] = read_row(record.value or b"")
            except (SegmenterError, UnicodeDecodeError) as error:
                findings.append(self._finding("contracts", f"row of {key!r}: {error}", record))
        return rows, findings

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

    def _mark(self, mark_hash: int, record: LogRecord) -> list[Finding]:
        if record.value is None:
            self.marks.drop(mark_hash)
            return []
        try:
            self.marks.put(mark_hash, decode_mark(record.value))
        except msgspec.MsgspecError as error:
            return [self._finding("contracts", f"mark: {error}", record)]
        return []

    def _finding(self, check: str, message: str, record: LogRecord) -> Finding:
        return Finding(check, message, position=place(self.topic, self.partition, record.offset))


def read_migrations(records: Sequence[LogRecord], topic: str, partition: int) -> tuple[list[Migration], list[Finding]]:
    """Return the migrations, and what is wrong with records that cannot be read."""
    migrations, findings = [], []
    for record in records:
        if says_to_forget(record):
            continue
        try:
            seen = _read(record.value or b"", SegmentMigration, read_migration, {("direction",), ("next_move",)})
        except ValidationError as error:
            findings.append(broken(error, place(topic, partition, record.offset)))
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
                Standing(target.id if target else None, seen.sequence, seen.effective_at, seen.model_version),
                Cause(
                    seen.cause.kind,
                    seen.cause.event_id,
                    at.topic if at else None,
                    at.partition if at else -1,
                    at.offset if at else -1,
                ),
                seen.direction,
            )
        )
    return migrations, findings


def says_to_forget(record: LogRecord) -> bool:
    """Return whether a record says that the customer that is its key is to be forgotten."""
    return record.value is None and bool(record.key) and PRIVACY_HEADER in dict(record.headers)


def forgotten_to(records: Sequence[LogRecord]) -> dict[str, int]:
    """Return by customer who was erased the offset of the last record of migrations that says so."""
    return {
        (record.key or b"").decode("utf-8", "replace"): record.offset for record in records if says_to_forget(record)
    }


def read_memberships(
    records: Sequence[LogRecord], topic: str, partition: int
) -> tuple[list[Membership], list[Finding]]:
    """Return the memberships, and what is wrong with records that cannot be read."""
    memberships, findings = [], []
    for record in records:
        if record.value is None:
            segmentation, slash, customer = (record.key or b"").decode("utf-8", "replace").partition("/")
            if not slash:
                message = f"key {record.key!r} of a record without a value, expected <segmentation>/<customer id>"
                findings.append(Finding("contracts", message, position=place(topic, partition, record.offset)))
            else:
                memberships.append(Membership(record.offset, record.key, segmentation, customer, None))
            continue
        try:
            seen = _read(record.value, SegmentMembership, read_membership, {("next_move",)})
        except ValidationError as error:
            findings.append(broken(error, place(topic, partition, record.offset)))
            continue
        standing = Standing(seen.segment.id, seen.sequence, seen.since, seen.model_version)
        memberships.append(Membership(record.offset, record.key, seen.segmentation, seen.customer_id, standing))
    return memberships, findings


def _read(
    value: bytes, contract: type[BaseModel], read_earlier: Callable[[bytes], object], added: set[tuple[str, ...]]
) -> Any:
    """Return a record of a contract, or one of an earlier release, which lacks what has been added since.

    Raises
    ------
    ValidationError
        If it is neither.
    """
    try:
        return contract.model_validate_json(value)
    except ValidationError as error:
        missing = {fault["loc"] for fault in error.errors() if fault["type"] == "missing"}
        if not added <= missing:
            raise
        try:
            return read_earlier(value)
        except msgspec.MsgspecError:
            raise error from None


def read_letters(records: Sequence[LogRecord], topic: str, partition: int) -> tuple[list[Letter], list[Finding]]:
    """Return the dead letters, and what is wrong with records that cannot be read."""
    letters, findings = [], []
    for record in records:
        try:
            seen = DeadLetter.model_validate_json(record.value or b"")
        except ValidationError as error:
            findings.append(broken(error, place(topic, partition, record.offset)))
            continue
        at = seen.position
        source = at.topic, at.partition, at.offset
        letters.append(
            Letter(
                record.offset, record.key, source, seen.reason, seen.field, seen.source_timestamp, seen.payload_sha256
            )
        )
    return letters, findings
