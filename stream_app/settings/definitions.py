"""In what ways customers are divided: a file of its own, or tables of the settings, or what is shipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny, TypeAdapter

from stream_app.errors import ConfigurationError, DefinitionsInvalid
from stream_app.segmentations.configuration import SegmentationConfiguration
from stream_app.segmentations.file import Checked, check_document, check_file, shipped_document
from stream_app.segmentations.registry import parse_segmentations
from stream_app.segmentations.traits import TraitDefinition


@dataclass(frozen=True)
class Definitions:
    """What is configured.

    Parameters
    ----------
    segmentations
        In order.
    lists
        Customers' ids by the name of the list.
    traits
        The catalogue of traits.
    """

    segmentations: Annotated[
        tuple[SerializeAsAny[SegmentationConfiguration], ...], BeforeValidator(parse_segmentations)
    ]
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)
    traits: Mapping[str, TraitDefinition] = field(default_factory=dict)


@cache
def _adapter() -> TypeAdapter[Definitions]:
    return TypeAdapter(Definitions)


def dump_definitions(definitions: Definitions) -> dict[str, Any]:
    """Return definitions as JSON values, the customers of lists with them; `load_definitions` reads them back."""
    document: dict[str, Any] = _adapter().dump_python(definitions, mode="json", by_alias=True, exclude_none=True)
    return document


def load_definitions(document: Mapping[str, Any]) -> Definitions:
    """Return the definitions that `dump_definitions` has written.

    Raises
    ------
    ValueError
        If it has not.
    """
    return _adapter().validate_python(document)


def read_definitions(
    path: Path | None, inline: Sequence[SegmentationConfiguration] | None, timezone: str
) -> Definitions:
    """Return what is configured.

    Parameters
    ----------
    path
        The file, if one is named.
    inline
        What the settings themselves say, if they do.
    timezone
        Whose dates are meant where a file does not say.

    Raises
    ------
    ConfigurationError
        If both are given, or one holds mistakes: one line each.
    """
    if path is not None and inline is not None:
        raise ConfigurationError("settings segmentations, segmentations_file: both are given, expected one of them")
    if path is not None:
        return _from(check_file(path, timezone), f"{path}: ")
    if inline is None:
        return _from(check_document(shipped_document(), timezone=timezone), "")
    documents = [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in inline]
    return _from(check_document({"version": 1, "segmentations": documents}, timezone=timezone), "setting ")


def parse_definitions(document: Any, timezone: str) -> Definitions:
    """Return what the content of a file says, as plain data; it has no lists, which are files beside a file.

    Parameters
    ----------
    document
        The content.
    timezone
        As for `read_definitions`.

    Raises
    ------
    ConfigurationError
        If it holds mistakes: one line each.
    """
    return _from(check_document(document, timezone=timezone), "segmentations: ")


def _from(checked: Checked, where: str) -> Definitions:
    if checked.file is None:
        raise DefinitionsInvalid([f"{where}{mistake}" for mistake in checked.mistakes])
    return Definitions(checked.file.segmentations, checked.lists or {}, checked.file.traits)
