"""Why a customer moved by rules: the comparisons that came true, and those that no longer are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np

from stream_app.core.moves import DEFINITION, MigrationContext, Moves, describe_event, describe_path
from stream_app.core.segments import NO_SEGMENT, Roster
from stream_app.segmentations.rules.definition import OPERATORS, Comparison
from stream_app.segmentations.rules.figures import figure_of


class TurnedCondition(msgspec.Struct, frozen=True, gc=False):
    """A comparison that came true or false, with the figure before and after."""

    figure: str
    operator: str
    value: float
    before: float | None
    after: float


class RuleReason(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="rules"):
    """Why a customer moved."""

    gained: tuple[TurnedCondition, ...]
    lost: tuple[TurnedCondition, ...]
    sentence: str

    @property
    def is_specific(self) -> bool:
        """Whether it says more than that something is new."""
        return bool(self.gained or self.lost)


class Rules(Protocol):
    """What is asked of the segmentation."""

    @property
    def roster(self) -> Roster:
        """Its segments."""
        ...

    @property
    def comparisons(self) -> Sequence[Comparison]:
        """All comparisons, in order."""
        ...


def explain_moves(rules: Rules, moves: Moves, context: MigrationContext) -> Sequence[RuleReason]:
    """Return why each customer moved, in the same order."""
    count = len(moves.customer_ids)
    both = moves.columns
    distinct = list(dict.fromkeys(rules.comparisons))
    values = {figure: figure_of(both, figure) for figure in dict.fromkeys(c.figure for c in distinct)}
    turned = []
    for comparison in distinct:
        figures = values[comparison.figure]
        holds = OPERATORS[comparison.operator](figures, comparison.value)
        rounded = np.round(figures, 4).tolist()
        turned.append((comparison, holds.tolist(), rounded))
    references = rules.roster.references
    targets = [references.get(code) for code in rules.roster.codes.tolist()]
    reasons = []
    for move, event_at in enumerate(moves.causes):
        entered = moves.from_code[move] == NO_SEGMENT
        gained: list[TurnedCondition] = []
        lost: list[TurnedCondition] = []
        for comparison, holds, figures in turned:
            did, does = not entered and holds[move], holds[count + move]
            if does != did:
                before = None if entered else figures[move]
                entry = TurnedCondition(
                    comparison.figure, comparison.operator, comparison.value, before, figures[count + move]
                )
                (gained if does else lost).append(entry)
        if event_at is not None:
            lead = describe_event(event_at[0], int(moves.change[move]), context)
        else:
            lead = "The definition is new" if moves.cause_kind[move] == DEFINITION else "Time has passed"
        facts = ", ".join(
            [
                *(f"{c.figure} {c.after:g} is {c.operator} {c.value:g}" for c in gained),
                *(f"{c.figure} {c.after:g} is no longer {c.operator} {c.value:g}" for c in lost),
            ]
        )
        path = describe_path(references.get(int(moves.from_code[move])), targets[moves.target[move]])
        reasons.append(RuleReason(tuple(gained), tuple(lost), f"{lead}{': ' if facts else ''}{facts}; {path}."))
    return reasons
