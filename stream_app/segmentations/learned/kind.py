"""The learned kind, for the registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stream_app.core.segmentation import Segmentation
from stream_app.segmentations.learned.cold_start import cold_start_model
from stream_app.segmentations.learned.configuration import LearnedConfiguration
from stream_app.segmentations.learned.document import ModelProposal, model_document, model_from_document
from stream_app.segmentations.learned.segmentation import LearnedSegmentation


class LearnedKind:
    """Segments that are learned from the population."""

    configuration: Final = LearnedConfiguration

    def build(
        self, configuration: LearnedConfiguration, defaults: Mapping[str, Any], earlier: Segmentation | None
    ) -> Segmentation:
        """Return the last model, or the cold-start rules where there is none."""
        if earlier is not None and earlier.kind == "learned":
            return earlier
        own = dict(defaults) | configuration.model_dump(exclude_none=True)
        return LearnedSegmentation(cold_start_model(configuration.name, own["hysteresis"], own["no_return_days"]))

    def encode(self, segmentation: LearnedSegmentation) -> dict[str, Any]:
        """Return the model as a document."""
        return model_document(ModelProposal(segmentation.model))

    def decode(self, document: Mapping[str, Any]) -> Segmentation:
        """Return the model that a document describes."""
        return LearnedSegmentation(model_from_document(document))


LEARNED: Final = LearnedKind()
