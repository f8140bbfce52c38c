"""All segmentations by rules of a partition → one program in the compiled library, see `native/program.h`.

What conditions count is shared among them, and what one decides the others can build on; so they are compiled together,
whenever one of them changes. Series keep their numbers: what has been counted is found again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol, cast

from stream_app.core.segmentation import Segmentation, SeriesNumbers
from stream_app.errors import ConfigurationError
from stream_app.native.programs import SEGMENTATIONS_MAX, NativeProgram
from stream_app.segmentations.rules.compiling.program import Compiler, Definition
from stream_app.segmentations.rules.definition import Ruled
from stream_app.segmentations.rules.id_lists import IdList

ENDED: Final = "ended"


class _ByConditions(Protocol):
    @property
    def definition(self) -> Ruled: ...
    @property
    def lists(self) -> Mapping[str, IdList]: ...


def compile_rules(
    segmentations: Sequence[Segmentation], table: SeriesNumbers, minor_per_major: int = 100, *, dated: bool = False
) -> NativeProgram:
    """Return all rules among some segmentations, compiled together.

    Parameters
    ----------
    segmentations
        All of a partition; those that have ended are left by everybody.
    table
        Gives numbers to series, and says in which order it has the segmentations.
    minor_per_major
        Minor units of the base currency in a major one.
    dated
        Whether it is kept of all when a customer entered its segment.

    Raises
    ------
    ConfigurationError
        If definitions refer to each other in a circle, to something that is not there, or are too many.
    """
    by_name = {segmentation.name: segmentation for segmentation in segmentations}
    ruled = [by_name[name] for name in table.ruled_names]
    if len(ruled) > SEGMENTATIONS_MAX:
        raise ConfigurationError(
            f"segmentations: {len(ruled)} by rules, those that have ended included, expected at most "
            f"{SEGMENTATIONS_MAX}"
        )
    present = [cast(_ByConditions, each) for each in ruled if each.kind != ENDED]
    compiler = Compiler(
        [Definition(each.name, None if each.kind == ENDED else _definition(each), each.roster) for each in ruled],
        [by_name[name] for name in table.names],
        {name: found.hashes.tolist() for each in present for name, found in each.lists.items()},
        table.timezone,
    )
    compiled = compiler.compile(table.series_number, minor_per_major, dated=dated)
    return NativeProgram(compiled.form, compiled.kept_since)


def _definition(segmentation: object) -> Ruled:
    return cast(_ByConditions, segmentation).definition
