"""The reference's folding itself: what it says of each event, and the states that it leaves on the way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.events import ENGAGEMENT, Event
from tests.reference.folding import fold_events
from tests.reference.row import ACTIVITY, Row
from tests.support.events import engagement, histories, purchase, visits
from tests.support.totals import fold, trail_for


def record(row: Row) -> bytes:
    packed = bytearray(ACTIVITY.size)
    row.pack_activity_into(packed, 0)
    return bytes(packed)


@given(histories())
def test_replayed_orders_leave_no_state(events: list[Event]) -> None:
    events = [event for event in events if event.kind != ENGAGEMENT]
    row = fold(events)
    trail = trail_for(events)
    again = fold_events(row, events, trail, 0)
    assert (again.row, again.duplicates) == (row, list(range(len(events))))
    assert (again.states, again.in_session) == ([], [False] * len(events))
    assert not any(trail)


def test_event_repeated_within_one_call_counts_once() -> None:
    events = [purchase(0), engagement(1), purchase(0), engagement(1), purchase(2)]
    folded = fold_events(Row(), events, trail_for(events), 0)
    assert (folded.duplicates, folded.states) == ([2, 3], [0, 1, 2])
    assert (folded.row.purchases, folded.row.engagements) == (2, 1)


@given(histories(max_size=12) | visits(), st.integers(0, 3))
def test_trail_holds_the_state_after_each_event_that_is_no_repetition(events: list[Event], offset: int) -> None:
    repeated = [event for pair in zip(events, events, strict=True) for event in pair]
    trail = bytearray(offset * ACTIVITY.size) + trail_for(repeated)
    folded = fold_events(Row(), repeated, trail, offset * ACTIVITY.size)
    written = [bytes(trail[start : start + ACTIVITY.size]) for start in range(0, len(trail), ACTIVITY.size)]
    taken = len(repeated) - len(folded.duplicates)
    assert not any(b"".join(written[:offset] + written[offset + taken :]))
    assert set(folded.duplicates) >= set(range(1, len(repeated), 2))
    assert folded.states == list(range(taken))
    first = [index // 2 for index in range(len(repeated)) if index not in folded.duplicates]
    states = [record(fold(events[: index + 1])) for index in first]
    assert [written[offset + state] for state in folded.states] == states


@given(histories(min_size=1))
def test_folding_leaves_the_row_it_began_with_as_it_was(events: list[Event]) -> None:
    row = fold(events[: len(events) // 2])
    copy = fold(events[: len(events) // 2])
    fold_events(row, events, trail_for(events), 0)
    assert row == copy
