"""`segmenter produce` against a real broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka.partitioner import murmur2
from confluent_kafka import Consumer, TopicPartition

from stream_app.cli import main
from tests.support.processes import free_port, wait_for
from tests.support.replays import ROOT, engagement_at, purchase_at, refused, write_lines

PARTITIONS = 3
PATIENCE_SECONDS = 300
SHOPIFY = ROOT / "tests" / "sources" / "presets" / "files" / "shopify" / "orders_export.csv"


@pytest.fixture
def prefix(monkeypatch: pytest.MonkeyPatch, kafka: str, topic_prefix: str) -> str:
    for name, value in {"bootstrap_servers": kafka, "topic_prefix": topic_prefix, "partitions": PARTITIONS}.items():
        monkeypatch.setenv(f"SEGMENTER_KAFKA__{name.upper()}", str(value))
    main(["topics", "create"])
    return topic_prefix


def read(kafka: str, topic: str) -> list[tuple[int, bytes | None, bytes]]:
    """Return partition, key and value of every record, partition by partition."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "reading", "enable.auto.commit": False})
    records = []
    for partition in range(PARTITIONS):
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), PATIENCE_SECONDS)
        consumer.assign([TopicPartition(topic, partition, 0)])
        for _ in range(end):
            message = consumer.poll(PATIENCE_SECONDS)
            assert message is not None
            records.append((message.partition(), message.key(), message.value()))
    consumer.close()
    return records


