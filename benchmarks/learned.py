"""The model of a partition that is divided by one learned segmentation."""

from __future__ import annotations

from typing import Final

from stream_app.core.partition import Partition
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation

VALUE_ALONE: Final = {"segmentations": [{"kind": "learned", "name": "value"}]}
"""Settings under which customers are divided by nothing else."""


def model_of(partition: Partition) -> Model:
    """Return it."""
    (segmentation,) = partition.segmentations
    assert isinstance(segmentation, LearnedSegmentation)
    return segmentation.model
