"""`segmenter verify` against a real broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from stream_app.cli import main
from tests.audit.broker import write_story
from tests.audit.stories import PARTITIONS, Story, drawn_inputs, partition_of, record_of, told
from tests.audit.test_verification import drop_rows_of_a_customer, duplicate_migration, lose_event, lose_migration
from tests.support.replays import refused

Verify = Callable[..., int]


@pytest.fixture
def verify(kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Verify:
    """Run the command against the test's own topics; return its exit status."""
    monkeypatch.setenv("SEGMENTER_KAFKA__BOOTSTRAP_SERVERS", kafka)
    monkeypatch.setenv("SEGMENTER_KAFKA__TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("SEGMENTER_KAFKA__PARTITIONS", str(PARTITIONS))

    def run(*args: str) -> int:
        try:
            main(["verify", *args])
        except SystemExit as exit_:
            return int(exit_.code or 0)
        return 0

    return run


@pytest.fixture
def story(topic_prefix: str) -> Story:
    astray = record_of("purchases", 9_000, "c1", 401)
    astray = replace(astray, partition=1 - partition_of(b"c1"))
    return told([*drawn_inputs(30, 300), astray], topic_prefix)


def test_faultless_deployment_is_clean(
    kafka: str, story: Story, verify: Verify, capsys: pytest.CaptureFixture[str]
) -> None:
    aborted = story.written(story.names.migrations)[:3]
    asyncio.run(write_story(story, kafka, [replace(append, partition=0) for append in aborted]))
    assert verify("--drained") == 0, capsys.readouterr().out
    assert capsys.readouterr().out.splitlines()[-1].startswith("clean, ")
    assert verify("--drained", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    figures = report["figures"]
    assert (figures["customers"], figures["folded"], figures["misplaced"]) == (30, 301, 1)
    assert figures["migrations that only read_uncommitted sees"] == 3
    assert report["records"][story.names.migrations] == len(story.written(story.names.migrations))


@pytest.mark.parametrize(
    ("seed", "check"),
    [
        (duplicate_migration, "sequences"),
        (lose_migration, "sequences"),
        (drop_rows_of_a_customer, "totals"),
        (lose_event, "totals"),
    ],
)
def test_tampered_deployment_is_told_and_fails(
    kafka: str,
    story: Story,
    verify: Verify,
    capsys: pytest.CaptureFixture[str],
    seed: Callable[[Story], None],
    check: str,
) -> None:
    seed(story)
    asyncio.run(write_story(story, kafka))
    assert verify("--drained", "--json") == 1
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert checks[check]["breaches"] > 0
    assert all(example["customer_id"] and example["position"] for example in checks[check]["examples"])


def test_what_is_left_to_fold_is_a_breach_only_where_nothing_may_be(
    kafka: str, topic_prefix: str, verify: Verify, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(write_story(told(drawn_inputs(10, 60), topic_prefix, unread=2), kafka))
    assert verify() == 0, capsys.readouterr().out
    assert verify("--drained") == 1


def expire(kafka: str, topic: str, partition: int, before: int) -> None:
    """Have the broker delete a partition's first records, as retention does."""

    async def delete() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await admin.start()
        try:
            await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before_offset=before)})
        finally:
            await admin.close()

    asyncio.run(delete())


def test_expired_inputs_are_a_breach_unless_that_is_known(
    kafka: str, story: Story, verify: Verify, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(write_story(story, kafka))
    expire(kafka, story.names.input_topic("purchases"), partition=0, before=20)
    assert verify("--drained") == 1
    assert verify("--drained", "--expired-ok") == 0, capsys.readouterr().out
    assert "first records are gone" in capsys.readouterr().out


def test_expired_inputs_hide_no_other_breach(kafka: str, story: Story, verify: Verify) -> None:
    duplicate_migration(story)
    asyncio.run(write_story(story, kafka))
    expire(kafka, story.names.input_topic("purchases"), partition=0, before=20)
    assert verify("--expired-ok") == 1


def test_missing_topics_are_refused_on_one_line(verify: Verify, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify() == 2
    assert "missing (`segmenter topics create`)" in capsys.readouterr().err


def test_wrong_setting_is_refused_on_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEGMENTER_KAFKA__PARTITIONS", "0")
    assert "kafka.partitions" in refused(capsys, "verify")


def test_unreachable_broker_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SEGMENTER_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    with pytest.raises(SystemExit) as exit_:
        main(["verify"])
    assert exit_.value.code == 1
    _reading, why = capsys.readouterr().err.splitlines()
    assert why.startswith("segmenter: Kafka at 127.0.0.1:1 does not answer")
