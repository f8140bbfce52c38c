from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stream_app.core.clock import DAY_MS, MINUTE_MS
from stream_app.core.columns import CustomerColumns
from stream_app.core.segmentation import NEVER_MS, Held
from stream_app.core.segments import NO_SEGMENT
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.roles import (
    AT_RISK,
    HIBERNATING,
    KINDS,
    LOST,
    NEW,
    OCCASIONAL,
    ONE_TIME,
    ROLES,
)
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from tests.reference.axes import value_axes
from tests.reference.columns import CustomerColumns as ReferenceColumns
from tests.reference.quantities import last_event_ms
from tests.reference.rhythm import rhythm_of
from tests.reference.statements import hold
from tests.support.events import engagement, histories, instant, purchase
from tests.support.models import learned_model, models, partition_under, prior_model, successor
from tests.support.playing import play
from tests.support.tables import activity_of

EVERY_TARGET = range(len(KINDS))


def held_in(target: int, since_ms: int = 0, previous: int = NO_SEGMENT, kept: int = NO_SEGMENT) -> Held:
    """Return the membership of one customer."""
    codes = (np.array([code], np.int16) for code in (KINDS[target].code, previous, kept))
    segment, before, last = codes
    return Held(segment, before, np.array([since_ms]), last)


def leaves(model: Model, one: np.ndarray, target: int, instants: np.ndarray) -> np.ndarray:
    """Say, straight from the definitions, at which instants silence has ended what a segment says of a customer."""
    quantities = ReferenceColumns(np.repeat(one, len(instants)), instants).quantities
    rhythm = rhythm_of(quantities, model.frame.rhythm)
    active, silent, its = rhythm.probability_active(quantities.recency_days), quantities.recency_days, model.thresholds
    at_risk = (active <= its.risk_probability) & (silent >= its.risk_days_min)
    lapsed = at_risk & (active <= its.lapsed_probability) & (silent >= its.lapsed_days_min)
    if target in (ONE_TIME, LOST):
        return np.zeros(len(instants), np.bool_)
    if target == NEW:
        return np.asarray(quantities.tenure_days >= model.frame.new_days)
    if target == HIBERNATING:
        return np.asarray(
            (silent >= its.lost_days) & (active <= its.lapsed_probability) & (silent >= its.lapsed_days_min)
        )
    if target in (OCCASIONAL, AT_RISK):
        return np.asarray(lapsed)
    holds = hold(model.statements, value_axes(quantities, model.frame.order_value_minor))
    return np.asarray(at_risk | ~holds[:, target])


def brute_force_ms(found: Callable[[np.ndarray], np.ndarray], after_ms: int, by_ms: int) -> int:
    """Return the first millisecond in `(after_ms, by_ms]` at which something is found, trying ever smaller steps."""
    for step_ms in (DAY_MS, MINUTE_MS, 1):
        tried = np.append(np.arange(after_ms + step_ms, by_ms, step_ms), by_ms)
        first = np.flatnonzero(found(tried))
        if not len(first):
            return NEVER_MS
        after_ms, by_ms = max(after_ms, int(tried[first[0]]) - step_ms), int(tried[first[0]])
    return by_ms


@given(histories(min_size=1, max_size=8, days=120), models(), st.sampled_from(EVERY_TARGET))
@settings(max_examples=80)
def test_silence_moves_at_the_very_millisecond_at_which_brute_force_finds_a_name_untrue(events, model, target) -> None:
    activity = activity_of(events)
    after_ms = int(last_event_ms(activity)[0])
    by_ms = after_ms + 2_000 * DAY_MS
    customers = CustomerColumns(activity, np.array([after_ms]))
    held = held_in(target, after_ms)
    assume(not leaves(model, activity, target, np.array([after_ms])).any())
    segmentation = LearnedSegmentation(model)
    assume(not segmentation.untrue(customers, held).any() or target > NEW)  # lapsed ones may have just become silent
    due = segmentation.silence(customers, held, np.array([after_ms]), np.array([by_ms]))
    expected_ms = brute_force_ms(lambda tried: leaves(model, activity, target, tried), after_ms, by_ms)
    if expected_ms == NEVER_MS:
        assert due.at_ms.item() > by_ms
        return
    assert abs(due.at_ms.item() - expected_ms) <= 1  # the closed form and its inverse round differently
    there = int(due.target.item())
    assert KINDS[there].level <= KINDS[target].level
    assert there != target
    at_due = CustomerColumns(activity, due.at_ms)
    assert not segmentation.untrue(at_due, held_in(there, due.at_ms.item())).any()


