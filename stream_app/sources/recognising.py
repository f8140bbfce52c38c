"""Which sources fit a file: those whose marks it has, the one with the most marks first."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from stream_app.sources.forms import Look
from stream_app.sources.mapping import Recognition, Source
from stream_app.sources.paths import parse_path


class Recognised(NamedTuple):
    """What a file is of.

    Attributes
    ----------
    source_name
        Of the source.
    join
        Which of its joins; empty for the source's own rows.
    marks
        How many columns and paths it was recognised by.
    """

    source_name: str
    join: str
    marks: int


def recognise(look: Look, sources: Mapping[str, Source]) -> list[Recognised]:
    """Return what a file can be of, the most likely first."""
    found = []
    for name, source in sources.items():
        recognitions = {"": source.recognise, **{join: joined.recognise for join, joined in source.joins.items()}}
        for join, recognition in recognitions.items():
            if recognition is not None and (marks := _marks(look, recognition)):
                found.append(Recognised(name, join, marks))
    return sorted(found, key=lambda each: (-each.marks, each.join != "", each.source_name))


def _marks(look: Look, recognition: Recognition) -> int:
    columns, paths = recognition.columns or (), recognition.paths or ()
    if recognition.name is not None and not fnmatchcase(look.path.name.lower(), recognition.name.lower()):
        return 0
    if not {*columns} <= {*look.columns}:
        return 0
    if not all(any(_has(document, path) for document in look.documents) for path in paths):
        return 0
    return len(columns) + len(paths) + (recognition.name is not None)


def _has(document: Any, path: str) -> bool:
    """Return whether a document has something at a path."""
    if isinstance(document, dict) and path in document:
        return True
    places = [document]
    for piece in parse_path(path).pieces:
        if isinstance(piece, tuple):
            key, value = piece
            places = [place for place in places if isinstance(place, dict) and str(place.get(key)) == value]
        else:
            places = _at(places, piece)
    return any(place is not None for place in places)


def _at(places: list[Any], piece: str) -> list[Any]:
    """Return what a piece of a path, as `parse_path` makes it, finds in each of several documents."""
    for step in _steps(piece):
        found: list[Any] = []
        for place in places:
            if step == "*":
                found += place if isinstance(place, list) else []
            elif isinstance(step, int):
                found += place[step : step + 1] if isinstance(place, list) else []
            elif isinstance(place, dict) and step in place:
                found.append(place[step])
        places = found
    return places


def _steps(piece: str) -> list[str | int]:
    steps: list[str | int] = []
    rest = piece[1:]
    while rest:
        if rest.startswith("["):
            inside, _, rest = rest[1:].partition("]")
            steps.append(inside if inside == "*" else int(inside))
        else:
            name, _, rest = rest[2:].partition('"')
            steps.append(name)
    return steps
