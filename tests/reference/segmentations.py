"""Segmentations that answer by the reference, and say everything else as the production version that they stand for.

A partition of them decides without the compiled library, but for its elementary functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from stream_app.core.arrays import Instants
from stream_app.core.foreign import Foreign
from stream_app.core.moves import DEFINITION
from stream_app.core.segmentation import NEVER_MS, Decision, Due, Held, Segmentation
from stream_app.core.segments import NO_SEGMENT, NOWHERE
from stream_app.segmentations.ended import EndedSegmentation
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.rules.segmentation import RulesSegmentation
from tests.reference import learned_decision, rules
from tests.reference.columns import CustomerColumns


class ReferenceLearned(LearnedSegmentation):
    """A model that `tests.reference.learned_decision` answers for."""

    def acts(self, customers: CustomerColumns, held: Held) -> Decision:  # type: ignore[override]
        return learned_decision.acts(self.model, customers, held)

    def silence(  # type: ignore[override]
        self, customers: CustomerColumns, held: Held, after_ms: Instants, by_ms: Instants
    ) -> Due:
        return learned_decision.silence(self.model, customers, held, after_ms, by_ms)

    def revise(self, customers: CustomerColumns, held: Held) -> Decision:  # type: ignore[override]
        return learned_decision.revise(self.model, customers, held)


class ReferenceRules(Foreign):
    """Rules on figures that `tests.reference.rules` answers for, asked one by one as other kinds are.

    Parameters
    ----------
    version
        What it stands for.
    """

    kind: Final = "rules"
    weighs_sessions: Final = True
    revised_by: Final = DEFINITION

    def __init__(self, version: RulesSegmentation) -> None:
        self.definition: Final = version.definition
        self.name: Final = version.name
        self.version: Final = version.version
        self.roster: Final = version.roster

    def acts(self, customers: CustomerColumns, held: Held) -> Decision:
        return rules.acts(self, customers, held)

    def silence(self, customers: CustomerColumns, held: Held, after_ms: Instants, by_ms: Instants) -> Due:
        # However far one looks: a step keeps what it is told, and does not ask again before then.
        return rules.silence(self, customers, held, after_ms, np.full_like(by_ms, NEVER_MS))

    revise = acts


class ReferenceEnded(EndedSegmentation):
    """A segmentation that everybody leaves."""

    def acts(self, customers: CustomerColumns, held: Held) -> Decision:  # type: ignore[override]
        return Decision(np.full(len(customers), NOWHERE), held.segment != NO_SEGMENT)

    def silence(  # type: ignore[override]
        self,
        customers: CustomerColumns,
        held: Held,  # noqa: ARG002
        after_ms: Instants,  # noqa: ARG002
        by_ms: Instants,  # noqa: ARG002
    ) -> Due:
        return Due(np.full(len(customers), NEVER_MS), np.full(len(customers), NOWHERE))

    revise = acts  # type: ignore[assignment]


def by_reference(segmentation: Segmentation) -> Segmentation:
    """Return the same version, answering by the reference; of a kind that answers in Python, the version itself."""
    match segmentation:
        case ReferenceLearned() | ReferenceRules() | ReferenceEnded():
            return segmentation
        case LearnedSegmentation():
            return ReferenceLearned(segmentation.model)
        case RulesSegmentation():
            return ReferenceRules(segmentation)
        case EndedSegmentation():
            return ReferenceEnded(segmentation.name, segmentation)
        case _:
            return segmentation


def all_by_reference(segmentations: Sequence[Segmentation]) -> list[Segmentation]:
    """Return each of them as `by_reference` does."""
    return [by_reference(segmentation) for segmentation in segmentations]
