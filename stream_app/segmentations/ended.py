"""A segmentation that was taken out of the configuration: everybody leaves it, each by one move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from stream_app.core.arrays import Instants
from stream_app.core.columns import CustomerColumns
from stream_app.core.moves import DEFINITION, MigrationContext, Moves, describe_path
from stream_app.core.segmentation import NEVER_MS, Decision, Due, Held, Segmentation
from stream_app.core.segments import NO_SEGMENT, NOWHERE, Roster


class DefinitionReason(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="definition"):
    """Why a customer moved: the segmentation itself was changed, and nothing else is to be said."""

    sentence: str

    @property
    def is_specific(self) -> bool:
        """Whether it says more than that something is new."""
        return False


class EndedSegmentation:
    """What is left of a segmentation once nobody wants it any more.

    Parameters
    ----------
    name
        Its name.
    last
        Its last version; None if nobody knows it any more.
    """

    kind: Final = "ended"
    reads: Final = frozenset[str]()
    weighs_sessions: Final = False
    revised_by: Final = DEFINITION

    def __init__(self, name: str, last: Segmentation | None) -> None:
        self.name: Final = name
        self.version: Final = last.version if last else 0
        self.roster: Final = Roster((), tuple(last.roster.by_code.values()) if last else ())

    def acts(self, customers: CustomerColumns, held: Held) -> Decision:
        """Say that whoever is in a segment leaves it."""
        return Decision(np.full(len(customers), NOWHERE), held.segment != NO_SEGMENT)

    revise = acts

    def silence(
        self,
        customers: CustomerColumns,
        held: Held,  # noqa: ARG002  (protocol)
        after_ms: Instants,  # noqa: ARG002
        by_ms: Instants,  # noqa: ARG002
    ) -> Due:
        """Return never."""
        return Due(np.full(len(customers), NEVER_MS), np.full(len(customers), NOWHERE))

    def explain(self, moves: Moves, context: MigrationContext) -> Sequence[DefinitionReason]:  # noqa: ARG002  (protocol)
        """Return the same reason for all."""
        references = self.roster.references
        return [
            DefinitionReason(f"Segmentation {self.name} has ended; {describe_path(references.get(code), None)}.")
            for code in moves.from_code.tolist()
        ]
