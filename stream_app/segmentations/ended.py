"""A segmentation that was taken out of the configuration: everybody leaves it, each by one move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from stream_app.core.moves import DEFINITION, MigrationContext, Moves, describe_path
from stream_app.core.segmentation import Compiled, CompiledRules, Segmentation, SeriesNumbers
from stream_app.core.segments import Roster
from stream_app.native.segmentations import ENDED, NativeForm
from stream_app.segmentations.rules.native_form import compile_rules


class DefinitionReason(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="definition"):
    """Why a customer moved: the segmentation itself was changed, and nothing else is to be said."""

    sentence: str

    @property
    def is_specific(self) -> bool:
        """Whether it says more than that something is new."""
        return False


class EndedSegmentation(Compiled):
    """What is left of a segmentation that is no longer configured.

    Parameters
    ----------
    name
        Its name.
    last
        Its last version; None if it is no longer known.
    """

    kind: Final = "ended"
    weighs_sessions: Final = False
    revised_by: Final = DEFINITION

    def __init__(self, name: str, last: Segmentation | None) -> None:
        self.name: Final = name
        self.is_ruled = last is not None and last.is_ruled
        self.version: Final = last.version if last else 0
        self.roster: Final = Roster((), tuple(last.roster.by_code.values()) if last else ())

    def native_form(self) -> NativeForm:
        """Return what it is made of, for the compiled library."""
        return NativeForm(ENDED, b"")

    def compile_all(
        self, segmentations: Sequence[Segmentation], table: SeriesNumbers, minor_per_major: int, *, dated: bool
    ) -> CompiledRules:
        """Return all rules among some segmentations, compiled together; see `compile_rules`."""
        return compile_rules(segmentations, table, minor_per_major, dated=dated)

    def explain(self, moves: Moves, context: MigrationContext) -> Sequence[DefinitionReason]:  # noqa: ARG002  (protocol)
        """Return the same reason for all."""
        references = self.roster.references
        return [
            DefinitionReason(f"Segmentation {self.name} has ended; {describe_path(references.get(code), None)}.")
            for code in moves.from_code.tolist()
        ]
