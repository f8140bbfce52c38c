"""The product's own long-running commands, as plain processes."""

from __future__ import annotations

import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.processes import ServerProcess

ROOT: Final = Path(__file__).parents[2]


class Service:
    """`segmenter …` in a process of its own; as a context manager it is started, and ended whatever happens.

    Parameters
    ----------
    folder
        It is started in here, and writes its log here.
    name
        Of the log.
    arguments
        Of the command.
    environment
        Settings.
    """

    def __init__(self, folder: Path, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._log = folder / f"{name}.log"
        assignments = [f"{key}={value}" for key, value in environment.items()]
        command = ["env", "-C", folder, f"PYTHONPATH={ROOT}", *assignments, sys.executable, "-m", "stream_app"]
        self._process = ServerProcess([*command, *arguments], self._log)

    @property
    def is_running(self) -> bool:
        return self._process.is_running

    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def stop(self) -> int:
        """End it by SIGTERM; return its exit status."""
        return self._process.stop()

    def signal(self, number: signal.Signals) -> None:
        self._process.signal(number)

    def wait(self, patience_seconds: float) -> int:
        """Wait until it has ended by itself; return its exit status."""
        return self._process.wait(patience_seconds)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.discard()


def fetch(url: str) -> tuple[int, str]:
    """Return status and body; status 0 where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error, suppress(OSError):
            return error.code, error.read().decode()
        return error.code, ""
    except OSError:
        return 0, ""
