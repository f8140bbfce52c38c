"""From a record of an output topic to what the script needs of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from stream_app.adapters.view_schema import MembershipValue, Why, flow_field, model_field
from stream_app.contracts.fields import parse_instant
from stream_app.contracts.memberships import MembershipRecord
from stream_app.core.migration import Holdout
from stream_app.core.segments import SegmentReference
from stream_app.segmentations.learned.explanation import Explanation, Figures

logger = logging.getLogger(__name__)

MEMBERSHIPS: Final = "memberships"
MIGRATIONS: Final = "migrations"
MODELS: Final = "models"
DAY_CHARACTERS: Final = 10
"""Of an instant: its day."""


class Record(Protocol):
    """What is needed of a record."""

    key: bytes
    value: bytes | None
    offset: int
    timestamp: int


class Chunk(NamedTuple):
    """Records of one partition, ready for the script.

    Attributes
    ----------
    kind, partition
        Where they are from.
    first, next
        Every offset from `first` to before `next` was looked at.
    records
        As MessagePack.
    size
        How many they are.
    oldest_ms
        Timestamp of the oldest.
    """

    kind: str
    partition: int
    first: int
    next: int
    records: bytes
    size: int
    oldest_ms: int


class _Cause(msgspec.Struct, gc=False):
    kind: str
    event_id: str | None


class _Migration(msgspec.Struct, gc=False):
    sequence: int
    customer_id: str
    segmentation: str
    from_segment: SegmentReference | None
    to_segment: SegmentReference
    change: str
    effective_at: str
    cause: _Cause
    explanation: Explanation
    holdout: Holdout


class _Model(msgspec.Struct, gc=False):
    segmentation: str
    version: int
    status: str


_membership: Final = msgspec.json.Decoder(MembershipRecord)
_migration: Final = msgspec.json.Decoder(_Migration)
_model: Final = msgspec.json.Decoder(_Model)
_json: Final = msgspec.json.Encoder()
_msgpack: Final = msgspec.msgpack.Encoder()

Entry = tuple[Any, ...]
"""The offset, then what the script's function for the kind takes."""


def chunk_of(kind: str, partition: int, first: int, records: Sequence[Record]) -> Chunk:
    """Return the records as one chunk. What is not in the contract's form is passed over and told."""
    read = READERS[kind]
    entries: list[Entry] = []
    for record in records:
        try:
            entry = read(record)
        except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
            # only its class: the message may quote the record
            name = type(error).__name__
            logger.warning("%s/%d, offset %d: cannot be read: %s", kind, partition, record.offset, name)
            continue
        if entry is not None:
            entries.append(entry)
    oldest_ms = min(record.timestamp for record in records)
    return Chunk(kind, partition, first, records[-1].offset + 1, _msgpack.encode(entries), len(entries), oldest_ms)


def _read_membership(record: Record) -> Entry | None:
    if record.value is None:
        return record.offset, record.key.decode()
    told = _membership.decode(record.value)
    since_ms = parse_instant(told.since)
    value = MembershipValue(
        told.sequence, told.segment.id, since_ms, told.model_version, parse_instant(told.as_of)
    ).encode()
    return record.offset, told.customer_id, told.segmentation, told.segment.id, since_ms, told.sequence, value


def _read_migration(record: Record) -> Entry | None:
    if record.value is None:
        return None
    told = _migration.decode(record.value)
    from_segment = None if told.from_segment is None else told.from_segment.id
    explanation = told.explanation
    why = Why(
        told.sequence,
        from_segment,
        told.change,
        told.cause.kind,
        told.cause.event_id,
        explanation.margin,
        explanation.distance_from,
        explanation.distance_to,
        explanation.decisive_feature,
        explanation.sentence,
        None if explanation.before is None else _numbers(explanation.before),
        _numbers(explanation.after),
        told.holdout.bucket,
        told.holdout.held_out,
    )
    return (
        record.offset,
        told.customer_id,
        told.segmentation,
        told.sequence,
        _json.encode(why).decode(),
        told.effective_at[:DAY_CHARACTERS],
        flow_field(from_segment, told.to_segment.id, told.cause.kind),
        record.value.decode(),
    )


def _numbers(figures: Figures) -> tuple[float, float, float, float, float, float, float]:
    f = figures
    return (
        f.recency_days,
        f.usual_gap_days,
        f.probability_active,
        f.orders_90d,
        f.revenue_90d,
        f.engaged_days_21d,
        f.tenure_days,
    )


def _read_model(record: Record) -> Entry | None:
    if record.value is None:
        return None
    told = _model.decode(record.value)
    return record.offset, told.segmentation, model_field(told.version, told.status), record.value.decode()


READERS: Final[Mapping[str, Callable[[Record], Entry | None]]] = {
    MEMBERSHIPS: _read_membership,
    MIGRATIONS: _read_migration,
    MODELS: _read_model,
}
