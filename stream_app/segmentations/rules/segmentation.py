"""Rules as a segmentation: the first condition that holds decides, and every instant of change is known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from xxhash import xxh3_64_intdigest

from stream_app.core.arrays import Flags, Floats, Indices, Instants
from stream_app.core.columns import CustomerColumns
from stream_app.core.moves import DEFINITION, MigrationContext, Moves
from stream_app.core.segmentation import NEVER_MS, Decision, Due, Held
from stream_app.core.segments import MAX_SEGMENT_CODE, NOWHERE, Roster, Segment
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

    def acts(self, customers: CustomerColumns, held: Held) -> Decision:
        """Say where customers belong; whoever is elsewhere moves."""
        target = self._targets(customers)
        return Decision(target, self.roster.codes[target] != held.segment)

    revise = acts

    def silence(self, customers: CustomerColumns, held: Held, after_ms: Instants, by_ms: Instants) -> Due:
        """Return the first of the crossings at which silence moves each customer.

        Where none comes by `by_ms` the next crossing is the answer, less what rounding may take: whether it moves
        anybody is found out then.
        """
        crossings = np.stack([crossing_ms(customers, comparison) for comparison in self.comparisons], axis=1)
        crossings = np.where(crossings > (after_ms - ROUNDING_MS)[:, None], crossings, np.inf)
        due_ms = np.full(len(customers), NEVER_MS)
        target = np.full(len(customers), NOWHERE)
        open_rows = np.arange(len(customers))
        while len(open_rows):
            first = crossings[open_rows].min(axis=1) if crossings.shape[1] else np.full(len(open_rows), np.inf)
            beyond = first - ROUNDING_MS > by_ms[open_rows]
            ended = open_rows[beyond]
            due_ms[ended] = np.minimum(first[beyond] - ROUNDING_MS, NEVER_MS).astype(np.int64)
            open_rows, first = open_rows[~beyond], first[~beyond]
            moved = self._try_crossing(customers, held, after_ms, by_ms, (open_rows, first), due_ms, target)
            open_rows, first = open_rows[~moved], first[~moved]
            # A crossing just behind `by_ms` may turn the comparison there or right after.
            near = first + ROUNDING_MS > by_ms[open_rows]
            due_ms[open_rows[near]] = by_ms[open_rows[near]] + 1
            open_rows, first = open_rows[~near], first[~near]
            passed = crossings[open_rows]
            crossings[open_rows] = np.where(passed <= first[:, None], np.inf, passed)
        return Due(due_ms, target)

    def _try_crossing(
        self,
        customers: CustomerColumns,
        held: Held,
        after_ms: Instants,
        by_ms: Instants,
        crossing: tuple[Indices, Floats],
        due_ms: Instants,
        target: Indices,
    ) -> Flags:
        """Note which customers move within rounding of a crossing each, and when; say who does."""
        rows, first = crossing
        moved = np.zeros(len(rows), np.bool_)
        for offset in range(-ROUNDING_MS, ROUNDING_MS + 1):
            at_ms = np.minimum(np.floor(first), NEVER_MS).astype(np.int64) + offset
            asked = np.flatnonzero(~moved & (at_ms > after_ms[rows]) & (at_ms <= by_ms[rows]))
            there = self._targets(customers.at(rows[asked], at_ms[asked]))
            leaves = self.roster.codes[there] != held.segment[rows[asked]]
            chosen = asked[leaves]
            due_ms[rows[chosen]], target[rows[chosen]] = at_ms[chosen], there[leaves]
            moved[chosen] = True
        return moved

    def _targets(self, customers: CustomerColumns) -> Indices:
        """Return the target of each customer at its instant, shape `(n,)`."""
        target = np.full(len(customers), len(self.definition.segments))
        for index in range(len(self.definition.segments) - 1, -1, -1):
            target[_holds(self.definition.segments[index].when, customers)] = index
        return target

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
