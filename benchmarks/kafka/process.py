"""A contender's process, watched from outside: for all of them alike, whatever they are made of."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SAMPLE_SECONDS = 0.01
"""Processor time is counted in hundredths of a second by the kernel."""
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
STOP_SECONDS = 15
ROOT = Path(__file__).parents[2]


class Measured:
    """A running process, its processor time and memory over time, and the marks it prints.

    A mark is a line of JSON on standard output with the fields `mark` and `at_seconds`.
    """

    def __init__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        self.started_at = time.time()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self._marks: dict[str, dict[str, Any]] = {}
        self._samples: list[tuple[float, float]] = []
        self.peak_bytes = 0
        for target in (self._read_marks, self._sample):
            threading.Thread(target=target, daemon=True).start()

    def wait_for(self, what: str, condition: Callable[[], Any], timeout_seconds: float, poll_seconds: float) -> Any:
        """Return what `condition` gives once it is true.

        Raises
        ------
        RuntimeError
            If the process ended before, or time is up.
        """
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            ended = self._process.poll()
            result = condition()
            if result:
                return result
            if ended is not None:
                raise RuntimeError(f"ended with status {ended} before it was {what}: {self._last_words()}")
            time.sleep(poll_seconds)
        raise RuntimeError(f"not {what} within {timeout_seconds:.0f} s: {self._last_words()}")

    def wait_for_mark(self, mark: str, timeout_seconds: float) -> dict[str, Any]:
        """Return what the process printed with a mark."""
        return self.wait_for(mark, lambda: self._marks.get(mark), timeout_seconds, SAMPLE_SECONDS)

    def cpu_seconds(self, start: float, end: float) -> float:
        """Return the processor seconds of all threads, user and system, between two wall-clock times."""
        times, cpu = np.array(self._samples).T
        before, after = np.interp([start, end], times, cpu)
        return float(after - before)

    @staticmethod
    def now() -> float:
        """Return the wall-clock time that all times here are in."""
        return time.time()

    def resident_bytes(self) -> int:
        """Return the memory in use now."""
        return self._status("VmRSS")

    def stop(self) -> None:
        """End it gently, or by force."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, with nothing tidied up."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read_marks(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                fields = json.loads(line)
                self._marks[fields["mark"]] = fields
            except (ValueError, TypeError, KeyError):
                continue  # other output

    def _sample(self) -> None:
        stat = Path(f"/proc/{self._process.pid}/stat")
        count = 0
        while self._process.returncode is None:
            try:
                fields = stat.read_text().rpartition(")")[2].split()
                self._samples.append((time.time(), (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND))
                if count % 10 == 0:
                    self.peak_bytes = max(self.peak_bytes, self._status("VmHWM"))
            except OSError:
                return  # it has ended
            count += 1
            time.sleep(SAMPLE_SECONDS)

    def _status(self, field: str) -> int:
        """Return a size from /proc; 0 of a process that has just ended."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
        return 0

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"
