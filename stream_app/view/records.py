"""From a record of an output topic to the arguments of the script."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import numpy as np

from stream_app.adapters.view_moves import Reason, past_move_head
from stream_app.adapters.view_schema import (
    MONEY_UNITS,
    REFUSED_CHARACTERS,
    Buyers,
    MembershipValue,
    RefusedExample,
    TotalsValue,
    flow_field,
    model_field,
    next_text,
)
from stream_app.contracts.fields import parse_instant
from stream_app.contracts.readers import (
    KEY_SEPARATOR,
    NOTE_PREFIX,
    NextMove,
    read_dead_letter,
    read_figures,
    read_membership,
    read_migration,
    read_model,
    read_sample,
    read_upcoming,
    split_membership_key,
)
from stream_app.core.identities import IDENTITY_REASONS
from stream_app.core.local_days import UTC, date_of, date_shown

logger = logging.getLogger(__name__)

MEMBERSHIPS: Final = "memberships"
MIGRATIONS: Final = "migrations"
MODELS: Final = "models"
FIGURES: Final = "figures"
UPCOMING: Final = "upcoming"
REFUSED: Final = "refused"
SAMPLES: Final = "samples"


class Record(Protocol):
    """The fields of a record that are needed."""

    key: bytes
    value: bytes | None
    offset: int
    timestamp: int


class ViewBatch(NamedTuple):
    """Records of one partition, ready for the script.

    Attributes
    ----------
    kind, partition
        Their origin.
    first, next
        Every offset from `first` to before `next` was read.
    records
        As MessagePack.
    size
        Number of records.
    oldest_ms
        Timestamp of the oldest record.
    """

    kind: str
    partition: int
    first: int
    next: int
    records: bytes
    size: int
    oldest_ms: int


_json: Final = msgspec.json.Encoder()
_msgpack: Final = msgspec.msgpack.Encoder()

Entry = tuple[Any, ...]
"""The offset, then the arguments of the script's function for the kind."""


def batch_of(kind: str, partition: int, first: int, records: Sequence[Record], timezone: str = UTC) -> ViewBatch:
    """Return the records as one batch. Records that break the contract are skipped and logged.

    Parameters
    ----------
    timezone
        By whose days migrations and refused records are counted, and totals kept.
    """
    by_days = {MIGRATIONS: _read_migration, FIGURES: _read_figures, REFUSED: _read_refused}
    read = partial(by_days[kind], timezone=timezone) if kind in by_days else READERS[kind]
    entries: list[Entry] = []
    for record in records:
        try:
            entry = read(record)
        except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
            # only its class: the message may quote the record
            reason = type(error).__name__
            logger.warning("%s/%d, offset %d: skipped, breaks the contract: %s", kind, partition, record.offset, reason)
            continue
        if entry is not None:
            entries.append(entry)
    oldest_ms = min(record.timestamp for record in records)
    return ViewBatch(kind, partition, first, records[-1].offset + 1, _msgpack.encode(entries), len(entries), oldest_ms)


def _read_membership(record: Record) -> Entry | None:
    if record.value is None:
        segmentation, customer_id = split_membership_key(record.key.decode())
        return record.offset, customer_id, segmentation
    membership = read_membership(record.value)
    segment, since_ms = membership.segment.id, parse_instant(membership.since)
    as_of_ms = parse_instant(membership.as_of)
    following = _next_move(membership.next_move)
    head = membership.sequence, segment, since_ms, membership.model_version, as_of_ms
    value = MembershipValue(*head, *following, membership.consents)
    place = membership.customer_id, membership.segmentation
    return record.offset, *place, segment, since_ms, membership.sequence, value.encode()


def _next_move(following: NextMove | None) -> tuple[int | None, str | None]:
    """Return when a customer moves next, and the id of the segment that it moves to."""
    if following is None:
        return None, None
    return parse_instant(following.at), None if following.to_segment is None else following.to_segment.id


