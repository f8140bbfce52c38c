"""The learned kind, for the registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from stream_app.core.segmentation import Segmentation
from stream_app.errors import ConfigurationError, ModelInvalid
from stream_app.segmentations.learned.configuration import LearnedConfiguration
from stream_app.segmentations.learned.document import ModelProposal, model_document, model_from_document
from stream_app.segmentations.learned.model import Model, Thresholds
from stream_app.segmentations.learned.segmentation import LearnedSegmentation


class LearnedKind:
    """Segments that are learned from the population."""

    configuration: Final = LearnedConfiguration

    def build(
        self, configuration: LearnedConfiguration, defaults: Mapping[str, Any], earlier: Segmentation | None
    ) -> Segmentation:
        """Return the last model, with thresholds, names and actions as they are configured now.

        Raises
        ------
        ConfigurationError
            If names are not distinct, or the name belonged to a segmentation of another kind.
        """
        if earlier is not None and not isinstance(earlier, LearnedSegmentation):
            raise ConfigurationError(
                f"segmentation {configuration.name}: was of kind {earlier.kind!r} and cannot become 'learned', as its "
                "segments' ids stay in use; choose another name"
            )
        own = dict(defaults) | configuration.model_dump(exclude_none=True)
        thresholds = Thresholds(**{name: own[name] for name in Thresholds._fields})
        before = Model(configuration.name) if earlier is None else earlier.model
        try:
            wanted = replace(before, thresholds=thresholds, names=configuration.names, actions=configuration.actions)
        except ModelInvalid as error:
            raise ConfigurationError(f"segmentation {configuration.name}: {error}") from error
        if earlier is None:
            return LearnedSegmentation(wanted)
        is_same = (before.thresholds, before.names, before.actions) == (wanted.thresholds, wanted.names, wanted.actions)
        if is_same and not before.is_of_clusters:
            return earlier
        return LearnedSegmentation(wanted.successor())

    def encode(self, segmentation: LearnedSegmentation) -> dict[str, Any]:
        """Return the model as a document."""
        return model_document(ModelProposal(segmentation.model))

    def decode(self, document: Mapping[str, Any]) -> Segmentation:
        """Return the model that a document describes."""
        return LearnedSegmentation(model_from_document(document))


LEARNED: Final = LearnedKind()
