"""A real Kafka broker for tests, which can be killed, paused and brought back with its data."""

from __future__ import annotations

import base64
import shutil
import signal
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.support.kafka_source import MISSING, BrokerServer, Container, has_docker, has_java, kafka_jars
from tests.support.processes import (
    ServerFailed,
    ServerProcess,
    free_port,
    wait_for,
)
from tests.support.programs import ProgramMissing

START_SECONDS: Final = 300
"""Only ever waited for in full when the broker does not come up."""
PROPERTIES: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # as a single node must
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # as a careful operator has it
    "auto.create.topics.enable": "false",
    "log.message.timestamp.type": "CreateTime",
    "log.message.timestamp.after.max.ms": "3600000",  # the default from Kafka 4.0 on
    # a broker that was killed is let in again only once the controller has given up its former self, 9 s by default
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # small, for a quick start with little memory
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "num.io.threads": "4",
    "log.index.size.max.bytes": "1048576",
    "log.cleaner.dedupe.buffer.size": "8388608",  # allocated at start; 128 MiB by default
    "log.cleaner.backoff.ms": "1000",
}
JAVA_OPTIONS: Final = (
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)


class KafkaBroker:
    """One broker of Kafka 3.9.1 in KRaft mode, on a port that it keeps; as a context manager it is started and ended.

    Parameters
    ----------
    folder
        For its data and log; it is made, and the data are removed at the end.
    properties
        Of the broker, beside and above `PROPERTIES`.
    heap_mebibytes
        Of its Java machine.
    owner_pid
        When that process ends, however it ends, the broker is killed. The current process if not given.

    Raises
    ------
    ProgramMissing
        If there is neither Java with Maven nor a Docker engine.
    """

    def __init__(
        self,
        folder: Path,
        *,
        properties: Mapping[str, str] | None = None,
        heap_mebibytes: int = 512,
        owner_pid: int | None = None,
    ) -> None:
        self._folder = folder
        self._heap_mebibytes = heap_mebibytes
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.bootstrap_servers = f"127.0.0.1:{port}"
        self._properties = PROPERTIES | {"advertised.listeners": f"PLAINTEXT://{self.bootstrap_servers}"}
        self._properties |= dict(properties or {})
        if has_java():
            self._server: BrokerServer = self._local_server(port, owner_pid)
        elif has_docker():
            self._server = Container(self._properties, port, heap_mebibytes)
        else:
            raise ProgramMissing(MISSING)

    @property
    def pid(self) -> int | None:
        """The broker's process; None if it is a container."""
        return self._server.pid if isinstance(self._server, ServerProcess) else None

    @property
    def container(self) -> str | None:
        """The container's name; None if the broker is a process."""
        return self._server.name if isinstance(self._server, Container) else None

    @property
    def is_running(self) -> bool:
        return self._server.is_running

    def start(self) -> None:
        """Start the broker, on the data it has, and return once it serves every partition.

        Raises
        ------
        ServerFailed
            If it does not come up.
        """
        self._server.start()
        self.wait_until_ready()

    def stop(self) -> None:
        """End the broker by SIGTERM, so that it closes its logs; all clients are told."""
        self._server.stop()

    def kill(self) -> None:
        """End the broker by SIGKILL."""
        self._server.kill()

    def restart(self) -> None:
        """Start the broker again where it was, with its data; stop it first if it runs."""
        if self.is_running:
            self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the broker (SIGSTOP): connections stay open and nothing answers."""
        self._server.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen broker go on (SIGCONT)."""
        self._server.signal(signal.SIGCONT)

    def log_tail(self) -> str:
        return self._server.log_tail()

    def wait_until_ready(self) -> None:
        """Return once the broker answers and leads every partition.

        Raises
        ------
        ServerFailed
            If it ends, or does not within five minutes.
        """
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        try:
            wait_for(lambda: not self.is_running or _serves_all(admin), START_SECONDS, "the Kafka broker")
        except TimeoutError as error:
            raise ServerFailed(f"{error}; its log ends:\n{self.log_tail()}") from error
        if not self.is_running:
            raise ServerFailed(f"the Kafka broker ended by itself; its log ends:\n{self.log_tail()}")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def discard(self) -> None:
        """End the broker for good and remove its data; its log stays."""
        self._server.discard()
        shutil.rmtree(self._folder / "data", ignore_errors=True)

    def _local_server(self, port: int, owner_pid: int | None) -> ServerProcess:
        classpath = f"{kafka_jars()}/*"
        controller_port = free_port()
        local = {
            "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
            "log.dirs": str(self._folder / "data"),
        }
        config = self._folder / "server.properties"
        lines = [f"{name}={value}\n" for name, value in (local | self._properties).items()]
        config.write_text("".join(lines), "utf-8")
        cluster = "k" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]  # no dash first: it is an argument
        storage_tool = ["java", "-cp", classpath, "kafka.tools.StorageTool"]
        format_data = [*storage_tool, "format", "--cluster-id", cluster, "--config", config]
        formatted = subprocess.run(format_data, capture_output=True, check=False, text=True, timeout=START_SECONDS)
        if formatted.returncode:
            raise ServerFailed(f"Kafka's data folder could not be formatted: {formatted.stdout}{formatted.stderr}")
        java = ["java", f"-Xmx{self._heap_mebibytes}m", *JAVA_OPTIONS]
        return ServerProcess([*java, "-cp", classpath, "kafka.Kafka", config], self._folder / "broker.log", owner_pid)


def _serves_all(admin: AdminClient) -> bool:
    try:
        metadata = admin.list_topics(timeout=1)
    except KafkaException:
        return False
    leaders = [partition.leader for topic in metadata.topics.values() for partition in topic.partitions.values()]
    return bool(metadata.brokers) and all(leader >= 0 for leader in leaders)
