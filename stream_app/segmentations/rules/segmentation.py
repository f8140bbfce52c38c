"""Rules as a segmentation: the first condition that holds decides, and every instant of change is known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from xxhash import xxh3_64_intdigest

from stream_app.core.arrays import Flags, Indices, Instants
from stream_app.core.clock import NO_TIME
from stream_app.core.columns import CustomerColumns
from stream_app.core.moves import DEFINITION, MigrationContext, Moves
from stream_app.core.segmentation import NEVER_MS, Decision, Held
from stream_app.core.segments import MAX_SEGMENT_CODE, Roster, Segment
from stream_app.errors import ConfigurationError
from stream_app.segmentations.rules.definition import (
    OPERATORS,
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    RulesConfiguration,
    comparisons,
)
from stream_app.segmentations.rules.explanation import RuleReason, explain_moves
from stream_app.segmentations.rules.figures import crossing_ms, figure_of

ROUNDING_MS: Final = 2
"""A crossing in closed form may lie this far from the first millisecond at which the comparison itself turns."""


class RulesSegmentation:
    """Conditions, asked as the core asks.

    Parameters
    ----------
    definition
        The rules.
    version
        Ascends with every change of the definition.
    retired
        Segments of earlier versions that this one lacks.

    Raises
    ------
    ConfigurationError
        If two ids get the same code.
    """

    kind: Final = "rules"
    reads: Final = frozenset({"activity", "quantities"})
    moves_with_time: Final = True
    weighs_sessions: Final = True
    revised_by: Final = DEFINITION

    def __init__(self, definition: RulesConfiguration, version: int = 1, retired: Sequence[Segment] = ()) -> None:
        self.definition = definition
        self.name: Final = definition.name
        self.version: Final = version
        self.comparisons: Final = tuple(
            comparison for segment in definition.segments for comparison in comparisons(segment.when)
        )
        segments = [
            Segment(segment_code(entry.id), entry.name, entry.id)
            for entry in (*definition.segments, definition.otherwise)
        ]
        by_code: dict[int, str] = {}
        for segment in segments:
            clashing = by_code.setdefault(segment.code, segment.segment_id)
            if clashing != segment.segment_id:
                raise ConfigurationError(
                    f"segmentation {self.name}: the ids {clashing!r} and {segment.segment_id!r} cannot stand side by "
                    "side, their codes are equal; use another id for one of them"
                )
        self.roster: Final = Roster(tuple(segments), tuple(s for s in retired if s.code not in by_code))

    def score(self, customers: CustomerColumns) -> Indices:
        """Return the target of each customer, shape `(n,)`."""
        target = np.full(len(customers), len(self.definition.segments))
        for index in range(len(self.definition.segments) - 1, -1, -1):
            target[_holds(self.definition.segments[index].when, customers)] = index
        return target

    def decide(self, scores: np.ndarray[Any, Any], held: Held, at_ms: Instants) -> Decision:  # noqa: ARG002  (protocol)
        """Say where customers belong; whoever is elsewhere moves."""
        return Decision(scores, self.roster.codes[scores] != held.segment)

    def first_due(
        self,
        customers: CustomerColumns,
        held: Held,  # noqa: ARG002  (protocol)
        target: Indices,
        after_ms: Instants,
        by_ms: Instants,
    ) -> Instants:
        """Return when silence moves each customer to `target`: at one of the crossings, of which each is tried."""
        due_ms = by_ms.copy()
        everyone = np.arange(len(customers))
        for comparison in self.comparisons:
            crossings = crossing_ms(customers, comparison)
            near = np.flatnonzero((crossings > after_ms - ROUNDING_MS) & (crossings < by_ms + ROUNDING_MS))
            for offset in range(-ROUNDING_MS, ROUNDING_MS + 1):
                at_ms = np.floor(crossings[near]).astype(np.int64) + offset
                inside = (at_ms > after_ms[near]) & (at_ms < due_ms[near])
                rows, instants = everyone[near[inside]], at_ms[inside]
                there = self.score(customers.at(rows, instants)) == target[rows]
                due_ms[rows[there]] = instants[there]
        return due_ms

    def next_due(self, customers: CustomerColumns, held: Held) -> Instants:  # noqa: ARG002  (protocol)
        """Return the next instant at which a comparison turns, less what rounding may take."""
        due_ms = np.full(len(customers), float(NEVER_MS))
        for comparison in self.comparisons:
            crossings = crossing_ms(customers, comparison) - ROUNDING_MS
            ahead = crossings + 2 * ROUNDING_MS > customers.at_ms
            np.minimum(due_ms, np.where(ahead, crossings, np.inf), out=due_ms)
        return np.where(due_ms > customers.at_ms, np.minimum(due_ms, NEVER_MS), NO_TIME).astype(np.int64)

    def ends_wait(self, held: Held, effective_at_ms: Instants) -> Flags:  # noqa: ARG002  (protocol)
        """Nobody is made to wait."""
        return np.zeros(len(effective_at_ms), np.bool_)

    def explain(self, moves: Moves, context: MigrationContext) -> Sequence[RuleReason]:
        """Return why each customer moved."""
        return explain_moves(self, moves, context)


def segment_code(segment_id: str) -> int:
    """Return the code of a segment: made of its id alone, so that it is the same in every version."""
    return 1 + xxh3_64_intdigest(segment_id.encode()) % MAX_SEGMENT_CODE


def compare(customers: CustomerColumns, comparison: Comparison) -> Flags:
    """Say for which customers a comparison holds at their instants."""
    return np.asarray(OPERATORS[comparison.operator](figure_of(customers, comparison.figure), comparison.value))


def _holds(condition: Condition, customers: CustomerColumns) -> Flags:
    match condition:
        case Comparison():
            return compare(customers, condition)
        case AllOf(all=parts):
            return np.asarray(np.logical_and.reduce([_holds(part, customers) for part in parts]))
        case AnyOf(any=parts):
            return np.asarray(np.logical_or.reduce([_holds(part, customers) for part in parts]))
        case _:
            return ~_holds(condition.negated, customers)
