"""Migrations as they are published, read back for tests."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from stream_app.core.next_moves import NextMove
from stream_app.core.partition import Partition
from stream_app.core.segments import SegmentReference
from stream_app.segmentations.describing import NO_CHUNK, NO_FACTS, Chunk, Describer
from tests.reference.figures import CustomerFigures
from tests.reference.migration import Cause, Holdout


class Explanation(msgspec.Struct, frozen=True):
    """Of any kind: what a kind does not say is None."""

    kind: str
    sentence: str
    before: CustomerFigures | None = None
    after: CustomerFigures | None = None
    decisive: str | None = None
    margin: float | None = None
    statement: str | None = None
    conditions: list[Any] | None = None
    purchases: int | None = None


class Migration(msgspec.Struct, frozen=True):
    migration_id: str
    sequence: int
    customer_id: str
    segmentation: str
    from_segment: SegmentReference | None
    to_segment: SegmentReference | None
    change: str
    direction: str | None
    effective_at: str
    decided_at: str
    cause: Cause
    model_version: int
    explanation: Explanation
    next_move: NextMove | None
    holdout: Holdout


read_migration = msgspec.json.Decoder(Migration).decode


def published(
    partition: Partition, moves: np.ndarray, chunk: Chunk = NO_CHUNK, facts: np.ndarray = NO_FACTS
) -> list[Migration]:
    """Return the migrations that moves become."""
    described = Describer(partition.context).describe_step(partition, moves, chunk, facts)
    return [read_migration(described.migration(number)) for number in range(len(described))]
