"""The examples beside the schemas, against the schemas and against the models.

`<name>.pass.json` is valid. `<name>.<reason>.<field>.fail.json` is refused for that reason and field; where the
record as a whole is at fault the field reads `record`.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import jsonschema
import pytest
from pydantic import RootModel, ValidationError

from stream_app.contracts.decoding import Decoder
from stream_app.contracts.inputs.table import FILE_CONTRACTS
from stream_app.contracts.outputs.table import OUTPUT_MODELS
from stream_app.contracts.policy import DecodingPolicy
from stream_app.contracts.rejections import RECORD, rejection_of
from stream_app.contracts.schema_files import CHANNELS
from stream_app.errors import CustomerUnnamed, InvalidRecord
from tests.contracts.records import NOW_MS, RATES

SCHEMAS = Path(__file__).parents[2] / "schemas"
PASSING = sorted((SCHEMAS / "examples").glob("*/*.pass.json"))
FAILING = sorted((SCHEMAS / "examples").glob("*/*.fail.json"))
BEYOND_SCHEMAS = {
    "guest",  # the list of placeholders is a setting
    "empty-uuid",
    "cut-customer",  # so is an id to JSON Schema
    "decimal-customer",
    "before-1970",  # a pattern cannot compare times
    "sensitive",  # what is specially protected is a matter of words
    "refund-without-currency",  # what is required beside what
    "consent",  # what begins with a reserved word is refused beside the pattern
    "unknown-purpose",  # the list of purposes is a setting
    "far-future",  # depends on the time of reading
    "third-digit",  # depends on the currency
    "unknown-currency",  # the list of currencies is no part of the schema
}


def schema_validator(topic: str) -> jsonschema.Draft202012Validator:
    version = max(channel.version for channel in CHANNELS if channel.topic == topic)
    schema = json.loads((SCHEMAS / f"{topic}.v{version}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def judge(topic: str, payload: bytes) -> None:
    if topic not in OUTPUT_MODELS:
        with suppress(CustomerUnnamed):  # valid but for the customer, whom the partition finds
            Decoder(FILE_CONTRACTS[topic], DecodingPolicy(currency_rates=RATES)).decode(payload, NOW_MS)
        return
    record = json.loads(payload)
    try:
        OUTPUT_MODELS[topic].model_validate(record)
    except ValidationError as error:
        (first, *_) = error.errors()
        if (
            issubclass(OUTPUT_MODELS[topic], RootModel) and first["loc"]
        ):  # of a union by tag, each place begins with the tag
            error = ValidationError.from_exception_data(error.title, [first | {"loc": first["loc"][1:]}])
        raise rejection_of(error, record) from None


def test_each_topic_has_examples_of_both_kinds() -> None:
    topics = {channel.topic for channel in CHANNELS}
    assert {path.parent.name for path in PASSING} == topics
    assert {path.parent.name for path in FAILING} == topics


@pytest.mark.parametrize("path", PASSING, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_passing_example_passes_schema_and_model(path: Path) -> None:
    schema_validator(path.parent.name).validate(json.loads(path.read_bytes()))
    judge(path.parent.name, path.read_bytes())


@pytest.mark.parametrize("path", FAILING, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_failing_example_fails_as_its_name_says(path: Path) -> None:
    name, reason, field, *_ = path.name.split(".")
    with pytest.raises(InvalidRecord) as error:
        judge(path.parent.name, path.read_bytes())
    assert (error.value.reason, error.value.field) == (reason, RECORD if field == "record" else field)
    assert schema_validator(path.parent.name).is_valid(json.loads(path.read_bytes())) == (name in BEYOND_SCHEMAS)
