"""What customers are segmented by: the same on files and on Kafka."""

from __future__ import annotations

from typing import Final

from stream_app.contracts.currencies import MINOR_DIGITS
from stream_app.core.clock import DAY_MS, SECOND_MS
from stream_app.core.cold_start import cold_start_snapshot
from stream_app.core.migration import MigrationContext
from stream_app.core.partition import Partition
from stream_app.core.snapshot import Snapshot
from stream_app.errors import ConfigurationError
from stream_app.learning.trainer import TrainerSettings
from stream_app.settings import Settings

SEGMENTATION: Final = "value"
"""The segmentation that is learned from recency, frequency, money and engagement."""


def create_initial_snapshot(settings: Settings) -> Snapshot:
    """Return the cold-start rules."""
    return cold_start_snapshot(SEGMENTATION, settings.assignment.hysteresis, settings.assignment.no_return_days)


def create_migration_rules(settings: Settings) -> MigrationContext:
    """Return what migrations say beyond the move itself."""
    return MigrationContext(
        currency=settings.money.base_currency,
        minor_per_major=_minor_per_major(settings),
        holdout_percent=settings.holdout.percent,
        holdout_salt=settings.holdout.salt,
    )


def create_partition(settings: Settings) -> Partition:
    """Return an empty partition under the cold-start rules."""
    return Partition(snapshot=create_initial_snapshot(settings), rules=create_migration_rules(settings))


def create_trainer_settings(settings: Settings) -> TrainerSettings:
    """Return how segments are learned."""
    learning = settings.learning
    return TrainerSettings(
        segmentation=SEGMENTATION,
        feature_set=learning.feature_set,
        n_clusters=learning.clusters,
        sample_size=learning.sample_size,
        hysteresis=settings.assignment.hysteresis,
        no_return_days=settings.assignment.no_return_days,
        min_history_days=learning.min_history_days,
        max_expected_churn=learning.max_expected_churn,
        held_ticks_max=learning.held_ticks_max,
        algorithm=learning.algorithm,
        minor_per_major=_minor_per_major(settings),
        seed=learning.seed,
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


def _minor_per_major(settings: Settings) -> int:
    currency = settings.money.base_currency
    if currency not in MINOR_DIGITS:
        raise ConfigurationError(f"setting money.base_currency: {currency!r}, expected an ISO 4217 code such as 'EUR'")
    return int(10 ** MINOR_DIGITS[currency])
