"""Segmentations by conditions: rules, where the first condition that holds decides, and audiences, in or out.

They are not asked one by one: all of a partition are compiled to one program (`native_form`), which the library
evaluates where something has changed, and where time has come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Final, Generic, TypeVar

from stream_app.core.moves import DEFINITION
from stream_app.core.segmentation import Compiled, Segmentation, SeriesNumbers
from stream_app.core.segments import Roster, Segment
from stream_app.errors import ConfigurationError
from stream_app.native.programs import NativeProgram
from stream_app.native.segmentations import RULES, NativeForm
from stream_app.segmentations.rules.codes import clashing_ids, segment_code
from stream_app.segmentations.rules.compiling.program import told_conditions
from stream_app.segmentations.rules.definition import AudienceConfiguration, Leaf, RulesConfiguration
from stream_app.segmentations.rules.id_lists import IdList
from stream_app.segmentations.rules.native_form import compile_rules
from stream_app.segmentations.rules.references import lists_of

D = TypeVar("D", bound=RulesConfiguration | AudienceConfiguration)


class ByConditions(Compiled, Generic[D]):
    """What rules and audiences have in common.

    Parameters
    ----------
    definition
        The conditions.
    version
        Ascends with every change of the definition, or of a list that it looks at.
    retired
        Segments of earlier versions that this one lacks.
    lists
        Customers of each list, by its name; those that the definition does not look at are left out.

    Raises
    ------
    ConfigurationError
        If two ids get the same code.
    """

    kind: str
    weighs_sessions: Final = True
    revised_by: Final = DEFINITION
    is_ruled = True

    def __init__(
        self,
        definition: D,
        version: int = 1,
        retired: Sequence[Segment] = (),
        lists: Mapping[str, IdList] = MappingProxyType({}),
    ) -> None:
        self.definition: D = definition
        self.name: Final = definition.name
        self.version: Final = version
        self.warn_before_ms = 0 if definition.warn_before is None else definition.warn_before.milliseconds
        self.lists: Final = {name: lists[name] for name in sorted(lists_of(definition) & lists.keys())}
        if clashing := clashing_ids(entry.id for entry in definition.roster):
            raise ConfigurationError(
                f"segmentation {self.name}: the ids {clashing[0]!r} and {clashing[1]!r} cannot be used together, "
                "as their codes are equal; use another id for one of them"
            )
        segments = tuple(
            Segment(segment_code(entry.id), entry.name, entry.id, entry.level) for entry in definition.roster
        )
        codes = {segment.code for segment in segments}
        self.roster: Final = Roster(segments, tuple(each for each in retired if each.code not in codes))

    @cached_property
    def conditions(self) -> tuple[Leaf, ...]:
        """The leaves of the definition, each once, in the order by which facts number them."""
        return told_conditions(self.definition)

    def native_form(self) -> NativeForm:
        """Return what it is made of beside its segments, for the compiled library: nothing, see `compile_all`."""
        return NativeForm(RULES, b"")

    def compile_all(
        self,
        segmentations: Sequence[Segmentation],
        table: SeriesNumbers,
        minor_per_major: int = 100,
        *,
        dated: bool = False,
    ) -> NativeProgram:
        """Return all rules among some segmentations, this one's included, compiled together; see `compile_rules`."""
        return compile_rules(segmentations, table, minor_per_major, dated=dated)


class RulesSegmentation(ByConditions[RulesConfiguration]):
    """Segments in order: a customer is in the first whose condition holds, or else in the default."""

    kind = "rules"


class AudienceSegmentation(ByConditions[AudienceConfiguration]):
    """One segment, of the audience's own name: a customer is in it, or in none."""

    kind = "audience"
