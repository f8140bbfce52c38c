"""Which mapping a file is read by: the one that is named, the one that knows it, or a guess if one is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from stream_app.errors import ConfigurationError
from stream_app.segmentations.guessing import guess as nearest
from stream_app.sources.checking import rows_of
from stream_app.sources.files import SourceFile
from stream_app.sources.forms import Look, look_at, members_of
from stream_app.sources.generic import shown
from stream_app.sources.guessing import Guess, guess
from stream_app.sources.mapping import Source, load_presets, load_sources, parse_sources
from stream_app.sources.recognising import recognise

AUTO: Final = "auto"
GUESS: Final = "guess"
"""As `auto`; files that no source knows are read by a mapping that their columns' names suggest."""
FILE_ENDINGS: Final = (".yaml", ".yml", ".json")


class Chosen(NamedTuple):
    """A file and its mapping.

    Attributes
    ----------
    path, member
        The file; of a zip, which one in it.
    name
        Of the mapping, which event ids begin with.
    source
        The mapping.
    join
        Of its joins, which one the file is; empty for its own rows.
    look
        What the file is.
    remarks
        Of a mapping that was guessed: what it takes for what, and what it leaves open, in one line each.
    """

    path: Path
    member: str
    name: str
    source: Source
    join: str
    look: Look
    remarks: tuple[str, ...] = ()

    def described(self, shared: SourceFile) -> SourceFile:
        """Return the file as it is to be read; `shared` holds for all files."""
        return replace(
            shared,
            path=self.path,
            topic="",
            mapping=self.source,
            mapping_name=self.name,
            join=self.join,
            member=self.member,
        )


def known_sources(path: Path | None) -> dict[str, Source]:
    """Return the presets, and the sources of a file, which come before presets of the same name."""
    return {**load_presets(), **(load_sources(path) if path else {})}


def name_in(sources: Mapping[str, Source]) -> str:
    """Return the name of the only source of a file of sources; `auto` where there are several."""
    return next(iter(sources)) if len(sources) == 1 else AUTO


def choose(paths: Sequence[Path], named: str, sources: Mapping[str, Source]) -> list[Chosen]:
    """Return the mapping of each file, and of each file in a zip.

    Parameters
    ----------
    paths
        Files.
    named
        A source's name, `auto`, `guess`, or a file of sources, of which the one that fits a file is taken.
    sources
        By name.

    Raises
    ------
    ConfigurationError
        If there is no such source, a file cannot be read, or no source knows it.
    """
    if named.endswith(FILE_ENDINGS):
        sources = load_sources(Path(named))
        named = name_in(sources)
    elif named not in (AUTO, GUESS) and named not in sources:
        names = ", ".join(sorted(sources))
        raise ConfigurationError(
            f"--source: {named!r}, expected auto, guess or one of {names}{nearest(named, sources)}"
        )
    return [_choose(path, member, named, sources) for path in paths for member in _members(path)]


def _members(path: Path) -> Iterator[str]:
    yield from members_of(path) or [""]


def _choose(path: Path, member: str, named: str, sources: Mapping[str, Source]) -> Chosen:
    is_open = named in (AUTO, GUESS)
    wanted = sources if is_open else {named: sources[named]}
    look = look_at(path, None if is_open else sources[named], member)
    found = recognise(look, wanted)
    if found:
        best = found[0]
        equals = [
            each.source_name for each in found if each.marks == best.marks and each.source_name != best.source_name
        ]
        if equals:
            names = " or ".join([best.source_name, *equals])
            raise ConfigurationError(f"{path}: may be of {names}; say which with --source")
        return Chosen(path, member, best.source_name, sources[best.source_name], best.join, look)
    if not is_open:
        return Chosen(path, member, named, sources[named], "", look)
    if look.is_empty:
        raise ConfigurationError(f"{path}: is empty, expected records")
    if named == GUESS:
        return _guessed(path, member, look)
    header = f" with the columns {shown(look.columns)}" if look.columns else ""
    raise ConfigurationError(
        f"{path}: {look.describe()}{header} fits no known source; `segmenter sources check` proposes how to "
        "read it, and --source guess reads it so; or describe it in a sources.yaml, or name its topic, such as "
        "--purchases FILE, and its columns with --column"
    )


def _guessed(path: Path, member: str, look: Look) -> Chosen:
    guessed = guess_of(look)
    if guessed.document is None:
        raise ConfigurationError(f"{path}: --source guess: {'; '.join(guessed.remarks)}")
    ((name, source),) = parse_sources(guessed.document, GUESS).items()
    fields = ", ".join(
        f"{field} from {' or '.join(map(repr, mapping.columns))}"
        for record in source.records
        for field, mapping in record.fields.items()
    )
    return Chosen(path, member, name, source, "", look, (f"guessed: {fields}", *guessed.remarks))


def guess_of(look: Look) -> Guess:
    """Return the mapping that the columns of a file, and its first rows, suggest."""
    columns, rows = rows_of(look)
    return guess(columns, rows, look.path.name.partition(".")[0])
