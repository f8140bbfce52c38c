"""How files are loaded: apart from how records are read, as workers read records and no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stream_app.contracts.decoding import Decoder
from stream_app.settings.sections import MoneySettings, Settings
from stream_app.sources.files import SourceFile
from stream_app.sources.inputs import LoadingOptions


def create_loading_options(settings: Settings, decoders: Mapping[str, Decoder]) -> LoadingOptions:
    """Return what the settings say of loading files."""
    policy = next(iter(decoders.values())).policy
    return LoadingOptions(
        placeholders=policy.placeholders,
        traits=policy.traits,
        base_currency=settings.money.base_currency,
        characters_max=policy.max_payload_bytes,
    )


def with_money_of(settings: Settings, files: Sequence[SourceFile]) -> Settings:
    """Return settings in whose base currency most orders of exports are, unless one is set."""
    if settings.money.model_fields_set or not any(file.mapping for file in files):
        return settings
    from stream_app.sources.currencies import commonest_currency  # here: DuckDB takes its time to import

    currency = commonest_currency(files, LoadingOptions())
    if currency is None or currency == settings.money.base_currency:
        return settings
    return settings.model_copy(update={"money": MoneySettings(base_currency=currency)})
