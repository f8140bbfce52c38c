"""What `segment-models` says at present of each segmentation: in force, held back, decided last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from stream_app.contracts.decisions import KIND, Outcome
from stream_app.contracts.readers import KEY_SEPARATOR
from stream_app.errors import ConfigurationError
from stream_app.segmentations.learned.document import PUBLISHED, is_waiting


@dataclass
class ShelvedModel:
    """One segmentation.

    Attributes
    ----------
    published
        Document of the version in force.
    unpublished
        Document of the model that was held, or rejected, last; it may have been published since.
    outcome
        What became of the last decision; None if there was none.
    """

    published: Mapping[str, Any] | None = None
    unpublished: Mapping[str, Any] | None = None
    outcome: Outcome | None = None

    @property
    def waiting(self) -> Mapping[str, Any] | None:
        """Document of the model that waits for an operator."""
        held, version = self.unpublished, -1 if self.published is None else self.published["version"]
        return held if held and is_waiting(held["status"], held["version"], version) else None

    @property
    def pinned_version(self) -> int | None:
        """The version that is pinned; None if none is."""
        return None if self.outcome is None else self.outcome.pinned_version


class ModelShelf:
    """All segmentations; filled by `add`, record after record.

    Attributes
    ----------
    models
        By segmentation.
    """

    def __init__(self) -> None:
        self.models: dict[str, ShelvedModel] = {}

    def add(self, value: bytes) -> Outcome | None:
        """Take a record in; return the outcome that it is, if it is one.

        Raises
        ------
        msgspec.DecodeError
            If it is no JSON object.
        """
        document = msgspec.json.decode(value, type=dict[str, Any])
        if "segmentation" not in document:  # a tick
            return None
        model = self.models.setdefault(document["segmentation"], ShelvedModel())
        if document.get("kind") == KIND:
            model.outcome = msgspec.convert(document, Outcome)
            return model.outcome
        if document["status"] != PUBLISHED:
            model.unpublished = document
        elif model.published is None or document["version"] >= model.published["version"]:
            model.published = document
        return None

    def require(self, segmentation: str) -> ShelvedModel:
        """Return what is known of a segmentation.

        Raises
        ------
        ConfigurationError
            If there is none of this name.
        """
        if segmentation not in self.models:
            names = ", ".join(sorted(self.models)) or "none yet"
            raise ConfigurationError(f"there is no segmentation {segmentation!r}; there are: {names}")
        return self.models[segmentation]

    def remove(self, key: bytes) -> None:
        """Forget what was said under a key."""
        name, separator, _ = key.decode().partition(KEY_SEPARATOR)
        if not separator:
            self.models.pop(name, None)
        elif name in self.models:
            self.models[name].unpublished = None
