"""The published contracts: JSON Schemas and the AsyncAPI document, generated from the models and held to them.

`write` generates the files, `check` reports where the committed ones differ. Neither lets an incompatible change pass
under an old version: raise the topic's version, and the old file stays beside the new one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from stream_app.contracts.asyncapi import Channel, asyncapi_document
from stream_app.contracts.compatibility import incompatibilities
from stream_app.contracts.inputs.table import FILE_CONTRACTS
from stream_app.contracts.outputs.table import OUTPUT_MODELS
from stream_app.errors import ConfigurationError
from stream_app.segmentations.file import SegmentationsFile

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
ASYNCAPI_FILE: Final = "asyncapi.yaml"
SEGMENTATIONS_FILE: Final = "segmentations.v1.json"
"""What is no topic: the configuration of segmentations, for editors that complete and check keys."""

_BY_CUSTOMER: Final = "customer_id as UTF-8; partitioned by murmur2"
_COMMON_HEADERS: Final = (
    ("ce_specversion", "CloudEvents binary mode: 1.0"),
    ("ce_type", "Kind of event and of change"),
    ("ce_source", "The segmenter that decided"),
    ("ce_subject", "customer_id"),
    ("content-type", "application/json"),
)

CHANNELS: Final = (
    *(
        Channel(contract.topic, contract.version, "input", contract.title, contract.summary, _BY_CUSTOMER)
        for contract in FILE_CONTRACTS.values()
    ),
    Channel(
        "population-samples",
        2,
        "output",
        "Population samples",
        "Uniform samples of each partition's customers at a tick, from which models are learned; decisions on models.",
        "Number of the partition that was sampled (the topic itself has one), or decision/<segmentation>",
    ),
    Channel(
        "segment-models",
        2,
        "output",
        "Segment models",
        "Each segmentation's model, or definition; what is in force from which tick on; what became of decisions.",
        "segmentation, followed by /held for a model that is not published; what is no model has the key ~tick, "
        "~tick/awaited or ~decision/<segmentation>",
        "compact",
    ),
    Channel(
        "segment-migrations",
        2,
        "output",
        "Segment migrations",
        "Customers' moves between segments, in order for each customer and segmentation.",
        _BY_CUSTOMER,
        headers=(
            ("ce_id", "migration_id: equal for a repeated delivery"),
            ("ce_time", "effective_at"),
            *_COMMON_HEADERS,
        ),
    ),
    Channel(
        "segment-memberships",
        1,
        "output",
        "Segment memberships",
        "The segment that each customer is in, for each segmentation. A null value: no longer in any segment.",
        "<segmentation>/<customer_id> as UTF-8; partitioned by murmur2 of the customer_id",
        "compact",
    ),
    Channel(
        "segment-upcoming",
        1,
        "output",
        "Upcoming moves",
        "Who is about to leave a segment by time alone, as early as its definition asks, and who stays after all.",
        _BY_CUSTOMER,
        headers=(("ce_id", "notice_id: equal for a repeated delivery"), ("ce_time", "decided_at"), *_COMMON_HEADERS),
    ),
    Channel(
        "segment-figures",
        1,
        "output",
        "Segment figures",
        "Sums over the customers who are in each segment, for each segmentation and partition; add them up.",
        "<segmentation>/<partition> as UTF-8; each partition of the topic holds its own",
        "compact",
    ),
    Channel(
        "identity-handovers",
        1,
        "output",
        "Handed-over rows",
        "Rows of ids that turned out to be another customer's, on their way to its partition. For workers alone.",
        "the id that goes on, as UTF-8; partitioned by murmur2",
    ),
    Channel(
        "dead-letters", 2, "output", "Dead letters", "Refused records, with the reason.", "The refused record's key"
    ),
    Channel(
        "privacy-receipts",
        1,
        "output",
        "Privacy receipts",
        "What was done about each privacy request, and what will be gone by when. None names a customer.",
        "request_id as UTF-8",
        "compact",
    ),
)


class _PlainSchema(GenerateJsonSchema):
    """Without a title for every field: it would only repeat the name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - the overridden method's signature
        return False


def schema_of(channel: Channel) -> dict[str, Any]:
    """Return the JSON Schema of a topic's payload."""
    is_input = channel.direction == "input"
    model: type[BaseModel] = FILE_CONTRACTS[channel.topic].model if is_input else OUTPUT_MODELS[channel.topic]
    schema = model.model_json_schema(schema_generator=_PlainSchema)
    return {**schema, "$schema": DIALECT, "$id": f"urn:segmenter:{channel.topic}:v{channel.version}"}


class _WithoutNull(_PlainSchema):
    """Of documents in which a key is left out where it has no value."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        described = super().default_schema(schema)
        if described.get("default") in (None, []):
            described.pop("default", None)
        return described


def segmentations_schema() -> dict[str, Any]:
    """Return the JSON Schema of the file of segmentations."""
    schema = SegmentationsFile.model_json_schema(schema_generator=_WithoutNull)
    return {**schema, "$schema": DIALECT, "$id": "urn:segmenter:segmentations:v1"}


def generate() -> dict[str, str]:
    """Return the text of each file, by name."""
    files = {channel.schema_file: _as_json(schema_of(channel)) for channel in CHANNELS}
    files[SEGMENTATIONS_FILE] = _as_json(segmentations_schema())
    document = yaml.safe_dump(asyncapi_document(CHANNELS), sort_keys=True, allow_unicode=True, width=120)
    return {**files, ASYNCAPI_FILE: document}


def write(folder: Path) -> list[str]:
    """Write all files and return the names of those that changed.

    Raises
    ------
    ConfigurationError
        If a committed version would change incompatibly; nothing is written then.
    """
    if broken := _broken_promises(folder):
        raise ConfigurationError("; ".join(broken))
    folder.mkdir(parents=True, exist_ok=True)
    changed = []
    for name, text in generate().items():
        if _text_of(folder / name) != text:
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
            changed.append(name)
    return changed


def check(folder: Path) -> list[str]:
    """Return the faults of the committed files, one sentence each; empty if `write` would change nothing."""
    problems = _broken_promises(folder)
    for name, text in generate().items():
        committed = _text_of(folder / name)
        if committed is None:
            problems.append(f"{name}: missing; run `segmenter schemas write`")
        elif committed != text:
            problems.append(f"{name}: differs from the models; run `segmenter schemas write`")
    return problems


def _broken_promises(folder: Path) -> list[str]:
    problems = []
    for channel in CHANNELS:
        committed = _text_of(folder / channel.schema_file)
        if committed is None:
            continue
        try:
            old = json.loads(committed)
        except json.JSONDecodeError as error:
            problems.append(f"{channel.schema_file}: {error}, expected JSON; restore the committed file")
            continue
        remedy = f"write v{channel.version + 1}: raise the version of {channel.topic!r}"
        problems += [
            f"{channel.schema_file}: {reason}; {remedy}"
            for reason in incompatibilities(old, schema_of(channel), channel.direction)
        ]
    return problems


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _as_json(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
