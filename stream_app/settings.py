"""Settings: defaults, then a TOML file, then `SEGMENTER_…` environment variables, each overriding the one before.

Only `stream_app.bootstrap` sees these; the rest of the package gets small frozen dataclasses made from them.
"""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from stream_app.errors import ConfigurationError


class Section(BaseModel):
    """A table of the settings file; an unknown key is an error, so that a typing mistake is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MoneySettings(Section):
    """Which money is summed, and how other currencies become it."""

    base_currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "EUR"
    rates: dict[str, Decimal] = {}
    """Base-currency units for one unit of another currency; a currency not listed is rejected."""


class RecordSettings(Section):
    """What is accepted from producers."""

    max_payload_bytes: Annotated[int, Field(ge=1024, le=1 << 20)] = 65_536
    future_tolerance_seconds: Annotated[int, Field(ge=0, le=86_400)] = 300
    keep_rejected_payload: bool = True
    engagement_weights: dict[str, Annotated[float, Field(ge=0, le=1000)]] = {}
    """Overrides of the default weight of an engagement type."""


class AssignmentSettings(Section):
    """How eagerly customers change segment."""

    hysteresis: Annotated[float, Field(ge=0, le=5)] = 0.5
    no_return_days: Annotated[float, Field(ge=0, le=365)] = 30.0
    sweep_interval_seconds: Annotated[int, Field(ge=60, le=7 * 86_400)] = 86_400
    """How often silent customers are looked at; a move's `effective_at` is exact whatever it is."""


class LearningSettings(Section):
    """How segments are learned."""

    algorithm: Literal["resampled-kmeans", "river-kmeans", "river-streamkmeans", "river-clustream"] = "resampled-kmeans"
    feature_set: Literal["auto", "activity", "plain"] = "auto"
    clusters: Annotated[int, Field(ge=2, le=64)] | None = None
    """None: 7 with engagement events, 6 without."""
    sample_size: Annotated[int, Field(ge=100, le=100_000)] = 2000
    tick_days: Annotated[int, Field(ge=1, le=90)] = 7
    max_expected_churn: Annotated[float, Field(ge=0, le=1)] = 0.10
    """A model that is forecast to move a larger share of customers waits for an operator."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


class HoldoutSettings(Section):
    """Customers that campaigns are to leave alone, so that the campaigns' effect can be measured."""

    percent: Annotated[int, Field(ge=0, le=100)] = 0
    salt: Annotated[str, Field(min_length=1, max_length=64)] = "holdout"


class Settings(BaseSettings):
    """All settings of the application."""

    model_config = SettingsConfigDict(
        env_prefix="SEGMENTER_", env_nested_delimiter="__", extra="forbid", frozen=True, nested_model_default_partial_update=True
    )

    money: MoneySettings = MoneySettings()
    records: RecordSettings = RecordSettings()
    assignment: AssignmentSettings = AssignmentSettings()
    learning: LearningSettings = LearningSettings()
    holdout: HoldoutSettings = HoldoutSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  (pydantic-settings' signature)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment override the file, which is given as initial values."""
        return env_settings, init_settings


def load_settings(path: Path | None, overrides: dict[str, Any] | None = None) -> Settings:
    """Return the settings from a TOML file (optional), the environment, and a command's own options.

    Raises
    ------
    ConfigurationError
        If the file cannot be read or a setting is wrong; the message names it, its value and what was expected.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigurationError(f"{path}: not a readable TOML file: {error}") from error
    try:
        settings = Settings(**values)
        if overrides:
            settings = Settings.model_validate(_merged(settings.model_dump(), overrides))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"setting {name}: {first['input']!r} is refused: {first['msg']}") from error
    except ValueError as error:  # pydantic-settings' own, for an environment variable that is not JSON
        raise ConfigurationError(f"environment: {error}") from error
    return settings


def _merged(values: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    return values | {
        name: _merged(values[name], value) if isinstance(value, dict) else value for name, value in overrides.items()
    }
