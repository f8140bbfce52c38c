"""What a service writes to its log, and how often: one policy for our own lines and those of the libraries."""

from __future__ import annotations

import logging
import sys
from typing import Final

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"
LIBRARIES: Final = ("aiokafka", "faust", "mode", "uvicorn", "stream_app.adapters.faust_bridge")
"""Their warnings are of use; what they say of their own starts and stops is in our words already. A service of Faust
writes under the name of the module that defines it, and the bridge is one."""
WARNING_SECONDS: Final = 10.0
"""Between two messages of a library that differ in their values at most: in an outage they write hundreds a second."""


class Throttle(logging.Filter):
    """Lets a library's message through once in a while.

    Parameters
    ----------
    interval_seconds
        Between two messages of the same kind.
    """

    def __init__(self, interval_seconds: float = WARNING_SECONDS) -> None:
        super().__init__()
        self._interval_seconds = interval_seconds
        self._next: dict[tuple[str, object], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write the message."""
        if not record.name.startswith(LIBRARIES):
            return True
        kind = record.name, record.msg
        if record.created < self._next.get(kind, 0.0):
            return False
        self._next[kind] = record.created + self._interval_seconds
        return True


class Interval:
    """Rations a line of the log.

    Parameters
    ----------
    seconds
        Between two such lines.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0

    def is_over(self, now: float) -> bool:
        """Return whether the line may be written; a new interval begins then.

        Parameters
        ----------
        now
            Seconds on a clock that never goes back.
        """
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


def log_to_stderr() -> None:
    """Have a service's log written to standard error: our own lines from `INFO` up, warnings of the libraries."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=FORMAT)
    logging.getLogger().handlers[0].addFilter(Throttle())
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)  # below, aiokafka spends 10-15 % of the time on a log line


def silence_kafka() -> None:
    """Keep aiokafka quiet in a command that ends: its last line says the same, once."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
