"""The properties that every topic must have, and how a topic that exists differs from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from stream_app.adapters.topics import TopicNames
from stream_app.core.clock import DAY_MS, HOUR_MS, SECOND_MS

MEBIBYTE: Final = 1 << 20
SAMPLE_MESSAGE_BYTES: Final = 32 * MEBIBYTE
"""A sample of 100,000 customers, the most that can be set, in one record."""
MODEL_MESSAGE_BYTES: Final = 8 * MEBIBYTE
"""Hundreds of times what a model of rules or of roles takes."""
SAMPLE_RETENTION_MS: Final = 7 * DAY_MS
"""Samples are for the trainer, which needs only those of the newest tick."""
BROKERS_SEGMENT_MS: Final = 7 * DAY_MS
"""By default, a broker closes a segment of a topic after this long."""
SMALLEST_CLOCK_TOLERANCE_MS: Final = 60 * SECOND_MS
"""A producer's clock may differ from the broker's by this much, however strictly the records' own times are checked."""
SEGMENT_BYTES: Final = 64 * MEBIBYTE
"""Of compacted topics: the segment being written is not compacted, and a recovery reads all that is not compacted."""
TOMBSTONE_RETENTION_MS: Final = DAY_MS
"""A reader that is down for less sees every deletion."""
LONGEST_COMPACTION_LAG_MS: Final = DAY_MS
"""A customer's former rows are gone for good after about this long."""


class Rule(Enum):
    """How the value found must relate to the value asked for."""

    EQUAL = "expected"
    AT_LEAST = "expected at least"
    AT_MOST = "expected at most"


CHECKED: Final[Mapping[str, Rule]] = {
    "cleanup.policy": Rule.EQUAL,
    "message.timestamp.type": Rule.EQUAL,
    "retention.ms": Rule.AT_LEAST,
    "max.message.bytes": Rule.AT_LEAST,
    "min.insync.replicas": Rule.AT_LEAST,
    "min.compaction.lag.ms": Rule.AT_LEAST,
    "message.timestamp.after.max.ms": Rule.AT_MOST,
}
"""Properties that results depend on. The others are for speed, and an operator may choose other values."""
UNLIMITED: Final = -1
"""Kafka's value for a retention without end."""
ROW_MESSAGE_BYTES: Final = 4 * MEBIBYTE
"""A row with its ledger and the most traits that there may be, as text."""


@dataclass(frozen=True)
class TopicSpec:
    """A topic as it must be.

    Parameters
    ----------
    name
        With the deployment's prefix.
    partitions
        Exactly this many.
    replication_factor
        At least this many.
    properties
        Of the topic, by Kafka's names.
    """

    name: str
    partitions: int
    replication_factor: int
    properties: Mapping[str, str]


@dataclass(frozen=True)
class TopicPolicy:
    """What an operator decides about all topics.

    Parameters
    ----------
    partitions
        Of every keyed topic.
    replication_factor
        Copies of every topic.
    retention_ms
        How long events and migrations are kept, by the timestamps of their records.
    dead_letter_retention_ms
        How long dead letters are kept, by the same timestamps.
    future_tolerance_ms
        How far ahead of the broker's clock an input's timestamp may be.
    recovery_timeout_ms
        How long a worker may take to read its state back.
    """

    partitions: int
    replication_factor: int
    retention_ms: int
    dead_letter_retention_ms: int
    future_tolerance_ms: int
    recovery_timeout_ms: int


