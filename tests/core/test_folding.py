from __future__ import annotations

import itertools
import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS, MINUTE_MS, NO_TIME
from stream_app.core.days import ACTIVE_DAYS, ENGAGED_DAYS, DayGaps, DecayedDays, unite_days
from stream_app.core.events import ENGAGEMENT, PURCHASE, Event
from stream_app.core.folding import fold_events, last_active_day, merge_rows
from stream_app.core.orders import ORDER, ORDER_LIMIT
from stream_app.core.quantities import Quantities, quantities_at
from stream_app.core.row import ACTIVITY, ACTIVITY_DTYPE, RECENT_EVENT_LIMIT, Row
from tests.support.events import START_MS, engagement, histories, instant, purchase, refund, visits
from tests.support.totals import (
    EXACT,
    assert_same_totals,
    day_bits,
    day_total,
    expected_row,
    fold,
    gap_sums,
    halved,
    log_value,
    remembered_ids,
    trail_for,
)

NOT_THE_LEDGER = tuple(name for name in EXACT if name != "orders")


def record(row: Row) -> bytes:
    packed = bytearray(ACTIVITY.size)
    row.pack_activity_into(packed, 0)
    return bytes(packed)


def known_at(row: Row, at_ms: int) -> Quantities:
    return quantities_at(np.frombuffer(record(row), ACTIVITY_DTYPE), at_ms)


def decayed_at(row: Row, at_ms: int) -> tuple[float, float, float, float]:
    known = known_at(row, at_ms)
    return known.orders.item(), known.revenue_minor.item(), known.repeat_orders.item(), known.engaged_days.item()


# --- order, repetition, cuts -------------------------------------------------------------------------------------


@given(histories(), st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_any_order_of_the_same_events_gives_the_same_totals(events: list[Event], random: Random) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)
    assert_same_totals(fold(shuffled), fold(events), events)
    assert remembered_ids(fold(shuffled)) == remembered_ids(fold(events))


@given(histories())
@settings(max_examples=150)
def test_totals_are_what_all_events_together_add_up_to(events: list[Event]) -> None:
    assert_same_totals(fold(events), expected_row(events), events, NOT_THE_LEDGER)


@given(histories())
def test_replayed_events_change_nothing(events: list[Event]) -> None:
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


@given(histories(max_size=40), st.integers(0, 40))
def test_two_calls_equal_one(events: list[Event], cut: int) -> None:
    assert fold(events[cut:], fold(events[:cut])) == fold(events)


@given(histories(max_size=12) | visits(), st.integers(0, 3))
def test_trail_holds_the_state_after_each_event_that_is_no_repetition(events: list[Event], offset: int) -> None:
    repeated = [event for pair in zip(events, events, strict=True) for event in pair]
    trail = bytearray(offset * ACTIVITY.size) + trail_for(repeated)
    folded = fold_events(Row(), repeated, trail, offset * ACTIVITY.size)
    written = [bytes(trail[start : start + ACTIVITY.size]) for start in range(0, len(trail), ACTIVITY.size)]
    assert not any(b"".join(written[:offset] + written[offset + len(events) :]))
    assert folded.duplicates == list(range(1, len(repeated), 2))
    assert folded.states == list(range(len(events)))
    states = [record(fold(events[: length + 1])) for length in range(len(events))]
    assert [written[offset + state] for state in folded.states] == states


@given(visits())
def test_engagement_soon_after_another_on_the_same_day_only_continues_a_session(events: list[Event]) -> None:
    engaged_ms = -(10**15)
    expected = []
    for event in events:
        pause_ms = event.at_ms - engaged_ms
        same_day = event.at_ms // DAY_MS == engaged_ms // DAY_MS
        expected.append(event.kind == ENGAGEMENT and 0 <= pause_ms < 30 * MINUTE_MS and same_day)
        if event.kind == ENGAGEMENT:
            engaged_ms = max(engaged_ms, event.at_ms)
    assert fold_events(Row(), events, trail_for(events), 0).in_session == expected


