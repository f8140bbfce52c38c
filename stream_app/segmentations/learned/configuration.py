"""What can be configured of a learned segmentation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stream_app.segmentations.configuration import SegmentationConfiguration


class LearnedConfiguration(SegmentationConfiguration):
    """A segmentation that is learned from the population; fields that are not set follow the settings of all."""

    kind: Literal["learned"] = "learned"
    """Which kind of segmentation it is."""
    hysteresis: Annotated[float, Field(ge=0, le=5)] | None = None
    """Instead of `assignment.hysteresis`."""
    no_return_days: Annotated[float, Field(ge=0, le=365)] | None = None
    """Instead of `assignment.no_return_days`."""
    feature_set: Literal["auto", "activity", "plain"] | None = None
    """Instead of `learning.feature_set`."""
    clusters: Annotated[int, Field(ge=2, le=64)] | None = None
    """Instead of `learning.clusters`."""
    min_history_days: Annotated[float, Field(ge=0, le=3650)] | None = None
    """Instead of `learning.min_history_days`."""
    max_expected_churn: Annotated[float, Field(ge=0, le=1)] | None = None
    """Instead of `learning.max_expected_churn`."""
    held_ticks_max: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Instead of `learning.held_ticks_max`."""
