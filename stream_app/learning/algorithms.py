"""The clustering algorithms that can be chosen by name."""

from __future__ import annotations

from typing import Final, Literal

from stream_app.learning.clusterer import ResampledKMeans
from stream_app.learning.learner import Learner
from stream_app.learning.river_models import RiverCluStream, RiverKMeans, RiverLearner, RiverStreamKMeans
from stream_app.segmentations.learned.features import FEATURE_NAMES, FEATURE_WEIGHTS, FeatureSet

Algorithm = Literal["resampled-kmeans", "river-kmeans", "river-streamkmeans", "river-clustream"]

RIVER_LEARNERS: Final[dict[str, type[RiverLearner]]] = {
    "river-kmeans": RiverKMeans,
    "river-streamkmeans": RiverStreamKMeans,
    "river-clustream": RiverCluStream,
}


def create_learner(
    algorithm: Algorithm, feature_set: FeatureSet, n_clusters: int, sample_size: int, seed: int
) -> Learner:
    """Return a new learner for the features of a feature set."""
    if algorithm == "resampled-kmeans":
        return ResampledKMeans(n_clusters, sample_size, FEATURE_NAMES[feature_set], FEATURE_WEIGHTS, seed)
    return RIVER_LEARNERS[algorithm](n_clusters, FEATURE_WEIGHTS, seed)
