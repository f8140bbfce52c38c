"""One broker for a whole test run, whichever of the run's processes needs it first."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.support.kafka import KafkaBroker
from tests.support.kafka_source import file_lock
from tests.support.processes import ServerFailed, ServerUnavailable, end_process, wait_for
from tests.support.programs import ProgramMissing

NAMED_BROKER_VARIABLE: Final = "SEGMENTER_TEST_KAFKA"
PATIENCE_SECONDS: Final = 300
"""Only ever waited for in full when a broker does not answer."""

_kept: list[KafkaBroker] = []
"""The starter must hold on to what it started: a forgotten process is a warning, and so an error."""


@dataclass(frozen=True)
class TestRun:
    """What the processes of one test run have in common.

    Parameters
    ----------
    folder
        For the servers they share.
    controller_pid
        The process that ends last, and the shared servers with it.
    named_broker
        Bootstrap servers of a broker to use instead of an own one.
    """

    __test__ = False

    folder: str
    controller_pid: int
    named_broker: str | None

    @classmethod
    def begin(cls) -> TestRun:
        """Take the broker's name out of the environment, where the commands under test would refuse it."""
        named_broker = os.environ.pop(NAMED_BROKER_VARIABLE, None) or None
        return cls(tempfile.mkdtemp(prefix="segmenter-tests-"), os.getpid(), named_broker)

    def as_input(self) -> dict[str, str | int | None]:
        """Return what a process of the same run is told to rebuild this."""
        return asdict(self)

    def end(self) -> None:
        """End what the run's processes started."""
        for broker in _kept:
            broker.discard()
        if not _kept and self._reference.exists():  # a process that is gone started it
            started = json.loads(self._reference.read_text("utf-8"))
            if started.get("pid"):
                end_process(started["pid"])
            if started.get("container"):
                subprocess.run(["docker", "rm", "--force", "--volumes", started["container"]], check=False)
        _kept.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kafka(self) -> str:
        """Return the bootstrap servers of the run's broker; the first to ask starts it.

        Raises
        ------
        ProgramMissing, ServerUnavailable, ServerFailed
            If there is none to be had.
        """
        if self.named_broker is not None:
            _check_named_broker(self.named_broker)
            return self.named_broker
        with file_lock(Path(self.folder, "kafka.lock")):
            if not self._reference.exists():
                self._reference.write_text(json.dumps(self._start()), "utf-8")
        started = json.loads(self._reference.read_text("utf-8"))
        if "missing" in started:
            raise ProgramMissing(started["missing"])
        if "failure" in started:
            raise ServerUnavailable(started["failure"])
        return str(started["bootstrap_servers"])

    @property
    def _reference(self) -> Path:
        return Path(self.folder, "kafka.json")

    def _start(self) -> dict[str, str | int | None]:
        try:
            broker = KafkaBroker(Path(self.folder, "kafka"), owner_pid=self.controller_pid)
            _kept.append(broker)
            broker.start()
        except ProgramMissing as error:
            return {"missing": str(error)}
        except (ServerUnavailable, ServerFailed) as error:  # which no other process need try again
            return {"failure": str(error)}
        return {"bootstrap_servers": broker.bootstrap_servers, "pid": broker.pid, "container": broker.container}


def _check_named_broker(bootstrap_servers: str) -> None:
    try:
        AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0}).list_topics(timeout=PATIENCE_SECONDS)
    except KafkaException as error:
        raise ServerUnavailable(f"{NAMED_BROKER_VARIABLE}={bootstrap_servers}: no broker answers there") from error


def delete_topics(bootstrap_servers: str, prefix: str) -> None:
    """Delete every topic whose name begins with `prefix`, and return when the broker no longer tells of them."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})

    def find() -> list[str]:
        return [name for name in admin.list_topics(timeout=PATIENCE_SECONDS).topics if name.startswith(prefix)]

    names = find()
    if names:
        for deleted in admin.delete_topics(names, operation_timeout=PATIENCE_SECONDS).values():
            deleted.result(PATIENCE_SECONDS)
        wait_for(lambda: not find(), PATIENCE_SECONDS, "the end of deleted topics")
