"""Reading the settings: a TOML file, the environment, a command's own options, and secrets from files of their own."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource
from pydantic_settings.exceptions import SettingsError

from stream_app.errors import ConfigurationError
from stream_app.settings.sections import ENV_DELIMITER, ENV_PREFIX, Section, Settings

_DEFINED_BY: Final = ("segmentations", "segmentations_file")
"""Where segmentations are defined: in tables of the settings, or in a file of their own."""


def load_settings(path: Path | None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings from a TOML file (optional), the environment, and a command's own options.

    Raises
    ------
    ConfigurationError
        If the file cannot be read or a setting is wrong; the message names it, its value and what was expected.
    """
    values = merge_settings({} if path is None else _read_toml(path), _read_environment())
    return build_settings(values, overrides or {})


def build_settings(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> Settings:
    """Return the settings of two sources; the second one prevails.

    Raises
    ------
    ConfigurationError
        If a setting is wrong.
    """
    try:
        return Settings(**merge_settings(values, overrides))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigurationError(f"setting {name}: no setting has this name; correct it") from error
        given = "what is given" if _may_be_secret(first["loc"], first["input"]) else repr(first["input"])
        raise ConfigurationError(f"setting {name}: {given} is refused: {first['msg']}") from None


def _may_be_secret(loc: tuple[int | str, ...], value: object) -> bool:
    """Return whether a refused value must not be shown.

    That is a secret's own, a whole table that may hold one, an address with a password, and what stands in place of a
    token's hash, which may be the token.
    """
    if not isinstance(value, str | int | float | bool | None) or "tokens" in loc or "@" in str(value):
        return True
    annotation: Any = Settings
    for part in loc:
        fields = getattr(annotation, "model_fields", None)
        if not fields or part not in fields:
            break
        annotation = fields[part].annotation
    return "Secret" in repr(annotation)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}); name an existing TOML file") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or nested without end
        raise ConfigurationError(f"{path}: not a TOML file: {error}") from error


def _read_environment() -> dict[str, Any]:
    for variable in os.environ:
        if variable.upper().startswith(ENV_PREFIX):
            section = variable[len(ENV_PREFIX) :].split(ENV_DELIMITER)[0].lower()
            if section not in Settings.model_fields:
                expected = f"{ENV_PREFIX}SECTION{ENV_DELIMITER}SETTING, SECTION being one of "
                expected += ", ".join(Settings.model_fields).upper()
                raise ConfigurationError(f"environment variable {variable}: no such setting, expected {expected}")
    try:
        return EnvSettingsSource(Settings)()
    except SettingsError as error:  # a section, a table or a list that is not JSON; which one, it does not say
        name = next(filter(_is_unreadable, os.environ))
        raise ConfigurationError(f"environment variable {name}: expected JSON ({error.__cause__})") from None


def _is_unreadable(variable: str) -> bool:
    """Return whether an environment variable alone fails to be read."""
    source = EnvSettingsSource(Settings)
    source.env_vars = {variable.lower(): os.environ[variable]}
    try:
        source()
    except SettingsError:
        return True
    return False


def merge_settings(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with those of a stronger source over them; of two ways to say one thing, the stronger one's."""
    merged = _merged(values, overrides)
    for one, other in (_DEFINED_BY, _DEFINED_BY[::-1]):
        if overrides.get(one) is not None and overrides.get(other) is None:
            merged.pop(other, None)
    return merged


def _merged(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for name, value in overrides.items():
        below = merged.get(name)
        if isinstance(below, Section):
            below = below.model_dump(exclude_unset=True)
        merged[name] = _merged(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return merged


def read_secret(section: Section, name: str, setting: str) -> str | None:
    """Return a secret setting, or what is in the file that the setting of the same name with `_file` names.

    Parameters
    ----------
    section
        Has both settings.
    name
        Of the first.
    setting
        Full name of the first, for messages.

    Raises
    ------
    ConfigurationError
        If both are given, or the file cannot be read or is empty.
    """
    secret, path = getattr(section, name), getattr(section, f"{name}_file")
    if path is None:
        return None if secret is None else str(secret.get_secret_value())
    if secret is not None:
        raise ConfigurationError(f"settings {setting}, {setting}_file: both are given, expected one of them")
    try:
        content = path.read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigurationError(f"setting {setting}_file: {path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:  # whose message would quote the content
        raise ConfigurationError(f"setting {setting}_file: {path}: not UTF-8") from None
    if not content:
        raise ConfigurationError(f"setting {setting}_file: {path}: empty, expected the secret")
    return str(content)