def topic_specs(names: TopicNames, policy: TopicPolicy) -> tuple[TopicSpec, ...]:
    """Return what every topic of a deployment must be like, the inputs first."""
    # All copies but one, and two at most, so that one broker may be down; a single copy is its own quorum.
    in_sync = max(1, min(2, policy.replication_factor - 1))
    copies = {"min.insync.replicas": str(in_sync)}
    # The timestamp is the producer's. One far in the future would never be deleted.
    tolerance_ms = max(policy.future_tolerance_ms, SMALLEST_CLOCK_TOLERANCE_MS)
    inputs = _kept_for(policy.retention_ms) | {
        "message.timestamp.type": "CreateTime",
        "message.timestamp.after.max.ms": str(tolerance_ms),
    }
    # A worker that opens a partition appends a fence and reads up to it, so a newer fence must not have removed it.
    changelog = _compacted() | {"min.compaction.lag.ms": str(2 * policy.recovery_timeout_ms)}

    def spec(name: str, partitions: int, properties: Mapping[str, str]) -> TopicSpec:
        return TopicSpec(name, partitions, policy.replication_factor, {**copies, **properties})

    return (
        *(spec(name, policy.partitions, inputs) for name in names.inputs),
        *_of_identities(names, policy.partitions, inputs, spec),
        spec(names.migrations, policy.partitions, _kept_for(policy.retention_ms)),
        spec(names.upcoming, policy.partitions, _kept_for(policy.retention_ms)),
        spec(names.memberships, policy.partitions, _compacted()),
        spec(names.figures, policy.partitions, _compacted()),
        spec(names.dead_letters, policy.partitions, _kept_for(policy.dead_letter_retention_ms)),
        spec(names.webhook_dead_letters, policy.partitions, _kept_for(policy.dead_letter_retention_ms)),
        spec(names.receipts, policy.partitions, _compacted()),
        spec(names.changelog, policy.partitions, changelog),
        spec(names.trainer_changelog, 1, changelog | {"max.message.bytes": str(MODEL_MESSAGE_BYTES)}),
        spec(names.models, 1, _compacted() | {"max.message.bytes": str(MODEL_MESSAGE_BYTES)}),
        spec(names.samples, 1, _kept_for(SAMPLE_RETENTION_MS) | {"max.message.bytes": str(SAMPLE_MESSAGE_BYTES)}),
    )


def gone_after_ms(spec: TopicSpec) -> int:
    """Return after how long a topic has nothing left of a record that a tombstone or its age has ended, at the longest.

    Brokers look at segments that are closed alone. One is closed when it is full or by its age, `segment.ms`.
    """
    properties = spec.properties
    segment_ms = int(properties.get("segment.ms", BROKERS_SEGMENT_MS))
    kept_ms = int(properties.get("retention.ms", properties.get("max.compaction.lag.ms", 0)))
    return kept_ms + segment_ms


def _of_identities(
    names: TopicNames,
    partitions: int,
    inputs: Mapping[str, str],
    spec: Callable[[str, int, Mapping[str, str]], TopicSpec],
) -> tuple[TopicSpec, ...]:
    """Return what is needed where statements on ids are followed.

    All workers have to judge them alike, so they have one order, and the time at which they came is the brokers'.
    """
    if not names.with_identities:
        return ()
    statements = _kept_for(UNLIMITED) | {"message.timestamp.type": "LogAppendTime"}
    rows = _kept_for(int(inputs["retention.ms"])) | {"max.message.bytes": str(ROW_MESSAGE_BYTES)}
    return spec(names.identities, 1, statements), spec(names.handovers, partitions, rows)


def deviations(
    spec: TopicSpec, partitions: int, replication_factor: int, properties: Mapping[str, str]
) -> tuple[str, ...]:
    """Return, one phrase each, how a topic that was found differs from what it must be.

    Parameters
    ----------
    spec
        What was asked for.
    partitions, replication_factor, properties
        What was found; the replication factor is that of the partition with the fewest copies.
    """
    found = []
    if partitions != spec.partitions:
        found.append(f"partitions is {partitions}, {Rule.EQUAL.value} {spec.partitions}")
    if replication_factor < spec.replication_factor:
        found.append(f"replication factor is {replication_factor}, {Rule.AT_LEAST.value} {spec.replication_factor}")
    for name, rule in CHECKED.items():
        asked = spec.properties.get(name)
        if asked is not None and not _agrees(rule, asked, properties.get(name), name):
            found.append(f"{name} is {properties.get(name, 'unknown to the brokers')}, {rule.value} {asked}")
    return tuple(found)


def _agrees(rule: Rule, asked: str, found: str | None, name: str) -> bool:
    if found is None:
        return False
    if rule is Rule.EQUAL:
        return asked == found
    if name == "retention.ms" and UNLIMITED in (int(found), int(asked)):
        return int(found) == UNLIMITED
    return int(found) >= int(asked) if rule is Rule.AT_LEAST else int(found) <= int(asked)


def _kept_for(retention_ms: int) -> dict[str, str]:
    # A segment is deleted as a whole, when its newest record is old enough: so it must not stay open for a week.
    return {"cleanup.policy": "delete", "retention.ms": str(retention_ms), "segment.ms": str(DAY_MS)}


def _compacted() -> dict[str, str]:
    return {
        "cleanup.policy": "compact",
        "segment.bytes": str(SEGMENT_BYTES),
        "segment.ms": str(HOUR_MS),
        "min.cleanable.dirty.ratio": "0.3",
        "delete.retention.ms": str(TOMBSTONE_RETENTION_MS),
        "max.compaction.lag.ms": str(LONGEST_COMPACTION_LAG_MS),
    }
