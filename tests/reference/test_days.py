"""The reference's sets of days, in windows of any size; those of the library are in `tests/core/test_folding.py`."""

from __future__ import annotations

import itertools
import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.days import ACTIVE_DAYS, ENGAGED_DAYS, DayGaps, DecayedDays
from tests.support.totals import day_bits, day_total, gap_sums

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


def test_set_of_one_day_or_none_has_no_gap() -> None:
    assert ACTIVE_DAYS.total(0) == ACTIVE_DAYS.total(1) == (0, 0.0, 0.0)


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


def test_windows_are_those_of_the_quantities() -> None:
    assert ACTIVE_DAYS.window_days == 366
    assert (len(ENGAGED_DAYS.weights), ENGAGED_DAYS.weights[30]) == (182, 0.5)
    assert ENGAGED_DAYS.weights[-1] == pytest.approx(0.015, rel=0.02)
