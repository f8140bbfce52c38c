"""The kinds that are defined by conditions, for the registry, and their documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar, cast

from pydantic import ValidationError

from stream_app.core.clock import format_instant
from stream_app.core.segmentation import Segmentation
from stream_app.core.segments import Segment
from stream_app.errors import ConfigurationError, ModelInvalid
from stream_app.segmentations.rules.codes import segment_code
from stream_app.segmentations.rules.definition import (
    AudienceConfiguration,
    RulesConfiguration,
    canonical,
    conditions_of,
)
from stream_app.segmentations.rules.id_lists import IdList
from stream_app.segmentations.rules.segmentation import AudienceSegmentation, ByConditions, RulesSegmentation
from stream_app.segmentations.rules.sentences import condition_in_words

D = TypeVar("D", bound=RulesConfiguration | AudienceConfiguration)


class ConditionsKind(Generic[D]):
    """A kind whose segments are defined by conditions.

    Parameters
    ----------
    configuration
        What it is configured by.
    segmentation
        What comes of it.
    """

    def __init__(self, configuration: type[D], segmentation: type[ByConditions[D]]) -> None:
        self.configuration: type[D] = configuration
        self._segmentation: type[ByConditions[D]] = segmentation

    def build(self, configuration: D, defaults: Mapping[str, Any], earlier: Segmentation | None) -> Segmentation:
        """Return the next version, or the earlier one if the definition means the same.

        Parameters
        ----------
        configuration
            The definition.
        defaults
            `lists`: customers of each list.
        earlier
            The version in force; None for none.

        Raises
        ------
        ConfigurationError
            If the name belonged to a segmentation that is not defined by conditions.
        """
        lists = defaults.get("lists", {})
        if earlier is None:
            return self._segmentation(configuration, lists=lists)
        if not earlier.is_ruled:
            raise ConfigurationError(
                f"segmentation {configuration.name}: was of kind {earlier.kind!r} and cannot become "
                f"{configuration.kind!r}, as its segments' ids stay in use; choose another name"
            )
        wanted = self._segmentation(configuration, earlier.version + 1, tuple(earlier.roster.by_code.values()), lists)
        return earlier if _mean_the_same(earlier, wanted) else wanted

    def encode(self, segmentation: ByConditions[D]) -> dict[str, Any]:
        """Return the definition as a document."""
        definition, roster = segmentation.definition, segmentation.roster
        whens = [condition_in_words(when) for _, when in conditions_of(definition)]
        sentences = [*whens, *["otherwise"] * (len(definition.roster) - len(whens))]
        return {
            "kind": segmentation.kind,
            "segmentation": segmentation.name,
            "version": segmentation.version,
            "status": "published",
            "as_of": format_instant(0),  # definitions hold from the beginning; when one came is the record's timestamp
            "segments": [
                {"id": entry.id, "name": entry.name, "level": entry.level, "action": entry.action, "sentence": sentence}
                for entry, sentence in zip(definition.roster, sentences, strict=True)
            ],
            "retired_segments": [{"id": s.segment_id, "name": s.name, "level": s.level} for s in roster.retired],
            "definition": definition.model_dump(mode="json", by_alias=True, exclude_none=True),
            "lists": {name: found.encode() for name, found in segmentation.lists.items()},
            "together": {},  # known where several are published at once
        }

    def decode(self, document: Mapping[str, Any]) -> Segmentation:
        """Return the version that a document describes.

        Raises
        ------
        ModelInvalid
            If it describes none.
        """
        try:
            retired = [
                Segment(segment_code(entry["id"]), entry["name"], entry["id"], entry.get("level"))
                for entry in document["retired_segments"]
            ]
            definition = cast(D, self.configuration.model_validate(document["definition"]))
            lists = {name: IdList.decode(encoded) for name, encoded in document.get("lists", {}).items()}
            return self._segmentation(definition, int(document["version"]), retired, lists)
        except KeyError as error:
            raise ModelInvalid(f"definition: {error} is missing") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = ".".join(str(part) for part in ("definition", *first["loc"]))
            raise ModelInvalid(f"{name}: {first['msg']}") from error
        except (AttributeError, TypeError, ValueError, ConfigurationError) as error:
            raise ModelInvalid(f"definition: {error}") from error


def _mean_the_same(earlier: Segmentation, wanted: ByConditions[D]) -> bool:
    return (
        isinstance(earlier, type(wanted))
        and canonical(earlier.definition) == canonical(wanted.definition)
        and earlier.lists == wanted.lists
    )


RULES: Final = ConditionsKind(RulesConfiguration, RulesSegmentation)
AUDIENCE: Final = ConditionsKind(AudienceConfiguration, AudienceSegmentation)
