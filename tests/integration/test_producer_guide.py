"""What pages say to producers is true: the examples run as they stand there, and the topics are those made."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from aiokafka.partitioner import DefaultPartitioner

from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.adapters.topic_admin import create_topics
from stream_app.adapters.topic_specs import TopicSpec
from stream_app.adapters.topics import TopicNames
from stream_app.audit.reading import TopicReader
from stream_app.bootstrap.kafka import create_topic_specs
from stream_app.contracts.decoding import Decoder
from stream_app.contracts.inputs.table import INPUT_CONTRACTS
from stream_app.contracts.policy import DecodingPolicy
from stream_app.core.clock import DAY_MS
from stream_app.settings.sections import Settings
from tests.support.programs import find_program

DOCS: Final = Path(__file__).parents[2] / "docs"
PARTITIONS: Final = 12
"""With these, librdkafka's own partitioner puts every customer of the examples elsewhere."""
PATIENCE_SECONDS: Final = 300
"""Only ever waited for in full by a test that fails."""


class Example(NamedTuple):
    name: str
    language: str
    code: str

    @property
    def event_ids(self) -> list[str]:
        return sorted(re.findall(r'"event_id": ?"([^"]+)"', self.code))


class Sent(NamedTuple):
    contract: str
    partition: int
    key: bytes
    value: bytes


def topics_section() -> str:
    page = DOCS.joinpath("kafka.md").read_text("utf-8")
    return page.partition("\n## Topics\n")[2].partition("\n## ")[0]


def read_examples() -> list[Example]:
    blocks = re.findall(
        r"With (\S+):\n\n```(\w+)\n(.*?)```\n", DOCS.joinpath("producing.md").read_text("utf-8"), re.DOTALL
    )
    return [Example(*block) for block in blocks]


EXAMPLES: Final = read_examples()


@pytest.fixture
def topics(kafka: str, topic_prefix: str) -> TopicNames:
    names = TopicNames(topic_prefix, "segmenter")
    settings = Settings.model_validate({"kafka": {"topic_prefix": topic_prefix, "partitions": PARTITIONS}})
    inputs = [spec for spec in create_topic_specs(settings) if spec.name in names.inputs]
    asyncio.run(create_topics(KafkaConnection(kafka), inputs))
    return names


def run(example: Example, kafka: str, topics: TopicNames, folder: Path) -> list[Sent]:
    """Run an example as a reader would, and return what then is on the topics."""
    script = folder / "example"
    script.write_text(example.code, "utf-8")
    if example.language == "shell":
        find_program(example.name)
    command = {"shell": ["sh", "-eu"], "python": [sys.executable, "-W", "error"]}[example.language]
    names = {"BOOTSTRAP": kafka, **{contract.upper(): topics.input_topic(contract) for contract in INPUT_CONTRACTS}}
    done = subprocess.run(
        [*command, str(script)],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **names},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return asyncio.run(read(kafka, topics))


async def read(kafka: str, topics: TopicNames) -> list[Sent]:
    async with TopicReader(KafkaConnection(kafka)) as reader:
        bounds = await reader.bounds((topic, number) for topic in topics.inputs for number in range(PARTITIONS))
        return [
            Sent(topic.removeprefix(topics.prefix), partition, record.key or b"", record.value or b"")
            for topic, partition in bounds
            async for records in reader.read(topic, partition, bounds)
            for record in records
        ]


def home_of(key: bytes) -> int:
    partitions = list(range(PARTITIONS))
    return int(DefaultPartitioner()(key, partitions, partitions))


def test_guide_has_an_example_for_each_client() -> None:
    clients = [(example.name, example.language) for example in EXAMPLES]
    assert clients == [("kcat", "shell"), ("confluent-kafka", "python"), ("aiokafka", "python")]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example_sends_valid_records_to_the_partitions_where_customers_belong(
    example: Example, kafka: str, topics: TopicNames, tmp_path: Path
) -> None:
    sent = run(example, kafka, topics, tmp_path)
    decoders = {topic: Decoder(contract, DecodingPolicy()) for topic, contract in INPUT_CONTRACTS.items()}
    now_ms = time.time_ns() // 1_000_000
    events = [decoders[record.contract].decode(record.value, now_ms, record.key) for record in sent]
    assert sorted(event.event_id for event in events) == example.event_ids
    assert len(events) > 1
    assert [record.partition for record in sent] == [home_of(record.key) for record in sent]


@pytest.mark.parametrize("example", EXAMPLES[:2], ids=lambda example: example.name)
def test_librdkafka_puts_customers_elsewhere_unless_told(
    example: Example, kafka: str, topics: TopicNames, tmp_path: Path
) -> None:
    untold = example._replace(code=example.code.replace("murmur2_random", "consistent_random"))  # its own default
    assert untold != example
    sent = run(untold, kafka, topics, tmp_path)
    assert sent
    assert not [record for record in sent if record.partition == home_of(record.key)]


def test_table_of_topics_says_what_is_made() -> None:
    settings = Settings.model_validate({"identities": {"enabled": True}})
    rows = [row.strip("| ").split(" | ") for row in re.findall(r"\n(\| `.*)", topics_section())]
    described = {name: (int(row[2].split(",")[0]), row[3]) for row in rows for name in re.findall("`([^`]+)`", row[0])}
    assert described == {spec.name: (spec.partitions, cleanup_of(spec)) for spec in create_topic_specs(settings)}


def cleanup_of(spec: TopicSpec) -> str:
    policy = spec.properties["cleanup.policy"]
    if policy != "delete":
        return policy
    days = int(spec.properties["retention.ms"]) // DAY_MS
    return f"{policy}, {days} days" if days >= 0 else f"{policy}, never"
