"""What a deployment has written, counted against the truth that the traffic kept."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, KafkaError, Message, TopicPartition

from stream_app.adapters.changelog import FENCE_KEY, POSITION_KEY
from stream_app.adapters.topics import TopicNames
from stream_app.audit.rows import name_digest, read_row
from stream_app.audit.segmentations import NOTICED
from tests.chaos.progress import follower
from tests.chaos.traffic import Totals

SILENT_SECONDS: Final = 30
"""A broker that is silent for so long while logs are read does not answer any more."""


@dataclass
class SegmentationEvidence:
    """Figures of one segmentation.

    Attributes
    ----------
    migrations
        Number of migrations.
    missing_migrations
        Numbers that are not there, up to the row's own.
    repeated_migrations
        Migrations whose number was there before.
    ambiguous_numbers
        (Customer, number) with two meanings.
    outsiders
        Customers who were never in any of its segments.
    versions
        Published versions of its model or definition.
    forked_versions
        Versions that were published twice.
    """

    migrations: int = 0
    missing_migrations: int = 0
    repeated_migrations: int = 0
    ambiguous_numbers: int = 0
    outsiders: int = 0
    versions: int = 0
    forked_versions: int = 0


@dataclass
class Evidence:
    """Figures of one deployment, for a reader of committed records.

    Attributes
    ----------
    lost, doubled
        Events that rows lack, and that they have too many.
    wrong_revenue
        Customers whose revenue is not that of their events.
    dead_letters
        Refused records that were told.
    repeated_letters
        Dead letters about a record that there was one about before.
    unknown_segmentations
        Memberships, migrations and versions of segmentations that are not configured.
    segmentations
        By name, in the order of the configuration.
    """

    lost: int = 0
    doubled: int = 0
    wrong_revenue: int = 0
    dead_letters: int = 0
    repeated_letters: int = 0
    unknown_segmentations: int = 0
    segmentations: dict[str, SegmentationEvidence] = field(default_factory=dict)

    def breaches(self, refused: int) -> list[str]:
        """Return what is wrong, `refused` being how many records had to be."""
        overall = ("lost", "doubled", "wrong_revenue", "repeated_letters", "unknown_segmentations")
        found = [f"{name}: {getattr(self, name)}" for name in overall if getattr(self, name)]
        for segmentation, seen in self.segmentations.items():
            found += [
                f"{segmentation}: {name}: {getattr(seen, name)}"
                for name in (
                    "missing_migrations",
                    "repeated_migrations",
                    "ambiguous_numbers",
                    "outsiders",
                    "forked_versions",
                )
                if getattr(seen, name)
            ]
            found += [f"{segmentation}: no versions"] if not seen.versions else []
        if self.dead_letters != refused:
            found.append(f"dead letters: {self.dead_letters}, expected {refused}")
        return found


def gather(
    bootstrap_servers: str,
    names: TopicNames,
    partitions: int,
    segmentations: Mapping[str, str],
    truth: Mapping[str, Totals],
) -> Evidence:
    """Read all outputs and judge them.

    Parameters
    ----------
    segmentations
        Kinds by name, in the order of the configuration.
    truth
        By customer.
    """
    evidence = Evidence(segmentations={name: SegmentationEvidence() for name in segmentations})
    rows: dict[str, bytes] = {}
    for message in read_committed(bootstrap_servers, names.changelog, partitions):
        if message.key() not in (POSITION_KEY, FENCE_KEY):
            rows[message.key().decode()] = message.value()
    sequences = _judge_rows(evidence, rows, truth, segmentations)
    _judge_migrations(evidence, read_committed(bootstrap_servers, names.migrations, partitions), sequences)
    letters = Counter(
        json.dumps(json.loads(message.value())["position"], sort_keys=True)
        for message in read_committed(bootstrap_servers, names.dead_letters, partitions)
    )
    evidence.dead_letters = len(letters)
    evidence.repeated_letters = letters.total() - len(letters)
    _judge_versions(evidence, read_committed(bootstrap_servers, names.models, 1))
    return evidence


def input_ends(bootstrap_servers: str, names: TopicNames, partitions: int) -> dict[tuple[str, int], int]:
    """Return where the inputs end, by topic and partition: behind the last record, whoever wrote it."""
    ends: dict[tuple[str, int], int] = {}
    for topic in names.taken_in:
        for message in read_committed(bootstrap_servers, topic, partitions):
            ends[topic, message.partition()] = message.offset() + 1
    return ends


def _judge_rows(
    evidence: Evidence, rows: Mapping[str, bytes], truth: Mapping[str, Totals], kinds: Mapping[str, str]
) -> dict[tuple[str, str], int]:
    """Compare rows with the truth; return the last number of a migration by segmentation and customer.

    Nobody has to be in an audience, and in what is learned only those who have done something.
    """
    sequences = {}
    names = {name_digest(name): name for name in evidence.segmentations}
    noticed = {name_digest(f"{name}{NOTICED}") for name in evidence.segmentations}
    for customer_id in truth.keys() | rows.keys():
        expected, counted = truth.get(customer_id, Totals()), Totals()
        if customer_id in rows:
            row = read_row(rows[customer_id])
            totals = row.totals
            counted = Totals(totals.purchases, totals.refunds, totals.engagements, totals.revenue_minor)
            held = {**row.memberships, **row.places}
            evidence.unknown_segmentations += len(held.keys() - names.keys() - noticed)
            has_acted = expected != Totals()
            for key, name in names.items():
                last = held[key].sequence if key in held else 0
                must_be_in = kinds[name] == "rules" or (kinds[name] == "learned" and has_acted)
                evidence.segmentations[name].outsiders += must_be_in and not last
                sequences[name, customer_id] = last
        for total in ("purchases", "refunds", "engagements"):
            more = getattr(counted, total) - getattr(expected, total)
            evidence.doubled += max(more, 0)
            evidence.lost += max(-more, 0)
        evidence.wrong_revenue += counted.revenue_minor != expected.revenue_minor
    return sequences


def _judge_migrations(
    evidence: Evidence, messages: Iterator[Message], sequences: Mapping[tuple[str, str], int]
) -> None:
    meanings: defaultdict[tuple[str, str, int], set[str]] = defaultdict(set)
    highest = dict(sequences)
    for message in messages:
        migration: dict[str, Any] = json.loads(message.value())
        name, customer_id, number = (migration[each] for each in ("segmentation", "customer_id", "sequence"))
        seen = evidence.segmentations.get(name)
        if seen is None:
            evidence.unknown_segmentations += 1
            continue
        seen.migrations += 1
        seen.repeated_migrations += (name, customer_id, number) in meanings
        meaning = [migration[each] for each in ("from_segment", "to_segment", "effective_at", "cause")]
        meanings[name, customer_id, number].add(json.dumps(meaning, sort_keys=True))
        highest[name, customer_id] = max(highest.get((name, customer_id), 0), number)
    for (name, _), number in highest.items():
        evidence.segmentations[name].missing_migrations += number
    for (name, _, _), told in meanings.items():
        evidence.segmentations[name].missing_migrations -= 1
        evidence.segmentations[name].ambiguous_numbers += len(told) > 1


def _judge_versions(evidence: Evidence, messages: Iterator[Message]) -> None:
    documents = (json.loads(message.value()) for message in messages if message.value() is not None)
    published = Counter((each["segmentation"], each["version"]) for each in documents if each["status"] == "published")
    for (name, _), count in published.items():
        seen = evidence.segmentations.get(name)
        if seen is None:
            evidence.unknown_segmentations += 1
            continue
        seen.versions += 1
        seen.forked_versions += count - 1


def read_committed(bootstrap_servers: str, topic: str, partitions: int) -> Iterator[Message]:
    """Give the committed records of a topic up to its end.

    Raises
    ------
    TimeoutError
        If the broker stops answering.
    """
    consumer = follower(bootstrap_servers)
    try:
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(partitions)])
        unfinished = set(range(partitions))
        heard_at = time.monotonic()
        while unfinished:
            messages = consumer.consume(5_000, 0.2)
            heard_at = time.monotonic() if messages else heard_at
            if time.monotonic() - heard_at > SILENT_SECONDS:
                raise TimeoutError(f"{topic}: partitions {sorted(unfinished)} could not be read to their end")
            unfinished -= {
                m.partition() for m in messages if (e := m.error()) and e.code() == KafkaError._PARTITION_EOF
            }
            yield from (message for message in messages if not message.error())
    finally:
        consumer.close()
