"""What a deployment decides about its inputs: currencies, limits, what is kept of events, what traits there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Final, Literal, NamedTuple, get_args

from stream_app.contracts.currencies import MINOR_DIGITS, Conversion
from stream_app.contracts.ids import (
    PLACEHOLDER_BYTES_MAX,
    PLACEHOLDER_IDS,
    PLACEHOLDERS_MAX,
    placeholder_forms,
)
from stream_app.contracts.kept import require_paths
from stream_app.core.clock import MINUTE_MS
from stream_app.core.consent import PURPOSES
from stream_app.core.ids import normal_id
from stream_app.errors import ConfigurationError

DEPTH_CEILING: Final = 100
"""Largest `max_depth`: keeps every parser far from Python's recursion limit."""
TraitType = Literal["string", "number", "boolean", "date", "list"]
TRAIT_TYPES: Final[tuple[str, ...]] = get_args(TraitType)
"""What a trait can be said to be."""
RATE_RANGE: Final = (Decimal("1e-9"), Decimal("1e9"))
"""Exchange rates outside are taken for typing errors."""


@dataclass(frozen=True)
class DecodingPolicy:
    """All that the verdict on a record depends on beside the record itself and the time of reading.

    Parameters
    ----------
    base_currency
        ISO 4217 code in whose minor units all money is counted.
    currency_rates
        Units of the base currency per unit of each further currency; currencies not listed are rejected.
    max_payload_bytes
        Longer records are rejected unread.
    max_depth
        Deepest nesting of objects and arrays, the record itself being 1.
    future_tolerance_ms
        How far ahead of now a record's time may be: clocks differ, but a far-future time would poison recency.
    earliest_ms
        Earliest time a record may have, milliseconds since the epoch.
    kept
        Paths of the fields that are kept of events for the conditions of definitions, see `stream_app.contracts.kept`.
    traits
        The catalogue of traits: type by name. What is not listed is accepted as it comes.
    sensitive_allowed
        Names of traits that are accepted though they tell what is specially protected.
    placeholder_ids
        What stands for nobody where a customer's id should be, in any case.
    purposes
        What customers can agree to.

    Raises
    ------
    ConfigurationError
        If a value is out of its range.
    """

    base_currency: str = "EUR"
    currency_rates: Mapping[str, Decimal] = field(default_factory=dict)
    max_payload_bytes: int = 65_536
    max_depth: int = 16
    future_tolerance_ms: int = 5 * MINUTE_MS
    earliest_ms: int = 0
    kept: tuple[str, ...] = ()
    traits: Mapping[str, TraitType] = field(default_factory=dict)
    sensitive_allowed: frozenset[str] = frozenset()
    placeholder_ids: tuple[str, ...] = PLACEHOLDER_IDS
    purposes: tuple[str, ...] = PURPOSES

    def __post_init__(self) -> None:
        if self.base_currency not in MINOR_DIGITS:
            raise ConfigurationError(f"base_currency: {self.base_currency!r}, expected an ISO 4217 code such as 'EUR'")
        for currency, rate in self.currency_rates.items():
            if currency not in MINOR_DIGITS:
                raise ConfigurationError(f"currency_rates: {currency!r}, expected an ISO 4217 code such as 'USD'")
            if not (rate.is_finite() and RATE_RANGE[0] <= rate <= RATE_RANGE[1]):
                raise ConfigurationError(f"currency_rates: {currency} {rate}, expected a number from 1e-9 to 1e9")
            if currency == self.base_currency and rate != 1:
                raise ConfigurationError(f"currency_rates: {currency} {rate}, expected 1 for the base currency")
        if self.max_payload_bytes < 1:
            raise ConfigurationError(f"max_payload_bytes: {self.max_payload_bytes}, expected at least 1")
        if not 2 <= self.max_depth <= DEPTH_CEILING:
            raise ConfigurationError(f"max_depth: {self.max_depth}, expected 2 to {DEPTH_CEILING}")
        if self.future_tolerance_ms < 0:
            raise ConfigurationError(f"future_tolerance_ms: {self.future_tolerance_ms}, expected at least 0")
        require_paths(self.kept)
        for name, type_ in self.traits.items():
            if type_ not in TRAIT_TYPES:
                raise ConfigurationError(f"traits: {name} {type_!r}, expected one of {', '.join(TRAIT_TYPES)}")
        require_placeholders(self.placeholder_ids)

    @cached_property
    def placeholders(self) -> frozenset[str]:
        """What `placeholder_form` gives of ids that stand for nobody."""
        return placeholder_forms(self.placeholder_ids)

    @cached_property
    def conversions(self) -> dict[str, Conversion]:
        """Conversion into the base currency by accepted currency."""
        rates = {**self.currency_rates, self.base_currency: Decimal(1)}
        return {currency: Conversion.between(currency, self.base_currency, rate) for currency, rate in rates.items()}


def require_placeholders(placeholders: tuple[str, ...]) -> None:
    """Refuse what can be no list of placeholders.

    Raises
    ------
    ConfigurationError
        If one is blank or too long, or there are too many.
    """
    if len(placeholders) > PLACEHOLDERS_MAX:
        raise ConfigurationError(f"placeholder_ids: {len(placeholders)}, expected at most {PLACEHOLDERS_MAX}")
    for each in placeholders:
        if not 1 <= len(normal_id(each).lower().encode("utf-8", "replace")) <= PLACEHOLDER_BYTES_MAX:
            raise ConfigurationError(
                f"placeholder_ids: {each!r}, expected a text of at most {PLACEHOLDER_BYTES_MAX} bytes that is not blank"
            )


class Circumstances(NamedTuple):
    """What a record is judged against: handed to the pydantic models as validation context.

    Attributes
    ----------
    policy
        What the deployment decided.
    now_ms
        The time of reading, milliseconds since the epoch.
    key
        The carrier's key; None where the carrier has no keys (a file). A topic's record without a key has `b""`.
    """

    policy: DecodingPolicy
    now_ms: int
    key: bytes | None = None
