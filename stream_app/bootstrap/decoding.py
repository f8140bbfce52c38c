"""How input records are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from stream_app.contracts.decoding import Decoder
from stream_app.contracts.inputs.contract import InputContract
from stream_app.contracts.inputs.table import INPUT_CONTRACTS
from stream_app.contracts.policy import DecodingPolicy
from stream_app.core.clock import SECOND_MS
from stream_app.settings.sections import MoneySettings, Settings

if TYPE_CHECKING:
    from stream_app.sources.files import SourceFile
    from stream_app.sources.inputs import LoadingOptions


def create_loading_options(settings: Settings, decoders: Mapping[str, Decoder]) -> LoadingOptions:
    """Return what the settings say of loading files."""
    from stream_app.sources.inputs import LoadingOptions  # here: workers decode, too, and read no files

    policy = next(iter(decoders.values())).policy
    return LoadingOptions(
        placeholders=policy.placeholders,
        traits=policy.traits,
        base_currency=settings.money.base_currency,
        characters_max=policy.max_payload_bytes,
    )


def create_decoders(
    settings: Settings, fields: Iterable[str] = (), contracts: Mapping[str, InputContract] = INPUT_CONTRACTS
) -> dict[str, Decoder]:
    """Return the decoder of each input topic, which keeps some fields of events for conditions."""
    traits = settings.definitions.traits
    policy = DecodingPolicy(
        base_currency=settings.money.base_currency,
        currency_rates=settings.money.rates,
        max_payload_bytes=settings.records.max_payload_bytes,
        future_tolerance_ms=settings.records.future_tolerance_seconds * SECOND_MS,
        kept=tuple(sorted(fields)),
        traits={name: trait.type for name, trait in traits.items()},
        placeholder_ids=(*settings.records.placeholder_ids, *settings.records.more_placeholder_ids),
        sensitive_allowed=frozenset(name for name, trait in traits.items() if trait.legal_basis),
    )
    return {topic: Decoder(contract, policy) for topic, contract in contracts.items()}


def with_money_of(settings: Settings, files: Sequence[SourceFile]) -> Settings:
    """Return settings in whose base currency most orders of exports are, unless one is set."""
    if settings.money.model_fields_set or not any(file.mapping for file in files):
        return settings
    from stream_app.sources.currencies import commonest_currency  # here: DuckDB takes its time to import
    from stream_app.sources.inputs import LoadingOptions

    currency = commonest_currency(files, LoadingOptions())
    if currency is None or currency == settings.money.base_currency:
        return settings
    return settings.model_copy(update={"money": MoneySettings(base_currency=currency)})
