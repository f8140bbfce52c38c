"""What a process writes to its log, how, and how often: one set-up for our own lines and those of the libraries.

All code logs by the standard library. A line is a whole sentence for people, and what is in it for machines stands
beside it as fields (`extra`): `text` shows the sentence, `json` both. structlog's formatter renders every record, so a
library's lines look like ours. A line never holds what belongs to a customer: an id, an address, an amount. So of an
exception that nobody expected, class and places are written, and not its message, which may quote a record.

Nothing is written for a record that went well. A line is made only if its level is on, so what is off costs a
comparison.
"""

from __future__ import annotations

import logging
import sys
import traceback
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

LIBRARIES: Final = ("aiokafka", "faust", "mode", "uvicorn", "stream_app.adapters.faust_bridge")
"""Their warnings are of use; what they say of their own starts and stops is in our words already. A service of Faust
writes under the name of the module that defines it, and the bridge is one."""
WARNING_SECONDS: Final = 10.0
"""Between two messages of a library that differ in their values at most: in an outage they write hundreds a second."""
OF_REQUEST: Final = ContextVar("request_id", default="")
"""The id of the request for which a task, and those that it starts, write lines; set for each one, which takes .15 µs
(measured by `timeit`; a look-up takes 35), and read for lines that are written alone."""
SETTLING: Final = "Group Coordinator Request failed"
"""Begins what aiokafka calls an error at the first start on a new cluster, where the brokers make the topic of offsets
at the first request for it; it asks again. Should it last, the process is not ready, and says why."""

_ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None]


@dataclass(frozen=True)
class LogPolicy:
    """How a process logs.

    Parameters
    ----------
    form
        `auto` is text on a terminal and JSON elsewhere.
    level
        The least that is written.
    """

    form: Literal["auto", "json", "text"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def is_json(self) -> bool:
        """Whether lines are JSON, which depends on where standard error goes."""
        return self.form == "json" or (self.form == "auto" and not sys.stderr.isatty())


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
        if str(record.msg).startswith(SETTLING):
            record.levelno, record.levelname = logging.WARNING, "WARNING"
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


def log_to_stderr(policy: LogPolicy | None = None) -> None:
    """Have the log written to standard error: our own lines from the policy's level up, warnings of the libraries."""
    policy = policy or LogPolicy()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(create_formatter(is_json=policy.is_json))
    handler.addFilter(Throttle())
    level = logging.getLevelNamesMapping()[policy.level.upper()]
    root = logging.getLogger()
    for earlier in [each for each in root.handlers if isinstance(each.formatter, ProcessorFormatter)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(True)
    for name in LIBRARIES:  # below, aiokafka spends 10-15 % of the time on a log line
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def create_formatter(*, is_json: bool) -> logging.Formatter:
    """Return what makes a line of any record."""
    added: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _add_request,
        _add_exception,
    ]
    ordered = ["time", "level", "logger", "message"]
    rendered: list[Processor] = [
        ProcessorFormatter.remove_processors_meta,
        structlog.processors.EventRenamer("message"),
        lambda _logger, _name, line: {name: line.pop(name) for name in ordered} | dict(line),
        structlog.processors.JSONRenderer(ensure_ascii=False) if is_json else _render_text,
    ]
    return ProcessorFormatter(foreign_pre_chain=added, processors=rendered)


def last_words(reason: str) -> bytes:
    """Return the line by which a process says why it ends at once, in the form of its log."""
    message = f"FATAL {reason}"
    record = logging.LogRecord(__name__, logging.CRITICAL, "", 0, message, (), None)
    formatters = [each.formatter for each in logging.getLogger().handlers]
    lines = [each.format(record) for each in formatters if isinstance(each, ProcessorFormatter) and _is_json(each)]
    return "".join(f"{line}\n" for line in lines or [message]).encode()


def silence_kafka() -> None:
    """Keep aiokafka quiet in a command that ends: its last line says the same, once."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def _is_json(formatter: ProcessorFormatter) -> bool:
    return isinstance(formatter.processors[-1], structlog.processors.JSONRenderer)


def _add_request(_logger: Any, _name: str, line: EventDict) -> EventDict:
    if request := OF_REQUEST.get():
        line["request_id"] = request
    return line


def _add_exception(_logger: Any, _name: str, line: EventDict) -> EventDict:
    """Say of an exception where it was raised, without its message."""
    info: _ExceptionInfo | None = line.pop("exc_info", None)
    if info and info[0] is not None:
        places = "".join(traceback.format_tb(info[2]))
        line["exception"] = f"Traceback (most recent call last):\n{places}{info[0].__module__}.{info[0].__qualname__}"
    return line


def _render_text(_logger: Any, _name: str, line: EventDict) -> str:
    request = f" [{line['request_id']}]" if "request_id" in line else ""
    exception = f"\n{line['exception']}" if "exception" in line else ""
    return f"{line['time']} {line['level'].upper()} {line['logger']}{request} {line['message']}{exception}"
