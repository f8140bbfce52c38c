"""A view in Redis of what a replay has written, as if a deployment had come as far, and migrations that come later."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from xxhash import xxh3_64_intdigest

from stream_app.adapters.redis_client import RedisConnection
from stream_app.adapters.view_schema import FollowerCondition, ViewKeys
from stream_app.adapters.wall_clock import now_ms
from stream_app.contracts.fields import parse_instant
from stream_app.contracts.readers import (
    FiguresRecord,
    MigrationRecord,
    SegmentSums,
    Software,
    read_membership,
    read_migration,
)
from stream_app.core.clock import DAY_MS, format_instant
from stream_app.view.records import FIGURES, MEMBERSHIPS, MIGRATIONS, MODELS, REFUSED, SAMPLES, UPCOMING, batch_of
from stream_app.view.target import ViewTarget
from tests.reference.migration import migration_id
from tests.support.output_records import Record

KEYS: Final = ViewKeys("console:")
WORKER: Final = Software("2.3.4", 1)
FIELDS: Final = [f"{kind}/0" for kind in (MEMBERSHIPS, MIGRATIONS, MODELS, FIGURES, UPCOMING, REFUSED, SAMPLES)]
FOLLOWER: Final = FollowerCondition("1.2.3", "current", 0.25, {"memberships": 0, "migrations": 3})
BATCH: Final = 500
LETTERS: Final = [
    {
        "reason": reason,
        "field": field_name,
        "message": f"{field_name} is {value}",
        "position": {"topic": "purchases", "partition": 0, "offset": offset},
        "payload": "{}",
    }
    for offset, (reason, field_name, value) in enumerate(
        [("missing_field", "total", "missing"), ("invalid_time", "occurred_at", '"yesterday"')]
        + 6 * [("no_customer", "customer_id", "null")]
    )
]
"""What workers have refused today."""
TOLD_DAYS: Final = 12
"""Figures are told on so many days up to the end; each but the first has brought something."""


@dataclass
class ViewOfReplay:
    """A view that a replay's outputs were written to.

    Parameters
    ----------
    port
        Of Redis.
    folder
        The outputs.
    """

    port: int
    folder: Path
    end_ms: int = field(init=False)
    summary: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.summary = json.loads((self.folder / "summary.json").read_text(encoding="utf-8"))
        self.end_ms = parse_instant(self.summary["as_of"])
        self._offsets = {field.partition("/")[0]: 0 for field in FIELDS}
        self._sequences: dict[tuple[str, str], MigrationRecord] = {}

    def connection(self) -> RedisConnection:
        return RedisConnection(f"redis://127.0.0.1:{self.port}/0", timeout_seconds=30)

    def fill(self) -> None:
        """Write all of it."""
        asyncio.run(self._fill())

    def beat(self) -> None:
        """Have the view's process say how it is."""

        async def say() -> None:
            target = ViewTarget(self.connection(), KEYS, feed_length=10_000)
            await target.beat((await target.attach(FIELDS)).generation, FOLLOWER)
            await target.close()

        asyncio.run(say())

    def move(self, customer_id: str, segmentation: str = "value") -> MigrationRecord:
        """Have a customer go back to where its last move came from, now; return the migration."""
        last = self._last_move(customer_id, segmentation)
        sentence = f"A purchase just now; {last.to_segment.name} → {last.from_segment.name}."
        migration = msgspec.structs.replace(
            last,
            sequence=last.sequence + 1,
            migration_id=migration_id(segmentation, customer_id, last.sequence + 1),
            from_segment=last.to_segment,
            to_segment=last.from_segment,
            change="moved",
            effective_at=format_instant(self.end_ms),
            cause=msgspec.structs.replace(last.cause, kind="purchase"),
            explanation=msgspec.structs.replace(last.explanation, sentence=sentence),
        )
        asyncio.run(self._append(migration))
        self._sequences[customer_id, segmentation] = migration
        return migration

    def some_movers(self, segmentation: str = "value") -> list[str]:
        """Return customers whose last move was from one segment to another."""
        last: dict[str, MigrationRecord] = {}
        for line in _lines(self.folder / "migrations.jsonl"):
            migration = read_migration(line)
            if migration.segmentation == segmentation:
                last[migration.customer_id] = migration
        return [name for name, each in last.items() if each.from_segment and each.to_segment]

    async def _fill(self) -> None:
        target = ViewTarget(self.connection(), KEYS, feed_length=10_000)
        attached = await target.attach(FIELDS)
        for kind, file in ((MODELS, "models"), (MEMBERSHIPS, "memberships"), (MIGRATIONS, "migrations")):
            lines = _lines(self.folder / f"{file}.jsonl")
            while part := list(islice(lines, BATCH)):
                await self._write(target, attached.generation, kind, part)
        await self._write(target, attached.generation, FIGURES, [msgspec.json.encode(each) for each in self._figures()])
        await self._write(target, attached.generation, REFUSED, list(map(msgspec.json.encode, LETTERS)))
        await self._write(target, attached.generation, SAMPLES, [msgspec.json.encode(self.sample())])
        assert await target.swap(attached.generation)
        await target.beat(attached.generation, FOLLOWER)
        await target.close()

    async def _append(self, migration: MigrationRecord) -> None:
        target = ViewTarget(self.connection(), KEYS, feed_length=10_000)
        generation = (await target.attach(FIELDS)).generation
        assert migration.to_segment is not None
        membership = {
            "customer_id": migration.customer_id,
            "segmentation": migration.segmentation,
            "segment": migration.to_segment,
            "since": migration.effective_at,
            "sequence": migration.sequence,
            "model_version": migration.model_version,
            "as_of": migration.effective_at,
            "next_move": None,
        }
        await self._write(target, generation, MEMBERSHIPS, [msgspec.json.encode(membership)])
        await self._write(target, generation, MIGRATIONS, [msgspec.json.encode(migration)])
        await target.close()

    async def _write(self, target: ViewTarget, generation: str, kind: str, values: Sequence[bytes]) -> None:
        first = self._offsets[kind]
        at_ms = now_ms()
        records = [Record(first + number, b"key", value, at_ms) for number, value in enumerate(values)]
        await target.apply(generation, [batch_of(kind, 0, first, records)])
        self._offsets[kind] += len(values)

    def sample(self) -> dict[str, Any]:
        """Return all customers as a partition would have drawn them at the end."""
        history = json.loads((self.folder / "history.json").read_text(encoding="utf-8"))
        found, events = history["customers"], history["events"]
        ordered_ms: dict[int, int] = {}
        for customer, at_ms, kind in zip(events["customer"], events["at_ms"], events["kind"], strict=True):
            if kind == 0:
                ordered_ms[customer] = max(at_ms, ordered_ms.get(customer, 0))
        last_ms = [
            ordered_ms.get(xxh3_64_intdigest(each.encode()), (last_s or 0) * 1_000)  # of others, when they were active
            for each, last_s in zip(found["id"], found["last_at_s"], strict=True)
        ]
        columns = {
            "purchases": np.array(found["orders"], "<i4"),
            "revenue_minor": np.array(found["revenue_minor"], "<i8"),
            "purchased_at_ms": np.array(last_ms, "<i8"),
        }
        return {
            "tick": 7,
            "as_of": self.summary["as_of"],
            "partition": 0,
            "population_size": len(found["id"]),
            "customer_ids": found["id"],
            "activity": {name: column.tobytes() for name, column in columns.items()},
        }

    def _figures(self) -> Iterator[FiguresRecord]:
        for part in (self.summary, *self.summary["other_segmentations"]):
            for back in range(TOLD_DAYS - 1, -1, -1):
                sums = [
                    SegmentSums(
                        each["id"],
                        each["customers"],
                        round((each["orders_per_customer"] or 0) * each["customers"]) - back,
                        round(each["revenue"] * 100) - 12_345 * back,
                        self._since(each, "tenure_days"),
                        self._since(each, "recency_days"),
                    )
                    for each in part["segments"]
                ]
                as_of = format_instant(self.end_ms - back * DAY_MS)
                yield FiguresRecord(part["segmentation"], 0, as_of, self.summary["currency"], tuple(sums), WORKER)

    def _since(self, segment: dict[str, Any], figure: str) -> int:
        """Return the sum of the instants, in seconds, that a mean of days is of."""
        return round(segment["customers"] * (self.end_ms / 1_000 - (segment[figure] or 0) * 86_400))

    def _last_move(self, customer_id: str, segmentation: str) -> MigrationRecord:
        known = self._sequences.get((customer_id, segmentation))
        if known is not None:
            return known
        found = [read_migration(line) for line in _lines(self.folder / "migrations.jsonl")]
        return [each for each in found if (each.customer_id, each.segmentation) == (customer_id, segmentation)][-1]


def members_of(folder: Path, segmentation: str, segment: str) -> list[str]:
    """Return who is in a segment, by what a replay wrote."""
    read = map(read_membership, _lines(folder / "memberships.jsonl"))
    return [each.customer_id for each in read if (each.segmentation, each.segment.id) == (segmentation, segment)]


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file
