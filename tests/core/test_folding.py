from __future__ import annotations

import itertools
import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS, MINUTE_MS, NO_TIME
from stream_app.core.customers import CustomerTable
from stream_app.core.events import ALL_LEFT, ENGAGEMENT, PURCHASE, Event
from stream_app.core.quantities import Quantities, quantities_at
from tests.native.histories import FOLDED, QUIET, REPEATED, TOO_OLD, as_records
from tests.native.histories import fold as fold_all
from tests.reference.ids import ENGAGEMENT_LIMIT, ENGAGEMENTS_LEAST, OLD_ORDER_LIMIT, REFUND_LIMIT
from tests.reference.orders import ORDER, ORDER_LIMIT
from tests.reference.row import ACTIVITY, ACTIVITY_DTYPE, Row
from tests.support.events import (
    START_MS,
    cancellation,
    edit,
    engagement,
    histories,
    instant,
    purchase,
    refund,
    visits,
)
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
)

NOT_THE_LEDGER = tuple(name for name in EXACT if name != "orders")


def record(row: Row) -> bytes:
    packed = bytearray(ACTIVITY.size)
    row.pack_activity_into(packed, 0)
    return bytes(packed)


def known_at(row: Row, at_ms: int) -> Quantities:
    return quantities_at(np.frombuffer(record(row), ACTIVITY_DTYPE), at_ms)


def said_of(events: list[Event]) -> list[int]:
    """Return what the library says of each event of a customer."""
    table = CustomerTable([])
    number = table.insert("c1")
    said: list[int] = fold_all(table, np.full(len(events), number), as_records(events)).tolist()
    return said


def orders_of(events: list[Event]) -> list[Event]:
    return [event for event in events if event.kind != ENGAGEMENT]


def decayed_at(row: Row, at_ms: int) -> tuple[float, float, float, float]:
    known = known_at(row, at_ms)
    return known.orders.item(), known.revenue_minor.item(), known.repeat_orders.item(), known.engaged_days.item()


# --- order, repetition, cuts -------------------------------------------------------------------------------------


@given(histories(days=180), st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_any_order_of_the_same_events_gives_the_same_totals(events: list[Event], random: Random) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)
    assert_same_totals(fold(shuffled), fold(events), events)


@given(histories(days=180))
@settings(max_examples=150)
def test_totals_are_what_all_events_together_add_up_to(events: list[Event]) -> None:
    assert_same_totals(fold(events), expected_row(events), events, NOT_THE_LEDGER)


@given(histories())
def test_replayed_orders_change_nothing(events: list[Event]) -> None:
    row = fold(events)
    assert fold(orders_of(events), row) == row
    assert set(said_of(events + orders_of(events))[len(events) :]) <= {REPEATED}


def test_event_repeated_within_one_call_counts_once() -> None:
    events = [purchase(0), engagement(1), purchase(0), engagement(1), purchase(2)]
    row = fold(events)
    assert said_of(events) == [FOLDED, FOLDED, REPEATED, REPEATED, FOLDED]
    assert (row.purchases, row.engagements) == (2, 1)


@given(histories(max_size=40), st.integers(0, 40))
def test_two_calls_equal_one(events: list[Event], cut: int) -> None:
    assert fold(events[cut:], fold(events[:cut])) == fold(events)


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
    assert said_of(events) == [QUIET if continues else FOLDED for continues in expected]


def test_session_ends_after_half_an_hour_of_pause_and_at_midnight() -> None:
    minutes = (1_380, 1_409, 1_439, 1_441, 1_470, 1_500)
    events = [engagement(minute / 1_440) for minute in minutes]
    assert [minute for minute, said in zip(minutes, said_of(events), strict=True) if said != QUIET] == [
        1_380,
        1_439,
        1_441,
        1_500,
    ]


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


def test_order_of_less_than_one_minor_unit_counts_as_one() -> None:
    assert fold([purchase(0, 0), purchase(1, 1)]).log_order_values == 0
    left = [purchase(0, 900, order_id="o"), refund(2, 899, "o")]
    assert fold(left).log_order_values == pytest.approx(0, abs=1e-9)
    assert fold(left).purchases == 1


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
    assert row.revenue_minor == 1_000
    assert decayed_at(row, instant(60))[:2] == pytest.approx((0.5, 500), rel=1e-9)


def test_refund_of_an_unknown_order_takes_its_money_away_and_no_order() -> None:
    row = fold([purchase(0, 5_000), refund(60, 2_000, "from before"), cancellation(61, "from before, too")])
    assert (row.purchases, row.revenue_minor, row.refunds) == (1, 3_000, 1)
    assert (row.orders_decayed, row.revenue_decayed, row.ordered_at_ms) == (0.5, 500, instant(60))


