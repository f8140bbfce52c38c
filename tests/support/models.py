"""Models to assign customers by."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from stream_app.core.clock import DAY_MS
from stream_app.core.partition import Partition
from stream_app.core.quantities import Quantities
from stream_app.core.segments import Segment
from stream_app.segmentations.learned.cold_start import cold_start_model
from stream_app.segmentations.learned.features import FEATURE_COUNT, FeatureParameters, extract_features
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.segmentation import LearnedSegmentation


def rules_snapshot(hysteresis: float = 0.5, no_return_days: float = 30.0) -> Model:
    """Return the cold-start rules."""
    return cold_start_model("value", hysteresis, no_return_days)


def plain_snapshot(hysteresis: float = 0.2, no_return_days: float = 0.0) -> Model:
    """Return a model on the plain features with three segments, by recency and orders above all."""
    centroids = [
        [math.log1p(days / 30), math.log1p(orders), math.log1p(revenue), math.log1p(weight)]
        for days, orders, revenue, weight in ((2, 4, 200, 3), (5, 0.5, 25, 6), (120, 0.3, 15, 0))
    ]
    return Model(
        name="value",
        version=4,
        as_of_ms=0,
        parameters=FeatureParameters("plain", 30.0, 100.0),
        mean=np.zeros(FEATURE_COUNT),
        scale=np.ones(FEATURE_COUNT),
        centroids=np.array(centroids),
        segments=(Segment(11, "Regulars"), Segment(12, "Visitors"), Segment(13, "Gone")),
        hysteresis=hysteresis,
        no_return_days=no_return_days,
    )


def snapshot_of(centroids: np.ndarray, **changes: Any) -> Model:
    """Return a model whose scaled space is the raw one."""
    fields: dict[str, Any] = {
        "name": "value",
        "version": 1,
        "as_of_ms": 0,
        "parameters": FeatureParameters("activity", 30.0, 1_000.0),
        "mean": np.zeros(FEATURE_COUNT),
        "scale": np.ones(FEATURE_COUNT),
        "centroids": centroids,
        "segments": tuple(Segment(code, f"name {code}") for code in range(1, len(centroids) + 1)),
        "hysteresis": 0.5,
        "no_return_days": 30.0,
        "weights": np.ones(FEATURE_COUNT),
    }
    return Model(**(fields | changes))


def successor(snapshot: Model, **changes: Any) -> Model:
    """Return the next version of a model."""
    return dataclasses.replace(snapshot, version=snapshot.version + 1, **changes)


def no_return_ms(snapshot: Model) -> int:
    """Return for how many whole milliseconds nobody goes back."""
    return math.ceil(snapshot.no_return_days * DAY_MS)


def partition_under(*models: Model) -> Partition:
    """Return an empty partition that is divided by these models."""
    return Partition([LearnedSegmentation(model) for model in models])


def model_of(partition: Partition) -> Model:
    """Return the model of a partition that is divided by one."""
    (segmentation,) = partition.segmentations
    assert isinstance(segmentation, LearnedSegmentation)
    return segmentation.model


def score(model: Model, quantities: Quantities) -> np.ndarray:
    """Return the scores of customers whose quantities are these."""
    return model.score(extract_features(quantities, model.parameters))
