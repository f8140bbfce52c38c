"""Versions of segmentations to ask: usual ones, and such as nobody would configure."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from stream_app.core.arrays import Flags
from stream_app.core.segments import Segment
from stream_app.segmentations.learned.model import OFFSETS, PRIOR_TYPICAL, Frame, Model, Thresholds
from stream_app.segmentations.learned.rhythm import PRIOR, Rhythm
from stream_app.segmentations.learned.roles import ROLES
from stream_app.segmentations.rules.compiling.others import LIBRARY_FIGURES
from stream_app.segmentations.rules.definition import COMPARATORS, FIGURES, RulesConfiguration
from stream_app.segmentations.rules.segmentation import RulesSegmentation
from tests.support.models import EARLIER_SEGMENTS

_FIGURES: Final = tuple(name for name in LIBRARY_FIGURES if not FIGURES[name].needs_model)
_VALUES: Final = (
    0,
    -0.0,
    1,
    2,
    3,
    0.5,
    1.5,
    7,
    12.5,
    20,
    30,
    45,
    60,
    365,
    -1,
    -2.5,
    900,
    6_000,
    1e5,
    1e-9,
    1e15,
    -1e308,
    1e308,
)


def random_model(rng: np.random.Generator, *, extreme: bool) -> Model:
    """Return a model: with closed roles, without visits or a usual order value, or, if `extreme`, of odd numbers."""
    return Model(
        "value",
        version=int(rng.integers(9)),
        as_of_ms=0,
        frame=_extreme_frame(rng) if extreme and rng.random() < 0.7 else _frame(rng),
        thresholds=_extreme_thresholds(rng) if extreme else _thresholds(rng),
        retired_segments=EARLIER_SEGMENTS if rng.random() < 0.5 else (),
    )


def _frame(rng: np.random.Generator) -> Frame:
    typical = PRIOR_TYPICAL + rng.uniform((-2, -2, -0.3), (2, 2, 0.3))
    rhythm = Rhythm(
        rng.uniform(math.log(1.5), math.log(200.0)),
        rng.uniform(0.05, 2.5),
        rng.uniform(0.1, 8.0),
        10 ** rng.uniform(-5, -1),
        rng.uniform(0.01, 0.95),
    )
    return Frame(
        rhythm=PRIOR if rng.random() < 0.2 else rhythm,
        order_value_minor=(None, 1_500.0, 5_000.0)[rng.integers(3)],
        engagement_weight=float(rng.choice([0.0, 0.3, 0.5, 1.0])),
        new_days=float(rng.choice([3.0, 21.0, 30.0, 90.0])),
        centres=typical + rng.uniform(0.6, 1.4) * OFFSETS + rng.uniform(-0.15, 0.15, OFFSETS.shape),
        is_open=_is_open(rng),
    )


def _is_open(rng: np.random.Generator) -> Flags:
    is_open: Flags = rng.random(ROLES) < rng.choice([0.3, 0.8, 1.0])
    is_open[rng.integers(ROLES)] = True
    return is_open


def _thresholds(rng: np.random.Generator) -> Thresholds:
    return Thresholds(
        hysteresis=float(rng.choice([0.0, 0.1, 0.4])),
        no_return_days=float(rng.choice([0.0, 1.1, 30.0])),
        risk_probability=float(rng.choice([0.5, 0.7])),
        lapsed_probability=float(rng.choice([0.1, 0.4])),
        one_time_probability=float(rng.choice([0.05, 0.2, 0.6])),
        risk_days_min=float(rng.choice([1.0, 10.0])),
        lapsed_days_min=float(rng.choice([5.0, 30.0])),
        lost_days=float(rng.choice([40.0, 365.0])),
        **{f"{name}_slack": float(rng.choice([0.0, 0.25, 0.5])) for name in ("loyal", "regular", "big", "visits")},
        **{f"{name}_slack": float(rng.choice([0.0, 0.25, 0.5])) for name in ("browsers", "rare", "value")},
    )


def _extreme_frame(rng: np.random.Generator) -> Frame:
    """Return a frame as no population makes it: centres that are equal, nearly so, or beyond all numbers."""
    places = ([0.0], [0.0, 1.0, -1e160, 1e160, 1e300], [-1.0, -1.0 + 1e-13, -1.0 + 1e-12])[rng.integers(3)]
    centres = rng.choice(places, (ROLES, 3))
    return Frame(
        rhythm=Rhythm(
            float(rng.choice([-1e3, -300.0, 0.0, 300.0, 1e300])),
            float(rng.choice([5e-324, 1e-6, 1.0, 1e6, 1e300])),
            float(rng.choice([5e-324, 1e-9, 1.0, 1e9, 1e300])),
            float(rng.choice([5e-324, 1e-12, 1.0, 1e12])),
            float(rng.choice([1e-300, 0.5, 1 - 1e-16])),
        ),
        order_value_minor=(None, 5e-324, 1.0, 1e300)[rng.integers(4)],
        engagement_weight=float(rng.choice([0.0, 5e-324, 0.4999, 1.0])),
        new_days=float(rng.choice([1e-12, 0.7, 1e12, 1e300])),
        centres=centres,
        is_open=_is_open(rng),
    )


def _extreme_thresholds(rng: np.random.Generator) -> Thresholds:
    risk, lapsed = sorted(rng.choice([1e-300, 1e-9, 0.5, 1 - 1e-16], 2).tolist(), reverse=True)
    return Thresholds(
        hysteresis=float(rng.choice([0.0, 5.0, 1e300])),
        no_return_days=float(rng.choice([0.0, 365.0, 1e300])),
        risk_probability=risk,
        lapsed_probability=lapsed,
        one_time_probability=float(rng.choice([1e-300, 0.5, 1 - 1e-16])),
        risk_days_min=float(rng.choice([0.0, 1e-9, 10.0, 1e9, 1e300])),
        lapsed_days_min=float(rng.choice([0.0, 30.0, 1e300])),
        lost_days=float(rng.choice([0.0, 40.0, 1e300])),
        regular_slack=float(rng.choice([0.0, 3.0, 1e300])),
        rare_slack=float(rng.choice([0.0, 3.0, 1e300])),
        value_slack=float(rng.choice([0.0, 3.0, 1e300])),
    )


def random_rules(rng: np.random.Generator) -> RulesSegmentation:
    """Return rules of one to ten segments whose conditions are nested up to three deep."""
    segments = [
        {"id": f"s{number}", "name": f"S{number}", "when": _condition(rng, 3)}
        for number in range(int(rng.choice([1, 2, 5, 10])))
    ]
    definition = {"kind": "rules", "name": "r", "segments": segments, "otherwise": {"id": "rest", "name": "Rest"}}
    retired = (Segment(31_000, "Old", "old"),) if rng.random() < 0.5 else ()
    return RulesSegmentation(RulesConfiguration.model_validate(definition), 2, retired)


def _condition(rng: np.random.Generator, depth: int) -> dict[str, Any]:
    sort = rng.random()
    if depth == 0 or sort < 0.4:
        return {
            "figure": str(rng.choice(_FIGURES)),
            str(rng.choice(list(COMPARATORS))): (
                float(rng.choice(_VALUES)) if rng.random() < 0.7 else float(rng.uniform(0, 100))
            ),
        }
    if sort < 0.55:
        return {"not": _condition(rng, depth - 1)}
    parts = [_condition(rng, depth - 1) for _ in range(int(rng.integers(1, 4)))]
    return {"all" if sort < 0.8 else "any": parts}
