from __future__ import annotations

import logging

from stream_app.adapters.logs import Interval, Throttle


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
