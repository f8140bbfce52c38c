"""Erasures on a real broker and a real Redis: under load, with a kill -9 in the middle, down to the last segment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import redis
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from stream_app.core.clock import DAY_MS
from tests.integration.test_worker import BACKTEST, Deploy, Deployment, Input, deploy
from tests.support.processes import ServerProcess, free_port, wait_for
from tests.support.replays import ROOT
from tests.support.servers import RedisServer

__all__ = ["deploy"]
CUSTOMERS = [f"person-{number:03}" for number in range(120)]
GONE = CUSTOMERS[::10]
PATIENCE_SECONDS = 300
FORCED = {
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.0",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "1",
    "delete.retention.ms": "0",
}


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with RedisServer(tmp_path) as server:
        yield server.port


def purchases(first: int, last: int, begin_ms: int) -> list[Input]:
    return [
        Input(
            "purchases",
            customer_id.encode(),
            json.dumps(
                {
                    "event_id": f"e{number}-{customer_id[-3:]}",
                    "order_id": f"o{number}-{customer_id[-3:]}",
                    "customer_id": customer_id,
                    "occurred_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime((begin_ms + number * DAY_MS) / 1e3)),
                    "total": "20.00",
                    "currency": "EUR",
                }
            ).encode(),
        )
        for number in range(first, last)
        for customer_id in CUSTOMERS
    ]


def segmenter(deployment: Deployment, port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the deployment's settings."""
    environment = dict(each.split("=", 1) for each in deployment._environment)
    environment["SEGMENTER_REDIS__URL"] = f"redis://127.0.0.1:{port}/0"
    command = [sys.executable, "-m", "stream_app", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False)


def begin_view(deployment: Deployment, port: int, folder: Path) -> ServerProcess:
    environment = [
        *deployment._environment,
        f"SEGMENTER_REDIS__URL=redis://127.0.0.1:{port}/0",
        f"SEGMENTER_VIEW__HEALTH_PORT={free_port()}",
    ]
    view = ServerProcess(["env", "-C", ROOT, *environment, sys.executable, "-m", "stream_app", "view"], folder / "view")
    view.start()
    return view


def force_compaction(deployment: Deployment, topics: Sequence[str]) -> None:
    """Have brokers compact everything: short segments, no lag, and further records that close the newest segment."""
    servers = {"bootstrap.servers": deployment.settings.kafka.bootstrap_servers}
    resources = [
        ConfigResource(
            ResourceType.TOPIC,
            topic,
            incremental_configs=[
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in FORCED.items()
            ],
        )
        for topic in topics
    ]
    admin = AdminClient(servers)
    for future in admin.incremental_alter_configs(resources).values():
        future.result(PATIENCE_SECONDS)
    time.sleep(0.2)
    producer = Producer(servers)
    for _ in range(2):
        for topic in topics:
            for number in range(deployment.partitions):
                producer.produce(topic, b"{}" if topic == deployment.topics.receipts else None, b"\xffnone", number)
        producer.flush(PATIENCE_SECONDS)
        time.sleep(0.2)


def test_erased_under_load_and_a_kill_no_trace_is_left_but_what_age_removes(
    deploy: Deploy, port: int, tmp_path: Path
) -> None:
    deployment: Deployment = deploy(worker=BACKTEST, kafka={"partitions": 2})
    begin_ms = (int(time.time()) // 86_400 - 30) * DAY_MS
    view = begin_view(deployment, port, tmp_path)
    client = redis.Redis(port=port)
    try:
        deployment.start_worker()
        deployment.produce(purchases(0, 4, begin_ms))
        deployment.wait_until_drained()
        wait_for(lambda: any(GONE[0].encode() in name for name in client.scan_iter()), PATIENCE_SECONDS, "a view")
        listed = tmp_path / "ids"
        listed.write_text("\n".join(GONE[1:]) + "\n", "utf-8")
        deployment.produce(purchases(4, 8, begin_ms))
        asked = segmenter(deployment, port, "privacy", "erase", GONE[0], "--ids", str(listed), "--jurisdiction", "DE")
        assert asked.returncode == 0, asked.stderr
        deployment.workers.pop().kill()
        deployment.produce(purchases(8, 12, begin_ms))
        deployment.start_worker()
        deployment.wait_until_drained()
        late = [each for each in purchases(12, 14, begin_ms) if each.key.decode() in GONE]
        deployment.produce(late)
        deployment.wait_until_drained()
        assert set(deployment_customers(deployment)) == set(CUSTOMERS) - set(GONE)
        done = json.loads(segmenter(deployment, port, "privacy", "status", "--json").stdout)
        assert (len(done["requests"]), done["waiting"]) == (len(GONE), [])
        wait_for(lambda: not redis_traces(client), PATIENCE_SECONDS, "a view without the customers")
        for worker in deployment.workers:
            assert worker.stop(PATIENCE_SECONDS) == 0, worker.log_tail()
        verified = segmenter(deployment, port, "verify", "--drained")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        topics = deployment.topics
        compacted = [topics.changelog, topics.memberships, topics.receipts]
        force_compaction(deployment, compacted)
        audit = ["privacy", "audit", *GONE, "--retained-ok"]
        tried = time.monotonic()
        while (audited := segmenter(deployment, port, *audit)).returncode:
            assert time.monotonic() - tried < PATIENCE_SECONDS, audited.stdout
            force_compaction(deployment, compacted)  # tombstones themselves go with the compaction after the next one
        found = segmenter(deployment, port, *audit).stdout
        assert f"{topics.inputs[0]}: " in found
        assert found.endswith("no trace but in input topics\n")
        others = segmenter(deployment, port, "privacy", "audit", CUSTOMERS[1], "--retained-ok")
        assert others.returncode == 1, others.stdout
        assert topics.changelog in others.stdout
        held = json.loads(segmenter(deployment, port, "privacy", "export", CUSTOMERS[1]).stdout)
        assert held["profile"]["purchases"] == 12
        assert held["memberships"][0]["explanation"]["sentence"]
    finally:
        client.close()
        view.discard()


def deployment_customers(deployment: Deployment) -> list[str]:
    newest = {message.key(): message.value() for message in deployment.read(deployment.topics.changelog)}
    return [key.decode() for key, value in newest.items() if key and key[:1] != b"\xff" and value is not None]


def redis_traces(client: redis.Redis) -> list[bytes]:
    """Return what names or contents of keys still have of those who were erased; of the feed, its live entries."""
    found: list[bytes] = []
    has: Callable[[bytes], bool] = lambda text: any(each.encode() in text for each in GONE)  # noqa: E731
    for name in client.scan_iter():
        if client.type(name) == b"stream":
            found += [name for _, fields in client.xrange(name) if any(map(has, fields.values()))]
        elif has(name) or has(client.dump(name) or b""):
            found.append(name)
    return found
