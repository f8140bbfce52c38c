"""A further input topic costs a module and an entry in the table: here both stand in the test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import click
import pytest
from click.testing import CliRunner

from stream_app.adapters.record_blocks import NO_HEADERS, BlockRecord, RecordBlock
from stream_app.adapters.topic_specs import TopicPolicy, topic_specs
from stream_app.adapters.topics import TopicNames
from stream_app.audit.inputs import PartitionInputs
from stream_app.audit.records import LogRecord
from stream_app.audit.recount import likely_orders
from stream_app.bootstrap.decoding import create_decoders
from stream_app.commands.input_files import takes_input_files
from stream_app.commands.replay import run_replay
from stream_app.contracts.fields import Text
from stream_app.contracts.inputs.contract import InputContract, InputRecord
from stream_app.contracts.inputs.table import INPUT_CONTRACTS
from stream_app.contracts.policy import DecodingPolicy
from stream_app.core.events import ENGAGEMENT, Event
from stream_app.errors import InvalidRecord
from stream_app.settings.sections import Settings
from stream_app.sources.files import SourceFile
from stream_app.worker.intake import Intake
from tests.contracts.records import AT_MS, NOW_MS
from tests.support.batches import contents_of
from tests.support.one_segmentation import value_settings
from tests.support.replays import Outputs, engagement_at, purchase_at, write_lines


class SurveyRecord(InputRecord):
    """What a customer has answered."""

    city: Text
    """Where it lives."""


def to_event(record: SurveyRecord, _policy: DecodingPolicy) -> Event:
    return Event(ENGAGEMENT, record.customer_id, record.event_id, record.occurred_at, "survey_answered")


ABOUT_CUSTOMERS = ("purchases", "engagements", "profiles", "consents", "surveys")
SURVEYS: Final = InputContract(
    topic="surveys",
    version=1,
    title="Surveys",
    summary="What customers have answered.",
    model=SurveyRecord,
    to_event=to_event,
)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(INPUT_CONTRACTS, SURVEYS.topic, SURVEYS)


def survey_at(number: int, at: str, **changes: Any) -> dict[str, Any]:
    own = {"event_id": f"f{number}", "customer_id": "c1", "occurred_at": at, "city": "Bern"}
    return own | changes


def profile_at(number: int, at: str) -> dict[str, Any]:
    return {"event_id": f"t{number}", "customer_id": "c1", "observed_at": at, "traits": {"plan": "pro"}}


def consent_at(number: int, at: str) -> dict[str, Any]:
    said = {"purpose": "email", "decision": "granted"}
    return {"event_id": f"a{number}", "customer_id": "c1", "observed_at": at, **said}


def second(number: int) -> str:
    return f"2024-05-01T12:00:0{number}.000Z"


def event_at(number: int) -> Event:
    return Event(ENGAGEMENT, "c1", f"f{number}", AT_MS + number * 1_000, "survey_answered")


def test_it_is_decoded_by_its_model() -> None:
    decoder = create_decoders(Settings())["surveys"]
    assert decoder.decode(json.dumps(survey_at(1, second(1))).encode(), NOW_MS, b"c1") == event_at(1)
    with pytest.raises(InvalidRecord, match="city: missing"):
        decoder.decode(json.dumps(purchase_at(1, second(1))).encode(), NOW_MS)


def test_its_files_are_replayed_merged_with_those_of_the_others(tmp_path: Path) -> None:
    files = {
        "purchases": write_lines(tmp_path / "p.jsonl", [purchase_at(number, second(number)) for number in (2, 5)]),
        "engagements": write_lines(tmp_path / "e.jsonl", [engagement_at(number, second(number)) for number in (1, 5)]),
        "surveys": write_lines(tmp_path / "f.jsonl", [survey_at(0, second(0), customer_id="c0"), b"{}"]),
    }
    table = write_lines(
        tmp_path / "f.csv", ["customer_id,occurred_at,town", f"c9,{second(3)},Bern", f"c9,{second(4)},"]
    )
    sources = [SourceFile(path, topic, {}, {}, None) for topic, path in files.items()]
    sources.append(SourceFile(table, "surveys", {"city": "town"}, {}, None))
    run_replay(value_settings(), sources, tmp_path / "out", NOW_MS, None)
    outputs = Outputs(tmp_path / "out")
    assert [(file["topic"], file["records"]) for file in outputs.summary["inputs"]] == [
        ("purchases", 2),
        ("engagements", 2),
        ("surveys", 2),
        ("surveys", 2),
    ]
    causes = [migration["cause"]["event_id"] for migration in outputs.migrations if migration["sequence"] == 1]
    assert causes[:2] == ["f0", "v1"]
    assert causes[2].startswith("surveys/")
    refused = [(letter["position"]["topic"], letter["position"]["offset"]) for letter in outputs.dead_letters]
    assert refused == [("f.jsonl", 2), ("f.csv", 3)]


def test_a_worker_merges_its_topic_with_the_others() -> None:
    names = TopicNames("test.", "segmenter")
    decoders = {names.input_topic(topic): decoder for topic, decoder in create_decoders(Settings()).items()}
    inputs = [names.input_topic(topic) for topic in ABOUT_CUSTOMERS]
    intake = Intake(0, dict.fromkeys(inputs, 0), decoders, 1)
    makers = dict(zip(inputs, (purchase_at, engagement_at, profile_at, consent_at, survey_at), strict=True))
    for topic in reversed(inputs):
        lines = [json.dumps(makers[topic](number, second(number))).encode() for number in (1, 2)]
        records = [BlockRecord(offset, 0, b"c1", line, NO_HEADERS) for offset, line in enumerate(lines)]
        intake.feed(topic, RecordBlock.of(records), NOW_MS)
    chunks = list(intake.emit_chunks(frozenset(inputs), 100, 0.0))
    ids = [content.event_id for chunk in chunks for content in contents_of(chunk.batch) if isinstance(content, Event)]
    assert ids == ["p1", "v1", "t1", "a1", "f1", "p2", "v2", "t2", "a2", "f2"]


def test_its_topic_is_made_as_the_other_inputs() -> None:
    names = TopicNames("test.", "segmenter")
    specs = {spec.name: spec for spec in topic_specs(names, TopicPolicy(4, 3, 1_000, 1_000, 1_000, 1_000))}
    assert names.inputs[-1] == "test.surveys"
    assert specs["test.surveys"].properties == specs["test.purchases"].properties


def test_commands_take_its_files() -> None:
    given: dict[str, Any] = {}

    @click.command()
    @takes_input_files(click.Path(), "Any.")
    def read(files: dict[str, tuple[str, ...]]) -> None:
        given.update(files)

    assert CliRunner().invoke(read, ["--surveys", "a", "--surveys", "b", "--purchases", "c"]).exit_code == 0
    assert {topic: files for topic, files in given.items() if files} == {"purchases": ("c",), "surveys": ("a", "b")}
    assert set(ABOUT_CUSTOMERS) < given.keys()
    refused = CliRunner().invoke(read, [])
    assert refused.exit_code == 2
    assert "--purchases FILE or --engagements FILE or --profiles FILE or " in refused.output
    assert "--surveys FILE" in refused.output


def test_an_audit_judges_its_records() -> None:
    names, decoders = TopicNames("", "segmenter"), create_decoders(Settings())
    inputs = PartitionInputs(0, lambda _: 0, dict.fromkeys(names.inputs, 9), {}, [], [], NOW_MS)
    makers = dict(zip(ABOUT_CUSTOMERS, (purchase_at, engagement_at, profile_at, consent_at, survey_at), strict=True))
    for stream, topic in enumerate(ABOUT_CUSTOMERS):
        decoder = decoders[topic]
        value = json.dumps(makers[topic](1, second(9 - stream))).encode()
        inputs.take(topic, stream, decoder, [LogRecord(0, NOW_MS + stream, b"c1", value)])
    assert (inputs.counts["folded or repeated"], inputs.counts["profiles"]) == (3, 2)
    assert [entry.event.event_id for entry in inputs.profiles["c1"]] == ["t1", "a1"]
    by_event_time, by_timestamp = likely_orders(inputs.entries["c1"])
    assert [entry.event.event_id for entry in by_event_time] == ["f1", "v1", "p1"]
    assert [entry.event.event_id for entry in by_timestamp] == ["p1", "v1", "f1"]
