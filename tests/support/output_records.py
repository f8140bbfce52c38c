"""Output topics as workers write them: drawn migrations, their memberships and a model, transaction by transaction."""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from stream_app.adapters.kafka_client import KafkaConnection, committed_reader
from stream_app.adapters.topic_admin import create_topics
from stream_app.adapters.topic_specs import TopicPolicy, topic_specs
from stream_app.adapters.topics import TopicNames
from stream_app.contracts.readers import (
    Cause,
    Condition,
    DefinitionExplanation,
    Explanation,
    Figures,
    FiguresRecord,
    Holdout,
    LearnedExplanation,
    MigrationRecord,
    NextMove,
    RulesExplanation,
    SegmentReference,
    figures_key,
    membership_key,
)
from stream_app.core.clock import DAY_MS, format_instant
from stream_app.segmentations.learned.document import ModelProposal, model_document
from stream_app.segmentations.learned.model import Model
from tests.reference.migration import migration_id

PARTITIONS = 2


@dataclass
class Record:
    """What the view reads of a record of Kafka."""

    offset: int
    key: bytes
    value: bytes | None
    timestamp: int = 0


SEGMENTS = [SegmentReference(f"s{code}", f"Segment {code}") for code in range(1, 6)]
"""Of the learned segmentation `value`."""
LIFECYCLE = [SegmentReference("active", "Active"), SegmentReference("slipping", "Slipping away")]
"""Of the segmentation by rules `lifecycle`."""
FIRST_DAY_MS = 1_767_225_600_000  # 2026-01-01
CENTURY_MS = 36_525 * DAY_MS
FIGURES = Figures(1.0, 200.0, 9.5, 0.97, 4, 1.0, 180.5, 41.2, 30.5, None, 12.0)


def migration(
    customer_id: str, sequence: int, origin: int | None, target: int, at_ms: int = FIRST_DAY_MS, **changes: Any
) -> MigrationRecord:
    """Return a move between two of `SEGMENTS`, by index."""
    is_entry = origin is None
    explanation = LearnedExplanation(
        before=None if is_entry else FIGURES,
        after=FIGURES,
        margin=None if is_entry else 0.7,
        sentence=f"Purchase of 10.00 EUR; enters {SEGMENTS[target].name}.",
        decisive=None if is_entry else "order_rate",
        statement="orders at least once in 40 days",
    )
    left = None if origin is None else SEGMENTS[origin]
    following = NextMove(format_instant(at_ms + DAY_MS), SEGMENTS[4])
    told = {"direction": None if is_entry else "up", "next_move": following} | changes
    return _move("value", customer_id, sequence, (left, SEGMENTS[target]), explanation, at_ms, **told)


def rules_migration(
    customer_id: str, sequence: int, origin: int | None, target: int | None, at_ms: int = FIRST_DAY_MS, **changes: Any
) -> MigrationRecord:
    """Return a move between two of `LIFECYCLE`, by index, or one that leaves it."""
    left, entered = (None if index is None else LIFECYCLE[index] for index in (origin, target))
    explanation: Explanation
    if entered is None:
        explanation = DefinitionExplanation("The segmentation lifecycle was removed.")
        changes = {"cause": Cause("definition", None, None)} | changes
    else:
        was = (None, None) if left is None else (4.0, False)
        condition = Condition("time since the last order of more than 30 days", was[0], 31.5, was[1], holds=True)
        explanation = RulesExplanation(f"Time has passed; enters {entered.name}.", (condition,))
        changes = {"cause": Cause("lapse", None, None)} | changes
    return _move("lifecycle", customer_id, sequence, (left, entered), explanation, at_ms, **changes)


def _move(
    segmentation: str,
    customer_id: str,
    sequence: int,
    ends: tuple[SegmentReference | None, SegmentReference | None],
    explanation: Explanation,
    at_ms: int,
    **changes: Any,
) -> MigrationRecord:
    at = format_instant(at_ms)
    origin, target = ends
    fields: dict[str, Any] = {
        "migration_id": migration_id(segmentation, customer_id, sequence),
        "sequence": sequence,
        "customer_id": customer_id,
        "segmentation": segmentation,
        "from_segment": origin,
        "to_segment": target,
        "change": "left" if target is None else "entered" if origin is None else "moved",
        "effective_at": at,
        "decided_at": at,
        "cause": Cause("purchase", f"event-{customer_id}-{sequence}", None),
        "model_version": 0,
        "explanation": explanation,
        "holdout": Holdout(42, False),
    }
    return MigrationRecord(**(fields | changes))