def test_session_ends_after_half_an_hour_of_pause_and_at_midnight() -> None:
    minutes = (1_380, 1_409, 1_439, 1_441, 1_470, 1_500)
    events = [engagement(minute / 1_440) for minute in minutes]
    in_session = fold_events(Row(), events, trail_for(events), 0).in_session
    assert [minute for minute, continues in zip(minutes, in_session, strict=True) if not continues] == [
        1_380,
        1_439,
        1_441,
        1_500,
    ]


@given(histories(min_size=1))
def test_folding_leaves_the_row_it_began_with_as_it_was(events: list[Event]) -> None:
    row = fold(events[: len(events) // 2])
    copy = fold(events[: len(events) // 2])
    fold(events, row)
    assert row == copy


# --- decay -------------------------------------------------------------------------------------------------------


@given(histories(min_size=1), st.floats(0, 400), st.floats(0, 400))
def test_decay_composes(events: list[Event], first_days: float, further_days: float) -> None:
    row = fold(events)
    at_ms = instant(500) + round(first_days * DAY_MS)
    later_ms = at_ms + round(further_days * DAY_MS)
    half_lives_days = (60, 60, 60, 30)
    for there, onward, half_life_days in zip(
        decayed_at(row, at_ms), decayed_at(row, later_ms), half_lives_days, strict=True
    ):
        assert onward == pytest.approx(there * halved(later_ms - at_ms, half_life_days), rel=1e-9, abs=1e-300)


def test_decayed_totals_equal_the_sum_over_events_at_a_later_instant() -> None:
    events = [purchase(0, 1_000), purchase(33.25, 2_500), purchase(80.5, 4_999), engagement(79.9), engagement(90.125)]
    at_days = 120.75
    orders, revenue_minor, repeat_orders, engaged_days = decayed_at(fold(events), instant(at_days))
    assert orders == pytest.approx(sum(2 ** (-(at_days - day) / 60) for day in (0, 33.25, 80.5)), rel=1e-12)
    assert revenue_minor == pytest.approx(
        sum(minor * 2 ** (-(at_days - day) / 60) for day, minor in ((0, 1_000), (33.25, 2_500), (80.5, 4_999))),
        rel=1e-12,
    )
    assert repeat_orders == pytest.approx(sum(2 ** (-(at_days - day) / 60) for day in (33.25, 80.5)), rel=1e-12)
    assert engaged_days == pytest.approx((1 + 2 ** (-(90 - 79) / 30)) * 2 ** (-(at_days - 90.125) / 30), rel=1e-9)


def test_late_event_weighs_what_it_would_have_weighed_by_then() -> None:
    row = fold([purchase(60, 3_000), purchase(0, 1_000), engagement(30), engagement(0)])
    assert row.orders_decayed == pytest.approx(1.5, rel=1e-12)
    assert row.revenue_decayed == pytest.approx(3_500, rel=1e-12)
    assert row.engaged_days == pytest.approx(1.5, rel=1e-12)
    assert (row.ordered_at_ms, row.engaged_at_ms, row.first_at_ms) == (instant(60), instant(30), instant(0))


@given(histories(min_size=1), st.floats(0, 1_000))
def test_quantities_are_numbers_of_at_least_nothing(events: list[Event], day: float) -> None:
    known = known_at(fold(events), instant(day))
    assert all(values.dtype == np.float64 and values.shape == (1,) and values.item() >= 0 for values in known)
    assert known.recency_days.item() <= known.tenure_days.item()
    assert known.repeat_orders.item() <= known.orders.item()


@given(histories(min_size=1))
def test_nothing_is_extrapolated_to_before_the_last_event(events: list[Event]) -> None:
    row = fold(events)
    first_of_last_ms = min(row.ordered_at_ms, row.engaged_at_ms)
    assert decayed_at(row, first_of_last_ms - 90 * DAY_MS) == decayed_at(row, first_of_last_ms)


# --- orders one by one -------------------------------------------------------------------------------------------


def test_nobody_has_repeat_orders_without_a_second_order() -> None:
    for events in ([], [engagement(3)], [refund(3, 100, "unknown")], [purchase(3)], [purchase(3), engagement(90)]):
        assert known_at(fold(events), instant(100)).repeat_orders.item() == 0
    undone = [purchase(3, 100, order_id="o"), refund(5, 100, "o")]
    assert known_at(fold(undone), instant(100)).repeat_orders.item() == 0


def test_undone_first_order_leaves_of_the_second_what_it_weighs_more() -> None:
    undone = [purchase(0, 100, order_id="o"), refund(5, 100, "o"), purchase(60, 100)]
    assert known_at(fold(undone), instant(60)).repeat_orders.item() == pytest.approx(1 - 0.5)


@given(histories(min_size=1))
def test_first_purchase_is_the_earliest_whatever_the_order_of_arrival(events: list[Event]) -> None:
    row = fold(events)
    bought = [event.at_ms for event in events if event.kind == PURCHASE]
    assert row.first_purchased_at_ms == min(bought, default=-NO_TIME)


def test_log_order_values_are_those_of_the_orders_net_of_refunds() -> None:
    events = [purchase(0, 1_000, order_id="a"), purchase(1, 5_000, order_id="b"), purchase(2, 700, order_id="c")]
    partly = refund(3, 2_000, "b")
    fully = refund(3, 700, "c", event_id="full")
    assert fold([*events, partly, fully]).log_order_values == pytest.approx(log_value(1_000) + log_value(3_000))


def test_partial_refund_of_an_order_completed_twice_is_spread_over_both() -> None:
    events = [purchase(0, 2_000, order_id="o"), purchase(1, 2_000, order_id="o"), refund(2, 1_000, "o")]
    assert fold(events).log_order_values == pytest.approx(2 * log_value(1_500))


def test_order_of_less_than_one_minor_unit_counts_as_one() -> None:
    assert fold([purchase(0, 0), purchase(1, 1)]).log_order_values == 0
    left = [purchase(0, 900, order_id="o"), purchase(1, 900, order_id="o"), refund(2, 1_799, "o")]
    assert fold(left).log_order_values == pytest.approx(0, abs=1e-9)
    assert fold(left).purchases == 2


# --- money and refunds -------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2**45), min_size=1, max_size=16))
def test_money_is_summed_exactly(amounts_minor: list[int]) -> None:
    events = [purchase(day, amount) for day, amount in enumerate(amounts_minor)]
    assert fold(events).revenue_minor == sum(amounts_minor)


def test_cents_do_not_vanish_beside_large_amounts() -> None:
    row = fold([purchase(0, 2**60), purchase(1, 1), purchase(2, 1)])
    assert row.revenue_minor == 2**60 + 2


@pytest.mark.parametrize("order_of_arrival", list(itertools.permutations(range(3))))
def test_fully_refunded_order_undoes_frequency_and_money(order_of_arrival: tuple[int, ...]) -> None:
    kept = [purchase(3, 2_000)]
    undone = [purchase(5, 7_000, order_id="o"), refund(9, 7_000, "o")]
    events = kept + undone
    row, without = fold([events[index] for index in order_of_arrival]), fold(kept)
    assert (row.purchases, row.revenue_minor, row.refunds) == (1, 2_000, 1)
    at_ms = instant(30)
    assert decayed_at(row, at_ms)[:2] == pytest.approx(decayed_at(without, at_ms)[:2], rel=1e-9)


def test_partial_refund_takes_back_money_and_leaves_frequency() -> None:
    row = fold([purchase(0, 7_000, order_id="o"), refund(45, 2_000, "o")])
    assert (row.purchases, row.revenue_minor) == (1, 5_000)
    orders, revenue_minor, _, _ = decayed_at(row, instant(60))
    assert orders == pytest.approx(0.5, rel=1e-9)
    assert revenue_minor == pytest.approx(2_500, rel=1e-9)


def test_several_partial_refunds_add_up_to_a_full_one() -> None:
    row = fold([purchase(0, 7_000, order_id="o"), *(refund(day, 3_500, "o") for day in (1, 2))])
    assert (row.purchases, row.revenue_minor, row.refunds) == (0, 0, 2)
    assert row.orders_decayed == pytest.approx(0, abs=1e-12)
    assert row.revenue_decayed == pytest.approx(0, abs=1e-9)


def test_refund_beyond_the_order_takes_back_no_more_than_it_brought() -> None:
    row = fold([purchase(0, 1_000), purchase(0.5, 7_000, order_id="o"), refund(1, 9_000, "o")])
    assert row.purchases == 1
    assert row.revenue_minor == -1_000  # what was paid out is what was paid out
    assert decayed_at(row, instant(60))[:2] == pytest.approx((0.5, 500), rel=1e-9)


def test_refund_of_an_unknown_order_takes_back_money_only() -> None:
    row = fold([purchase(0, 5_000), refund(0, 2_000, "from before")])
    assert (row.purchases, row.revenue_minor, row.refunds) == (1, 3_000, 1)
    assert row.orders_decayed == pytest.approx(1, rel=1e-9)
    assert row.revenue_decayed == pytest.approx(3_000, rel=1e-9)


def test_refund_arriving_before_its_purchase_ends_as_one_after_it() -> None:
    bought, returned = purchase(2, 7_000, order_id="o"), refund(9, 7_000, "o")
    row = fold([returned, bought])
    assert_same_totals(row, fold([bought, returned]), [bought, returned])
    assert row.purchases == 0


def test_refund_of_a_free_order_of_nothing_undoes_nothing() -> None:
    assert fold([purchase(0, 0, order_id="o"), refund(1, 0, "o")]).purchases == 1


def test_refund_is_no_activity() -> None:
    row = fold([purchase(0, order_id="o"), refund(40, 5_000, "o")])
    assert last_active_day(row) == instant(0) // DAY_MS
    assert row.active_day_bits == 1


# --- distinct days -----------------------------------------------------------------------------------------------

DAYS = st.integers(0, 12) | st.integers(0, 900)
ASCENDING = st.lists(st.integers(0, 40) | st.just(1), min_size=1, max_size=60).map(
    lambda steps: list(itertools.accumulate(steps))
)


@given(st.sampled_from([(2.0, 5), (30.0, 182)]), st.lists(DAYS, min_size=1, max_size=40))
@settings(max_examples=150)
def test_adding_days_agrees_with_the_definition(shape: tuple[float, int], days: list[int]) -> None:
    decayed = DecayedDays(*shape)
    bits, total, last_day = 0, 0.0, -(10**9)
    for index, day in enumerate(days):
        bits, total = decayed.add(bits, total, last_day, day)
        last_day = max(last_day, day)
        seen = days[: index + 1]
        assert bits == day_bits(seen, shape[1])
        assert total == pytest.approx(decayed.total(bits), rel=1e-9)
        assert total == pytest.approx(day_total(seen, *shape), rel=1e-9)


@given(st.sampled_from([2, 5, 40, 366]), st.lists(DAYS, min_size=1, max_size=40) | ASCENDING)
@settings(max_examples=250)
def test_gaps_kept_day_by_day_are_those_between_the_days_remembered(window_days: int, days: list[int]) -> None:
    gaps = DayGaps(0.95, window_days)
    bits, *sums = 0, 0, 0.0, 0.0
    last_day = -(10**9)
    for index, day in enumerate(days):
        bits, *sums = gaps.add(bits, *sums, last_day, day)
        last_day = max(last_day, day)
        seen = days[: index + 1]
        assert bits == day_bits(seen, window_days)
        assert tuple(sums) == pytest.approx(gap_sums(seen, window_days), rel=1e-9, abs=1e-12)
        assert tuple(sums) == pytest.approx(gaps.total(bits), rel=1e-9, abs=1e-12)
        assert min(sums) >= 0


def test_sums_of_gaps_do_not_drift_over_ten_years() -> None:
    random = Random(1)
    bits, *sums = 0, 0, 0.0, 0.0
    day, last_day = 0, -(10**9)
    while day < 3_650:
        bits, *sums = ACTIVE_DAYS.add(bits, *sums, last_day, day)
        assert tuple(sums) == pytest.approx(ACTIVE_DAYS.total(bits), rel=1e-12, abs=1e-12)
        day, last_day = day + random.choice([1, 1, 1, 2, 7, 60]), day


def test_newest_gap_weighs_most() -> None:
    gaps = DayGaps(0.5, 366)
    count, logs, logs_squared = gaps.total(0b1_0000_0001_01)
    assert count == 2
    assert logs == pytest.approx(math.log(2) + 0.5 * math.log(8))
    assert logs_squared == pytest.approx(math.log(2) ** 2 + 0.5 * math.log(8) ** 2)


def test_customer_of_one_day_or_none_has_no_gap() -> None:
    assert ACTIVE_DAYS.total(0) == ACTIVE_DAYS.total(1) == (0, 0.0, 0.0)
    row = fold([purchase(0), engagement(0.5), purchase(500)])
    assert (row.gaps, row.log_gaps, row.log_gaps_squared) == (0, 0.0, 0.0)


def test_late_day_splits_the_gap_in_which_it_falls() -> None:
    row = fold([purchase(0), purchase(30), engagement(10.5)])
    assert (row.gaps, row.active_day_bits.bit_count()) == (2, 3)
    assert row.log_gaps == pytest.approx(math.log(20) + 0.95 * math.log(10))


def test_gap_is_forgotten_with_the_day_it_begins_with() -> None:
    row = fold([purchase(0), purchase(100), purchase(365)])
    assert row.gaps == 2
    row = fold([engagement(366)], row)
    assert row.gaps == 2
    assert row.log_gaps == pytest.approx(0.95 * math.log(265))


def test_day_leaving_the_window_is_forgotten() -> None:
    decayed = DecayedDays(2.0, 5)
    assert decayed.add(0b10001, 1.25, 10, 11) == pytest.approx((0b00011, 1 + 2**-0.5))
    assert decayed.add(0b10001, 1.25, 10, 15) == (1, 1.0)
    assert decayed.add(0b10001, 1.25, 10, 40) == (1, 1.0)


def test_late_day_counts_if_it_is_new_and_within_the_window() -> None:
    decayed = DecayedDays(2.0, 5)
    assert decayed.add(0b00001, 1.0, 10, 8) == pytest.approx((0b00101, 1.5))
    assert decayed.add(0b00101, 1.5, 10, 8) == (0b00101, 1.5)
    assert decayed.add(0b00001, 1.0, 10, 5) == (0b00001, 1.0)
    gaps = DayGaps(0.5, 5)
    assert gaps.add(0b00001, 0, 0.0, 0.0, 10, 8) == pytest.approx((0b00101, 1, math.log(2), math.log(2) ** 2))
    assert gaps.add(0b00101, 1, 0.7, 0.5, 10, 8) == (0b00101, 1, 0.7, 0.5)
    assert gaps.add(0b00001, 0, 0.0, 0.0, 10, 5) == (0b00001, 0, 0.0, 0.0)


@given(st.sets(st.integers(0, 12) | st.integers(0, 300)), st.sets(st.integers(0, 12) | st.integers(0, 300)))
def test_merged_days_are_the_union(left: set[int], right: set[int]) -> None:
    nothing = -(10**9)
    bits = unite_days(
        day_bits(left, 5) if left else 0,
        max(left, default=nothing),
        day_bits(right, 5) if right else 0,
        max(right, default=nothing),
        5,
    )
    assert bits == (day_bits(left | right, 5) if left | right else 0)


def test_windows_are_those_of_the_quantities() -> None:
    assert ACTIVE_DAYS.window_days == 366
    assert (len(ENGAGED_DAYS.weights), ENGAGED_DAYS.weights[30]) == (182, 0.5)
    assert ENGAGED_DAYS.weights[-1] == pytest.approx(0.015, rel=0.02)


# --- bounded memories --------------------------------------------------------------------------------------------


def test_event_is_recognised_among_the_last_32() -> None:
    events = [engagement(day) for day in range(RECENT_EVENT_LIMIT)]
    assert fold([*events, events[0]]).engagements == RECENT_EVENT_LIMIT


def test_event_is_forgotten_after_32_others() -> None:
    events = [engagement(day) for day in range(RECENT_EVENT_LIMIT + 1)]
    row = fold(events)
    assert len(remembered_ids(row)) == RECENT_EVENT_LIMIT
    assert fold([events[1]], row).engagements == row.engagements
    assert fold([events[0]], row).engagements == row.engagements + 1


def test_order_is_forgotten_after_16_later_ones() -> None:
    row = fold([purchase(day, 1_000, order_id=f"o{day}") for day in range(ORDER_LIMIT + 1)])
    assert len(row.orders) == ORDER_LIMIT * ORDER.size
    of_forgotten, of_known = fold([refund(20, 1_000, "o0")], row), fold([refund(20, 1_000, "o1")], row)
    assert (of_forgotten.purchases, of_known.purchases) == (ORDER_LIMIT + 1, ORDER_LIMIT)
    assert of_forgotten.revenue_minor == of_known.revenue_minor == ORDER_LIMIT * 1_000


@given(st.permutations(range(ORDER_LIMIT + 4)))
def test_which_orders_are_remembered_does_not_depend_on_arrival(arrival: list[int]) -> None:
    remembered = fold([purchase(day, 1_000, order_id=f"o{day}") for day in arrival]).orders
    days = [(at_ms - START_MS) // DAY_MS for _, at_ms, *_ in ORDER.iter_unpack(remembered)]
    assert days == list(range(4, ORDER_LIMIT + 4))


def test_orders_of_one_instant_are_all_entered() -> None:
    events = [purchase(1, 100 * n, order_id=f"o{n}", event_id=f"e{n}") for n in range(1, 6)]
    row = fold(events)
    assert len(row.orders) == 5 * ORDER.size
    assert fold([refund(2, 300, "o3")], row).purchases == 4


# --- merging -----------------------------------------------------------------------------------------------------


@given(histories(max_size=12, prefix="left"), histories(max_size=12, prefix="right"))
def test_merging_equals_folding_all_events(left: list[Event], right: list[Event]) -> None:
    merged, folded = merge_rows(fold(left), fold(right)), fold(left + right)
    assert_same_totals(merged, folded, left + right)
    assert remembered_ids(merged) == remembered_ids(folded)


@given(histories(max_size=12, prefix="left"), histories(max_size=12, prefix="right"))
def test_merging_is_commutative(left: list[Event], right: list[Event]) -> None:
    one, other = merge_rows(fold(left), fold(right)), merge_rows(fold(right), fold(left))
    assert_same_totals(one, other, left + right)
    assert one.recent_events == other.recent_events


@given(*(histories(max_size=9, prefix=prefix) for prefix in "abc"))
def test_merging_is_associative(a: list[Event], b: list[Event], c: list[Event]) -> None:
    rows = fold(a), fold(b), fold(c)
    left = merge_rows(merge_rows(rows[0], rows[1]), rows[2])
    right = merge_rows(rows[0], merge_rows(rows[1], rows[2]))
    assert_same_totals(left, right, a + b + c)
    assert left.recent_events == right.recent_events


@given(histories())
def test_merging_with_an_empty_row_changes_no_total(events: list[Event]) -> None:
    row = fold(events)
    assert_same_totals(merge_rows(row, Row()), row, events)


def test_merged_customer_goes_on_like_any_other() -> None:
    left = fold([engagement(day, event_id=f"left {day}") for day in range(RECENT_EVENT_LIMIT)])
    right = fold([engagement(day, event_id=f"right {day}") for day in range(RECENT_EVENT_LIMIT)])
    row = fold([purchase(40)], merge_rows(left, right))
    assert (row.engagements, row.purchases) == (2 * RECENT_EVENT_LIMIT, 1)
    assert len(remembered_ids(row)) == RECENT_EVENT_LIMIT
    assert fold([purchase(40)], row) == row
