from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from stream_app.contracts import schema_files
from stream_app.contracts.schema_files import ASYNCAPI_FILE, CHANNELS, check, generate, write
from stream_app.errors import ConfigurationError

COMMITTED = Path(__file__).parents[2] / "schemas"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "schemas")
    return tmp_path / "schemas"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_committed_files_are_what_the_models_say() -> None:
    assert check(COMMITTED) == []


def test_written_files_pass_the_check_and_are_written_once(folder: Path) -> None:
    assert check(folder) == []
    assert write(folder) == []
    assert {path.name for path in folder.iterdir()} == set(generate())


def test_missing_file_is_reported_and_written_again(folder: Path) -> None:
    (folder / "purchases.v1.json").unlink()
    assert check(folder) == ["purchases.v1.json: missing; run `segmenter schemas write`"]
    assert write(folder) == ["purchases.v1.json"]


def test_drift_is_reported(folder: Path) -> None:
    edit(folder / "purchases.v1.json", "The shop.", "The store.")
    edit(folder / ASYNCAPI_FILE, "3.0.0", "2.6.0")
    assert check(folder) == [
        "purchases.v1.json: differs from the models; run `segmenter schemas write`",
        "asyncapi.yaml: differs from the models; run `segmenter schemas write`",
    ]


@pytest.mark.parametrize(
    ("name", "old", "new", "version"),
    [
        # the committed file allows what the models do not, and the other way round for an output
        ("purchases.v1.json", '"maximum": 1000000,', '"maximum": 2000000,', "v2"),
        ("dead-letters.v2.json", '"malformed",', "", "v3"),
    ],
)
def test_incompatible_change_is_reported_and_never_written(
    folder: Path, name: str, old: str, new: str, version: str
) -> None:
    edit(folder / name, old, new)
    before = (folder / name).read_text(encoding="utf-8")
    assert any(f"write {version}" in problem for problem in check(folder))
    with pytest.raises(ConfigurationError, match=f"write {version}"):
        write(folder)
    assert (folder / name).read_text(encoding="utf-8") == before


def test_raised_version_is_written_beside_the_old_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(folder / "purchases.v1.json", '"maximum": 1000000,', '"maximum": 2000000,')
    raised = tuple(
        schema_files.Channel(channel.topic, 2, channel.direction, channel.title, channel.summary, channel.key)
        if channel.topic == "purchases"
        else channel
        for channel in CHANNELS
    )
    monkeypatch.setattr(schema_files, "CHANNELS", raised)
    assert write(folder) == ["purchases.v2.json", ASYNCAPI_FILE]
    assert check(folder) == []
    assert (folder / "purchases.v1.json").exists()


def test_broken_file_is_reported(folder: Path) -> None:
    (folder / "engagements.v1.json").write_text("{", encoding="utf-8")
    assert any("expected JSON" in problem for problem in check(folder))


def test_schemas_have_identity_dialect_and_sorted_keys() -> None:
    for channel in CHANNELS:
        text = generate()[channel.schema_file]
        schema = json.loads(text)
        assert schema["$id"] == f"urn:segmenter:{channel.topic}:v{channel.version}"
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert text == json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


LEFT_OUT = ("revenue_before", "merged_into", "written_by")
"""Fields that are there where they say something, and cost nobody else anything; the first one is missing in records of
earlier releases alone."""


def test_every_output_field_is_required_and_nothing_else_goes_out() -> None:
    for channel in CHANNELS:
        if channel.direction == "output":
            schema = schema_files.schema_of(channel)
            forms = [form for form in (schema, *schema.get("$defs", {}).values()) if "properties" in form]
            assert forms
            for form in forms:
                assert form["required"] == [name for name in form["properties"] if name not in LEFT_OUT]
                assert form["additionalProperties"] is False


def test_asyncapi_document_refers_to_files_and_messages_that_exist() -> None:
    document = yaml.safe_load((COMMITTED / ASYNCAPI_FILE).read_text(encoding="utf-8"))
    assert document["asyncapi"] == "3.0.0"
    assert set(document["channels"]) == {channel.topic for channel in CHANNELS}
    for topic, channel in document["channels"].items():
        assert channel["messages"][topic]["$ref"] == f"#/components/messages/{topic}"
        message = document["components"]["messages"][topic]
        assert (COMMITTED / message["payload"]["schema"]["$ref"]).is_file()
        assert message["bindings"]["kafka"]["key"]["type"] == "string"
    assert {operation["channel"]["$ref"] for operation in document["operations"].values()} == {
        f"#/channels/{channel.topic}" for channel in CHANNELS
    }


def test_asyncapi_document_states_clean_up_and_cloudevents_headers() -> None:
    document = yaml.safe_load(generate()[ASYNCAPI_FILE])
    compacted = {
        topic
        for topic, channel in document["channels"].items()
        if channel["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"] == ["compact"]
    }
    assert compacted == {"segment-models", "segment-memberships", "segment-figures", "privacy-receipts"}
    headers = document["components"]["messages"]["segment-migrations"]["headers"]
    assert {"ce_id", "ce_type", "ce_source", "ce_subject", "ce_time"} <= set(headers["required"])
