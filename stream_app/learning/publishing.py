"""How far a model may go at once: as far as its forecast moves few customers.

A tick publishes the present frame plus a share β of the way to the one that fits, for all learned numbers together. β
is the largest of a few shares with which no more than 2 % of the customers move who would have stayed otherwise. That
is no estimate: the code that decides about customers is asked about those of the sample. So there is no "first model"
that turns everything over; what is left of the way is gone at later ticks.

Some things have no half way: how much engagement counts, and whether a role is open. Each is taken up if it alone keeps
within the bound, and else waits for a later tick. The first usual order value is the exception: without one an axis is
missing, so it is taken up whatever it moves, which is little as long as a population is young.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from stream_app.core.arrays import Floats
from stream_app.core.segments import NO_SEGMENT
from stream_app.learning.rhythm import step_rhythm
from stream_app.learning.sample import PopulationSample
from stream_app.segmentations.learned.model import Frame, Model
from stream_app.segmentations.learned.roles import ROLES
from stream_app.segmentations.learned.segmentation import LearnedSegmentation

STEPS: Final = (1.0, 0.75, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02)
CHANGE_MIN: Final = 1e-9
"""A frame in which no number differs by more is no other frame."""


class Publication(NamedTuple):
    """What may be published.

    Attributes
    ----------
    frame
        What goes into force; the present one if nothing changes.
    step
        β, 0 if not even the smallest share keeps within the bound.
    churn
        Share of customers that it is forecast to move.
    """

    frame: Frame
    step: float
    churn: float


class Forecast:
    """Who would move under another frame, of those in a sample who are in a segment.

    Parameters
    ----------
    model
        The version in force.
    sample
        Customers; the model's segmentation has divided them.
    """

    def __init__(self, model: Model, sample: PopulationSample) -> None:
        self._model = model
        held = sample.memberships[model.name]
        known = np.flatnonzero(held.segment != NO_SEGMENT)
        self._held = held.at(known)
        self._customers = sample.customers.at(known, sample.customers.at_ms[known])
        # What the version in force would do itself is nothing that a new one causes.
        self._due = self._moves(model.frame) if len(known) else np.zeros(0, np.bool_)

    def __len__(self) -> int:
        return len(self._customers)

    def churn(self, frame: Frame) -> float:
        """Return the share of customers whom a frame moves beyond those who are due to move anyway, in [0, 1]."""
        return float((self._moves(frame) & ~self._due).mean()) if len(self) else 0.0

    def _moves(self, frame: Frame) -> np.ndarray:
        candidate = replace(self._model, frame=frame, previous=self._model.frame)
        return LearnedSegmentation(candidate).revise(self._customers, self._held).moves


def choose_step(present: Frame, goal: Frame, churn_of: Callable[[Frame], float], churn_max: float) -> Publication:
    """Return the frame farthest on the way to a goal that moves no more than a share of the customers."""
    frame = present
    if present.order_value_minor is None and goal.order_value_minor is not None:
        frame = replace(frame, order_value_minor=goal.order_value_minor)
    bound = churn_max if frame is present else max(churn_max, churn_of(frame))
    for candidate_of in _indivisible(goal):
        candidate = candidate_of(frame)
        if differs(candidate, frame) and churn_of(candidate) <= bound:
            frame = candidate
    for step in STEPS:
        candidate = step_frame(frame, goal, step)
        churn = churn_of(candidate)
        if churn <= bound:
            return Publication(candidate, step, churn)
    return Publication(frame, 0.0, churn_of(frame))


def _indivisible(goal: Frame) -> list[Callable[[Frame], Frame]]:
    """Return what has no half way, one by one; roles open before others close, so that one is open at any time."""

    def with_role(role: int) -> Callable[[Frame], Frame]:
        def change(frame: Frame) -> Frame:
            is_open = frame.is_open.copy()
            is_open[role] = goal.is_open[role]
            return replace(frame, is_open=is_open)

        return change

    roles = sorted(range(ROLES), key=lambda role: not goal.is_open[role])
    return [
        lambda frame: replace(frame, engagement_weight=goal.engagement_weight),
        *(with_role(role) for role in roles),
    ]


def step_frame(present: Frame, goal: Frame, share: float) -> Frame:
    """Return the frame at a share of the way; engagement's weight and open roles are those of the present."""
    value = present.order_value_minor
    if value is not None and goal.order_value_minor is not None:
        value *= (goal.order_value_minor / value) ** share
    return replace(
        present,
        rhythm=step_rhythm(present.rhythm, goal.rhythm, share),
        order_value_minor=value,
        new_days=present.new_days + share * (goal.new_days - present.new_days),
        centres=present.centres + share * (goal.centres - present.centres),
    )


def differs(one: Frame, other: Frame) -> bool:
    """Say whether any number of two frames differs by more than `CHANGE_MIN`."""
    return bool((np.abs(_numbers(one) - _numbers(other)) > CHANGE_MIN).any())


def _numbers(frame: Frame) -> Floats:
    rhythm = frame.rhythm
    value = frame.order_value_minor
    return np.array(
        [
            rhythm.log_gap,
            rhythm.log_gap_variance,
            rhythm.prior_weight,
            rhythm.stop_rate_per_day,
            rhythm.stop_after_first,
            -1.0 if value is None else math.log(value),
            frame.engagement_weight,
            frame.new_days,
            *frame.centres.ravel(),
            *frame.is_open,
        ]
    )
