"""What customers are segmented by: the same on files and on Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stream_app.contracts.currencies import MINOR_DIGITS
from stream_app.core.clock import DAY_MS, SECOND_MS
from stream_app.core.moves import MigrationContext
from stream_app.core.partition import Partition
from stream_app.core.segmentation import Segmentation
from stream_app.errors import ConfigurationError
from stream_app.learning.trainer import Trainer, TrainerSettings
from stream_app.segmentations.learned.configuration import LearnedConfiguration
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.segmentations.registry import build_segmentation
from stream_app.settings.sections import Settings


def create_segmentations(
    settings: Settings, earlier: Mapping[str, Segmentation] | None = None
) -> tuple[Segmentation, ...]:
    """Return the segmentations that are configured, in order.

    Parameters
    ----------
    earlier
        By name, what is in force already.
    """
    defaults = settings.assignment.model_dump()
    known = earlier or {}
    return tuple(build_segmentation(entry, defaults, known.get(entry.name)) for entry in settings.segmentations)


def create_migration_context(settings: Settings) -> MigrationContext:
    """Return what migrations say beyond the move itself."""
    return MigrationContext(
        currency=settings.money.base_currency,
        minor_per_major=_minor_per_major(settings),
        holdout_percent=settings.holdout.percent,
        holdout_salt=settings.holdout.salt,
    )


def create_partition(settings: Settings) -> Partition:
    """Return an empty partition in which nothing has been learned."""
    return Partition(create_segmentations(settings), create_migration_context(settings))


def create_trainer_settings(settings: Settings) -> dict[str, TrainerSettings]:
    """Return how each learned segmentation is learned, by its name."""
    return {
        entry.name: _trainer_settings(settings, entry)
        for entry in settings.segmentations
        if isinstance(entry, LearnedConfiguration)
    }


def _trainer_settings(settings: Settings, configuration: LearnedConfiguration) -> TrainerSettings:
    learning = settings.learning
    churn = configuration.max_publish_churn
    return TrainerSettings(
        segmentation=configuration.name,
        algorithm=learning.algorithm,
        sample_size=learning.sample_size,
        max_publish_churn=learning.max_publish_churn if churn is None else churn,
        approval=learning.approval,
        seed=learning.seed,
        minor_per_major=_minor_per_major(settings),
    )


def create_trainers(settings: Settings, segmentations: Iterable[Segmentation]) -> dict[str, Trainer]:
    """Return a trainer for each learned segmentation, by its name; each takes over from the model in force."""
    trainer_settings = create_trainer_settings(settings)
    return {
        segmentation.name: Trainer(trainer_settings[segmentation.name], segmentation.model)
        for segmentation in segmentations
        if isinstance(segmentation, LearnedSegmentation)
    }


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
