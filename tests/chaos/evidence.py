"""What a deployment has written, counted against the truth that the traffic kept."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, KafkaError, Message, TopicPartition

from stream_app.adapters.changelog import FENCE_KEY, POSITION_KEY
from stream_app.adapters.topics import TopicNames
from stream_app.core.row import MEMBERSHIP_DTYPE, decode_row
from tests.chaos.progress import follower
from tests.chaos.traffic import Totals

SILENT_SECONDS: Final = 30
"""A broker that is silent for so long while logs are read does not answer any more."""


@dataclass
class Evidence:
    """CustomerFigures of one deployment, for a reader of committed records.

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
    migrations
        Number of migrations.
    missing_migrations
        Numbers that are not there, up to the row's own.
    repeated_migrations
        Migrations whose number was there before.
    ambiguous_numbers
        (Customer, number) with two meanings.
    models
        Published models.
    forked_models
        Versions of the model that were published twice.
    """

    lost: int = 0
    doubled: int = 0
    wrong_revenue: int = 0
    dead_letters: int = 0
    repeated_letters: int = 0
    migrations: int = 0
    missing_migrations: int = 0
    repeated_migrations: int = 0
    ambiguous_numbers: int = 0
    models: int = 0
    forked_models: int = 0

    def breaches(self, refused: int) -> list[str]:
        """Return what is wrong, `refused` being how many records had to be."""
        found = [
            f"{name}: {getattr(self, name)}"
            for name in (
                "lost",
                "doubled",
                "wrong_revenue",
                "repeated_letters",
                "missing_migrations",
                "repeated_migrations",
                "ambiguous_numbers",
                "forked_models",
            )
            if getattr(self, name)
        ]
        if self.dead_letters != refused:
            found.append(f"dead letters: {self.dead_letters}, expected {refused}")
        return found


def gather(bootstrap_servers: str, names: TopicNames, partitions: int, truth: Mapping[str, Totals]) -> Evidence:
    """Read all outputs and judge them."""
    evidence = Evidence()
    rows: dict[str, bytes] = {}
    for message in read_committed(bootstrap_servers, names.changelog, partitions):
        if message.key() not in (POSITION_KEY, FENCE_KEY):
            rows[message.key().decode()] = message.value()
    sequences = _judge_rows(evidence, rows, truth)
    _judge_migrations(evidence, read_committed(bootstrap_servers, names.migrations, partitions), sequences)
    letters = Counter(
        json.dumps(json.loads(message.value())["position"], sort_keys=True)
        for message in read_committed(bootstrap_servers, names.dead_letters, partitions)
    )
    evidence.dead_letters = len(letters)
    evidence.repeated_letters = letters.total() - len(letters)
    versions = Counter(
        model["version"]
        for model in (json.loads(message.value()) for message in read_committed(bootstrap_servers, names.models, 1))
        if model["status"] == "published"
    )
    evidence.models = len(versions)
    evidence.forked_models = versions.total() - len(versions)
    return evidence


def input_ends(bootstrap_servers: str, names: TopicNames, partitions: int) -> dict[tuple[str, int], int]:
    """Return where the inputs end, by topic and partition: behind the last record, whoever wrote it."""
    ends: dict[tuple[str, int], int] = {}
    for topic in names.inputs:
        for message in read_committed(bootstrap_servers, topic, partitions):
            ends[topic, message.partition()] = message.offset() + 1
    return ends


def _judge_rows(evidence: Evidence, rows: Mapping[str, bytes], truth: Mapping[str, Totals]) -> dict[str, int]:
    """Compare rows with the truth; return each customer's last number of a migration."""
    sequences = {}
    for customer_id in truth.keys() | rows.keys():
        expected, counted = truth.get(customer_id, Totals()), Totals()
        if customer_id in rows:
            row, membership = decode_row(rows[customer_id])
            counted = Totals(row.purchases, row.refunds, row.engagements, row.revenue_minor)
            sequences[customer_id] = int(np.frombuffer(membership, MEMBERSHIP_DTYPE)[0]["sequence"])
        for name in ("purchases", "refunds", "engagements"):
            more = getattr(counted, name) - getattr(expected, name)
            evidence.doubled += max(more, 0)
            evidence.lost += max(-more, 0)
        evidence.wrong_revenue += counted.revenue_minor != expected.revenue_minor
    return sequences


def _judge_migrations(evidence: Evidence, messages: Iterator[Message], sequences: Mapping[str, int]) -> None:
    meanings: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
    highest = dict(sequences)
    for message in messages:
        migration: dict[str, Any] = json.loads(message.value())
        customer_id, number = migration["customer_id"], migration["sequence"]
        evidence.migrations += 1
        evidence.repeated_migrations += (customer_id, number) in meanings
        meaning = [migration[name] for name in ("from_segment", "to_segment", "effective_at", "cause")]
        meanings[customer_id, number].add(json.dumps(meaning, sort_keys=True))
        highest[customer_id] = max(highest.get(customer_id, 0), number)
    evidence.missing_migrations = sum(highest.values()) - len(meanings)
    evidence.ambiguous_numbers = sum(len(told) > 1 for told in meanings.values())


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
