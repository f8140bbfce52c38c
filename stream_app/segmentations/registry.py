"""All kinds of segmentations: what each is configured by, how it is built, and its document in `segment-models`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from stream_app.core.segmentation import Segmentation
from stream_app.errors import ModelInvalid
from stream_app.segmentations.configuration import SegmentationConfiguration
from stream_app.segmentations.learned.kind import LEARNED
from stream_app.segmentations.rules.definition import AudienceConfiguration, Ruled, RulesConfiguration
from stream_app.segmentations.rules.kind import AUDIENCE, RULES
from stream_app.segmentations.rules.references import counted, fields_of, leaf_key, segmentations_of


class Kind(Protocol):
    """One kind of segmentation."""

    @property
    def configuration(self) -> type[SegmentationConfiguration]:
        """What it is configured by."""
        ...

    def build(self, configuration: Any, defaults: Mapping[str, Any], earlier: Segmentation | None) -> Segmentation:
        """Return the segmentation that a configuration asks for.

        Parameters
        ----------
        configuration
            An instance of `configuration`.
        defaults
            Values for fields that are not set.
        earlier
            The version in force, if there is one; what means the same is that very version.
        """
        ...

    def encode(self, segmentation: Any) -> dict[str, Any]:
        """Return a version of the segmentation as a document, see the contract of `segment-models`."""
        ...

    def decode(self, document: Mapping[str, Any]) -> Segmentation:
        """Return the version that a document describes.

        Raises
        ------
        ModelInvalid
            If it describes none.
        """
        ...


KINDS: Final[dict[str, Kind]] = {
    "learned": LEARNED,
    "rules": RULES,
    "audience": AUDIENCE,
}


def parse_segmentations(documents: Any) -> Any:
    """Return the configurations that a list of tables describes, for a validator of pydantic.

    Raises
    ------
    ValueError
        If a kind is unknown or a name occurs twice; pydantic's `ValidationError` if a table breaks its kind's model.
    """
    if not isinstance(documents, list | tuple):
        return documents
    parsed = [_parse(document) for document in documents]
    names = [entry.name for entry in parsed]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the name {name!r} occurs twice, expected distinct ones")
    return tuple(parsed)


def _parse(document: Any) -> SegmentationConfiguration:
    if isinstance(document, SegmentationConfiguration):
        return document
    kind = document.get("kind") if isinstance(document, Mapping) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind: {kind!r}, expected one of {', '.join(KINDS)}")
    return KINDS[kind].configuration.model_validate(document)


def build_segmentation(
    configuration: SegmentationConfiguration, defaults: Mapping[str, Any], earlier: Segmentation | None = None
) -> Segmentation:
    """Return the segmentation that a configuration asks for, see `Kind.build`."""
    return KINDS[configuration.kind].build(configuration, defaults, earlier)


def looks_at(segmentation: Segmentation) -> frozenset[str]:
    """Return the names of the segmentations that one by rules looks at."""
    definition = _definition_of(segmentation)
    return frozenset() if definition is None else segmentations_of(definition)


def fields_looked_at(segmentations: Iterable[Segmentation]) -> frozenset[str]:
    """Return the fields of events that some segmentations look at."""
    definitions = (_definition_of(each) for each in segmentations)
    return frozenset[str]().union(*(fields_of(each) for each in definitions if each is not None))


def counted_by(segmentation: Segmentation) -> frozenset[str]:
    """Return the keys of the conditions of one by rules that count events."""
    definition = _definition_of(segmentation)
    return frozenset() if definition is None else frozenset(leaf_key(leaf) for leaf in counted(definition))


def _definition_of(segmentation: Segmentation) -> Ruled | None:
    """Return the definition of a segmentation by rules."""
    definition = getattr(segmentation, "definition", None)
    return definition if isinstance(definition, RulesConfiguration | AudienceConfiguration) else None


def encode_segmentation(segmentation: Segmentation) -> dict[str, Any]:
    """Return a version of a segmentation as a document."""
    return KINDS[segmentation.kind].encode(segmentation)


def decode_segmentation(document: Mapping[str, Any]) -> Segmentation:
    """Return the version that a document describes; documents without a kind are of the first, learned one.

    Raises
    ------
    ModelInvalid
        If the kind is unknown or the document describes no version of it.
    """
    kind = document.get("kind", "learned")
    if kind not in KINDS:
        raise ModelInvalid(f"kind: {kind!r}, expected one of {', '.join(KINDS)}")
    return KINDS[kind].decode(document)
