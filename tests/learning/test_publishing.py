from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.segmentation import Held
from stream_app.core.segments import NO_SEGMENT
from stream_app.learning.publishing import STEPS, Forecast, choose_step, differs, step_frame
from stream_app.segmentations.learned.model import Frame, Model
from stream_app.segmentations.learned.rhythm import PRIOR
from stream_app.segmentations.learned.roles import BROWSERS, CHAMPIONS, REGULAR, ROLES, VIP
from stream_app.segmentations.learned.segmentation import LearnedSegmentation
from tests.learning.populations import EQUALS, SHOP, assigned, draw_sample

PRESENT = Frame(order_value_minor=3000.0, engagement_weight=1.0)
MODEL = Model("value", version=3, frame=PRESENT)
LIMIT = 0.02


def moved_frame(frame: Frame, *, axis: int = 0, by: float = 1.0) -> Frame:
    centres = frame.centres.copy()
    centres[:, axis] += by
    return replace(frame, centres=centres)


def with_open(frame: Frame, *closed: int) -> Frame:
    return replace(frame, is_open=~np.isin(np.arange(ROLES), closed))


def frames(seed: int) -> Frame:
    """Return a random frame whose centres are in order."""
    rng = np.random.default_rng(seed)
    rhythm = replace(
        PRIOR,
        log_gap=float(rng.uniform(1, 4)),
        log_gap_variance=float(rng.uniform(0.1, 1.5)),
        stop_after_first=float(rng.uniform(0.1, 0.8)),
    )
    scale = rng.uniform(0.6, 1.4)
    return Frame(
        rhythm=rhythm,
        order_value_minor=float(rng.uniform(500, 9000)),
        engagement_weight=float(rng.integers(2)),
        new_days=float(rng.uniform(30, 45)),
        centres=Frame().centres * scale + rng.normal(0, 0.4, 3),
        is_open=(rng.random(ROLES) < 0.8) | (np.arange(ROLES) == REGULAR),
    )


def test_forecast_is_who_moves_when_the_model_takes_over():
    sample = assigned(draw_sample(), MODEL)
    goal = moved_frame(PRESENT)
    successor = replace(MODEL, version=4, frame=goal, previous=PRESENT)
    moved = LearnedSegmentation(successor).revise(sample.customers, sample.memberships["value"]).moves.mean()
    forecast = Forecast(MODEL, sample)
    assert forecast.churn(goal) == moved > 0
    assert forecast.churn(PRESENT) == 0
    assert len(forecast) == len(sample)


def test_who_is_due_to_move_anyway_is_nothing_a_model_causes():
    sample = draw_sample()
    elsewhere = np.full(len(sample), 77, np.int16)  # a segment of earlier releases
    held = Held(elsewhere, elsewhere, np.zeros(len(sample), np.int64), elsewhere)
    forecast = Forecast(MODEL, replace(sample, memberships={"value": held}))
    assert forecast.churn(moved_frame(PRESENT)) == 0


def test_customers_in_no_segment_are_not_counted():
    sample = assigned(draw_sample(), MODEL)
    held = sample.memberships["value"]
    half = np.where(np.arange(len(sample)) % 2, NO_SEGMENT, held.segment).astype(np.int16)
    forecast = Forecast(MODEL, replace(sample, memberships={"value": held._replace(segment=half)}))
    assert len(forecast) == (len(sample) + 1) // 2
    nobody = held._replace(segment=np.full(len(sample), NO_SEGMENT, np.int16))
    empty = Forecast(MODEL, replace(sample, memberships={"value": nobody}))
    assert len(empty) == 0
    assert empty.churn(moved_frame(PRESENT)) == 0


@pytest.mark.parametrize("allowed", [*STEPS, 0.03])
def test_largest_share_of_the_way_that_keeps_within_the_bound_is_gone(allowed):
    goal = moved_frame(PRESENT)

    def churn(frame: Frame) -> float:
        return float(frame.centres[0, 0] - PRESENT.centres[0, 0] > allowed + 1e-9)

    publication = choose_step(PRESENT, goal, churn, LIMIT)
    assert publication.step == max(step for step in STEPS if step <= allowed)
    assert publication.frame.centres == pytest.approx(PRESENT.centres + publication.step * np.array([1.0, 0, 0]))
    assert publication.churn == 0


def test_nothing_is_published_if_the_smallest_step_is_too_much():
    publication = choose_step(PRESENT, moved_frame(PRESENT), lambda frame: float(differs(frame, PRESENT)), LIMIT)
    assert publication.step == 0
    assert not differs(publication.frame, PRESENT)
    assert publication.churn == 0


