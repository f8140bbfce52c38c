"""How input records are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stream_app.contracts.decoding import Decoder
from stream_app.contracts.inputs.contract import InputContract
from stream_app.contracts.inputs.identities import IDENTITIES
from stream_app.contracts.inputs.table import INPUT_CONTRACTS, STATEMENT_CONTRACTS
from stream_app.contracts.policy import DecodingPolicy
from stream_app.core.clock import SECOND_MS
from stream_app.settings.sections import Settings


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
        purposes=settings.consent.purposes,
        sensitive_allowed=frozenset(name for name, trait in traits.items() if trait.legal_basis),
    )
    return {topic: Decoder(contract, policy) for topic, contract in contracts.items()}


def create_statement_decoder(settings: Settings) -> Decoder:
    """Return the decoder of statements on which ids are one customer's."""
    return create_decoders(settings, contracts=STATEMENT_CONTRACTS)[IDENTITIES.topic]
