"""`segmenter topics` against a real broker, and what every process asks of the topics at its start."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
from aiokafka.errors import KafkaError, NodeNotReadyError, TopicAuthorizationFailedError
from confluent_kafka.admin import AdminClient, NewTopic

from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.adapters.topic_admin import _administering, require_topics
from stream_app.cli import main
from stream_app.errors import BrokerUnreachable, TopicRefused
from stream_app.settings.sections import ENV_PREFIX
from tests.support.processes import free_port
from tests.support.replays import refused
from tests.support.shared_kafka import delete_topics

TOPICS = 16
PATIENCE_SECONDS = 300
"""Only ever waited for in full by a test that fails."""

Deployment = Callable[..., None]


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """Set settings of section `kafka` in the environment."""

    def set_settings(**settings: object) -> None:
        for name, value in settings.items():
            monkeypatch.setenv(f"{ENV_PREFIX}KAFKA__{name.upper()}", str(value))

    return set_settings


@pytest.fixture
def prefix(deploy: Deployment, kafka: str, topic_prefix: str) -> str:
    deploy(bootstrap_servers=kafka, topic_prefix=topic_prefix, partitions=3)
    return topic_prefix


def make(kafka: str, name: str, partitions: int, **properties: str) -> None:
    config = {name.replace("_", "."): value for name, value in properties.items()}
    admin = AdminClient({"bootstrap.servers": kafka})  # must outlive what it promised
    admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(PATIENCE_SECONDS)


def problems(capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main(["topics", "check"])
    assert exit_.value.code == 1
    return capsys.readouterr().err.splitlines()


def test_topics_are_made_and_then_are_as_they_must_be(prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["topics", "create"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == TOPICS
    assert f"{prefix}purchases: made (3 partitions, delete)" in lines
    assert f"{prefix}segmenter-customers-changelog: made (3 partitions, compact)" in lines
    assert f"{prefix}segment-models: made (1 partition, compact)" in lines
    main(["topics", "check"])
    assert capsys.readouterr().out == f"all {TOPICS} topics match the configuration\n"


def test_topics_that_are_there_stay_as_they_are(prefix: str, kafka: str, capsys: pytest.CaptureFixture[str]) -> None:
    make(kafka, f"{prefix}engagements", 5)
    main(["topics", "create"])
    capsys.readouterr()
    main(["topics", "create"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == TOPICS
    assert all(": is there (" in line for line in lines)
    assert f"{prefix}engagements: partitions is 5, expected 3" in problems(capsys)


def test_every_deviation_is_a_line(prefix: str, kafka: str, capsys: pytest.CaptureFixture[str]) -> None:
    make(kafka, f"{prefix}purchases", 2, retention_ms="3600000", message_timestamp_after_max_ms="300000")
    make(kafka, f"{prefix}segment-memberships", 3, cleanup_policy="delete")
    main(["topics", "create"])
    delete_topics(kafka, f"{prefix}dead-letters")
    assert problems(capsys) == [
        f"{prefix}purchases: partitions is 2, expected 3",
        f"{prefix}purchases: retention.ms is 3600000, expected at least 2592000000",
        f"{prefix}segment-memberships: cleanup.policy is delete, expected compact",
        f"{prefix}dead-letters: missing; `segmenter topics create` makes it",
    ]


def test_before_anything_is_made_all_topics_are_missing(prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = problems(capsys)
    assert len(lines) == TOPICS
    assert all(line.startswith(prefix) and ": missing; " in line for line in lines)


@pytest.mark.usefixtures("prefix")
def test_refusal_of_the_brokers_is_one_line(deploy: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    deploy(replication_factor=9)
    line = refused(capsys, "topics", "create", status=1)
    assert "purchases: Kafka refuses to make it: " in line
    assert "replication factor" in line


@pytest.mark.parametrize("verb", ["create", "check"])
def test_broker_that_is_not_there_is_one_line(
    verb: str, deploy: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"127.0.0.1:{free_port()}"
    deploy(bootstrap_servers=address)
    assert f"no Kafka broker answers at {address}" in refused(capsys, "topics", verb, status=1)


def test_server_that_never_answers_is_one_line(deploy: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        deploy(bootstrap_servers=address)
        assert f"no Kafka broker answers at {address}" in refused(capsys, "topics", "check", status=1)


def test_process_that_waits_for_a_broker_says_once_what_may_be_wrong(caplog: pytest.LogCaptureFixture) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerUnreachable):
        asyncio.run(require_topics(KafkaConnection(address), [], patience_seconds=1))
    (told,) = (record.getMessage() for record in caplog.records if record.name.startswith("stream_app"))
    assert told.startswith(f"no Kafka broker answers at {address}; is kafka.bootstrap_servers right?")


def test_wrong_settings_are_one_line(deploy: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    deploy(bootstrap_servers="kafka")
    assert "setting kafka.bootstrap_servers: 'kafka' is refused" in refused(capsys, "topics", "check")


@pytest.mark.parametrize(
    ("error", "expected"),
    [(NodeNotReadyError("node 1"), BrokerUnreachable), (TopicAuthorizationFailedError("purchases"), TopicRefused)],
    ids=["broker that restarts", "user without rights"],
)
def test_what_passes_by_itself_is_no_refusal(kafka: str, error: KafkaError, expected: type[Exception]) -> None:
    async def test() -> None:
        async with _administering(KafkaConnection(kafka)):
            raise error

    with pytest.raises(expected):
        asyncio.run(test())
