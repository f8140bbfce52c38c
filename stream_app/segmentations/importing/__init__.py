"""Definitions of other systems as a file of segmentations.

Each system has its module, which turns a document into our plain data, says which conventions it chose where the
systems differ, and refuses with a path what cannot be expressed. What comes out is checked like any other file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml  # type: ignore[import-untyped]

from stream_app.segmentations.documents import read_document
from stream_app.segmentations.file import check_document
from stream_app.segmentations.importing.dittofeed import read_dittofeed
from stream_app.segmentations.importing.klaviyo import read_klaviyo
from stream_app.segmentations.importing.posthog import read_posthog
from stream_app.segmentations.importing.translation import Translation
from stream_app.segmentations.mistakes import Mistake

SYSTEMS: Final[Mapping[str, Callable[[Any, Translation], None]]] = {
    "klaviyo": read_klaviyo,
    "posthog": read_posthog,
    "dittofeed": read_dittofeed,
}
TITLES: Final = {"klaviyo": "Klaviyo", "posthog": "PostHog", "dittofeed": "Dittofeed"}


class Imported(NamedTuple):
    """What came of an import.

    Attributes
    ----------
    text
        A file of segmentations; empty if there are mistakes.
    mistakes
        What cannot be expressed, by its path in the other system's document.
    """

    text: str
    mistakes: tuple[Mistake, ...]


def import_file(system: str, path: Path, names: Mapping[str, str]) -> Imported:
    """Return the definitions of another system's file.

    Raises
    ------
    ConfigurationError
        If it cannot be read or is no document.
    """
    return import_document(system, read_document(path), names)


def import_document(system: str, document: Any, names: Mapping[str, str] | None = None) -> Imported:
    """Return the definitions of another system's document.

    Parameters
    ----------
    system
        One of `SYSTEMS`.
    document
        Plain data.
    names
        What ids of the other system are called here.
    """
    translation = Translation(names or {})
    SYSTEMS[system](document, translation)
    made = {"version": 1, "segmentations": translation.segmentations}
    mistakes = tuple(translation.mistakes)
    if not mistakes:
        mistakes = tuple(Mistake(f"(imported) {m.path}", m.message) for m in check_document(made).mistakes)
    if mistakes:
        return Imported("", mistakes)
    comment = [f"Imported from {TITLES[system]}. Conventions:", *(f"- {each}" for each in translation.conventions)]
    body = yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=120)
    return Imported("".join(f"# {line}\n" for line in comment) + body, ())
