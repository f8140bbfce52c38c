"""Privacy requests among records; what they lead to in a worker is in `tests/worker/test_privacy.py`."""

from __future__ import annotations

from stream_app.core.clock import NO_TIME
from stream_app.core.events import PRIVACY_REQUEST, Event
from stream_app.core.marks import Mark
from stream_app.core.privacy import (
    ERASE,
    EXPORT,
    SUPPRESS,
    UNSUPPRESS,
    Request,
    next_mark,
    parts_at_requests,
    request_places,
    requests_of,
    set_requests_aside,
)
from stream_app.core.records import TOMBSTONE, Content, batch_of
from tests.support.events import instant, purchase


def request(day: float, type_: str = ERASE, customer_id: str = "c1") -> Event:
    return Event(PRIVACY_REQUEST, customer_id, f"r{day:g}", instant(day), type_, kept=b"DE")


def parts(contents: list[Content]) -> list[tuple[int, list[str]]]:
    """Return how many records each part has, and its requests."""
    aside = set_requests_aside(batch_of(contents, 3, range(10, 10 + len(contents)), 0))
    return [
        (len(part.records), [asked.request_id for asked in requests_of(part.requests)])
        for part in parts_at_requests(aside)
    ]


def test_request_is_no_event_and_moves_no_clock() -> None:
    batch = set_requests_aside(batch_of([purchase(0), request(5), TOMBSTONE], 3, [10, 11, 12], 0))
    assert batch.is_event.tolist() == [True, False, False]
    assert batch.records["at_ms"][1] == NO_TIME
    assert request_places(batch) == [1]
    assert requests_of(batch) == [Request("r5", ERASE, "c1", instant(5), "DE", 3, 11)]


def test_records_without_requests_are_the_same() -> None:
    batch = batch_of([purchase(0), TOMBSTONE], 0, [0, 1], 0)
    assert set_requests_aside(batch) is batch
    assert request_places(batch) == []
    assert request_places(batch.part(0, 1)) == []


def test_records_are_cut_behind_the_instant_of_a_request() -> None:
    assert parts([purchase(0), request(0), purchase(0, customer_id="c2"), purchase(1)]) == [(2, ["r0"]), (1, [])]
    assert parts([request(0), request(1), purchase(2)]) == [(0, ["r0", "r1"]), (1, [])]
    assert parts([purchase(0), purchase(1), request(1)]) == [(2, ["r1"])]
    assert parts([purchase(0), request(0), purchase(1), request(1), purchase(2)]) == [(1, ["r0"]), (1, ["r1"]), (1, [])]


def test_marks_follow_requests() -> None:
    def after(before: Mark | None, type_: str, day: float, sequences: bytes = b"") -> Mark | None:
        return next_mark(before, Request("r", type_, "c1", instant(day)), {"purchases": 7}, 1, 2, sequences)

    assert after(None, EXPORT, 1) is None
    assert after(None, UNSUPPRESS, 1) is None
    erased = after(None, ERASE, 2, b"row")
    assert erased == Mark(instant(2), {"purchases": 7}, False, instant(2), 1, 2, b"row")
    assert after(erased, UNSUPPRESS, 3) is None, "nobody kept the customer out"
    suppressed = after(erased, SUPPRESS, 1)
    assert suppressed is not None
    assert (suppressed.is_suppressed, suppressed.before_ms, suppressed.sequences) == (True, instant(2), b"row")
    assert (again := after(suppressed, ERASE, 4)) is not None
    assert again.is_suppressed, "an erasure lets nobody in"
    assert (let_in := after(again, UNSUPPRESS, 5)) is not None
    assert (let_in.is_suppressed, let_in.before_ms) == (False, instant(5))
