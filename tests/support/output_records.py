"""Output topics as workers write them: drawn migrations, their memberships and a model, transaction by transaction."""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from stream_app.adapters.kafka_client import KafkaConnection, committed_reader
from stream_app.adapters.topic_admin import create_topics
from stream_app.adapters.topic_specs import TopicPolicy, topic_specs
from stream_app.adapters.topics import TopicNames
from stream_app.core.clock import DAY_MS, format_instant
from stream_app.core.migration import Cause, Holdout, Migration, migration_id
from stream_app.core.segments import SegmentReference
from stream_app.segmentations.learned.document import ModelProposal, model_document
from stream_app.segmentations.learned.explanation import CustomerFigures, LearnedReason
from tests.support.models import rules_snapshot

PARTITIONS = 2
SEGMENTS = [SegmentReference(f"s{code}", f"Segment {code}") for code in range(1, 6)]
FIRST_DAY_MS = 1_767_225_600_000  # 2026-01-01
CENTURY_MS = 36_525 * DAY_MS


def migration(
    customer_id: str, sequence: int, origin: int | None, target: int, at_ms: int = FIRST_DAY_MS, **changes: Any
) -> Migration:
    """Return a move between two of `SEGMENTS`, by index."""
    figures = CustomerFigures(1.0, 9.5, 0.97, 4.2, 120.5, 1.0, 200.0)
    at = format_instant(at_ms)
    fields: dict[str, Any] = {
        "migration_id": migration_id("value", customer_id, sequence),
        "sequence": sequence,
        "customer_id": customer_id,
        "segmentation": "value",
        "from_segment": None if origin is None else SEGMENTS[origin],
        "to_segment": SEGMENTS[target],
        "change": "entered" if origin is None else "moved",
        "effective_at": at,
        "decided_at": at,
        "cause": Cause("purchase", f"event-{customer_id}-{sequence}", None),
        "model_version": 0,
        "explanation": LearnedReason(
            None if origin is None else figures,
            figures,
            None if origin is None else 1.4,
            0.7,
            None if origin is None else 0.7,
            None,
            f"Purchase of 10.00 EUR; enters {SEGMENTS[target].name}.",
        ),
        "holdout": Holdout(42, False),
    }
    return Migration(**(fields | changes))


def drawn_migrations(customers: int, moves: int, seed: int = 0) -> Iterator[Migration]:
    """Yield moves of customers, each customer's sequence without a gap, over thirty days."""
    generator = random.Random(seed)
    places: dict[str, tuple[int, int]] = {}
    for number in range(moves):
        customer_id = f"customer-{generator.randrange(customers)}"
        sequence, origin = places.get(customer_id, (0, None))
        target = generator.choice([index for index in range(len(SEGMENTS)) if index != origin])
        places[customer_id] = sequence + 1, target
        at_ms = FIRST_DAY_MS + number * 30 * DAY_MS // moves
        yield migration(customer_id, sequence + 1, origin, target, at_ms)


def membership_of(move: Migration) -> dict[str, Any]:
    """Return the membership that a migration leads to."""
    return {
        "customer_id": move.customer_id,
        "segmentation": move.segmentation,
        "segment": {"id": move.to_segment.id, "name": move.to_segment.name},
        "since": move.effective_at,
        "sequence": move.sequence,
        "model_version": move.model_version,
        "as_of": move.decided_at,
    }


def drawn_model(version: int = 0) -> dict[str, Any]:
    """Return the model that has `SEGMENTS`."""
    document = model_document(ModelProposal(rules_snapshot()))
    centroid = document["segments"][0]["centroid"]
    segments = [
        {"id": segment.id, "name": segment.name, "centroid": centroid, "share": 0.2, "profile": None}
        for segment in SEGMENTS
    ]
    return document | {"version": version, "segments": segments}


def partition_of(customer_id: str) -> int:
    """Return where a customer's records go; any rule will do here."""
    return sum(customer_id.encode()) % PARTITIONS


class OutputTopics:
    """Writes output topics by transactions, and reads them.

    Parameters
    ----------
    bootstrap_servers, prefix
        Where they are.
    """

    def __init__(self, bootstrap_servers: str, prefix: str) -> None:
        self.names = TopicNames(prefix, "segmenter")
        self.connection = KafkaConnection(bootstrap_servers)

    async def __aenter__(self) -> OutputTopics:
        rules = TopicPolicy(PARTITIONS, 1, CENTURY_MS, CENTURY_MS, DAY_MS, 60_000)
        await create_topics(self.connection, topic_specs(self.names, rules))
        self._producer = AIOKafkaProducer(
            **self.connection.client_options(), transactional_id=f"{self.names.group}-test", linger_ms=0
        )
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def write_model(self, document: dict[str, Any]) -> None:
        async with self._producer.transaction():
            await self._producer.send_and_wait(self.names.models, msgspec.json.encode(document), b"value", 0)

    async def write(self, moves: Iterable[Migration], size: int = 200) -> None:
        """Append migrations and memberships, so many moves a transaction."""
        moves = list(moves)
        for start in range(0, len(moves), size):
            async with self._producer.transaction():
                pending = []
                for move in moves[start : start + size]:
                    key, partition = move.customer_id.encode(), partition_of(move.customer_id)
                    membership = msgspec.json.encode(membership_of(move))
                    send = self._producer.send
                    pending.append(await send(self.names.migrations, msgspec.json.encode(move), key, partition))
                    pending.append(await send(self.names.memberships, membership, key, partition))
                await asyncio.gather(*pending)

    async def delete(self, customer_id: str) -> None:
        """Append a tombstone to the memberships."""
        async with self._producer.transaction():
            await self._producer.send_and_wait(
                self.names.memberships, None, customer_id.encode(), partition_of(customer_id)
            )

    async def memberships(self) -> dict[str, dict[str, Any]]:
        """Return the newest membership of every customer, read from the topic."""
        newest: dict[str, dict[str, Any]] = {}
        async for record in self._read(self.names.memberships):
            key = record.key.decode()
            if record.value is None:
                newest.pop(key, None)
            else:
                newest[key] = json.loads(record.value)
        return newest

    async def flows(self) -> dict[tuple[str, str], int]:
        """Return the number of migrations by day and `from>to>cause`, counted from the topic."""
        counts: defaultdict[tuple[str, str], int] = defaultdict(int)
        async for record in self._read(self.names.migrations):
            told = json.loads(record.value)
            origin = (told["from_segment"] or {"id": ""})["id"]
            counts[told["effective_at"][:10], f"{origin}>{told['to_segment']['id']}>{told['cause']['kind']}"] += 1
        return dict(counts)

    async def _read(self, topic: str) -> Any:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        async with committed_reader(self.connection) as consumer:
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            while not await _has_read(consumer, ends):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        yield record


async def _has_read(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    return all([await consumer.position(tp) >= end for tp, end in ends.items()])
