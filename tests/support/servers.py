"""Small servers for tests, beside Kafka."""

from __future__ import annotations

import json
import socket
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.support.processes import ServerFailed, ServerProcess, free_port, wait_for
from tests.support.programs import find_program

START_SECONDS: Final = 300
"""Only ever waited for in full when the server does not come up."""


class RedisServer:
    """A Redis on a port that it keeps; as a context manager it is started and ended.

    Parameters
    ----------
    folder
        For its log; it is made.
    is_persistent
        Whether it keeps what it holds in a file, and has it again after a restart.

    Raises
    ------
    ProgramMissing
        If `redis-server` is not installed.
    """

    def __init__(self, folder: Path, *, is_persistent: bool = False) -> None:
        program = find_program("redis-server")
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        address = ["--bind", "127.0.0.1", "--port", str(self.port)]
        files = ["--save", "", "--appendonly", "yes" if is_persistent else "no", "--dir", folder]
        self.process = ServerProcess([program, *address, *files], folder / "redis.log")

    def start(self) -> None:
        """Start the server, empty unless it is persistent, and return once it answers."""
        self.process.start()
        try:
            wait_for(lambda: not self.process.is_running or self._answers(), START_SECONDS, "Redis")
        except TimeoutError as error:
            raise ServerFailed(f"{error}; its log ends:\n{self.process.log_tail()}") from error
        if not self.process.is_running:
            raise ServerFailed(f"Redis ended by itself; its log ends:\n{self.process.log_tail()}")

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        return False

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.process.discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.discard()


class PrometheusServer:
    """A Prometheus that scrapes once a second, judges by rules, and keeps what it knows in a folder.

    Parameters
    ----------
    folder
        For its configuration, its data and its log; it is made.
    jobs
        Address to scrape, or several, by name of the job.
    rules
        File of rules.
    deployments
        Label `deployment` by address, of those that have one.

    Raises
    ------
    ProgramMissing
        If `prometheus` is not installed.
    """

    def __init__(
        self,
        folder: Path,
        jobs: Mapping[str, str | Sequence[str]],
        rules: Path,
        deployments: Mapping[str, str] | None = None,
    ) -> None:
        program = find_program("prometheus")

        def addresses(found: str | Sequence[str]) -> Sequence[str]:
            return [found] if isinstance(found, str) else found

        def target(address: str) -> dict[str, Any]:
            labels = {"deployment": deployments[address]} if deployments and address in deployments else {}
            return {"targets": [address], "labels": labels}

        folder.mkdir(parents=True, exist_ok=True)
        self.url = f"http://127.0.0.1:{free_port()}"
        settings = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [
                {"job_name": job, "static_configs": [target(each) for each in addresses(found)]}
                for job, found in jobs.items()
            ],
        }
        config = folder / "prometheus.json"  # JSON is YAML
        config.write_text(json.dumps(settings), "utf-8")
        options = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", "--log.level=warn"]
        address = f"--web.listen-address={self.url.removeprefix('http://')}"
        self.process = ServerProcess([program, *options, address], folder / "prometheus.log")

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data that the HTTP API answers with."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression, as they are now."""
        return list(self.get("query", query=expression)["result"])

    def __enter__(self) -> Self:
        self.process.start()
        try:
            wait_for(lambda: not self.process.is_running or self._answers(), START_SECONDS, "Prometheus")
        except BaseException:
            self.process.discard()
            raise
        if not self.process.is_running:
            raise ServerFailed(f"Prometheus ended by itself; its log ends:\n{self.process.log_tail()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.discard()

    def _answers(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"{self.url}/-/ready", timeout=1):
            return True
        return False
