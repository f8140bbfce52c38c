"""The kind that is defined by conditions, for the registry, and its document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from stream_app.core.clock import format_instant
from stream_app.core.segmentation import Segmentation
from stream_app.core.segments import Segment
from stream_app.errors import ConfigurationError, ModelInvalid
from stream_app.segmentations.rules.definition import RulesConfiguration
from stream_app.segmentations.rules.segmentation import RulesSegmentation, segment_code


class RulesKind:
    """Segments that are defined by conditions."""

    configuration: Final = RulesConfiguration

    def build(
        self,
        configuration: RulesConfiguration,
        defaults: Mapping[str, Any],  # noqa: ARG002  (protocol)
        earlier: Segmentation | None,
    ) -> Segmentation:
        """Return the next version, or the earlier one if the definition means the same."""
        if earlier is None:
            return RulesSegmentation(configuration)
        if isinstance(earlier, RulesSegmentation) and earlier.definition == configuration:
            return earlier
        return RulesSegmentation(configuration, earlier.version + 1, tuple(earlier.roster.by_code.values()))

    def encode(self, segmentation: RulesSegmentation) -> dict[str, Any]:
        """Return the definition as a document."""
        definition = segmentation.definition
        conditions = {entry.id: str(entry.when) for entry in definition.segments}
        return {
            "kind": segmentation.kind,
            "segmentation": segmentation.name,
            "version": segmentation.version,
            "status": "published",
            "as_of": format_instant(0),  # definitions hold from the beginning; when one came is the record's timestamp
            "segments": [
                {"id": s.segment_id, "name": s.name, "sentence": conditions.get(s.segment_id, "otherwise")}
                for s in segmentation.roster.segments
            ],
            "retired_segments": [{"id": s.segment_id, "name": s.name} for s in segmentation.roster.retired],
            "definition": definition.model_dump(mode="json", by_alias=True),
        }

    def decode(self, document: Mapping[str, Any]) -> Segmentation:
        """Return the version that a document describes."""
        try:
            retired = [
                Segment(segment_code(entry["id"]), entry["name"], entry["id"]) for entry in document["retired_segments"]
            ]
            definition = RulesConfiguration.model_validate(document["definition"])
            return RulesSegmentation(definition, int(document["version"]), retired)
        except KeyError as error:
            raise ModelInvalid(f"definition: {error} is missing") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = ".".join(str(part) for part in ("definition", *first["loc"]))
            raise ModelInvalid(f"{name}: {first['msg']}") from error
        except (TypeError, ValueError, ConfigurationError) as error:
            raise ModelInvalid(f"definition: {error}") from error


RULES: Final = RulesKind()
