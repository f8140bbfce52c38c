from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal

import pytest

from stream_app.adapters.logs import OF_REQUEST, Interval, LogPolicy, Throttle, create_formatter
from tests.support.log_lines import documents
from tests.support.replays import ROOT


def record(name: str, message: str, created: float, *args: object) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.WARNING, "", 0, message, args, None)
    made.created = created
    return made


def test_library_repeats_itself_at_most_every_ten_seconds_and_we_are_not_held_back() -> None:
    throttle = Throttle(10)
    at = [0.0, 1.0, 9.9, 10.0, 10.1]
    assert [throttle.filter(record("aiokafka.conn", "node %s is away", now, now)) for now in at] == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert throttle.filter(record("aiokafka.conn", "something else", 10.1))
    assert all(throttle.filter(record("stream_app.worker.journal", "caught up", now)) for now in at)


def test_line_is_written_once_in_its_interval() -> None:
    interval = Interval(10)
    assert [interval.is_over(now) for now in (0.5, 1, 10.4, 10.5, 11, 30)] == [True, False, False, True, False, True]


def written(form: Literal["json", "text"], level: int, message: str, *args: object, **options: Any) -> str:
    """Return the line that is made of a record."""
    made = logging.getLogger("stream_app.test").makeRecord(
        "stream_app.test", level, "", 0, message, args, options.get("exc_info"), extra=options.get("extra")
    )
    return create_formatter(is_json=form == "json").format(made)


@contextmanager
def in_request(request: str) -> Iterator[None]:
    token = OF_REQUEST.set(request)
    yield
    OF_REQUEST.reset(token)


def test_json_has_the_sentence_its_fields_and_the_request() -> None:
    with in_request("r-1"):
        line = written("json", logging.INFO, "caught up with %s", [0, 1], extra={"partitions": [0, 1], "seconds": 2.5})
    document = json.loads(line)
    assert list(document)[:4] == ["time", "level", "logger", "message"]
    assert datetime.fromisoformat(document.pop("time")).utcoffset() is not None
    assert document == {
        "level": "info",
        "logger": "stream_app.test",
        "message": "caught up with [0, 1]",
        "request_id": "r-1",
        "partitions": [0, 1],
        "seconds": 2.5,
    }


def test_text_has_the_sentence_and_the_request_alone() -> None:
    with in_request("r-1"):
        line = written("text", logging.WARNING, "Redis is away", extra={"seconds": 2.5})
    assert line.partition(" ")[2] == "WARNING stream_app.test [r-1] Redis is away"


@pytest.mark.parametrize("form", ["json", "text"])
def test_exception_is_shown_by_its_places_and_not_by_what_it_says(form: Literal["json", "text"]) -> None:
    try:
        int("c-17" + " paid")
    except ValueError:
        line = written(form, logging.ERROR, "a request failed", exc_info=sys.exc_info())
    assert "test_logs.py" in line
    assert line.rstrip('"}').endswith("builtins.ValueError")
    assert "c-17 paid" not in line


@pytest.mark.parametrize(
    ("form", "is_terminal", "is_json"),
    [("auto", True, False), ("auto", False, True), ("json", True, True), ("text", False, False)],
)
def test_log_is_text_where_somebody_watches_a_terminal(
    form: Literal["auto", "json", "text"], is_terminal: bool, is_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    assert LogPolicy(form).is_json is is_json


def test_set_up_takes_libraries_along_from_warnings_on_and_the_last_words_too() -> None:
    script = (
        "import logging, os, warnings\n"
        "from stream_app.adapters.logs import LogPolicy, last_words, log_to_stderr\n"
        "log_to_stderr(LogPolicy('json', 'debug'))\n"
        "logging.getLogger('stream_app.x').debug('ours')\n"
        "logging.getLogger('aiokafka.conn').info('told in our words')\n"
        "logging.getLogger('aiokafka.conn').error('Group Coordinator Request failed: %s', 'x')\n"
        "warnings.warn('old')\n"
        "os.write(2, last_words('a part: no more'))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    found = [(line["level"], line["message"].partition("\n")[0]) for line in documents(done.stderr)]
    assert found[:2] == [("debug", "ours"), ("warning", "Group Coordinator Request failed: x")]
    assert found[2][1].endswith("UserWarning: old")
    assert found[3:] == [("critical", "FATAL a part: no more")]
