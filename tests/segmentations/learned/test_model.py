from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from stream_app.errors import ModelInvalid
from stream_app.segmentations.learned.model import OFFSETS, PRIOR_TYPICAL, Frame, Model, Thresholds
from stream_app.segmentations.learned.rhythm import PRIOR, Rhythm
from stream_app.segmentations.learned.roles import BROWSERS, KINDS, ROLES
from tests.reference.rosters import lapsed_codes_of
from tests.support.models import ACTIVE_SHOP, EARLIER_SEGMENTS, frames, learned_model, prior_model


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"centres": np.zeros((6, 3))}, r"centres: shape \(6, 3\), expected \(7, 3\)"),
        ({"centres": np.full((7, 3), np.nan)}, "centres: contains a number that is not finite"),
        ({"is_open": np.ones(6, np.bool_)}, r"is_open: shape \(6,\)"),
        ({"is_open": np.zeros(7, np.bool_)}, "no role is open"),
        ({"order_value_minor": 0.0}, "order_value_minor: 0.0, expected a number > 0"),
        ({"order_value_minor": math.inf}, "order_value_minor: inf"),
        ({"engagement_weight": 1.1}, "engagement_weight: 1.1, expected a number from 0 to 1"),
        ({"engagement_weight": math.nan}, "engagement_weight: nan"),
        ({"new_days": 0.0}, "new_days: 0.0, expected a number > 0"),
    ],
)
def test_frame_that_makes_no_sense_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ModelInvalid, match=complaint):
        Frame(**changes)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"log_gap": math.inf}, "rhythm.log_gap: inf, expected a finite number"),
        ({"log_gap_variance": 0.0}, "rhythm.log_gap_variance: 0.0, expected a number > 0"),
        ({"prior_weight": -1.0}, "rhythm.prior_weight: -1.0"),
        ({"stop_rate_per_day": math.nan}, "rhythm.stop_rate_per_day: nan"),
        ({"stop_after_first": 1.0}, "rhythm.stop_after_first: 1.0, expected a number between 0 and 1"),
    ],
)
def test_rhythm_that_makes_no_sense_is_refused(changes: dict[str, float], complaint: str) -> None:
    with pytest.raises(ModelInvalid, match=complaint):
        Rhythm(**(dataclasses.asdict(PRIOR) | changes))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"thresholds": Thresholds(hysteresis=-0.1)}, "hysteresis: -0.1, expected a number ≥ 0"),
        ({"thresholds": Thresholds(lost_days=math.nan)}, "lost_days: nan"),
        ({"thresholds": Thresholds(risk_probability=1.0)}, "risk_probability: 1.0, expected a number between 0 and 1"),
        ({"thresholds": Thresholds(risk_probability=0.05)}, "lapsed_probability: 0.1, expected at most risk"),
        ({"names": {"star": "Star"}}, "names: star, expected some of occasional, "),
        ({"actions": {"star": "Cheer."}}, "actions: star, expected some of"),
        ({"names": {"vip": "Loyal"}}, "names: .*expected distinct ones"),
    ],
)
def test_model_that_makes_no_sense_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ModelInvalid, match=complaint):
        Model("value", **changes)


def test_codes_and_levels_are_those_that_were_given_once_for_all() -> None:
    assert {kind.key: (kind.code, kind.level) for kind in KINDS} == {
        "champions": (1, 3),
        "loyal": (2, 2),
        "new": (3, 1),
        "browsers": (4, 1),
        "at_risk": (5, -1),
        "lost": (6, -3),
        "regular": (101, 1),
        "occasional": (102, 0),
        "big_spenders": (103, 1),
        "vip": (104, 4),
        "hibernating": (105, -2),
        "one_time": (106, -2),
    }


@pytest.mark.parametrize("model", [prior_model(), learned_model(), Model("value", names={"vip": "Stars"})])
def test_ids_stay_whatever_names_are_configured_and_earlier_segments_are_retired(model: Model) -> None:
    assert [segment.segment_id for segment in model.roster.segments] == [f"s{kind.code}" for kind in KINDS]
    assert lapsed_codes_of(model.roster).tolist() == [5, 105, 106, 6]
    for segment in model.retired_segments:
        assert model.roster.references[segment.code].name == segment.name
    named = dict(zip([kind.key for kind in KINDS], model.roster.segments, strict=True))
    assert named["vip"].name == model.names.get("vip", "VIP")


def test_retired_segments_are_none_to_belong_to() -> None:
    roster = learned_model().roster
    assert roster.index_of_code[[segment.code for segment in EARLIER_SEGMENTS]].tolist() == [-1, -1, -1]


def test_prior_centres_lie_about_the_typical_customer() -> None:
    assert Frame().centres.tolist() == (np.array(PRIOR_TYPICAL) + OFFSETS).tolist()


@pytest.mark.parametrize(("weight", "counts"), [(0.0, False), (0.49, False), (0.5, True), (1.0, True)])
def test_browsers_are_admitted_where_engagement_counts(weight: float, counts: bool) -> None:
    frame = dataclasses.replace(ACTIVE_SHOP, engagement_weight=weight)
    assert frame.counts_engagement == counts
    assert frame.admits.tolist() == [counts or role != BROWSERS for role in range(ROLES)]


@given(frames())
def test_separation_is_the_weighted_distance_between_centres(frame: Frame) -> None:
    distances = frame.squared_distances(frame.centres)
    assert np.sqrt(distances) == pytest.approx(frame.separation, abs=1e-9)
    assert (np.diag(distances) == 0).all()
    assert frame.is_open.any()