def test_records_arrive_keyed_in_order_and_where_java_would_put_them(
    prefix: str, kafka: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    customers = [f"c{number}" for number in range(20)] + ["zoë"]
    lines: list[Any] = [
        purchase_at(number, f"2024-05-01T12:{number:02}:00Z", customers[number % len(customers)])
        for number in range(50)
    ]
    first = write_lines(tmp_path / "first.jsonl", lines)
    second = write_lines(tmp_path / "second.jsonl.gz", [engagement_at(1, "2024-05-01T12:00:30Z", "c1")])
    capsys.readouterr()
    main(["produce", "--purchases", str(first), "--engagements", str(second)])
    told = {f"50 records to {prefix}purchases", f"1 record to {prefix}engagements"}
    reading, sent = capsys.readouterr().out.splitlines()
    assert reading.startswith("reading 2 files")
    assert {*sent.removeprefix("sent ").split(" and ")} == told
    records = read(kafka, f"{prefix}purchases")
    by_customer: dict[str, list[int]] = {}
    for partition, key, value in records:
        assert key is not None
        event = json.loads(value)
        assert key.decode() == event["customer_id"]
        by_customer.setdefault(key.decode(), []).append(int(event["event_id"][1:]))
        assert partition == (murmur2(key) & 0x7FFFFFFF) % PARTITIONS
    assert len(records) == 50
    assert all(numbers == sorted(numbers) for numbers in by_customer.values())


def test_times_are_moved_so_that_the_newest_event_is_now(prefix: str, kafka: str, tmp_path: Path) -> None:
    lines = [purchase_at(2, "2020-01-03T12:00:00+02:00"), purchase_at(1, "2020-01-01T00:00:00Z")]
    before = datetime.now(UTC) - timedelta(seconds=1)
    main(["produce", "--purchases", str(write_lines(tmp_path / "old.jsonl", lines)), "--shift-to-now"])
    values = [value for _, _, value in read(kafka, f"{prefix}purchases")]
    times = sorted(datetime.fromisoformat(json.loads(value)["occurred_at"]) for value in values)
    assert before < times[-1] < datetime.now(UTC) + timedelta(seconds=1)
    assert times[-1] - times[0] == timedelta(days=2, hours=10)


def test_profiles_are_merged_with_events_and_moved_with_them(prefix: str, kafka: str, tmp_path: Path) -> None:
    traits = {"plan": "pro"}
    profiles = [{"customer_id": "c1", "observed_at": f"2020-01-0{day}T00:00:00Z", "traits": traits} for day in (2, 4)]
    events = write_lines(tmp_path / "p.jsonl", [purchase_at(1, "2020-01-03T00:00:00Z", "c1")])
    before = datetime.now(UTC) - timedelta(seconds=1)
    path = write_lines(tmp_path / "f.jsonl", profiles)
    main(["produce", "--purchases", str(events), "--profiles", str(path), "--shift-to-now"])
    found = [(key, json.loads(value)) for _, key, value in read(kafka, f"{prefix}profiles")]
    assert [(key, record["traits"]) for key, record in found] == [(b"c1", traits)] * 2
    times = [datetime.fromisoformat(record["observed_at"]) for _, record in found]
    assert times[1] - times[0] == timedelta(days=2)
    assert before < times[1] < datetime.now(UTC) + timedelta(seconds=1)
    ((_, _, bought),) = read(kafka, f"{prefix}purchases")
    assert datetime.fromisoformat(json.loads(bought)["occurred_at"]) == times[1] - timedelta(days=1)


def test_live_records_are_paced_and_an_interrupted_run_says_how_far_it_came(
    prefix: str, kafka: str, tmp_path: Path
) -> None:
    lines = [purchase_at(number, f"2024-05-01T{number:02}:00:00Z") for number in range(20)]
    path = write_lines(tmp_path / "day.jsonl", lines)
    command = [sys.executable, "-m", "stream_app", "produce", "--purchases", path, "--live", "10", "--rate", "0.01"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        wait_for(lambda: len(read(kafka, f"{prefix}purchases")) == 11, PATIENCE_SECONDS, "the unpaced records")
        run.send_signal(signal.SIGTERM)
        out, _ = run.communicate(timeout=PATIENCE_SECONDS)
    finally:
        run.kill()
        run.wait()
    assert run.returncode == 130
    assert out.splitlines()[1:] == [f"interrupted after 11 records to {prefix}purchases"]


def test_what_cannot_be_sent_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_lines(tmp_path / "one.jsonl", [purchase_at(1, "2024-05-01T12:00:00Z")])
    monkeypatch.setenv("SEGMENTER_KAFKA__BOOTSTRAP_SERVERS", address := f"127.0.0.1:{free_port()}")
    assert f"no Kafka broker answers at {address}" in refused(capsys, "produce", "--purchases", str(path), status=1)
    assert "name at least one file" in refused(capsys, "produce")
    missing = tmp_path / "missing.jsonl"
    assert f"{missing}: cannot be read" in refused(capsys, "produce", "--purchases", str(missing))
    assert "fits no known source" in refused(capsys, "produce", str(path))


def test_export_is_sent_by_time_with_what_cannot_be_read_left_out(
    prefix: str, kafka: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEGMENTER_MONEY__BASE_CURRENCY", "EUR")
    capsys.readouterr()
    main(["produce", "--source", "shopify", str(SHOPIFY)])
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1:] == [f"sent 10 records to {prefix}purchases"]
    assert captured.err.startswith(f"refused 1 as no customer: {SHOPIFY}, row 12: customer_id: missing")
    records = [(key, json.loads(value)) for _, key, value in read(kafka, f"{prefix}purchases")]
    assert all(key is not None and key.decode() == record["customer_id"] for key, record in records)
    ids = {record["event_id"] for _, record in records}
    assert "shopify/order_completed/#1009" in ids
    assert len(ids) == 10
    of_mia = [record["order_id"] for _, record in records if record["customer_id"] == "mia@example.com"]
    assert of_mia == ["#1001", "#1006", "#1006", "#1009"]


def test_repeating_is_warned_of_and_sends_the_same_ids(
    prefix: str, kafka: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEGMENTER_MONEY__BASE_CURRENCY", "EUR")
    main(["produce", str(SHOPIFY)])
    assert "holds" not in capsys.readouterr().err
    main(["produce", str(SHOPIFY)])
    warned = capsys.readouterr().err
    assert f"{prefix}purchases holds shopify/order_completed/#1001 of mia@example.com already (partition" in warned
    values = [value for _, _, value in read(kafka, f"{prefix}purchases")]
    assert sorted(values) == sorted(2 * [*{*values}])


def test_nothing_is_sent_of_a_file_that_cannot_be_read(
    prefix: str, kafka: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [b"no JSON" for _ in range(11)]
    lines = write_lines(tmp_path / "p.jsonl", [purchase_at(1, "2024-05-01T12:00:00Z"), *bad])
    with pytest.raises(SystemExit) as exit_:
        main(["produce", "--purchases", str(lines)])
    assert exit_.value.code == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith(f"refused 11 as malformed: {lines}, row 2: ")
    assert told[1] == "segmenter: nothing was sent; mend the files, or allow more with --max-rejected"
    assert read(kafka, f"{prefix}purchases") == []
    main(["produce", "--purchases", str(lines), "--max-rejected", "0.95"])
    assert len(read(kafka, f"{prefix}purchases")) == 1


def test_missing_topic_is_named(
    kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEGMENTER_KAFKA__BOOTSTRAP_SERVERS", kafka)
    monkeypatch.setenv("SEGMENTER_KAFKA__TOPIC_PREFIX", topic_prefix)
    path = write_lines(tmp_path / "one.jsonl", [purchase_at(1, "2024-05-01T12:00:00Z")])
    assert f"topic {topic_prefix}purchases is missing" in refused(capsys, "produce", "--purchases", str(path))
