"""Which files are read by which sources: as somebody says, or by what they are recognised as.

A file is read by one source. Beside that it may be what another source of the run joins to its own rows: an order
report has orders of its own, and says whose orders the refunds in a settlement are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Final, NamedTuple

from stream_app.errors import ConfigurationError
from stream_app.sources.forms import Look
from stream_app.sources.generic import shown
from stream_app.sources.mapping import Source
from stream_app.sources.recognising import Recognised, recognise
from stream_app.sources.staging import InputFile

AUTO: Final = "auto"
"""In place of a source's name: what fits the file."""


class Found(NamedTuple):
    """A file that is to be read.

    Attributes
    ----------
    name
        What messages call it.
    look
        What it is.
    wanted
        Name of the source that reads it, or `AUTO`.
    """

    name: str
    look: Look
    wanted: str = AUTO


def choose(found: Sequence[Found], sources: Mapping[str, Source]) -> list[InputFile]:
    """Return how files are read, numbered as they stand in `found`.

    Raises
    ------
    ConfigurationError
        If a source is unknown, none fits a file, or the one that is asked for does not.
    """
    fits = [_fitting(each, sources) for each in found]
    files = [
        InputFile(number, each.name, sources[best.source_name], best.source_name, each.look, None, best.join)
        for number, (each, (best, *_)) in enumerate(zip(found, fits, strict=True))
    ]
    return files + _joined_as_well(files, fits, sources)


def _fitting(found: Found, sources: Mapping[str, Source]) -> list[Recognised]:
    """Return what a file can be of, the most likely first and one at least."""
    if found.wanted != AUTO and found.wanted not in sources:
        guesses = get_close_matches(found.wanted, [AUTO, *sources], n=2)
        hint = f"did you mean {' or '.join(guesses)}?" if guesses else f"expected {AUTO} or one of {', '.join(sources)}"
        raise ConfigurationError(f"source {found.wanted!r} is unknown; {hint}")
    fits = recognise(found.look, sources)
    if found.wanted == AUTO:
        if not fits:
            raise ConfigurationError(
                f"{found.name}: no source is known for {found.look.describe()} with {shown(found.look.columns)}; "
                f"`segmenter sources check {found.name}` makes a mapping of it"
            )
        return fits
    source = sources[found.wanted]
    if source.recognise is None:
        return [Recognised(found.wanted, "", 0)]
    own = [each for each in fits if each.source_name == found.wanted]
    if not own:
        marks = source.recognise
        missing = [column for column in marks.columns or () if column not in found.look.columns]
        told = f"column {missing[0]!r} is not" if missing else f"{', '.join(marks.paths or ())} are not all"
        better = f"; {fits[0].source_name} would fit" if fits else ""
        raise ConfigurationError(
            f"{found.name}: is not of source {found.wanted}: {told} in it, which has "
            f"{shown(found.look.columns)}{better}"
        )
    return own + [each for each in fits if each.source_name != found.wanted]


def _joined_as_well(
    files: Sequence[InputFile], fits: Sequence[Sequence[Recognised]], sources: Mapping[str, Source]
) -> list[InputFile]:
    """Return the files that another source of the run joins to its rows, and has no file of its own for."""
    reading = {file.source_name for file in files if not file.join}
    served = {(file.source_name, file.join) for file in files if file.join}
    more = []
    for file, of_file in zip(files, fits, strict=True):
        for name, join, _ in of_file:
            if join and name in reading and name != file.source_name and (name, join) not in served:
                more.append(replace(file, source=sources[name], source_name=name, join=join))
    return more
