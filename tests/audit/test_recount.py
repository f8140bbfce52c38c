from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.audit.recount import Entry, Outcome, Totals, compare, is_misdated, recount
from stream_app.core.clock import DAY_MS
from stream_app.core.events import ENGAGEMENT, Event
from tests.reference.row import Row
from tests.support.events import edit, engagement, histories, instant, purchase, refund
from tests.support.totals import fold


def entries_of(events: Sequence[Event]) -> list[Entry]:
    """Return entries that arrived in this order."""
    return [Entry(int(event.kind == ENGAGEMENT), at, at, at, event) for at, event in enumerate(events)]


def totals_of(row: Row) -> Totals:
    return Totals(*(getattr(row, name) for name in Totals._fields[:-1]))


def judged(arrived: Sequence[Event], folded: Sequence[Event]) -> Outcome:
    """Compare a row that folded some events in some order with the records that arrived, topic by topic."""
    ordered = sorted(entries_of(arrived), key=lambda entry: entry.stream)
    return compare(ordered, totals_of(fold(folded)))


@given(histories(max_size=60, order_count=40, days=180))
def test_recount_equals_the_fold_beyond_what_the_ledger_remembers(events: list[Event]) -> None:
    assert recount(entries_of(events)).differences(totals_of(fold(events))) == []


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])
@given(histories(max_size=60, days=900))
def test_recount_equals_the_fold_in_days_of_any_zone(zone: str, events: list[Event]) -> None:
    entries = [entry._replace(timezone=zone) for entry in entries_of(events)]
    assert recount(entries).differences(totals_of(fold(events, timezone=zone))) == []


def test_days_that_an_order_made_the_row_forget_are_left_open() -> None:
    events = [engagement(0), purchase(30, order_id="a"), purchase(400, order_id="b"), purchase(20, order_id="b")]
    found = recount(entries_of(events))
    assert found.totals.gaps is None
    assert found.differences(totals_of(fold(events))) == []
    assert recount(entries_of(events[:3])).totals.gaps == 0
    near = [engagement(0), purchase(30, order_id="a"), purchase(300, order_id="b"), purchase(20, order_id="b")]
    assert recount(entries_of(near)).totals.gaps == 2


def test_day_that_an_order_leaves_is_left_open_if_an_engagement_of_it_is_long_past() -> None:
    events = [engagement(1, event_id="a"), purchase(1, order_id="o"), engagement(190, event_id="b")]
    found = recount(entries_of([*events, purchase(0, order_id="o")]))
    assert found.totals.gaps is None
    near = [*events[:2], engagement(170, event_id="b"), purchase(0, order_id="o")]
    assert recount(entries_of(near)).differences(totals_of(fold(near))) == []
    assert recount(entries_of(near)).totals.gaps == 2


def test_recount_in_days_of_another_zone_differs() -> None:
    evening, night = engagement(0.9, event_id="a"), engagement(1.1, event_id="b")
    entries = [entry._replace(timezone="America/New_York") for entry in entries_of([evening, night])]
    assert recount(entries).differences(totals_of(fold([evening, night]))) == ["gaps 1, recounted 0"]


@given(histories(max_size=20, days=180), st.data())
def test_records_delivered_again_are_recounted_as_they_were_folded(events: list[Event], data: st.DataObject) -> None:
    repeated = data.draw(st.lists(st.sampled_from(events), max_size=8)) if events else []
    arrived = data.draw(st.permutations([*events, *repeated]))
    outcome = judged(arrived, arrived)
    assert outcome.differences == []
    assert outcome.duplicates >= sum(event.kind != ENGAGEMENT for event in repeated)


@given(st.data())
def test_whatever_the_order_between_topics_the_row_is_accepted(data: st.DataObject) -> None:
    bought = [purchase(day, event_id=f"p{day}") for day in range(30)]
    seen = [engagement(day, event_id=f"v{day}") for day in range(30)]
    for stream in (bought, seen):
        stream.insert(data.draw(st.integers(1, 30)), stream[0])
    arrived = [*bought, *seen]
    turns = data.draw(st.permutations([0] * len(bought) + [1] * len(seen)))
    queues = iter(bought), iter(seen)
    assert judged(arrived, [next(queues[turn]) for turn in turns]).differences == []


