"""The servers that other tests rely on do what those tests ask of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.support.kafka import KafkaBroker
from tests.support.processes import ServerProcess, is_running, wait_for
from tests.support.servers import RedisServer

PATIENCE_SECONDS = 300
"""Only ever waited for in full by a test that fails."""


def write(broker: KafkaBroker, count: int) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
    for number in range(count):
        producer.produce("numbers", str(number))
    assert producer.flush(PATIENCE_SECONDS) == 0


def records(broker: KafkaBroker) -> int:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "counting", "log_level": 0})
    _, end = consumer.get_watermark_offsets(TopicPartition("numbers", 0), timeout=PATIENCE_SECONDS)
    consumer.close()
    return end


def test_broker_can_be_killed_stopped_and_frozen_and_keeps_its_data(tmp_path: Path) -> None:
    with KafkaBroker(tmp_path / "kafka") as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
        admin.create_topics([NewTopic("numbers", 1, 1)])["numbers"].result(PATIENCE_SECONDS)
        write(broker, 10)
        broker.kill()
        assert not broker.is_running
        broker.restart()
        write(broker, 10)
        broker.restart()
        broker.pause()
        with pytest.raises(KafkaException):
            admin.list_topics(timeout=1)
        broker.resume()
        assert records(broker) == 20
    assert not broker.is_running
    assert not (tmp_path / "kafka" / "data").exists()


def test_redis_comes_up_and_ends(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as redis:
        pid = redis.process.pid
        assert is_running(pid)
    assert not is_running(pid)


def test_server_does_not_outlive_its_owner(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    server = ServerProcess(["sleep", "600"], tmp_path / "log", owner.pid)
    server.start()
    owner.kill()
    owner.communicate()
    assert server.wait(PATIENCE_SECONDS) == -signal.SIGKILL


def test_process_that_has_ended_is_not_running_though_nobody_waited_for_it() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    wait_for(lambda: not is_running(process.pid), PATIENCE_SECONDS, "the end of a process")
    process.wait()
    assert is_running(os.getpid())
