"""How segmentations are learned: the same on files and on Kafka."""

from __future__ import annotations

from collections.abc import Iterable

from stream_app.bootstrap.segmentation import minor_per_major_of
from stream_app.core.segmentation import Segmentation
from stream_app.learning.trainer import Trainer, TrainerSettings
from stream_app.segmentations.learned.configuration import LearnedConfiguration
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from stream_app.settings.sections import Settings


def create_trainer_settings(settings: Settings) -> dict[str, TrainerSettings]:
    """Return how each learned segmentation is learned, by its name."""
    return {
        entry.name: _trainer_settings(settings, entry)
        for entry in settings.definitions.segmentations
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
        minor_per_major=minor_per_major_of(settings),
    )


def create_trainers(settings: Settings, segmentations: Iterable[Segmentation]) -> dict[str, Trainer]:
    """Return a trainer for each learned segmentation, by its name; each takes over from the model in force."""
    trainer_settings = create_trainer_settings(settings)
    return {
        segmentation.name: Trainer(trainer_settings[segmentation.name], segmentation.model)
        for segmentation in segmentations
        if isinstance(segmentation, LearnedSegmentation)
    }
