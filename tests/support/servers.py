"""Small servers for tests, beside Kafka."""

from __future__ import annotations

import shutil
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.processes import ServerFailed, ServerProcess, ServerUnavailable, free_port, wait_for

START_SECONDS: Final = 20
"""Only ever waited for in full when the server does not come up."""


class RedisServer:
    """A Redis without a file, on a port that it keeps; as a context manager it is started and ended.

    Parameters
    ----------
    folder
        For its log; it is made.

    Raises
    ------
    ServerUnavailable
        If `redis-server` is not installed.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("redis-server") is None:
            raise ServerUnavailable("no redis-server: install Redis (on Debian: redis-server)")
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        address = ["--bind", "127.0.0.1", "--port", str(self.port)]
        self.process = ServerProcess(
            ["redis-server", *address, "--save", "", "--appendonly", "no", "--dir", folder], folder / "redis.log"
        )

    def start(self) -> None:
        """Start the server, empty, and return once it answers."""
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