def _read_upcoming(record: Record) -> Entry | None:
    if record.value is None:
        return None
    notice = read_upcoming(record.value)
    at_ms, target = _next_move(notice.next_move)
    following = "" if at_ms is None else next_text(at_ms, target)
    decided_at_ms = parse_instant(notice.decided_at)
    return record.offset, notice.customer_id, notice.segmentation, notice.segment.id, decided_at_ms, following


def _read_migration(record: Record, timezone: str) -> Entry | None:
    if record.value is None:
        return record.offset, record.key.decode(), False, record.timestamp  # to be forgotten
    migration = read_migration(record.value)
    has_left = migration.to_segment is None  # then there is no membership that the reason could belong to
    past = _json.encode(past_move_head(migration)).decode()
    revenue = migration.revenue_before
    return (
        record.offset,
        migration.customer_id,
        migration.segmentation,
        migration.sequence,
        _json.encode(Reason.of(migration)).decode(),
        has_left,
        date_shown(migration.effective_at, timezone),
        flow_field(migration),
        record.value.decode(),
        past[:-1] + ",",
        f",{_json.encode(revenue).decode()}]",
        None if revenue is None else round(revenue * MONEY_UNITS),
    )


def _read_model(record: Record) -> Entry | None:
    if record.key.startswith(NOTE_PREFIX):
        return None
    if record.value is None:
        key = record.key.decode()
        return None if KEY_SEPARATOR in key else (record.offset, key)  # of a held one, nothing is to be removed
    model = read_model(record.value)
    return record.offset, model.segmentation, model_field(model.version, model.status), record.value.decode()


def _read_figures(record: Record, timezone: str) -> Entry | None:
    if record.value is None:
        segmentation, _, partition = record.key.decode().partition(KEY_SEPARATOR)
        return record.offset, segmentation, partition
    figures = read_figures(record.value)
    sums = [(each.customers, each.purchases, each.revenue_minor) for each in figures.segments]
    totals = TotalsValue(*map(sum, zip(*sums, strict=True))) if sums else TotalsValue(0, 0, 0)
    day = date_shown(figures.as_of, timezone)
    return record.offset, figures.segmentation, str(figures.partition), record.value.decode(), day, totals.encode()


def _read_refused(record: Record, timezone: str) -> Entry | None:
    if record.value is None:
        return None
    letter = read_dead_letter(record.value)
    place = letter.position
    quotes_ids = letter.reason in IDENTITY_REASONS  # of known people, who may ask for erasure
    message = "not shown, as it quotes customers; see the dead letter" if quotes_ids else letter.message
    message = message[:REFUSED_CHARACTERS]
    example = RefusedExample(record.timestamp, place.topic, place.partition, place.offset, letter.field, message)
    day = date_of(record.timestamp, timezone).isoformat()
    return record.offset, letter.reason, day, record.timestamp, _json.encode(example).decode()


def _read_sample(record: Record) -> Entry | None:
    if record.value is None or _read_kind(record.value).kind is not None:
        return None  # an operator's decision
    sample = read_sample(record.value)
    activity = sample.activity
    buyers = Buyers(
        parse_instant(sample.as_of),
        sample.population_size,
        sample.customer_ids,
        np.frombuffer(activity.purchases, "<i4").tolist(),
        np.frombuffer(activity.revenue_minor, "<i8").tolist(),
        np.frombuffer(activity.purchased_at_ms, "<i8").tolist(),
    )
    return record.offset, str(sample.partition), _json.encode(buyers).decode(), record.timestamp


class _Kind(msgspec.Struct):
    kind: str | None = None


_read_kind: Final = msgspec.json.Decoder(_Kind).decode

READERS: Final[Mapping[str, Callable[[Record], Entry | None]]] = {
    MEMBERSHIPS: _read_membership,
    MODELS: _read_model,
    UPCOMING: _read_upcoming,
    SAMPLES: _read_sample,
}
