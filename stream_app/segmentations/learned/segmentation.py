"""A learned model as a segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from stream_app.core.arrays import Instants
from stream_app.core.columns import CustomerColumns
from stream_app.core.moves import MODEL, MigrationContext, Moves
from stream_app.core.segmentation import Decision, Due, Held
from stream_app.core.segments import Roster
from stream_app.segmentations.learned import decision
from stream_app.segmentations.learned.explanation import LearnedReason, explain_moves
from stream_app.segmentations.learned.model import Model


class LearnedSegmentation:
    """A model, asked as the core asks; see `stream_app.segmentations.learned.decision`.

    Parameters
    ----------
    model
        The version in force.
    """

    kind: Final = "learned"
    reads: Final = frozenset({"activity", "quantities"})
    weighs_sessions: Final = False
    revised_by: Final = MODEL

    def __init__(self, model: Model) -> None:
        self.model = model
        self.name: Final = model.name
        self.version: Final = model.version

    @property
    def roster(self) -> Roster:
        """The segments."""
        return self.model.roster

    def acts(self, customers: CustomerColumns, held: Held) -> Decision:
        """Say where an own act leads each customer."""
        return decision.acts(self.model, customers, held)

    def silence(self, customers: CustomerColumns, held: Held, after_ms: Instants, by_ms: Instants) -> Due:
        """Return when silence first moves each customer, and where to; exact however far ahead."""
        return decision.silence(self.model, customers, held, after_ms, by_ms)

    def revise(self, customers: CustomerColumns, held: Held) -> Decision:
        """Say where customers belong under this model."""
        return decision.revise(self.model, customers, held)

    def explain(self, moves: Moves, context: MigrationContext) -> Sequence[LearnedReason]:
        """Return why each customer moved."""
        return explain_moves(self.model, moves, context)
