"""Real servers for tests: each in a process group of its own, on a port that stays its own, and never left behind."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

PORTS: Final = range(20_000, 32_000)
"""Below the range that Linux gives to outgoing connections (32768 and up): there, a client that calls a server which
is down may be given the server's own port, and so take it, or even connect to itself."""
POLL_SECONDS: Final = 0.05
LOG_TAIL_LINES: Final = 15
GUARD: Final = 'while kill -0 "$0" && kill -0 "$1"; do sleep 1; done 2>/dev/null; kill -9 -"$1" 2>/dev/null'


class ServerUnavailable(Exception):
    """A server that tests need cannot be had; the message is one line and says what to do."""


class ServerFailed(Exception):
    """A server was started and did not come up, or ended by itself; the message holds the end of its log."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is nobody else's until this process ends.

    It stays bound, so that no other run of tests is given it while a server is not up yet, or down for a while. Servers
    can listen there all the same: they set SO_REUSEADDR, and so does the probe, but only once it has the port.
    """
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            probe.close()
            continue
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.detach()  # its end is the process's
        return port
    raise ServerUnavailable(f"no port of 127.0.0.1 from {PORTS.start} to {PORTS.stop - 1} is free")


def is_running(pid: int) -> bool:
    """Tell whether a process is there and has not ended; one that nobody has waited for yet has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    with suppress(OSError):
        return status.read_text("utf-8", "replace").rpartition(")")[2].split()[0] not in "ZX"
    return not status.parent.parent.exists()


def end_process(pid: int, patience_seconds: float = 20) -> None:
    """End a process group that this process need not be the parent of: ask, then insist."""
    for signum in (signal.SIGCONT, signal.SIGTERM):
        with suppress(ProcessLookupError):
            os.killpg(pid, signum)
    with suppress(TimeoutError):
        wait_for(lambda: not is_running(pid), patience_seconds, "the end of a process")
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def wait_for(condition: Callable[[], bool], patience_seconds: float, what: str) -> None:
    """Return as soon as `condition` holds.

    Raises
    ------
    TimeoutError
        If it does not within `patience_seconds`; the message names `what`.
    """
    deadline = time.monotonic() + patience_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience_seconds:g} s in vain for {what}")
        time.sleep(POLL_SECONDS)


class ServerProcess:
    """A command that can be started, signalled and started again.

    Parameters
    ----------
    command
        Program and arguments.
    log
        File that its output is appended to.
    owner_pid
        When that process ends, however it ends, the server is killed. The current process if not given.
    """

    def __init__(self, command: Sequence[str | Path], log: Path, owner_pid: int | None = None) -> None:
        self._command = [str(part) for part in command]
        self._log = log
        self._owner_pid = os.getpid() if owner_pid is None else owner_pid
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The server's process, which leads a process group of the same number."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        assert not self.is_running, "already started"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD, str(self._owner_pid), str(self.pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def signal(self, signum: signal.Signals) -> None:
        if self.is_running:
            os.killpg(self.pid, signum)

    def wait(self, patience_seconds: float) -> int:
        """Wait until the server has ended and return its exit status (minus a signal's number)."""
        assert self._process is not None, "not started"
        status = self._process.wait(patience_seconds)
        if self._guard is not None:
            self._guard.kill()
            self._guard.wait()
        return status

    def stop(self, patience_seconds: float = 30) -> int:
        """End the server by SIGTERM, and by SIGKILL if that does not help; return its exit status."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            return self.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        self.signal(signal.SIGKILL)
        return self.wait(30)

    def discard(self) -> None:
        """End the server for good."""
        if self._process is not None:
            self.kill()

    def log(self) -> str:
        with suppress(OSError):
            return self._log.read_text("utf-8", "replace")
        return ""

    def log_tail(self) -> str:
        return "\n".join(self.log().splitlines()[-LOG_TAIL_LINES:])