def test_customer_of_whom_only_a_refund_is_known_has_not_acted() -> None:
    row = fold([refund(0, 2_000, "from before")])
    assert (row.revenue_minor, row.refunds, row.purchases) == (-2_000, 1, 0)
    assert (row.first_at_ms, row.purchased_at_ms, row.active_day_bits) == (-NO_TIME, NO_TIME, 0)


def test_refund_arriving_before_its_purchase_ends_as_one_after_it() -> None:
    bought, returned = purchase(2, 7_000, order_id="o"), refund(9, 7_000, "o")
    row = fold([returned, bought])
    assert_same_totals(row, fold([bought, returned]), [bought, returned])
    assert row.purchases == 0


def test_refund_of_a_free_order_of_nothing_undoes_nothing() -> None:
    assert fold([purchase(0, 0, order_id="o"), refund(1, 0, "o")]).purchases == 1


def test_refund_is_no_activity() -> None:
    row = fold([purchase(0, order_id="o"), refund(40, 5_000, "o")])
    assert max(row.purchased_at_ms, row.engaged_at_ms) == instant(0)
    assert row.active_day_bits == 1


# --- what an order is now ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order_of_arrival", list(itertools.permutations(range(4))))
def test_order_told_several_times_is_one_of_the_latest_statement(order_of_arrival: tuple[int, ...]) -> None:
    told = [
        purchase(3, 10_000, order_id="o", event_id="created"),
        purchase(3.01, 10_000, order_id="o", event_id="updated"),
        edit(4, 8_000, "o"),
        engagement(4.5),
    ]
    row = fold([told[index] for index in order_of_arrival])
    assert (row.purchases, row.revenue_minor, row.refunds) == (1, 8_000, 0)
    assert (row.first_purchased_at_ms, row.purchased_at_ms, row.ordered_at_ms) == (instant(3), instant(3), instant(4))
    assert row.active_day_bits == 0b11
    assert row.log_order_values == pytest.approx(log_value(8_000))
    assert row.revenue_decayed == pytest.approx(8_000 * halved(DAY_MS, 60))


def test_latest_statement_is_that_of_updated_at_and_then_the_greater_amount() -> None:
    late, early, same = edit(2, 500, "o", 9), edit(3, 700, "o", 8), edit(4, 600, "o", 9)
    for told in itertools.permutations([late, early, same]):
        assert fold(list(told)).revenue_minor == 600


def test_edit_of_an_order_never_seen_is_an_order() -> None:
    row = fold([edit(3, 700, "o")])
    assert (row.purchases, row.revenue_minor, row.purchased_at_ms) == (1, 700, instant(3))


def test_saying_again_what_an_order_is_assesses_nobody_and_an_edit_does() -> None:
    events = [purchase(0, 700, order_id="o"), edit(1, 700, "o"), edit(1, 700, "o"), edit(2, 500, "o")]
    assert said_of(events) == [FOLDED, QUIET, REPEATED, FOLDED]


@pytest.mark.parametrize("order_of_arrival", list(itertools.permutations(range(4))))
def test_cancelled_order_is_gone_and_its_day_stays(order_of_arrival: tuple[int, ...]) -> None:
    kept = purchase(0, 2_000)
    told = [kept, purchase(5, 7_000, order_id="o"), cancellation(6, "o"), edit(7, 6_000, "o")]
    row, without = fold([told[index] for index in order_of_arrival]), fold([kept])
    assert (row.purchases, row.revenue_minor, row.refunds) == (1, 2_000, 0)
    assert row.log_order_values == pytest.approx(without.log_order_values)
    assert decayed_at(row, instant(30))[:2] == pytest.approx(decayed_at(without, instant(30))[:2], rel=1e-9)
    assert (row.purchased_at_ms, row.active_day_bits) == (instant(5), 0b100001)


@pytest.mark.parametrize("order_of_arrival", list(itertools.permutations(range(3))))
def test_return_of_all_that_is_left_knows_no_amount(order_of_arrival: tuple[int, ...]) -> None:
    told = [purchase(0, 2_000, order_id="o"), refund(1, 500, "o"), refund(2, ALL_LEFT, "o")]
    row = fold([told[index] for index in order_of_arrival])
    assert (row.purchases, row.revenue_minor, row.refunds) == (0, 0, 2)


def test_order_that_turns_out_to_be_older_leaves_its_day_to_others_only() -> None:
    moved = [edit(9, 700, "o"), purchase(2, 700, order_id="o")]
    assert fold([*moved]).active_day_bits == 1
    assert fold([engagement(9.5), *moved]).active_day_bits == 0b10000001
    assert fold([purchase(9.5), *moved]).active_day_bits == 0b10000001
    assert fold([engagement(4), *moved]).active_day_bits == 0b101


# --- distinct days -----------------------------------------------------------------------------------------------

DAYS = st.integers(0, 12) | st.integers(0, 900)
ASCENDING = st.lists(st.integers(0, 40) | st.just(1), min_size=1, max_size=60).map(
    lambda steps: list(itertools.accumulate(steps))
)


