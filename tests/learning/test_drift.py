from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.learning.drift import FIGURES, ReferenceDistribution, role_shifts
from stream_app.segmentations.learned.model import Frame
from stream_app.segmentations.learned.roles import KEYS, REGULAR, ROLES
from tests.learning.populations import draw_sample

FRAME = Frame(order_value_minor=3000.0)


def quantities_of(sample_tick: int = 20, **groups):
    return draw_sample(sample_tick, 300, **groups).quantities


def test_shift_of_a_role_is_its_weighted_distance():
    centres = FRAME.centres.copy()
    centres[REGULAR] += (0.3, 5.0, 0.2)
    shifts = role_shifts(FRAME, replace(FRAME, centres=centres))
    assert shifts["regular"] == pytest.approx(np.hypot(0.3, 0.4))  # engagement weighs nothing, order value twice
    assert {role for role, shift in shifts.items() if shift > 0} == {"regular"}
    engaged = replace(FRAME, engagement_weight=1.0)
    assert role_shifts(engaged, replace(engaged, centres=centres))["regular"] > 4


def test_shifts_are_those_of_the_roles_that_admit():
    assert "browsers" not in role_shifts(FRAME, FRAME)
    only_regular = replace(FRAME, is_open=np.arange(ROLES) == REGULAR)
    assert role_shifts(FRAME, only_regular) == {KEYS[REGULAR]: 0.0}


def test_bins_of_the_reference_are_deciles():
    reference = ReferenceDistribution.of(quantities_of(), FRAME)
    assert reference.edges.shape == (len(FIGURES), 9)
    assert reference.shares == pytest.approx(np.full((len(FIGURES), 10), 0.1), abs=0.02)


def test_same_sample_has_index_zero():
    quantities = quantities_of()
    psi = ReferenceDistribution.of(quantities, FRAME).population_stability(quantities, FRAME)
    assert psi == pytest.approx(dict.fromkeys(FIGURES, 0.0))


@given(st.integers(0, 30), st.integers(1, 30))
def test_index_is_finite_and_never_negative(seed, tick):
    reference = ReferenceDistribution.of(draw_sample(9, 60, seed=seed).quantities, FRAME)
    psi = reference.population_stability(draw_sample(tick, 40, seed=seed + 1, arrival_days=1.0).quantities, FRAME)
    assert np.isfinite(list(psi.values())).all()
    assert min(psi.values()) >= 0


def test_index_equals_its_definition():
    quantities = quantities_of()
    half = len(quantities.recency_days) // 2
    older = quantities._replace(recency_days=quantities.recency_days + 400.0)
    reference = ReferenceDistribution.of(quantities, FRAME)
    share = max(0.5 / (2 * half), 0.5 / len(quantities.recency_days))
    expected = 9 * (share - 0.1) * np.log(share / 0.1) + (1 - 0.1) * np.log(1 / 0.1)
    psi = reference.population_stability(older, FRAME)
    assert psi["silence"] == pytest.approx(expected, rel=0.02)
    assert psi["order_rate"] == 0.0


def test_only_what_moved_stands_out():
    quantities = quantities_of()
    dearer = quantities._replace(log_order_values=quantities.log_order_values + 0.7 * quantities.purchases)
    psi = ReferenceDistribution.of(quantities, FRAME).population_stability(dearer, FRAME)
    assert psi.pop("order_value") > 0.25
    assert max(psi.values()) < 1e-9


def test_figure_that_is_constant_is_stable():
    quantities = quantities_of()
    unknown = Frame()
    assert ReferenceDistribution.of(quantities, unknown).population_stability(quantities, unknown)[
        "order_value"
    ] == pytest.approx(0.0)


def test_reference_survives_json():
    reference = ReferenceDistribution.of(quantities_of(), FRAME)
    restored = ReferenceDistribution.from_state(json.loads(json.dumps(reference.state())))
    later = quantities_of(30)
    assert restored.population_stability(later, FRAME) == reference.population_stability(later, FRAME)
