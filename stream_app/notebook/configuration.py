"""What a notebook configures → settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from stream_app.errors import ConfigurationError
from stream_app.settings.definitions import parse_definitions
from stream_app.settings.loading import build_settings, load_settings, merge_settings
from stream_app.settings.sections import Settings

AnySettings: TypeAlias = str | PathLike[str] | Mapping[str, Any] | Settings | None
AnyDefinitions: TypeAlias = str | PathLike[str] | Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


def settings_of(config: AnySettings, segmentations: AnyDefinitions, seed: int | None) -> Settings:
    """Return the settings that a notebook asks for; see `Segmenter`.

    Raises
    ------
    ConfigurationError
        If a setting or a definition is wrong.
    """
    own: dict[str, Any] = {} if seed is None else {"learning": {"seed": seed}}
    document: Mapping[str, Any] | None = None
    if isinstance(segmentations, str | PathLike):
        own |= {"segmentations_file": Path(segmentations), "segmentations": None}
    elif isinstance(segmentations, Mapping):
        document = segmentations
    elif segmentations is not None:
        own |= {"segmentations": list(segmentations), "segmentations_file": None}
    if isinstance(config, Settings):
        settings = build_settings(_values_of(config), own)
    elif isinstance(config, Mapping):
        settings = load_settings(None, merge_settings(config, own))
    elif config is None or isinstance(config, str | PathLike):
        settings = load_settings(None if config is None else Path(config), own)
    else:
        raise ConfigurationError(f"config: {config!r}, expected the path of a TOML file, a dictionary or Settings")
    if document is not None:
        settings = settings.with_definitions(parse_definitions(document, settings.business.timezone))
    else:
        _ = settings.definitions  # mistakes in them are told now
    return settings


def _values_of(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.model_fields_set}
