"""Memberships per second into Redis: the view's writer, and a pipeline that only sets hash and sorted set."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import redis.asyncio as redis

from stream_app.adapters.redis_client import RedisConnection
from stream_app.adapters.view_schema import ViewKeys
from stream_app.view.records import MEMBERSHIPS, MIGRATIONS, MODELS, batch_of
from stream_app.view.target import ViewTarget
from tests.support import output_records
from tests.support.output_records import Record, drawn_migrations, key_of, membership_of, newest_memberships

BATCH = 500
FIELDS = ["memberships/0", "migrations/0", "models/0"]


def draw(customers: int, moves: int) -> list[dict[str, Any]]:
    """Return memberships as they follow on each other."""
    drawn = (membership_of(move) for move in drawn_migrations(customers, moves))
    return [membership for membership in drawn if membership is not None]


async def write_view(port: int, documents: list[dict[str, Any]]) -> float:
    """Return how many memberships a second the view takes in: decoded, checked, positions kept."""
    encoded = [
        Record(number, document["customer_id"].encode(), msgspec.json.encode(document))
        for number, document in enumerate(documents)
    ]
    target = ViewTarget(RedisConnection(f"redis://127.0.0.1:{port}/0"), ViewKeys("bench:"), 10_000)
    attached = await target.attach(FIELDS, is_fresh=True)
    await target.swap(attached.generation)
    started = time.perf_counter()
    for start in range(0, len(encoded), 4 * BATCH):
        batches = [
            batch_of(MEMBERSHIPS, 0, first, encoded[first : first + BATCH])
            for first in range(start, min(start + 4 * BATCH, len(encoded)), BATCH)
        ]
        await target.apply(attached.generation, batches)
    rate = len(encoded) / (time.perf_counter() - started)
    await target.close()
    return rate


async def write_bare(port: int, documents: list[dict[str, Any]]) -> float:
    """Return the same for what is decoded already and written whatever is there."""
    values = [
        (
            document["customer_id"],
            document["segmentation"],
            document["segment"]["id"],
            number,
            f"{document['sequence']} {document['segment']['id']} {document['since']}",
        )
        for number, document in enumerate(documents)
    ]
    client = redis.Redis(port=port, protocol=2)
    started = time.perf_counter()
    for start in range(0, len(values), BATCH):
        pipeline = client.pipeline(transaction=False)
        for customer_id, segmentation, segment, since, value in values[start : start + BATCH]:
            pipeline.hset(f"bare:c:{customer_id}", segmentation, value)
            pipeline.zadd(f"bare:m:{segmentation}:{segment}", {customer_id: since})
        await pipeline.execute()
    rate = len(values) / (time.perf_counter() - started)
    await client.aclose()
    return rate


async def fill(port: int, prefix: str, customers: int) -> list[str]:
    """Write a view of customers in two segmentations, with reasons; return the ids of those who are in a segment."""
    moves = list(drawn_migrations(customers, 3 * customers))
    target = ViewTarget(RedisConnection(f"redis://127.0.0.1:{port}/0"), ViewKeys(prefix), 10_000)
    attached = await target.attach(FIELDS, is_fresh=True)
    keyed: dict[str, list[tuple[str, Any]]] = {
        MODELS: [(document["segmentation"], document) for document in output_records.MODELS],
        MEMBERSHIPS: [(key_of(move), membership_of(move)) for move in moves],
        MIGRATIONS: [(move.customer_id, move) for move in moves],
    }
    for kind, documents in keyed.items():
        records = [
            Record(number, key.encode(), None if document is None else msgspec.json.encode(document))
            for number, (key, document) in enumerate(documents)
        ]
        for start in range(0, len(records), BATCH):
            await target.apply(attached.generation, [batch_of(kind, 0, start, records[start : start + BATCH])])
    await target.swap(attached.generation)
    await target.close()
    return list(dict.fromkeys(found["customer_id"] for found in newest_memberships(moves).values()))