def test_all_numbers_go_the_same_way_together():
    goal = replace(
        moved_frame(PRESENT),
        rhythm=replace(PRIOR, log_gap=PRIOR.log_gap + 2, log_gap_variance=PRIOR.log_gap_variance * 4),
        order_value_minor=12_000.0,
        new_days=PRESENT.new_days + 10,
    )
    half = step_frame(PRESENT, goal, 0.5)
    assert half.rhythm.log_gap == pytest.approx(PRIOR.log_gap + 1)
    assert half.rhythm.log_gap_variance == pytest.approx(PRIOR.log_gap_variance * 2)
    assert half.order_value_minor == pytest.approx(6000.0)
    assert half.new_days == pytest.approx(PRESENT.new_days + 5)
    assert half.centres[0, 0] == pytest.approx(PRESENT.centres[0, 0] + 0.5)
    assert not differs(step_frame(PRESENT, goal, 1.0), goal)


def test_order_value_stays_unknown_as_long_as_the_goal_knows_none():
    assert step_frame(Frame(), Frame(new_days=40.0), 0.5).order_value_minor is None
    assert step_frame(PRESENT, Frame(), 0.5).order_value_minor == PRESENT.order_value_minor


def test_first_order_value_is_taken_up_whatever_it_moves():
    present = replace(PRESENT, order_value_minor=None)
    goal = moved_frame(replace(present, order_value_minor=3000.0))

    def churn(frame: Frame) -> float:
        known = 0.5 * (frame.order_value_minor is not None)
        return known + float(frame.centres[0, 0] - present.centres[0, 0])

    publication = choose_step(present, goal, churn, LIMIT)
    assert publication.frame.order_value_minor == 3000.0
    assert publication.step == 0
    assert publication.churn == 0.5


def closed_roles(frame: Frame) -> list[int]:
    return np.flatnonzero(~frame.is_open).tolist()


def test_role_that_would_move_too_many_waits_while_all_else_goes_on():
    present = with_open(PRESENT, VIP)
    goal = with_open(moved_frame(PRESENT), CHAMPIONS)
    publication = choose_step(present, goal, lambda frame: float(frame.is_open[VIP]), LIMIT)
    assert closed_roles(publication.frame) == [CHAMPIONS, VIP]
    assert publication.step == 1


def test_engagement_waits_if_it_alone_moves_too_many():
    goal = replace(moved_frame(PRESENT), engagement_weight=0.9)
    for limit, weight in ((LIMIT, 1.0), (0.5, 0.9)):
        publication = choose_step(PRESENT, goal, lambda frame: 0.3 * (frame.engagement_weight < 1), limit)
        assert publication.frame.engagement_weight == weight
        assert publication.step == 1


def test_roles_change_places_without_none_being_open():
    present = with_open(PRESENT, *(role for role in range(ROLES) if role != BROWSERS))
    goal = with_open(PRESENT, BROWSERS)
    assert closed_roles(choose_step(present, goal, lambda _: 0.0, LIMIT).frame) == [BROWSERS]


@pytest.mark.parametrize(
    "other",
    [
        moved_frame(PRESENT, by=1e-8),
        with_open(PRESENT, VIP),
        replace(PRESENT, order_value_minor=None),
        replace(PRESENT, order_value_minor=3000.1),
        replace(PRESENT, new_days=31.5),
        replace(PRESENT, engagement_weight=0.5),
        *(replace(PRESENT, rhythm=replace(PRIOR, **{name: 0.4})) for name in vars(PRIOR)),
    ],
)
def test_frames_that_differ_in_anything_are_told_apart(other):
    assert differs(PRESENT, other)
    assert not differs(other, other)


def test_frames_that_differ_by_rounding_are_the_same():
    assert not differs(PRESENT, moved_frame(PRESENT, by=1e-10))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(2, 40), st.booleans(), st.floats(0, 0.2))
def test_forecast_keeps_within_the_bound_whatever_the_frames(seed, goal_seed, tick, equals, limit):
    model = Model("value", version=1, frame=frames(seed))
    sample = assigned(draw_sample(tick, 120, EQUALS if equals else SHOP), model)
    goal = frames(goal_seed)
    publication = choose_step(model.frame, goal, Forecast(model, sample).churn, limit)
    successor = replace(model, version=2, frame=publication.frame, previous=model.frame)
    moved = LearnedSegmentation(successor).revise(sample.customers, sample.memberships["value"]).moves.mean()
    assert moved == publication.churn <= limit
    assert publication.step in (0.0, *STEPS)
