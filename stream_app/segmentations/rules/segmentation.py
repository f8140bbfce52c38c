"""Rules as a segmentation: the first condition that holds decides, and every instant of change is known beforehand.

`native/rules.c` evaluates them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from xxhash import xxh3_64_intdigest

from stream_app.core.moves import DEFINITION, MigrationContext, Moves
from stream_app.core.segmentation import Compiled
from stream_app.core.segments import MAX_SEGMENT_CODE, Roster, Segment
from stream_app.errors import ConfigurationError
from stream_app.native.segmentations import NativeForm
from stream_app.segmentations.rules.definition import (
    RulesConfiguration,
    comparisons,
)
from stream_app.segmentations.rules.explanation import RuleReason, explain_moves
from stream_app.segmentations.rules.native_form import rules_form


class RulesSegmentation(Compiled):
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

    def native_form(self) -> NativeForm:
        """Return what it is made of, for the compiled library."""
        return rules_form(self.definition)

    def explain(self, moves: Moves, context: MigrationContext) -> Sequence[RuleReason]:
        """Return why each customer moved."""
        return explain_moves(self, moves, context)


def segment_code(segment_id: str) -> int:
    """Return the code of a segment: made of its id alone, so that it is the same in every version."""
    return 1 + xxh3_64_intdigest(segment_id.encode()) % MAX_SEGMENT_CODE