def test_order_told_again_is_one_however_late() -> None:
    events = [purchase(day, order_id=f"o{day}") for day in range(200)]
    again = [purchase(day, 1, order_id=f"o{day}", event_id=f"again {day}") for day in (0, 100, 190)]
    outcome = judged([*events, *again], [*events, *again])
    assert outcome == Outcome([], 3)
    assert recount(entries_of([*events, *again])).totals.revenue_minor == 200 * 5_000
    assert judged([*events, *again], [*events, edit(201, 1, "o199")]).differences


def test_engagement_delivered_again_after_a_week_is_expected_to_be_folded_again() -> None:
    events = [engagement(day / 4, event_id=f"v{day}") for day in range(50)]
    assert judged([*events, events[0]], [*events, events[0]]) == Outcome([], 0)
    assert judged([*events, events[30]], events) == Outcome([], 1)
    assert judged([*events, events[0]], events).differences, "a week is over"


def test_return_of_an_unknown_order_is_expected_to_take_its_money_away() -> None:
    events = [purchase(0), refund(1, 700, "unknown")]
    assert judged(events, events) == Outcome([], 0)
    assert judged(events, [purchase(0)]).differences


@given(histories(max_size=25, days=180, order_count=4))
def test_recount_equals_the_fold_of_orders_that_are_edited_and_cancelled(events: list[Event]) -> None:
    assert recount(entries_of(events)).differences(totals_of(fold(events))) == []


def test_event_lost_differs_in_each_total_that_it_belongs_to() -> None:
    events = [purchase(0), purchase(1), engagement(2)]
    assert judged(events, events[:2]).differences[0] == "engagements 0, recounted 1"
    assert judged(events, events[1:])[0][0] == "purchases 1, recounted 2"
    differences = judged(events, [purchase(0), purchase(1, 5_001), engagement(2)]).differences
    names = [difference.split()[0] for difference in differences]
    assert names == ["revenue_minor", "revenue_decayed", "log_order_values"]


def test_event_of_another_day_differs_in_the_gaps() -> None:
    differences = judged([engagement(0), engagement(2), engagement(9)], [engagement(0), engagement(1), engagement(9)])
    assert [difference.split()[0] for difference in differences.differences] == ["log_gaps", "log_gaps_squared"]


def test_row_of_an_earlier_version_is_compared_by_what_it_holds_at_its_half_life() -> None:
    events = [purchase(0, 1_000), purchase(90, 1_000), engagement(95)]
    row = totals_of(fold(events))._replace(
        first_purchased_at_ms=None, gaps=None, log_order_values=None, log_gaps=None, log_gaps_squared=None,
        orders_decayed=1.5, revenue_decayed=1_500.0, order_half_life_days=90,
    )  # fmt: skip
    assert compare(entries_of(events), row).differences == []
    assert compare(entries_of(events), row._replace(orders_decayed=1.6)).differences


def test_refund_of_a_forgotten_order_leaves_its_purchase() -> None:
    events: list[Event] = [purchase(day, order_id=f"o{day}") for day in range(17)]
    events.append(refund(20, 5_000, "o0"))
    events.append(refund(21, 5_000, "o16"))
    expected = recount(entries_of(events)).totals
    assert (expected.purchases, expected.refunds, expected.revenue_minor) == (16, 2, 15 * 5_000)
    assert judged(events, events).differences == []


def test_refund_before_its_purchase_is_as_one_after_it() -> None:
    early, late = refund(0, 5_000, "o"), purchase(1, order_id="o")
    assert judged([early, late], [early, late]).differences == []
    assert recount(entries_of([early, late])).totals.first_at_ms == instant(1)


@pytest.mark.parametrize("written_ms", [-60_000, 0, 60_000])
def test_record_that_leads_others_is_misdated_whichever_was_written_first(written_ms: int) -> None:
    ahead = Entry(1, 5, instant(10), 10**12, engagement(30))
    other = Entry(0, 3, instant(9), 10**12 + written_ms, purchase(9))
    assert is_misdated([ahead, other])
    assert not is_misdated([ahead._replace(gap_ms=40 * DAY_MS), other])


def test_record_that_leads_what_was_folded_before_is_not_misdated() -> None:
    ahead = Entry(1, 5, instant(10), 10**12, engagement(30))
    before = Entry(0, 3, instant(9), 10**12 - 30 * DAY_MS, purchase(9))
    earlier, later = Entry(1, 4, instant(9), 10**12, engagement(9)), Entry(1, 6, instant(10), 10**12, engagement(9))
    assert not is_misdated([ahead, before])
    assert not is_misdated([ahead, earlier])
    assert is_misdated([ahead, later])
