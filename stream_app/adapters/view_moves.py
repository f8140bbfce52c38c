"""Moves in the view: why a customer is in its segment, and its history, as JSON arrays without names."""

from __future__ import annotations

from typing import Final

import msgspec

from stream_app.contracts.fields import parse_instant
from stream_app.contracts.readers import (
    Cause,
    DefinitionExplanation,
    Explanation,
    Holdout,
    LearnedExplanation,
    MigrationRecord,
    RulesExplanation,
)


class PackedFigures(msgspec.Struct, array_like=True, gc=False):
    """`Figures` without names; the same below."""

    recency_days: float
    tenure_days: float
    usual_gap_days: float
    probability_active: float
    orders: int | None
    order_recency_days: float | None
    order_tenure_days: float | None
    order_interval_days: float | None
    order_value: float | None
    engagement_recency_days: float | None
    engagement_interval_days: float | None


class PackedLearned(msgspec.Struct, array_like=True, gc=False, tag="role"):
    """`LearnedExplanation`."""

    before: PackedFigures | None
    after: PackedFigures
    margin: float | None
    sentence: str
    decisive: str | None
    statement: str | None


class PackedCondition(msgspec.Struct, array_like=True, gc=False):
    """`Condition`."""

    condition: str
    before: float | None
    after: float | None
    held: bool | None
    holds: bool


class PackedRules(msgspec.Struct, array_like=True, gc=False, tag="conditions"):
    """`RulesExplanation`."""

    sentence: str
    conditions: tuple[PackedCondition, ...]


class PackedDefinition(msgspec.Struct, array_like=True, gc=False, tag="definition"):
    """`DefinitionExplanation`."""

    sentence: str


PackedExplanation = PackedLearned | PackedRules | PackedDefinition
_PACKED: Final[dict[type, type[PackedExplanation]]] = {
    LearnedExplanation: PackedLearned,
    RulesExplanation: PackedRules,
    DefinitionExplanation: PackedDefinition,
}
_UNPACKED: Final[dict[type, type[Explanation]]] = {
    PackedLearned: LearnedExplanation,
    PackedRules: RulesExplanation,
    PackedDefinition: DefinitionExplanation,
}


class Reason(msgspec.Struct, array_like=True, gc=False):
    """Why a customer is in its segment, as JSON arrays without names; the sequence comes first, for the script."""

    sequence: int
    from_segment: str | None
    change: str
    cause: str
    event_id: str | None
    bucket: int
    held_out: bool
    packed: PackedExplanation
    direction: str | None = None

    @classmethod
    def of(cls, migration: MigrationRecord) -> Reason:
        """Return the reason that a migration gives."""
        explanation, cause, holdout = migration.explanation, migration.cause, migration.holdout
        return cls(
            migration.sequence,
            None if migration.from_segment is None else migration.from_segment.id,
            migration.change,
            cause.kind,
            cause.event_id,
            holdout.bucket,
            holdout.held_out,
            msgspec.convert(explanation, _PACKED[type(explanation)], from_attributes=True),
            migration.direction,
        )

    def explanation(self) -> Explanation:
        """Return it as the migration had it."""
        return msgspec.convert(self.packed, _UNPACKED[type(self.packed)], from_attributes=True)

    def holdout(self) -> Holdout:
        """Return it as the migration had it."""
        return Holdout(self.bucket, self.held_out)

    def cause_of(self) -> Cause:
        """Return the cause, without the position of its event."""
        return Cause(self.cause, self.event_id, None)


class PastMove(msgspec.Struct, array_like=True, gc=False):
    """A migration in a customer's history; the reason comes behind the rest, for the script, and then the revenue."""

    segmentation: str
    to_segment: str | None
    effective_ms: int
    decided_ms: int
    model_version: int
    merged_into: str | None
    reason: Reason
    revenue_before: float | None = None


def past_move_head(migration: MigrationRecord) -> tuple[str, str | None, int, int, int, str | None]:
    """Return a `PastMove` but for the reason and what follows it."""
    target = migration.to_segment
    return (
        migration.segmentation,
        None if target is None else target.id,
        parse_instant(migration.effective_at),
        parse_instant(migration.decided_at),
        migration.model_version,
        migration.merged_into,
    )
