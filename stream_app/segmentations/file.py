"""`segmentations.yaml`: in what ways customers are divided, in one file.

The file is checked as a whole, and every mistake is reported, not only the first: those of single values by the models
of `stream_app.segmentations.rules.definition`, those between definitions by `stream_app.segmentations.references`, and
segments that nobody can enter by `stream_app.segmentations.reach`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field, ValidationError

from stream_app.core.local_days import UTC
from stream_app.segmentations.configuration import (
    SEGMENTATIONS_MAX,
    Configuration,
)
from stream_app.segmentations.documents import parse_document, read_document
from stream_app.segmentations.guessing import guess
from stream_app.segmentations.learned.configuration import LearnedConfiguration
from stream_app.segmentations.lists import ListInvalid, read_list
from stream_app.segmentations.mistakes import Mistake, keys_of, mistakes_of, path_of, shown
from stream_app.segmentations.reach import everybody, unreachable
from stream_app.segmentations.references import advice, broken_references
from stream_app.segmentations.rules.definition import AudienceConfiguration, Ruled, RulesConfiguration
from stream_app.segmentations.rules.values import Name, ZoneName
from stream_app.segmentations.rules.zones import in_zone
from stream_app.segmentations.traits import TraitCatalogue

SHIPPED: Final = "shipped.yaml"
"""What runs where no file is named; beside this module."""
LISTS_MAX: Final = 64
TRAITS_MAX: Final = 1000
OfAnyKind: TypeAlias = LearnedConfiguration | RulesConfiguration | AudienceConfiguration
MODELS: Final[Mapping[str, type[OfAnyKind]]] = {
    "learned": LearnedConfiguration,
    "rules": RulesConfiguration,
    "audience": AudienceConfiguration,
}
"""What a segmentation of each kind is configured by."""


class _Head(Configuration):
    """All but the segmentations."""

    version: Literal[1]
    """Of this format; 1."""
    timezone: ZoneName | None = None
    """Whose dates are meant by every condition on the calendar that names no time zone; those of the shop's
    (`business.timezone`) if not given."""
    lists: Annotated[dict[Name, Annotated[str, Field(min_length=1)]], Field(default_factory=dict, max_length=LISTS_MAX)]
    """Files of customers' ids, one a line, by the name of the list; relative to this file."""
    traits: Annotated[TraitCatalogue, Field(default_factory=dict, max_length=TRAITS_MAX)]
    """The catalogue of traits: types, and the legal basis of sensitive ones. A trait that is not listed is accepted as
    it comes."""


class SegmentationsFile(_Head):
    """The ways in which customers are divided."""

    segmentations: Annotated[
        tuple[Annotated[OfAnyKind, Field(discriminator="kind")], ...], Field(min_length=1, max_length=SEGMENTATIONS_MAX)
    ]
    """Segmentations and audiences, in order. One that is removed makes everybody leave it."""

    @property
    def ruled(self) -> tuple[Ruled, ...]:
        """Those that are decided by conditions."""
        return tuple(s for s in self.segmentations if isinstance(s, RulesConfiguration | AudienceConfiguration))


@dataclass(frozen=True)
class Checked:
    """What came of checking a document.

    Parameters
    ----------
    file
        The definitions; None if there are mistakes.
    mistakes
        What keeps the file from being used, in its order.
    warnings
        What can be used, and probably is not what was meant.
    notes
        What is good to know.
    lists
        Customers' ids of each list, in the order of their files.
    """

    file: SegmentationsFile | None
    mistakes: tuple[Mistake, ...] = ()
    warnings: tuple[Mistake, ...] = ()
    notes: tuple[Mistake, ...] = ()
    lists: Mapping[str, tuple[str, ...]] | None = None


def shipped_text() -> str:
    """Return the shipped definitions, as a file."""
    return files(__package__).joinpath(SHIPPED).read_text("utf-8")


def shipped_document() -> Any:
    """Return the shipped definitions as plain data."""
    return parse_document(shipped_text().encode())


def check_file(path: Path, timezone: str = UTC) -> Checked:
    """Return what comes of checking a file; `timezone` as for `check_document`.

    Raises
    ------
    ConfigurationError
        If it cannot be read.
    DocumentInvalid
        If it is no document.
    """
    return check_document(read_document(path), path.parent, timezone)