@given(st.lists(DAYS, min_size=1, max_size=40) | ASCENDING)
@settings(max_examples=100)
def test_days_kept_one_by_one_are_those_of_the_definition(days: list[int]) -> None:
    row = Row()
    first_day = START_MS // DAY_MS
    for index, day in enumerate(days):
        row = fold([engagement(day, event_id=f"e{index}")], row)
        seen = [first_day + each for each in days[: index + 1]]
        assert (row.active_day_bits, row.engaged_day_bits) == (day_bits(seen, 366), day_bits(seen, 182))
        assert row.engaged_days == pytest.approx(day_total(seen, 30, 182), rel=1e-9)
        sums = (row.gaps, row.log_gaps, row.log_gaps_squared)
        assert sums == pytest.approx(gap_sums(seen), rel=1e-9, abs=1e-12)
        assert min(sums) >= 0


def test_sums_of_gaps_do_not_drift_over_ten_years() -> None:
    random, row, days = Random(1), Row(), [0]
    while days[-1] < 3_650:
        row = fold([purchase(days[-1])], row)
        sums = (row.gaps, row.log_gaps, row.log_gaps_squared)
        assert sums == pytest.approx(gap_sums(days), rel=1e-12, abs=1e-12)
        days.append(days[-1] + random.choice([1, 1, 1, 2, 7, 60]))


def test_customer_of_one_day_or_none_has_no_gap() -> None:
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


# --- bounded memories --------------------------------------------------------------------------------------------


def test_engagement_is_known_again_for_a_week_however_many_there_are_of_other_kinds() -> None:
    visit = engagement(0, event_id="visit")
    orders = [purchase(day / 50, order_id=f"o{day}") for day in range(300)]
    returns = [refund(day / 50, 1, f"o{day}", event_id=f"r{day}") for day in range(300)]
    views = [engagement(7.5 + minute / 1_440) for minute in range(100)]
    row = fold([visit, *orders, *returns, *views])
    assert fold([visit], row).engagements == 101
    assert fold([engagement(8), visit], row).engagements == 103


def test_engagement_that_comes_late_is_known_again_for_a_week_from_then() -> None:
    views = [engagement(57 + minute / 1_440) for minute in range(100)]
    row = fold([engagement(50), engagement(1, event_id="late"), *views])
    assert fold([engagement(1, event_id="late")], row).engagements == 102


def test_24_engagements_are_known_again_however_old_they_are() -> None:
    events = [engagement(30 * number) for number in range(ENGAGEMENTS_LEAST + 1)]
    row = fold(events)
    assert fold([events[1]], row).engagements == row.engagements
    assert fold([events[0]], row).engagements == row.engagements + 1


def test_256_engagements_of_a_week_are_known_again_and_not_the_one_before() -> None:
    events = [engagement(minute / 1_440) for minute in range(ENGAGEMENT_LIMIT + 1)]
    row = fold(events)
    assert len(remembered_ids(row)) == ENGAGEMENT_LIMIT
    assert fold([events[1]], row).engagements == row.engagements
    assert fold([events[0]], row).engagements == row.engagements + 1


def test_page_views_never_push_out_an_order() -> None:
    bought = purchase(0, 5_000)
    views = [engagement(minute / 1_440) for minute in range(400)]
    row = fold([bought, *views, bought])
    assert (row.purchases, row.revenue_minor) == (1, 5_000)


def test_order_is_known_again_among_the_last_256_and_no_longer() -> None:
    events = [purchase(day, 1_000, order_id=f"o{day}") for day in range(ORDER_LIMIT + OLD_ORDER_LIMIT + 1)]
    row = fold(events)
    again = fold(events[1:], row)
    assert (again.purchases, again.revenue_minor) == (row.purchases, row.revenue_minor)
    assert fold([events[0]], row).purchases == row.purchases + 1


def test_edit_of_an_order_of_which_only_the_id_is_left_is_too_old() -> None:
    events = [purchase(day, 1_000, order_id=f"o{day}") for day in range(ORDER_LIMIT + 1)]
    late = [edit(30, 10, "o0"), cancellation(31, "o0"), refund(32, ALL_LEFT, "o0")]
    assert said_of([*events, *late])[len(events) :] == [TOO_OLD] * 3
    assert fold(late, fold(events)) == fold(events)


def test_refund_is_known_again_among_the_last_255() -> None:
    returns = [refund(day, 1, "o", event_id=f"r{day}") for day in range(REFUND_LIMIT + 1)]
    row = fold([purchase(0, 1_000, order_id="o"), *returns])
    assert fold(returns[1:], row).refunds == row.refunds == REFUND_LIMIT + 1
    assert fold(returns[:1], row).refunds == REFUND_LIMIT + 2


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