@pytest.mark.parametrize("target", EVERY_TARGET)
def test_segments_that_nothing_leads_out_of_are_one_time_and_lost(target: int) -> None:
    customers = CustomerColumns(activity_of([purchase(0), purchase(3)]), np.array([instant(3)]))
    never = np.array([NEVER_MS])
    due = LearnedSegmentation(prior_model()).silence(customers, held_in(target, instant(3)), customers.at_ms, never)
    assert (due.at_ms.item() == NEVER_MS) == (target in (ONE_TIME, LOST))


# --- acts ------------------------------------------------------------------------------------------------------------


def after(events, model=None):
    """Return where a customer is after events."""
    return play(partition_under(model or prior_model()), events)[-1].to_segment.name


def test_roles_are_what_they_are_called() -> None:
    shop = learned_model()
    assert after([purchase(0)]) == "New"
    assert after([purchase(0), purchase(150)]) == "Occasional"
    assert after([engagement(day) for day in range(30)], shop) == "Browsers"
    assert after([purchase(day) for day in range(0, 200, 4)]) == "Champions"
    assert after([purchase(day) for day in range(100)]) == "VIP"
    assert after([event for day in range(100) for event in (purchase(day), engagement(day + 0.5))], shop) == "VIP"
    assert after([purchase(day, 90_000) for day in range(0, 200, 25)], shop) == "Big spenders"


@given(
    histories(min_size=1, max_size=8, days=120), models(), st.sampled_from(EVERY_TARGET), st.sampled_from(EVERY_TARGET)
)
def test_an_own_act_wakes_whoever_was_silent(events, model, target, kept) -> None:
    own = [*events, engagement(121)]
    customers = CustomerColumns(activity_of(own), np.array([instant(121)]))
    held = held_in(target, instant(110), KINDS[target].code, KINDS[kept].code)
    segmentation = LearnedSegmentation(model)
    reached = int(segmentation.acts(customers, held).target.item())
    assert KINDS[reached].level >= 0
    assert not segmentation.untrue(customers, held_in(reached, instant(121))).any()


@given(histories(min_size=1, max_size=8, days=120), models(), st.sampled_from(EVERY_TARGET))
def test_a_refund_wakes_nobody_who_is_silent(events, model, target) -> None:
    customers = CustomerColumns(activity_of(events), last_event_ms(activity_of(events)) + 40 * DAY_MS)
    held = held_in(target, int(customers.at_ms[0]) - DAY_MS)
    segmentation = LearnedSegmentation(model)
    reached = int(segmentation.acts(customers, held).target.item())
    if KINDS[target].level < 0 and not segmentation.untrue(customers, held).any():
        assert KINDS[reached].level < 0
    assert not segmentation.untrue(customers, held_in(reached, int(customers.at_ms[0]))).any()


def test_nobody_goes_back_by_hysteresis_alone_before_the_time_is_up() -> None:
    history = [purchase(day) for day in range(0, 60, 20)]
    customers = CustomerColumns(activity_of(history), np.array([instant(40)]))
    for no_return_days in (0.0, 30.0):
        model = prior_model(hysteresis=0.0, no_return_days=no_return_days)
        segmentation = LearnedSegmentation(model)
        nearest = int(segmentation.acts(customers, held_in(OCCASIONAL, instant(39))).target.item())
        assert nearest != OCCASIONAL
        held = held_in(OCCASIONAL, instant(39), KINDS[nearest].code)
        decision = segmentation.acts(customers, held)
        assert (decision.target.item() == nearest) == (no_return_days == 0.0)


# --- versions --------------------------------------------------------------------------------------------------------


@given(histories(min_size=1, max_size=8, days=120), models(), st.integers(0, 90), st.sampled_from(EVERY_TARGET))
def test_a_version_is_content_with_where_it_has_put_somebody(events, model, days, target) -> None:
    at_ms = last_event_ms(activity_of(events)) + days * DAY_MS
    customers = CustomerColumns(activity_of(events), at_ms)
    segmentation = LearnedSegmentation(model)
    first = segmentation.revise(customers, held_in(target, int(at_ms[0]) - DAY_MS))
    reached = int(first.target.item())
    assert not segmentation.untrue(customers, held_in(reached, int(at_ms[0]))).any()
    again = segmentation.revise(customers, held_in(reached, int(at_ms[0]), KINDS[target].code))
    assert not again.moves.any()


@given(histories(min_size=1, max_size=8, days=120), models(), st.sampled_from(range(ROLES)))
def test_the_same_numbers_again_move_nobody(events, model, target) -> None:
    model = dataclasses.replace(model, frame=dataclasses.replace(model.frame, is_open=np.ones(ROLES, np.bool_)))
    at_ms = last_event_ms(activity_of(events))
    customers = CustomerColumns(activity_of(events), at_ms)
    held = held_in(target, int(at_ms[0]))
    assume(
        not LearnedSegmentation(model).untrue(customers, held).any()
        and not leaves(model, customers.activity, target, at_ms).any()
    )
    assert not LearnedSegmentation(successor(model)).revise(customers, held).moves.any()