def check_document(document: Any, folder: Path | None = None, timezone: str = UTC) -> Checked:
    """Return what comes of checking a document; never an error, whatever it is.

    Parameters
    ----------
    document
        Plain data, as YAML or JSON has it.
    folder
        Where the files of lists are; without one they are not read.
    timezone
        The shop's, where the document names none.
    """
    if not isinstance(document, Mapping):
        keys = ", ".join(keys_of(SegmentationsFile))
        return Checked(None, (Mistake("", f"{shown(document)}, expected a mapping with {keys}"),))
    mistakes = [Mistake(path_of(place), "nothing, expected a value, or no such key") for place in _empty(document)]
    head = _head(document, mistakes)
    parsed = _segmentations(document, mistakes)
    lists = _lists(head, folder, mistakes)
    mistakes += broken_references(parsed, _names(document), _named_lists(document), head.traits)
    ruled = {place: s for place, s in parsed.items() if isinstance(s, RulesConfiguration | AudienceConfiguration)}
    mistakes += unreachable(ruled)
    if mistakes:
        return Checked(None, tuple(dict.fromkeys(mistakes)), lists=lists)
    zone = head.timezone or timezone
    file = SegmentationsFile.model_construct(
        **{name: getattr(head, name) for name in _Head.model_fields} | {"timezone": zone},
        segmentations=tuple(in_zone(segmentation, zone) for segmentation in parsed.values()),
    )
    warnings, notes = advice(parsed)
    return Checked(file, (), (*warnings, *everybody(ruled)), tuple(notes), lists)


def _empty(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the places of keys without a value: `last:` alone would mean all time, which nobody would expect."""
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        if part is None:
            yield (*place, key)
        else:
            yield from _empty(part, (*place, key))


def _head(document: Mapping[str, Any], mistakes: list[Mistake]) -> _Head:
    """Return what is right of all but the segmentations."""
    keys = keys_of(SegmentationsFile)
    for key in document:
        if key not in keys:
            mistakes.append(
                Mistake(path_of((str(key),)), f"there is no such key, expected {', '.join(keys)}{guess(key, keys)}")
            )
    given = {key: value for key, value in document.items() if key in _Head.model_fields}
    try:
        return _Head.model_validate(given)
    except ValidationError as error:
        mistakes += mistakes_of(error, _Head)
        wrong = [found["loc"] for found in error.errors(include_url=False)]
    left: dict[str, Any] = {"version": 1}
    for key in ("timezone", "lists", "traits"):
        values = given.get(key)
        if key not in given or (key,) in wrong:
            continue
        names = {place[1] for place in wrong if place[0] == key and len(place) > 1}
        left[key] = {k: v for k, v in values.items() if k not in names} if isinstance(values, Mapping) else values
    return _Head.model_validate(left)


def _segmentations(document: Mapping[str, Any], mistakes: list[Mistake]) -> dict[str, OfAnyKind]:
    """Return those that are right by themselves, by their place."""
    entries = document.get("segmentations")
    if not isinstance(entries, list) or not entries:
        found = shown(entries) if "segmentations" in document else "missing"
        mistakes.append(Mistake("segmentations", f"{found}, expected a list of segmentations"))
        return {}
    if len(entries) > SEGMENTATIONS_MAX:
        mistakes.append(Mistake("segmentations", f"{len(entries)} of them, expected {SEGMENTATIONS_MAX} at most"))
        return {}
    parsed: dict[str, OfAnyKind] = {}
    for index, entry in enumerate(entries):
        place = ("segmentations", index)
        if not isinstance(entry, Mapping):
            mistakes.append(Mistake(path_of(place), f"{shown(entry)}, expected a mapping with kind, name and more"))
            continue
        kind = entry.get("kind")
        model = MODELS.get(kind) if isinstance(kind, str) else None
        if model is None:
            found = shown(kind) if "kind" in entry else "missing"
            kinds = f"expected {', '.join(MODELS)}{guess(kind, MODELS)}"
            mistakes.append(Mistake(path_of((*place, "kind")), f"{found}, {kinds}"))
            continue
        try:
            parsed[path_of(place)] = model.model_validate(entry)
        except ValidationError as error:
            mistakes += mistakes_of(error, model, place)
    return parsed


def _names(document: Mapping[str, Any]) -> set[str]:
    """Return the names of all segmentations, also of those with mistakes: these are not unknown."""
    entries = document.get("segmentations")
    found = (entry.get("name") for entry in entries if isinstance(entry, Mapping)) if isinstance(entries, list) else ()
    return {name for name in found if isinstance(name, str)}


def _named_lists(document: Mapping[str, Any]) -> set[str]:
    lists = document.get("lists")
    return {name for name in lists if isinstance(name, str)} if isinstance(lists, Mapping) else set()


def _lists(head: _Head, folder: Path | None, mistakes: list[Mistake]) -> dict[str, tuple[str, ...]]:
    lists: dict[str, tuple[str, ...]] = {}
    if folder is None:
        return lists
    for name, file in head.lists.items():
        try:
            lists[name] = read_list(folder / file)
        except ListInvalid as error:
            mistakes.append(Mistake(path_of(("lists", name)), str(error)))
    return lists
