"""Worker processes, and the supervisor that a deployment would have."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from stream_app.exits import ExitCode
from tests.support.log_lines import last_words
from tests.support.processes import ServerProcess, free_port, wait_for

ROOT: Final = Path(__file__).parents[2]
RESTART_SECONDS: Final = 0.5
READY_PATIENCE_SECONDS: Final = 90
READY_POLLS: Final = 5
COMMAND: Final = (sys.executable, "-m", "stream_app", "worker")
GOOD_EXITS: Final = {0, ExitCode.DOUBT, -signal.SIGKILL}


class Worker:
    """One worker's place: a process at a time, with a name, a port and a log that stay.

    Parameters
    ----------
    number
        Of the worker, from 0.
    folder
        It is started in here, and writes its log here.
    environment
        Settings.
    is_static
        Whether it has an instance id.
    command
        What is started.
    """

    def __init__(
        self,
        number: int,
        folder: Path,
        environment: Mapping[str, str],
        is_static: bool,
        command: Sequence[str | Path] = COMMAND,
    ) -> None:
        self.name = f"worker-{number}"
        self.log = folder / f"{self.name}.log"
        self.exits: list[int] = []
        self.is_wanted = False
        self._port = free_port()
        self._environment = {
            **environment,
            "SEGMENTER_WORKER__HEALTH_PORT": str(self._port),
            **({"SEGMENTER_KAFKA__INSTANCE_ID": self.name} if is_static else {}),
        }
        assignments = [f"{name}={value}" for name, value in self._environment.items()]
        self._process = ServerProcess(["env", "-C", folder, *assignments, *command], self.log)
        self._ended_at: float | None = 0.0  # never started
        self._starting = threading.RLock()

    @property
    def is_running(self) -> bool:
        return self._process.is_running

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, and how is noted."""
        return not self.is_running and self._ended_at is not None

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        with self._starting:  # the supervisor looks on from a thread of its own
            self.is_wanted = True
            self._process.start()
            self._ended_at = None

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal; the supervisor restarts what ends of it."""
        self._process.signal(signum)

    def retire(self) -> None:
        """Stop for good, gracefully."""
        self.is_wanted = False
        self.signal(signal.SIGTERM)

    def supervise(self) -> None:
        """Note an end, and start again a moment later."""
        with self._starting:
            self._supervise()

    def _supervise(self) -> None:
        if self.is_running or (not self.is_wanted and self._ended_at is not None):
            return
        if self._ended_at is None:
            self.exits.append(self._process.wait(1))
            self._ended_at = time.monotonic()
        elif time.monotonic() - self._ended_at >= RESTART_SECONDS:
            self.start()

    def readiness(self) -> dict[str, Any]:
        """Return what `/ready` says; an empty object where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/ready", timeout=2) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            with error, suppress(ValueError):
                return dict(json.load(error))
        except (OSError, ValueError):
            pass
        return {}

    def partitions(self) -> list[int]:
        """Return the partitions that it owns."""
        return list(self.readiness().get("partitions", []))

    def is_ready(self) -> bool:
        return bool(self.readiness().get("ready"))

    def fatal_reasons(self) -> list[str]:
        """Return why its processes ended themselves."""
        return last_words(self.log.read_text("utf-8", "replace")) if self.log.exists() else []

    def discard(self) -> None:
        self.is_wanted = False
        self._process.discard()


class Fleet:
    """Workers that are restarted when they end; all of them end with it.

    Parameters
    ----------
    folder, environment, is_static
        As for `Worker`.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], is_static: bool) -> None:
        self.workers: list[Worker] = []
        self._folder = folder
        self._environment = {
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            **environment,
        }
        self._is_static = is_static
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._supervise, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        for worker in self.workers:
            worker.discard()

    def add(self, command: Sequence[str | Path] = COMMAND) -> Worker:
        """Start one more worker."""
        worker = self.place(command)
        worker.start()
        return worker

    def place(self, command: Sequence[str | Path] = COMMAND) -> Worker:
        """Return one more worker, to be started."""
        worker = Worker(len(self.workers), self._folder, self._environment, self._is_static, command)
        self.workers.append(worker)
        return worker

    def active(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.is_wanted]

    def wait_until_ready(self, patience_seconds: float = READY_PATIENCE_SECONDS) -> None:
        """Return once all workers have been ready at five polls in a row and own all partitions between them."""
        polls = 0

        def is_settled() -> bool:
            nonlocal polls
            answers = [worker.readiness() for worker in self.active()]
            polls = polls + 1 if all(answer.get("ready") for answer in answers) else 0
            if polls < READY_POLLS:
                time.sleep(0.15)
            return polls >= READY_POLLS

        wait_for(is_settled, patience_seconds, f"{len(self.active())} workers to be ready {READY_POLLS} times in a row")

    def stop(self) -> None:
        """Let all workers stop gracefully, and wait for it."""
        for worker in self.active():
            worker.retire()
        wait_for(lambda: all(worker.has_ended for worker in self.workers), 15, "workers to stop")

    def bad_exits(self) -> list[str]:
        """Return the exits that no worker should ever make."""
        return [f"{w.name} exited with {code}" for w in self.workers for code in w.exits if code not in GOOD_EXITS]

    def _supervise(self) -> None:
        while not self._is_over.wait(0.05):
            for worker in list(self.workers):
                worker.supervise()


def clean_environment() -> None:
    """Remove settings that workers would inherit."""
    for name in [name for name in os.environ if name.upper().startswith("SEGMENTER_")]:
        del os.environ[name]