def drawn_migrations(customers: int, moves: int, seed: int = 0) -> Iterator[MigrationRecord]:
    """Yield moves of customers in both segmentations, each one's sequence without a gap, over thirty days.

    Now and then a customer leaves `lifecycle`, and may enter it again.
    """
    generator = random.Random(seed)
    places: dict[tuple[bool, str], tuple[int, int | None]] = {}
    for number in range(moves):
        customer_id, is_learned = f"customer-{generator.randrange(customers)}", generator.random() < 0.6
        sequence, origin = places.get((is_learned, customer_id), (0, None))
        choices: list[int | None] = list(range(len(SEGMENTS if is_learned else LIFECYCLE)))
        if not is_learned and origin is not None:
            choices.append(None)
        target = generator.choice([index for index in choices if index != origin])
        places[is_learned, customer_id] = sequence + 1, target
        at_ms = FIRST_DAY_MS + number * 30 * DAY_MS // moves
        if is_learned:
            assert target is not None
            yield migration(customer_id, sequence + 1, origin, target, at_ms)
        else:
            yield rules_migration(customer_id, sequence + 1, origin, target, at_ms)


def key_of(move: MigrationRecord) -> str:
    """Return the key of the membership that a migration leads to."""
    return membership_key(move.segmentation, move.customer_id)


def membership_of(move: MigrationRecord) -> dict[str, Any] | None:
    """Return the membership that a migration leads to; none if the customer has left."""
    if move.to_segment is None:
        return None
    return {
        "customer_id": move.customer_id,
        "segmentation": move.segmentation,
        "segment": {"id": move.to_segment.id, "name": move.to_segment.name},
        "since": move.effective_at,
        "sequence": move.sequence,
        "model_version": move.model_version,
        "as_of": move.decided_at,
        "next_move": msgspec.to_builtins(move.next_move),
        **({} if move.consents is None else {"consents": move.consents}),
    }


def newest_memberships(moves: Iterable[MigrationRecord]) -> dict[str, dict[str, Any]]:
    """Return by key the memberships that there are after all moves."""
    newest = {key_of(move): membership_of(move) for move in moves}
    return {key: membership for key, membership in newest.items() if membership is not None}


def drawn_model(version: int = 0) -> dict[str, Any]:
    """Return a model that has `SEGMENTS`, under these names."""
    keys = ("champions", "loyal", "new", "browsers", "at_risk")
    names = {key: segment.name for key, segment in zip(keys, SEGMENTS, strict=True)}
    return model_document(ModelProposal(Model("value", version=version, as_of_ms=FIRST_DAY_MS, names=names)))


def rules_document(version: int = 1) -> dict[str, Any]:
    """Return the definition that has `LIFECYCLE`."""
    return {
        "kind": "rules",
        "segmentation": "lifecycle",
        "version": version,
        "status": "published",
        "as_of": "2026-01-01T00:00:00.000Z",
        "segments": [
            {"id": segment.id, "name": segment.name, "level": None, "action": None, "sentence": f"Of {segment.name}."}
            for segment in LIFECYCLE
        ],
        "retired_segments": [],
        "definition": {"kind": "rules"},
        "lists": {},
        "together": {},
    }


MODELS = [drawn_model(0), drawn_model(1), rules_document(1)]


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
            key = document["segmentation"].encode()
            await self._producer.send_and_wait(self.names.models, msgspec.json.encode(document), key, 0)

    async def write(self, moves: Iterable[MigrationRecord], size: int = 200) -> None:
        """Append migrations and memberships, so many moves a transaction."""
        moves = list(moves)
        for start in range(0, len(moves), size):
            async with self._producer.transaction():
                pending = []
                for move in moves[start : start + size]:
                    key, partition = move.customer_id.encode(), partition_of(move.customer_id)
                    membership, place = membership_of(move), key_of(move).encode()
                    value = None if membership is None else msgspec.json.encode(membership)
                    send = self._producer.send
                    pending.append(await send(self.names.migrations, msgspec.json.encode(move), key, partition))
                    pending.append(await send(self.names.memberships, value, place, partition))
                await asyncio.gather(*pending)

    async def write_figures(self, figures: FiguresRecord) -> None:
        """Append what a partition says of its members."""
        key = figures_key(figures.segmentation, figures.partition).encode()
        async with self._producer.transaction():
            await self._producer.send_and_wait(self.names.figures, msgspec.json.encode(figures), key, figures.partition)

    async def delete(self, segmentation: str, customer_id: str) -> None:
        """Append a tombstone to the memberships."""
        key = membership_key(segmentation, customer_id).encode()
        async with self._producer.transaction():
            await self._producer.send_and_wait(self.names.memberships, None, key, partition_of(customer_id))

    async def memberships(self) -> dict[str, dict[str, Any]]:
        """Return by key the newest membership of every segmentation and customer, read from the topic."""
        newest: dict[str, dict[str, Any]] = {}
        async for record in self._read(self.names.memberships):
            key = record.key.decode()
            if record.value is None:
                newest.pop(key, None)
            else:
                newest[key] = json.loads(record.value)
        return newest

    async def flows(self) -> dict[tuple[str, str, str], int]:
        """Return the number of migrations by segmentation, day and `from>to>cause>change`, counted from the topic."""
        counts: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        async for record in self._read(self.names.migrations):
            move = json.loads(record.value)
            origin, target = ((move[end] or {"id": ""})["id"] for end in ("from_segment", "to_segment"))
            flow = f"{origin}>{target}>{move['cause']['kind']}>{move['change']}"
            counts[move["segmentation"], move["effective_at"][:10], flow] += 1
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
