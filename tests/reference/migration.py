"""A change of segment as the event that is published.

This is the reference that the compiled library is compared with, byte by byte: whole arrays of numpy, with the
library's own elementary functions. Theory: `native/outputs.c`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final, cast

import msgspec
import numpy as np
from xxhash import xxh3_64_intdigest

from stream_app.core.clock import format_instants
from stream_app.core.events import Position
from stream_app.core.moves import CAUSE_KINDS, CHANGES, MigrationContext, Moves, Reason
from stream_app.core.next_moves import NextMove, next_moves
from stream_app.core.segmentation import Explains, Segmentation
from stream_app.core.segments import SegmentReference
from stream_app.native.structures import FACT_DTYPE
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.rules.explanation import RULED_KINDS
from tests.reference.explanation import explain_moves
from tests.reference.rosters import levels_of
from tests.reference.rule_reasons import explain_by_rules

HOLDOUT_BUCKETS: Final = 100


class Cause(msgspec.Struct, frozen=True, gc=False):
    """What made a customer move; event and position are absent unless it was an event."""

    kind: str
    event_id: str | None
    position: Position | None


class Holdout(msgspec.Struct, frozen=True, gc=False):
    """The customer's constant bucket, 0 to 99, and whether campaigns are to leave it alone."""

    bucket: int
    held_out: bool


class Migration(msgspec.Struct, frozen=True, gc=False):
    """One record of `segment-migrations`."""

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
    explanation: Reason
    next_move: NextMove | None
    holdout: Holdout
    revenue_before: float


def migration_id(segmentation: str, customer_id: str, sequence: int) -> str:
    """Return 32 hexadecimal digits that depend on the arguments alone, so that a repeated delivery is recognised."""
    return blake2b(f"{segmentation}\0{customer_id}\0{sequence}".encode(), digest_size=16).hexdigest()


def holdout_of(customer_id: str, context: MigrationContext) -> Holdout:
    """Return the customer's holdout bucket; the same in every segmentation and for ever."""
    bucket = xxh3_64_intdigest(f"{context.holdout_salt}:{customer_id}".encode()) % HOLDOUT_BUCKETS
    return Holdout(bucket, bucket < context.holdout_percent)


def describe_moves(
    moves: Moves, segmentation: Segmentation, context: MigrationContext, facts: Sequence[np.ndarray] | None = None
) -> list[Migration]:
    """Return the migration of each move, in the same order; `facts` of each, of a segmentation by rules."""
    name, version, references = segmentation.name, segmentation.version, segmentation.roster.references
    codes, levels = segmentation.roster.codes.tolist(), levels_of(segmentation.roster)
    targets = [references.get(code) for code in codes]
    columns = zip(
        moves.customer_ids,
        moves.cause_kind.tolist(),
        moves.change.tolist(),
        moves.from_code.tolist(),
        moves.target.tolist(),
        moves.sequence.tolist(),
        format_instants(moves.effective_at_ms),
        format_instants(moves.decided_at_ms),
        moves.causes,
        next_moves(moves.following, segmentation.roster),
        _explain(moves, segmentation, context, facts),
        (_revenue_before_minor(moves) / context.minor_per_major).tolist(),
        strict=True,
    )
    migrations = []
    for (
        customer_id, kind, change, from_code, target, sequence, effective_at, decided_at, event_at, next_move, reason,
        revenue_before,
    ) in columns:  # fmt: skip
        event_id, position = (event_at[0].event_id or None, event_at[1]) if event_at else (None, None)
        migrations.append(
            Migration(
                migration_id(name, customer_id, sequence),
                sequence,
                customer_id,
                name,
                references.get(from_code),
                targets[target],
                CHANGES[change],
                _direction(levels, from_code, codes[target]),
                effective_at,
                decided_at,
                Cause(CAUSE_KINDS[kind], event_id, position),
                version,
                reason,
                next_move,
                holdout_of(customer_id, context),
                revenue_before,
            )
        )
    return migrations


def _revenue_before_minor(moves: Moves) -> np.ndarray:
    is_first = moves.after["first_at_ms"] == moves.effective_at_ms  # then there is no state before
    return np.where(is_first, 0, moves.before["revenue_minor"])


def _explain(
    moves: Moves, segmentation: Segmentation, context: MigrationContext, facts: Sequence[np.ndarray] | None
) -> Sequence[Reason]:
    if isinstance(segmentation, LearnedSegmentation):
        return explain_moves(segmentation.model, moves, context)
    if segmentation.kind in RULED_KINDS:
        none: list[np.ndarray] = [np.empty(0, FACT_DTYPE)] * len(moves.customer_ids)
        return explain_by_rules(segmentation, moves, none if facts is None else facts, context)
    return cast(Explains, segmentation).explain(moves, context)


def _direction(levels: Mapping[int, int] | None, from_code: int, to_code: int) -> str | None:
    """Return where a move leads; None without an order, and where a segment has no place in it."""
    if levels is None or from_code not in levels or to_code not in levels:
        return None
    step = levels[to_code] - levels[from_code]
    return "up" if step > 0 else "down" if step < 0 else "sideways"


def membership_of(migration: Migration) -> dict[str, object]:
    """Return the membership that a migration leads to, as the `segment-memberships` contract has it."""
    return {
        "customer_id": migration.customer_id,
        "segmentation": migration.segmentation,
        "segment": migration.to_segment,
        "since": migration.effective_at,
        "sequence": migration.sequence,
        "model_version": migration.model_version,
        "as_of": migration.decided_at,
        "next_move": migration.next_move,
    }
