"""What customers are segmented by: the same on files and on Kafka."""

from __future__ import annotations

from collections.abc import Mapping

from stream_app.contracts.currencies import MINOR_DIGITS
from stream_app.core.clock import DAY_MS, SECOND_MS
from stream_app.core.consent import ConsentRules
from stream_app.core.moves import MigrationContext
from stream_app.core.partition import Partition
from stream_app.core.segmentation import Segmentation
from stream_app.errors import ConfigurationError
from stream_app.segmentations.registry import build_segmentation
from stream_app.segmentations.rules.id_lists import IdList
from stream_app.settings.definitions import Definitions
from stream_app.settings.sections import OPT_IN, Settings


def create_segmentations(
    settings: Settings, earlier: Mapping[str, Segmentation] | None = None
) -> tuple[Segmentation, ...]:
    """Return the segmentations that are configured, in order.

    Parameters
    ----------
    earlier
        By name, what is in force already.
    """
    definitions = settings.definitions
    defaults = settings.assignment.model_dump() | {"lists": _id_lists(definitions)}
    known = earlier or {}
    return tuple(build_segmentation(entry, defaults, known.get(entry.name)) for entry in definitions.segmentations)


def _id_lists(definitions: Definitions) -> dict[str, IdList]:
    return {name: IdList.of(customer_ids) for name, customer_ids in definitions.lists.items()}


def create_migration_context(settings: Settings) -> MigrationContext:
    """Return what migrations say beyond the move itself."""
    return MigrationContext(
        currency=settings.money.base_currency,
        minor_per_major=minor_per_major_of(settings),
        holdout_percent=settings.holdout.percent,
        holdout_salt=settings.holdout.salt,
        leads_ms={
            entry.name: entry.warn_before.milliseconds
            for entry in settings.definitions.segmentations
            if entry.warn_before is not None
        },
        consent=create_consent_rules(settings),
    )


def create_consent_rules(settings: Settings) -> ConsentRules:
    """Return what customers agree to who have said nothing."""
    consent = settings.consent
    return ConsentRules(
        consent.purposes,
        frozenset(purpose for purpose, default in consent.defaults.items() if default == OPT_IN),
        {
            place: {purpose: default == OPT_IN for purpose, default in defaults.items()}
            for place, defaults in consent.jurisdictions.items()
        },
    )


def create_partition(settings: Settings) -> Partition:
    """Return an empty partition in which nothing has been learned, and that keeps when segments were entered."""
    return Partition(
        create_segmentations(settings),
        create_migration_context(settings),
        dated=True,
        timezone=settings.business.timezone,
    )


def intervals_ms(settings: Settings) -> tuple[int, int]:
    """Return the time between two sweeps and between two ticks, in event time.

    Raises
    ------
    ConfigurationError
        If a tick would fall between two sweeps.
    """
    interval_ms = settings.assignment.sweep_interval_seconds * SECOND_MS
    tick_ms = settings.learning.tick_days * DAY_MS
    if tick_ms % interval_ms:
        raise ConfigurationError(
            f"setting assignment.sweep_interval_seconds: {settings.assignment.sweep_interval_seconds}, "
            f"expected a divisor of learning.tick_days ({settings.learning.tick_days} days)"
        )
    return interval_ms, tick_ms


def minor_per_major_of(settings: Settings) -> int:
    """Return how many minor units of the base currency make a major one."""
    currency = settings.money.base_currency
    if currency not in MINOR_DIGITS:
        raise ConfigurationError(f"setting money.base_currency: {currency!r}, expected an ISO 4217 code such as 'EUR'")
    return int(10 ** MINOR_DIGITS[currency])
