"""Models of learned segmentations: before anything was learned, with what might have been, and successions of them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st

from stream_app.core.partition import Partition
from stream_app.core.segments import Segment
from stream_app.segmentations.learned.model import OFFSETS, PRIOR_TYPICAL, Frame, Model, Thresholds
from stream_app.segmentations.learned.rhythm import PRIOR, Rhythm
from stream_app.segmentations.learned.roles import OCCASIONAL, ROLES
from stream_app.segmentations.learned.segmentation import LearnedSegmentation

ACTIVE_SHOP: Final = Frame(
    rhythm=Rhythm(math.log(9.0), 0.5, 1.3, 1 / 600, 0.3),
    order_value_minor=4_200.0,
    engagement_weight=1.0,
    new_days=21.0,
    centres=np.array([math.log(1 / 20), math.log(1 / 6), 0.0]) + 0.9 * OFFSETS,
)
"""A population that orders every 20 days and comes every 6."""
EARLIER_SEGMENTS: Final = (Segment(11, "Regulars"), Segment(12, "Visitors"), Segment(13, "Gone"))
"""Segments such as earlier releases made up, all retired."""


def prior_model(**thresholds: float) -> Model:
    """Return the model before anything was learned."""
    return Model("value", thresholds=Thresholds(**thresholds))


def learned_model(**thresholds: float) -> Model:
    """Return the fourth model of a population that comes and buys often, after segments of an earlier release."""
    return Model(
        "value",
        version=4,
        as_of_ms=0,
        frame=ACTIVE_SHOP,
        previous=Frame(),
        thresholds=Thresholds(**thresholds),
        retired_segments=EARLIER_SEGMENTS,
    )


def moved_frame(frame: Frame, seed: int) -> Frame:
    """Return a frame of a population of other habits, under which what roles say is false of many customers."""
    rng = np.random.default_rng(seed)
    centres = frame.centres + rng.normal(0, 0.2, frame.centres.shape) + rng.normal(0, 0.8, 3)
    return dataclasses.replace(frame, centres=centres)


def successor(model: Model, frame: Frame | None = None, **changes: Any) -> Model:
    """Return the next version of a model, with the same frame or another."""
    return dataclasses.replace(
        model, version=model.version + 1, previous=model.frame, frame=frame or model.frame, **changes
    )


def partition_under(*models: Model) -> Partition:
    """Return an empty partition that is divided by these models."""
    return Partition([LearnedSegmentation(model) for model in models])


def model_of(partition: Partition) -> Model:
    """Return the model of a partition that is divided by one."""
    (segmentation,) = partition.segmentations
    assert isinstance(segmentation, LearnedSegmentation)
    return segmentation.model


rhythms = st.builds(
    Rhythm,
    log_gap=st.floats(math.log(1.5), math.log(200.0)),
    log_gap_variance=st.floats(0.05, 2.5),
    prior_weight=st.floats(0.1, 8.0),
    stop_rate_per_day=st.floats(1e-5, 0.1),
    stop_after_first=st.floats(0.01, 0.95),
)
"""What may be learned of populations that come daily, and of others that come twice a year."""


@st.composite
def frames(draw: st.DrawFn, closed: bool = True) -> Frame:
    """Draw what may be learned of populations: roles keep their order, but lie closer together or wider apart.

    If `closed`, some roles admit nobody; Occasional always admits.
    """
    typical = PRIOR_TYPICAL + np.array(
        [draw(st.floats(-2.0, 2.0)), draw(st.floats(-2.0, 2.0)), draw(st.floats(-0.3, 0.3))]
    )
    noise = np.random.default_rng(draw(st.integers(0, 1_000))).uniform(-0.15, 0.15, OFFSETS.shape)
    is_open = np.ones(ROLES, np.bool_)
    if closed:
        is_open = np.array(draw(st.lists(st.booleans() | st.just(True), min_size=ROLES, max_size=ROLES)))
        is_open[OCCASIONAL] = True
    return Frame(
        rhythm=draw(rhythms | st.just(PRIOR)),
        order_value_minor=draw(st.sampled_from([None, 1_500.0, 5_000.0])),
        engagement_weight=draw(st.sampled_from([0.0, 0.3, 0.5, 1.0])),
        new_days=draw(st.sampled_from([3.0, 21.0, 30.0, 90.0])),
        centres=typical + draw(st.floats(0.6, 1.4)) * OFFSETS + noise,
        is_open=is_open,
    )


thresholds = st.builds(
    Thresholds,
    hysteresis=st.sampled_from([0.0, 0.1, 0.35]),
    no_return_days=st.sampled_from([0.0, 1.1, 30.0]),
    risk_probability=st.sampled_from([0.5, 0.7]),
    lapsed_probability=st.sampled_from([0.1, 0.4]),
    risk_days_min=st.sampled_from([1.0, 10.0]),
    lapsed_days_min=st.sampled_from([5.0, 30.0]),
    lost_days=st.sampled_from([40.0, 365.0]),
    one_time_probability=st.sampled_from([0.05, 0.2, 0.6]),
    loyal_slack=st.sampled_from([0.0, 0.5]),
    regular_slack=st.sampled_from([0.0, 0.1, 0.5]),
    big_slack=st.sampled_from([0.1, 0.4]),
    visits_slack=st.sampled_from([0.0, 0.2]),
    browsers_slack=st.sampled_from([0.0, 0.5]),
    rare_slack=st.sampled_from([0.0, 0.25]),
    value_slack=st.sampled_from([0.0, 0.25]),
)


@st.composite
def models(draw: st.DrawFn, closed: bool = True) -> Model:
    """Draw models before and after something was learned."""
    own = draw(thresholds)
    if draw(st.booleans()):
        return Model("value", thresholds=own)
    return Model("value", 3, 0, draw(frames(closed=closed)), draw(st.none() | frames(closed=closed)), own)
